"""Large families: how bake is called, several times, and what is done when Buildx breaks of itself."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from orbiter.building import Job, run
from orbiter.engine import BakeOptions, BuildFailed, Buildx
from orbiter.errors import EngineError
from orbiter.pipeline import Planned
from tests.unit.test_changes import State

CORES = "build:\n" + "".join(
    f'  f{number}:\n    core: {{image: "debian:trixie-slim", builder: pip_core}}\n' for number in range(6)
)


class Engine(Buildx):
    """Bakes nothing; says what it is told to say, and fails with it, once each."""

    def __init__(self, *words: str) -> None:
        self.words = list(words)
        self.calls: list[tuple[str, ...]] = []

    def bake(
        self, folder: Path, targets: Sequence[str], options: BakeOptions, hear: Callable[[str], None] | None = None
    ) -> None:
        self.calls.append(tuple(targets))
        if self.words:
            assert hear is not None
            for line in self.words.pop(0).splitlines():
                hear(line)
            raise BuildFailed("docker buildx bake failed with status 1", ())

    def ask(self, *arguments: str, **options: Any) -> str:
        raise EngineError("nobody here")


def built(engine: Engine, at_once: int) -> tuple[list[str], BuildFailed | None]:
    state = State(CORES)
    planned = Planned(config=Path("orbiter.yaml"), document=state.document, plan=state.plan, lock=None, warnings=())
    options = BakeOptions()
    wanted = tuple(target.name for target in state.plan.targets)
    job = Job(planned=planned, plan=state.plan, wanted=wanted, files={}, options=options, at_once=at_once)
    said: list[str] = []
    return said, run(job, engine, said.append)[1]


def test_bake_gets_some_targets_at_a_time_and_all_of_few() -> None:
    for at_once, sizes in ((4, [4, 2]), (6, [6]), (50, [6]), (0, [6])):
        engine = Engine()
        said, error = built(engine, at_once)
        assert error is None
        assert [len(call) for call in engine.calls] == sizes
        assert len([line for line in said if line.startswith("wave ")]) == (0 if len(sizes) == 1 else len(sizes))


def test_a_connection_that_buildx_lost_is_no_failure_of_the_build() -> None:
    engine = Engine("ERROR: target f0-core: failed to receive status: rpc error: code = NotFound desc = no such job x")
    said, error = built(engine, 3)
    assert error is None
    assert engine.calls[0] == engine.calls[1]
    assert len(engine.calls) == 3
    assert "Buildx lost its connection to the build; once more, from the cache" in said


def test_it_is_not_tried_for_ever() -> None:
    engine = Engine(*["ERROR: no such job x"] * 20)
    _, error = built(engine, 0)
    assert error is not None
    assert len(engine.calls) == 4


def test_an_error_of_no_image_ends_the_build() -> None:
    engine = Engine("ERROR: unknown flag")
    _, error = built(engine, 3)
    assert error is not None
    assert "unknown flag" in str(error)
    assert len(engine.calls) == 1


def vertex(target: str, text: str, error: str) -> str:
    """A line of BuildKit's about a step that failed."""
    step = {"digest": f"sha256:{target}{text}", "name": f"[{target} {text}", "error": error}
    times = {"started": "2026-01-01T00:00:00Z", "completed": "2026-01-01T00:00:01Z"}
    return json.dumps({"vertexes": [step | times]})


def test_an_export_that_a_failed_step_cancelled_is_done_when_that_is_left_out() -> None:
    step = vertex("f1-core", "1/2] RUN false", "exit code: 1")
    export = vertex("f0-core", "] exporting to image", "error writing config blob: EOF").replace(" ] ", "] ")
    engine = Engine(f"{step}\n{export}")
    said, error = built(engine, 3)
    assert str(error).endswith(": 'f1-core' could not be built")
    assert [len(call) for call in engine.calls] == [3, 2, 3]
    assert "f0-core" in engine.calls[1]
    assert "going on with f0-core, f2-core" in said


def test_an_export_that_fails_of_itself_is_a_failure() -> None:
    engine = Engine(vertex("f0-core", "] exporting to image", "failed to push x: denied").replace(" ] ", "] "))
    _, error = built(engine, 3)
    assert "denied" in str(error)
    assert [len(call) for call in engine.calls] == [3, 2, 3]
