"""What came of a build: a table for people, data for programs, and the way through it that took longest."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from orbiter import references
from orbiter.blame import Cause
from orbiter.diagnostics import dotted
from orbiter.progress import Result, Step, Work
from orbiter.references import HUB


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a target.

    `seconds` are those of its own steps, without waiting for parents; `size` is in bytes: in the engine as the engine
    counts it, in a registry compressed. None where it is not known. `problem` says why it failed, `cause` where that
    comes from.
    """

    target: str
    result: Result
    seconds: float | None = None
    digest: str | None = None
    size: int | None = None
    references: tuple[str, ...] = ()
    problem: str | None = None
    cause: Cause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Outcomes in the order of the plan, and what Buildx itself wrote about each target.

    `critical` are the steps of the chain that took longest, each of which needs the one before. `steps` are all that
    BuildKit told of. `interrupted`: a person or a signal ended it, and this is what was known.
    """

    outcomes: tuple[Outcome, ...]
    critical: tuple[Step, ...]
    seconds: float
    buildx: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    interrupted: bool = False

    @property
    def path(self) -> tuple[str, ...]:
        """The targets of the critical path."""
        return tuple(dict.fromkeys(step.target for step in self.critical))

    @property
    def path_seconds(self) -> float:
        return sum(step.seconds for step in self.critical)

    @property
    def failed(self) -> bool:
        return any(outcome.result in ("failed", "not reached") for outcome in self.outcomes)


_SLOW = 1.0
"""Seconds from which a pull, an export or the transfer of a context counts in the choice of the critical path."""


def critical_path(steps: Sequence[Step], needs: Mapping[str, Sequence[str]]) -> tuple[Step, ...]:
    """The chain of steps, each of which needs the one before, that took longest: no build can be quicker than it.

    `needs`: target → its parents.
    """
    path = _longest_chain(steps)
    # Siblings share steps that are the same, which then are those of the first one: here they are the child's own.
    last, found = "", list[Step]()
    for step in reversed(path):
        if not last or step.target in (last, *_ancestors(needs, last)):
            last = step.target
        found.append(replace(step, target=last))
    return tuple(reversed(found))


def _ancestors(needs: Mapping[str, Sequence[str]], target: str) -> set[str]:
    found, waiting = set[str](), list(needs.get(target, ()))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += needs.get(name, ())
    return found


def _longest_chain(steps: Sequence[Step]) -> tuple[Step, ...]:
    known = {step.digest: step for step in steps}
    own: dict[str, list[str]] = {}
    for step in steps:
        if step.kind == "step":
            own.setdefault(step.target, []).append(step.digest)

    needed = {digest for step in steps for digest in step.inputs}

    def before(step: Step) -> Sequence[str]:
        # What is made of a target (an export) follows its steps, which BuildKit does not tell.
        after = step.kind in ("export", "other") and not step.inputs and step.digest not in needed
        return own.get(step.target, ()) if after else [digest for digest in step.inputs if digest in known]

    def weight(step: Step) -> float:
        # Files of a context that are there at once are no reason to leave the chain of parents.
        return step.seconds if step.kind == "step" or step.seconds >= _SLOW else 0.0

    best: dict[str, tuple[float, int, str | None]] = {}
    waiting = list(known)
    while waiting:
        digest = waiting[-1]
        missing = [need for need in before(known[digest]) if need not in best]
        waiting += missing
        if not missing:
            waiting.pop()
            chains = ((*best[need][:2], need) for need in before(known[digest]))
            longest: tuple[float, int, str | None] = max(chains, default=(0.0, 0, None))
            best[digest] = longest[0] + weight(known[digest]), longest[1] + (known[digest].kind == "step"), longest[2]
    path: list[Step] = []
    last = max(best, key=lambda digest: best[digest][:2], default=None)
    while last is not None:
        path.append(known[last])
        last = best[last][2]
    return tuple(reversed(path))


def merged(earlier: Mapping[str, Work], later: Mapping[str, Work]) -> Mapping[str, Work]:
    """What came of each target in two builds, of which the later one went on where the earlier one had stopped."""
    together = dict(earlier)
    for target, work in later.items():
        before = earlier.get(target)
        if not before:
            together[target] = work
            continue
        known = [each.seconds for each in (before, work) if each.seconds is not None]
        again = "built" if work.result == "cached" and before.result == "built" else work.result
        together[target] = Work(result=again, seconds=sum(known) if known else None, failed=work.failed)
    return together


def merged_steps(earlier: Sequence[Step], later: Sequence[Step]) -> tuple[Step, ...]:
    """The steps of two builds, of which the later one went on: one that ran in the earlier one is not cached."""
    ran = {_identity(step) for step in earlier if step.state in ("ran", "failed")}
    news = [step for step in later if step.state not in ("cached", "not begun") or _identity(step) not in ran]
    told = {_identity(step) for step in news}
    kept = [step for step in earlier if step.state in ("ran", "failed", "stopped") or _identity(step) not in told]
    order = {target: number for number, target in enumerate(dict.fromkeys(step.target for step in (*earlier, *later)))}
    return tuple(sorted((*kept, *news), key=lambda step: order[step.target]))


def _identity(step: Step) -> tuple[str, str, int, str]:
    return step.target, step.stage, step.number, step.name


def as_text(report: Report) -> str:
    """A table, and under it the critical path."""
    head = ("target", "result", "time", "size", "digest")
    table = [head, *(_cells(outcome) for outcome in report.outcomes)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    align = (str.ljust, str.ljust, str.rjust, str.rjust, str.ljust)
    lines = [
        "  ".join(place(cell, width) for place, cell, width in zip(align, cells, widths, strict=True)).rstrip()
        for cells in table
    ]
    return "\n".join([*lines, "", *_summary(report)])


def _cells(outcome: Outcome) -> tuple[str, ...]:
    return (
        outcome.target,
        outcome.result,
        "–" if outcome.seconds is None or outcome.result == "not reached" else f"{outcome.seconds:.1f} s",
        "–" if outcome.size is None else _bytes(outcome.size),
        outcome.digest.removeprefix("sha256:")[:12] if outcome.digest else "–",
    )


def _bytes(size: float) -> str:
    """In the units of Docker: a MB is a million bytes."""
    for unit in ("B", "kB", "MB"):
        if round(size) < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


def _summary(report: Report) -> list[str]:
    results = [outcome.result for outcome in report.outcomes]
    if results and all(result == "cached" for result in results):
        return [f"nothing to do: everything is cached ({report.seconds:.1f} s)"]
    if results and all(result == "up to date" for result in results):
        return ["nothing to do: everything is up to date"]
    kinds: tuple[Result, ...] = ("built", "cached", "failed", "not reached", "tagged", "up to date")
    counted = ", ".join(f"{results.count(kind)} {kind}" for kind in kinds if kind in results)
    lines = [f"{counted} in {report.seconds:.1f} s" if report.seconds else counted]
    if report.critical and not report.failed:
        path = f"critical path: {' → '.join(report.path)}, {report.path_seconds:.1f} s"
        lines += textwrap.wrap(path, 80, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return lines


def as_data(report: Report) -> dict[str, Any]:
    """The report as plain data. `buildx` is what Buildx wrote about each target, as it is."""
    return {
        "result": "interrupted" if report.interrupted else "failed" if report.failed else "built",
        "seconds": round(report.seconds, 3),
        "targets": [
            {
                "name": outcome.target,
                "result": outcome.result,
                "seconds": None if outcome.seconds is None else round(outcome.seconds, 3),
                "size": outcome.size,
                "digest": outcome.digest,
                "references": list(outcome.references),
                "problem": outcome.problem,
                "failure": _cause_as_data(outcome.cause),
            }
            for outcome in report.outcomes
        ],
        "critical_path": list(report.path),
        "buildx": dict(report.buildx),
    }


def _cause_as_data(cause: Cause | None) -> dict[str, Any] | None:
    if cause is None:
        return None
    finding = cause.finding
    return {
        "dockerfile": cause.dockerfile,
        "line": cause.line or None,
        "instruction": cause.instruction,
        "configuration": {
            "file": finding.span.file,
            "line": finding.span.line,
            "column": finding.span.column,
            "path": dotted(finding.path),
            "message": finding.message,
        }
        if finding
        else None,
        "log": list(cause.log),
    }


def explain(error: str) -> str:
    """An error of BuildKit in words that say what to do, where it is one of a registry; else as it is."""
    pushed = re.match(r"failed to push ([^\s:]+(?::\d+(?=/))?[^\s:]*)", error)
    if not pushed:
        return error
    registry = references.host(pushed[1]) or HUB
    if re.search(r"\b401\b|\b403\b|unauthorized|authorization|authentication|credentials|denied", error, re.IGNORECASE):
        login = "" if registry == HUB else f" {registry}"
        return (
            f"{registry} refuses the push: log in with 'docker login{login}', as somebody who may push there ({error})"
        )
    if re.search(r"connection refused|no such host|no route|timeout|server misbehaving|\bEOF\b|reset by peer", error):
        return f"the registry {registry} does not answer ({error})"
    return error
