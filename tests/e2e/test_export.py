"""What `orbiter export` prints: read by the real spawners, built as Binder builds it; digests of a real registry."""

import json
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from tests.conftest import programs, run_orbiter

pytestmark = pytest.mark.engine

# As in test_hub.py, where a hub with them runs.
PROGRAMS = ("jupyterhub==6.1.1", "dockerspawner==14.0.0", "jupyterhub-kubespawner==7.1.0")

CONFIG = """\
version: "1"
docker: {repo: REPO}
build:
  debian:
    core: {image: "debian:trixie-slim", builder: pip_core}
    base:
      image: core
      builder: pip_deploy
      labels: {org.opencontainers.image.title: "Base: 'all' of it", org.opencontainers.image.description: "For #1"}
    maps: {image: base, builder: pip_deploy, env: {A: b}}
"""

# KubeSpawner wants to know a cluster before it does anything.
NO_CLUSTER = {
    "current-context": "none",
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "none", "user": {}}],
}

SPAWN = """
import asyncio, json, sys
from types import SimpleNamespace
from dockerspawner import DockerSpawner
from kubespawner import KubeSpawner
from traitlets.config import PyFileConfigLoader

config = PyFileConfigLoader("jupyterhub_config.py", path=".").load_config()
user = SimpleNamespace(name="ada", id=1, url="/user/ada", server=None, escaped_name="ada")

async def main():
    docker = DockerSpawner(config=config, user=user)
    images = {"": docker.image}
    for name in docker.allowed_images:
        images[name] = await docker.check_allowed(name)
    profiles = {}
    for slug in (None, "debian-base", "debian-maps"):
        kube = KubeSpawner(config=config, _mock=True)
        kube.user_options = {"profile": slug} if slug else {}
        await kube.load_user_options()
        profiles[slug or ""] = kube.image
    form = kube._render_options_form(kube.profile_list)
    print(json.dumps({"docker": images, "kubernetes": profiles, "form": form if isinstance(form, str) else await form}))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return programs(tmp_path_factory.mktemp("spawners"), *PROGRAMS) / "python"


@pytest.fixture
def project(tmp_path: Path, engine: Mapping[str, str]) -> Iterator[Path]:
    repo = f"{engine['ENGINE_REGISTRY']}/orbiter-export/{uuid.uuid4().hex}"
    (tmp_path / "orbiter.yaml").write_text(CONFIG.replace("REPO", repo))
    yield tmp_path
    tags = [f"{repo}:debian-{name}-1" for name in ("core", "base", "maps")]
    subprocess.run(["docker", "rmi", "--force", *tags], env=engine, capture_output=True)


def export(project: Path, engine: Mapping[str, str], *arguments: str) -> str:
    # Named, for these images start no Jupyter of their own.
    named = ("debian-base", "debian-maps")
    done = run_orbiter(project, engine, "export", "jupyterhub", *arguments, *named)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_spawners_start_the_image_that_is_chosen(project: Path, python: Path, engine: Mapping[str, str]) -> None:
    lines = export(project, engine, "--format=python") + export(project, engine, "--docker", "--format=python")
    (project / "jupyterhub_config.py").write_text(lines)
    (project / "kubeconfig").write_text(json.dumps(NO_CLUSTER))
    environment = {name: value for name, value in engine.items() if name != "PYTHONPATH"}
    environment["KUBECONFIG"] = str(project / "kubeconfig")
    done = subprocess.run([python, "-c", SPAWN], cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    spawned = json.loads(done.stdout)
    mapping = yaml.safe_load(export(project, engine, "--docker"))
    base, maps = mapping.values()
    assert (base.rpartition(":")[2], maps.rpartition(":")[2]) == ("debian-base-1", "debian-maps-1")
    assert spawned["docker"] == {"": base, **mapping}
    assert spawned["kubernetes"] == {"": base, "debian-base": base, "debian-maps": maps}
    assert "For #1" in spawned["form"]


def test_digest_is_the_one_in_the_registry(project: Path, engine: Mapping[str, str]) -> None:
    done = run_orbiter(project, engine, "export", "jupyterhub", "--digests", "debian-base")
    assert (done.returncode, done.stdout) == (4, "")
    assert "not in the registry; 'orbiter build --push' puts it there" in done.stderr
    done = run_orbiter(project, engine, "build", "--push", "--progress=plain")
    assert done.returncode == 0, done.stderr[-3000:]
    for image in yaml.safe_load(export(project, engine, "--docker", "--digests")).values():
        reference, _, digest = image.partition("@")
        ask = ["docker", "buildx", "imagetools", "inspect", reference]
        told = subprocess.run(ask, env=engine, capture_output=True, text=True, check=True).stdout
        assert f"Digest:    {digest}\n" in told


def test_binder_starts_from_the_same_image_after_its_tag_has_moved(project: Path, engine: Mapping[str, str]) -> None:
    assert run_orbiter(project, engine, "build", "--push", "--progress=plain").returncode == 0
    done = run_orbiter(project, engine, "export", "binder", "debian-base")
    assert done.returncode == 0, done.stderr
    repository = project / "repository"
    repository.mkdir()
    (repository / "Dockerfile").write_text(done.stdout)
    by_tag = (project / "dockerfiles/debian/base/Dockerfile").read_text()
    (line,) = set(done.stdout.splitlines()) - set(by_tag.splitlines())
    reference, _, digest = line.removeprefix("FROM ").partition("@")
    assert f"FROM {reference}\n" in by_tag
    assert digest.startswith("sha256:")

    command = ["docker", "buildx", "imagetools", "create", "--tag", reference, reference.replace("base", "maps")]
    subprocess.run(command, env=engine, check=True, capture_output=True)
    for text, said in ((done.stdout, ""), (by_tag, "b")):
        (repository / "Dockerfile").write_text(text)
        built = ["docker", "build", "--quiet", "--pull", str(repository)]
        image = subprocess.run(built, env=engine, check=True, capture_output=True, text=True).stdout.strip()
        ran = ["docker", "run", "--rm", image, "sh", "-c", "echo $A"]
        assert subprocess.run(ran, env=engine, check=True, capture_output=True, text=True).stdout.strip() == said
        subprocess.run(["docker", "rmi", "--force", image], env=engine, capture_output=True)
