"""Asks a registry for caches, and has an empty builder build from them: `orbiter cache` without its options."""

import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orbiter import buildkit, cachecheck, caching, logins, registry
from orbiter.bake import BakeOptions
from orbiter.cachecheck import Base, Checked, Found
from orbiter.caching import Ref
from orbiter.engine import BuildFailed, Engine
from orbiter.errors import EngineError, UsageError
from orbiter.model import BuildPlan
from orbiter.pipeline import Planned
from orbiter.plan import mirrored
from orbiter.progress import Progress
from orbiter.registry import Manifest
from orbiter.web import Registry

_AT_ONCE = 8
_OFF = ("", "0", "false")
"""Values of CACHE_WRITE with which the bake file writes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The cache as bake would use it now: the environment's variables come before the configuration."""

    repository: str
    branch: str
    writes: bool


def settings(plan: BuildPlan) -> Settings:
    """Raises UsageError if there is no registry cache."""
    cache = plan.project.cache
    repository = os.environ.get("CACHE_REPO", cache.registry or "")
    if not repository:
        raise UsageError("no registry cache: neither 'cache.registry' in the configuration nor the variable CACHE_REPO")
    writes = os.environ.get("CACHE_WRITE", "0" if cache.read_only else "1") not in _OFF
    return Settings(repository=repository, branch=os.environ.get("CACHE_BRANCH", ""), writes=writes)


def connect(repository: str, plan: BuildPlan, folder: Path, *, retries: int = 3) -> Registry:
    """The repository, with Docker's login for its registry and the project's CA."""
    at = registry.place(repository)
    ca = plan.project.mirrors.ca
    return Registry(at, login=logins.kept(at.host), ca=folder / ca if ca else None, retries=retries)


def listed(asked: Registry, targets: Iterable[str]) -> tuple[tuple[Ref, ...], Mapping[str, str]]:
    """The caches of the targets, and the digests of all tags of the repository."""
    names = list(targets)
    tags = asked.tags()
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        manifests = dict(zip(tags, pool.map(asked.manifest, tags), strict=True))
    there = {tag: manifest for tag, manifest in manifests.items() if manifest}
    refs = (caching.ref(tag, manifest, names) for tag, manifest in there.items())
    order = {name: number for number, name in enumerate(names)}
    found = sorted((each for each in refs if each), key=lambda each: (order[each.target], each.branch))
    return tuple(found), {tag: manifest.digest for tag, manifest in there.items()}


def remove(asked: Registry, refs: Iterable[Ref]) -> tuple[str, ...]:
    """Removes caches, each manifest once; what the registry refused, in words."""
    refused = []
    for digest in dict.fromkeys(each.digest for each in refs):
        try:
            asked.delete(digest)
        except EngineError as error:
            refused.append(str(error))
    return tuple(dict.fromkeys(refused))


def check(
    planned: Planned, plan: BuildPlan, wanted: Sequence[str], builder: str, engine: Engine, hear: Callable[[str], None]
) -> Checked:
    """Builds the wanted targets of the plan on an empty builder, writing nothing; what ran. `hear` gets the steps."""
    chosen = settings(plan)
    main = plan.project.cache.main
    read = tuple(
        f"{target.name}.cache-from=type=registry,ref={chosen.repository}:{tag}"
        for target in plan.targets
        for tag in _tags(target.name, chosen, main)
    )
    options = BakeOptions(builder=builder, set=("*.cache-to=", "*.output=type=cacheonly", *read))
    needs = {target.name: target.needs for target in plan.targets}
    progress = Progress(needs, ())

    def listen(line: str) -> None:
        for step in progress.feed(line):
            hear(f"{step.target}  {step.text}")

    try:
        engine.bake(planned.config.parent, wanted, options, listen)
    except BuildFailed as error:
        failed = [work.failed for work in progress.work(done=False).values() if work.failed]
        why = f"{failed[0].target}: {failed[0].text}: {failed[0].error}" if failed else "\n".join(progress.words)
        raise EngineError(f"{error}: {why}") from error
    ran = progress.ran()
    asked = connect(chosen.repository, plan, planned.config.parent)

    def find(target: str) -> Found:
        return _find(asked, chosen, target, main)

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        found = dict(zip(needs, pool.map(find, needs), strict=True))
    started = {step.target for step in ran}
    bases = {
        target.name: _base(planned, target.stage.parent)
        for target in plan.targets
        if target.image.parent.target is None and target.name in started and found[target.name].state == "there"
    }
    rows = cachecheck.rows(plan, ran, found, bases, platform=_platform(engine, builder), writes=chosen.writes)
    return Checked(repository=chosen.repository, targets=tuple(needs), steps=progress.heard(), rows=rows)


def _tags(target: str, chosen: Settings, main: str) -> tuple[str, ...]:
    """The tags from which a build reads, the first one being that which it writes."""
    return tuple(dict.fromkeys((caching.cache_tag(target, chosen.branch, main), target)))


def _find(asked: Registry, chosen: Settings, target: str, main: str) -> Found:
    tags = _tags(target, chosen, main)
    references = tuple(f"{chosen.repository}:{tag}" for tag in tags)
    try:
        there = [manifest for tag in tags if (manifest := asked.manifest(tag))]
        if not there:
            return Found(references=references, state="missing")
        caches = [manifest for manifest in there if caching.is_cache(manifest)]
        if not caches:
            return Found(references=references, state="no cache")
        layers = {str(layer["digest"]) for manifest in caches for layer in caching.layers_of(manifest)}
        gone = tuple(digest for digest in sorted(layers) if not asked.has(digest))
        return Found(references=references, state="there", layers=layers, gone=gone)
    except EngineError as error:
        return Found(references=references, state="unknown", problem=str(error))


def _base(planned: Planned, parent: str) -> Base:
    """The layers of an image from elsewhere, by platform; nothing if its registry does not tell."""
    repository, name = _parted(mirrored(planned.plan.project.mirrors, parent))
    try:
        asked = connect(repository, planned.plan, planned.config.parent, retries=0)
        manifest = asked.manifest(name)
        if manifest is None:
            return {}
        entries = [each for each in manifest.data.get("manifests") or () if _name(each.get("platform") or {})]
        if not entries:
            return {"": _digests(manifest)}
        return {
            _name(each["platform"]): _digests(found) for each in entries if (found := asked.manifest(each["digest"]))
        }
    except EngineError:
        return {}


def _parted(reference: str) -> tuple[str, str]:
    """Repository, and digest or else tag, of a reference."""
    name, _, digest = reference.partition("@")
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = name, "latest"
    return repository, digest or tag


def _digests(manifest: Manifest) -> frozenset[str]:
    return frozenset(str(layer["digest"]) for layer in manifest.layers)


def _name(platform: Mapping[str, str]) -> str:
    """`linux/arm64`; empty for what is no image, as an attestation."""
    parts = [platform.get("os", ""), platform.get("architecture", ""), platform.get("variant", "")]
    if parts[0] in ("", "unknown"):
        return ""
    return "/".join(part for part in parts if part and part != "v8")


def _platform(engine: Engine, builder: str) -> str:
    """The builder's own platform."""
    told = engine.ask("buildx", "inspect", builder)
    line = next((each for each in told.splitlines() if each.startswith("Platforms:")), "Platforms: linux/amd64")
    return line.removeprefix("Platforms:").split(",")[0].strip().rstrip("*")


@contextmanager
def empty_builder(engine: Engine, given: str | None, configuration: str, say: Callable[[str], None]) -> Iterator[str]:
    """The given builder if it is empty, else one that is made for this block, and removed after it.

    `configuration` is the text of buildkitd.toml for the latter. Raises UsageError if the given one has a cache,
    EngineError if none can be made.
    """
    if given:
        engine.ask("buildx", "inspect", "--bootstrap", given)
        # Without rows there is no total either.
        rows = engine.ask("buildx", "du", "--builder", given, "--format", "{{.ID}}").split()
        if rows:
            raise UsageError(
                f"the builder '{given}' is not empty: it would take steps from a cache of its own, which proves "
                "nothing; leave out --builder, or name an empty one"
            )
        yield given
        return
    name = f"orbiter-check-{secrets.token_hex(4)}"
    try:
        # The host's network, so that a registry on this machine has the address that it has here.
        made = ("--name", name, "--driver", "docker-container", "--driver-opt", "network=host")
        with tempfile.TemporaryDirectory(prefix="orbiter-builder-") as folder:
            config = Path(folder) / buildkit.CONFIG
            config.write_text(configuration, encoding="utf-8")
            engine.ask("buildx", "create", *made, "--buildkitd-config", str(config))
        say(f"starting an empty builder, {name}")
        try:
            engine.ask("buildx", "inspect", "--bootstrap", name)
        except EngineError as error:
            raise EngineError(f"no empty builder can be started; name one with --builder ({error})") from error
        yield name
    finally:
        # An interrupt that comes now must not leave it behind.
        _remove(engine, name)


def _remove(engine: Engine, name: str) -> None:
    try:
        engine.ask("buildx", "rm", "--force", name, shielded=True)
    except EngineError as error:
        if "no builder" not in str(error):
            raise
