"""Large families: how bake is called, several times, and what is done when Buildx breaks of itself."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from orbiter.bake import BakeOptions
from orbiter.building import Ended, Job, run
from orbiter.engine import BuildFailed, Buildx
from orbiter.errors import EngineError
from orbiter.pipeline import Planned
from orbiter.report import Report
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


class Telling(Buildx):
    """Bakes nothing, and writes what Buildx does: of a parent that is not wanted itself, less. Then it may end."""

    def __init__(self, parents: Mapping[str, Sequence[str]], ends: int | None = None) -> None:
        self.parents, self.ends, self.calls = parents, ends, 0

    def bake(
        self, folder: Path, targets: Sequence[str], options: BakeOptions, hear: Callable[[str], None] | None = None
    ) -> None:
        self.calls += 1
        if self.calls == self.ends:
            raise KeyboardInterrupt
        told = {name: {"buildx.build.ref": "a/b/c"} for target in targets for name in self.parents[target]}
        made = {name: {"containerimage.digest": f"sha256:{name}", "image.name": f"x:{name}"} for name in targets}
        assert options.metadata is not None
        Path(options.metadata).write_text(json.dumps(told | made))

    def ask(self, *arguments: str, **options: Any) -> str:
        raise EngineError("nobody here")


def family(engine: Buildx) -> tuple[list[str], Report, Ended | None]:
    """A core and an image on it, in a wave each."""
    text = CORES + "    top: {image: core, builder: pip_deploy, cmd: [x]}\n"
    state = State(text)
    planned = Planned(config=Path("orbiter.yaml"), document=state.document, plan=state.plan, lock=None, warnings=())
    job = Job(
        planned=planned, plan=state.plan, wanted=("f5-core", "f5-top"), files={}, options=BakeOptions(), at_once=1
    )
    said: list[str] = []
    return said, *run(job, engine, said.append)


def test_what_an_earlier_wave_has_made_keeps_its_digest() -> None:
    _, made, error = family(Telling({"f5-core": (), "f5-top": ("f5-core",)}))
    assert error is None
    digests = {outcome.target: outcome.digest for outcome in made.outcomes}
    assert (digests["f5-core"], digests["f5-top"]) == ("sha256:f5-core", "sha256:f5-top")


def test_an_interrupt_says_what_is_finished() -> None:
    said, made, error = family(Telling({"f5-core": (), "f5-top": ("f5-core",)}, ends=2))
    assert isinstance(error, KeyboardInterrupt)
    assert made.interrupted
    assert said[-1] == "1 image was finished and stays; 'orbiter build --changed' goes on from there"
    said, _, _ = family(Telling({"f5-core": (), "f5-top": ("f5-core",)}, ends=1))
    assert not any("finished" in line for line in said)


def test_an_interrupt_between_two_calls_ends_the_build_as_one_within() -> None:
    def say(line: str) -> None:
        if line.startswith("wave 2"):
            raise KeyboardInterrupt

    state = State(CORES)
    planned = Planned(config=Path("orbiter.yaml"), document=state.document, plan=state.plan, lock=None, warnings=())
    wanted = tuple(target.name for target in state.plan.targets)
    job = Job(planned=planned, plan=state.plan, wanted=wanted, files={}, options=BakeOptions(), at_once=3)
    engine = Engine()
    made, error = run(job, engine, say)
    assert isinstance(error, KeyboardInterrupt)
    assert [outcome.result for outcome in made.outcomes].count("not reached") == 3
    assert len(engine.calls) == 1


def built(engine: Engine, at_once: int) -> tuple[list[str], Ended | None]:
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


@pytest.mark.parametrize(
    "said",
    [
        "failed to receive status: rpc error: code = NotFound desc = no such job x",
        "failed to commit a to b during finalize: failed to stat active key during commit: snapshot a does not exist",
    ],
)
def test_what_the_builder_lost_is_no_failure_of_the_build(said: str) -> None:
    engine = Engine(f"ERROR: target f0-core: {said}")
    words, error = built(engine, 3)
    assert error is None
    assert engine.calls[0] == engine.calls[1]
    assert len(engine.calls) == 3
    assert "the builder lost hold of the build, for no fault of it; once more, from the cache" in words


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
