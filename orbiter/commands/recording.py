"""`orbiter lock --record`: what of the distribution the built images have, into the lock or compared with it."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from orbiter.commands import console
from orbiter.errors import CheckFailed, EngineError, UsageError

if TYPE_CHECKING:
    from orbiter.lock import Lock, System
    from orbiter.pipeline import Planned


def record(planned: "Planned", patterns: Sequence[str], *, check: bool, form: str) -> None:
    """Asks the images that the patterns name; writes what they have, or compares it. Raises CheckFailed."""
    from orbiter import lock as locks
    from orbiter import lockdiff, output

    place = planned.config.parent / locks.FILE
    if planned.lock is None:
        raise UsageError(f"{place} is not there; run 'orbiter lock' first")
    found = dict(_ask_engine(planned, patterns))
    if not found:
        raise EngineError("nothing to record; 'orbiter build --load' puts the images into the engine")
    new = _with(planned, planned.lock, found)
    before = locks.Lock(system={name: each for name, each in planned.lock.system.items() if name in found})
    changed = lockdiff.difference(before, locks.Lock(system=found))
    if form == "json":
        console.print_json({"asked": list(found), **lockdiff.as_data(changed)})
    elif changed:
        click.echo(lockdiff.as_text(changed))
    if check:
        if changed:
            raise CheckFailed(f"{place} has other versions; 'orbiter lock --record' records those of the images")
        console.say(f"{place}: the images have what it has recorded", colour="green")
        return
    if new != planned.lock:
        output.replace(place, locks.dump(new).encode())
    console.say(f"{place}: {'written' if new != planned.lock else 'nothing to do'}")


def _with(planned: "Planned", lock: "Lock", found: "Mapping[str, System]") -> "Lock":
    published = {target.name for target in planned.plan.targets if target.image.deployable}
    kept = {name: each for name, each in lock.system.items() if name in published}
    return replace(lock, system={**kept, **found})


def _ask_engine(planned: "Planned", patterns: Sequence[str]) -> "Iterator[tuple[str, System]]":
    """Target and what its image has; images that are missing, or not what the configuration gives, are said."""
    from orbiter import content, images, installed, inventory, pipeline
    from orbiter.engine import Buildx
    from orbiter.plan import select

    plan, engine = planned.plan, Buildx()
    wanted = content.hashes(plan, pipeline.render(planned))
    targets = images.selected(plan, select(plan, patterns))

    def ask(reference: str) -> installed.Installed | None:
        try:
            return installed.parse(*inventory.contents(engine, reference))
        except EngineError as error:
            if "No such image" not in str(error):
                raise
            return None

    references = [plan.project.reference(target.name) for target in targets]
    with ThreadPoolExecutor(max_workers=4) as pool:
        for target, reference, has in zip(targets, references, pool.map(ask, references), strict=True):
            if has is None:
                problem = "not in the engine"
            elif has.labels.get(content.LABEL) != wanted[target.name]:
                problem = "not what the configuration gives now; build it"
            elif has.system is None:
                problem = "has no packages of apt or apk"
            else:
                yield target.name, has.system
                continue
            console.say(f"{reference}: {problem}", colour="yellow")
