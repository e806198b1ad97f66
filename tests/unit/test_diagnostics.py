"""Findings: their order, and their text, JSON and GitHub forms."""

import json

import pytest

from orbiter.diagnostics import Finding, Path, Span, as_github, as_json, dotted, in_file_order
from orbiter.errors import CheckFailed, ConfigError, EngineError, ForeignFile, NothingMatched, OrbiterError, UsageError


def span(line: int = 9, column: int = 5, file: str = "orbiter.yaml") -> Span:
    return Span(file=file, line=line, column=column, end_line=line, end_column=column + 3)


FULL = Finding(
    span=span(),
    path=("build", "debian", "core", "apt", 1),
    message="bad",
    hint="do better",
    severity="warning",
    defined=span(2, 3),
)


@pytest.mark.parametrize(
    ("finding", "text"),
    [
        (FULL, "orbiter.yaml:9:5: warning: build.debian.core.apt[1]: bad; do better (defined at orbiter.yaml:2:3)"),
        (Finding(span=span(), path=(), message="bad"), "orbiter.yaml:9:5: bad"),
        (Finding(span=span(), path=("uid",), message="bad", hint="1000"), "orbiter.yaml:9:5: uid: bad; 1000"),
    ],
)
def test_text_is_place_path_problem_way_out(finding: Finding, text: str) -> None:
    assert str(finding) == text


@pytest.mark.parametrize(
    ("path", "text"),
    [((), ""), (("build",), "build"), (("build", "a", "pip", 0, 2), "build.a.pip[0][2]"), ((0, "a"), "[0].a")],
)
def test_dotted_path(path: Path, text: str) -> None:
    assert dotted(path) == text


def test_findings_are_sorted_by_place_and_else_keep_their_order() -> None:
    places = [(2, 1, "first"), (10, 1, "second"), (2, 9, "third"), (2, 1, "fourth")]
    found = in_file_order(Finding(span=span(line, column), path=(), message=name) for line, column, name in places)
    assert [finding.message for finding in found] == ["first", "fourth", "third", "second"]


def test_json_has_all_that_the_text_has() -> None:
    data = json.loads(json.dumps(as_json(FULL)))
    assert data == {
        "file": "orbiter.yaml",
        "line": 9,
        "column": 5,
        "end_line": 9,
        "end_column": 8,
        "path": "build.debian.core.apt[1]",
        "severity": "warning",
        "message": "bad",
        "hint": "do better",
        "defined": {"file": "orbiter.yaml", "line": 2, "column": 3},
    }


def test_json_of_a_finding_without_hint_and_alias() -> None:
    data = as_json(Finding(span=span(), path=(), message="bad"))
    assert (data["hint"], data["defined"], data["severity"], data["path"]) == (None, None, "error", "")


def test_github_gets_place_and_text_apart() -> None:
    assert as_github(FULL) == (
        "::warning file=orbiter.yaml,line=9,endLine=9,col=5,endColumn=8"
        "::build.debian.core.apt[1]: bad; do better (defined at orbiter.yaml:2:3)"
    )


def test_github_forms_cannot_be_left() -> None:
    finding = Finding(span=span(file="a,b:c%\n::error::x"), path=(), message="100 %\r\n::error::y, z: 1")
    line = as_github(finding)
    assert line.splitlines() == [line]
    assert line.startswith("::error file=a%2Cb%3Ac%25%0A%3A%3Aerror%3A%3Ax,line=9,")
    assert line.endswith("::100 %25%0D%0A::error::y, z: 1")


def test_a_configuration_error_lists_its_findings_in_file_order() -> None:
    late, early = (Finding(span=span(line), path=(), message=f"line {line}") for line in (7, 3))
    error = ConfigError([late, early])
    assert error.findings == (early, late)
    assert str(error) == "orbiter.yaml:3:5: line 3\norbiter.yaml:7:5: line 7"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CheckFailed(), 1),
        (UsageError(), 2),
        (ConfigError([]), 2),
        (ForeignFile([("Dockerfile", "file")]), 2),
        (NothingMatched(), 3),
        (EngineError(), 4),
    ],
)
def test_exit_codes(error: OrbiterError, code: int) -> None:
    assert error.exit_code == code
