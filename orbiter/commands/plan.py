"""`orbiter plan`: what would be built."""

import click

from orbiter.commands import console, options


@click.command(
    epilog=options.EXAMPLES
    + "  orbiter plan\n  orbiter plan 'debian-*'\n  orbiter plan --format json | jq '.targets[].name'\n"
    "  orbiter plan --since main               what a branch changes\n"
    '  orbiter plan --since main --format github-matrix >> "$GITHUB_OUTPUT"'
)
@options.file
@options.selection
@click.option(
    "--since", metavar="REV", help="Only what a build makes anew since this revision of Git, by level, with the reason."
)
@options.form("text", "json", "github-matrix")
def plan(
    file: str | None, targets: tuple[str, ...], family: str | None, image: str | None, since: str | None, form: str
) -> None:
    """Show what would be built: targets, their parents and packages.

    TARGETS are names or globs; without any, everything is shown. Writes nothing. With --since, the configuration, the
    lock, templates and files that 'copy' names are compared with those of the revision; changes that are not committed
    count.
    """
    from orbiter import affected, pipeline
    from orbiter.engine import Git
    from orbiter.plan import as_data, as_text, restrict

    planned = options.planned(file)
    patterns = options.patterns(planned, targets, family, image)
    shown = restrict(planned.plan, patterns) if patterns else planned.plan
    if since is None and form != "github-matrix":
        if form == "json":
            console.print_json(as_data(shown))
        else:
            click.echo(console.fitted(as_text(shown)))
        return
    if since is None:
        found = affected.everything(shown, None, "everything")
    else:
        found = pipeline.affected(planned, since, Git(planned.config.parent), console.say)
        found = affected.narrowed(found, shown) if patterns else found
    if form == "json":
        console.print_json(affected.as_data(found))
    elif text := affected.as_matrix(found) if form == "github-matrix" else affected.as_text(found):
        click.echo(text)
    if since is not None:
        total = len(shown.targets)
        console.say(f"{len(found.reasons)} of {total} target{'s' * (total != 1)} affected since {since}")
