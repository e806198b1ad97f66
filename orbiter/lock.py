"""The lock of a project: what each environment is made of, to the byte, and which of it the configuration has outgrown.

    text ── parse ── Lock ── dump ── text         orbiter.lock, JSON with one package a line
    Project + Lock ── stale ── what `orbiter lock` has to resolve again

A target has an entry if its image installs Python, conda or Node packages. The entry names its `inputs`, a hash of all
that a resolver was asked; as long as that is the same, the entry is good.
"""

import hashlib
import json
import re
from calendar import timegm
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orbiter.errors import LockError
from orbiter.model import Image, Project

FILE = "orbiter.lock"
VERSION = 1

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)")

Hashes = Mapping[str, str]
"""File name → `sha256:…`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipPackage:
    """A distribution from a Python index: the files that fit the image, or the address that the configuration gives.

    `url` is None for a package of the index. An address of a version control system has its commit in it, and no
    files. `platforms` are those that it is for where the image has others besides.
    """

    name: str
    version: str
    files: Hashes = field(default_factory=dict)
    url: str | None = None
    platforms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CondaPackage:
    """A package of a conda channel. `url` is the public one, `sha256` without prefix. The order of several is that in
    which they are installed."""

    name: str
    version: str
    build: str
    url: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a target installs. `conda` is by subdir (`linux-64`), `npm` the `packages` of a package-lock.json.

    `build` is what the sources among `pip` are built with; it is not installed. Empty where none of them is known to
    need anything, and in an entry that an older Orbiter wrote.

    `newest` is when the youngest file was uploaded (RFC 3339, UTC), as far as the indexes say.
    """

    inputs: str
    python: str | None = None
    pip: tuple[PipPackage, ...] = ()
    conda: Mapping[str, tuple[CondaPackage, ...]] = field(default_factory=dict)
    npm: Mapping[str, Any] = field(default_factory=dict)
    newest: str | None = None
    build: tuple[PipPackage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The packages of the distribution that an image had when it was last recorded: name → version.

    `kind` is `apt` or `apk`, `distribution` the ID and VERSION_ID of its os-release (`debian 13`), `platform` that of
    the image that was asked. They are compared, and pin nothing.
    """

    kind: str
    distribution: str
    platform: str
    packages: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A whole lock: digests of images from elsewhere (reference → `sha256:…`), an entry a target, and what of the
    distribution the published images had, as far as it was recorded.

    `platforms` are those of images that name none themselves; empty: linux/amd64, and linux/arm64 as far as there are
    files for it.
    """

    images: Mapping[str, str] = field(default_factory=dict)
    targets: Mapping[str, Entry] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    system: Mapping[str, System] = field(default_factory=dict)

    @property
    def epoch(self) -> str | None:
        """When the youngest file of all was uploaded: the date that reproducible images bear."""
        return max((entry.newest for entry in self.targets.values() if entry.newest), default=None)

    @property
    def seconds(self) -> int | None:
        """`epoch` as Unix time: the SOURCE_DATE_EPOCH of builds. Fractions of a second are dropped."""
        found = _TIME.match(self.epoch or "")
        return timegm((*map(int, found.groups()), 0, 0, 0)) if found else None


# -- text


def dump(lock: Lock) -> str:
    """The lock as text: sorted, a package a line, so that two branches merge and a diff can be read."""
    head = [f'"orbiter-lock": {VERSION}', f'"images": {_block(lock.images, 1)}']
    if lock.platforms:
        head.insert(1, f'"platforms": {_text(list(lock.platforms))}')
    targets = [f"    {_text(name)}: {_entry(entry)}" for name, entry in sorted(lock.targets.items())]
    body = '"targets": {' + ("\n" + ",\n".join(targets) + "\n  " if targets else "") + "}"
    system = [f"    {_text(name)}: {_system(each)}" for name, each in sorted(lock.system.items())]
    tail = ['"system": {\n' + ",\n".join(system) + "\n  }"] if system else []
    return "{\n  " + ",\n  ".join([*head, body, *tail]) + "\n}\n"


def _system(system: System) -> str:
    about = {"kind": system.kind, "distribution": system.distribution, "platform": system.platform}
    parts = [f"      {_text(name)}: {_text(value)}" for name, value in about.items()]
    return "{\n" + ",\n".join([*parts, f'      "packages": {_block(system.packages, 3)}']) + "\n    }"


def _entry(entry: Entry) -> str:
    parts = {"inputs": _text(entry.inputs)}
    if entry.python:
        parts["python"] = _text(entry.python)
    if entry.newest:
        parts["newest"] = _text(entry.newest)
    for name, packages in (("pip", entry.pip), ("build", entry.build)):
        if packages:
            lines = (f"        {_text(_pip_data(package))}" for package in packages)
            parts[name] = "[\n" + ",\n".join(lines) + "\n      ]"
    if entry.conda:
        subdirs = {
            subdir: _block({package.name: _conda_data(package) for package in packages}, 4, sort=False)
            for subdir, packages in sorted(entry.conda.items())
        }
        parts["conda"] = "{\n" + ",\n".join(f"        {_text(s)}: {text}" for s, text in subdirs.items()) + "\n      }"
    if entry.npm:
        parts["npm"] = _block(entry.npm, 3)
    return "{\n" + ",\n".join(f"      {_text(name)}: {text}" for name, text in parts.items()) + "\n    }"


def _block(pairs: Mapping[str, Any], depth: int, *, sort: bool = True) -> str:
    """An object with a line for each of its members."""
    indent = "  " * (depth + 1)
    members = sorted(pairs.items()) if sort else pairs.items()
    lines = [f"{indent}{_text(name)}: {_text(value)}" for name, value in members]
    return "{\n" + ",\n".join(lines) + f"\n{'  ' * depth}}}" if lines else "{}"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=isinstance(value, dict) and "version" not in value)


def _conda_data(package: CondaPackage) -> dict[str, Any]:
    return {"version": package.version, "build": package.build, "url": package.url, "sha256": package.sha256}


def _pip_data(package: PipPackage) -> dict[str, Any]:
    data: dict[str, Any] = {"name": package.name, "version": package.version}
    optional = {"url": package.url, "platforms": list(package.platforms), "files": dict(package.files)}
    return data | {key: value for key, value in optional.items() if value}


_CONFLICT = re.compile(r"^(?:<{7}|={7}|>{7})(?: |$)", re.MULTILINE)


def parse(text: str, name: str = FILE) -> Lock:
    """The lock of a text. Raises LockError with `NAME:LINE` where there is one."""
    conflict = _CONFLICT.search(text)
    if conflict:
        line = text.count("\n", 0, conflict.start()) + 1
        raise LockError(
            f"{name}:{line}: a merge left its conflict here; take either side (git checkout --theirs {name}), "
            "then run 'orbiter lock', which mends what does not fit the configuration"
        )
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise LockError(f"{name}:{error.lineno}:{error.colno}: no lock: {error.msg}; {_ANEW}") from error
    version = data.get("orbiter-lock") if isinstance(data, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise LockError(
            f"{name}: written by a newer Orbiter (format {version}, this one reads {VERSION}); update Orbiter"
        )
    if version != VERSION:
        raise LockError(f"{name}: no lock of Orbiter's; {_ANEW}")
    try:
        targets = {target: _read_entry(entry) for target, entry in data["targets"].items()}
        system = {target: System(**each) for target, each in data.get("system", {}).items()}
        platforms = tuple(data.get("platforms", ()))
        return Lock(images=dict(data["images"]), targets=targets, platforms=platforms, system=system)
    except (KeyError, TypeError, AttributeError) as error:
        raise LockError(f"{name}: not as Orbiter wrote it ({error!r}); {_ANEW}") from error


_ANEW = "move it away and run 'orbiter lock' to resolve anew"


def _read_entry(data: Mapping[str, Any]) -> Entry:
    return Entry(
        inputs=data["inputs"],
        python=data.get("python"),
        newest=data.get("newest"),
        pip=tuple(map(_read_pip, data.get("pip", ()))),
        build=tuple(map(_read_pip, data.get("build", ()))),
        conda={
            subdir: tuple(CondaPackage(name=name, **each) for name, each in packages.items())
            for subdir, packages in data.get("conda", {}).items()
        },
        npm=data.get("npm", {}),
    )


def _read_pip(data: Mapping[str, Any]) -> PipPackage:
    return PipPackage(**{**data, "platforms": tuple(data.get("platforms", ()))})


# -- what an entry depends on


def installs(image: Image) -> bool:
    """Whether the image has an entry in the lock."""
    return bool(image.pip or image.conda or image.npm)


Foundations = Mapping[str, tuple[Image, ...]]
"""Target → the images whose packages its own have to agree with, the nearest first."""


def foundations(project: Project) -> Foundations:
    """What every image with an entry stands on.

    These are its parents, and for a nested build also what the published image around it stands on.
    """
    around = {image.nested: image for image in project.images.values() if image.nested}
    return {
        image.target: tuple(_foundation(project, image, around.get(image.target)))
        for image in project.images.values()
        if installs(image)
    }


def _foundation(project: Project, image: Image, outer: Image | None) -> Iterator[Image]:
    found: dict[str, Image] = {}
    for each in (*project.lineage(image), *(project.lineage(outer) if outer else ())):
        nested = project.images[each.nested] if each.nested else None
        for one in (each, *((nested, *project.lineage(nested)) if nested else ())):
            if installs(one) and one.target != image.target:
                found.setdefault(one.target, one)
    yield from found.values()


def contents(project: Project, image: Image) -> tuple[Image, ...]:
    """The images whose entries say what is in a published image, the nearest first: its own, that of its nested build,
    and all that they stand on."""
    nested = project.images[image.nested] if image.nested else None
    own = (image, *((nested, *project.lineage(nested)) if nested else ()))
    found = {each.target: each for each in own if installs(each)}
    return tuple((found | {each.target: each for each in _foundation(project, image, None)}).values())


def origin(project: Project, image: Image) -> str:
    """The image from elsewhere that the image stands on."""
    return (image, *project.lineage(image))[-1].parent.reference


def inputs(project: Project, image: Image, under: Sequence[Entry], platforms: tuple[str, ...] = ()) -> str:
    """A hash of all that a resolver is asked for the image: `sha256:…`.

    `under` are the entries of what it stands on, the nearest first, `platforms` those of the lock.
    """
    asked = {
        "pip": image.pip,
        "npm": image.npm,
        "conda": [image.conda.channels, image.conda.dependencies, image.conda.pip] if image.conda else None,
        "python": project.python,
        "platforms": image.platforms or platforms,
        "origin": origin(project, image),
        "foundation": [content(entry) for entry in under],
    }
    return _digest(json.dumps(asked, sort_keys=True))


def content(entry: Entry) -> str:
    """A hash of what the entry installs, whoever asked for it and however it is written down."""
    pip = [[each.name, each.version, each.url, each.platforms, sorted(each.files.values())] for each in entry.pip]
    conda = {subdir: sorted(each.sha256 for each in packages) for subdir, packages in entry.conda.items()}
    npm = {path: [each.get("version"), each.get("integrity")] for path, each in entry.npm.items() if path}
    return _digest(json.dumps([entry.python, pip, conda, npm], sort_keys=True))


def chain(project: Project, image: Image, targets: Mapping[str, Entry]) -> str | None:
    """A hash of all that a published image installs by the lock, None where `targets` lack an entry for it."""
    entries = [targets.get(each.target) for each in contents(project, image)]
    known = [content(entry) for entry in entries if entry]
    return _digest("".join(known)) if known and len(known) == len(entries) else None


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def stale(project: Project, lock: Lock) -> tuple[str, ...]:
    """Targets whose entry is missing or was made for another configuration, parents first."""
    found: dict[str, None] = {}
    below = foundations(project)
    for image in in_order(project, below):
        entry, names = lock.targets.get(image.target), [each.target for each in below[image.target]]
        under = [lock.targets[name] for name in names if name in lock.targets]
        good = entry is not None and entry.inputs == inputs(project, image, under, lock.platforms)
        if not good or not found.keys().isdisjoint(names):
            found[image.target] = None
    return tuple(found)


def in_order(project: Project, below: Foundations) -> Iterator[Image]:
    """The images that have an entry, each after those that it stands on."""
    done: set[str] = set()
    waiting = [image for image in project.images.values() if image.target in below]
    while waiting:
        ready = [image for image in waiting if all(each.target in done for each in below[image.target])]
        ready = ready or waiting[:1]
        yield from ready
        done |= {image.target for image in ready}
        waiting = [image for image in waiting if image.target not in done]
