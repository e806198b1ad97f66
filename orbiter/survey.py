"""What was made of a project's images before, asked of a registry or of the engine, and the verdicts that follow."""

import json
import platform
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from orbiter import changes, images, inventory
from orbiter.changes import Made, Verdicts, Wanted
from orbiter.engine import Engine
from orbiter.errors import EngineError
from orbiter.model import BuildPlan
from orbiter.web import Hidden, Registry

_AT_ONCE = 16

_OTHERS = 3
"""Other tags of a target that are looked at, the newest first, where its own one is not as it should be."""

_NUMBERS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where images are looked for: in the registry if there is one here, else in the engine. `push`: and put there."""

    engine: Engine
    registry: Registry | None
    push: bool = False


class Unanswered(EngineError):
    """The registry answers neither Orbiter nor Buildx."""


def survey(
    plan: BuildPlan, wanted: Wanted, places: Places, say: Callable[[str], None], builder: str | None = None
) -> Verdicts:
    """A verdict for every target of the plan. Raises EngineError where nobody answers: nothing can be told then.

    A repository that the registry does not show is taken for one that is not there yet, and `say` gets the reason;
    but without a login nothing could be pushed to it, either.
    """
    if places.registry:
        wanted = replace(wanted, platforms=_platforms(plan, wanted, places.engine, builder, say))
        try:
            return _in_registry(plan, wanted, places.registry, places.engine)
        except Hidden as error:
            if places.push and not error.login:
                raise Unanswered(str(error)) from error
            say(f"{error}; so all its images are to be built")
            return changes.judge(plan, wanted, {}, "registry")
    return changes.judge(plan, wanted, _in_engine(plan, wanted, places.engine), "engine")


def _platforms(
    plan: BuildPlan, wanted: Wanted, engine: Engine, builder: str | None, say: Callable[[str], None]
) -> Mapping[str, tuple[str, ...]]:
    """The wanted platforms, and for targets without any the one that the builder has of itself.

    Where there is no Docker that could be asked for its builder, that is the platform of this machine.
    """
    if all(wanted.platforms.get(target.name) for target in plan.targets):
        return wanted.platforms
    try:
        own = parse_platform(engine.ask("buildx", "inspect", *([builder] if builder else [])))
    except EngineError as error:
        if builder:
            raise
        own = platform_of(platform.machine())
        taken = f"is taken for {own[0]}, as this machine is" if own else "is not compared"
        say(f"the builder's platform {taken}: {str(error).partition('; ')[0]}; PLATFORMS names another one")
    return {target.name: wanted.platforms.get(target.name) or own for target in plan.targets}


def platform_of(machine: str) -> tuple[str, ...]:
    """The platform of images on such a machine, as the system names it; none for one that is not known."""
    architecture = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(machine.lower())
    return (f"linux/{architecture}",) if architecture else ()


def parse_platform(text: str) -> tuple[str, ...]:
    """The first platform in what `docker buildx inspect` prints, which is that of the builder itself, if it tells."""
    found = re.search(r"^Platforms: *([^\s,*]+)", text, re.MULTILINE)
    return (found[1],) if found else ()


def _in_registry(plan: BuildPlan, wanted: Wanted, registry: Registry, engine: Engine) -> Verdicts:
    names = {name for references in wanted.references.values() for name in references}
    there = _there(registry, engine, sorted(names))
    found = {target: [there[name] for name in names if name in there] for target, names in wanted.references.items()}
    verdicts = changes.judge(plan, wanted, found, "registry")
    missing = [name for name, verdict in verdicts.items() if verdict.state == "to build" and name in found]
    listed = _listed(registry) if missing else ()
    tags = {target: [name.rpartition(":")[2] for name in names] for target, names in wanted.references.items()}
    others = {
        target: [f"{wanted.references[target][0].rpartition(':')[0]}:{tag}" for tag in older(target, listed, tags)]
        for target in missing
    }
    if not any(others.values()):
        return verdicts
    more = published(registry, sorted(name for names in others.values() for name in names))
    for target, references in others.items():
        found[target] += [more[name] for name in references if name in more]
    return changes.judge(plan, wanted, found, "registry")


def _listed(registry: Registry) -> Sequence[str]:
    """The tags of the repository; none where they may not be listed, as that only saves builds."""
    try:
        return registry.tags()
    except EngineError:
        return ()


def _there(registry: Registry, engine: Engine, references: Sequence[str]) -> Mapping[str, Made]:
    """The images under these references; asked of Buildx where the registry does not talk to Orbiter itself.

    Buildx knows more ways to log in, certificates and exceptions of the builder, and is slow.
    """
    try:
        return published(registry, references)
    except EngineError as error:
        if isinstance(error, Hidden) and error.login:
            raise
        unanswered = error if isinstance(error, Hidden) else Unanswered(str(error))
        try:
            first = inventory.published(engine, references[:1])
        except EngineError:  # there is no Buildx that could be asked
            raise unanswered from error
        if any(each.problem for each in first.values()):
            raise unanswered from error
        told = {**first, **inventory.published(engine, references[1:])}
        problem = next((each.problem for each in told.values() if each.problem), None)
        if problem:
            raise Unanswered(problem) from error
        return {
            reference: Made(reference=reference, digest=each.digest, labels=each.labels)
            for reference, each in told.items()
            if each.digest is not None and each.labels is not None
        }


def published(registry: Registry, references: Sequence[str]) -> Mapping[str, Made]:
    """The images under those references of a repository that there are, many asked for at once. Raises EngineError."""
    wanted = list(dict.fromkeys(references))
    # The first one alone: it gets the token for all, or meets what would fail every one of them.
    found = [_published(registry, name) for name in wanted[:1]]
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        try:
            found += pool.map(lambda name: _published(registry, name), wanted[1:])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {name: made for name, made in zip(wanted, found, strict=True) if made}


def _published(registry: Registry, reference: str) -> Made | None:
    """An image of the registry, with the labels of its first platform."""
    manifest = registry.manifest(reference.rpartition(":")[2])
    if manifest is None:
        return None
    digest, platforms = manifest.digest, tuple[str, ...]()
    if "manifests" in manifest.data:
        several = [each for each in manifest.data["manifests"] if _is_image(each.get("platform") or {})]
        platforms = tuple(images.platform(each["platform"]) for each in several)
        manifest = registry.manifest(several[0]["digest"]) if several else None
        if manifest is None:
            return None
    body = registry.blob(manifest.data["config"]["digest"])
    if body is None:
        return None
    configuration = _parsed(body, reference)
    return Made(
        reference=reference,
        digest=digest,
        labels=images.own_labels(configuration),
        platforms=platforms or (images.platform(configuration),),
    )


def _is_image(platform: Mapping[str, str]) -> bool:
    """Whether that is a platform of an image; attestations have an unknown one."""
    return platform.get("os", "unknown") != "unknown"


def _parsed(body: bytes, reference: str) -> Mapping[str, Any]:
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise EngineError(f"{reference}: what the registry has as its configuration is none")
    return data


def older(target: str, listed: Iterable[str], tags: Mapping[str, Sequence[str]]) -> list[str]:
    """The likeliest tags of a target among all tags of the repository: `<target>-<version>`, the highest version first.

    `tags` are those that the configuration gives; they were asked for already. A target whose name begins with that
    of another one has its tags for itself.
    """
    longer = [f"{name}-" for name in tags if name.startswith(f"{target}-")]
    own = set(tags[target])
    found = [
        tag
        for tag in listed
        if tag.startswith(f"{target}-") and tag not in own and not any(tag.startswith(name) for name in longer)
    ]
    return sorted(found, key=lambda tag: _order(tag.removeprefix(f"{target}-")), reverse=True)[:_OTHERS]


def _order(version: str) -> tuple[tuple[int, str], ...]:
    """Sorts `1.10` behind `1.9`, and words before numbers."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in _NUMBERS.split(version) if part)


def _in_engine(plan: BuildPlan, wanted: Wanted, engine: Engine) -> Mapping[str, Sequence[Made]]:
    repos = {name.rpartition(":")[0] for names in wanted.references.values() for name in names}
    local = [
        image
        for repo in sorted(repos)
        for image in inventory.local_images(engine, f"reference={images.familiar(repo)}")
    ]
    found: dict[str, list[Made]] = {target: [] for target in wanted.references}
    for image in sorted(local, key=lambda image: image.created, reverse=True):
        names = found.get(image.labels.get(images.TARGET, ""))
        if names is not None:
            names += [
                Made(reference=name, digest=image.id, labels=image.labels, platforms=(image.platform,))
                for name in image.references
                if name.rpartition(":")[0] in map(images.familiar, repos)
            ]
    return {target: _own_first(made, wanted.references[target]) for target, made in found.items()}


def _own_first(made: Sequence[Made], names: Sequence[str]) -> list[Made]:
    """With the references that the target is to have before others, under the names that the configuration gives."""
    full = {images.familiar(name): name for name in names}
    told = [replace(each, reference=full.get(each.reference, each.reference)) for each in made]
    return [each for name in names for each in told if each.reference == name] + [
        each for each in told if each.reference not in names
    ]


def tag(verdicts: Verdicts, places: Places) -> None:
    """Gives the images that are there under other tags the tags that they lack. Raises EngineError."""
    for verdict in verdicts.values():
        if verdict.state != "to tag" or not verdict.made:
            continue
        if places.registry:
            named = [word for name in verdict.tags for word in ("--tag", name)]
            # A copy to the byte, so that the digest stays; else a single manifest would get an index around it.
            places.engine.ask("buildx", "imagetools", "create", "--prefer-index=false", *named, verdict.made.pinned)
        else:
            for name in verdict.tags:
                places.engine.ask("image", "tag", verdict.made.digest, name)
