"""`orbiter build`: compile, then bake."""

import sys
from pathlib import Path

import click

from orbiter.commands import console, options
from orbiter.errors import UsageError


@click.command(
    epilog=options.EXAMPLES + "  orbiter build                           everything\n"
    "  orbiter build debian-base 'alpine-*'    by name or glob\n"
    "  orbiter build -b debian -i base         as in the original tool\n"
    "  orbiter build --push                    published images go to the registry\n"
    "  orbiter build --keep-going              what a failure leaves possible\n"
    "  orbiter build --no-deps debian-base     on its parents as they are published\n"
    "  orbiter build --report build.html       a page: what took how long, and why\n"
    "  orbiter build --format json | jq '.targets[] | [.name, .result, .seconds]'\n"
    "  orbiter build --set '*.pull=true'       any override that bake knows"
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
@click.option("--no-deps", is_flag=True, help="Take parents as they are published; the nested build is made anew.")
@click.option("-k", "--keep-going", is_flag=True, help="After a failure, build all that does not need what failed.")
@click.option(
    "--set", "overrides", multiple=True, metavar="TARGET.KEY=VALUE", help="Override a value of the bake file."
)
@click.option(
    "--allow", multiple=True, metavar="WHAT", help="Let the build have it, as Buildx asks for it (fs.read=DIR)."
)
@click.option(
    "--progress",
    type=click.Choice(["auto", "plain", "tty", "quiet", "rawjson"]),
    help="Buildx's progress  [default: its own on a terminal, else a line a step].",
)
@click.option("--metadata", type=click.Path(dir_okay=False, path_type=Path), help="Write the result to a JSON file.")
@click.option(
    "--report",
    "reports",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page about the build (FILE.html), or its data (FILE.json), also if it fails.",
)
@options.form("text", "json")
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
    no_deps: bool,
    keep_going: bool,
    overrides: tuple[str, ...],
    allow: tuple[str, ...],
    progress: str | None,
    metadata: Path | None,
    reports: tuple[Path, ...],
    form: str,
) -> None:
    """Compile, then build with Docker Buildx.

    TARGETS are names or globs of images; without any, every published image is built. What they need is built
    with them. At the end a table says what came of each: built, cached, failed or not reached.
    """
    from orbiter import building, output, pipeline, report, reporting
    from orbiter.engine import BakeOptions, BuildFailed, Buildx
    from orbiter.plan import restrict, select, without_parents

    if push and load:
        raise UsageError("--push and --load exclude each other: build twice, the second time comes from the cache")
    if metadata and not metadata.parent.is_dir():
        raise UsageError(f"--metadata {metadata}: there is no folder {metadata.parent}")
    reporting.check(reports)
    planned = options.planned(file)
    chosen = select(planned.plan, options.patterns(planned, targets, family, image))
    if no_deps:
        plan, published = without_parents(planned.plan, chosen)
    else:
        plan, published = restrict(planned.plan, chosen), ()
    files = pipeline.render(planned)
    changes = output.compare(files, planned.config.parent)
    output.write(changes, planned.config.parent)
    if changes:
        console.say(output.summary(changes, wrote=True))
    job = building.Job(
        planned=planned,
        plan=plan,
        wanted=chosen,
        files=files,
        options=BakeOptions(
            push=push,
            load=load,
            no_cache=no_cache,
            builder=builder,
            platforms=tuple(name for given in platforms for name in given.split(",") if name),
            set=(*published, *overrides),
            allow=allow,
            progress=progress,
        ),
        keep_going=keep_going,
        listens=progress is None and not sys.stderr.isatty(),
        reports=bool(reports),
    )
    made, error = building.run(job, Buildx(), console.say)
    if reports:
        try:
            reporting.write(reports, made, error, job, (*changes.created, *changes.updated), Buildx())
        except UsageError as problem:
            if not error:
                raise
            console.say(f"orbiter: {problem}", colour="red")
    if error and not isinstance(error, BuildFailed):
        raise error  # nothing was built, or nobody waits for a table
    if metadata:
        building.write_metadata(made, metadata)
    if form == "json":
        console.print_json(report.as_data(made))
    else:
        if not job.listens:
            console.say("")  # below the last line of Buildx's
        click.echo(report.as_text(made))
    if error:
        raise error
