"""The report at the end of a build: table, data, critical path, and what errors of registries mean."""

import pytest

from orbiter.progress import Work
from orbiter.report import Outcome, Report, as_data, as_text, critical_path, explain, merged

NEEDS = {"core": (), "build": ("core",), "base": ("core", "build"), "other": ("core",)}
BUILT = (
    Outcome(target="core", result="cached", seconds=0.25, digest=f"sha256:{'0123456789ab' * 5}", size=45_400_000),
    Outcome(target="build", result="built", seconds=75.01, size=None),
    Outcome(target="base", result="built", seconds=3.0, size=1_234_567_890),
)


def test_critical_path_is_the_chain_that_took_longest() -> None:
    assert critical_path(NEEDS, {"core": 1.0, "build": 5.0, "base": 1.0, "other": 6.5}) == ("core", "other")
    assert critical_path(NEEDS, {"core": 1.0, "build": 5.0, "base": 1.0, "other": None}) == ("core", "build", "base")
    assert critical_path({}, {}) == ()


def test_table() -> None:
    report = Report(outcomes=BUILT, critical=("core", "build", "base"), seconds=80.0)
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
    report = Report(outcomes=BUILT[:1], critical=("core",), seconds=1.0)
    assert as_text(report).splitlines()[-1] == "nothing to do: everything is cached (1.0 s)"


def test_long_names_fit_into_80_columns() -> None:
    name = "micromamba-geospatial-build"
    outcome = Outcome(target=name, result="not reached", seconds=12345.6, size=999_499_999, digest="sha256:" + "a" * 64)
    report = Report(outcomes=(outcome, *BUILT), critical=(name,) * 5, seconds=1.0)
    assert max(map(len, as_text(report).splitlines())) <= 80


def test_failure_has_no_critical_path() -> None:
    outcomes = (Outcome(target="core", result="failed", seconds=2.0), Outcome(target="base", result="not reached"))
    text = as_text(Report(outcomes=outcomes, critical=("core",), seconds=2.0))
    assert text.splitlines()[-1] == "1 failed, 1 not reached in 2.0 s"


def test_data_has_all_and_what_buildx_wrote() -> None:
    data = as_data(Report(outcomes=BUILT, critical=("core",), seconds=1.23456, buildx={"core": {"image.name": "x"}}))
    assert (data["result"], data["seconds"], data["critical_path"]) == ("built", 1.235, ["core"])
    assert data["targets"][0] == {
        "name": "core",
        "result": "cached",
        "seconds": 0.25,
        "size": 45_400_000,
        "digest": f"sha256:{'0123456789ab' * 5}",
        "references": [],
        "problem": None,
    }
    assert data["buildx"] == {"core": {"image.name": "x"}}


def test_what_was_built_before_the_failure_stays_built() -> None:
    first = {"a": Work(result="built", seconds=5.0), "b": Work(result="not reached", seconds=1.0)}
    second = {"a": Work(result="cached", seconds=0.5), "b": Work(result="built", seconds=2.0)}
    assert merged(first, second) == {"a": Work(result="built", seconds=5.5), "b": Work(result="built", seconds=3.0)}


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
