"""A Python that the distribution does not have, built for real: uv installs it from a mirror that has a real one."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.conftest import run_orbiter
from tests.e2e.test_mirrors import HOST, Mirror, configured, docker, search

pytestmark = pytest.mark.engine

REPO = "localhost/orbiter-python"
IMAGES = (f"{REPO}:debian-core-1", f"{REPO}:debian-base-1")

AS_ROOT = ("run", "--rm", "--user=0", "--entrypoint=sh")
PLACE = "orbiter.yaml:7:16: python.version: 'debian-core' could not be built: the step of 'python' failed; it printed"

# A CPython of python-build-standalone, whose releases uv installs, in a wheel: by the engine's architecture.
WHEEL = "backend-ai-krunner-static-gnu==4.0.0"
WHEELS = {
    "amd64": ("x86_64", "ad45262da1f9f769d0a05d8a4594301920f279579913d9518c70e9649bfc8c5e"),
    "arm64": ("aarch64", "4843d44d67426323ac3ca9cdab0af26999f71519c80991a1bb8adacaf171902d"),
}
WANTED = re.compile(
    r"bin/python3(\.11)?|lib/libpython3\.11\.so.*|"
    r"lib/python3\.11/(?!site-packages/|test/|idlelib/|lib2to3/|tkinter/|config-|.*__pycache__).*"
)

# The variable is another in every run, so that no step comes from the cache.
BUILD = {
    "debian": {
        "core": {"image": "debian:trixie-slim", "builder": "pip_core", "env": {"RUN_OF_THE_TESTS": ""}},
        "base": {
            "image": "core",
            "builder": "pip_deploy",
            "cmd": ["sleep", "60"],
            "build": {"image": "core", "builder": "pip_builder", "pip": ["numpy"]},
        },
    }
}


@dataclass(frozen=True)
class Pythons:
    """The mirror, and the version of the Python that it has."""

    mirror: Mirror
    version: str
    architecture: str


def archive(wheel: Path, target: Path) -> str:
    """The interpreter in the wheel, as python-build-standalone packs one (`install_only`); its version."""
    version = ""
    with zipfile.ZipFile(wheel) as files, tarfile.open(target, "w:gz", compresslevel=1) as packed:
        inner = next(name for name in files.namelist() if name.endswith(".tar.xz"))
        with files.open(inner) as stream, tarfile.open(fileobj=stream, mode="r:xz") as environment:
            for member in environment:
                name = member.name.removeprefix("./")
                if name == "include/python3.11/patchlevel.h":
                    header = environment.extractfile(member)
                    found = re.search(rb'PY_VERSION\s+"(.*)"', header.read() if header else b"")
                    version = found[1].decode() if found else ""
                if WANTED.fullmatch(name):
                    member.name = f"python/{name}"
                    packed.addfile(member, environment.extractfile(member) if member.isreg() else None)
        link = tarfile.TarInfo("python/bin/python")
        link.type, link.linkname = tarfile.SYMTYPE, "python3"
        packed.addfile(link)
    return version


def download(version: str, architecture: str, url: str, content: bytes) -> dict[str, Any]:
    """An entry of uv's list of downloads: https://github.com/astral-sh/uv/blob/main/crates/uv-python."""
    major, minor, patch = map(int, version.split("."))
    system = {"arch": {"family": architecture, "variant": None}, "os": "linux", "libc": "gnu"}
    numbers = {"major": major, "minor": minor, "patch": patch, "prerelease": "", "variant": None, "build": "1"}
    return {"name": "cpython", **system, **numbers, "url": url, "sha256": hashlib.sha256(content).hexdigest()}


@pytest.fixture(scope="module")
def pythons(tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]) -> Iterator[Pythons]:
    folder = tmp_path_factory.mktemp("pythons")
    architecture, digest = WHEELS[docker(engine, "version", "--format", "{{.Server.Arch}}")]
    (folder / "wheel.txt").write_text(f"{WHEEL} --hash=sha256:{digest}\n")
    options = ("--quiet", "--no-deps", "--only-binary=:all:", f"--platform=manylinux2014_{architecture}")
    command = [sys.executable, "-m", "pip", "download", *options, "--dest=wheel", "--requirement=wheel.txt"]
    subprocess.run(command, cwd=folder, check=True)
    version = archive(next((folder / "wheel").iterdir()), folder / "python.tar.gz")
    content = (folder / "python.tar.gz").read_bytes()
    address = docker(engine, "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
    with Mirror(address, folder) as mirror:
        mirror.upstream |= {"pythons": folder.as_uri(), "releases": (folder / "releases").as_uri()}
        mirror.upstream["pip"] = (
            configured("PIP_INDEX_URL", "pip", "config", "get", "global.index-url") or "https://pypi.org/simple"
        )
        url = f"{mirror.url}/pythons/python.tar.gz"
        name = f"cpython-{version}-linux-{architecture}-gnu"
        for listed, there in (("list.json", content), ("wrong.json", b"other bytes")):
            (folder / listed).write_text(json.dumps({name: download(version, architecture, url, there)}))
        thread = threading.Thread(target=mirror.serve_forever)
        thread.start()
        try:
            yield Pythons(mirror, version, architecture)
        finally:
            mirror.shutdown()
            thread.join()
            shutil.rmtree(folder)


def build(
    folder: Path, engine: Mapping[str, str], pythons: Pythons, version: str, place: str
) -> "subprocess.CompletedProcess[str]":
    mirror = pythons.mirror
    # Debian's own packages are not mirrored here, and may need the certificates of this machine.
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    (folder / "company.crt").write_text(mirror.ca.read_text() + (bundle.read_text() if bundle.exists() else ""))
    mirrors = {"python": f"{mirror.url}/{place}", "pip": f"{mirror.url}/pip", "ca": "company.crt"}
    configuration = {"version": "1", "docker": {"repo": REPO}, "python": {"version": version}, "mirrors": mirrors}
    families = json.dumps(configuration | {"build": BUILD}, indent=2)
    (folder / "orbiter.yaml").write_text(families.replace('_TESTS": ""', f'_TESTS": "{mirror.run}"'))
    settings = (f"--set=*.extra-hosts.{HOST}={mirror.address}", "--load", "--progress=plain")
    return run_orbiter(folder, engine, "build", "debian-base", "debian-core", *settings)


@pytest.fixture(scope="module")
def images(
    tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str], pythons: Pythons
) -> Iterator[Mapping[str, str]]:
    """The engine with the images, whose Python is the mirror's."""
    try:
        done = build(tmp_path_factory.mktemp("python"), engine, pythons, "3.11", "pythons/list.json")
        assert done.returncode == 0, done.stderr[-10000:]
        yield engine
    finally:
        subprocess.run(["docker", "rmi", "--force", *IMAGES], env=engine, capture_output=True)


def test_the_image_has_that_python(images: Mapping[str, str], pythons: Pythons) -> None:
    script = "import sys, numpy; print(sys.version.split()[0], sys.prefix, int(numpy.arange(4).sum()))"
    said = docker(images, "run", "--rm", IMAGES[1], "python", "-c", script)
    assert said == f"{pythons.version} /opt/venv 6"
    assert docker(images, "run", "--rm", IMAGES[1], "readlink", "-f", "/opt/venv/bin/python").startswith("/opt/python/")
    assert docker(images, "run", "--rm", IMAGES[1], "/usr/bin/python3", "--version") != f"Python {pythons.version}"


def test_the_interpreter_is_in_the_core_once(images: Mapping[str, str], pythons: Pythons) -> None:
    script = "/opt/python/cpython-3.11-*/bin/python --version"
    assert docker(images, "run", "--rm", IMAGES[0], "sh", "-c", script) == f"Python {pythons.version}"
    inspected = ("inspect", "--format", "{{json .RootFS.Layers}}")
    core, base = (json.loads(docker(images, *inspected, image)) for image in IMAGES)
    assert base[: len(core)] == core
    script = "find / -xdev -name 'libpython3.11.so*' -type f"
    assert len(docker(images, *AS_ROOT, IMAGES[1], "-c", script).split()) == 1


def test_nothing_else_is_left_of_the_installation(images: Mapping[str, str]) -> None:
    script = "find /home/jovyan /root /tmp /opt/venv -mindepth 1 ! -name '.bash*' ! -name .profile 2>/dev/null || true"
    assert docker(images, *AS_ROOT, IMAGES[0], "-c", script) == ""


def test_the_mirror_is_not_in_the_image(images: Mapping[str, str], pythons: Pythons, tmp_path: Path) -> None:
    mirror = pythons.mirror
    docker(images, "save", "--output", str(tmp_path / "images.tar"), *IMAGES)
    assert search(tmp_path / "images.tar", {"address": mirror.place.encode(), "token": mirror.token.encode()}) == []
    assert [path for path in mirror.asked if path == "pythons/python.tar.gz"]


@pytest.mark.parametrize(
    ("version", "place", "printed"),
    [
        ("3.11.1", "pythons/wrong.json", "Hash mismatch for `cpython-3.11.1"),
        ("3.12", "pythons/list.json", "No download found for request: cpython-3.12"),
    ],
    ids=["other bytes", "not in the list"],
)
def test_a_python_that_cannot_be_had_is_told_with_its_place(
    tmp_path: Path, engine: Mapping[str, str], pythons: Pythons, version: str, place: str, printed: str
) -> None:
    done = build(tmp_path, engine, pythons, version, place)
    assert done.returncode == 4
    assert printed in done.stderr.partition(PLACE)[2], done.stderr[-3000:]


def test_releases_at_a_mirror_are_asked_for_and_checked(
    tmp_path: Path, engine: Mapping[str, str], pythons: Pythons
) -> None:
    done = build(tmp_path, engine, pythons, "3.12", "releases")
    assert done.returncode == 4
    missing = re.search(rf"Failed to download `{pythons.mirror.url}/releases/(\S+)`", done.stderr.partition(PLACE)[2])
    assert missing, done.stderr[-3000:]
    release = pythons.mirror.ca.parent / "releases" / unquote(missing[1])
    assert release.name.startswith("cpython-3.12.")
    release.parent.mkdir(parents=True)
    os.link(pythons.mirror.ca.parent / "python.tar.gz", release)
    done = build(tmp_path, engine, pythons, "3.12", "releases")
    assert done.returncode == 4
    assert f"Hash mismatch for `{release.name.partition('%2B')[0].partition('+')[0]}" in done.stderr.partition(PLACE)[2]
