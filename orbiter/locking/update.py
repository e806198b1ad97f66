"""A lock brought up to date: what is stale is resolved anew, what nothing stands on first, several at a time."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from orbiter import lock as locks
from orbiter import pins
from orbiter.errors import LockError
from orbiter.lock import CondaPackage, Entry, Lock
from orbiter.locking import conda, npm, pip
from orbiter.locking.bases import OLDEST_GLIBC, Base, base
from orbiter.model import Image, Project
from orbiter.pins import SUBDIRS


class Tools(Protocol):
    """What a lock needs from outside. All methods raise EngineError, and LockError for an answer that is a no."""

    def uv(self, arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
        """Runs uv in a folder."""

    def npm(self, arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
        """Runs npm in a folder."""

    def digest(self, reference: str) -> str:
        """The digest of an image in its registry, as the builder finds it: `sha256:…`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to resolve beside the stale: targets and packages by name (empty: all; None: only the stale)."""

    upgrade: Collection[str] | None = None
    targets: Collection[str] | None = None
    offline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """The new lock, the targets that were resolved, and what has to be compiled because there is no wheel."""

    lock: Lock
    resolved: tuple[str, ...]
    compiled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A section without a solution, in the resolver's words. `met` are packages that it names and that images below
    have already: target, name and version."""

    image: Image
    section: str
    reason: str
    met: tuple[tuple[str, str, str], ...] = ()


class Failed(LockError):
    """Targets that could not be resolved."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{each.image.target}: {each.section}: {each.reason}" for each in problems))


class _No(Exception):
    """A section that has no solution."""

    def __init__(self, section: str, reason: str) -> None:
        super().__init__(reason)
        self.section, self.reason = section, reason


def update(
    project: Project,
    old: Lock,
    wish: Wish,
    tools: Tools,
    images: Mapping[str, str],
    cache: Path,
    say: Callable[[str], None],
) -> Updated:
    """The lock of the project as it is now. `images` are references to pin, and where each is pulled from; `say`
    hears of each step.

    Entries that nobody asks for any more are gone. Raises Failed with all targets that have no solution; those that
    stand on them are not tried.
    """
    stale = list(_wanted(project, old, wish))
    entries = {
        name: entry for name, entry in old.targets.items() if name in {i.target for i in locks.in_order(project)}
    }
    resolved: list[str] = []
    compiled: dict[str, tuple[str, ...]] = {}
    problems: list[Problem] = []
    with ThreadPoolExecutor(max_workers=8) as pool:
        digests = {
            reference: pool.submit(tools.digest, place)
            for reference, place in images.items()
            if reference not in old.images or (wish.upgrade is not None and not wish.upgrade)
        }
        waiting = list(locks.in_order(project))
        while waiting:
            undone = {image.target for image in waiting}
            ready = [i for i in waiting if not undone & {each.target for each in locks.foundation(project, i)}]
            ready = ready or waiting[:1]
            jobs = {}
            for image in ready:
                fits = image.target in entries and entries[image.target].inputs == locks.inputs(project, image, entries)
                if image.target in stale or not fits:
                    say(f"{image.target}: resolving")
                    jobs[image.target] = pool.submit(_entry, _job(project, image, old, entries, wish, tools, cache))
            failed = []
            for image in ready:
                if image.target in jobs:
                    try:
                        entries[image.target], compiled[image.target] = jobs[image.target].result()
                        resolved.append(image.target)
                    except _No as no:
                        problems.append(_problem(project, image, entries, no))
                        failed.append(image.target)
            gone = {image.target for image in ready}
            waiting = [
                image
                for image in waiting
                if image.target not in gone
                and not {each.target for each in locks.foundation(project, image)} & set(failed)
            ]
        if problems:
            raise Failed(problems)
        found = {reference: job.result() for reference, job in digests.items()}
    kept = {reference: old.images[reference] for reference in images if reference in old.images}
    return Updated(
        lock=Lock(images={**kept, **found}, targets=entries),
        resolved=tuple(resolved),
        compiled={target: names for target, names in compiled.items() if names},
    )


def _problem(project: Project, image: Image, entries: Mapping[str, Entry], no: _No) -> Problem:
    met = []
    for each in locks.foundation(project, image):
        for name, version in _versions(entries[each.target]).items() if each.target in entries else ():
            if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", no.reason):
                met.append((each.target, name, version))
    return Problem(image=image, section=no.section, reason=no.reason, met=tuple(met))


def _versions(entry: Entry) -> dict[str, str]:
    found = {package.name: package.version for packages in entry.conda.values() for package in packages}
    return found | npm.versions(entry.npm) | {package.name: package.version for package in entry.pip}


def _wanted(project: Project, old: Lock, wish: Wish) -> Iterable[str]:
    """Targets to resolve whatever their entry says."""
    for image in locks.in_order(project):
        entry = old.targets.get(image.target)
        chosen = wish.targets is None or image.target in wish.targets
        if entry is None or (chosen and wish.upgrade is not None and (not wish.upgrade or _has(entry, wish.upgrade))):
            yield image.target


def _has(entry: Entry, names: Collection[str]) -> bool:
    return not _versions(entry).keys().isdisjoint(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A target to resolve: its entry of before, those that it stands on, and what else counts.

    `platforms` are resolved as far as there are packages for them, `required` have to have them.
    """

    project: Project
    image: Image
    inputs: str
    before: Entry
    under: tuple[Entry, ...]
    platforms: tuple[str, ...]
    required: tuple[str, ...]
    around: Base
    wish: Wish
    tools: Tools
    cache: Path


def _job(
    project: Project, image: Image, old: Lock, entries: Mapping[str, Entry], wish: Wish, tools: Tools, cache: Path
) -> _Job:
    return _Job(
        project=project,
        image=image,
        inputs=locks.inputs(project, image, entries),
        before=old.targets.get(image.target, Entry(inputs="")),
        under=tuple(entries[each.target] for each in locks.foundation(project, image) if each.target in entries),
        platforms=image.platforms or ("linux/amd64", "linux/arm64"),
        required=image.platforms or ("linux/amd64",),
        around=base(locks.origin(project, image), image.distribution),
        wish=wish,
        tools=tools,
        cache=cache,
    )


def _entry(job: _Job) -> tuple[Entry, tuple[str, ...]]:
    """The entry of one target, and what of it has no wheel."""
    image = job.image
    solved = {SUBDIRS[platform]: answer for platform, answer in _conda(job)} if image.conda else {}
    packages = {subdir: answer.packages for subdir, answer in solved.items()}
    # A virtual environment has a pip of its own, which is to be pinned as well.
    wanted = image.conda.pip if image.conda else (*image.pip, "pip") if image.pip else ()
    python = _python(job, packages) if wanted else None
    resolved = _pip(job, wanted, python) if python else None
    dates = [answer.newest for answer in solved.values()] + [resolved.newest if resolved else None]
    entry = Entry(
        inputs=job.inputs,
        python=python,
        pip=resolved.packages if resolved else (),
        conda=packages,
        npm=_npm(job) if image.npm else {},
        newest=max((date for date in dates if date), default=None),
    )
    compiled = resolved.compiled if resolved else ()
    return entry, tuple(f"{name} {version} ({', '.join(where)})" for name, version, where in compiled)


def _conda(job: _Job) -> Iterator[tuple[str, conda.Solved]]:
    assert job.image.conda is not None
    upgrade = job.wish.upgrade
    for platform in job.platforms:
        subdir = SUBDIRS.get(platform)
        if subdir is None:
            raise _No("conda", f"conda has no packages for {platform}")
        before = () if upgrade is not None and not upgrade else job.before.conda.get(subdir, ())
        question = conda.Question(
            conda=job.image.conda,
            platform=platform,
            glibc=job.around.glibc or OLDEST_GLIBC,
            kept=tuple(package for package in before if not upgrade or package.name not in upgrade),
            fixed=tuple(package for entry in job.under for package in entry.conda.get(subdir, ())),
            mirror=job.project.mirrors.conda,
        )
        try:
            yield platform, conda.solve(question, job.cache)
        except LockError as error:
            if platform in job.required:
                raise _No("conda", str(error)) from error


def _python(job: _Job, packages: Mapping[str, tuple[CondaPackage, ...]]) -> str:
    """The version for which pip packages are chosen."""
    if job.image.conda:
        environments = (packages, *(entry.conda for entry in job.under))
        installed = (each for environment in environments for subdir in environment.values() for each in subdir)
        own = next((package.version for package in installed if package.name == "python"), None)
        if own is None:
            raise _No("conda", "pip packages in a conda environment without python; add python to its dependencies")
        return own
    python = job.project.python or job.around.python
    if python is None:
        origin = locks.origin(job.project, job.image)
        raise _No("pip", f"which Python '{origin}' has is not known; set python.version")
    return python


def _pip(job: _Job, wanted: Iterable[str], python: str) -> pip.Resolved:
    environment = pip.Environment(python=python, platforms=job.platforms, required=job.required, glibc=job.around.glibc)
    fixed = {package.name: package for entry in job.under for package in entry.pip}
    arguments = pip.command(environment, constrained=bool(fixed), upgrade=job.wish.upgrade, offline=job.wish.offline)
    index = job.project.mirrors.pip
    with TemporaryDirectory(prefix="orbiter-lock-") as name:
        folder = Path(name)
        (folder / "requirements.in").write_text("".join(f"{requirement}\n" for requirement in wanted))
        (folder / "pyproject.toml").write_text(pip.pyproject(environment))
        if job.before.pip:
            (folder / "pylock.toml").write_text(pip.preferences(job.before.pip))
        (folder / "constraints.txt").write_text(pip.constraints(fixed.values()))
        try:
            job.tools.uv(arguments, folder, {"UV_DEFAULT_INDEX": index} if index else {})
            return pip.read((folder / "pylock.toml").read_text(), environment)
        except (LockError, pip.Unusable) as error:
            raise _No("pip", str(error)) from error


def _npm(job: _Job) -> Mapping[str, Any]:
    own, registry = pins.names(job.image.npm), job.project.mirrors.npm
    below = {name: version for entry in job.under for name, version in npm.versions(entry.npm).items()}
    specs = (*job.image.npm, *(f"{name}@{version}" for name, version in below.items() if name not in own))
    with TemporaryDirectory(prefix="orbiter-lock-") as name:
        folder = Path(name)
        (folder / "package.json").write_text(json.dumps(pins.package(specs)))
        if job.before.npm and job.wish.upgrade is None:
            (folder / "package-lock.json").write_text(json.dumps(pins.package_lock(job.before.npm)))
        try:
            job.tools.npm(
                npm.command(offline=job.wish.offline), folder, {"NPM_CONFIG_REGISTRY": registry} if registry else {}
            )
        except LockError as error:
            raise _No("npm", str(error)) from error
        return npm.read((folder / "package-lock.json").read_text(), registry)
