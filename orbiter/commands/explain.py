"""`orbiter explain`: why a target is to be built."""

import click

from orbiter.commands import comparing, console, options


@click.command(
    epilog=options.EXAMPLES + "  orbiter explain debian-geospatial\n"
    "  orbiter explain debian-geospatial --against engine\n"
    "  orbiter explain debian-base --format json | jq -r '.[].causes[].text'"
)
@options.file
@options.selection
@comparing.against("registry")
@options.form("text", "json")
def explain(
    file: str | None,
    targets: tuple[str, ...],
    family: str | None,
    image: str | None,
    against: str | None,
    form: str,
) -> None:
    """Show why images are to be built again.

    The chain leads from the image over its parents to what changed, with file and line of the configuration. It is
    told by labels of the image in the registry (--against engine: here); 'orbiter plan --changed' has all in a table.
    TARGETS are names or globs; without any, every published image is explained.
    """
    from orbiter import causes, pipeline
    from orbiter.plan import restrict, select

    planned = options.planned(file)
    chosen = select(planned.plan, options.patterns(planned, targets, family, image))
    groups = {group.name: group.targets for group in planned.plan.groups}
    names = tuple(dict.fromkeys(name for each in chosen for name in groups.get(each, (each,))))
    nests = {target.image.nested: target.name for target in planned.plan.targets}
    # What a nested build is made of is told by the image around it.
    plan = restrict(planned.plan, [*names, *(nests[name] for name in names if name in nests)])
    where = comparing.places(planned, registry=against != "engine")
    verdicts = comparing.verdicts(planned, plan, pipeline.render(planned), where)
    found = {name: causes.causes(plan, planned.document, verdicts, name) for name in names}
    if form == "json":
        console.print_json([causes.as_data(name, verdicts[name].state, told) for name, told in found.items()])
        return
    for name, told in found.items():
        click.echo(causes.as_text(name, verdicts[name].state, told))
