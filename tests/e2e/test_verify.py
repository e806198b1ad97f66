"""The same lock, built twice and on two engines: the same bytes, or the name of the file that differs."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import run_orbiter
from tests.engines import engine_alone

pytestmark = pytest.mark.engine

CONFIG = """\
version: "1"
docker: {{repo: "{registry}/orbiter-verify"}}
python: {{version: "3.13"}}
{mirrors}
build:
  small:
    core: {{image: "{base}", builder: pip_core, apt: [git-lfs, openssh-client], cmd: [sleep, "60"]}}
    base:
      image: core
      builder: pip_deploy
      copy: {{notes.txt: /notes.txt}}
      cmd: [sleep, "60"]
      build: {{image: core, builder: pip_builder, pip: [six, markupsafe], npm: [is-number]}}
    dated:
      image: debian:trixie-slim
      builder: pip_core
      apt: [tree]
      postbuild: [date +%s%N > /etc/built]
      cmd: [sleep, "60"]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str], debian_with_npm: str) -> Path:
    """A locked project."""
    folder = tmp_path_factory.mktemp("verify")
    # Where a registry of the tests stands for ghcr.io, the lock has to be told.
    uv = engine.get("UV_IMAGE")
    mirrors = f'mirrors: {{ghcr.io: "{uv.partition("/")[0]}"}}' if uv else ""
    config = CONFIG.format(mirrors=mirrors, registry=engine["ENGINE_REGISTRY"], base=debian_with_npm)
    (folder / "orbiter.yaml").write_text(config)
    (folder / "notes.txt").write_text("Copied.")
    done = run_orbiter(folder, engine, "lock")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def digests(project: Path, engine: Mapping[str, str]) -> Path:
    """The digests of a family that was built twice, and found identical."""
    done = run_orbiter(project, engine, "verify", "small-core", "small-base", "--write", "digests.json")
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["small-core", "identical"], ["small-base", "identical"]]
    return project / "digests.json"


@pytest.fixture(scope="module")
def second_engine() -> Iterator[Mapping[str, str]]:
    """An engine that has nothing in common with the first one but base images."""
    with engine_alone("orbsecond", "10.214.0.1/24") as environment:
        yield environment


def test_another_engine_makes_the_same_bytes(
    project: Path, digests: Path, engine: Mapping[str, str], second_engine: Mapping[str, str]
) -> None:
    assert second_engine["DOCKER_HOST"] != engine.get("DOCKER_HOST")
    arguments = ("verify", "small-core", "small-base", "--against", str(digests), "--format", "json")
    done = run_orbiter(project, second_engine, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    ours = {image["target"]: image["other"] for image in json.loads(done.stdout)["images"]}
    theirs = {image["target"]: image["digest"] for image in json.loads(digests.read_text())["images"]}
    assert ours == theirs


def test_what_was_verified_is_what_is_pushed(project: Path, digests: Path, engine: Mapping[str, str]) -> None:
    command = ("build", "small-core", "small-base", "--push", "--reproducible", "--format", "json")
    done = run_orbiter(project, engine, *command)
    assert done.returncode == 0, done.stderr[-3000:]
    verified = {image["target"]: image["digest"] for image in json.loads(digests.read_text())["images"]}
    made = {each["name"]: each for each in json.loads(done.stdout)["targets"]}
    assert {name: made[name]["digest"] for name in verified} == verified
    inspected = ["docker", "buildx", "imagetools", "inspect", made["small-base"]["references"][0]]
    found = subprocess.run(inspected, env=engine, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert f"Digest:    {verified['small-base']}" in found.stdout


def test_file_that_differs_is_named(project: Path, engine: Mapping[str, str], tmp_path: Path) -> None:
    done = run_orbiter(project, {**engine, "TMPDIR": str(tmp_path)}, "verify", "small-dated")
    assert done.returncode == 1, done.stdout + done.stderr[-3000:]
    table, empty, layer, origin, *changes = done.stdout.splitlines()
    assert table.split()[:2] == ["small-dated", "different"]
    assert empty == ""
    assert layer.startswith("small-dated, layer ")
    written = (project / "build/small/dated/Dockerfile").read_text().splitlines()
    line = 1 + written.index("date +%s%N > /etc/built") - 3  # a script has its first line, and -v, before that
    assert written[line - 1].startswith("RUN <<")
    assert origin == f"  made by build/small/dated/Dockerfile:{line}, from orbiter.yaml:18:7 (postbuild)"
    assert changes == ["  etc/built  content (20 B)"]
    assert done.stderr.splitlines()[-1] == "orbiter: 1 of 1 images differ"
    assert list(tmp_path.iterdir()) == []
    listed = ["docker", "buildx", "du", "--verbose", "--filter", "type=exec.cachemount"]
    mounts = subprocess.run(listed, env=engine, capture_output=True, text=True, check=True).stdout
    assert [line for line in mounts.splitlines() if "orbiter-verify-" in line and "tree" in line] == []


def test_interrupt_leaves_nothing(project: Path, engine: Mapping[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "orbiter", "verify", "small-core"]
    environment = {**engine, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith("SOURCE_DATE_EPOCH="):
                break
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(timeout=60) == 130, said
    assert said.splitlines()[-1] == "interrupted"
    assert list(tmp_path.iterdir()) == []
