"""`orbiter build --report`: the page of real builds, read as HTML and in a real browser."""

import html
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run_orbiter
from tests.e2e.test_browser import Browser, ask, browser  # noqa: F401
from tests.e2e.test_build import CONFIG, Project
from tests.unit.test_page import Outline

pytestmark = pytest.mark.engine

LOUD = "echo '<script>document.title=1</script><img src=//example.org/x>' && false"


@pytest.fixture
def project(tmp_path: Path, engine: Mapping[str, str]) -> Iterator[Project]:
    made = Project(tmp_path, engine, f"localhost/orbiter-report-{os.getpid()}-{time.time_ns()}")
    yield made
    left = made.references(made.repo)
    if left:
        subprocess.run(["docker", "rmi", *left], env=dict(engine), capture_output=True, check=True)


def data(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project.folder / "out.json").read_text())
    return found


def test_a_build_has_a_page_and_its_data(project: Project) -> None:
    done = project.build("--report", "out.html", "--report", "out.json")
    assert done.returncode == 0, done.stderr
    text = (project.folder / "out.html").read_text()
    page = Outline(text)
    assert "script" not in page.tags
    assert not re.findall(r"(?:https?:)?//\w|url\(|@import", text)
    for target in ("debian-core", "debian-left", "debian-right", "debian-top"):
        assert target in page.text
    told = data(project)
    assert told["result"] == "built"
    assert told["critical_path"][-1] in ("debian-top", "debian-right")
    steps = {(step["target"], step["section"]): step for step in told["steps"] if step["section"]}
    left = steps["debian-left", "postbuild"]
    assert left["state"] == "ran"
    assert (left["configuration"]["file"], left["configuration"]["line"]) == ("orbiter.yaml", 5)
    dockerfile = (project.folder / left["dockerfile"]).read_text().splitlines()
    assert dockerfile[left["line"] - 1].startswith("RUN <<")
    assert steps["debian-top", "postbuild"]["began"] >= left["began"] + left["seconds"] - 0.5
    layers = told["layers"]["images"]
    assert [layer["digest"] for layer in layers["debian-top"]][: len(layers["debian-left"])] == [
        layer["digest"] for layer in layers["debian-left"]
    ]
    assert told["layers"]["total"] < sum(layer["size"] for own in layers.values() for layer in own)

    again = project.build("--report", "out.json")
    assert again.returncode == 0, again.stderr
    assert {step["state"] for step in data(project)["steps"] if step["kind"] == "step"} == {"cached"}


def test_a_failed_build_has_a_page_in_which_a_log_is_text(project: Project, browser: Browser) -> None:  # noqa: F811
    project.write(left=LOUD, right="sleep 30")
    done = project.build("--report", "out.html", "--report", "out.json")
    assert done.returncode == 4
    (failed,) = (target for target in data(project)["targets"] if target["result"] == "failed")
    failure = failed["failure"]
    assert failed["name"] == "debian-left"
    assert failure["dockerfile"] == "build/debian/left/Dockerfile"
    assert failure["instruction"].startswith("RUN <<")
    assert (failure["configuration"]["file"], failure["configuration"]["line"]) == ("orbiter.yaml", 5)
    assert failure["configuration"]["path"].startswith("build.debian.left.postbuild")
    assert "<script>document.title=1</script><img src=//example.org/x>" in failure["log"]
    assert html.escape(failure["log"][0], quote=False) in (project.folder / "out.html").read_text().replace(
        "&#39;", "'"
    )

    browser.open((project.folder / "out.html").as_uri())
    assert browser.texts("h1") == [f"{project.repo} latest"]
    assert browser.texts(".badge") == ["failed"]
    assert browser.texts("script, img") == []
    assert "debian-left" in browser.texts(".failure h3")
    assert any("document.title=1" in text for text in browser.texts(".failure pre"))
    assert browser.texts(".lane .name")[:2] == ["debian-core", "debian-left"]
    assert ask("POST", f"{browser.address}/se/log", type="browser") == []
    width = "return document.documentElement.scrollWidth <= window.innerWidth"
    for size in (1280, 500):  # the narrowest window that Chromium has
        ask("POST", f"{browser.address}/window/rect", width=size, height=800)
        assert ask("POST", f"{browser.address}/execute/sync", script=width, args=[])


@pytest.mark.parametrize("progress", [[], ["--progress=quiet"]], ids=["listening", "from the history"])
def test_an_interrupted_build_has_what_was_known(project: Project, progress: list[str]) -> None:
    project.write(left=f"sleep {time.time_ns() % 10**9 + 1000}")
    command = [sys.executable, "-m", "orbiter", "build", "--report", "out.json", *progress]
    with subprocess.Popen(
        command, cwd=project.folder, env=dict(project.engine), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until = time.monotonic() + 300
        while "debian-right-latest" not in project.images() and time.monotonic() < until:
            time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    told = data(project)
    assert told["result"] == "interrupted"
    states = {(step["target"], step["section"]): step["state"] for step in told["steps"]}
    assert states["debian-left", "postbuild"] == "stopped"
    assert not list(project.folder.glob(".*.tmp"))


def test_an_engine_that_is_not_there_is_told_in_the_report(project: Project) -> None:
    done = project.build("--report", "out.json", DOCKER_HOST="unix:///nonexistent")
    assert done.returncode == 4
    assert data(project)["error"].startswith("no Docker engine answers")


def test_changed_versions_of_a_lock_are_on_the_page(tmp_path: Path, engine: Mapping[str, str]) -> None:
    text = CONFIG.format(repo="localhost/orbiter-report-lock", left='"true"', right='"true"')
    (tmp_path / "orbiter.yaml").write_text(text)
    lock = {"orbiter-lock": 1, "images": {"debian:trixie-slim": f"sha256:{'1' * 64}"}, "targets": {}}
    (tmp_path / "orbiter.lock").write_text(json.dumps(lock))
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=a"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    (tmp_path / "orbiter.lock").write_text(json.dumps(lock).replace("1" * 64, "2" * 64))
    # Nothing is built: no registry has such an image.
    run_orbiter(tmp_path, {**engine, "DOCKER_HOST": "unix:///nonexistent"}, "build", "--report", "out.json")
    (change,) = json.loads((tmp_path / "out.json").read_text())["packages"]["images"]
    assert (change["name"], change["old"][7], change["new"][7]) == ("debian:trixie-slim", "1", "2")


def test_a_report_that_cannot_be_written_is_2_before_anything_is_built(project: Project) -> None:
    done = project.build("--report", "out.txt")
    assert (done.returncode, done.stderr) == (2, "orbiter: --report out.txt: a report ends with .html or .json\n")
    done = project.build("--report", "no/out.html")
    assert (done.returncode, done.stderr) == (2, "orbiter: --report no/out.html: there is no folder no\n")
