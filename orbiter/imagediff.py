"""Two states of the images, of locks or of images themselves → what changed in each image that is published.

    Project + Lock ── of_lock ──┐
    Installed ── of_image ──────┴── State, State ── difference ── as_text, as_markdown, as_data

An image has the packages of its nested build and of all that both stand on. What its parent has as well is not
repeated.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from orbiter import lock as locks
from orbiter import lockdiff
from orbiter.images import TARGET, familiar
from orbiter.installed import Installed
from orbiter.lock import Entry, Lock
from orbiter.lockdiff import Change, Facts
from orbiter.model import Image, Project
from orbiter.pins import SUBDIRS

State = Mapping[str, Facts]
"""Published image → what is known of it; `""` has the images from elsewhere that are nobody's base."""

BASE = "org.opencontainers.image.base."


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageChange:
    """What changed in an image. `inherited` changed in its `parent` in the same way; `new` and `gone` say that only
    one of the two states has the image."""

    changes: tuple[Change, ...]
    inherited: tuple[Change, ...] = ()
    parent: str | None = None
    new: bool = False
    gone: bool = False


Difference = Mapping[str, ImageChange]
"""Image → what changed; only what has changes is in it. `""` has the images from elsewhere that are nobody's base."""


def of_lock(lock: Lock, project: Project | None, platform: str | None = None) -> State:
    """What a lock says of each image, of one platform if that is given.

    Without the project, and for targets that it does not have (any more), names alone tell which image they belong to.
    """
    images = project.images if project else {}
    found: dict[str, Facts] = {}
    bases: set[str] = set()
    if project:
        for image in images.values():
            if image.deployable:
                base = locks.origin(project, image)
                bases.add(base)
                entries = [each.target for each in locks.contents(project, image)]
                own = {target for target in entries if _owner(target, images) == image.target}
                if own and own.isdisjoint(lock.targets):
                    continue  # the lock is older than the image
                digest = {familiar(base): (lock.images[base], None)} if base in lock.images else {}
                _add(found, image.target, {"image": digest})
                for target in reversed(entries):
                    _add(found, image.target, _facts(lock, target, platform))
    for target in sorted({*lock.targets, *lock.system}):
        owner = _owner(target, images)
        if owner not in images or images[owner].deployable:
            _add(found, owner, _facts(lock, target, platform) | lockdiff.system_facts(lock.system.get(target)))
    elsewhere = {familiar(name): (digest, None) for name, digest in lock.images.items() if name not in bases}
    return {"": {"image": elsewhere}} | {name: facts for name, facts in found.items() if any(facts.values())}


def of_image(installed: Installed, reference: str) -> tuple[str, Facts]:
    """The name of an image, its target or else its reference, and what it says of itself."""
    base, digest = (installed.labels.get(f"{BASE}{part}") for part in ("name", "digest"))
    facts: Facts = {
        kind: {name: (version, None) for name, version in installed.of(kind).items()}
        for kind in ("conda", "pip", "npm", "apt", "apk")
    }
    if base and digest:
        facts["image"] = {familiar(base): (digest, None)}
    return installed.labels.get(TARGET, reference), facts


def common(locked: Facts, asked: Facts) -> tuple[Facts, Facts]:
    """What of a lock and of an image can be compared: not the Python packages that a distribution brings along where
    the lock has none, nor the packages of the distribution where they were not recorded."""
    kinds = [kind for kind, packages in locked.items() if packages and kind in asked]
    return {kind: locked[kind] for kind in kinds}, {kind: asked[kind] for kind in kinds}


def difference(old: State, new: State, project: Project | None) -> Difference:
    """What separates two states, in the order of the project, then by name."""
    order = ["", *(project.images if project else ())]
    names = sorted({*old, *new}, key=lambda name: (order.index(name) if name in order else len(order), name))
    every = {name: tuple(lockdiff.changes(*_recorded(old.get(name, {}), new.get(name, {})))) for name in names}
    found: dict[str, ImageChange] = {}
    for name in names:
        parent = _parent(project, name) if project else None
        inherited = set(every.get(parent, ())) if parent else set()
        if every[name]:
            found[name] = ImageChange(
                changes=tuple(change for change in every[name] if change not in inherited),
                inherited=tuple(change for change in every[name] if change in inherited),
                parent=parent if inherited & set(every[name]) else None,
                new=bool(name) and name not in old,
                gone=bool(name) and name not in new,
            )
    return found


def as_text(found: Difference) -> str:
    """Under the name of each image `+ polars 1.9`, `- six 1.16`, `~ numpy 2.4.0 → 2.5.5`."""
    return "\n".join(line for name, image in found.items() for line in _text(name, image))


def _text(name: str, image: ImageChange) -> Iterator[str]:
    if image.new or image.gone:
        yield f"{name}: {'new' if image.new else 'gone'}, {_counted((*image.changes, *image.inherited))}"
    elif not image.changes:
        yield f"{name}: as {image.parent}"
    else:
        yield (name or "images from elsewhere") + (f", besides what changed in {image.parent}" if image.parent else "")
        yield from (f"  {lockdiff.line(change)}" for change in image.changes)


def as_markdown(found: Difference) -> str:
    """For a pull request or release notes: a heading an image, and a table."""
    lines: list[str] = []
    for name, image in found.items():
        lines += [*([""] if lines else []), f"### {name or 'Images from elsewhere'}", ""]
        if image.new or image.gone:
            lines.append(f"{'New' if image.new else 'Gone'}: {_counted((*image.changes, *image.inherited))}.")
        elif not image.changes:
            lines.append(f"As {image.parent}.")
        else:
            lines += [f"Besides what changed in {image.parent}:", ""] if image.parent else []
            lines += lockdiff.table(image.changes)
    return "\n".join(lines)


def as_data(found: Difference) -> dict[str, Any]:
    """The same for programs: of each image all changes, also those that its parent has."""
    return {
        "elsewhere": [lockdiff.data(change) for change in found[""].changes] if "" in found else [],
        "images": {
            name: {
                "state": "new" if image.new else "gone" if image.gone else "changed",
                "parent": image.parent,
                "changes": [
                    {**lockdiff.data(change), "inherited": change in image.inherited}
                    for change in (*image.changes, *image.inherited)
                ],
            }
            for name, image in found.items()
            if name
        },
    }


def _recorded(old: Facts, new: Facts) -> tuple[Facts, Facts]:
    """Both without the packages of the distribution that only one of them recorded: that is no change of the image."""
    unknown = {kind for kind in ("apt", "apk") if old and new and (kind in old) != (kind in new)}
    before, after = (
        {kind: packages for kind, packages in facts.items() if kind not in unknown} for facts in (old, new)
    )
    return before, after


def _add(found: dict[str, Facts], name: str, facts: Facts) -> None:
    """What is known of an image, and more."""
    known = found.setdefault(name, {})
    for kind, packages in facts.items():
        known[kind] = known.get(kind, {}) | packages


def _facts(lock: Lock, target: str, platform: str | None) -> Facts:
    entry = lock.targets.get(target)
    return lockdiff.facts(only(entry, platform) if entry and platform else entry)


def only(entry: Entry, platform: str) -> Entry:
    """What an entry installs on one platform."""
    subdir = SUBDIRS.get(platform, "")
    pip, build = (
        tuple(replace(each, platforms=()) for each in packages if not each.platforms or platform in each.platforms)
        for packages in (entry.pip, entry.build)
    )
    return replace(entry, conda={subdir: entry.conda[subdir]} if subdir in entry.conda else {}, pip=pip, build=build)


def _owner(target: str, images: Mapping[str, Image]) -> str:
    """The published image that a nested build belongs to."""
    while target.endswith("-build") and not (target in images and images[target].deployable):
        target = target.removesuffix("-build")
    return target


def _parent(project: Project, name: str) -> str | None:
    image = project.images.get(name)
    return image.parent.target if image else None


def _counted(changes: tuple[Change, ...]) -> str:
    kinds = [change.kind for change in changes if change.kind not in ("image", "python")]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)) or "no packages"
