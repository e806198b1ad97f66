"""Registries behind a company's walls: a real forward proxy (proxy.py), and TLS with a certificate of the company's.

The registry is the real one, behind a small server that ends TLS. Its name is known to the forward proxy alone, so that
nothing reaches it on another way.
"""

import base64
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from orbiter.registry import Place
from orbiter.web import Registry
from tests import certificates
from tests.conftest import programs
from tests.e2e.test_changed import Project, base  # noqa: F401
from tests.registries import KEY, Forward, Hubs, Server, serving

pytestmark = pytest.mark.engine

HOST = "registry.orbiter.test"
USER, PASSWORD = "somebody", "p@ss:w/rd%"
LOGIN = "somebody:p%40ss%3Aw%2Frd%25"
PLUGIN = f"""\
from proxy.http.proxy import HttpProxyBasePlugin


class Names(HttpProxyBasePlugin):
    '''Knows a name that nobody else knows.'''

    def resolve_dns(self, host, port):
        return ("127.0.0.1" if host == "{HOST}" else None), None
"""
PLUGINS = "names.Names,proxy.plugin.FilterByUpstreamHostPlugin"

Said = subprocess.CompletedProcess[str]


@dataclass(frozen=True, kw_only=True)
class Walls:
    """What a company has: its authority, the registry, and two proxies, the second of which wants a login."""

    folder: Path
    registry: Server
    proxy: str
    guarded: str

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def host(self) -> str:
        return f"{HOST}:{self.registry.server_port}"


@pytest.fixture(scope="module")
def walls(engine: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walls]:
    folder = tmp_path_factory.mktemp("walls")
    certificates.make(folder, HOST)
    command = programs(tmp_path_factory.mktemp("proxy"), "proxy.py==2.4.10") / "proxy"
    (folder / "names.py").write_text(PLUGIN)
    handler = type("Behind", (Forward,), {"upstream": engine["ENGINE_REGISTRY"]})
    with (
        serving(handler, tls=context(folder)) as registry,
        forward(folder, command) as proxy,
        forward(folder, command, f"--basic-auth={USER}:{PASSWORD}") as guarded,
    ):
        yield Walls(folder=folder, registry=registry, proxy=proxy, guarded=guarded)


def context(folder: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(folder / "server.crt", folder / "server.key")
    return made


@contextmanager
def forward(folder: Path, command: Path, *options: str) -> Iterator[str]:
    """A forward proxy; its address."""
    port = folder / f"port-{time.time_ns()}"
    arguments = ["--port=0", f"--port-file={port}", "--num-acceptors=1", "--num-workers=1", f"--plugins={PLUGINS}"]
    arguments += ["--filtered-upstream-hosts=forbidden.orbiter.test", "--log-level=ERROR", *options]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    with subprocess.Popen([command, *arguments], env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 30
            while not (port.is_file() and port.read_text().strip()):
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
            yield f"127.0.0.1:{port.read_text().strip()}"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def published(
    engine: Mapping[str, str],
    base: str,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Project]:
    """Four images that the registry has."""
    made = Project(tmp_path_factory.mktemp("project"), engine, base)
    made.write()
    assert set(made.results("--changed", "--push").values()) == {"built"}
    yield made
    made.forget()


@pytest.fixture
def ask(walls: Walls, published: Project, tmp_path: Path) -> Callable[..., Said]:
    """Runs Orbiter in the project with nothing of the environment but these variables, and without Docker."""
    path = published.repo.partition("/")[2]
    mine = {
        "PATH": str(tmp_path),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "HOME": str(tmp_path),
        "PLATFORMS": "linux/amd64",
        "REPO": f"{walls.host}/{path}",
        "CACHE_REPO": f"{walls.host}/{path}",
    }

    def run(*arguments: str, **variables: str) -> Said:
        command = [sys.executable, "-m", "orbiter", *arguments]
        environment = {name: value for name, value in {**mine, **variables}.items() if value}
        done = subprocess.run(command, cwd=published.folder, env=environment, capture_output=True, text=True)
        for secret in (PASSWORD, LOGIN.partition(":")[2], base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()):
            assert secret not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def states(done: Said) -> set[str]:
    assert done.returncode == 0, done.stderr
    return {target["changed"]["state"] for target in json.loads(done.stdout)["targets"]}


PLAN = ("plan", "--changed", "--format=json")


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_registry_is_asked_through_the_proxy(
    walls: Walls, ask: Callable[..., Said], variable: str, scheme: str
) -> None:
    done = ask(*PLAN, SSL_CERT_FILE=str(walls.ca), **{variable: scheme + walls.proxy})
    assert states(done) == {"up to date"}


def test_the_login_of_a_proxy_goes_to_the_proxy_only(walls: Walls, ask: Callable[..., Said]) -> None:
    walls.registry.requests.clear()
    done = ask(*PLAN, SSL_CERT_FILE=str(walls.ca), HTTPS_PROXY=f"http://{LOGIN}@{walls.guarded}")
    assert states(done) == {"up to date"}
    assert walls.registry.requests
    assert not any("proxy-authorization" in request.headers for request in walls.registry.requests)


def test_caches_are_listed_and_images_removed_through_the_proxy(
    walls: Walls, ask: Callable[..., Said], published: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    through = {"SSL_CERT_FILE": str(walls.ca), "HTTPS_PROXY": f"http://{LOGIN}@{walls.guarded}"}
    done = ask("cache", "ls", **through)
    assert done.returncode == 0, done.stderr
    assert "has 5 other tags" in done.stderr

    other = f"{published.repo}-removed"
    copy = ["docker", "buildx", "imagetools", "create", "--tag", f"{other}:1", f"{published.repo}:core"]
    subprocess.run(copy, env=dict(published.engine), capture_output=True, check=True)
    for name, value in through.items():
        monkeypatch.setenv(name, value)
    registry = Registry(Place(host=walls.host, path=other.partition("/")[2]), login=None)
    there = registry.manifest("1")
    assert there is not None
    registry.delete(there.digest)
    assert registry.manifest("1") is None


@pytest.mark.parametrize("entry", [HOST, ".orbiter.test", "*"])
def test_what_no_proxy_names_is_asked_directly(walls: Walls, ask: Callable[..., Said], entry: str) -> None:
    # So it is not found: only the proxy knows that name.
    done = ask(*PLAN, HTTPS_PROXY=walls.proxy, NO_PROXY=f"example.org,{entry}")
    assert done.returncode == 4
    assert done.stderr.startswith(f"orbiter: {walls.host}: ")
    assert "proxy" not in done.stderr


def test_a_proxy_that_is_down_is_named(walls: Walls, ask: Callable[..., Said]) -> None:
    done = ask(*PLAN, HTTPS_PROXY=f"http://{LOGIN}@127.0.0.1:1")
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1].startswith(
        f"orbiter: {walls.host}: through the proxy 127.0.0.1:1: Connection refused; HTTPS_PROXY names the proxy, and "
        "NO_PROXY the hosts that are asked without it"
    )


@pytest.mark.parametrize(
    ("login", "said"),
    [
        ("", "wants a login; write HTTPS_PROXY=http://USER:PASSWORD@"),
        ("somebody:else@", "does not accept the login of HTTPS_PROXY"),
    ],
)
def test_a_proxy_that_wants_another_login_says_so(
    walls: Walls, ask: Callable[..., Said], login: str, said: str
) -> None:
    done = ask(*PLAN, HTTPS_PROXY=f"http://{login}{walls.guarded}")
    assert done.returncode == 4
    assert f"orbiter: {walls.host}: the proxy {walls.guarded} {said}" in done.stderr
    assert "else" not in done.stderr.partition("; '--against")[0]


@pytest.mark.parametrize(
    ("host", "said"), [("forbidden", "does not let it through: 4"), ("unknown", "cannot reach it: 502")]
)
def test_a_host_that_is_not_behind_the_proxy_is_told(
    walls: Walls, ask: Callable[..., Said], host: str, said: str
) -> None:
    done = ask(*PLAN, HTTPS_PROXY=walls.proxy, REPO=f"{host}.orbiter.test/a/b")
    assert done.returncode == 4
    assert f"{host}.orbiter.test: the proxy {walls.proxy} {said}" in done.stderr


def test_a_certificate_of_the_company_has_to_be_named(walls: Walls, ask: Callable[..., Said]) -> None:
    done = ask(*PLAN, HTTPS_PROXY=walls.proxy)
    assert done.returncode == 4
    assert f"orbiter: {walls.host}: its certificate is not trusted: " in done.stderr
    assert "'mirrors.ca' in the configuration, by SSL_CERT_FILE" in done.stderr


def test_a_bundle_of_requests_is_trusted(walls: Walls, ask: Callable[..., Said]) -> None:
    assert states(ask(*PLAN, HTTPS_PROXY=walls.proxy, REQUESTS_CA_BUNDLE=str(walls.ca))) == {"up to date"}
    done = ask(*PLAN, HTTPS_PROXY=walls.proxy, REQUESTS_CA_BUNDLE="/not/there")
    assert (done.returncode, "/not/there: cannot be read as certificates" in done.stderr) == (4, True)


@pytest.mark.parametrize("folder", [".docker", ".config/docker"])
def test_what_docker_trusts_is_trusted(walls: Walls, ask: Callable[..., Said], tmp_path: Path, folder: str) -> None:
    place = tmp_path / folder / "certs.d" / walls.host
    place.mkdir(parents=True)
    (place / "ca.crt").write_bytes(walls.ca.read_bytes())
    (place / "other.crt").write_text("no certificate")
    assert states(ask(*PLAN, HTTPS_PROXY=walls.proxy)) == {"up to date"}


def test_the_authority_of_the_configuration_is_trusted(
    walls: Walls, ask: Callable[..., Said], published: Project
) -> None:
    (published.folder / "company.crt").write_bytes(walls.ca.read_bytes())
    text = (published.folder / "orbiter.yaml").read_text()
    (published.folder / "orbiter.yaml").write_text(text + "mirrors: {ca: company.crt}\n")
    try:
        done = ask(*PLAN, HTTPS_PROXY=walls.proxy)
    finally:
        (published.folder / "orbiter.yaml").write_text(text)
    assert done.returncode == 0, done.stderr


def test_a_readme_is_shown_through_the_proxy(walls: Walls, ask: Callable[..., Said], published: Project) -> None:
    (published.folder / "README.md").write_text("# Course\n")
    with serving(Hubs, tls=context(walls.folder)) as hub:
        settings = {
            "REPO": "",
            "SSL_CERT_FILE": str(walls.ca),
            "DOCKER_APIKEY": KEY,
            "HTTPS_PROXY": f"http://{LOGIN}@{walls.guarded}",
        }
        text = (published.folder / "orbiter.yaml").read_text()
        own = text.replace(published.repo, f"{HOST}:{hub.server_port}/course/lab")
        (published.folder / "orbiter.yaml").write_text(own)
        try:
            done = ask("pushrm", "--provider=quay", **settings)
            down = ask("pushrm", "--provider=quay", "--retries=0", **{**settings, "HTTPS_PROXY": "127.0.0.1:1"})
        finally:
            (published.folder / "orbiter.yaml").write_text(text)
        assert done.returncode == 0, done.stderr
        assert [request.json() for request in hub.requests] == [{"description": "# Course\n"}]
    assert "through the proxy 127.0.0.1:1: Connection refused" in down.stderr
