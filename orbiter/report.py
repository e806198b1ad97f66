"""What came of a build: a table for people, data for programs, and the way through it that took longest."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orbiter.progress import Result, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a target.

    `seconds` are those of its own steps, without waiting for parents; `size` is in bytes: in the engine as the engine
    counts it, in a registry compressed. None where it is not known. `problem` says why it failed.
    """

    target: str
    result: Result
    seconds: float | None = None
    digest: str | None = None
    size: int | None = None
    references: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Outcomes in the order of the plan, the critical path, and what Buildx itself wrote about each target."""

    outcomes: tuple[Outcome, ...]
    critical: tuple[str, ...]
    seconds: float
    buildx: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return any(outcome.result in ("failed", "not reached") for outcome in self.outcomes)


def critical_path(needs: Mapping[str, Sequence[str]], seconds: Mapping[str, float | None]) -> tuple[str, ...]:
    """The chain of targets, each a parent of the next one, that took longest: no build can be quicker than it."""
    best: dict[str, tuple[float, tuple[str, ...]]] = {}

    def longest(target: str) -> tuple[float, tuple[str, ...]]:
        if target not in best:
            before = max((longest(parent) for parent in needs.get(target, ())), default=(0.0, ()))
            best[target] = before[0] + (seconds.get(target) or 0.0), (*before[1], target)
        return best[target]

    return max(map(longest, needs), default=(0.0, ()))[1]


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
        took = sum(o.seconds or 0.0 for o in report.outcomes if o.target in report.critical)
        path = f"critical path: {' → '.join(report.critical)}, {took:.1f} s"
        lines += textwrap.wrap(path, 80, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return lines


def as_data(report: Report) -> dict[str, Any]:
    """The report as plain data. `buildx` is what Buildx wrote about each target, as it is."""
    return {
        "result": "failed" if report.failed else "built",
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
            }
            for outcome in report.outcomes
        ],
        "critical_path": list(report.critical),
        "buildx": dict(report.buildx),
    }


def explain(error: str) -> str:
    """An error of BuildKit in words that say what to do, where it is one of a registry; else as it is."""
    pushed = re.match(r"failed to push ([^\s:]+(?::\d+(?=/))?[^\s:]*)", error)
    if not pushed:
        return error
    first, slash, _ = pushed[1].partition("/")
    registry = first if slash and (first == "localhost" or "." in first or ":" in first) else "docker.io"
    if re.search(r"\b401\b|\b403\b|unauthorized|authorization|authentication|credentials|denied", error, re.IGNORECASE):
        login = "" if registry == "docker.io" else f" {registry}"
        return (
            f"{registry} refuses the push: log in with 'docker login{login}', as somebody who may push there ({error})"
        )
    if re.search(r"connection refused|no such host|no route|timeout|server misbehaving|\bEOF\b|reset by peer", error):
        return f"the registry {registry} does not answer ({error})"
    return error
