"""What several tests need: the repository, the command line, a real engine."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

# The same values in every run, so that a red run can be repeated; `--hypothesis-profile=far` looks further.
settings.register_profile("orbiter", deadline=None, derandomize=True)
settings.register_profile("far", deadline=None, max_examples=2000)
settings.load_profile("orbiter")

ROOT = Path(__file__).parent.parent
SEED = ROOT / "tests" / "cases" / "seed-full" / "config.yaml"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the expected files of tests/cases anew")


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture
def orbiter(tmp_path: Path) -> Run:
    """Runs the command line in `tmp_path`, as a person would."""

    def run(*arguments: str, cwd: Path = tmp_path, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = {key: value for key, value in os.environ.items() if key != "ORBITER_FILE"} | variables
        return subprocess.run(
            [sys.executable, "-m", "orbiter", *arguments], cwd=cwd, env=environment, capture_output=True, text=True
        )

    return run


def unavailable(what: str) -> NoReturn:
    """Ends a test for which something is missing: as a failure in CI, where nothing may be, else skipped."""
    required = "CI" in os.environ or "ORBITER_REQUIRE_ENGINE" in os.environ
    pytest.fail(what) if required else pytest.skip(what)


@pytest.fixture(scope="session")
def engine() -> Mapping[str, str]:
    """The environment of a real engine with Buildx, for subprocesses: one that answers, else the private one."""
    # While a build that pulls an image is running, BuildKit gives others that use the image nothing from the cache
    # (measured with Docker 28.5: FROM and all after it run again). So the images are pulled first.
    warm = (
        "printf 'FROM debian:trixie-slim\\nCOPY --from=%s /uv /uv\\nRUN true\\n' $UV_IMAGE | docker build --quiet - >&2"
    )
    script = (
        f"cd {shlex.quote(str(ROOT))}"
        ' && e=$(scripts/engine.sh ensure --registry) && eval "$e"'
        ' && f=$(scripts/fixtures.sh debian uv=0.13.9 alpine=3.23 micromamba=2.9.0) && eval "$f"'
        f" && {warm} && env -0"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    if done.returncode != 0:
        message = f"no engine: {done.stderr.strip()}"
        unavailable(message)
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)


@pytest.fixture(scope="session")
def debian_with_npm(engine: Mapping[str, str]) -> str:
    """A Debian that has npm already, in the registry: dpkg needs half a minute for its 400 packages."""
    reference = f"{engine['ENGINE_REGISTRY']}/orbiter-tests/debian:npm"
    text = """\
FROM debian:trixie-slim
RUN apt-get update && apt-get install --yes --no-install-recommends nodejs npm && rm -rf /var/lib/apt/lists/*
"""
    command = ["docker", "buildx", "build", "--push", "--provenance=false", f"--tag={reference}", "-"]
    done = subprocess.run(command, env=engine, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return reference


def run_orbiter(folder: Path, engine: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs the command line on the engine."""
    command = [sys.executable, "-m", "orbiter", *arguments]
    return subprocess.run(command, cwd=folder, env=engine, capture_output=True, text=True)


@pytest.fixture(scope="session")
def repo2docker(tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]) -> str:
    """The program: the one on PATH, else one that is installed for these tests."""
    if found := shutil.which("jupyter-repo2docker", path=engine["PATH"]):
        return found
    return str(programs(tmp_path_factory.mktemp("repo2docker"), "jupyter-repo2docker") / "jupyter-repo2docker")


def programs(folder: Path, *packages: str) -> Path:
    """The folder of programs of packages that are installed for these tests."""
    uv = [sys.executable, "-m", "uv"]
    for command in (
        [*uv, "venv", "--quiet", "--clear", str(folder)],
        [*uv, "pip", "install", "--quiet", "--compile-bytecode", f"--python={folder / 'bin/python'}", *packages],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "bin"


@pytest.fixture(scope="session")
def hadolint() -> str:
    found = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    assert found, "hadolint is missing; install the extra 'test'"
    return found
