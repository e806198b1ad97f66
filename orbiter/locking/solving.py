"""One image, resolved: what its resolvers are asked, and the entry of the lock that their answers make."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from orbiter import lock as locks
from orbiter import output, pins
from orbiter.errors import EngineError, LockError, UsageError
from orbiter.lock import CondaPackage, Entry, PipPackage
from orbiter.locking import conda, npm, pip, sources
from orbiter.locking.bases import OLDEST_GLIBC, Base
from orbiter.locking.sources import Source
from orbiter.model import Image, Project
from orbiter.pins import SUBDIRS


class Tools(Protocol):
    """What a lock needs from outside. All methods but `stop` raise EngineError, and LockError for an answer that is
    a no; several threads call them."""

    def uv(self, arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> str:
        """Runs uv in a folder. Returns what it says beside its answer."""

    def npm(self, arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
        """Runs npm in a folder."""

    def digest(self, reference: str) -> str:
        """The digest of an image in its registry, as the builder finds it: `sha256:…`."""

    def stop(self) -> None:
        """Ends what is running, in any thread, and refuses what comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to resolve beside the stale.

    `upgrade` are names of packages and references of images whose versions do not count any more; empty: all of them;
    None: only the stale. `targets` limits all of it to these, what they stand on, and what stands on them; None: no
    limit. `platforms` are those of images that name none themselves; None: those of the old lock.
    """

    upgrade: frozenset[str] | None = None
    targets: frozenset[str] | None = None
    platforms: tuple[str, ...] | None = None
    offline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A target, resolved."""

    entry: Entry
    compiled: tuple[str, ...] = ()
    yanked: tuple[str, ...] = ()


class No(Exception):
    """A section that has no solution. `hint` is the way out where it is not in what images below have."""

    def __init__(
        self, section: str, reason: str, suits: Mapping[str, str] | None = None, hint: str | None = None
    ) -> None:
        super().__init__(reason)
        self.section, self.reason, self.suits, self.hint = section, reason, suits or {}, hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A target to resolve: its entry of before, the images that it stands on with theirs, and what else counts.

    `platforms` are resolved as far as there are packages for them, `required` have to have them. `cache` is a folder
    for what never changes.
    """

    project: Project
    image: Image
    inputs: str
    before: Entry
    under: tuple[Entry, ...]
    below: tuple[Image, ...]
    platforms: tuple[str, ...]
    required: tuple[str, ...]
    around: Base
    wish: Wish
    tools: Tools
    solver: conda.Solver
    cache: Path


def solve(job: Job) -> Answer:
    """Resolves a target. Raises No if one of its sections has no solution, and EngineError."""
    try:
        return _solved(job)
    except EngineError as error:
        raise EngineError(f"{job.image.target}: {error}") from error


def fetch(job: Job) -> None:
    """Fills uv's cache with what the answer will need.

    Under versions that are fixed, uv walks from one package to the next, and waits for the index each time: without,
    it asks for many at once. The answer to this question counts for nothing, so it may be asked before there are
    versions to fix, and no code of a source is run for it.
    """
    fixed = {package.name: package for entry in reversed(job.under) for package in entry.pip}
    likely = {package.name: package for package in job.before.pip} | fixed
    job = replace(job, before=replace(job.before, pip=tuple(likely.values())))
    with suppress(No, LockError, EngineError):
        _asked(job, _environment(job, _python(job, {})), _wanted(job.image), "", build=False)


def _solved(job: Job) -> Answer:
    image = job.image
    solved = {SUBDIRS[platform]: answer for platform, answer in _conda(job)} if image.conda else {}
    packages = {subdir: answer.packages for subdir, answer in solved.items()}
    wanted = _wanted(image)
    python = _python(job, packages) if wanted else None
    environments = (packages, *(entry.conda for entry in job.under)) if image.conda else ()
    installed = [each for environment in environments for subdir in environment.values() for each in subdir]
    resolved = _pip(job, wanted, python, installed) if python else None
    build = _build(job, resolved, python, installed) if resolved and python else None
    dates = [answer.newest for answer in solved.values()] + [resolved.newest if resolved else None]
    entry = Entry(
        inputs=job.inputs,
        python=python,
        pip=resolved.packages if resolved else (),
        conda=packages,
        npm=_npm(job) if image.npm else {},
        newest=max((date for date in dates if date), default=None),
        build=build.packages if build else (),
    )
    if resolved is None:
        return Answer(entry=entry)
    compiled = tuple(f"{name} {version} ({', '.join(where)})" for name, version, where in resolved.compiled)
    return Answer(entry=entry, compiled=compiled, yanked=resolved.yanked + (build.yanked if build else ()))


def _conda(job: Job) -> Iterator[tuple[str, conda.Solved]]:
    assert job.image.conda is not None
    upgrade = job.wish.upgrade
    for platform in job.platforms:
        subdir = SUBDIRS.get(platform)
        if subdir is None:
            raise No("conda", f"conda has no packages for {platform}")
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
            yield platform, job.solver.solve(question)
        except LockError as error:
            if platform in job.required:
                raise No("conda", str(error)) from error


def _python(job: Job, packages: Mapping[str, tuple[CondaPackage, ...]]) -> str:
    """The version for which pip packages are chosen."""
    if job.image.conda:
        environments = (packages, *(entry.conda for entry in job.under))
        installed = (each for environment in environments for subdir in environment.values() for each in subdir)
        own = next((package.version for package in installed if package.name == "python"), None)
        if own is None:
            raise No("conda", "pip packages in a conda environment without python; add python to its dependencies")
        return own
    python = job.project.python or job.around.python
    if python is None:
        origin = locks.origin(job.project, job.image)
        raise No("pip", f"which Python '{origin}' has is not known; set python.version")
    return python


def _pip(job: Job, wanted: Iterable[str], python: str, conda_packages: Iterable[CondaPackage]) -> pip.Resolved:
    environment = _environment(job, python)
    fixed = {package.name: package for entry in reversed(job.under) for package in entry.pip}
    there = pip.provided(conda_packages)
    try:
        resolved = _compiled(job, environment, wanted, fixed.values(), there)
    except LockError as error:
        raise No("pip", str(error), _suiting(job, environment, wanted) if fixed else None) from error
    return pip.without(resolved, there)


def _environment(job: Job, python: str) -> pip.Environment:
    return pip.Environment(python=python, platforms=job.platforms, required=job.required, glibc=job.around.glibc)


def _suiting(job: Job, environment: pip.Environment, wanted: Iterable[str]) -> dict[str, str]:
    """The versions that an image and those below it could agree on; nothing if there are none."""
    below = (requirement for image in job.below for requirement in _wanted(image))
    try:
        answer = _compiled(replace(job, before=Entry(inputs="")), environment, (*wanted, *below), (), {})
    except LockError:
        return {}
    return {package.name: package.version for package in answer.packages}


def _wanted(image: Image) -> tuple[str, ...]:
    """The requirements of an image."""
    # A virtual environment has a pip of its own, which is to be pinned as well.
    return image.conda.pip if image.conda else (*image.pip, "pip") if image.pip else ()


def _compiled(
    job: Job,
    environment: pip.Environment,
    wanted: Iterable[str],
    fixed: Iterable[PipPackage],
    there: Mapping[str, str],
) -> pip.Resolved:
    """uv's answer. Raises LockError if it is a no."""
    text, said = _asked(job, environment, wanted, pip.constraints(fixed, there))
    try:
        return replace(pip.read(text, environment), yanked=pip.yanked(said))
    except pip.Unusable as error:
        raise LockError(str(error)) from error


def _asked(
    job: Job, environment: pip.Environment, wanted: Iterable[str], constraints: str, *, build: bool = True
) -> tuple[str, str]:
    """The pylock.toml of uv, and what uv says besides."""
    arguments = pip.command(
        environment,
        interpreter=sys.executable,
        constrained=bool(constraints),
        upgrade=job.wish.upgrade,
        offline=job.wish.offline,
        build=build,
    )
    with TemporaryDirectory(prefix="orbiter-lock-") as name:
        folder = Path(name)
        (folder / "requirements.in").write_text("".join(f"{requirement}\n" for requirement in wanted))
        (folder / "pyproject.toml").write_text(pip.pyproject(environment))
        if job.before.pip:
            (folder / "pylock.toml").write_text(pip.preferences(job.before.pip))
        (folder / "constraints.txt").write_text(constraints)
        said = job.tools.uv(arguments, folder, pip.variables(job.project.mirrors.pip, os.environ))
        return (folder / "pylock.toml").read_text(), said


def _build(
    job: Job, resolved: pip.Resolved, python: str, conda_packages: Iterable[CondaPackage]
) -> pip.Resolved | None:
    """What the sources are built with, and those of the answer again; None where an installer cannot be held to it."""
    if job.image.conda and not pip.takes_constraints(conda_packages):
        return None
    if not all(package.files for package in resolved.packages):
        return None
    job = replace(job, before=Entry(inputs="", pip=job.before.build))
    needs: dict[Source, tuple[str, ...]] = {}
    found = None
    while missing := [source for source in (found or resolved).sources if source not in needs]:
        needs |= {source: _requires(job, source) for source in missing}
        wanted = dict.fromkeys(each for several in needs.values() for each in several)
        if not wanted:
            continue
        try:
            found = _compiled(job, _environment(job, python), wanted, (), {})
        except LockError as error:
            named = (f"{source.name} {source.version} needs {', '.join(several)}" for source, several in needs.items())
            raise No("pip", "\n".join(["it cannot be built:", *named, str(error)]), hint=_WAY_OUT) from error
    return found


_WAY_OUT = "ask for versions that have wheels or whose builds agree, or install them in different images"


def _requires(job: Job, source: Source) -> tuple[str, ...]:
    try:
        return sources.requires(_texts(job, source))
    except (LockError, ValueError) as error:
        reason = f"what {source.name} {source.version} needs to be built is not known: {error}"
        raise No("pip", reason, hint=_WAY_OUT) from error


def _texts(job: Job, source: Source) -> sources.Texts:
    """The files of a source that tell what it needs: as they were read once, or unpacked by uv."""
    known = job.cache / "sources" / f"{source.sha256}.json"
    with suppress(OSError, ValueError):
        texts: sources.Texts = json.loads(known.read_bytes())
        return texts
    if job.wish.offline:
        raise EngineError(f"what {source.name} {source.version} needs to be built is not cached: --offline reads none")
    with TemporaryDirectory(prefix="orbiter-lock-") as name:
        folder = Path(name)
        (folder / "source.txt").write_text(source.requirement)
        try:
            said = job.tools.uv(
                sources.command(sys.executable), folder, pip.variables(job.project.mirrors.pip, os.environ)
            )
        except LockError as error:
            said = str(error)
        # Whatever the layout of uv's cache is: the root of a source is the folder with such a file that lies highest.
        files = [path for path in (folder / "cache").rglob("*") if path.name in (*sources.NAMES, "PKG-INFO")]
        if not files:
            raise LockError(said)
        root = min(files, key=lambda path: len(path.parts)).parent
        paths = [root / each for each in sources.NAMES]
        texts = {path.name: path.read_text("utf-8-sig", "replace") for path in paths if path in files and _own(path)}
    with suppress(OSError, UsageError):
        known.parent.mkdir(parents=True, exist_ok=True)
        output.replace(known, json.dumps(texts).encode())
    return texts


def _own(path: Path) -> bool:
    """Whether it is a file, and no link that leads elsewhere."""
    return path.is_file() and not path.is_symlink()


def _npm(job: Job) -> Mapping[str, Any]:
    own, registry = pins.names(job.image.npm), job.project.mirrors.npm
    below = {name: version for entry in reversed(job.under) for name, version in npm.versions(entry.npm).items()}
    asked = pins.package((*job.image.npm, *(f"{name}@{version}" for name, version in below.items() if name not in own)))
    # npm keeps what an old lock has as far as it fits: versions of before, and those below, which count more.
    before = npm.kept(job.before.npm, job.wish.upgrade)
    for entry in reversed(job.under):
        before |= entry.npm
    with TemporaryDirectory(prefix="orbiter-lock-") as name:
        folder = Path(name)
        (folder / "package.json").write_text(json.dumps(asked))
        if before:
            (folder / "package-lock.json").write_text(json.dumps(pins.package_lock({**before, "": asked})))
        try:
            job.tools.npm(
                npm.command(offline=job.wish.offline), folder, {"NPM_CONFIG_REGISTRY": registry} if registry else {}
            )
        except LockError as error:
            raise No("npm", str(error)) from error
        packages = npm.read((folder / "package-lock.json").read_text(), registry)
    others = [name for name, version in below.items() if npm.versions(packages).get(name) != version]
    if others:
        raise No("npm", f"what it asks for does not fit {', '.join(f'{name} {below[name]}' for name in others)}")
    return packages
