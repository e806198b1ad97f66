"""`orbiter docker-push` to a real registry, which a proxy makes refuse, break and drop connections."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run_orbiter
from tests.registries import Fault, Server, before

pytestmark = pytest.mark.engine

IMAGES = ("debian-core", "debian-sleep", "debian-longer")
TAGS = ("debian-core-1", "debian-sleep-1", "sleepy", "debian-longer-1")
DEPLOY = {"builder": "pip_deploy", "postbuild": ["date > /built"]}
FAMILY = {
    "core": {"image": "debian:trixie-slim", "builder": "pip_core"},
    "sleep": {**DEPLOY, "image": "core", "cmd": ["sleep", "60"], "tags": ["sleepy"]},
    "longer": {**DEPLOY, "image": "sleep", "cmd": ["sleep", "90"]},
}


def configuration(repo: str) -> str:
    return json.dumps({"version": "1", "docker": {"repo": repo}, "build": {"debian": FAMILY}})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]) -> Iterator[str]:
    """A repository of three images that stand on each other, in the engine."""
    folder, repo = tmp_path_factory.mktemp("push"), "localhost/orbiter-push"
    (folder / "orbiter.yaml").write_text(configuration(repo))
    done = run_orbiter(folder, engine, "build", "--load", "--progress=plain")
    assert done.returncode == 0, done.stderr[-3000:]
    yield repo
    subprocess.run(["docker", "rmi", *(f"{repo}:{tag}" for tag in TAGS)], env=engine, capture_output=True)


@pytest.fixture
def registry(engine: Mapping[str, str]) -> Iterator[Server]:
    with before(engine["ENGINE_REGISTRY"]) as server:
        yield server


@pytest.fixture
def project(tmp_path: Path, built: str, registry: Server, engine: Mapping[str, str]) -> Iterator[Path]:
    """The same images, for a new repository of the registry."""
    repo = f"{registry.address}/orbiter-push/{uuid.uuid4().hex}"
    (tmp_path / "orbiter.yaml").write_text(configuration(repo))
    for tag in TAGS:
        subprocess.run(["docker", "tag", f"{built}:{tag}", f"{repo}:{tag}"], env=engine, check=True)
    yield tmp_path
    subprocess.run(["docker", "rmi", *(f"{repo}:{tag}" for tag in TAGS)], env=engine, capture_output=True)


def repository(project: Path) -> str:
    return str(json.loads((project / "orbiter.yaml").read_text())["docker"]["repo"])


def push(project: Path, engine: Mapping[str, str], *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    done = run_orbiter(project, engine, "push", "--format=json", *arguments)
    return done.returncode, json.loads(done.stdout)["images"] if done.stdout else [], done.stderr


def in_registry(project: Path, engine: Mapping[str, str], tag: str) -> str:
    """The digest that the real registry itself has under the tag."""
    path = repository(project).partition("/")[2]
    address = f"http://{engine['ENGINE_REGISTRY']}/v2/{path}/manifests/{tag}"
    accept = {"Accept": "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"}
    with urllib.request.urlopen(urllib.request.Request(address, method="HEAD", headers=accept)) as answer:
        return str(answer.headers["Docker-Content-Digest"])


def in_engine(reference: str, engine: Mapping[str, str]) -> str:
    command = ["docker", "image", "inspect", reference, "--format", "{{.Descriptor.Digest}}"]
    return subprocess.run(command, env=engine, capture_output=True, text=True, check=True).stdout.strip()


def test_every_tag_is_the_image_of_the_engine(project: Path, registry: Server, engine: Mapping[str, str]) -> None:
    status, rows, _ = push(project, engine)
    assert status == 0
    repo = repository(project)
    assert [row["reference"] for row in rows] == [f"{repo}:{tag}" for tag in TAGS]
    for row, tag in zip(rows, TAGS, strict=True):
        digest = in_engine(f"{repo}:{tag}", engine)
        assert (row["result"], row["attempts"], row["digest"]) == ("pushed", 1, digest)
        assert row["pinned"] == f"{repo}@{digest}"
        assert in_registry(project, engine, tag) == digest


def test_a_layer_is_sent_once_whatever_is_pushed_at_a_time(
    project: Path, registry: Server, engine: Mapping[str, str]
) -> None:
    assert push(project, engine, "--jobs=4")[0] == 0
    sent = Counter(
        found[1]
        for request in registry.requests
        if request.method in ("POST", "PUT")
        and request.status == 201
        and (found := re.search(r"[?&](?:mount|digest)=sha256(?::|%3A)(\w+)", request.path))
    )
    assert sent
    assert set(sent.values()) == {1}
    manifests = [r.path.rpartition("/")[2] for r in registry.requests if r.method == "PUT" and "/manifests/" in r.path]
    tags = [name for name in manifests if name in TAGS]
    assert tags == list(TAGS)


def test_table_says_what_is_where(project: Path, engine: Mapping[str, str]) -> None:
    done = run_orbiter(project, engine, "docker-push", "debian-sleep")
    assert done.returncode == 0
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["image", "tag", "digest", "result"]
    digest = in_engine(f"{repository(project)}:sleepy", engine)[:19]
    assert [row.split() for row in rows] == [
        ["debian-sleep", tag, digest, "pushed"] for tag in ("debian-sleep-1", "sleepy")
    ]


def test_dry_run_sends_nothing(project: Path, registry: Server, engine: Mapping[str, str]) -> None:
    status, rows, said = push(project, engine, "--dry-run")
    assert (status, {row["result"] for row in rows}, len(rows)) == (0, {"not tried"}, 4)
    assert registry.requests == []
    assert said == f"nothing pushed to {repository(project)} (--dry-run)\n"


@pytest.mark.parametrize("kind", [429, 500, 503, "drop"])
@pytest.mark.parametrize("place", ["/blobs/", "/manifests/debian-core-1"])
def test_what_passes_is_tried_again(
    project: Path, registry: Server, engine: Mapping[str, str], kind: int | str, place: str
) -> None:
    # dockerd itself asks up to six times before it gives up for a 429, twice for others.
    registry.faults = [Fault(kind=kind, method="HEAD", path=place, one=True, times=8 if kind == 429 else 3)]
    status, rows, said = push(project, engine, "debian-core")
    assert status == 0, said
    assert rows[0]["attempts"] > 1
    assert "; again in 1 s (1 of 4)\n" in said
    assert in_registry(project, engine, "debian-core-1") == rows[0]["digest"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(kind=401, headers={"WWW-Authenticate": 'Basic realm="tested"'}), "no basic auth credentials"),
        (Fault(kind=401), "401 Unauthorized"),
        (Fault(kind=403), "403 Forbidden"),
        (Fault(kind=404), "repository name not known to registry"),
    ],
    ids=["no login", "401", "403", "404"],
)
def test_what_does_not_pass_is_not_tried_again(
    project: Path, registry: Server, engine: Mapping[str, str], fault: Fault, words: str
) -> None:
    registry.faults = [fault]
    status, rows, said = push(project, engine)
    assert status == 4
    assert [row["result"] for row in rows] == ["failed", *["not tried"] * 3]
    assert rows[0]["attempts"] == 1
    assert words in rows[0]["problem"]
    assert ("'docker login 127.0.0.1:" in rows[0]["problem"]) is (fault.kind != 404)
    assert said.endswith(f"orbiter: 4 of 4 tags were not pushed to {repository(project)}\n")


@pytest.mark.parametrize("kind", [429, 500, "drop"])
def test_what_never_passes_is_given_up(
    project: Path, registry: Server, engine: Mapping[str, str], kind: int | str
) -> None:
    registry.faults = [Fault(kind=kind)]
    status, rows, _ = push(project, engine, "debian-core", "--retries=1")
    assert (status, rows[0]["result"], rows[0]["attempts"]) == (4, "failed", 2)
    assert rows[0]["problem"]


def test_registry_that_is_down_is_said(project: Path, registry: Server, engine: Mapping[str, str]) -> None:
    registry.shutdown()
    registry.server_close()
    done = run_orbiter(project, engine, "push", "debian-core", "--retries=0")
    assert done.returncode == 4
    assert "connection refused" in done.stdout
    assert "Traceback" not in done.stderr


def test_images_that_are_not_built_are_named_before_anything_is_pushed(
    project: Path, registry: Server, engine: Mapping[str, str]
) -> None:
    repo = repository(project)
    subprocess.run(["docker", "rmi", f"{repo}:debian-longer-1", f"{repo}:sleepy"], env=engine, check=True)
    done = run_orbiter(project, engine, "push")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        f"orbiter: not in the engine: {repo}:sleepy, {repo}:debian-longer-1; nothing was pushed\n"
        "'orbiter build --load debian-sleep debian-longer' puts it there\n"
    )
    assert registry.requests == []


def test_tag_of_an_older_build_is_not_pushed(project: Path, registry: Server, engine: Mapping[str, str]) -> None:
    repo = repository(project)
    subprocess.run(["docker", "tag", f"{repo}:debian-core-1", f"{repo}:sleepy"], env=engine, check=True)
    done = run_orbiter(project, engine, "push", "debian-sleep")
    assert done.returncode == 4
    assert f"another image than the first tag of its target: {repo}:sleepy; nothing was pushed" in done.stderr
    assert registry.requests == []


def test_no_engine_is_said(project: Path, engine: Mapping[str, str]) -> None:
    silent = {**engine, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    done = run_orbiter(project, silent, "push")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("orbiter: no Docker engine answers; ")


def test_nested_build_is_no_image_to_push(tmp_path: Path, engine: Mapping[str, str]) -> None:
    nested = {"image": "core", "builder": "pip_builder", "pip": ["six"]}
    family = {"core": FAMILY["core"], "base": {"image": "core", "builder": "pip_deploy", "build": nested}}
    (tmp_path / "orbiter.yaml").write_text(json.dumps({"build": {"debian": family}}))
    done = run_orbiter(tmp_path, engine, "push", "debian-base-build")
    assert (done.returncode, done.stdout) == (2, "")
    assert "a nested build is not published" in done.stderr


def test_interrupt_ends_it(project: Path, registry: Server, engine: Mapping[str, str]) -> None:
    registry.faults = [Fault(kind=500)]
    command = [sys.executable, "-m", "orbiter", "push"]
    with subprocess.Popen(command, cwd=project, env=engine, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert process.stderr is not None
        said = b""
        while b"again in 2 s" not in said:
            said += process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=10) == 130
        assert process.stderr.read().endswith(b"interrupted\n")
