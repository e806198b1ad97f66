"""The projects in examples/: they compile without a warning, and what their READMEs say of them is so."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from orbiter import pipeline
from orbiter.plan import tags
from tests.conftest import ROOT, Run

EXAMPLES = sorted(path.parent.name for path in ROOT.glob("examples/*/orbiter.yaml"))


@pytest.fixture
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return shutil.copytree(ROOT / "examples" / request.param, tmp_path / request.param)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("project", EXAMPLES, indirect=True)
def test_compiles_without_a_warning(project: Path, orbiter: Run) -> None:
    done = orbiter("compile", cwd=project)
    assert done.returncode == 0
    assert "warning" not in done.stderr
    assert (project / "docker-bake.hcl").is_file()


@pytest.mark.parametrize("project", EXAMPLES, indirect=True)
def test_readme_names_what_there_is(project: Path) -> None:
    readme = (project / "README.md").read_text()
    plan = pipeline.make_plan(project / "orbiter.yaml").plan
    published = {tag for target in plan.targets for tag in tags(plan.project, target.image)}
    named = set(re.findall(r"localhost/[a-z]+:\S+", readme))
    assert named <= published
    built = set(re.findall(r"orbiter build ([a-z]+-[a-z]+)", readme))
    assert built <= {target.name for target in plan.targets}
    assert f"[{project.name}]({project.name})" in (ROOT / "examples/README.md").read_text()


@pytest.mark.parametrize("project", EXAMPLES, indirect=True)
def test_is_written_for_people(project: Path) -> None:
    text = (project / "orbiter.yaml").read_text()
    assert text.startswith("# ")
    assert list(yaml.safe_load(text)) == ["version", "docker", *(["defaults"] if "defaults:" in text else []), "build"]


def test_notebooks_are_notebooks() -> None:
    notebooks = sorted(ROOT.glob("examples/**/*.ipynb"))
    assert notebooks
    for path in notebooks:
        notebook = json.loads(path.read_text())
        assert notebook["nbformat"] == 4
        assert all("outputs" not in cell or cell["outputs"] == [] for cell in notebook["cells"])
