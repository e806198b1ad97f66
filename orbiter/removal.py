"""Which images and containers are Orbiter's own, and which of them may go.

An image is Orbiter's if its labels say so and its history ends with the LABEL that ends every published Dockerfile.
The labels alone prove nothing: an image that somebody builds on one of Orbiter's inherits them all. Of an image, only
names in Orbiter's repository go; a container is Orbiter's if one of its commands started it. What a container uses,
running or not, stays.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from orbiter.errors import NothingMatched
from orbiter.images import REPOSITORY, TARGET, LocalImage, familiar
from orbiter.model import BuildPlan
from orbiter.schema import did_you_mean
from orbiter.tables import age, columns, size

COMMAND = "orbiter.command"
"""Label of a container that a command of Orbiter started; its value is the command's name. No image has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container: `image` is the id of its image, `state` Docker's word (`running`, `exited`, `created`, ...)."""

    id: str
    name: str
    image: str
    state: str
    labels: Mapping[str, str]

    @property
    def stopped(self) -> bool:
        return self.state in ("exited", "dead", "created")


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """An image or container that is to go: what Docker is told to remove, and what it has to be still then.

    `kind` is `image` or `container`; `name` a reference, the name of a container or an id.
    """

    kind: str
    name: str
    id: str
    target: str
    size: int
    created: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What is to go, containers before their images, and what stays: names and reasons."""

    doomed: tuple[Doomed, ...]
    kept: tuple[tuple[str, str], ...]


def is_own(image: LocalImage) -> bool:
    """Whether Orbiter's Dockerfile made exactly this image. Raises ValueError if nobody asked for its history."""
    if image.last_step is None:
        raise ValueError(f"the history of {image.id} is not known")
    target = image.labels.get(TARGET)
    return bool(target) and REPOSITORY in image.labels and image.last_step == f"LABEL {TARGET}={target}"


def of_images(images: Iterable[LocalImage], containers: Sequence[Container]) -> Removal:
    """Removes all of these images that are Orbiter's and that no container uses."""
    doomed: list[Doomed] = []
    kept: list[tuple[str, str]] = []
    for image in images:
        repository = familiar(image.labels.get(REPOSITORY, ""))
        names = [name for name in image.references if name.rpartition(":")[0] == repository]
        names = names or ([] if image.references else [image.id])
        users = [container for container in containers if container.image == image.id]
        if not is_own(image):
            reason = f"somebody else's, built on {image.labels.get(TARGET, 'an image of Orbiter')}"
        elif users:
            reason = f"used by {', '.join(f'{user.name} ({user.state})' for user in users)}"
        else:
            doomed += [_doomed(image, name) for name in names]
            continue
        kept += [(name, reason) for name in names]
    return Removal(doomed=tuple(doomed), kept=tuple(kept))


def of_everything(images: Iterable[LocalImage], containers: Sequence[Container]) -> Removal:
    """Removes the stopped containers that Orbiter started, and its images that no other container uses."""
    images = tuple(images)
    foreign = {image.id for image in images if not is_own(image)}
    going = tuple(
        container
        for container in containers
        # A container of a committed container inherits the label, from an image that is not Orbiter's.
        if container.stopped and container.labels.get(COMMAND) and container.image not in foreign
    )
    rest = of_images(images, [container for container in containers if container not in going])
    doomed = tuple(
        Doomed(
            kind="container",
            name=container.name,
            id=container.id,
            target=container.labels.get(TARGET, ""),
            size=0,
            created=0.0,
        )
        for container in going
    )
    return Removal(doomed=doomed + rest.doomed, kept=rest.kept)


def matching(images: Iterable[LocalImage], plan: BuildPlan, patterns: Sequence[str]) -> tuple[LocalImage, ...]:
    """The images of the plan's repository whose target a pattern names, also if the configuration has it no more.

    Without patterns all of them. Raises NothingMatched for the first pattern that names neither.
    """
    own = tuple(image for image in images if image.labels.get(REPOSITORY) == plan.project.repo)
    groups = {group.name: group.targets for group in plan.groups}
    published = [target.name for target in plan.targets if target.image.deployable]
    known = dict.fromkeys((*published, *(image.labels.get(TARGET, "") for image in own)))
    wanted: set[str] = set()
    for pattern in patterns:
        named = set(groups.get(pattern, ())) or {name for name in known if fnmatchcase(name, pattern)}
        if not named:
            raise NothingMatched(f"no target matches '{pattern}'; {did_you_mean(pattern, [*groups, *known])}")
        wanted |= named
    return tuple(image for image in own if not patterns or image.labels.get(TARGET) in wanted)


def _doomed(image: LocalImage, name: str) -> Doomed:
    return Doomed(
        kind="image",
        name=name,
        id=image.id,
        target=image.labels.get(TARGET, ""),
        size=image.size,
        created=image.created,
    )


def as_text(removal: Removal, now: float) -> list[str]:
    """What goes, and then what stays and why."""
    rows = [
        (
            each.kind,
            f"{_short(each.name)} ({each.target})" if each.name == each.id else each.name,
            size(each.size) if each.kind == "image" else "",
            age(now - each.created) if each.created else "",
        )
        for each in removal.doomed
    ]
    kept = columns([(f"  {_short(name)}", reason) for name, reason in removal.kept])
    return [*columns(rows), *(["kept:", *kept] if kept else [])]


def _short(name: str) -> str:
    """An id as Docker shows it; a reference as it is."""
    return name.removeprefix("sha256:")[:12] if name.startswith("sha256:") else name


def counted(removal: Removal) -> str:
    """`2 images and 1 container`."""
    kinds = [each.kind for each in removal.doomed]
    numbers = ((kinds.count(kind), kind) for kind in ("image", "container"))
    return " and ".join(f"{number} {kind}{'s' * (number > 1)}" for number, kind in numbers if number)


def question(removal: Removal) -> str:
    """`Remove 2 images and 1 container?`"""
    return f"Remove {counted(removal)}?"


def as_data(removal: Removal, *, removed: bool) -> dict[str, Any]:
    """A removal as plain data, for `--format json`; `removed` says whether it was carried out."""
    return {
        "removed": removed,
        "items": [
            {
                "kind": each.kind,
                "name": each.name,
                "id": each.id,
                "target": each.target or None,
                "size": each.size if each.kind == "image" else None,
            }
            for each in removal.doomed
        ],
        "kept": [{"name": name, "reason": reason} for name, reason in removal.kept],
    }
