"""A builder in a container of its own, as CI has one: waves, the registry cache, and what is published.

They need an image of BuildKit: where `moby/buildkit` cannot be pulled, nothing here can run.
"""

import json
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run_orbiter

pytestmark = pytest.mark.engine

IMAGE = "moby/buildkit:buildx-stable-1"
CONFIG = """\
version: "1"
docker: {{repo: {registry}/{path}}}
cache: {{registry: {registry}/{path}-cache}}
build:
  debian:
    core: {{image: "debian:trixie-slim", builder: pip_core}}
    base: {{image: core, builder: pip_deploy, build: {{image: core, builder: pip_builder, pip: [six]}}}}
    left: {{image: base, builder: pip_deploy, postbuild: ["head -c 9 /dev/urandom > /left"]}}
    right: {{image: base, builder: pip_deploy, postbuild: ["head -c 9 /dev/urandom > /right"]}}
    top: {{image: left, builder: pip_deploy, postbuild: ["head -c 9 /dev/urandom > /top"]}}
"""
IMAGES = ["debian-core", "debian-base", "debian-left", "debian-right", "debian-top"]


@pytest.fixture
def project(tmp_path: Path, engine: Mapping[str, str]) -> Path:
    path = f"orbiter-container/{secrets.token_hex(6)}"
    config = CONFIG.format(registry=engine["ENGINE_REGISTRY"], path=path)
    (tmp_path / "orbiter.yaml").write_text(config)
    # BuildKit asks the mirror first, then Docker Hub; references in the bake file stay as they are.
    (tmp_path / "builder.yaml").write_text(f"{config}mirrors: {{docker.io: '{engine['ENGINE_REGISTRY']}'}}\n")
    return tmp_path


@pytest.fixture
def builder(project: Path, engine: Mapping[str, str]) -> Iterator[Callable[[], str]]:
    """Starts another builder that has nothing yet, and returns its name."""
    if subprocess.run(["docker", "pull", "--quiet", IMAGE], env=engine, capture_output=True).returncode:
        pytest.skip(f"{IMAGE} cannot be pulled here")

    @contextmanager
    def started() -> Iterator[str]:
        name = f"orbiter-{secrets.token_hex(6)}"
        try:
            options = ["--file=builder.yaml", "--driver-opt=network=host"]
            made = run_orbiter(project, engine, "builder", "create", name, *options)
            assert made.returncode == 0, made.stderr
            yield name
        finally:
            subprocess.run(["docker", "buildx", "rm", "--force", name], env=engine, capture_output=True)

    with ExitStack() as stack:
        yield lambda: stack.enter_context(started())


def build(project: Path, engine: Mapping[str, str], *arguments: str) -> dict[str, Any]:
    """Builds; target → what came of it."""
    done = run_orbiter(project, engine, "build", "--format=json", *arguments)
    assert done.returncode == 0, done.stderr
    return {row["name"]: row for row in json.loads(done.stdout)["targets"]}


def layers(engine: Mapping[str, str], row: Mapping[str, Any]) -> list[str]:
    """Digests of the layers of a published image."""
    reference = f"{row['references'][0]}@{row['digest']}"
    command = ["docker", "buildx", "imagetools", "inspect", "--format", "{{json .Image}}", reference]
    done = subprocess.run(command, env=engine, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)["rootfs"]["diff_ids"]
    assert found
    return found


def test_waves_and_an_empty_builder(project: Path, engine: Mapping[str, str], builder: Callable[[], str]) -> None:
    first = build(project, engine, "--builder", builder(), "--push", "--at-once=3")
    assert {row["result"] for row in first.values()} == {"built"}
    other = builder()
    again = build(project, engine, "--builder", other, "--push")
    assert {row["result"] for row in again.values()} == {"cached"}
    for image in IMAGES:
        assert layers(engine, again[image]) == layers(engine, first[image]), image
    # Layers that run nothing are not even fetched.
    used = subprocess.run(
        ["docker", "buildx", "du", "--builder", other, "--format", "{{.Size}}"],
        env=engine,
        capture_output=True,
        text=True,
    )
    assert "MB" not in used.stdout

    checked = run_orbiter(project, engine, "cache", "check", "--builder", builder())
    assert checked.returncode == 0, checked.stderr


def test_a_change_is_built_on_what_is_published(
    project: Path, engine: Mapping[str, str], builder: Callable[[], str]
) -> None:
    first = build(project, engine, "--builder", builder(), "--push")
    config = project / "orbiter.yaml"
    config.write_text(config.read_text().replace("> /left", "> /left-2"))
    second = build(project, engine, "--builder", builder(), "--push", "--changed", "--at-once=1")
    assert {image: second[image]["result"] for image in IMAGES} == {
        "debian-core": "up to date",
        "debian-base": "up to date",
        "debian-left": "built",
        "debian-right": "up to date",
        "debian-top": "built",
    }
    base = layers(engine, first["debian-base"])
    assert layers(engine, second["debian-left"])[: len(base)] == base
    left = layers(engine, second["debian-left"])
    assert layers(engine, second["debian-top"])[: len(left)] == left


def test_loads_into_the_engine_and_runs(project: Path, engine: Mapping[str, str], builder: Callable[[], str]) -> None:
    build(project, engine, "--builder", builder(), "--load", "debian-base")
    done = run_orbiter(project, engine, "run", "debian-base", "--", "python", "-c", "import six; print(six.__name__)")
    assert done.returncode == 0, done.stderr
    assert "six\n" in done.stderr
