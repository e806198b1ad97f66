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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Result = Literal["built", "cached", "failed", "not reached", "up to date", "tagged"]
"""What came of a target. `not reached`: it was not begun, or it was cancelled because another one failed.

`up to date` and `tagged` is what needs no build: the image is there, and was given its tags.
"""

_NAME = re.compile(r"\[([^\]]*)\] ?(.*)", re.DOTALL)
_STEP = re.compile(r"(?:^|.* )\d+/\d+$")
_FLAGS = re.compile(r"(?:--[\w-]+(?:=\S+)?|[A-Z_][A-Z_0-9]*=\S+) +")
_TIME = re.compile(r"(\d+)-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(?:Z|([+-]\d\d):(\d\d))")
_SLOW = 1.0
"""Seconds after which what is no step of a Dockerfile (a pull, an export) is worth a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step that ended: its target, what it ran in short, how long it took, and what is wrong if it failed.

    The text `cached` stands for all the steps of a target.
    """

    target: str
    text: str
    seconds: float
    error: str = ""
    logs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What came of a target. `seconds` are those in which its own steps ran, None if nobody told of any."""

    result: Result
    seconds: float | None
    failed: Step | None = None


@dataclass(slots=True)
class _Vertex:
    """A vertex in all the builds that have it; `seen` and `runs` are by target, `runs` in seconds since 1970."""

    seen: dict[str, str] = field(default_factory=dict)
    runs: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
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
        self.words: list[str] = []
        """The lines that are no events: Buildx's own words."""

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
        vertex = self._vertices.setdefault(state["digest"], _Vertex())
        vertex.seen[target] = f"[{inner}] {text}" if inner else text
        if inner == "internal" and text.startswith("load build definition") and state.get("started"):
            self._began.setdefault(target, _seconds(state["started"]))
        if not state.get("completed"):
            return None
        error = state.get("error", "")
        if error and "context canceled" in error:
            return None
        vertex.ended = True
        vertex.error = vertex.error or error
        if not state.get("cached"):
            run = _seconds(state["started"]), _seconds(state["completed"])
            vertex.runs.setdefault(target, []).append(run)
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

    def _owner(self, vertex: _Vertex) -> str:
        return min(vertex.seen, key=lambda target: self._order.get(target, -1))

    def _runs(self, vertex: _Vertex, owner: str) -> list[tuple[float, float]]:
        """When it ran in this build. A step that another build has just done is told as one that ran before.

        The times differ a little between the builds that tell of it: those of the owner's count.
        """
        for target in (owner, *vertex.runs):
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


def _is_idle(name: str) -> bool:
    return _parsed(name)[1].startswith("WORKDIR ") or name.startswith("WORKDIR ")


def _in_short(name: str) -> str:
    """What a step runs, without its mounts and options: `uv pip install …`."""
    inner, text = _parsed(name)
    platform = next((f"{word}: " for word in inner.split() if word.startswith(("linux/", "windows/"))), "")
    instruction, _, rest = text.partition(" ")
    if instruction == "RUN":
        rest = _FLAGS.sub("", rest) if not rest.startswith("<<") else "a script"
        for command in re.split(r" *&& *", rest):
            words = [word for word in command.split() if not word.startswith("-") and "=" not in word]
            # What is installed says more than that the lists of packages are brought up to date before.
            if words and words[-1] != "update":
                rest = " ".join(words[:4]) + (" …" if len(words) > 4 else "")
                break
        return platform + rest
    if instruction in ("COPY", "ADD"):
        return platform + f"{instruction} {_FLAGS.sub('', rest)}"
    return platform + text


def _seconds(time: str) -> float:
    """Seconds since 1970 of a time of RFC 3339."""
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
