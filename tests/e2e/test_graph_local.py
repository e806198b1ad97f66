"""`orbiter graph --local`: what the engine has of a family."""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import run_orbiter

pytestmark = pytest.mark.engine

CONFIG = """\
docker: {{repo: {repo}}}
build:
  debian:
    core: {{image: "debian:trixie-slim", builder: pip_core, cmd: [sleep, "60"]}}
    more: {{image: core, builder: pip_core, cmd: [sleep, "60"], postbuild: ["{step}"]}}
    last: {{image: core, builder: pip_core, cmd: [sleep, "60"]}}
"""


def test_it_tells_what_is_there_and_what_is_stale(tmp_path: Path, engine: Mapping[str, str]) -> None:
    repo = f"localhost/orbiter-graph-{os.getpid()}-{time.time_ns()}"
    config = tmp_path / "orbiter.yaml"
    config.write_text(CONFIG.format(repo=repo, step="true"))
    done = run_orbiter(tmp_path, engine, "build", "debian-core", "debian-more")
    assert done.returncode == 0, done.stderr
    try:
        config.write_text(CONFIG.format(repo=repo, step="echo"))
        data = json.loads(run_orbiter(tmp_path, engine, "graph", "--local", "--format", "json").stdout)
        states = {node["name"]: (node["state"], bool(node["size"])) for node in data["nodes"]}
        assert states == {
            "debian:trixie-slim": (None, False),
            "debian-core": ("up to date", True),
            "debian-more": ("stale", True),
            "debian-last": ("not built", False),
        }
        text = run_orbiter(tmp_path, engine, "graph", "--local", "debian-more").stdout
        assert [line.split()[-1] for line in text.splitlines()[2:]] == ["MB", "MB"]
    finally:
        images = [f"{repo}:debian-{name}-latest" for name in ("core", "more")]
        subprocess.run(["docker", "rmi", *images], env=dict(engine), capture_output=True, check=True)
