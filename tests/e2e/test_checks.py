"""`orbiter test` on images that are right, wrong, or not there."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from tests.conftest import run_orbiter

pytestmark = pytest.mark.engine

DEFAULTS = ["user", "interpreter", "imports", "kernels", "http", "token"]
WRONG = {
    "imports": ["json", "no_such_module"],
    "commands": [{"run": ["echo", "one"], "output": "two"}, {"run": ["sh", "-c", "echo broken; exit 3"]}],
    "notebooks": ["wrong.ipynb"],
    "http": ["/lab", "/no/such/page"],
}


@pytest.fixture(scope="module")
def project(root: Path, tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]) -> Iterator[Path]:
    """The course of examples/, an image on it whose expectations are wrong, and one that ends by itself; built."""
    folder = tmp_path_factory.mktemp("checks") / "course"
    shutil.copytree(root / "examples/course", folder, ignore=shutil.ignore_patterns("build", "docker*"))
    config = yaml.safe_load((folder / "orbiter.yaml").read_text())
    family = config["build"]["debian"]
    family["wrong"] = {"image": "base", "builder": "pip_deploy", "test": WRONG}
    family["ends"] = {"image": "base", "builder": "pip_deploy", "cmd": ["jupyter", "no-such-command"]}
    (folder / "orbiter.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    notebook = json.loads((folder / "notebooks/first-steps.ipynb").read_text())
    notebook["cells"][1]["source"] = ["1 / 0"]
    (folder / "wrong.ipynb").write_text(json.dumps(notebook))
    done = run_orbiter(folder, engine, "build", "--load", "--progress=plain")
    assert done.returncode == 0, done.stderr[-3000:]
    yield folder
    images = [f"localhost/course:debian-{name}-2026.1" for name in family]
    subprocess.run(["docker", "rmi", *images], env=engine, capture_output=True)


def containers(engine: Mapping[str, str]) -> str:
    command = ["docker", "ps", "--all", "--quiet", "--filter", "ancestor=localhost/course:debian-base-2026.1"]
    return subprocess.run(command, env=engine, capture_output=True, text=True, check=True).stdout


def test_right_images_pass(project: Path, engine: Mapping[str, str]) -> None:
    done = run_orbiter(project, engine, "test", "debian-core", "debian-base", "--format=json")
    assert done.returncode == 0, done.stdout
    report = json.loads(done.stdout)
    assert report["passed"] is True
    asked = [(check["target"], check["check"]) for check in report["checks"]]
    named = [*DEFAULTS, "git --version", "notebooks/first-steps.ipynb"]
    assert asked == [("debian-core", "user"), *(("debian-base", name) for name in named)]
    assert containers(engine) == ""


def test_wrong_images_fail_with_what_was_printed(project: Path, engine: Mapping[str, str]) -> None:
    done = run_orbiter(project, engine, "test", "debian-wrong", "--format=json")
    assert done.returncode == 1
    problems = {check["check"]: check["problem"] for check in json.loads(done.stdout)["checks"]}
    assert [name for name, problem in problems.items() if problem is None] == [
        "user",
        "interpreter",
        "kernels",
        "token",
    ]
    assert problems["imports"] == "import no_such_module: ModuleNotFoundError: No module named 'no_such_module'"
    assert problems["http"] == "/no/such/page: 404 instead of 200"
    assert problems["echo one"] == "one\ndoes not contain: two"
    assert problems["sh -c echo broken; exit 3"] == "broken"
    assert "ZeroDivisionError: division by zero" in problems["wrong.ipynb"]
    assert done.stderr.splitlines()[-1] == "orbiter: 5 of 9 checks failed"
    assert containers(engine) == ""


def test_reports_are_a_table_and_junit(project: Path, engine: Mapping[str, str]) -> None:
    table = run_orbiter(project, engine, "test", "debian-wrong").stdout
    assert table.splitlines()[0].split() == ["image", "check", "result", "time"]
    assert "\ndebian-wrong: http failed\n  /no/such/page: 404 instead of 200" in table
    suites = ElementTree.fromstring(run_orbiter(project, engine, "test", "debian-wrong", "--format=junit").stdout)
    (suite,) = suites
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("debian-wrong", "9", "5")
    failures = {case.get("name"): case.find("failure") for case in suite}
    assert failures["user"] is None
    assert failures["echo one"] is not None
    assert failures["echo one"].get("message") == "does not contain: two"


def test_an_image_that_ends_by_itself_is_said(project: Path, engine: Mapping[str, str]) -> None:
    done = run_orbiter(project, engine, "test", "debian-ends")
    assert done.returncode == 4
    assert "debian-ends-2026.1 ended by itself; it printed:\n" in done.stderr
    assert "no-such-command" in done.stderr
    assert containers(engine) == ""


def test_an_image_that_is_not_built_is_said(project: Path, engine: Mapping[str, str], tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "p")
    text = (project / "orbiter.yaml").read_text().replace("2026.1", "2026.2")
    (tmp_path / "p/orbiter.yaml").write_text(text)
    done = run_orbiter(tmp_path / "p", engine, "test", "debian-base")
    assert done.returncode == 4
    message = "localhost/course:debian-base-2026.2 is not in the engine; 'orbiter build --load' puts it there"
    assert done.stderr == f"orbiter: {message}\n"
