"""What is made of BuildKit's events. The streams in tests/unit/progress are recorded from Docker 28.5 with Buildx 0.29:
`docker buildx bake --progress=rawjson` without the lines that only have bytes transferred, `replayed` from the history.
"""

from pathlib import Path

import pytest

from orbiter.progress import Progress, Step, Work

NEEDS = {
    "debian-core": (),
    "debian-base-build": ("debian-core",),
    "debian-base": ("debian-core", "debian-base-build"),
    "debian-other": ("debian-core",),
}
EXPORTED = ("debian-core", "debian-base", "debian-other")


def listen(name: str, needs: dict[str, tuple[str, ...]] = NEEDS) -> tuple[Progress, list[Step]]:
    progress = Progress(needs, EXPORTED)
    recorded = (Path(__file__).parent / "progress" / f"{name}.jsonl").read_text()
    return progress, [step for line in recorded.splitlines() for step in progress.feed(line)]


def told(steps: list[Step]) -> list[tuple[str, str, float]]:
    return [(step.target, step.text, round(step.seconds, 1)) for step in steps]


def test_each_step_that_ran_is_told_once_under_the_target_that_has_it() -> None:
    _, steps = listen("built")
    assert told(steps) == [
        ("debian-core", "cached", 0.0),
        ("debian-base-build", "uv pip install", 0.6),
        ("debian-other", "apt-get install bash ca-certificates …", 1.5),
        ("debian-other", "COPY start.sh /usr/local/bin/start.sh", 0.0),
        ("debian-other", "a script", 2.2),
        ("debian-base-build", "a script", 5.2),
        ("debian-base", "COPY /opt/venv /opt/venv", 0.2),
    ]


def test_seconds_of_a_target_are_those_of_its_own_steps() -> None:
    progress, _ = listen("built")
    work = progress.work(done=True)
    assert {target: each.result for target, each in work.items()} == {
        "debian-core": "cached",
        "debian-base-build": "built",
        "debian-base": "built",
        "debian-other": "built",
    }
    seconds = {target: each.seconds or 0 for target, each in work.items()}
    assert 5.8 < seconds["debian-base-build"] < 6.2
    assert seconds["debian-base"] < 1.2  # it waited for 6 s before
    assert seconds["debian-core"] < 0.5


def test_a_build_that_is_all_cached_has_a_line_a_target() -> None:
    progress, steps = listen("cached")
    assert sorted(told(steps)) == [(target, "cached", 0.0) for target in sorted(EXPORTED)]
    assert {each.result for each in progress.work(done=True).values()} == {"cached"}


def test_the_step_that_failed_and_what_was_cancelled_for_it() -> None:
    progress, steps = listen("failed")
    work = progress.work(done=False)
    assert {target: each.result for target, each in work.items()} == {
        "debian-core": "cached",
        "debian-base-build": "failed",
        "debian-base": "not reached",
        "debian-other": "not reached",
    }
    failed = work["debian-base-build"].failed
    assert failed is not None
    assert failed.text == "a script"
    assert failed.error.endswith("did not complete successfully: exit code: 1")
    assert failed.logs == ("hallo", "about to fail")
    assert [step.target for step in steps if step.error] == ["debian-base-build"]
    assert progress.words[-1].startswith("ERROR: target debian-base: failed to solve: process ")


def test_a_build_that_is_interrupted_has_no_failure() -> None:
    progress, _ = listen("cancelled")
    results = {target: each.result for target, each in progress.work(done=False).items()}
    assert results["debian-core"] == "cached"
    assert results["debian-base"] == results["debian-base-build"] == "not reached"


def test_a_push_that_is_refused_is_a_failure_of_the_image() -> None:
    progress, steps = listen("refused")
    work = progress.work(done=False)
    failed = work["debian-core"].failed
    assert failed is not None
    assert failed.text == "exporting to image"
    assert failed.error.endswith("401 Unauthorized")
    assert work["debian-base"].result == "not reached"
    assert [step.text for step in steps if step.error] == ["exporting to image"]


def test_the_history_of_a_build_has_no_names_of_targets() -> None:
    progress = Progress(NEEDS, EXPORTED)
    for line in (Path(__file__).parent / "progress/replayed.jsonl").read_text().splitlines():
        progress.feed(line, "debian-other")
    work = progress.work(done=True)["debian-other"]
    assert work.result == "built"
    assert 6.3 < (work.seconds or 0) < 7.5


def test_a_builder_without_history_tells_only_that_it_is_built() -> None:
    assert Progress(NEEDS, EXPORTED).work(done=True)["debian-core"] == Work(result="built", seconds=None)
    assert Progress(NEEDS, EXPORTED).work(done=False)["debian-core"] == Work(result="not reached", seconds=None)


def test_bake_of_one_target_names_it_nowhere() -> None:
    progress = Progress({"a-core": ()}, ["a-core"])
    state = '"digest": "1", "name": "[stage-0 2/3] RUN true", "started": "2026-01-01T23:59:59.5Z"'
    (step,) = progress.feed(f'{{"vertexes": [{{{state}, "completed": "2026-01-02T01:00:01.5+01:00"}}]}}')
    assert (step.target, step.text, step.seconds) == ("a-core", "true", 2.0)


def test_a_step_that_another_build_did_before_is_cached() -> None:
    progress = Progress({"a-core": ()}, ["a-core"])

    def state(digest: str, name: str, minute: int) -> str:
        times = f'"started": "2026-01-01T10:{minute}:00Z", "completed": "2026-01-01T10:{minute}:09Z"'
        return f'{{"vertexes": [{{"digest": "{digest}", "name": "{name}", {times}}}]}}'

    assert progress.feed(state("1", "[internal] load build definition from Dockerfile", 30)) != ()  # 9 s: worth a line
    assert progress.feed(state("2", "[stage-0 2/3] RUN true", 20)) == ()
    assert progress.work(done=True)["a-core"] == Work(result="cached", seconds=9.0)


def test_steps_know_when_they_ran_and_what_they_followed() -> None:
    progress, _ = listen("built")
    steps = {(step.target, step.text): step for step in progress.steps() if step.kind == "step"}
    first, script = steps["debian-base-build", "uv pip install"], steps["debian-base-build", "a script"]
    assert (first.state, first.because, first.stage, first.number) == ("ran", (), "stage-0", 2)
    assert script.because == (("debian-base-build", "uv pip install"),)
    assert first.began < first.ended <= script.began < script.ended
    assert first.digest in script.inputs
    assert steps["debian-base", "COPY /opt/venv /opt/venv"].because == (("debian-base-build", "WORKDIR /home/jovyan"),)
    assert {step.state for name, step in steps.items() if name[0] == "debian-core"} == {"cached"}
    assert steps["debian-core", "a script"].began == 0


def test_steps_come_parents_first_and_as_in_the_dockerfile() -> None:
    progress, _ = listen("built")
    steps = progress.steps()
    assert list(dict.fromkeys(step.target for step in steps)) == list(NEEDS)
    own = [step for step in steps if step.target == "debian-base-build"]
    assert [step.number for step in own if step.kind == "step"] == [1, 2, 3, 4]
    assert own[-1].kind in ("step", "export")
    assert {step.kind for step in steps} >= {"step", "pull", "load", "export"}


def test_a_failure_stops_some_steps_and_others_do_not_begin() -> None:
    progress, _ = listen("failed")
    states = {(step.target, step.text): step.state for step in progress.steps() if step.kind == "step"}
    assert states["debian-base-build", "a script"] == "failed"
    assert states["debian-base-build", "WORKDIR /home/jovyan"] == "not begun"
    assert states["debian-other", "a script"] == "stopped"
    assert states["debian-base", "COPY /opt/venv /opt/venv"] == "not begun"


def test_a_step_that_ran_when_the_telling_ended_stopped_then() -> None:
    progress = Progress({"a-core": ()}, ["a-core"])
    state = '{"vertexes": [{"digest": "%s", "name": "[stage-0 %s/3] RUN x", "started": "2026-01-01T10:00:%sZ"%s}]}'
    progress.feed(state % ("1", "2", "00", ""))
    progress.feed(state % ("2", "3", "01", ', "completed": "2026-01-01T10:00:05Z"'))
    first, second = progress.steps()
    assert (first.state, first.seconds) == ("stopped", 5.0)
    assert (second.state, second.seconds) == ("ran", 4.0)


def test_the_last_step_of_a_cached_target_is_cached_whatever_is_told() -> None:
    progress, _ = listen("cached")
    assert {step.state for step in progress.steps() if step.kind == "step"} == {"cached"}


@pytest.mark.parametrize("line", ["", "ERROR: no", "[1]", "{}", '{"vertexes": null}', '{"statuses": [{"id": "x"}]}'])
def test_other_lines_are_no_steps(line: str) -> None:
    assert Progress(NEEDS, EXPORTED).feed(line) == ()
