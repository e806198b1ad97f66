"""What goes wrong outside of the configuration: the build stops, says where, and tags nothing that is half-built."""

import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from orbiter import resources
from tests.conftest import ROOT, run_orbiter, unavailable

pytestmark = pytest.mark.engine

CONFIG = """\
version: "1"
docker: {{repo: {repo}}}
build:
  debian:
    core:
      image: {image}
      builder: pip_core
      {system}
    base:
      image: core
      builder: pip_deploy
      build:
        image: core
        builder: pip_builder
        pip: [{pip}]
"""
RIGHT = {"image": "debian:trixie-slim", "system": "tags: []", "pip": "six"}


def docker(engine: Mapping[str, str], *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(["docker", *arguments], env=engine, input=stdin, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def repo() -> str:
    """The repository of this test's images only."""
    return f"localhost/orbiter-faults-{secrets.token_hex(4)}"


def told(folder: Path, engine: Mapping[str, str], repo: str, target: str) -> str:
    """What is said about a build that fails, from the place in the configuration on."""
    done = run_orbiter(folder, engine, "build", target, "--progress=quiet")
    assert done.returncode == 4, done.stderr
    assert done.stderr.splitlines()[-1].startswith("orbiter: docker buildx bake failed with status ")
    assert docker(engine, "images", "--quiet", repo) == ""
    return done.stderr[done.stderr.index("orbiter.yaml:") :]


@pytest.mark.parametrize(
    ("wrong", "template", "step", "said", "printed"),
    [
        (
            {"system": "apt: [less]"},
            "macros.j2",
            "{{ run(stage) }}--mount=type=cache,target=/var/cache/apt",
            "orbiter.yaml:8:12: build.debian.core.apt: 'debian-core' could not be built: the step of 'apt' failed",
            "Temporary failure resolving",
        ),
        (
            # Of that name nothing is in the cache of the engine.
            {"pip": "no-such-package-of-anyone"},
            "pip_builder/Dockerfile.j2",
            "{%- if stage.pip %}\n\n{{ dockerfile.run(stage) }}",
            "orbiter.yaml:15:15: build.debian.base.build.pip[0]: 'debian-base-build' could not be built: "
            "the step of 'pip' failed",
            "failed to lookup address information",
        ),
    ],
    ids=["apt", "pip"],
)
def test_no_network(
    tmp_path: Path,
    engine: Mapping[str, str],
    repo: str,
    wrong: Mapping[str, str],
    template: str,
    step: str,
    said: str,
    printed: str,
) -> None:
    # Bake takes `--set '*.network=none'` and forgets the value (Buildx 0.29).
    text = resources.templates()[template]
    assert text.count(step) == 1
    own = tmp_path / "templates" / template
    own.parent.mkdir(parents=True)
    run = step[step.index("{{") : step.index("}}") + 2]
    own.write_text(text.replace(step, step.replace(run, "RUN --network=none ")))
    (tmp_path / "orbiter.yaml").write_text(CONFIG.format(repo=repo, **RIGHT | wrong))
    rest = told(tmp_path, engine, repo, "debian-base")
    assert rest.startswith(said)
    assert printed in rest


@pytest.mark.parametrize(
    ("wrong", "mirrors", "said"),
    [
        ({"image": "127.0.0.1:1/nothing/here:1"}, "", "dial tcp 127.0.0.1:1: connect: connection refused"),
        ({"image": "{registry}/nothing/here:1"}, "", "nothing/here:1: not found"),
        ({}, 'mirrors: {docker.io: "127.0.0.1:1"}', "dial tcp 127.0.0.1:1: connect: connection refused"),
    ],
    ids=["down", "unknown", "mirror"],
)
def test_parent_that_cannot_be_pulled(
    tmp_path: Path, engine: Mapping[str, str], repo: str, wrong: Mapping[str, str], mirrors: str, said: str
) -> None:
    values = {name: value.format(registry=engine["ENGINE_REGISTRY"]) for name, value in (RIGHT | wrong).items()}
    (tmp_path / "orbiter.yaml").write_text(CONFIG.format(repo=repo, **values) + mirrors)
    rest = told(tmp_path, engine, repo, "debian-base")
    assert rest.startswith(
        "orbiter.yaml:6:14: build.debian.core.image: 'debian-core' could not be built: its parent could not be pulled; "
        "the engine said\n"
    )
    assert said in rest


def test_installer_that_cannot_be_pulled(tmp_path: Path, engine: Mapping[str, str], repo: str) -> None:
    (tmp_path / "orbiter.yaml").write_text(CONFIG.format(repo=repo, **RIGHT))
    rest = told(tmp_path, {**engine, "UV_IMAGE": "127.0.0.1:1/uv:1"}, repo, "debian-base")
    assert rest.startswith("orbiter.yaml:13:9: build.debian.base.build: 'debian-base-build' could not be built")
    assert "127.0.0.1:1/uv:1" in rest


def test_place_is_told_from_any_directory(tmp_path: Path, engine: Mapping[str, str], repo: str) -> None:
    wrong = RIGHT | {"image": "127.0.0.1:1/nothing/here:1"}
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "orbiter.yaml").write_text(CONFIG.format(repo=repo, **wrong))
    done = run_orbiter(tmp_path, engine, "build", "--file=project/orbiter.yaml", "--progress=quiet")
    assert "project/orbiter.yaml:6:14: build.debian.core.image: 'debian-core' could not be built" in done.stderr


PARENTS = {
    "busybox": "COPY --from=alpine /bin/busybox /bin/sh /bin/\nCOPY --from=alpine /lib/ld-musl-*.so.1 /lib/\n",
    "empty": "",
}


@pytest.fixture(scope="module")
def parents(engine: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """An image that has only busybox, and one that has nothing but root."""
    made = {name: f"localhost/orbiter-faults-parent:{name}" for name in PARENTS}
    start = "FROM alpine:3.23 AS alpine\nFROM scratch\nCOPY --from=alpine /etc/passwd /etc/group /etc/\n"
    for name, image in made.items():
        docker(engine, "build", "--quiet", f"--tag={image}", "-", stdin=start + PARENTS[name])
    yield made
    docker(engine, "rmi", "--force", *made.values())


@pytest.mark.parametrize(
    ("parent", "image", "said", "printed"),
    [
        ("busybox", "builder: pip_core, apt: [less]", ".apt: 'debian-other'", "apt-get: not found"),
        ("debian", "builder: pip_core, apk: [less]", ".apk: 'debian-other'", "apk: not found"),
        ("empty", "builder: pip_core, apt: [less]", ".apt: 'debian-other'", 'exec: "/bin/sh": stat /bin/sh'),
        # Neither an account nor the programs to make one.
        ("busybox", "builder: pip_deploy, {build}", ": 'debian-other'", "groupadd: not found"),
        (
            "debian",
            "builder: pip_deploy, {build}",
            ": 'debian-other'",
            "/opt/venv needs /usr/bin/python3.13, which the parent lacks",
        ),
    ],
    ids=["apt", "apk", "shell", "account", "python"],
)
def test_unfit_parent(
    tmp_path: Path,
    engine: Mapping[str, str],
    repo: str,
    parents: Mapping[str, str],
    parent: str,
    image: str,
    said: str,
    printed: str,
) -> None:
    keys = image.format(build="build: {image: core, builder: pip_builder, pip: [six]}")
    other = f"    other: {{image: '{parents.get(parent, 'debian:trixie-slim')}', {keys}}}\n"
    (tmp_path / "orbiter.yaml").write_text(CONFIG.format(repo=repo, **RIGHT) + other)
    rest = told(tmp_path, engine, repo, "debian-other")
    assert rest.startswith("orbiter.yaml:16:")
    assert f": build.debian.other{said} could not be built" in rest
    assert printed in rest


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A folder on a file system of its own, with that little room (`600m`)."""
    if os.geteuid() != 0:
        unavailable("a small disk can be mounted by root only")
    folder = Path(tempfile.mkdtemp(prefix="orbiter-full-"))
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "orbiter-full", folder], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
    finally:
        folder.rmdir()


def fill(disk: Path, megabytes: int) -> None:
    """Leaves room for that much."""
    room = os.statvfs(disk)
    with (disk / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, room.f_bavail * room.f_frsize - megabytes * 2**20)


@pytest.fixture
def small_engine(engine: Mapping[str, str]) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """A private engine of its own that has little room: its disk, and its environment."""
    number = os.getpid() % 250 + 1
    with small_disk("700m") as disk:
        own = {
            **engine,
            "ENGINE_STATE": str(disk / "state"),
            "ENGINE_BRIDGE": f"orbfull{number}",
            "ENGINE_BIP": f"10.214.{number}.1/24",
        }
        # For the engine that it names, `purge` would also end the registry beside it.
        own["DOCKER_HOST"] = f"unix://{disk}/state/docker.sock"
        script = 'e=$(scripts/engine.sh up) && eval "$e" && env -0'
        try:
            done = subprocess.run(["bash", "-c", script], cwd=ROOT, env=own, capture_output=True, text=True)
            if done.returncode != 0:
                unavailable(f"no second engine: {done.stderr.strip()}")
            yield disk, dict(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)
        finally:
            subprocess.run([ROOT / "scripts" / "engine.sh", "purge"], env=own, capture_output=True, check=True)


def test_full_disk_of_the_engine(tmp_path: Path, small_engine: tuple[Path, Mapping[str, str]], repo: str) -> None:
    disk, engine = small_engine
    config = tmp_path / "orbiter.yaml"
    config.write_text(CONFIG.format(repo=repo, **RIGHT))
    done = run_orbiter(tmp_path, engine, "build", "debian-base-build", "--progress=plain")
    assert done.returncode == 0, done.stderr[-5000:]

    config.write_text(CONFIG.format(repo=repo, **RIGHT | {"pip": "numpy"}))
    fill(disk, megabytes=40)
    rest = told(tmp_path, engine, repo, "debian-base")
    assert rest.startswith(
        "orbiter.yaml:15:15: build.debian.base.build.pip[0]: 'debian-base-build' could not be built: "
        "the step of 'pip' failed"
    )
    assert "No space left on device" in rest

    # What is left of the failed build does no harm once there is room again.
    (disk / "filler").unlink()
    done = run_orbiter(tmp_path, engine, "build", "debian-base", "--progress=plain")
    assert done.returncode == 0, done.stderr[-5000:]
    command = ("python", "-c", "import numpy; print(numpy.arange(4).sum())")
    assert docker(engine, "run", "--rm", f"{repo}:debian-base-1", *command) == "6"


def test_full_disk_of_the_project() -> None:
    with small_disk("40k") as disk:
        config = disk / "orbiter.yaml"
        config.write_text(CONFIG.format(repo="localhost/first", **RIGHT))
        done = run_orbiter(disk, os.environ, "compile")
        assert done.returncode == 0, done.stderr
        before = files(disk)

        config.write_text(config.read_text().replace("first", "other"))
        done = run_orbiter(disk, os.environ, "compile")
        assert done.returncode == 2
        assert done.stderr.startswith("orbiter: ")
        assert "No space left on device" in done.stderr
        assert files(disk) == before


def files(folder: Path) -> dict[Path, bytes]:
    """The generated files, and all that a write may have left."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "orbiter.yaml"}
