"""What BuildKit tells with `--progress=rawjson` → the steps that ended, and what came of each target.

A line is a SolveStatus (https://github.com/moby/buildkit/blob/master/client/graph.go): states of vertices, and what
they print. Bake sends the status of each target's build with the target's name in front of the names of vertices,
`[debian-base stage-0 3/5] RUN …`, unless it builds one target only. The build of a target includes the steps of its
parents, so a step comes under several names. It belongs to the parent: to the first of them, parents before children.
"""

import base64
import json
import re
from calendar import timegm
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Result = Literal["built", "cached", "failed", "not reached", "up to date", "tagged"]
"""What came of a target. `not reached`: it was not begun, or it was cancelled because another one failed.

`up to date` and `tagged` is what needs no build: the image is there, and was given its tags.
"""

Kind = Literal["step", "pull", "load", "export", "other"]
"""A step of a Dockerfile, an image that is found or pulled, the build context, what is made of the result, the rest."""

State = Literal["ran", "cached", "failed", "stopped", "not begun"]
"""What came of a step. `stopped`: it ran when the build was cancelled or interrupted."""

_NAME = re.compile(r"\[([^\]]*)\] ?(.*)", re.DOTALL)
_STEP = re.compile(r"(?:^|.* )\d+/\d+$")
_PLACE = re.compile(r"(?:(?:\S+/\S+ )?(\S+) +)?(\d+)/\d+")
_FLAGS = re.compile(r"(?:--[\w-]+(?:=\S+)?|[A-Z_][A-Z_0-9]*=\S+) +")
_TIME = re.compile(r"(\d+)-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(?:Z|([+-]\d\d):(\d\d))")
_CACHE = re.compile(r"(importing cache manifest from|exporting cache to) (.*)", re.DOTALL)
_EMPTY = re.compile(r"failed to configure registry cache importer: \S+: not found$")
"""What BuildKit says of a cache that nobody has written yet."""

_SLOW = 1.0
"""Seconds after which what is no step of a Dockerfile (a pull, an export) is worth a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step: its target, what it runs in short and in full, how long it took, and what is wrong if it failed.

    The text `cached` stands for all the steps of a target. `began` and `ended` are seconds since 1970 on the engine's
    clock, 0 if it did not run; `number` is its place in its `stage`, from 1. `because` are the steps
    that it follows and that ran, each as target and text: so it could not come from the cache. `digest` is BuildKit's
    name for it, `inputs` are those of all steps that it needs.
    """

    target: str
    text: str
    seconds: float
    error: str = ""
    logs: tuple[str, ...] = ()
    name: str = ""
    kind: Kind = "step"
    state: State = "ran"
    stage: str = ""
    number: int = 0
    began: float = 0.0
    ended: float = 0.0
    because: tuple[tuple[str, str], ...] = ()
    digest: str = ""
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What came of a target. `seconds` are those in which its own steps ran, None if nobody told of any."""

    result: Result
    seconds: float | None
    failed: Step | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A cache of a target that could not be read or written, and BuildKit's words; the build goes on without it."""

    target: str
    verb: Literal["read", "written"]
    place: str
    error: str


@dataclass(slots=True)
class _Vertex:
    """A vertex in all the builds that have it; `seen`, `runs` and `stops` are by target, in seconds since 1970.

    `stops` are runs that were cancelled, or have not ended yet; `cached` the targets in whose builds its result was
    there already.
    """

    seen: dict[str, str] = field(default_factory=dict)
    cached: set[str] = field(default_factory=set)
    runs: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    stops: dict[str, tuple[float, float | None]] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    ended: bool = False
    error: str = ""
    told: bool = False
    logs: list[tuple[int, bytes]] = field(default_factory=list)


class Progress:
    """Listens to a build, line by line."""

    def __init__(self, needs: Mapping[str, Sequence[str]], exported: Iterable[str]) -> None:
        """`needs`: target → its parents. `exported` are the targets that end with an image, not only with layers."""
        self._order = {target: number for number, target in enumerate(_parents_first(needs))}
        self._exported = frozenset(exported)
        self._vertices: dict[str, _Vertex] = {}
        self._began: dict[str, float] = {}
        self._latest = 0.0
        self.words: list[str] = []
        """The lines that are no events: Buildx's own words."""
        self.troubles: list[Trouble] = []
        self.imported = False
        """Whether a cache of another place was read, so that layers of it may be in use."""

    def feed(self, line: str, target: str | None = None) -> tuple[Step, ...]:
        """The steps of which this line tells that they ran to their end. `target`: the one whose build it is from."""
        if line.startswith('{"statuses"') and '"vertexes"' not in line and '"logs"' not in line:
            return ()  # most of the lines: bytes transferred
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            if line.strip():
                self.words.append(line.rstrip())
            return ()
        for log in event.get("logs") or ():
            vertex = self._vertices.setdefault(log["vertex"], _Vertex())
            vertex.logs.append((log.get("stream", 1), base64.b64decode(log.get("data") or "")))
        told = (self._hear(state, target) for state in event.get("vertexes") or ())
        return tuple(step for step in told if step)

    def _hear(self, state: Mapping[str, Any], target: str | None) -> Step | None:
        inner, text = _parsed(state["name"])
        if target is None:
            target = inner.partition(" ")[0]
            inner = inner.partition(" ")[2]
            if target not in self._order:
                # One target only: then its name stands nowhere. Bake's own steps have no target either.
                if len(self._order) > 1:
                    return None
                inner, target = f"{target} {inner}".strip(), next(iter(self._order))
        if (cache := _CACHE.match(text)) and state.get("completed") and not self._is_well(cache, state, target):
            return None
        vertex = self._vertices.setdefault(state["digest"], _Vertex())
        vertex.seen[target] = f"[{inner}] {text}" if inner else text
        if inner == "internal" and text.startswith("load build definition") and state.get("started"):
            self._began.setdefault(target, _seconds(state["started"]))
        vertex.inputs = tuple(state.get("inputs") or vertex.inputs)
        started, completed = (_seconds(state[key]) if state.get(key) else None for key in ("started", "completed"))
        self._latest = max(self._latest, started or 0.0, completed or 0.0)
        error = state.get("error", "")
        cancelled = bool(error) and "context canceled" in error
        if started and (cancelled or not completed):
            vertex.stops[target] = started, completed
        if not completed or cancelled:
            return None
        vertex.ended = True
        vertex.error = vertex.error or error
        if state.get("cached"):
            vertex.cached.add(target)
        elif target not in vertex.cached:
            # Of a step that was cached, a later run is only that its layer was fetched.
            vertex.runs.setdefault(target, []).append((started or completed, completed))
        if vertex.told or not (vertex.error or self._runs(vertex, target)):
            return None
        step = self._step(vertex)
        if not step.error and text.startswith("exporting to ") and self._is_cached(target):
            vertex.told = True
            return replace(step, text="cached", seconds=0.0)
        if not step.error and (_is_idle(text) or not _is_step(vertex.seen[target])) and step.seconds < _SLOW:
            return None
        vertex.told = True
        return step

    def _is_well(self, cache: re.Match[str], state: Mapping[str, Any], target: str) -> bool:
        error = state.get("error", "")
        reads = cache[1].startswith("importing")
        self.imported |= reads and not error
        if error and not _EMPTY.search(error) and "context canceled" not in error:
            verb: Literal["read", "written"] = "read" if reads else "written"
            trouble = Trouble(target=target, verb=verb, place=cache[2], error=error)
            self.troubles += [trouble] * (trouble not in self.troubles)
        return not error

    def _owner(self, vertex: _Vertex) -> str:
        return min(vertex.seen, key=lambda target: self._order.get(target, -1))

    def _runs(self, vertex: _Vertex, owner: str) -> list[tuple[float, float]]:
        """When it ran in this build. A step that another build has just done is told as one that ran before.

        The times differ a little between the builds that tell of it: those of the owner's count.
        """
        for target in (owner, *vertex.runs):
            if target in vertex.cached:
                continue  # what was told as a run before or after that is that its layer was fetched
            began = self._began.get(target, float("-inf"))
            found = [run for run in vertex.runs.get(target, ()) if run[1] >= began]
            if found:
                return found
        return []

    def _step(self, vertex: _Vertex) -> Step:
        owner = self._owner(vertex)
        return Step(
            target=owner,
            text=_in_short(vertex.seen[owner]),
            seconds=_covered(self._runs(vertex, owner)),
            error=vertex.error,
            logs=_lines(vertex.logs, len(vertex.seen)) if vertex.error else (),
        )

    def steps(self) -> tuple[Step, ...]:
        """All that is known of, also what was cached or not begun: by target, parents first, as in the Dockerfile."""
        found = []
        for digest, vertex in self._vertices.items():
            owner = self._owner(vertex) if vertex.seen else ""
            if owner in self._order:
                found.append(replace(self._whole_step(vertex, owner), digest=digest, inputs=vertex.inputs))
        cached = {target for target, work in self.work(done=False).items() if work.result == "cached"}
        found = [
            replace(step, state="cached", seconds=0.0, began=0.0, ended=0.0)
            if step.target in cached and _is_idle(step.name)
            else step
            for step in found
        ]
        place = {"pull": 0, "load": 0, "other": 0, "step": 1, "export": 2}
        return tuple(sorted(found, key=lambda step: (self._order[step.target], place[step.kind], step.number)))

    def _whole_step(self, vertex: _Vertex, owner: str) -> Step:
        inner, text = _parsed(vertex.seen[owner])
        runs = self._runs(vertex, owner)
        stop = vertex.stops.get(owner) or next(iter(vertex.stops.values()), None)
        state: State = "not begun"
        if vertex.error:
            state = "failed"
        elif vertex.ended:
            state = "ran" if runs else "cached"
        elif stop:
            state, runs = "stopped", [(stop[0], stop[1] or self._latest)]
        place = _PLACE.fullmatch(inner) if _is_step(vertex.seen[owner]) else None
        return replace(
            self._step(vertex),
            name=text,
            kind=_kind(inner, text),
            state=state,
            stage=place[1] if place else "",
            number=int(place[2]) if place else 0,
            seconds=_covered(runs),
            began=min((run[0] for run in runs), default=0.0),
            ended=max((run[1] for run in runs), default=0.0),
            because=tuple(self._because(vertex, owner)) if runs else (),
        )

    def _because(self, vertex: _Vertex, owner: str) -> Iterator[tuple[str, str]]:
        """The steps right before it that ran in this build."""
        for digest in vertex.inputs:
            before = self._vertices.get(digest)
            if before and before.seen:
                target = owner if owner in before.seen else self._owner(before)
                if _is_step(before.seen[target]) and self._runs(before, self._owner(before)):
                    step = self._step(before)
                    yield step.target, step.text

    def _is_cached(self, target: str) -> bool:
        own = [vertex for vertex in self._vertices.values() if vertex.seen and self._owner(vertex) == target]
        return self._work(target, own, done=False).result == "cached"

    def work(self, *, done: bool) -> Mapping[str, Work]:
        """What came of each target. `done`: the whole build went well, so that every target is finished."""
        own: dict[str, list[_Vertex]] = {target: [] for target in self._order}
        for vertex in self._vertices.values():
            if vertex.seen:
                own[self._owner(vertex)].append(vertex)
        return {target: self._work(target, vertices, done=done) for target, vertices in own.items()}

    def ran(self) -> tuple[Step, ...]:
        """The steps of Dockerfiles that ran, each target's in their order; not those that were cached."""
        ran = [
            (self._order[owner], self._runs(vertex, owner)[0], self._step(vertex))
            for vertex in self._vertices.values()
            if vertex.seen and _is_step(vertex.seen[owner := self._owner(vertex)]) and self._runs(vertex, owner)
        ]
        return tuple(step for _, _, step in sorted(ran, key=lambda each: each[:2]))

    def heard(self) -> int:
        """How many steps of Dockerfiles it has heard of."""
        return sum(bool(v.seen) and _is_step(v.seen[self._owner(v)]) for v in self._vertices.values())

    def _work(self, target: str, vertices: Sequence[_Vertex], *, done: bool) -> Work:
        seconds = _covered(run for vertex in vertices for run in self._runs(vertex, target)) if vertices else None
        failed = next((self._step(vertex) for vertex in vertices if vertex.error), None)
        steps = [vertex for vertex in vertices if _is_step(vertex.seen[target])]
        exports = [vertex for vertex in vertices if vertex.seen[target].startswith("exporting to ")]
        result: Result = "not reached"
        if failed:
            result = "failed"
        elif done and not vertices:
            result = "built"  # a builder without a history
        elif done or (
            bool(steps)
            and all(vertex.ended for vertex in steps + exports)
            and (bool(exports) or target not in self._exported)
        ):
            # The last step of a cached target may be told as one that ran (seen with Docker 28.5): it is a WORKDIR.
            working = (vertex for vertex in steps if not _is_idle(vertex.seen[target]))
            result = "built" if any(self._runs(vertex, target) for vertex in working) else "cached"
        return Work(result=result, seconds=seconds, failed=failed)


def _parents_first(needs: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    found: dict[str, None] = {}

    def visit(target: str) -> None:
        for parent in needs.get(target, ()):
            visit(parent)
        found.setdefault(target)

    for target in needs:
        visit(target)
    return tuple(name for name in found if name in needs)


def _parsed(name: str) -> tuple[str, str]:
    """`[debian-base stage-0 3/5] RUN x` → what is in the brackets, and the rest."""
    match = _NAME.match(name)
    return (match[1], match[2]) if match else ("", name)


def _is_step(name: str) -> bool:
    """Whether it is a step of a Dockerfile other than FROM, which only finds the image."""
    inner, text = _parsed(name)
    return bool(_STEP.match(inner)) and not text.startswith("FROM ")


def _kind(inner: str, text: str) -> Kind:
    if text.startswith(("FROM ", "load metadata for ")) or inner.startswith("context "):
        return "pull"
    if _STEP.match(inner):
        return "step"
    if text.startswith(("load ", "importing ", "preparing inline document")):
        return "load"
    return "export" if text.startswith(("exporting ", "pushing ", "sending ")) else "other"


def _is_idle(name: str) -> bool:
    return _parsed(name)[1].startswith("WORKDIR ") or name.startswith("WORKDIR ")


def _in_short(name: str) -> str:
    """What a step runs, without its mounts and options: `uv pip install …`."""
    inner, text = _parsed(name)
    platform = next((f"{word}: " for word in inner.split() if word.startswith(("linux/", "windows/"))), "")
    instruction, _, rest = text.partition(" ")
    if instruction == "RUN":
        rest = _FLAGS.sub("", rest)
        if rest.startswith("<<"):
            return f"{platform}a script"
        for command in re.split(r" *&& *", rest):
            words = [word for word in command.split() if not word.startswith("-") and "=" not in word]
            # What is installed says more than what prepares it: lists of packages, settings of the shell.
            prepares = "=$(" in command or words[:1] in (["set"], ["."], ["sed"])
            if words and words[-1] != "update" and not prepares:
                rest = " ".join(words[:4]) + (" …" if len(words) > 4 else "")
                break
        return platform + rest
    if instruction in ("COPY", "ADD"):
        return platform + f"{instruction} {_FLAGS.sub('', rest)}"
    return platform + text


def _seconds(time: str) -> float:
    """Seconds since 1970 of a time of RFC 3339; 0 for what is none."""
    match = _TIME.fullmatch(time)
    if not match:
        return 0.0
    whole = timegm((*(int(match[number]) for number in range(1, 7)), 0, 0, 0))
    zone = int(match[8] or 0) * 3600 + int(f"{(match[8] or '+')[0]}{match[9] or 0}") * 60
    return whole - zone + float(match[7] or 0)


def _covered(runs: Iterable[tuple[float, float]]) -> float:
    """Seconds in which at least one of them ran."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(runs):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def _lines(logs: Sequence[tuple[int, bytes]], builds: int) -> tuple[str, ...]:
    """The last 20 lines of what a step printed. Each build that has the step tells all of it."""
    counted: Counter[tuple[int, bytes]] = Counter()
    text = bytearray()
    for chunk in logs:
        if counted[chunk] % builds == 0:
            text += chunk[1]
        counted[chunk] += 1
    lines = text.decode(errors="replace").split("\n")
    return tuple(line.rstrip().rpartition("\r")[2] for line in lines if line.strip())[-20:]
