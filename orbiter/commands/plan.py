"""`orbiter plan`: what would be built."""

import click

from orbiter.commands import comparing, console, options


@click.command(
    epilog=options.EXAMPLES + "  orbiter plan\n"
    "  orbiter plan 'debian-*'\n"
    "  orbiter plan --changed                      what the registry lacks, and why\n"
    "  orbiter plan --changed --against engine     what the engine lacks\n"
    "  orbiter plan --format json | jq '.targets[].name'"
)
@options.file
@options.selection
@click.option("--changed", is_flag=True, help="Compare with the images that there are: what is to be built, and why.")
@comparing.against("registry")
@options.form("text", "json")
def plan(
    file: str | None,
    targets: tuple[str, ...],
    family: str | None,
    image: str | None,
    changed: bool,
    against: str | None,
    form: str,
) -> None:
    """Show what would be built: targets, their parents and packages.

    TARGETS are names or globs; without any, everything is shown. Writes nothing.

    With --changed, each image is compared with the one in the registry by the labels that say what it is made of:
    it is up to date, to be built and why, or to be tagged, if the same is there under another version.
    """
    from orbiter.plan import as_data, as_text, restrict

    planned = options.planned(file)
    patterns = options.patterns(planned, targets, family, image)
    shown = restrict(planned.plan, patterns) if patterns else planned.plan
    if not (changed or against):
        if form == "json":
            console.print_json(as_data(shown))
        else:
            click.echo(as_text(shown))
        return
    from orbiter import changes, pipeline

    where = comparing.places(planned, registry=against != "engine")
    verdicts = comparing.verdicts(planned, shown, pipeline.render(planned), where)
    if form == "json":
        data = as_data(shown)
        told = {each.pop("name"): each for each in changes.as_data(verdicts)}
        console.print_json({**data, "targets": [{**each, "changed": told[each["name"]]} for each in data["targets"]]})
    else:
        click.echo(changes.as_text(verdicts))
