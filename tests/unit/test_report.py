"""The report at the end of a build: table, data, critical path, and what errors of registries mean."""

from dataclasses import replace

import pytest

from orbiter.blame import Cause
from orbiter.diagnostics import Finding, Span
from orbiter.progress import Kind, Step, Work
from orbiter.report import Outcome, Report, as_data, as_text, critical_path, explain, merged, merged_steps

BUILT = (
    Outcome(target="core", result="cached", seconds=0.25, digest=f"sha256:{'0123456789ab' * 5}", size=45_400_000),
    Outcome(target="build", result="built", seconds=75.01, size=None),
    Outcome(target="base", result="built", seconds=3.0, size=1_234_567_890),
)


def step(target: str, digest: str, seconds: float, *inputs: str, kind: Kind = "step") -> Step:
    return Step(target=target, text=digest, name=digest, seconds=seconds, digest=digest, inputs=inputs, kind=kind)


NEEDS = {"core": (), "build": ("core",), "base": ("core", "build"), "other": ("core",), "top": ("base",)}
PATH = (step("core", "a", 0.3), step("build", "b", 75.0, "a"), step("base", "c", 3.0, "b"))


def test_critical_path_is_the_chain_of_steps_that_took_longest() -> None:
    assert critical_path((*PATH, step("base", "early", 60.0, "a"), step("other", "d", 70.0, "a")), NEEDS) == PATH
    longest = step("other", "d", 80.0, "a")
    assert critical_path((*PATH, longest), NEEDS) == (PATH[0], longest)
    assert critical_path((), NEEDS) == ()


def test_a_step_that_siblings_share_is_that_of_the_child_on_the_path() -> None:
    shared, last = step("build", "b", 5.0, "a"), step("other", "d", 9.0, "b")
    path = critical_path((PATH[0], shared, last), NEEDS)
    assert [(each.target, each.digest) for each in path] == [("core", "a"), ("other", "b"), ("other", "d")]


def test_critical_path_does_not_wait_for_the_export_of_a_parent() -> None:
    # 90 s of base are those of its export, which no child waits for; its own is on the path only as the last.
    export = step("base", "e", 90.0, kind="export")
    child = step("top", "d", 60.0, "c")
    assert critical_path((*PATH, export, child), NEEDS) == (*PATH, export)
    export = step("base", "e", 50.0, kind="export")
    assert critical_path((*PATH, export, child), NEEDS) == (*PATH, child)


def test_files_that_are_there_at_once_do_not_hide_parents_from_the_cache() -> None:
    core, load = step("core", "a", 0.0), step("base", "l", 0.2, kind="load")
    last = step("base", "b", 3.0, "a", "l")
    assert critical_path((core, load, last), NEEDS) == (core, last)
    load = replace(load, seconds=20.0)
    assert critical_path((core, load, last), NEEDS) == (load, last)


def test_what_a_step_needs_is_no_export() -> None:
    # A file that is written in the Dockerfile is a vertex that the step needs, and needs nothing itself.
    document = step("base", "i", 0.1, kind="other")
    last = step("base", "c", 3.0, "i")
    assert critical_path((document, last), NEEDS) == (document, last)


def test_table() -> None:
    report = Report(outcomes=BUILT, critical=PATH, seconds=80.0)
    assert as_text(report) == (
        "target  result    time     size  digest\n"
        "core    cached   0.2 s    45 MB  0123456789ab\n"
        "build   built   75.0 s        –  –\n"
        "base    built    3.0 s  1.23 GB  –\n"
        "\n"
        "2 built, 1 cached in 80.0 s\n"
        "critical path: core → build → base, 78.3 s"
    )


def test_all_cached_is_said_as_such() -> None:
    report = Report(outcomes=BUILT[:1], critical=PATH[:1], seconds=1.0)
    assert as_text(report).splitlines()[-1] == "nothing to do: everything is cached (1.0 s)"


def test_long_names_fit_into_80_columns() -> None:
    name = "micromamba-geospatial-build"
    outcome = Outcome(target=name, result="not reached", seconds=12345.6, size=999_499_999, digest="sha256:" + "a" * 64)
    report = Report(
        outcomes=(outcome, *BUILT),
        critical=tuple(step(f"{name}{number}", "a", 1.0) for number in range(5)),
        seconds=1.0,
    )
    assert max(map(len, as_text(report).splitlines())) <= 80


def test_failure_has_no_critical_path() -> None:
    outcomes = (Outcome(target="core", result="failed", seconds=2.0), Outcome(target="base", result="not reached"))
    text = as_text(Report(outcomes=outcomes, critical=PATH[:1], seconds=2.0))
    assert text.splitlines()[-1] == "1 failed, 1 not reached in 2.0 s"


def test_data_has_all_and_what_buildx_wrote() -> None:
    data = as_data(Report(outcomes=BUILT, critical=PATH[:1], seconds=1.23456, buildx={"core": {"image.name": "x"}}))
    assert (data["result"], data["seconds"], data["critical_path"]) == ("built", 1.235, ["core"])
    assert data["targets"][0] == {
        "name": "core",
        "result": "cached",
        "seconds": 0.25,
        "size": 45_400_000,
        "digest": f"sha256:{'0123456789ab' * 5}",
        "references": [],
        "problem": None,
        "failure": None,
    }
    assert data["buildx"] == {"core": {"image.name": "x"}}


def test_what_was_built_before_the_failure_stays_built() -> None:
    first = {"a": Work(result="built", seconds=5.0), "b": Work(result="not reached", seconds=1.0)}
    second = {"a": Work(result="cached", seconds=0.5), "b": Work(result="built", seconds=2.0)}
    assert merged(first, second) == {"a": Work(result="built", seconds=5.5), "b": Work(result="built", seconds=3.0)}


def test_data_of_a_failure_says_where_it_comes_from() -> None:
    span = Span(file="orbiter.yaml", line=5, column=7, end_line=5, end_column=9)
    path = ("build", "debian", "base", "pip", 0)
    finding = Finding(span=span, path=path, message="'base' could not be built")
    cause = Cause(
        target="base",
        dockerfile="build/debian/base/Dockerfile",
        line=12,
        instruction="RUN false",
        finding=finding,
        log=("a",),
    )
    failed = Outcome(target="base", result="failed", problem="exit code: 1", cause=cause)
    (target,) = as_data(Report(outcomes=(failed,), critical=(), seconds=1.0))["targets"]
    assert target["failure"] == {
        "dockerfile": "build/debian/base/Dockerfile",
        "line": 12,
        "instruction": "RUN false",
        "configuration": {
            "file": "orbiter.yaml",
            "line": 5,
            "column": 7,
            "path": "build.debian.base.pip[0]",
            "message": "'base' could not be built",
        },
        "log": ["a"],
    }


def test_an_interrupted_build_is_neither_built_nor_failed() -> None:
    assert as_data(Report(outcomes=(), critical=(), seconds=1.0, interrupted=True))["result"] == "interrupted"


def test_steps_of_two_rounds_are_told_once() -> None:
    ran, left = step("core", "a", 5.0), replace(step("base", "b", 0.0), state="not begun")
    again, then = replace(ran, state="cached", seconds=0.0), step("base", "b", 2.0)
    assert merged_steps((ran, left), (again, then)) == (ran, then)
    failed = replace(then, state="failed")
    assert merged_steps((ran, failed), (again,)) == (ran, failed)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("ghcr.io/a/b:c: unexpected status from HEAD request: 401 Unauthorized", "'docker login ghcr.io'"),
        ("127.0.0.1:5000/b:c: 403 Forbidden", "'docker login 127.0.0.1:5000'"),
        ("dorgeln/orbiter:x-1: push access denied, repository does not exist", "'docker login'"),
        ("localhost/a:b: dial tcp 127.0.0.1:80: connect: connection refused", "localhost does not answer"),
        ("localhost:5000/a:b: dial tcp: lookup x: no such host", "localhost:5000 does not answer"),
    ],
)
def test_error_of_a_registry_says_what_to_do(error: str, said: str) -> None:
    assert said in explain(f"failed to push {error}")
    assert error in explain(f"failed to push {error}")


def test_other_errors_stay_as_they_are() -> None:
    assert explain("process did not complete: exit code: 1") == "process did not complete: exit code: 1"
    assert explain("failed to push a.io/x:y: blob unknown") == "failed to push a.io/x:y: blob unknown"
