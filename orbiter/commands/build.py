"""`orbiter build`: compile, then bake."""

import click

from orbiter.commands import console, options
from orbiter.errors import UsageError


@click.command(
    epilog=options.EXAMPLES + "  orbiter build                           everything\n"
    "  orbiter build debian-base 'alpine-*'    by name or glob\n"
    "  orbiter build -b debian -i base         as in the original tool\n"
    "  orbiter build --push                    published images go to the registry\n"
    "  orbiter build --set '*.pull=true'      any override that bake knows"
)
@options.file
@options.selection
@click.option("--push", is_flag=True, help="Push the published images to the registry.")
@click.option("--load", is_flag=True, help="Load the published images into the engine.")
@click.option("--builder", metavar="NAME", help="Buildx builder to use (docker buildx ls).")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="OS/ARCH",
    help="Build for this platform; several are possible.",
)
@click.option("--no-cache", is_flag=True, help="Run every step again.")
@click.option(
    "--set", "overrides", multiple=True, metavar="TARGET.KEY=VALUE", help="Override a value of the bake file."
)
@click.option("--progress", type=click.Choice(["auto", "plain", "tty", "quiet", "rawjson"]), help="Buildx's progress.")
def build(
    file: str | None,
    targets: tuple[str, ...],
    family: str | None,
    image: str | None,
    push: bool,
    load: bool,
    builder: str | None,
    platforms: tuple[str, ...],
    no_cache: bool,
    overrides: tuple[str, ...],
    progress: str | None,
) -> None:
    """Compile, then build with Docker Buildx.

    TARGETS are names or globs of images; without any, every published image is built. What they need is built
    with them.
    """
    from orbiter import output, pipeline
    from orbiter.blame import blame
    from orbiter.engine import BakeOptions, BuildFailed, Buildx
    from orbiter.plan import select

    if push and load:
        raise UsageError("--push and --load exclude each other: build twice, the second time comes from the cache")
    planned = options.planned(file)
    chosen = select(planned.plan, options.patterns(planned, targets, family, image))
    files = pipeline.render(planned)
    changes = output.compare(files, planned.config.parent)
    output.write(changes, planned.config.parent)
    if changes:
        console.say(output.summary(changes, wrote=True))
    bake = BakeOptions(
        push=push,
        load=load,
        no_cache=no_cache,
        builder=builder,
        platforms=tuple(name for given in platforms for name in given.split(",") if name),
        set=overrides,
        progress=progress,
    )
    try:
        Buildx().bake(planned.config.parent, chosen, bake)
    except BuildFailed as error:
        finding = blame(planned.plan, planned.document, files, error.failures)
        if finding:
            console.say(str(finding), colour="red")
        raise
