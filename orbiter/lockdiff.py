"""Two locks → what changed between them: images from elsewhere, and packages of each target."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orbiter.lock import Entry, Lock, System


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A package, or an image from elsewhere: `old` is None if it is new, `new` if it is gone.

    `kind` is `pip`, `build` (what others are compiled with), `conda`, `npm`, `apt`, `apk`, `python`, or `image` with
    digests instead of versions. `files`: the version is the same, its files are others.
    """

    kind: str
    name: str
    old: str | None
    new: str | None
    files: bool = False


Difference = Mapping[str, tuple[Change, ...]]
"""Target → what changed in it; `""` has the images from elsewhere. Only what has changes is in it."""


def difference(old: Lock, new: Lock) -> Difference:
    """What separates two locks, sorted by target, kind and name."""
    found = {"": tuple(_changes("image", dict(old.images), dict(new.images)))}
    for target in sorted({*old.targets, *new.targets, *old.system, *new.system}):
        before, after = (facts(lock.targets.get(target)) | system_facts(lock.system.get(target)) for lock in (old, new))
        found[target] = tuple(changes(before, after))
    return {target: changed for target, changed in found.items() if changed}


Facts = dict[str, dict[str, Any]]
"""Kind → name → version and what identifies the files, which is None where nobody knows; of an image, its digest."""

KINDS = ("image", "python", "conda", "pip", "build", "npm", "apt", "apk")


def changes(old: Facts, new: Facts) -> Iterator[Change]:
    """What separates two sets of facts, sorted by kind and name."""
    for kind in KINDS:
        yield from _changes(kind, old.get(kind, {}), new.get(kind, {}))


def system_facts(system: System | None) -> Facts:
    """What was recorded of an image."""
    return {system.kind: {name: (version, None) for name, version in system.packages.items()}} if system else {}


def facts(entry: Entry | None) -> Facts:
    """What an entry installs, and what it compiles with."""
    facts: Facts = {"python": {}, "conda": {}, "pip": {}, "build": {}, "npm": {}}
    if entry is None:
        return facts
    if entry.python:
        facts["python"]["python"] = (entry.python, None)
    for subdir, packages in entry.conda.items():
        for package in packages:
            name = package.name if len(entry.conda) == 1 else f"{package.name} ({subdir})"
            facts["conda"][name] = (package.version, (package.build, package.sha256))
    for kind, several in (("pip", entry.pip), ("build", entry.build)):
        for each in several:
            only = ", ".join([*["to build"] * (kind == "build"), *each.platforms])
            name = f"{each.name} ({only})" if only else each.name
            facts[kind][name] = (each.version or each.url, (each.url, dict(each.files)))
    for path, node in entry.npm.items():
        if path.count("node_modules/") == 1:
            facts["npm"][path.removeprefix("node_modules/")] = (node.get("version"), node.get("integrity"))
    return facts


def _changes(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if not _same(before, after):
            was, now = _version(before), _version(after)
            yield Change(kind=kind, name=name, old=was, new=now, files=was == now)


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, tuple) and isinstance(new, tuple) and None in (old[1], new[1]):
        return bool(old[0] == new[0])
    return bool(old == new)


def _version(fact: Any) -> str | None:
    version: str | None = fact[0] if isinstance(fact, tuple) else fact
    return version


def as_text(found: Difference) -> str:
    """`+ polars 1.9`, `- six 1.16`, `~ numpy 2.4.0 → 2.5.5`, under the name of each target; a number for a new one."""
    lines = []
    for target, changes in found.items():
        if target and all(change.old is None for change in changes):
            kinds = [change.kind for change in changes]
            counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds) if kind != "python")
            lines.append(f"{target}: new, {counted}")
        else:
            lines += [target or "images from elsewhere", *(f"  {line(change)}" for change in changes)]
    return "\n".join(lines)


def line(change: Change) -> str:
    """`+ polars 1.9`, `- six 1.16` or `~ numpy 2.4.0 → 2.5.5`."""
    if change.old is None:
        return f"+ {change.name} {_short(change.new)}"
    if change.new is None:
        return f"- {change.name} {_short(change.old)}"
    if change.files:
        return f"~ {change.name} {_short(change.new)} (other files)"
    return f"~ {change.name} {_short(change.old)} → {_short(change.new)}"


def _short(version: str | None) -> str:
    """A version, or the first digits of a digest."""
    text = version or ""
    return text[:19] if text.startswith("sha256:") else text


def as_markdown(found: Difference) -> str:
    """Tables for release notes, one a target."""
    lines: list[str] = []
    for target, changes in found.items():
        lines += [*([""] if lines else []), f"### {target or 'Images from elsewhere'}", ""]
        lines += table(changes)
    return "\n".join(lines)


def table(changes: Iterable[Change]) -> Iterator[str]:
    """The lines of a table in Markdown."""
    yield from ("| package | from | to |", "| --- | --- | --- |")
    for change in changes:
        new = f"{_short(change.new)} (other files)" if change.files else _short(change.new)
        yield f"| {change.name} | {_short(change.old) or '–'} | {new or '–'} |"


def as_data(found: Difference) -> dict[str, Any]:
    """The same for programs."""
    return {
        "images": [data(change) for change in found.get("", ())],
        "targets": {target: [data(change) for change in changes] for target, changes in found.items() if target},
    }


def data(change: Change) -> dict[str, Any]:
    """A change as plain data."""
    return {"kind": change.kind, "name": change.name, "old": change.old, "new": change.new, "files": change.files}
