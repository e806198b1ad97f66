"""A lock brought up to date: what is stale is resolved anew, what nothing stands on first, several at a time."""

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orbiter import lock as locks
from orbiter.errors import EngineError, LockError, NothingMatched
from orbiter.lock import Entry, Lock
from orbiter.locking import conda, npm
from orbiter.locking.bases import base
from orbiter.locking.solving import Answer, Job, No, Tools, Wish, fetch, solve
from orbiter.model import Image, Project
from orbiter.packages import folded
from orbiter.schema import did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """The new lock, the targets that were resolved, and by target what has to be compiled because there is no wheel,
    and what its authors have taken back since."""

    lock: Lock
    resolved: tuple[str, ...]
    compiled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    yanked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A section without a solution, in the resolver's words.

    `met` are packages that it names and that images below have already: target, name and version. `suits` are versions
    of these that both could do with: name and version. `hint` is another way out, which has nothing to do with these.
    """

    image: Image
    section: str
    reason: str
    met: tuple[tuple[str, str, str], ...] = ()
    suits: tuple[tuple[str, str], ...] = ()
    hint: str | None = None


class Failed(LockError):
    """Targets that could not be resolved."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{each.image.target}: {each.section}: {each.reason}" for each in problems))


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
    stand on them are not tried. An EngineError, or an interrupt, ends whatever is running; after a target without a
    solution the error is only said.
    """
    platforms = old.platforms if wish.platforms is None else wish.platforms
    solver = conda.Solver(cache, offline=wish.offline)
    work = _Work(project, old, wish, tools, solver, cache, platforms, say)
    pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="lock")
    ahead = ThreadPoolExecutor(max_workers=2, thread_name_prefix="ahead")
    try:
        work.run(pool, ahead, images)
    except BaseException as error:
        solver.stop()
        if not (work.problems and isinstance(error, EngineError)):
            raise
        say(str(error))
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
    """The state of an update. Only the main thread touches it: others get a Job and return an answer."""

    def __init__(
        self,
        project: Project,
        old: Lock,
        wish: Wish,
        tools: Tools,
        solver: conda.Solver,
        cache: Path,
        platforms: tuple[str, ...],
        say: Callable[[str], None],
    ) -> None:
        self._project, self._old, self._wish, self._tools = project, old, wish, tools
        self._solver, self._cache, self._platforms, self._say = solver, cache, platforms, say
        self._below = locks.foundations(project)
        self._order = tuple(locks.in_order(project, self._below))
        targets = {image.target for image in self._order}
        self._upgraded, self._allowed = _limits(self._below, wish.targets)
        self.entries = {name: entry for name, entry in old.targets.items() if name in targets}
        self.digests: dict[str, str] = {}
        self.answers: dict[str, Answer] = {}
        self.problems: list[Problem] = []
        self._fetching: dict[str, Future[None]] = {}

    def run(self, pool: ThreadPoolExecutor, ahead: ThreadPoolExecutor, images: Mapping[str, str]) -> None:
        began = time.monotonic()
        wanted = {reference: place for reference, place in images.items() if self._asks(reference)}
        asked: dict[Future[str], str] = {
            pool.submit(self._tools.digest, place): reference for reference, place in wanted.items()
        }
        waiting = list(self._order)
        solved: dict[Future[Answer], Image] = {}
        while True:
            # What stands on nothing that is still to come; of a circle, the first.
            undone = {image.target for image in (*waiting, *solved.values())}
            ready = [image for image in waiting if undone.isdisjoint(self._names_below(image))]
            for image in ready or (waiting[:1] if not solved else []):
                waiting.remove(image)
                if self._has_to_be_solved(image):
                    solved[pool.submit(solve, self._job(image))] = image
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
                except No as no:
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
                self._fetching[each.target] = ahead.submit(fetch, self._job(each))

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

    def _job(self, image: Image) -> Job:
        wish = self._wish if image.target in self._upgraded else replace(self._wish, upgrade=None)
        given = image.platforms or self._platforms
        return Job(
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
            cache=self._cache,
        )


def _limits(below: locks.Foundations, targets: Collection[str] | None) -> tuple[frozenset[str], frozenset[str]]:
    """What may be upgraded: the targets and what stands on them; and what may be resolved: what they stand on, too."""
    if targets is None:
        return frozenset(below), frozenset(below)
    under = {target: {each.target for each in images} for target, images in below.items()}
    upgraded = frozenset(target for target in below if target in targets or under[target] & set(targets))
    return upgraded, upgraded.union(*(under[target] for target in upgraded))


def _counted(entry: Entry) -> str:
    """`12 pip, 2 to build, 340 conda (linux-64), 3 npm`."""
    parts = [f"{len(entry.pip)} pip"] if entry.pip else []
    parts += [f"{len(entry.build)} to build"] if entry.build else []
    parts += [f"{len(packages)} conda ({subdir})" for subdir, packages in entry.conda.items()]
    return ", ".join(parts + ([f"{len(entry.npm) - 1} npm"] if entry.npm else []))


def _problem(image: Image, below: Iterable[Image], entries: Mapping[str, Entry], no: No) -> Problem:
    met = []
    for each in () if no.hint else below:
        for name, version in _versions(entries[each.target]).items() if each.target in entries else ():
            if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", no.reason):
                met.append((each.target, name, version))
    named = {name for _, name, _ in met}
    suits = tuple((name, version) for name, version in no.suits.items() if name in named)
    return Problem(image=image, section=no.section, reason=no.reason, met=tuple(met), suits=suits, hint=no.hint)


def _versions(entry: Entry) -> dict[str, str]:
    found = {package.name: package.version for packages in entry.conda.values() for package in packages}
    return found | npm.versions(entry.npm) | {package.name: package.version for package in entry.pip}


def names(entry: Entry) -> frozenset[str]:
    """The names of all packages of an entry."""
    return frozenset(_versions(entry)) | npm.every(entry.npm) | {package.name for package in entry.build}


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
