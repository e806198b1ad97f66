"""A package without a wheel for Alpine: compiled in the nested build, and only what came of it is published."""

import subprocess
from collections.abc import Iterator, Mapping

import pytest

from tests.conftest import run_orbiter

pytestmark = pytest.mark.engine

REPO = "localhost/orbiter-compiled"
IMAGE = f"{REPO}:alpine-base-1"

CONFIG = f"""\
version: "1"
docker: {{repo: {REPO}}}
build:
  alpine:
    core: {{image: "alpine:3.23", builder: pip_core}}
    base:
      image: core
      builder: pip_deploy
      cmd: [sleep, "60"]
      build:
        image: core
        builder: pip_builder
        apk: [build-base, linux-headers, python3-dev]
        pip: [crcmod==1.7, spidev==3.8]  # PyPI has their sources only
"""


@pytest.fixture(scope="module")
def engine_with_image(
    tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]
) -> Iterator[Mapping[str, str]]:
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "orbiter.yaml").write_text(CONFIG)
    done = run_orbiter(folder, engine, "build", "alpine-base", "--load", "--progress=plain")
    assert done.returncode == 0, done.stderr[-5000:]
    yield engine
    subprocess.run(["docker", "rmi", "--force", IMAGE], env=engine, capture_output=True)


def run(engine: Mapping[str, str], *command: str) -> str:
    done = subprocess.run(["docker", "run", "--rm", IMAGE, *command], env=engine, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_was_compiled_works(engine_with_image: Mapping[str, str]) -> None:
    # The check value of CRC-32: https://reveng.sourceforge.io/crc-catalogue/17plus.htm#crc.cat.crc-32-iso-hdlc
    code = "import crcmod._crcfunext, crcmod.predefined as p; print(hex(p.mkCrcFun('crc-32')(b'123456789')))"
    assert run(engine_with_image, "python", "-c", code) == "0xcbf43926"
    # Its constants come from the kernel's headers.
    assert run(engine_with_image, "python", "-c", "import spidev; print(spidev.SpiDev().mode)") == "0"


def test_it_is_made_for_musl(engine_with_image: Mapping[str, str]) -> None:
    code = """
import pathlib, re
for name in ("_crcfunext", "spidev"):
    (path,) = pathlib.Path("/opt/venv").rglob(f"{name}.*.so")
    data = path.read_bytes()
    print(name, path.suffixes[0].split("-")[-1], data[:4] == b"\\x7fELF", re.findall(rb"libc[.][\\w.-]+", data))
"""
    machine = run(engine_with_image, "uname", "-m")
    libc = f"[b'libc.musl-{machine}.so.1']"
    said = run(engine_with_image, "python", "-c", code).splitlines()
    assert said == [f"_crcfunext musl True {libc}", f"spidev musl True {libc}"]


def test_the_compiler_is_not_published(engine_with_image: Mapping[str, str]) -> None:
    script = "ls /usr/include /usr/lib/gcc 2>&1 | grep -v 'No such file'; command -v cc gcc ld make || echo none"
    assert run(engine_with_image, "sh", "-c", script) == "none"
    installed = run(engine_with_image, "apk", "info")
    assert not {"build-base", "gcc", "musl-dev", "linux-headers", "python3-dev"} & set(installed.split())
    assert "python3" in installed.split()
