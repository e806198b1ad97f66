"""`orbiter plan`: what would be built."""

from typing import TYPE_CHECKING

import click

from orbiter.commands import comparing, console, options
from orbiter.errors import UsageError

if TYPE_CHECKING:
    from orbiter.model import BuildPlan
    from orbiter.pipeline import Planned


@click.command(
    epilog=options.EXAMPLES
    + "  orbiter plan\n  orbiter plan 'debian-*'\n  orbiter plan --format json | jq '.targets[].name'\n"
    "  orbiter plan --since main               what a branch changes\n"
    '  orbiter plan --since main --format github-matrix >> "$GITHUB_OUTPUT"\n'
    "  orbiter plan --changed                  what the registry lacks, and why\n"
    "  orbiter plan --changed --against engine"
)
@options.file
@options.selection
@click.option(
    "--since", metavar="REV", help="Only what a build makes anew since this revision of Git, by level, with the reason."
)
@click.option("--changed", is_flag=True, help="Compare with the images that there are: what is to be built, and why.")
@comparing.against("registry")
@options.form("text", "json", "github-matrix")
def plan(
    file: str | None,
    targets: tuple[str, ...],
    family: str | None,
    image: str | None,
    since: str | None,
    changed: bool,
    against: str | None,
    form: str,
) -> None:
    """Show what would be built: targets, their parents and packages.

    TARGETS are names or globs; without any, everything is shown. Writes nothing. With --since, the configuration, the
    lock, templates and files that 'copy' names are compared with those of the revision; changes that are not committed
    count.

    With --changed, each image is compared with the one in the registry by the labels that say what it is made of:
    it is up to date, to be built and why, or to be tagged, if the same is there under another version.
    """
    from orbiter import affected, pipeline
    from orbiter.git import Git
    from orbiter.plan import as_data, as_text, restrict

    changed = changed or against is not None
    if changed and since is not None:
        raise UsageError("--since compares with a revision of Git, --changed with images: one of them at a time")
    planned = options.planned(file)
    patterns = options.patterns(planned, targets, family, image)
    shown = restrict(planned.plan, patterns) if patterns else planned.plan
    if changed:
        _compared(planned, shown, against, form)
        return
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


def _compared(planned: "Planned", shown: "BuildPlan", against: str | None, form: str) -> None:
    from orbiter import affected, changes, pipeline
    from orbiter.plan import as_data

    where = comparing.places(planned, registry=against != "engine")
    verdicts = comparing.verdicts(planned, shown, pipeline.render(planned), where)
    if form == "json":
        data = as_data(shown)
        told = {each.pop("name"): each for each in changes.as_data(verdicts)}
        console.print_json({**data, "targets": [{**each, "changed": told[each["name"]]} for each in data["targets"]]})
    elif form == "text":
        click.echo(console.fitted(changes.as_text(verdicts)))
    elif text := affected.as_matrix(affected.Affected(plan=shown, revision=None, reasons=changes.undone(verdicts))):
        click.echo(text)
