"""A lock brought up to date: what is stale is resolved anew, what nothing stands on first, several at a time."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from orbiter import lock as locks
from orbiter import pins
from orbiter.errors import EngineError, LockError, NothingMatched
from orbiter.lock import CondaPackage, Entry, Lock, PipPackage
from orbiter.locking import conda, npm, pip
from orbiter.locking.bases import OLDEST_GLIBC, Base, base
from orbiter.model import Image, Project
from orbiter.packages import folded
from orbiter.pins import SUBDIRS
from orbiter.schema import did_you_mean


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
class Updated:
    """The new lock, the targets that were resolved, and by target what has to be compiled because there is no wheel,
    and what its authors have taken back since."""

    lock: Lock
    resolved: tuple[str, ...]
    compiled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    yanked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """A target, resolved."""

    entry: Entry
    compiled: tuple[str, ...] = ()
    yanked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A section without a solution, in the resolver's words.

    `met` are packages that it names and that images below have already: target, name and version. `suits` are versions
    of these that both could do with: name and version.
    """

    image: Image
    section: str
    reason: str
    met: tuple[tuple[str, str, str], ...] = ()
    suits: tuple[tuple[str, str], ...] = ()


class Failed(LockError):
    """Targets that could not be resolved."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{each.image.target}: {each.section}: {each.reason}" for each in problems))


class _No(Exception):
    """A section that has no solution."""

    def __init__(self, section: str, reason: str, suits: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.section, self.reason, self.suits = section, reason, suits or {}


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
    hears of each answer.

    Entries that nobody asks for any more are gone. Raises Failed with all targets that have no solution; those that
    stand on them are not tried. An EngineError, or an interrupt, ends whatever is running.
    """
    platforms = old.platforms if wish.platforms is None else wish.platforms
    solver = conda.Solver(cache, offline=wish.offline)
    work = _Work(project, old, wish, tools, solver, platforms, say)
    pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="lock")
    ahead = ThreadPoolExecutor(max_workers=2, thread_name_prefix="ahead")
    try:
        work.run(pool, ahead, images)
    except BaseException:
        solver.stop()
        raise
    finally:
        tools.stop()
        ahead.shutdown(cancel_futures=True)
        pool.shutdown(cancel_futures=True)
    if work.problems:
        raise Failed(sorted(work.problems, key=lambda problem: list(project.images).index(problem.image.target)))
    kept = {reference: old.images[reference] for reference in images if reference in old.images}
    return Updated(
        lock=Lock(images={**kept, **work.digests}, targets=work.entries, platforms=platforms),
        resolved=tuple(work.answers),
        compiled={target: answer.compiled for target, answer in sorted(work.answers.items()) if answer.compiled},
        yanked={target: answer.yanked for target, answer in sorted(work.answers.items()) if answer.yanked},
    )


class _Work:
    """The state of an update. Only the main thread touches it: others get a _Job and return an answer."""

    def __init__(
        self,
        project: Project,
        old: Lock,
        wish: Wish,
        tools: Tools,
        solver: conda.Solver,
        platforms: tuple[str, ...],
        say: Callable[[str], None],
    ) -> None:
        self._project, self._old, self._wish, self._tools = project, old, wish, tools
        self._solver, self._platforms, self._say = solver, platforms, say
        self._below = locks.foundations(project)
        self._order = tuple(locks.in_order(project, self._below))
        targets = {image.target for image in self._order}
        self._upgraded, self._allowed = _limits(self._below, wish.targets)
        self.entries = {name: entry for name, entry in old.targets.items() if name in targets}
        self.digests: dict[str, str] = {}
        self.answers: dict[str, _Answer] = {}
        self.problems: list[Problem] = []
        self._fetching: dict[str, Future[None]] = {}

    def run(self, pool: ThreadPoolExecutor, ahead: ThreadPoolExecutor, images: Mapping[str, str]) -> None:
        began = time.monotonic()
        wanted = {reference: place for reference, place in images.items() if self._asks(reference)}
        asked: dict[Future[str], str] = {
            pool.submit(self._tools.digest, place): reference for reference, place in wanted.items()
        }
        waiting = list(self._order)
        solved: dict[Future[_Answer], Image] = {}
        while True:
            # What stands on nothing that is still to come; of a circle, the first.
            undone = {image.target for image in (*waiting, *solved.values())}
            ready = [image for image in waiting if undone.isdisjoint(self._names_below(image))]
            for image in ready or (waiting[:1] if not solved else []):
                waiting.remove(image)
                if self._has_to_be_solved(image):
                    solved[pool.submit(_answer, self._job(image))] = image
                    self._fetch_for(image, waiting, ahead)
                    ready = []
            if ready and waiting:
                continue  # what fits as it is lets others begin
            if not asked and not solved:
                return
            pending: list[Future[Any]] = [*asked, *solved]
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for job in done:
                took = f"{time.monotonic() - began:.1f} s"
                if job in asked:
                    reference = asked.pop(job)
                    self.digests[reference] = job.result()
                    self._say(f"{reference}: {job.result()[:19]}, {took}")
                    continue
                image = solved.pop(job)
                if image.target in self._fetching:
                    self._fetching[image.target].cancel()
                try:
                    self.answers[image.target] = answer = job.result()
                    self.entries[image.target] = answer.entry
                    self._say(f"{image.target}: {_counted(answer.entry)}, {took}")
                except _No as no:
                    self.problems.append(_problem(image, self._below[image.target], self.entries, no))
                    self._say(f"{image.target}: no solution, {took}")
                    waiting = [each for each in waiting if image.target not in self._names_below(each)]

    def _fetch_for(self, image: Image, waiting: Iterable[Image], ahead: ThreadPoolExecutor) -> None:
        """Has uv's cache filled for an image that is about to be resolved, and for those that wait for it: its answer
        will most likely concern them."""
        for each in (image, *waiting):
            below = self._names_below(each)
            stacked = below if each is image else image.target in below and each.target in self._allowed
            if stacked and each.pip and each.target not in self._fetching and not self._wish.offline:
                self._fetching[each.target] = ahead.submit(_fetch, self._job(each))

    def _asks(self, reference: str) -> bool:
        """Whether the digest of that image is to be asked for."""
        if reference in self._old.images:
            upgrade = self._wish.upgrade
            return upgrade is not None and (reference in upgrade or (not upgrade and self._wish.targets is None))
        if self._wish.offline:
            raise EngineError(f"{reference} is not in the lock yet, and --offline asks no registry")
        return True

    def _has_to_be_solved(self, image: Image) -> bool:
        entry = self.entries.get(image.target)
        if image.target not in self._allowed:
            return False
        if entry is None or entry.inputs != self._inputs(image):
            return True
        upgrade = self._wish.upgrade
        return upgrade is not None and image.target in self._upgraded and (not upgrade or bool(upgrade & names(entry)))

    def _inputs(self, image: Image) -> str:
        return locks.inputs(self._project, image, self._under(image), self._platforms)

    def _under(self, image: Image) -> tuple[Entry, ...]:
        return tuple(self.entries[name] for name in self._names_below(image) if name in self.entries)

    def _names_below(self, image: Image) -> list[str]:
        return [each.target for each in self._below[image.target]]

    def _job(self, image: Image) -> "_Job":
        wish = self._wish if image.target in self._upgraded else replace(self._wish, upgrade=None)
        given = image.platforms or self._platforms
        return _Job(
            project=self._project,
            image=image,
            inputs=self._inputs(image),
            before=self._old.targets.get(image.target, Entry(inputs="")),
            under=self._under(image),
            below=self._below[image.target],
            platforms=given or ("linux/amd64", "linux/arm64"),
            required=given or ("linux/amd64",),
            around=base(locks.origin(self._project, image), image.distribution),
            wish=wish,
            tools=self._tools,
            solver=self._solver,
        )


def _limits(below: locks.Foundations, targets: Collection[str] | None) -> tuple[frozenset[str], frozenset[str]]:
    """What may be upgraded: the targets and what stands on them; and what may be resolved: what they stand on, too."""
    if targets is None:
        return frozenset(below), frozenset(below)
    under = {target: {each.target for each in images} for target, images in below.items()}
    upgraded = frozenset(target for target in below if target in targets or under[target] & set(targets))
    return upgraded, upgraded.union(*(under[target] for target in upgraded))


def _counted(entry: Entry) -> str:
    """`12 pip, 340 conda (linux-64), 3 npm`."""
    parts = [f"{len(entry.pip)} pip"] if entry.pip else []
    parts += [f"{len(packages)} conda ({subdir})" for subdir, packages in entry.conda.items()]
    return ", ".join(parts + ([f"{len(entry.npm) - 1} npm"] if entry.npm else []))


def _problem(image: Image, below: Iterable[Image], entries: Mapping[str, Entry], no: _No) -> Problem:
    met = []
    for each in below:
        for name, version in _versions(entries[each.target]).items() if each.target in entries else ():
            if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", no.reason):
                met.append((each.target, name, version))
    named = {name for _, name, _ in met}
    suits = tuple((name, version) for name, version in no.suits.items() if name in named)
    return Problem(image=image, section=no.section, reason=no.reason, met=tuple(met), suits=suits)


def _versions(entry: Entry) -> dict[str, str]:
    found = {package.name: package.version for packages in entry.conda.values() for package in packages}
    return found | npm.versions(entry.npm) | {package.name: package.version for package in entry.pip}


def names(entry: Entry) -> frozenset[str]:
    """The names of all packages of an entry."""
    return frozenset(_versions(entry)) | npm.every(entry.npm)


def known(lock: Lock, given: Iterable[str]) -> frozenset[str]:
    """The names of packages and references of images of the lock that are meant. Raises NothingMatched."""
    every = frozenset(lock.images).union(*map(names, lock.targets.values()))
    found = set()
    for name in given:
        spelled = name if name in every else folded(name)
        if spelled not in every:
            raise NothingMatched(f"nothing in {locks.FILE} is called '{name}'; {did_you_mean(name, every)}")
        found.add(spelled)
    return frozenset(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A target to resolve: its entry of before, the images that it stands on with theirs, and what else counts.

    `platforms` are resolved as far as there are packages for them, `required` have to have them.
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


def _fetch(job: _Job) -> None:
    """Fills uv's cache with what the answer will need.

    Under versions that are fixed, uv walks from one package to the next, and waits for the index each time: without,
    it asks for many at once. The answer to this question counts for nothing, so it may be asked before there are
    versions to fix, and no code of a source is run for it.
    """
    fixed = {package.name: package for entry in reversed(job.under) for package in entry.pip}
    likely = {package.name: package for package in job.before.pip} | fixed
    job = replace(job, before=replace(job.before, pip=tuple(likely.values())))
    with suppress(_No, LockError, EngineError):
        _asked(job, _environment(job, _python(job, {})), _wanted(job.image), "", build=False)


def _answer(job: _Job) -> _Answer:
    try:
        return _solved(job)
    except EngineError as error:
        raise EngineError(f"{job.image.target}: {error}") from error


def _solved(job: _Job) -> _Answer:
    image = job.image
    solved = {SUBDIRS[platform]: answer for platform, answer in _conda(job)} if image.conda else {}
    packages = {subdir: answer.packages for subdir, answer in solved.items()}
    wanted = _wanted(image)
    python = _python(job, packages) if wanted else None
    environments = (packages, *(entry.conda for entry in job.under)) if image.conda else ()
    installed = [each for environment in environments for subdir in environment.values() for each in subdir]
    resolved = _pip(job, wanted, python, installed) if python else None
    dates = [answer.newest for answer in solved.values()] + [resolved.newest if resolved else None]
    entry = Entry(
        inputs=job.inputs,
        python=python,
        pip=resolved.packages if resolved else (),
        conda=packages,
        npm=_npm(job) if image.npm else {},
        newest=max((date for date in dates if date), default=None),
    )
    if resolved is None:
        return _Answer(entry=entry)
    compiled = tuple(f"{name} {version} ({', '.join(where)})" for name, version, where in resolved.compiled)
    return _Answer(entry=entry, compiled=compiled, yanked=resolved.yanked)


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
            yield platform, job.solver.solve(question)
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


def _pip(job: _Job, wanted: Iterable[str], python: str, conda_packages: Iterable[CondaPackage]) -> pip.Resolved:
    environment = _environment(job, python)
    fixed = {package.name: package for entry in reversed(job.under) for package in entry.pip}
    there = pip.provided(conda_packages)
    try:
        resolved = _compiled(job, environment, wanted, fixed.values(), there)
    except LockError as error:
        raise _No("pip", str(error), _suiting(job, environment, wanted) if fixed else None) from error
    return pip.without(resolved, there)


def _environment(job: _Job, python: str) -> pip.Environment:
    return pip.Environment(python=python, platforms=job.platforms, required=job.required, glibc=job.around.glibc)


def _suiting(job: _Job, environment: pip.Environment, wanted: Iterable[str]) -> dict[str, str]:
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
    job: _Job,
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
    job: _Job, environment: pip.Environment, wanted: Iterable[str], constraints: str, *, build: bool = True
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


def _npm(job: _Job) -> Mapping[str, Any]:
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
            raise _No("npm", str(error)) from error
        packages = npm.read((folder / "package-lock.json").read_text(), registry)
    others = [name for name, version in below.items() if npm.versions(packages).get(name) != version]
    if others:
        raise _No("npm", f"what it asks for does not fit {', '.join(f'{name} {below[name]}' for name in others)}")
    return packages
