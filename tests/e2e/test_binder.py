"""The Dockerfile for Binder: repo2docker itself builds a repository with it, as BinderHub does."""

import json
import re
import secrets
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import run_orbiter

pytestmark = pytest.mark.engine

TOKEN = "a-token-of-binder"
NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
# BinderHub starts `jupyter-lab` where the image has it, with these and a path of its own.
COMMAND = ("jupyter-lab", "--ip=0.0.0.0", "--port=8888", "--ServerApp.base_url=/user/somebody/")

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def docker(engine: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], env=engine, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def published(root: Path, tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]) -> Iterator[Path]:
    """The folder of the project whose debian-base was pushed to the registry."""
    folder = tmp_path_factory.mktemp("project")
    repo = f"{engine['ENGINE_REGISTRY']}/orbiter-binder"
    text, count = re.subn(r"^  repo: .*$", f"  repo: {repo}", (root / "orbiter.yaml").read_text(), flags=re.MULTILINE)
    assert count == 1
    (folder / "orbiter.yaml").write_text(text)
    done = run_orbiter(folder, engine, "build", "debian-base", "--push", "--progress=plain")
    assert done.returncode == 0, done.stderr[-5000:]
    yield folder
    # Without an error if only the registry has it.
    docker(engine, "rmi", "--force", f"{repo}:debian-base-0.2.0")


@pytest.fixture(scope="module")
def images(
    published: Path, repo2docker: str, tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]
) -> Iterator[dict[int, str]]:
    """A repository with a notebook, built for two ids of the user."""
    repository = tmp_path_factory.mktemp("repository")
    shutil.copy(published / "dockerfiles" / "debian" / "base" / "Dockerfile", repository)
    (repository / "lessons").mkdir()
    (repository / "lessons" / "first.ipynb").write_text(json.dumps(NOTEBOOK))
    # repo2docker builds nothing where an image of that name is there already.
    images = {uid: f"localhost/orbiter-binder:{uid}-{secrets.token_hex(4)}" for uid in (1000, 1001)}
    try:
        for uid, image in images.items():
            options = ("--no-run", f"--image-name={image}", f"--user-id={uid}", "--user-name=jovyan")
            done = subprocess.run([repo2docker, *options, str(repository)], env=engine, capture_output=True, text=True)
            assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
        yield images
    finally:
        docker(engine, "rmi", "--force", *images.values())


@pytest.mark.parametrize(
    "uid",
    [
        1000,
        1001,
    ],
)
def test_runs_as_the_user_that_binder_wants(images: dict[int, str], uid: int, engine: Mapping[str, str]) -> None:
    script = 'id -u; id -un; pwd; stat --format=%u lessons/first.ipynb; touch lessons/new; find "$HOME" ! -user "$1"'
    lines = docker(engine, "run", "--rm", images[uid], "sh", "-ec", script, "sh", str(uid)).splitlines()
    assert lines == [str(uid), "jovyan", "/home/jovyan", str(uid)]


def test_jupyterlab_starts_as_binder_starts_it(images: dict[int, str], engine: Mapping[str, str]) -> None:
    options = ("--detach", "--publish=127.0.0.1::8888")
    name = docker(engine, "run", *options, images[1000], *COMMAND, f"--ServerApp.token={TOKEN}")
    try:
        api = f"http://{docker(engine, 'port', name, '8888').splitlines()[0]}/user/somebody/api"
        until = time.monotonic() + 90
        while get(api)[0] != 200:
            assert time.monotonic() < until, subprocess.run(["docker", "logs", name], env=engine, capture_output=True)
            time.sleep(0.5)
        assert get(f"{api}/contents/lessons/first.ipynb")[0] == 403
        status, body = get(f"{api}/contents/lessons/first.ipynb?token={TOKEN}")
        found = json.loads(body)
        assert (status, found["type"], found["writable"], found["content"]) == (200, "notebook", True, NOTEBOOK)
    finally:
        docker(engine, "rm", "--force", name)


def test_the_home_and_what_is_above_stay_as_they_were(
    published: Path, images: dict[int, str], engine: Mapping[str, str]
) -> None:
    parent = (published / "dockerfiles" / "debian" / "base" / "Dockerfile").read_text().split("FROM ")[1].split()[0]
    script = ("stat", "--format=%n %u:%g %a", "/", "/home", "/home/jovyan")
    before, after = (docker(engine, "run", "--rm", image, *script) for image in (parent, images[1000]))
    assert after == before


def get(url: str) -> tuple[int | None, bytes]:
    try:
        with OPENER.open(url, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except OSError:
        return None, b""
