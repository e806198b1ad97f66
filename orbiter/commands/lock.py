"""`orbiter lock`: every environment and base image, pinned."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orbiter.commands import console, options
from orbiter.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from orbiter.locking.solving import Wish
    from orbiter.pipeline import Planned


@click.command(
    epilog=options.EXAMPLES + "  orbiter lock                        resolve what is new or changed\n"
    "  orbiter lock --check                in CI: does it fit the configuration?\n"
    "  orbiter lock --upgrade              the newest that the configuration allows\n"
    "  orbiter lock --upgrade numpy pandas  of these packages only\n"
    "  orbiter lock --upgrade debian:trixie-slim   of this base image only\n"
    "  orbiter lock --upgrade --image debian-base  of it and what stands on it\n"
    "  orbiter lock --record               after a build: its apt or apk packages\n"
    "  orbiter lock --record --check       in CI: have the images those still?"
)
@options.file
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--check", is_flag=True, help="Resolve and write nothing; end with 1 if the lock is stale.")
@click.option("--upgrade", is_flag=True, help="Take newer versions: of the packages or base images NAME, or of all.")
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="TARGET",
    help="Upgrade or record these targets, and what stands on them, only (name or glob).",
)
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="OS/ARCH",
    help="Lock images without platforms of their own for these, from now on.",
)
@click.option("--record", is_flag=True, help="Resolve nothing: note the system packages of the images in the engine.")
@click.option("--offline", is_flag=True, help="Ask no index: use what is cached.")
@options.form("text", "json")
def lock(
    file: str | None,
    names: tuple[str, ...],
    check: bool,
    upgrade: bool,
    images: tuple[str, ...],
    platforms: tuple[str, ...],
    record: bool,
    offline: bool,
    form: str,
) -> None:
    """Pin packages and base images in orbiter.lock.

    Python, conda and Node packages by version and hash, images from elsewhere and their tools by digest.
    What fits the configuration is kept; what is new or changed is resolved, and what stands on it. A stacked image is
    resolved under its parent's versions. Nothing is written unless everything has a solution.

    Packages of apt and apk are not resolved. --record notes the versions that the last build installed, to compare;
    mirrors.apt pins them where it names an archive of one day.
    """
    from orbiter import lock as locks
    from orbiter import lockdiff, output, pipeline
    from orbiter.resolvers import Resolvers

    if names and not upgrade:
        raise UsageError(f"{' '.join(names)}: names of packages go with --upgrade")
    if record:
        from orbiter.commands.recording import record as ask_images

        if upgrade or offline or platforms:
            raise UsageError("--record asks built images, and resolves nothing")
        return ask_images(options.planned(file, quiet=True), images, check=check, form=form)
    if check:
        if upgrade or images or platforms:
            raise UsageError("--check only looks: --upgrade, --image and --platform are for a lock that is written")
        return _check(options.planned(file, quiet=True), form)
    config = pipeline.find(options.given(file), Path())
    place = config.parent / locks.FILE
    with output.alone(config, lambda: console.say("another 'orbiter lock' is at work here; waiting for it")):
        planned = options.planned(file, quiet=True)
        wish = _wish(planned, names if upgrade else None, images, platforms, offline=offline)
        output.check_replaceable(place)
        with Resolvers() as tools:
            updated = pipeline.make_lock(planned, wish, tools, console.say)
        changed = lockdiff.difference(planned.lock or locks.Lock(), updated.lock)
        if planned.lock != updated.lock:
            output.replace(place, locks.dump(updated.lock).encode())
    for target, packages in updated.compiled.items():
        loose = "" if updated.lock.targets[target].build else "; what they are built with is not locked"
        console.say(f"{target}: no wheel, so compiled in every build: {', '.join(packages)}{loose}", colour="yellow")
    for target, packages in updated.yanked.items():
        console.say(f"{target}: yanked by its authors: {', '.join(packages)}", colour="yellow")
    if form == "json":
        told = {"resolved": updated.resolved, "compiled": updated.compiled, "yanked": updated.yanked}
        console.print_json({**told, **lockdiff.as_data(changed)})
    elif changed:
        click.echo(lockdiff.as_text(changed))
    console.say(f"{place}: {'written' if planned.lock != updated.lock else 'nothing to do'}")


def _wish(
    planned: "Planned",
    names: tuple[str, ...] | None,
    images: tuple[str, ...],
    platforms: tuple[str, ...],
    *,
    offline: bool,
) -> "Wish":
    from orbiter import lock as locks
    from orbiter import pipeline
    from orbiter.locking.solving import Wish
    from orbiter.locking.update import known

    wanted = options.split_platforms(platforms)
    for platform in wanted:
        if not re.fullmatch("linux/[a-z0-9_]+(/[a-z0-9_.]+)?", platform):
            raise UsageError(f"--platform: '{platform}' is no platform of images; write for example linux/arm64")
    return Wish(
        upgrade=known(planned.lock or locks.Lock(), names) if names is not None else None,
        targets=frozenset(pipeline.lockable(planned, images)) if images else None,
        platforms=wanted or None,
        offline=offline,
    )


def _check(planned: "Planned", form: str) -> None:
    from orbiter import lock as locks
    from orbiter import pipeline

    stale, missing = pipeline.unlocked(planned)
    if form == "json":
        console.print_json({"fits": not (stale or missing), "stale": list(stale), "unpinned": list(missing)})
    elif planned.lock is not None:
        for target, why in stale.items():
            click.echo(f"{target}: {why}")
        for reference in missing:
            click.echo(f"{reference}: not pinned")
    if stale or missing:
        raise CheckFailed(f"{locks.FILE} {'is stale' if planned.lock else 'is missing'}; run 'orbiter lock'")
    console.say(f"{locks.FILE} fits the configuration", colour="green")
