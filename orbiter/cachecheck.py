"""What a build on an empty builder says of the cache: which steps ran though nothing changed, and the likely reason."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal

from orbiter.model import BuildPlan, Target
from orbiter.progress import Step
from orbiter.tables import columns

State = Literal["there", "missing", "no cache", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the registry has for a target: its references, the first of them that is there, and digests of its layers.

    `gone` are the layers that the registry has lost; `problem` says why the state is unknown.
    """

    references: tuple[str, ...]
    state: State
    layers: AbstractSet[str] = frozenset()
    gone: tuple[str, ...] = ()
    problem: str = ""


Base = Mapping[str, AbstractSet[str]]
"""An image from elsewhere as it is now: platform (empty if there is one only) → digests of its layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A step that ran, or a layer that cannot be had (then there is no step), and the likely reason."""

    target: str
    step: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of a check: `steps` is how many there are in all, `repository` where the cache is."""

    repository: str
    targets: tuple[str, ...]
    steps: int
    rows: tuple[Row, ...]


def rows(
    plan: BuildPlan,
    ran: Sequence[Step],
    found: Mapping[str, Found],
    bases: Mapping[str, Base],
    *,
    platform: str,
    writes: bool,
) -> tuple[Row, ...]:
    """The steps that ran, targets in the order of the plan, and caches that have lost layers.

    `bases` are what the references of parents from elsewhere stand for, where that is known; `platform` is the
    builder's own, `writes` whether builds write the cache as things are set.
    """
    steps = {target.name: [step for step in ran if step.target == target.name] for target in plan.targets}
    made: list[Row] = []
    for target in plan.targets:
        reason = _reason(plan, target, steps, found[target.name], bases, platform, writes=writes)
        for number, step in enumerate(steps[target.name]):
            why = reason if number == 0 else "follows"
            made.append(Row(target=target.name, step=step.text, seconds=step.seconds, reason=why))
        gone = found[target.name].gone
        if gone:
            reason = f"the registry has lost {_count(len(gone), 'layer')} of {found[target.name].references[0]}"
            made.append(Row(target=target.name, step="", seconds=0.0, reason=f"{reason}; a build that needs it fails"))
    return tuple(made)


def _reason(
    plan: BuildPlan,
    target: Target,
    steps: Mapping[str, Sequence[Step]],
    found: Found,
    bases: Mapping[str, Base],
    platform: str,
    *,
    writes: bool,
) -> str:
    parents = [need for need in target.needs if steps.get(need)]
    own = found.references[0]
    if found.state == "unknown":
        return f"{own} cannot be read: {found.problem}"
    if found.state == "missing":
        return f"{own} does not exist; " + (
            "a build writes it" if writes else "CACHE_WRITE keeps builds from writing it"
        )
    if found.state == "no cache":
        return f"{own} is an image, not a cache"
    if parents:
        return f"{parents[0]} ran, on which it is built"
    moved = _base(plan, target, found, bases, platform)
    if moved:
        return moved
    dropped = ", or mode min dropped it" if plan.project.cache.mode == "min" else ""
    return f"its Dockerfile or files changed since {own} was written{dropped}"


def _base(plan: BuildPlan, target: Target, found: Found, bases: Mapping[str, Base], platform: str) -> str:
    """Why a target cannot have its cache from its base; empty if the base is the same, or is not known."""
    if target.image.parent.target is not None:
        return ""
    known = bases.get(target.name)
    if not known:
        return ""
    wanted = (target.image.platforms or (platform,))[0]
    same = [name for name, layers in known.items() if layers and layers <= found.layers]
    if wanted in same or "" in same:
        return ""
    if same:
        return f"{found.references[0]} is for {', '.join(same)}, not for {wanted}"
    base = target.image.parent.reference
    return f"{base} is another one since {found.references[0]} was written; 'orbiter lock' pins it"


def as_text(checked: Checked) -> list[str]:
    """A table of what ran, or one line that nothing did."""
    what = f"{_count(len(checked.targets), 'target')}, {_count(checked.steps, 'step')}"
    if not checked.rows:
        return [f"{what}: all from {checked.repository}"]
    table = [(row.target, row.step or "–", row.reason) for row in checked.rows]
    return columns([("target", "step that ran", "likely reason"), *table])


def verdict(checked: Checked) -> str:
    """`3 of 20 steps ran`."""
    ran = sum(bool(row.step) for row in checked.rows)
    lost = len(checked.rows) - ran
    said = [f"{ran} of {_count(checked.steps, 'step')} ran"] if ran else []
    said += [f"{_count(lost, 'cache')} not whole"] if lost else []
    return " and ".join(said)


def as_data(checked: Checked) -> dict[str, Any]:
    return {
        "repository": checked.repository,
        "targets": list(checked.targets),
        "steps": checked.steps,
        "ran": [
            {"target": row.target, "step": row.step, "seconds": round(row.seconds, 3), "reason": row.reason}
            for row in checked.rows
            if row.step
        ],
        "lost": [{"target": row.target, "reason": row.reason} for row in checked.rows if not row.step],
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
