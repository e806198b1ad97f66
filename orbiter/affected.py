"""Two states of a project, and the files that changed between them → the targets that a build makes anew, and why.

What a layer is made of decides: the generated files as `content` compares them, and files that `copy` names. A new
tag or platform of an image is to be published, so it counts as well. What neither the configuration nor Git has, as
the bytes of base images and packages without a lock, cannot be seen.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from posixpath import normpath
from typing import Any

from orbiter.content import hashes
from orbiter.errors import UsageError
from orbiter.model import BuildPlan, FileSet, Target
from orbiter.plan import tags

MATRIX_JOBS = 256
"""The jobs that GitHub allows in a matrix: https://docs.github.com/en/actions/reference/limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A project at some time: its plan, and the generated files that go with it."""

    plan: BuildPlan
    files: FileSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """The targets that are built anew: name → why, in the order of the plan; and those that are no more.

    `revision` is what they are compared with, None if everything is meant.
    """

    plan: BuildPlan
    revision: str | None
    reasons: Mapping[str, tuple[str, ...]]
    removed: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[Target, ...]:
        return tuple(target for target in self.plan.targets if target.name in self.reasons)

    @property
    def levels(self) -> tuple[tuple[Target, ...], ...]:
        """The targets in the order of a build: those of a level need one of the level before, and none of their own."""
        return self._levels({target.name for target in self.targets}, self.targets)

    @property
    def published_levels(self) -> tuple[tuple[Target, ...], ...]:
        """The published images alone, as jobs by level: a nested build is built in the job of what needs it."""
        published = tuple(target for target in self.targets if target.image.deployable)
        return self._levels({target.name for target in published}, published)

    def _levels(self, counted: set[str], shown: tuple[Target, ...]) -> tuple[tuple[Target, ...], ...]:
        """The targets that are shown, by the most counted ones on a way down to what is not affected."""
        by_name = {target.name: target for target in self.targets}
        found: dict[str, int] = {}
        for target in _parents_first(self.plan):
            if target.name in by_name:
                needs = [need for need in target.needs if need in by_name]
                found[target.name] = max((found[need] + (need in counted) for need in needs), default=0)
        numbers = range(max((found[target.name] for target in shown), default=-1) + 1)
        return tuple(tuple(target for target in shown if found[target.name] == number) for number in numbers)


def everything(plan: BuildPlan, revision: str | None, reason: str) -> Affected:
    """Every target of the plan, for one reason."""
    return Affected(plan=plan, revision=revision, reasons={target.name: (reason,) for target in plan.targets})


def compare(now: State, then: State, changed: Iterable[str], revision: str) -> Affected:
    """What differs between two states. `changed` are files of the project, as paths in it."""
    before = {target.name: target for target in then.plan.targets}
    own_now, own_then = _own(now), _own(then)
    paths = tuple(changed)
    reasons: dict[str, tuple[str, ...]] = {}
    rebuilt: set[str] = set()
    for target in _parents_first(now.plan):
        old = before.get(target.name)
        if old is None:
            found, published = ["new"], []
        else:
            own = own_now[target.name] != own_then[target.name]
            found = [*(_own_reasons(target, old, now, then) if own else ())]
            found += (f"copy: {path}" for source, _ in target.image.copy for path in paths if _concerns(path, source))
            found += (f"needs {need}" for need in target.needs if need in rebuilt)
            found += ["built from other targets"] * (target.needs != old.needs)
            published = list(_publishing(now.plan, target, then.plan, old))
        rebuilt |= {target.name} if found else set()
        if found or published:
            reasons[target.name] = (*found, *published)
    return Affected(
        plan=now.plan,
        revision=revision,
        reasons={target.name: reasons[target.name] for target in now.plan.targets if target.name in reasons},
        removed=tuple(name for name in before if name not in own_now),
    )


def narrowed(affected: Affected, plan: BuildPlan) -> Affected:
    """Of what is affected, that which a restricted plan has."""
    names = {target.name for target in plan.targets}
    reasons = {name: why for name, why in affected.reasons.items() if name in names}
    return replace(affected, plan=plan, reasons=reasons, removed=())


def _own(state: State) -> Mapping[str, str]:
    """The hash of each target without those that it is built from."""
    alone = tuple(replace(target, needs=()) for target in state.plan.targets)
    return hashes(replace(state.plan, targets=alone), state.files)


def _parents_first(plan: BuildPlan) -> Iterator[Target]:
    by_name = {target.name: target for target in plan.targets}
    done: set[str] = set()
    waiting = list(reversed(by_name))
    while waiting:
        name = waiting[-1]
        missing = [need for need in by_name[name].needs if need not in done]
        waiting += missing
        if not missing:
            waiting.pop()
            if name not in done:
                done.add(name)
                yield by_name[name]


def _own_reasons(target: Target, old: Target, now: State, then: State) -> Iterator[str]:
    """The files of its context that differ, and labels. Files of its nested build are reasons of that one."""
    folder = f"{target.image.directory}/"
    others = [f"{each.image.directory}/" for each in now.plan.targets if each.name != target.name]
    below = tuple(other for other in others if other.startswith(folder))
    for path in sorted({*now.files, *then.files}):
        if path.startswith(folder) and not path.startswith(below) and now.files.get(path) != then.files.get(path):
            yield path.removeprefix(folder)
    if target.image.labels != old.image.labels:
        yield "labels"


def _publishing(plan: BuildPlan, target: Target, old_plan: BuildPlan, old: Target) -> Iterator[str]:
    """What asks for a push, and makes no layer of those that stand on it anew."""
    had = tags(old_plan.project, old.image)
    yield from (f"tag {tag.rpartition(':')[2]}" for tag in tags(plan.project, target.image) if tag not in had)
    if target.image.platforms != old.image.platforms:
        yield f"platforms: {', '.join(target.image.platforms) or 'the default'}"


def _concerns(path: str, source: str) -> bool:
    """Whether a change of `path` is one of `source`: the same, within it, or a submodule around it."""
    source = normpath(source)
    return source == "." or path == source or path.startswith(f"{source}/") or source.startswith(f"{path}/")


def as_text(affected: Affected) -> str:
    """Levels, and in each its targets with the reasons."""
    lines = []
    width = max((len(name) for name in affected.reasons), default=0)
    for number, level in enumerate(affected.levels):
        lines += [*([""] if number else []), f"level {number}"]
        lines += (f"  {target.name:{width}}  {'; '.join(affected.reasons[target.name])}" for target in level)
    if affected.removed:
        lines += [*([""] if lines else []), "no longer there", *(f"  {name}" for name in affected.removed)]
    return "\n".join(lines)


def as_data(affected: Affected) -> dict[str, Any]:
    """The affected targets as plain data, for `--format json`."""
    project = affected.plan.project
    return {
        "since": affected.revision,
        "levels": [[target.name for target in level] for level in affected.levels],
        "targets": [
            {
                "name": target.name,
                "family": target.image.family,
                "level": number,
                "deployable": target.image.deployable,
                "reasons": list(affected.reasons[target.name]),
                "needs": list(target.needs),
                "tags": list(tags(project, target.image)),
            }
            for number, level in enumerate(affected.levels)
            for target in level
        ],
        "removed": list(affected.removed),
    }


def as_matrix(affected: Affected) -> str:
    """Lines for `$GITHUB_OUTPUT`: `matrix`, all affected images, and `level0`, `level1` … those of a level.

    Each is a matrix as `strategy.matrix` takes it from `fromJSON`. GitHub refuses an empty one, so that a level without
    images has no line, and `if: needs.plan.outputs.level1` is false. Raises UsageError for one that is too large.
    """
    levels = affected.published_levels
    named = {"matrix": [(number, target) for number, level in enumerate(levels) for target in level]}
    named |= {f"level{number}": [(number, target) for target in level] for number, level in enumerate(levels)}
    lines = []
    for name, entries in named.items():
        if len(entries) > MATRIX_JOBS and name != "matrix":
            raise UsageError(
                f"{name} has {len(entries)} images, and GitHub allows {MATRIX_JOBS} jobs in a matrix; build them in "
                f"one job, or take --format json"
            )
        if 0 < len(entries) <= MATRIX_JOBS:
            include = [{"target": t.name, "family": t.image.family, "level": number} for number, t in entries]
            lines.append(f"{name}={json.dumps({'include': include}, separators=(',', ':'))}")
    return "\n".join(lines)
