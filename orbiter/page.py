"""A report of a build as data for programs, and as one page of HTML that needs nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from jinja2 import TemplateError as JinjaError

from orbiter import layers as weights
from orbiter import lockdiff, report
from orbiter.diagnostics import dotted
from orbiter.errors import UsageError
from orbiter.layers import Layers
from orbiter.lockdiff import Difference
from orbiter.origins import Origin, origin
from orbiter.progress import Step
from orbiter.report import Outcome, Report
from orbiter.tables import size

TEMPLATE = "report/page.html.j2"

_WORTH = 0.1
"""Seconds from which what is no step of a Dockerfile (a pull, an export) has a row, unless it is below 1 % of all."""

_SLOWEST = 10
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a report has beside what came of the build.

    `moment` is when it began, as text; `problem` what it ended with. `layers` are those of the images that are there,
    compressed ones if they are from a registry. `changed` are the targets whose files this build compiled anew.
    """

    title: str
    source: str
    moment: str
    orbiter: str
    problem: str | None = None
    needs: Mapping[str, Sequence[str]]
    origins: Mapping[tuple[str, str, int], Origin]
    layers: Layers
    compressed: bool
    changed: frozenset[str]
    uncached: bool
    packages: Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A piece of time: left edge and width in percent of the whole, and what it is."""

    left: float
    width: float
    look: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A step on the page. `bar` is None if it did not run; `why` is empty where the target says it."""

    step: Step
    bar: Bar | None
    why: str
    origin: Origin | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A target on the page: when its steps ran, and each of them. `began`: at least one of its Dockerfile did."""

    outcome: Outcome
    began: bool
    critical: bool
    why: str
    bars: tuple[Bar, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """An image on the page: bytes of all its layers, and of those that its parents lack, and the pieces of its bar."""

    target: str
    size: int
    added: int
    bars: tuple[Bar, ...]


class Timeline:
    """The steps on one scale, and why each of them ran."""

    def __init__(self, made: Report, facts: Facts) -> None:
        ran = [step for step in made.steps if step.ended]
        self._facts = facts
        shown = made.critical if not made.failed and not made.interrupted else ()
        self.critical = frozenset(step.digest for step in shown if step.seconds)
        self._start = min((step.began for step in ran), default=0.0)
        self.seconds = max((step.ended for step in ran), default=0.0) - self._start
        self._by_name = {(step.target, step.text): step for step in made.steps}

    def began(self, step: Step) -> float | None:
        """Seconds from the beginning of the build; None if it did not run."""
        return step.began - self._start if step.ended else None

    def why(self, step: Step) -> str:
        """Why it ran, came from the cache, or did neither; empty if that goes without saying."""
        if step.state in ("cached", "not begun"):
            return step.state
        if step.state == "stopped":
            return "stopped before its end"
        if step.kind != "step":
            return {"pull": "an image from elsewhere", "load": "files of the project"}.get(step.kind, "")
        first = self._first(step)
        if first is not step:
            where = "" if first.target == step.target else f"{first.target}: "
            return f"after {where}'{first.text}' ran"
        if self._facts.uncached:
            return "asked to build without cache"
        if step.target in self._facts.changed:
            return "not in the cache: its Dockerfile or the files beside it have changed"
        return "not in the cache"

    def _first(self, step: Step) -> Step:
        """The step that had to run at first, so that this one had to run."""
        seen = {id(step)}
        while step.because:
            # What happened in another target is the better reason.
            name = min(step.because, key=lambda name: name[0] == step.target)
            before = self._by_name.get(name)
            if before is None or id(before) in seen:
                break
            seen.add(id(before))
            step = before
        return step

    def bar(self, step: Step) -> Bar | None:
        """Where it stands; None if it did not run."""
        if not step.ended:
            return None
        look: str = step.state
        if step.digest in self.critical:
            look = "critical"
        elif step.state == "ran" and step.kind != "step":
            look = "aside"
        return self._placed(step, look)

    def _placed(self, step: Step, look: str) -> Bar:
        whole = self.seconds or 1.0
        return Bar(
            left=round(100 * (step.began - self._start) / whole, 3),
            width=round(100 * (step.ended - step.began) / whole, 3),
            look=look,
            title=f"{step.text}: {seconds(step.seconds)}",
        )

    @property
    def every(self) -> float:
        """Seconds from one tick to the next: four to eight of them in all."""
        return next((tick for tick in _TICKS if self.seconds / tick <= 8), _TICKS[-1] * 4)

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Places in percent, and what is written there."""
        if not self.seconds:
            return ()
        places = (number * self.every for number in range(int(self.seconds / self.every) + 1))
        return tuple((round(100 * place / self.seconds, 3), _short(place)) for place in places)


def as_data(made: Report, facts: Facts) -> dict[str, Any]:
    """All that the page has, as plain data: more than `report.as_data`, which is part of it."""
    timeline = Timeline(made, facts)
    return {
        "title": facts.title,
        "configuration": facts.source,
        "began": facts.moment,
        "orbiter": facts.orbiter,
        "error": facts.problem,
        **report.as_data(made),
        "steps": [_step_as_data(step, timeline, facts) for step in made.steps],
        "layers": {
            "compressed": facts.compressed,
            "total": weights.total(facts.layers),
            "images": {
                target: [{"digest": layer.digest, "size": layer.size, "made_by": layer.text} for layer in own]
                for target, own in facts.layers.items()
            },
        },
        "packages": lockdiff.as_data(facts.packages),
    }


def _step_as_data(step: Step, timeline: Timeline, facts: Facts) -> dict[str, Any]:
    began, made_for = timeline.began(step), origin(facts.origins, step)
    span = made_for.span if made_for else None
    return {
        "target": step.target,
        "kind": step.kind,
        "stage": step.stage or None,
        "number": step.number or None,
        "step": step.text,
        "instruction": step.name,
        "state": step.state,
        "critical": step.digest in timeline.critical,
        "why": timeline.why(step),
        "began": None if began is None else round(began, 3),
        "seconds": round(step.seconds, 3),
        "dockerfile": made_for.dockerfile if made_for else None,
        "line": made_for.line if made_for else None,
        "section": made_for.section if made_for else None,
        "configuration": {"file": span.file, "line": span.line, "column": span.column} if span else None,
    }


def as_html(made: Report, facts: Facts, templates: Mapping[str, str]) -> str:
    """The page. Whatever a step printed stands in it as text: Jinja escapes every value.

    Raises UsageError for a template of the project that does not work.
    """
    environment = Environment(
        loader=FunctionLoader(templates.get),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"seconds": seconds, "bytes": size, "dotted": dotted}
    timeline = Timeline(made, facts)
    lanes = tuple(_lanes(made, timeline, facts))
    ran = sorted(
        (row for lane in lanes for row in lane.rows if row.step.ended and row.step.seconds >= _WORTH),
        key=lambda row: -row.step.seconds,
    )
    images = tuple(_weights(facts.layers, facts.needs))
    sharing = weights.shared(facts.layers)
    try:
        return environment.get_template(TEMPLATE).render(
            made=made,
            facts=facts,
            timeline=timeline,
            result=_result(made),
            summary=_summary(made),
            figures=tuple(_figures(made, lanes, images, facts)),
            lanes=lanes,
            failed=tuple(lane.outcome for lane in lanes if lane.outcome.result == "failed"),
            slowest=tuple(ran[:_SLOWEST]),
            images=images,
            total=weights.total(facts.layers),
            layers=_layer_rows(facts.layers, sharing),
            packages=tuple(_packages(facts.packages)),
        )
    except JinjaError as error:
        raise UsageError(f"templates/{TEMPLATE}: {error}") from error


def _result(made: Report) -> str:
    if made.interrupted:
        return "interrupted"
    if made.failed:
        return "failed"
    results = {outcome.result for outcome in made.outcomes}
    return "cached" if results <= {"cached", "up to date"} else "built"


def _summary(made: Report) -> str:
    results = [outcome.result for outcome in made.outcomes]
    return ", ".join(f"{results.count(kind)} {kind}" for kind in dict.fromkeys(sorted(results)))


def _figures(
    made: Report, lanes: Sequence[Lane], images: Sequence[Weight], facts: Facts
) -> Iterator[tuple[str, str, str]]:
    """Name, number and remark of what a person looks for first."""
    steps = [row.step for lane in lanes for row in lane.rows if row.step.kind == "step"]
    ran = sum(step.state in ("ran", "failed", "stopped") for step in steps)
    cached = sum(step.state == "cached" for step in steps)
    yield "time", seconds(made.seconds), "from start to end"
    if made.critical and not made.failed and not made.interrupted:
        yield "critical path", seconds(made.path_seconds), f"{len(made.path)} of {len(made.outcomes)} targets"
    if steps:
        yield "steps run", str(ran), f"{cached} from the cache"
    if images:
        apart = sum(image.size for image in images)
        kind = "compressed" if facts.compressed else "unpacked"
        remark = f"{kind}; {size(apart)} if nothing were shared" if len(images) > 1 else kind
        yield "images", size(weights.total(facts.layers)), remark


def _lanes(made: Report, timeline: Timeline, facts: Facts) -> Iterator[Lane]:
    steps: dict[str, list[Step]] = {}
    for step in made.steps:
        steps.setdefault(step.target, []).append(step)
    for outcome in made.outcomes:
        own = steps.get(outcome.target, [])
        rows = tuple(
            Row(
                step=step,
                bar=timeline.bar(step),
                why="" if step.because and step.state == "ran" else timeline.why(step),
                origin=origin(facts.origins, step),
            )
            for step in own
            if step.kind == "step" or step.seconds >= max(_WORTH, timeline.seconds / 100)
        )
        yield Lane(
            outcome=outcome,
            began=any(step.kind == "step" and step.ended for step in own),
            critical=any(step.digest in timeline.critical for step in own),
            why=_why(outcome, own, timeline),
            bars=tuple(bar for step in own if (bar := timeline.bar(step)) and bar.width > 0.02),
            rows=rows,
        )


def _why(outcome: Outcome, steps: Sequence[Step], timeline: Timeline) -> str:
    """Why a target was built: the reason of its first step that ran."""
    words = {
        "cached": "every step came from the cache",
        "up to date": "the image is there as the configuration has it",
        "tagged": "the image was there under another version",
    }
    if outcome.result in words:
        return words[outcome.result]
    first = next((step for step in steps if step.kind == "step" and step.state in ("ran", "failed")), None)
    if first is None:
        return ""
    reason = timeline.why(first)
    return reason if reason.startswith("after ") else f"'{first.text}': {reason}"


def _weights(layers: Layers, needs: Mapping[str, Sequence[str]]) -> Iterator[Weight]:
    largest = max((sum(layer.size for layer in own) for own in layers.values()), default=0) or 1
    for target, own in layers.items():
        inherited = {layer.digest for parent in needs.get(target, ()) for layer in layers.get(parent, ())}
        bars, left = [], 0.0
        for layer in own:
            width = 100 * layer.size / largest
            look = "shared" if layer.digest in inherited else "own"
            title = f"{size(layer.size)}: {layer.text[:120]}"
            bars.append(Bar(left=round(left, 3), width=round(width, 3), look=look, title=title))
            left += width
        yield Weight(
            target=target,
            size=sum(layer.size for layer in own),
            added=sum(layer.size for layer in own if layer.digest not in inherited),
            bars=tuple(bar for bar in bars if bar.width > 0.02),
        )


def _layer_rows(layers: Layers, sharing: Mapping[str, Sequence[str]]) -> tuple[tuple[int, str, str, str], ...]:
    """Size, what made it, digest, and images that have it, of each layer that is worth a row, the largest first."""
    found = {layer.digest: layer for own in layers.values() for layer in own if layer.size >= 100_000}
    rows = sorted(found.values(), key=lambda layer: -layer.size)
    return tuple((layer.size, layer.text, layer.digest, ", ".join(sharing[layer.digest])) for layer in rows)


def _packages(found: Difference) -> Iterator[tuple[str, Sequence[lockdiff.Change]]]:
    for target, changes in found.items():
        yield target or "images from elsewhere", changes


def seconds(count: float) -> str:
    """`0.3 s`, `75.0 s`, `12 min 5 s`, `2 h 3 min`."""
    if count < 120:
        return f"{count:.1f} s"
    minutes, rest = divmod(round(count), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _short(count: float) -> str:
    if count < 120:
        return f"{count:g} s"
    minutes, rest = divmod(round(count), 60)
    return f"{minutes}:{rest:02} min"
