"""Each folder here is a case: `config.yaml` and what it compiles to, or what is wrong with it.

    config.yaml           the configuration; further files belong to its project
    expected/             every generated file, whole; or
    expected-errors.txt   every finding, one a line

`pytest tests/cases --update-golden` writes the expected files anew; read the difference before you commit it.
"""

import shutil
from pathlib import Path

import pytest

from orbiter import output, pipeline
from orbiter.errors import ConfigError, OrbiterError

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/config.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case)
    expected, errors = case / "expected", case / "expected-errors.txt"
    try:
        planned = pipeline.make_plan(Path("config.yaml"), Path())
        files = dict(pipeline.render(planned))
        found = "".join(f"{warning}\n" for warning in planned.warnings)
    except OrbiterError as error:
        files, found = (
            {},
            "".join(f"{each}\n" for each in error.findings) if isinstance(error, ConfigError) else f"{error}\n",
        )

    if request.config.getoption("--update-golden"):
        shutil.rmtree(expected, ignore_errors=True)
        errors.unlink(missing_ok=True)
        if files:
            output.write(output.compare(files, expected), expected)
        if found:
            errors.write_text(found)
        return

    assert found == (errors.read_text() if errors.exists() else "")
    there = {path.relative_to(expected).as_posix(): path.read_text() for path in expected.rglob("*") if path.is_file()}
    assert files == there
