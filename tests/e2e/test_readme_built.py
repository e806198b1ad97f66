"""`orbiter readme --built`: versions and sizes of images in the engine."""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import run_orbiter

pytestmark = pytest.mark.engine

REPO = "localhost/orbiter-readme"
NESTED = {"image": "core", "builder": "pip_builder", "pip": ["six>=1.16"]}
CORE = {"builder": "pip_core"}
FAMILIES = {
    "debian": {
        "core": {**CORE, "image": "debian:trixie-slim", "apt": ["less"]},
        "base": {"image": "core", "builder": "pip_deploy", "cmd": ["sleep", "60"], "build": NESTED},
        "later": {"image": "base", "builder": "pip_deploy", "cmd": ["sleep", "90"]},
    },
    "alpine": {"core": {**CORE, "image": "alpine:3.23", "apk": ["less"]}},
}
MARKERS = "".join(f"<!-- orbiter:{name} -->\n<!-- /orbiter:{name} -->\n" for name in ("images", "packages"))


def test_versions_and_sizes_come_from_the_engine(tmp_path: Path, engine: Mapping[str, str]) -> None:
    config = {"version": "1", "docker": {"repo": REPO}, "build": FAMILIES}
    (tmp_path / "orbiter.yaml").write_text(json.dumps(config))
    (tmp_path / "README.md").write_text(MARKERS)
    none = run_orbiter(tmp_path, engine, "readme", "--built")
    assert none.returncode == 4
    assert none.stderr.splitlines()[-1].startswith("orbiter: none of the images is in the engine; ")
    built = ("debian-core", "debian-base", "alpine-core")
    done = run_orbiter(tmp_path, engine, "build", *built, "--load", "--progress=plain")
    assert done.returncode == 0, done.stderr[-3000:]
    try:
        done = run_orbiter(tmp_path, engine, "readme", "--built")
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[0] == (
            f"{REPO}:debian-later-1: not in the engine, so without versions and size"
        )
        text = (tmp_path / "README.md").read_text()
        assert re.search(r"^\| `debian-base` \| .* \| 1 pip \| \d+ MB \|$", text, re.MULTILINE)
        assert re.search(r"^\| `debian-later` \| .* \| – \| – \|$", text, re.MULTILINE)
        assert "| adds | download |\n" in text or "| adds | size |\n" in text
        assert re.search(r"^- apt: `less` \d+\S+$", text, re.MULTILINE)
        assert re.search(r"^- apk: `less` \d+\S+$", text, re.MULTILINE)
        assert re.search(r"^- pip: `six` 1\.\d+\.\d+$", text, re.MULTILINE)
        assert run_orbiter(tmp_path, engine, "readme", "--built", "--check").returncode == 0
        assert run_orbiter(tmp_path, engine, "readme", "--check").returncode == 1
        left = ["docker", "ps", "--all", "--quiet", "--filter", f"ancestor={REPO}:debian-base-1"]
        assert subprocess.run(left, env=engine, capture_output=True, check=True).stdout == b""
    finally:
        subprocess.run(["docker", "rmi", *(f"{REPO}:{name}-1" for name in built)], env=engine, capture_output=True)


def test_no_engine_is_said(tmp_path: Path, engine: Mapping[str, str]) -> None:
    (tmp_path / "orbiter.yaml").write_text(json.dumps({"build": FAMILIES}))
    (tmp_path / "README.md").write_text(MARKERS)
    silent = {**engine, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    done = run_orbiter(tmp_path, silent, "readme", "--built")
    assert done.returncode == 4
    assert done.stderr.startswith("orbiter: no Docker engine answers; ")
    assert (tmp_path / "README.md").read_text() == MARKERS
