"""`orbiter build`: compile, then bake."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orbiter.commands import comparing, console, options
from orbiter.errors import UsageError

if TYPE_CHECKING:
    from orbiter.pipeline import Planned

AT_ONCE = 50
"""Targets in one call of bake: docs/performance.md has the measurements."""


@click.command(
    epilog=options.EXAMPLES + "  orbiter build                           everything\n"
    "  orbiter build debian-base 'alpine-*'    by name or glob\n"
    "  orbiter build -b debian -i base         as in the original tool\n"
    "  orbiter build --push                    published images go to the registry\n"
    "  orbiter build --keep-going              what a failure leaves possible\n"
    "  orbiter build --changed --push          only what the registry lacks\n"
    "  orbiter build --no-deps debian-base     on its parents as they are published\n"
    "  orbiter build --report build.html       a page: what took how long, and why\n"
    "  orbiter build --format json | jq '.targets[] | [.name, .result, .seconds]'\n"
    "  orbiter build --set '*.pull=true'       any override that bake knows"
)
@options.file
@options.selection
@click.option("--push", is_flag=True, help="Push the published images to the registry.")
@click.option(
    "--reproducible", is_flag=True, help="Push what 'orbiter verify' finds: no file is younger than the lock."
)
@click.option("--load", is_flag=True, help="Load the published images into the engine.")
@click.option("--builder", metavar="NAME", help="Buildx builder to use (docker buildx ls).")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="OS/ARCH",
    help="Build for this platform; several are possible.",
)
@click.option("--sbom", is_flag=True, help="Have the builder attach a list of what it finds in each image.")
@click.option(
    "--provenance", type=click.Choice(["min", "max", "off"]), help="Have the builder attach how each image was made."
)
@click.option("--no-cache", is_flag=True, help="Run every step again.")
@click.option("--no-deps", is_flag=True, help="Take parents as they are published; the nested build is made anew.")
@click.option("--changed", is_flag=True, help="Build only what is not there as the configuration has it.")
@comparing.against("registry with --push, else engine")
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
@click.option(
    "--at-once",
    type=click.IntRange(0),
    default=AT_ONCE,
    show_default=True,
    metavar="NUMBER",
    help="Targets that one call of bake gets; more are built in waves, and what fails stops only what needs it.",
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
@options.locked
@options.form("text", "json")
def build(
    file: str | None,
    targets: tuple[str, ...],
    family: str | None,
    image: str | None,
    push: bool,
    reproducible: bool,
    load: bool,
    builder: str | None,
    platforms: tuple[str, ...],
    sbom: bool,
    provenance: str | None,
    no_cache: bool,
    no_deps: bool,
    changed: bool,
    against: str | None,
    keep_going: bool,
    overrides: tuple[str, ...],
    allow: tuple[str, ...],
    progress: str | None,
    at_once: int,
    metadata: Path | None,
    locked: bool,
    reports: tuple[Path, ...],
    form: str,
) -> None:
    """Compile, then build with Docker Buildx.

    TARGETS are names or globs of images; without any, every published image is built. What they need is built
    with them. At the end a table says what came of each: built, cached, failed or not reached.

    With --changed, what is there already as the configuration has it is not built: with --push it is taken from the
    registry by digest and only tagged where the version is a new one. 'orbiter plan --changed' shows it before.
    """
    from orbiter import building, report, reporting, verifying
    from orbiter.bake import BakeOptions
    from orbiter.changes import Verdicts, remaining
    from orbiter.engine import BuildFailed, Buildx
    from orbiter.plan import restrict, select, without_parents
    from orbiter.survey import tag

    if push and load:
        raise UsageError("--push and --load exclude each other: build twice, the second time comes from the cache")
    if reproducible and not push:
        raise UsageError("--reproducible is about what is pushed: add --push, or try 'orbiter verify'")
    if metadata and not metadata.parent.is_dir():
        raise UsageError(f"--metadata {metadata}: there is no folder {metadata.parent}")
    changed = changed or against is not None
    if changed and (no_cache or no_deps):
        raise UsageError("--changed builds what is not there yet; --no-cache and --no-deps contradict it")
    if push and against == "engine":
        raise UsageError("--push compares with the registry, which is to have the images; leave out --against engine")
    reporting.check(reports)
    planned = options.planned(file)
    if locked:
        options.require_lock(planned)
    chosen = select(planned.plan, options.patterns(planned, targets, family, image))
    if no_deps:
        plan, published = without_parents(planned.plan, chosen)
    else:
        plan, published = restrict(planned.plan, chosen), ()
    dated: tuple[str, ...] = ()
    if reproducible:
        dated = verifying.dated(plan, verifying.epoch(planned.lock, os.environ))
        provenance = provenance or "off"  # it tells the time of the build
    revision = options.revision(planned.config.parent)
    files, changes = options.compiled(planned)
    options.mention_lock(planned)
    asked = options.split_platforms(platforms)
    verdicts: Verdicts = {}
    if changed:
        where = comparing.places(planned, registry=push or against == "registry", push=push)
        verdicts = comparing.verdicts(planned, plan, files, where, builder, asked)
        verdicts, chosen = building.changed(plan, verdicts, chosen)
        plan, published = remaining(plan, chosen, verdicts, published=where.registry is not None)
        if push or not where.registry:
            tag(verdicts, where)
    job = building.Job(
        planned=planned,
        plan=plan,
        wanted=chosen,
        files=files,
        options=BakeOptions(
            push=push,
            dated=reproducible,
            load=load,
            no_cache=no_cache,
            builder=builder,
            platforms=asked,
            set=(*published, *dated, *building.copied_labels(planned, plan), *overrides),
            allow=allow,
            progress=progress,
            sbom=_scanner(planned) if sbom else None,
            provenance={"off": "false", None: None}.get(provenance, f"mode={provenance}"),
            revision=revision,
        ),
        keep_going=keep_going,
        at_once=at_once,
        listens=progress is None and not sys.stderr.isatty(),
        reports=bool(reports),
    )
    made, error = building.run(job, Buildx(), console.say)
    made = building.with_ready(planned.plan, verdicts, made)
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
        if not job.listens and chosen:
            console.say("")  # below the last line of Buildx's
        click.echo(report.as_text(made))
    if error:
        raise error


def _scanner(planned: "Planned") -> str:
    """What Buildx is told of the image that looks through the others: `true`, or where the mirrors have it."""
    from orbiter.plan import mirrored

    public = "docker/buildkit-syft-scanner:stable-1"
    place = mirrored(planned.plan.project.mirrors, public)
    return "true" if place == public else f"generator={place}"
