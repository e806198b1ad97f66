"""A lock for real: resolved by uv, npm and rattler at PyPI, npm and a conda channel, built, and asked in containers.

What needs no engine is in tests/unit/test_lock_command.py.
"""

import functools
import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from orbiter import lock
from orbiter.builders import TOOLS
from orbiter.lock import Entry, Lock
from tests.conftest import run_orbiter
from tests.indexes import IndexServer, index, wheel

pytestmark = pytest.mark.engine

REPO = "localhost/orbiter-lock"
PUBLISHED = ("debian-base", "debian-top", "alpine-base", "conda-base")
STARTED = {"cmd": ["sleep", "60"]}

FAMILIES: dict[str, Any] = {
    "debian": {
        "core": {"image": "debian:trixie-slim", "builder": "pip_core"},
        "base": {
            "image": "core",
            "builder": "pip_deploy",
            "build": {"image": "core", "builder": "pip_builder", "pip": ["numpy<2.3", "six"], "npm": ["is-odd"]},
            **STARTED,
        },
        "top": {
            "image": "base",
            "builder": "pip_deploy",
            "build": {"image": "base-build", "builder": "pip_builder", "pip": ["contourpy"]},
        },
    },
    "alpine": {
        "core": {"image": "alpine:3.23", "builder": "pip_core"},
        "base": {
            "image": "core",
            "builder": "pip_deploy",
            # PyPI has wheels of the one for musl, and the source only of the other.
            "build": {"image": "core", "builder": "pip_builder", "pip": ["markupsafe", "docopt"]},
            **STARTED,
        },
    },
    "conda": {
        "core": {"image": "debian:trixie-slim", "builder": "micromamba_core"},
        "base": {
            "image": "core",
            "builder": "micromamba_deploy",
            "build": {
                "image": "core",
                "builder": "micromamba_builder",
                "conda": {"dependencies": ["python=3.13", "pip", "six", {"pip": ["isodate==0.6.1", "docopt"]}]},
            },
            **STARTED,
        },
    },
}
"""isodate 0.6.1 asks for six, which conda has installed; of docopt, PyPI has the source only."""


def docker(engine: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], env=engine, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def address(engine: Mapping[str, str]) -> str:
    """This machine, as containers reach it."""
    return docker(engine, "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")


@contextmanager
def channels(folder: Path, engine: Mapping[str, str], address: str) -> Iterator[str]:
    """The stand-in's conda channel, which follows a script in one file, over HTTP."""
    made = docker(engine, "create", engine["MICROMAMBA_IMAGE"])
    try:
        docker(engine, "cp", f"{made}:/bin/micromamba", str(folder / "micromamba"))
    finally:
        docker(engine, "rm", made)
        subprocess.run(["docker", "rmi", engine["MICROMAMBA_IMAGE"]], env=engine, capture_output=True)
    head = (folder / "micromamba").read_bytes()[:10_000].split(b"\nexit 0\n")[0].count(b"\n") + 3
    script = f"tail -n +{head} micromamba | tar -xf - ./channels && rm micromamba"
    subprocess.run(["bash", "-c", script], cwd=folder, check=True)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Not among the output of the tests."""

    with ThreadingHTTPServer((address, 0), functools.partial(Quiet, directory=folder / "channels")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{address}:{server.server_port}"
        server.shutdown()


def mirrors(engine: Mapping[str, str]) -> dict[str, str]:
    """Where images are found: the private engine's registry has what Docker Hub has, for machines that reach no hub."""
    hosts = ("docker.io", "ghcr.io") if "UV_IMAGE" in engine else ()
    return dict.fromkeys(hosts, engine.get("ENGINE_REGISTRY", ""))


def write(folder: Path, engine: Mapping[str, str], families: Mapping[str, Any], **more: str) -> None:
    configuration = {
        "version": "1",
        "docker": {"repo": REPO},
        "python": {"version": "3.13"},
        "mirrors": mirrors(engine) | more,
        "build": families,
    }
    (folder / "orbiter.yaml").write_text(json.dumps(configuration, indent=2))


def orbiter(folder: Path, engine: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    # The tools are to be those of the lock.
    variables = {name: value for name, value in engine.items() if name not in dict(TOOLS)}
    return run_orbiter(folder, variables | {"UV_HTTP_RETRIES": "0", "NPM_CONFIG_FETCH_RETRIES": "0"}, *arguments)


def read(folder: Path) -> Lock:
    return lock.parse((folder / "orbiter.lock").read_text())


@dataclass(frozen=True)
class Built:
    engine: Mapping[str, str]
    folder: Path
    lock: Lock
    said: str

    def run(self, image: str, *command: str) -> str:
        return docker(self.engine, "run", "--rm", "--network=none", f"{REPO}:{image}-1", *command)

    def entries(self, image: str) -> list[Entry]:
        """Those of the image and of what it stands on."""
        names = [f"{image}-build"] + ["debian-base-build"] * (image == "debian-top")
        return [self.lock.targets[name] for name in names]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str], address: str) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("lock")
    with _channel(tmp_path_factory, engine, address) as channel:
        write(folder, engine, FAMILIES, **channel)
        locked = orbiter(folder, engine, "lock")
        assert locked.returncode == 0, locked.stderr
        done = orbiter(folder, engine, "build", "--locked", *PUBLISHED, "--load", "--progress=plain")
        assert done.returncode == 0, done.stderr[-10000:]
        yield Built(engine, folder, read(folder), locked.stderr)
    images = [f"{REPO}:{name}-1" for name in PUBLISHED]
    subprocess.run(["docker", "rmi", "--force", *images], env=engine, capture_output=True)


@contextmanager
def _channel(factory: pytest.TempPathFactory, engine: Mapping[str, str], address: str) -> Iterator[dict[str, str]]:
    if "MICROMAMBA_IMAGE" not in engine:
        yield {}
        return
    with channels(factory.mktemp("channels"), engine, address) as served:
        yield {"conda": served}


@pytest.mark.parametrize("image", PUBLISHED)
def test_an_image_has_just_the_locked_versions(built: Built, image: str) -> None:
    found = json.loads(built.run(image, "python3", "-m", "pip", "list", "--format=json"))
    locked = {package.name: package.version for entry in built.entries(image) for package in entry.pip}
    conda = [package for entry in built.entries(image) for package in entry.conda.get("linux-64", ())]
    locked |= {package.name: package.version for package in conda if package.name != "python"}
    assert {each["name"].lower(): each["version"] for each in found} == locked
    assert built.run(image, "python3", "-m", "pip", "check") == "No broken requirements found."


def test_a_stacked_image_has_its_parents_numpy(built: Built) -> None:
    base, top = (
        next(package.version for package in built.lock.targets[name].pip if package.name == "numpy")
        for name in ("debian-base-build", "debian-top-build")
    )
    assert base == top
    assert base.startswith("2.2.")
    assert built.run("debian-top", "python3", "-c", "import contourpy, numpy; print(numpy.__version__)") == base


def test_node_packages_are_those_of_the_lock(built: Built, tmp_path: Path) -> None:
    container = docker(built.engine, "create", f"{REPO}:debian-base-1")
    try:
        docker(built.engine, "cp", f"{container}:/opt/venv/lib", str(tmp_path))
    finally:
        docker(built.engine, "rm", container)
    done = subprocess.run(["npm", "ls", "--all", "--json"], cwd=tmp_path / "lib", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    odd = json.loads(done.stdout)["dependencies"]["is-odd"]
    packages = built.lock.targets["debian-base-build"].npm
    assert odd["version"] == packages["node_modules/is-odd"]["version"]
    assert odd["dependencies"]["is-number"]["version"] == packages["node_modules/is-number"]["version"]


def test_what_conda_installs_is_left_to_conda(built: Built) -> None:
    entry = built.lock.targets["conda-base-build"]
    assert {package.name for package in entry.pip} == {"docopt", "isodate"}
    assert "six" in {package.name for package in entry.conda["linux-64"]}


def test_no_resolver_is_told_to_run(built: Built) -> None:
    text = {place: (built.folder / "build" / place / "Dockerfile").read_text() for place in PLACES}
    for place in ("debian/base/build", "debian/top/build", "alpine/base/build", "conda/base/build"):
        assert "--no-deps --require-hashes" in text[place]
    assert "npm ci " in text["debian/base/build"]
    assert "npm install" not in text["debian/base/build"]
    explicit = (built.folder / "build/conda/base/build/conda-amd64.txt").read_text().splitlines()
    assert "@EXPLICIT" in explicit
    assert all("#sha256:" in line for line in explicit if line.startswith("https://conda.anaconda.org/"))
    assert not (built.folder / "build/conda/base/build/environment.yml").exists()
    assert "FROM debian:trixie-slim@sha256:" in text["debian/core"]


PLACES = ("debian/core", "debian/base/build", "debian/top/build", "alpine/base/build", "conda/base/build")


def test_a_package_without_a_wheel_is_said(built: Built) -> None:
    assert "alpine-base-build: no wheel, so compiled in every build: docopt 0.6.2 (linux/amd64)" in built.said
    (docopt,) = (package for package in built.lock.targets["alpine-base-build"].pip if package.name == "docopt")
    assert list(docopt.files) == ["docopt-0.6.2.tar.gz"]
    musl = next(package for package in built.lock.targets["alpine-base-build"].pip if package.name == "markupsafe")
    assert all("-musllinux_" in name for name in musl.files)


def test_what_a_source_is_built_with_is_locked(built: Built) -> None:
    for target, place, flag in (
        (
            "alpine-base-build",
            "alpine/base/build",
            "--build-constraints=/tmp/build-constraints.txt --require-build-hashes",
        ),
        ("conda-base-build", "conda/base/build", "--build-constraint=/tmp/build-constraints.txt"),
    ):
        build = {package.name: package for package in built.lock.targets[target].build}
        assert "setuptools" in build
        assert all(package.files for package in build.values())
        folder = built.folder / "build" / place
        assert f"setuptools=={build['setuptools'].version} " in (folder / "build-constraints.txt").read_text()
        assert flag in (folder / "Dockerfile").read_text()
    assert not (built.folder / "build/debian/base/build/build-constraints.txt").exists()


def test_a_second_lock_asks_nobody(built: Built) -> None:
    before = (built.folder / "orbiter.lock").read_bytes()
    nowhere = {**built.engine, "DOCKER_HOST": "unix:///nonexistent", "HTTPS_PROXY": "http://127.0.0.1:1"}
    done = orbiter(built.folder, nowhere, "lock")
    assert (done.returncode, done.stderr) == (0, "orbiter.lock: nothing to do\n")
    assert (built.folder / "orbiter.lock").read_bytes() == before


def test_node_packages_of_a_stacked_image_agree_with_its_parent(tmp_path: Path, engine: Mapping[str, str]) -> None:
    debian = FAMILIES["debian"]
    base = {"image": "core", "builder": "pip_builder", "npm": ["is-odd"]}
    top = {"image": "base-build", "builder": "pip_builder", "npm": ["is-number@>=6"]}
    families = {"core": debian["core"], "base": debian["base"] | {"build": base}, "top": debian["top"] | {"build": top}}
    write(tmp_path, engine, {"debian": families})
    done = orbiter(tmp_path, engine, "lock")
    assert done.returncode == 0, done.stderr
    locked = read(tmp_path)
    assert locked.targets["debian-top-build"].npm["node_modules/is-number"]["version"] == "6.0.0"
    top["npm"] = ["is-number@7"]
    write(tmp_path, engine, {"debian": families})
    refused = orbiter(tmp_path, engine, "lock")
    assert refused.returncode == 2
    assert "'debian-top-build' cannot be locked:\n  what it asks for does not fit is-number 6.0.0" in refused.stderr
    assert "below it, 'debian-base-build' has is-number 6.0.0 (orbiter.yaml:" in refused.stderr
    assert read(tmp_path) == locked


def family(requirements: list[str]) -> dict[str, Any]:
    build = {"image": "core", "builder": "pip_builder", "pip": requirements}
    base = {"image": "core", "builder": "pip_deploy", "build": build, **STARTED}
    return {"debian": {"core": FAMILIES["debian"]["core"], "base": base}}


@pytest.fixture
def packages(address: str) -> Iterator[IndexServer]:
    with index(wheel("orbiter-a", "1.0"), wheel("orbiter-b", "1.0"), host=address) as server:
        yield server


def test_a_newer_version_changes_no_build(tmp_path: Path, engine: Mapping[str, str], packages: IndexServer) -> None:
    write(tmp_path, engine, family(["orbiter-a"]), pip=packages.url)
    assert orbiter(tmp_path, engine, "lock").returncode == 0
    packages.files.append(wheel("orbiter-a", "2.0"))
    command = ("build", "debian-base", "--load", "--set=debian-base-build.no-cache=true")
    image = f"{REPO}:debian-base-1"
    try:
        show = ("run", "--rm", "--network=none", image, "python3", "-c", "import orbiter_a; print(orbiter_a.version)")
        for _ in range(2):
            done = orbiter(tmp_path, engine, *command)
            assert done.returncode == 0, done.stderr[-5000:]
            assert docker(engine, *show) == "1.0"
        (tmp_path / "orbiter.lock").unlink()
        assert orbiter(tmp_path, engine, *command).returncode == 0
        assert docker(engine, *show) == "2.0"
    finally:
        subprocess.run(["docker", "rmi", "--force", image], env=engine, capture_output=True)


def test_a_tampered_wheel_fails_the_build(tmp_path: Path, engine: Mapping[str, str], packages: IndexServer) -> None:
    write(tmp_path, engine, family(["orbiter-a", "orbiter-b"]), pip=packages.url)
    assert orbiter(tmp_path, engine, "lock").returncode == 0
    packages.files[2].served = wheel("orbiter-b", "1.0", text="print('tampered')\n").data
    done = orbiter(tmp_path, engine, "build", "debian-base-build")
    assert done.returncode == 4
    text = (tmp_path / "orbiter.yaml").read_text().splitlines()
    line = next(number for number, line in enumerate(text, 1) if '"orbiter-b"' in line)
    assert f"orbiter.yaml:{line}:" in done.stderr
    assert "build.debian.base.build.pip[1]: 'debian-base-build' could not be built" in done.stderr
    assert "Hash mismatch for `orbiter-b==1.0`" in done.stderr


@pytest.mark.parametrize("family", ["debian", "conda"])
def test_a_build_takes_only_what_is_locked(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str], address: str, family: str
) -> None:
    pip = {"pip": ["docopt==0.6.2"]}
    asked = pip if family == "debian" else {"conda": {"dependencies": ["python=3.13", "pip", pip]}}
    build = {"image": "core", "builder": FAMILIES[family]["base"]["build"]["builder"], **asked}
    core = FAMILIES[family]["core"]
    with _channel(tmp_path_factory, engine, address) as channel:
        base = {**FAMILIES[family]["base"], "build": build}
        write(tmp_path, engine, {family: {"core": core, "base": base}}, **channel)
        assert orbiter(tmp_path, engine, "lock").returncode == 0
        command = ("build", f"{family}-base-build", "--progress=plain")
        done = orbiter(tmp_path, engine, *command)
        assert done.returncode == 0, done.stderr[-5000:]
        good = read(tmp_path)
        (name, entry) = next(iter(good.targets.items()))
        for wrong, said in (
            # uv has the wheel of a good build in its cache, which would do without any of these.
            ([replace(each, files=dict.fromkeys(each.files, f"sha256:{'0' * 64}")) for each in entry.build], "0" * 64),
            ([each for each in entry.build if each.name != "setuptools"], "setuptools"),
        ):
            targets = {name: replace(entry, build=tuple(wrong))}
            (tmp_path / "orbiter.lock").write_text(lock.dump(replace(good, targets=targets)))
            refused = orbiter(tmp_path, engine, *command)
            assert refused.returncode == 4
            assert f"'{family}-base-build' could not be built" in refused.stderr
            assert said in refused.stderr.partition("could not be built")[2]


def test_a_base_image_is_upgraded_by_name(tmp_path: Path, engine: Mapping[str, str]) -> None:
    reference = f"{engine['ENGINE_REGISTRY']}/orbiter-lock/base:1"

    def push(text: str) -> None:
        context = tmp_path / "base"
        context.mkdir(exist_ok=True)
        (context / "Dockerfile").write_text(f"FROM scratch\nLABEL text={text}\nCOPY Dockerfile /\n")
        docker(engine, "buildx", "build", "--quiet", "--provenance=false", "--push", f"--tag={reference}", str(context))

    push("one")
    write(tmp_path, engine, {"debian": {"core": {"image": reference, "builder": "pip_core", "apt": ["less"]}}})
    try:
        assert orbiter(tmp_path, engine, "lock").returncode == 0
        first = read(tmp_path).images[reference]
        push("two")
        assert orbiter(tmp_path, engine, "lock").stderr == "orbiter.lock: nothing to do\n"
        done = orbiter(tmp_path, engine, "lock", "--upgrade", reference)
        second = read(tmp_path).images[reference]
        assert first != second
        assert f"~ {reference} {first[:19]} → {second[:19]}" in done.stdout
    finally:
        subprocess.run(["docker", "rmi", "--force", reference], env=engine, capture_output=True)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "127.0.0.1:1/nothing:1: no digest to be had: "),
        ({"DOCKER_HOST": "unix:///nonexistent"}, "orbiter: no Docker engine answers; "),
    ],
    ids=["registry", "engine"],
)
def test_a_registry_or_engine_that_is_down_is_4_and_leaves_the_lock(
    tmp_path: Path, engine: Mapping[str, str], variables: Mapping[str, str], message: str
) -> None:
    write(
        tmp_path,
        engine,
        {"debian": {"core": {"image": "127.0.0.1:1/nothing:1", "builder": "pip_core", "apt": ["less"]}}},
    )
    (tmp_path / "orbiter.lock").write_text(lock.dump(Lock()))
    done = orbiter(tmp_path, {**engine, **variables}, "lock")
    assert (done.returncode, message in done.stderr) == (4, True), done.stderr
    assert read(tmp_path) == Lock()


def test_an_npm_registry_that_is_down_is_4(tmp_path: Path, engine: Mapping[str, str]) -> None:
    families = family([])
    families["debian"]["base"]["build"] |= {"npm": ["is-odd"]}
    write(tmp_path, engine, families, npm="http://127.0.0.1:1")
    done = orbiter(tmp_path, engine, "lock")
    assert done.returncode == 4
    assert "debian-base-build: npm: " in done.stderr
    assert "ECONNREFUSED" in done.stderr
    assert not (tmp_path / "orbiter.lock").exists()
