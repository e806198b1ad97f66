"""What the engine and registries have, asked of Docker; and the removal of what may go."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from orbiter import images, installed
from orbiter.engine import Engine
from orbiter.errors import EngineError
from orbiter.images import LocalImage, Published
from orbiter.removal import Container, Doomed

_GONE = re.compile(r"No such|NotFound|not found")
"""How Docker says that something went away since it was listed: another command removes things, too."""

_AT_ONCE = 8
_ATTEMPTS = 3
_REGISTRY_TIMEOUT = 20.0
_CACHE_TIMEOUT = 30.0


def local_images(engine: Engine, *filters: str, histories: bool = False) -> tuple[LocalImage, ...]:
    """The images that pass all filters (`docker image ls --filter`), with their last step if `histories`."""
    for attempt in range(_ATTEMPTS):
        try:
            return _local_images(engine, filters, histories=histories)
        except EngineError as error:
            if not _GONE.search(str(error)) or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def _local_images(engine: Engine, filters: Sequence[str], *, histories: bool) -> tuple[LocalImage, ...]:
    chosen = [word for each in filters for word in ("--filter", each)]
    sizes = images.parse_list(engine.ask("image", "ls", "--no-trunc", "--format", "json", *chosen))
    if not sizes:
        return ()
    found = images.parse_inspect(engine.ask("image", "inspect", *sizes), sizes)
    if not histories:
        return found

    def with_history(image: LocalImage) -> LocalImage:
        told = engine.ask("history", "--no-trunc", "--format", "json", image.id)
        return replace(image, last_step=images.parse_last_step(told))

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return tuple(pool.map(with_history, found))


def containers(engine: Engine) -> tuple[Container, ...]:
    """All containers, whoever's they are."""
    identities = engine.ask("ps", "--all", "--quiet", "--no-trunc").split()
    return tuple(_containers(engine, identities))


def _containers(engine: Engine, identities: Sequence[str]) -> Iterator[Container]:
    if not identities:
        return
    try:
        told = engine.ask("container", "inspect", *identities)
    except EngineError as error:
        if not _GONE.search(str(error)):
            raise
        # One went away: ask for each alone, and leave out those that are gone.
        if len(identities) > 1:
            for identity in identities:
                yield from _containers(engine, [identity])
        return
    for each in json.loads(told):
        yield Container(
            id=each["Id"],
            name=each["Name"].removeprefix("/"),
            image=each["Image"],
            state=each["State"]["Status"],
            labels=each["Config"].get("Labels") or {},
        )


def published(engine: Engine, references: Iterable[str]) -> Mapping[str, Published]:
    """What the registries have under these references; one that does not answer is a problem, not an error."""

    def ask(reference: str) -> Published:
        question = ("buildx", "imagetools", "inspect", "--format", "{{json .}}", reference)
        try:
            return images.parse_published(engine.ask(*question, timeout=_REGISTRY_TIMEOUT))
        except EngineError as error:
            problem = str(error).rpartition("ERROR: ")[2]
            return Published(problem=None if problem.endswith(": not found") else problem)

    wanted = list(references)
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return dict(zip(wanted, pool.map(ask, wanted), strict=True))


def contents(engine: Engine, reference: str) -> tuple[str, str]:
    """What Docker and the image itself say of its contents, for `installed.parse`. An image that is not in the engine
    is an EngineError."""
    inspected = engine.ask("image", "inspect", reference)
    run = ("run", "--rm", "--pull=never", "--network=none", "--entrypoint=sh", reference)
    return inspected, engine.ask(*run, "-c", installed.PROBE)


def remove(engine: Engine, doomed: Iterable[Doomed]) -> tuple[str, ...]:
    """Removes them, and returns what Docker refused, in its words. What is something else by now is left alone."""
    return tuple(problem for each in doomed for problem in _remove(engine, each))


def _remove(engine: Engine, each: Doomed) -> Iterator[str]:
    try:
        if each.kind == "container":
            engine.ask("rm", each.id)
        elif engine.ask("image", "inspect", "--format", "{{.Id}}", each.name).strip() == each.id:
            engine.ask("image", "rm", "--no-prune", each.name)
        else:
            yield f"{each.name}: is another image by now, so it stays"
    except EngineError as error:
        if not _GONE.search(str(error)):
            yield f"{each.name}: {error}"


def build_cache(engine: Engine) -> str:
    """Size of the current builder's cache, as Buildx writes it; empty if there is none or it cannot tell."""
    try:
        table = engine.ask("buildx", "du", timeout=_CACHE_TIMEOUT)
    except EngineError:
        return ""
    return images.parse_cache(table)
