"""`orbiter builder create` with the real Buildx: it takes what we write, and what a person sees where nothing starts.

No image of BuildKit and no cluster is within reach of these tests, so a builder is made, but never runs.
"""

import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import run_orbiter

pytestmark = pytest.mark.engine

CONFIG = "docker: {repo: localhost/a}\nbuild: {debian: {core: {image: 'debian:trixie-slim', builder: pip_core}}}\n"


@pytest.fixture
def name(engine: Mapping[str, str]) -> Iterator[str]:
    new = f"orbiter-{uuid.uuid4().hex[:12]}"
    yield new
    subprocess.run(["docker", "buildx", "rm", "--force", new], env=engine, capture_output=True)


def inspect(engine: Mapping[str, str], name: str) -> str:
    return subprocess.run(["docker", "buildx", "inspect", name], env=engine, capture_output=True, text=True).stdout


def test_buildx_reads_the_configuration(tmp_path: Path, engine: Mapping[str, str], name: str) -> None:
    (tmp_path / "ca.pem").write_text("a certificate\n")
    (tmp_path / "orbiter.yaml").write_text(
        "docker: {repo: registry.example.org/a}\nmirrors: {docker.io: hub.example.org/proxy, ca: ca.pem}\n"
        "build: {debian: {core: {image: 'debian:trixie-slim', builder: pip_core}}}\n"
    )
    done = run_orbiter(tmp_path, engine, "builder", "create", name, "--no-bootstrap", "--cache-size=20GB")
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"{name}: made; 'orbiter build --builder {name}' builds with it\n"
    told = inspect(engine, name)
    for line in ("Driver:        docker-container", 'mirrors = ["hub.example.org/proxy"]', 'maxUsedSpace = "20GB"'):
        assert line in told
    # Buildx has put the CA where BuildKit will find it.
    assert 'ca = ["/etc/buildkit/certs/registry.example.org/ca.pem"]' in told


def test_remote_nodes_are_listed(tmp_path: Path, engine: Mapping[str, str], name: str) -> None:
    nodes = [f"--node=linux/{arch}@tcp://127.0.0.1:{port}" for arch, port in (("amd64", 1), ("arm64", 2))]
    done = run_orbiter(tmp_path, engine, "builder", "create", name, "--driver=remote", *nodes, "--no-bootstrap")
    assert done.returncode == 0, done.stderr
    told = inspect(engine, name)
    for line in (f"{name}-amd64", f"{name}-arm64", "tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "linux/arm64*"):
        assert line in told


def test_builder_that_does_not_start_says_so_and_how_it_goes_away(
    tmp_path: Path, engine: Mapping[str, str], name: str
) -> None:
    done = run_orbiter(tmp_path, engine, "builder", "create", name, "--driver=remote", "--node=tcp://127.0.0.1:9")
    assert done.returncode == 4
    assert "waiting for connection" in done.stdout + done.stderr
    assert done.stderr.endswith(
        "orbiter: docker buildx create ended with 1; the builder is there, but does not run: "
        f"'docker buildx rm {name}' removes it\n"
    )
    removed = subprocess.run(["docker", "buildx", "rm", name], env=engine, capture_output=True, text=True)
    assert removed.returncode == 0


def test_build_says_that_its_builder_does_not_start(tmp_path: Path, engine: Mapping[str, str], name: str) -> None:
    (tmp_path / "orbiter.yaml").write_text(CONFIG)
    nowhere = f"image={engine['ENGINE_REGISTRY']}/orbiter/no-buildkit"
    made = run_orbiter(tmp_path, engine, "builder", "create", name, "--no-bootstrap", f"--driver-opt={nowhere}")
    assert made.returncode == 0, made.stderr
    for command in (["build"], ["cache", "check"]):
        cached = {**engine, "CACHE_REPO": f"{engine['ENGINE_REGISTRY']}/orbiter/no-cache"}
        done = run_orbiter(tmp_path, cached, *command, "--builder", name)
        assert (done.returncode, done.stdout) == (4, "")
        last = done.stderr.splitlines()[-1]
        assert last.startswith("orbiter: the builder")
        assert "does not start: Error response from daemon: " in last
        assert "'docker buildx inspect --bootstrap" in last


def test_build_on_a_builder_that_is_not_there(tmp_path: Path, engine: Mapping[str, str], name: str) -> None:
    (tmp_path / "orbiter.yaml").write_text(CONFIG)
    done = run_orbiter(tmp_path, engine, "build", "--builder", name)
    assert done.returncode == 4
    assert done.stderr.endswith(f"orbiter: there is no builder {name}; 'docker buildx ls' has those that there are\n")


def test_kubernetes_without_a_cluster(tmp_path: Path, engine: Mapping[str, str], name: str) -> None:
    environment = {**engine, "KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)}
    done = run_orbiter(tmp_path, environment, "builder", "create", name, "--driver=kubernetes")
    assert done.returncode == 4
    assert "cannot determine Kubernetes namespace" in done.stderr
    assert done.stderr.endswith("orbiter: docker buildx create ended with 1\n")
