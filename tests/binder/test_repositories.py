"""Each folder here is a Binder repository and the configuration that it becomes.

    repository/           the repository, as `orbiter init --from repository` finds it
    expected.yaml         the configuration; or nothing, where there is none to be had
    expected-report.txt   what could not be carried over, one remark a line; or the error

`pytest tests/binder --update-golden` writes the expected files anew; read the difference before you commit it.
"""

import shutil
from pathlib import Path

import pytest

from orbiter import pipeline
from orbiter.errors import ConfigError, OrbiterError
from orbiter.starter import Settings

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/repository"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_repository(
    case: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(case / "repository", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    config = Path("orbiter.yaml")
    settings = Settings(base="debian:trixie-slim", repo="localhost/binder")
    try:
        text, remarks = pipeline.first_configuration(settings, config, Path())
        report = "".join(f"{remark}\n" for remark in remarks)
    except OrbiterError as error:
        text = ""
        report = "".join(f"{each}\n" for each in error.findings) if isinstance(error, ConfigError) else f"{error}\n"
    if text:
        # The files that it copies are there, too.
        config.write_text(text)
        pipeline.make_plan(config)

    expected, expected_report = case / "expected.yaml", case / "expected-report.txt"
    if request.config.getoption("--update-golden"):
        for path, content in ((expected, text), (expected_report, report)):
            path.unlink(missing_ok=True)
            if content:
                path.write_text(content)
        return

    assert text == (expected.read_text() if expected.exists() else "")
    assert report == (expected_report.read_text() if expected_report.exists() else "")
