"""`orbiter verify`: does building twice give the same image, bit for bit?"""

import os
import sys
from pathlib import Path

import click

from orbiter.commands import console, options
from orbiter.errors import CheckFailed, UsageError


@click.command(
    epilog=options.EXAMPLES + "  orbiter verify                         every published image, built twice\n"
    "  orbiter verify 'debian-*' --format json\n"
    "  orbiter verify --write digests.json    for another machine\n"
    "  orbiter verify --against digests.json  there: built once, and compared\n"
    "  orbiter verify --keep /tmp/images      keep them, to compare files later\n"
    "  TMPDIR=/mnt orbiter verify             where there is more room"
)
@options.file
@options.selection
@click.option(
    "--against",
    type=click.Path(exists=True, path_type=Path),
    metavar="PLACE",
    help="Build once, and compare with a file of --write or a folder of --keep.",
)
@click.option(
    "--write", type=click.Path(dir_okay=False, path_type=Path), help="Write the digests of all layers to a JSON file."
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the images there, an OCI layout each; the folder has to be new or empty.",
)
@click.option("--builder", metavar="NAME", help="Buildx builder to use (docker buildx ls).")
@click.option(
    "--platform", "platforms", multiple=True, metavar="OS/ARCH", help="Build for this platform; several are possible."
)
@click.option(
    "--set", "overrides", multiple=True, metavar="TARGET.KEY=VALUE", help="Override a value of the bake file."
)
@click.option("--allow", multiple=True, metavar="WHAT", help="Let the build have it, as Buildx asks for it.")
@options.form("text", "json")
def verify(
    file: str | None,
    targets: tuple[str, ...],
    family: str | None,
    image: str | None,
    against: Path | None,
    write: Path | None,
    keep: Path | None,
    builder: str | None,
    platforms: tuple[str, ...],
    overrides: tuple[str, ...],
    allow: tuple[str, ...],
    form: str,
) -> None:
    """Build images twice from nothing and compare them, bit for bit.

    No layer and no cache mount is reused, all files bear the date of the lock at most. Where two builds differ, the
    layer, its instruction and the files are named, with what differs. Nothing is loaded or pushed; the images, all of
    them once, need room in a temporary folder, which is removed. Ends with 1 if anything differs.
    """
    from orbiter import building, output, verification, verifying
    from orbiter.bake import BakeOptions
    from orbiter.engine import Buildx
    from orbiter.lock import installs
    from orbiter.origins import last, origins
    from orbiter.plan import restrict, select

    planned = options.planned(file)
    chosen = select(planned.plan, options.patterns(planned, targets, family, image))
    plan = restrict(planned.plan, chosen)
    groups = {group.name: group.targets for group in planned.plan.groups}
    named = {target for name in chosen for target in groups.get(name, (name,))}
    wanted = [target.name for target in plan.targets if target.name in named and target.image.deployable]
    if not wanted:
        raise UsageError(f"{', '.join(chosen)}: a nested build is not published, so there is no image to verify")
    if write and not write.parent.is_dir():
        raise UsageError(f"--write {write}: there is no folder {write.parent}")
    epoch = verifying.epoch(planned.lock, os.environ)
    other = verifying.reference(against, wanted, epoch) if against else None
    if loose := [target.name for target in plan.targets if installs(target.image) and not target.stage.pins]:
        console.say(f"not locked, so versions may change between two builds: {', '.join(loose)}", colour="yellow")
    files, _ = options.compiled(planned)
    job = building.Job(
        planned=planned,
        plan=plan,
        wanted=tuple(wanted),
        files=files,
        options=BakeOptions(
            builder=builder,
            platforms=options.split_platforms(platforms),
            set=(*building.copied_labels(planned, plan), *overrides),
            allow=allow,
            revision=options.revision(planned.config.parent),
        ),
        listens=not sys.stderr.isatty(),
    )
    engine = Buildx()
    with verifying.room(keep) as folder:
        console.say(f"SOURCE_DATE_EPOCH={epoch}; {verifying.free(folder)} are free in {folder}")
        first = verifying.build(job, wanted, folder, epoch, engine, console.say)
        if other:
            verdicts = verifying.verdicts(other.builds, first, other.folder, folder)
        else:
            # In another order, as far as Buildx minds it.
            again = verifying.build(job, wanted[::-1], folder, epoch, engine, console.say)
            verdicts = verifying.verdicts(first, again, folder, folder)
        if write:
            output.replace(write, verification.dump(first, epoch).encode())
        places = last(origins(plan, planned.document, files))
        if form == "json":
            console.print_json(verification.as_data(verdicts, epoch, places))
        else:
            click.echo(verification.as_text(verdicts, places))
    different = sum(not verdict.identical for verdict in verdicts)
    if different:
        raise CheckFailed(f"{different} of {len(verdicts)} images differ")
    console.say("all identical, bit for bit", colour="green")
