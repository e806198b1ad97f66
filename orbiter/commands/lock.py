"""`orbiter lock`: every environment and base image, pinned."""

from typing import TYPE_CHECKING

import click

from orbiter.commands import console, options
from orbiter.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from orbiter.pipeline import Planned


@click.command(
    epilog=options.EXAMPLES + "  orbiter lock                        resolve what is new or changed\n"
    "  orbiter lock --check                in CI: does it fit the configuration?\n"
    "  orbiter lock --upgrade              the newest that the configuration allows\n"
    "  orbiter lock --upgrade numpy pandas  of these packages only\n"
    "  orbiter lock --image debian-base    only of this, and what stands on it"
)
@options.file
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--check", is_flag=True, help="Resolve and write nothing; end with 1 if the lock is stale.")
@click.option("--upgrade", is_flag=True, help="Take newer versions: of the packages NAME, or of all.")
@click.option(
    "--image", "images", multiple=True, metavar="TARGET", help="Upgrade in these targets only (name or glob)."
)
@click.option("--offline", is_flag=True, help="Ask no index: use what is cached.")
@options.form("text", "json")
def lock(
    file: str | None,
    names: tuple[str, ...],
    check: bool,
    upgrade: bool,
    images: tuple[str, ...],
    offline: bool,
    form: str,
) -> None:
    """Pin packages and base images in orbiter.lock.

    Python, conda and Node packages by version and hash, images from elsewhere and their tools by digest.
    What fits the configuration is kept; what is new or changed is resolved, and what stands on it. A stacked image is
    resolved under its parent's versions. Nothing is written unless everything has a solution.
    """
    from orbiter import lock as locks
    from orbiter import lockdiff, output, pipeline
    from orbiter.engine import Resolvers
    from orbiter.locking.update import Wish
    from orbiter.plan import select

    if names and not upgrade:
        raise UsageError(f"{' '.join(names)}: names of packages go with --upgrade")
    planned = options.planned(file, quiet=True)
    if check:
        return _check(planned, form)
    wish = Wish(
        upgrade=frozenset(names) if upgrade else None,
        targets=select(planned.plan, images) if images else None,
        offline=offline,
    )
    old = planned.lock or locks.Lock()
    updated = pipeline.make_lock(planned, wish, Resolvers(), console.say)
    changed = lockdiff.difference(old, updated.lock)
    place = planned.config.parent / locks.FILE
    if planned.lock != updated.lock:
        output.replace(place, locks.dump(updated.lock).encode())
    for target, packages in updated.compiled.items():
        console.say(f"{target}: no wheel, so compiled in every build: {', '.join(packages)}", colour="yellow")
    if form == "json":
        console.print_json({"resolved": updated.resolved, "compiled": updated.compiled, **lockdiff.as_data(changed)})
    elif changed:
        click.echo(lockdiff.as_text(changed))
    console.say(f"{place}: {'written' if planned.lock != updated.lock else 'nothing to do'}")


def _check(planned: "Planned", form: str) -> None:
    from orbiter import lock as locks
    from orbiter import pipeline

    stale = locks.stale(planned.plan.project, planned.lock or locks.Lock())
    missing = pipeline.unpinned(planned)
    if form == "json":
        console.print_json({"fits": not (stale or missing), "stale": stale, "unpinned": missing})
    elif planned.lock is not None:
        for name in (*stale, *missing):
            click.echo(f"{name}: not in {locks.FILE} as the configuration wants it")
    if planned.lock is None and (stale or missing):
        raise CheckFailed(f"there is no {locks.FILE}; run 'orbiter lock'")
    if stale or missing:
        raise CheckFailed(f"{locks.FILE} is stale; run 'orbiter lock'")
    console.say(f"{locks.FILE} fits the configuration", colour="green")
