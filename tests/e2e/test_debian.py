"""The Debian family of the repository's own orbiter.yaml, built by bake on a real engine and asked."""

import json
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

REPO = "dorgeln/orbiter"
TARGETS = ("core", "base", "geospatial")


def docker(engine: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], env=engine, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def project(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(root / "orbiter.yaml", folder)
    return folder


def build(project: Path, engine: Mapping[str, str]) -> dict[str, list[str]]:
    """Builds the family; the layers of each image."""
    done = run_orbiter(project, engine, "build", "debian", "--load", "--progress=plain")
    assert done.returncode == 0, done.stderr[-5000:]
    images = {name: f"{REPO}:debian-{name}-0.2.0" for name in TARGETS}
    return {
        name: json.loads(docker(engine, "inspect", "--format", "{{json .RootFS.Layers}}", image))
        for name, image in images.items()
    }


@pytest.fixture(scope="module")
def layers(project: Path, engine: Mapping[str, str]) -> dict[str, list[str]]:
    return build(project, engine)


@pytest.fixture(scope="module")
def container(layers: dict[str, list[str]], engine: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """JupyterLab in the geospatial image: its container, and its address."""
    options = ("--detach", "--publish", "127.0.0.1::8888", "--env", "JUPYTER_TOKEN=a-token-of-the-tests")
    name = docker(engine, "run", *options, f"{REPO}:debian-geospatial-0.2.0")
    try:
        address = f"http://{docker(engine, 'port', name, '8888').splitlines()[0]}"
        until = time.monotonic() + 90
        while status(f"{address}/api") != 200:
            assert time.monotonic() < until, docker(engine, "logs", name)
            time.sleep(0.5)
        yield name, address
    finally:
        docker(engine, "rm", "--force", name)


def status(url: str) -> int | None:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def test_jupyterlab_answers_with_the_token_only(container: tuple[str, str]) -> None:
    _, address = container
    assert status(f"{address}/api/contents?token=a-token-of-the-tests") == 200
    assert status(f"{address}/api/contents") == 403
    assert status(f"{address}/api/contents?token=wrong") == 403


def test_packages_of_base_and_geospatial_work(container: tuple[str, str], engine: Mapping[str, str]) -> None:
    code = (
        "import numpy, pandas, geopandas; from shapely.geometry import Point;"
        "frame = geopandas.GeoDataFrame({'n': numpy.arange(2)}, geometry=[Point(0, 0), Point(1, 1)], crs=4326);"
        "print(len(frame.to_crs(3857)), int(pandas.Series([1, 2]).sum()))"
    )
    assert docker(engine, "exec", container[0], "python", "-c", code) == "2 3"


def test_runs_as_the_notebook_user_in_its_home(container: tuple[str, str], engine: Mapping[str, str]) -> None:
    script = 'id -u; id -g; id -un; pwd; find "$HOME" ! -user 1000; printf "%s\\n" "$LANG"; cat /proc/1/comm'
    lines = docker(engine, "exec", container[0], "sh", "-c", script).splitlines()
    assert lines == ["1000", "100", "jovyan", "/home/jovyan", "C.UTF-8", "tini"]


def test_becomes_healthy(container: tuple[str, str], engine: Mapping[str, str]) -> None:
    until = time.monotonic() + 60
    while (health := docker(engine, "inspect", "--format", "{{.State.Health.Status}}", container[0])) != "healthy":
        assert time.monotonic() < until, health
        time.sleep(1)


def test_labels_tell_what_it_is(layers: dict[str, list[str]], engine: Mapping[str, str]) -> None:
    image = f"{REPO}:debian-base-0.2.0"
    labels = json.loads(docker(engine, "inspect", "--format", "{{json .Config.Labels}}", image))
    assert labels["org.opencontainers.image.version"] == "0.2.0"
    assert labels["org.opencontainers.image.title"] == "debian-base"
    assert labels["org.opencontainers.image.source"] == "https://github.com/dorgeln/orbiter"


def test_geospatial_stacks_on_base_and_ships_only_what_is_new(
    layers: dict[str, list[str]], engine: Mapping[str, str]
) -> None:
    assert layers["base"][: len(layers["core"])] == layers["core"]
    assert layers["geospatial"][: len(layers["base"])] == layers["base"]
    script = "import importlib.metadata as m; print(len(list(m.distributions())) > 100, m.version('geopandas') > '1')"
    assert docker(engine, "run", "--rm", f"{REPO}:debian-geospatial-0.2.0", "python", "-c", script) == "True True"
    listed = docker(engine, "run", "--rm", f"{REPO}:debian-geospatial-0.2.0", "pip", "check")
    assert listed == "No broken requirements found."


def test_no_package_cache_is_left_in_a_layer(layers: dict[str, list[str]], engine: Mapping[str, str]) -> None:
    places = "/var/lib/apt/lists /var/cache/apt/archives /var/cache/uv /var/log/apt"
    script = f"find {places} -type f 2>/dev/null || true"
    image = f"{REPO}:debian-geospatial-0.2.0"
    assert docker(engine, "run", "--rm", image, "sh", "-c", script).split() == []


def test_second_build_gives_the_same_layers(
    layers: dict[str, list[str]], project: Path, engine: Mapping[str, str]
) -> None:
    assert build(project, engine) == layers
