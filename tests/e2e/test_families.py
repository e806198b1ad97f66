"""The families of the repository's own orbiter.yaml, built by bake on a real engine and asked."""

import ast
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import run_orbiter

pytestmark = pytest.mark.engine

REPO = "dorgeln/orbiter"
IMAGES = {
    "debian": ("core", "base", "geospatial"),
    "micromamba": ("core", "base", "geospatial"),
    # The stand-in for Alpine has no gdal, so `geospatial` only compiles.
    "alpine": ("core", "base"),
}
PREFIX = {"debian": "/opt/venv", "micromamba": "/opt/conda", "alpine": "/opt/venv"}
TOKEN = "a-token-of-the-tests"


def docker(engine: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], env=engine, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Built:
    """A family that was built: its engine, project folder, and the layers of its images."""

    name: str
    engine: Mapping[str, str]
    project: Path
    layers: dict[str, list[str]]

    def reference(self, image: str) -> str:
        return f"{REPO}:{self.name}-{image}-0.2.0"

    @property
    def last(self) -> str:
        return self.reference(IMAGES[self.name][-1])

    def run(self, image: str, *command: str) -> str:
        return docker(self.engine, "run", "--rm", image, *command)


def build(name: str, project: Path, engine: Mapping[str, str]) -> dict[str, list[str]]:
    """Builds the family; the layers of each image."""
    targets = [f"{name}-{image}" for image in IMAGES[name]]
    done = run_orbiter(project, engine, "build", *targets, "--load", "--progress=plain")
    assert done.returncode == 0, done.stderr[-5000:]
    inspected = ("inspect", "--format", "{{json .RootFS.Layers}}")
    return {image: json.loads(docker(engine, *inspected, f"{REPO}:{name}-{image}-0.2.0")) for image in IMAGES[name]}


@pytest.fixture(scope="module", params=IMAGES)
def family(
    request: pytest.FixtureRequest, root: Path, tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]
) -> Built:
    project = tmp_path_factory.mktemp("project")
    shutil.copy(root / "orbiter.yaml", project)
    name: str = request.param
    return Built(name, engine, project, build(name, project, engine))


@pytest.fixture(scope="module")
def container(family: Built) -> Iterator[tuple[str, str]]:
    """JupyterLab in the last image of the family: its container, and its address."""
    engine = family.engine
    options = ("--detach", "--publish", "127.0.0.1::8888", "--env", f"JUPYTER_TOKEN={TOKEN}")
    name = docker(engine, "run", *options, family.last)
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
    assert status(f"{address}/api/contents?token={TOKEN}") == 200
    assert status(f"{address}/api/contents") == 403
    assert status(f"{address}/api/contents?token=wrong") == 403


def test_packages_work(family: Built) -> None:
    code = (
        "import numpy, pandas, scipy.stats, matplotlib.pyplot as plot; plot.plot([1, 2]); plot.savefig('/tmp/a.png');"
        "print(int(pandas.Series(numpy.arange(3)).sum()), round(scipy.stats.norm.cdf(0), 3))"
    )
    assert family.run(family.last, "python", "-c", code) == "3 0.5"


@pytest.mark.parametrize("family", [name for name in IMAGES if "geospatial" in IMAGES[name]], indirect=True)
def test_packages_of_geospatial_work(family: Built) -> None:
    code = (
        "import numpy, geopandas; from shapely.geometry import Point;"
        "frame = geopandas.GeoDataFrame({'n': numpy.arange(2)}, geometry=[Point(0, 0), Point(1, 1)], crs=4326);"
        "print(len(frame.to_crs(3857)))"
    )
    assert family.run(family.last, "python", "-c", code) == "2"


def test_every_kernel_runs(family: Built) -> None:
    code = """
import jupyter_client
for name in sorted(jupyter_client.kernelspec.KernelSpecManager().find_kernel_specs()):
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name=name)
    said = []
    ask = "echo $((6 * 7))" if name == "bash" else "print(6 * 7)"
    reply = client.execute_interactive(ask, timeout=60, output_hook=lambda m: said.append(m["content"].get("text", "")))
    print(name, reply["content"]["status"], "".join(said).strip())
    manager.shutdown_kernel(now=True)
"""
    assert family.run(family.last, "python", "-c", code).splitlines() == ["bash ok 42", "python3 ok 42"]


def test_runs_as_the_notebook_user_in_its_home(container: tuple[str, str], family: Built) -> None:
    script = 'id -u; id -g; id -un; pwd; find "$HOME" ! -user 1000; printf "%s\\n" "$LANG"; cat /proc/1/comm'
    lines = docker(family.engine, "exec", container[0], "sh", "-c", script).splitlines()
    assert lines == ["1000", "100", "jovyan", "/home/jovyan", "C.UTF-8", "tini"]


def test_becomes_healthy(container: tuple[str, str], family: Built) -> None:
    until = time.monotonic() + 60
    inspected = ("inspect", "--format", "{{.State.Health.Status}}", container[0])
    while (health := docker(family.engine, *inspected)) != "healthy":
        assert time.monotonic() < until, health
        time.sleep(1)


def test_stops_at_once(family: Built) -> None:
    name = docker(family.engine, "run", "--detach", family.last)
    try:
        until = time.monotonic() + 60
        while "is running at" not in docker(family.engine, "logs", name) + logged(family, name):
            assert time.monotonic() < until
            time.sleep(0.5)
        docker(family.engine, "stop", "--timeout=10", name)
        # 137 would be a kill after those ten seconds.
        assert docker(family.engine, "inspect", "--format", "{{.State.ExitCode}}", name) == "0"
    finally:
        docker(family.engine, "rm", "--force", name)


def logged(family: Built, name: str) -> str:
    return subprocess.run(["docker", "logs", name], env=family.engine, capture_output=True, text=True).stderr


def test_hub_finds_its_server(family: Built) -> None:
    version = family.run(family.last, "python", "-c", "import importlib.metadata as m; print(m.version('jupyterhub'))")
    assert family.run(family.last, "jupyterhub-singleuser", "--version") == version


def test_labels_tell_what_it_is(family: Built) -> None:
    labels = json.loads(
        docker(family.engine, "inspect", "--format", "{{json .Config.Labels}}", family.reference("base"))
    )
    assert labels["org.opencontainers.image.version"] == "0.2.0"
    assert labels["org.opencontainers.image.title"] == f"{family.name}-base"
    assert labels["org.opencontainers.image.source"] == "https://github.com/dorgeln/orbiter"


def test_images_stack(family: Built) -> None:
    below: list[str] = []
    for layers in family.layers.values():
        assert layers[: len(below)] == below
        below = layers
    code = "import importlib.metadata as m; print(len(list(m.distributions())) > 100)"
    assert family.run(family.last, "python", "-c", code) == "True"


def test_packages_agree_with_each_other(family: Built) -> None:
    assert family.run(family.last, "pip", "check") == "No broken requirements found."


def test_no_package_cache_is_left_in_a_layer(family: Built) -> None:
    places = "/var/lib/apt/lists /var/cache /var/log/apt /etc/apk/cache /root/.cache /opt/conda/pkgs"
    found = family.run(family.last, "sh", "-c", f"find {places} -type f 2>/dev/null || true").split()
    # debconf's answers and the linker's list of fonts are no packages.
    allowed = ("/var/cache/debconf/", "/var/cache/fontconfig/")
    assert [path for path in found if not path.startswith(allowed)] == []


def test_no_right_is_added(family: Built) -> None:
    script = "find / -xdev -type f \\( -perm -4000 -o -perm -2000 \\) 2>/dev/null | sort"
    assert family.run(family.last, "sh", "-c", script) == family.run(family.reference("core"), "sh", "-c", script)
    script = "find / -xdev ! -type l -perm -0002 ! -perm -1000 ! -path '/proc/*' ! -path '/dev/*' 2>/dev/null || true"
    assert family.run(family.last, "sh", "-c", script).split() == []


def test_folders_above_the_environment_belong_to_root(family: Built) -> None:
    # `COPY --link --chown` would give them to the user: the layer makes them anew.
    found = family.run(family.last, "stat", "-c", "%n %u:%g %a", "/", "/etc", "/home", "/home/jovyan", "/opt", "/usr")
    assert found.splitlines() == [
        *("/ 0:0 755", "/etc 0:0 755", "/home 0:0 755", "/home/jovyan 1000:0 775", "/opt 0:0 755", "/usr 0:0 755")
    ]


def test_bytecode_is_there_and_never_goes_stale(family: Built) -> None:
    # The second word of a file says how its source is checked: 1 is "by hash, never": https://peps.python.org/pep-0552.
    code = f"""
import collections, pathlib
print(dict(collections.Counter(
    (path.read_bytes()[4]) for path in pathlib.Path({PREFIX[family.name]!r}).rglob("site-packages/**/*.pyc")
)))
"""
    kinds: dict[int, int] = ast.literal_eval(family.run(family.last, "python", "-c", code))
    assert sum(kinds.values()) > 1000
    assert set(kinds) == {1}


def test_second_build_gives_the_same_layers(family: Built) -> None:
    assert build(family.name, family.project, family.engine) == family.layers
