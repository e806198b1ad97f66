"""What of an entry of the lock the configuration has outgrown, in words, as far as the two tell it."""

from collections.abc import Iterator, Sequence

from orbiter import lock as locks
from orbiter.lock import Entry, Lock
from orbiter.model import Image, Project
from orbiter.packages import folded, name_in
from orbiter.pins import names


def reasons(project: Project, lock: Lock, stale: Sequence[str]) -> dict[str, str]:
    """Why the entries of those targets do not count any more."""
    below = locks.foundations(project) if stale else {}
    return {
        target: _why(project, lock, target, [e.target for e in below[target] if e.target in stale]) for target in stale
    }


def _why(project: Project, lock: Lock, target: str, below: Sequence[str]) -> str:
    image, entry = project.images[target], lock.targets.get(target)
    if entry is None:
        return "it has no entry yet"
    told = [*_unmet(image, entry)]
    if entry.python and project.python and not image.conda and entry.python != project.python:
        told.append(f"it is for Python {entry.python}, python.version is {project.python}")
    if told:
        return "; ".join(told)
    if below:
        return f"it stands on {', '.join(below)}"
    return "what its sections ask for, or what it stands on, has changed"


def _unmet(image: Image, entry: Entry) -> Iterator[str]:
    """What the sections ask for and the entry does not have."""
    there = {package.name for package in entry.pip} | {p.name for each in entry.conda.values() for p in each}
    pip = image.conda.pip if image.conda else image.pip
    conda = image.conda.dependencies if image.conda else ()
    lacking = [name for spec in pip if (name := folded(name_in(spec))) not in there]
    lacking += [name for spec in conda if (name := name_in(spec).lower()) not in there]
    lacking += [name for name in sorted(names(image.npm)) if f"node_modules/{name}" not in entry.npm]
    if lacking:
        yield f"it lacks {', '.join(dict.fromkeys(lacking))}"
    yield from _beyond(pip, entry)


def _beyond(requirements: tuple[str, ...], entry: Entry) -> Iterator[str]:
    from packaging.requirements import InvalidRequirement, Requirement

    versions = {package.name: package.version for package in entry.pip if not package.url}
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        name = folded(requirement.name)
        version = versions.get(name)
        if version and not requirement.specifier.contains(version, prereleases=True):
            yield f"it has {name} {version}, not '{requirement.specifier}'"
