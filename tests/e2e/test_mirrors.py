"""Behind a company's walls, built for real: everything comes from mirrors, and nothing of them is left in an image."""

import contextlib
import gzip
import io
import json
import os
import re
import secrets
import shutil
import ssl
import subprocess
import sys
import tarfile
import threading
import traceback
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urljoin

import pytest

from orbiter.builders import TOOLS
from tests import certificates
from tests.conftest import run_orbiter

pytestmark = pytest.mark.engine

REPO = "localhost/orbiter-mirrors"
HOST = "packages.orbiter.internal"  # apk accepts no certificate of a mere address
PUBLISHED = ("debian-core", "debian-base", "alpine-core", "alpine-base", "conda-core", "conda-base")
NESTED = ("debian-base-build", "alpine-base-build", "conda-base-build")
IMAGES = tuple(f"{REPO}:{name}-1" for name in PUBLISHED + NESTED)
BASES = ("debian:trixie-slim", "alpine:3.23")

FAMILIES = {
    "debian": {
        "core": {"image": BASES[0], "builder": "pip_core", "apt": ["less"]},
        "base": {
            "image": "core",
            "builder": "pip_deploy",
            "postbuild": ["python -m pip install --no-cache-dir toolz==1.0.0"],
            "build": {
                "image": "core",
                "builder": "pip_builder",
                "pip": ["six==1.17.0"],
                "npm": ["is-number@7.0.0"],
                "postbuild": ["python -m pip install --no-cache-dir idna==3.6"],
            },
        },
    },
    "alpine": {
        "core": {"image": BASES[1], "builder": "pip_core", "apk": ["less"]},
        "base": {
            "image": "core",
            "builder": "pip_deploy",
            "build": {"image": "core", "builder": "pip_builder", "pip": ["attrs==24.2.0"]},
        },
    },
    "conda": {
        "core": {"image": BASES[0], "builder": "micromamba_core"},
        "base": {
            "image": "core",
            "builder": "micromamba_deploy",
            "build": {
                "image": "core",
                "builder": "micromamba_builder",
                "conda": {"dependencies": ["python=3.13", "pip", "six", {"pip": ["iniconfig==2.0.0"]}]},
            },
        },
    },
}

# The base images as they are published, without what a stand-in adds: the certificates of the machine that made it, and
# Alpine's packages.  Another file in every run lets no step come from the cache.
BASE = r"""
FROM {reference} AS published
RUN rm -rf /usr/local/share/ca-certificates /etc/ssl/certs/* /srv/alpine
RUN for list in /etc/apt/sources.list.d/debian.sources /etc/apk/repositories; do \
        [ ! -e $list ] || sed -i -E \
            -e 's#^(URIs:) .*/(debian[^/]*)/?$#\1 http://deb.debian.org/\2#' \
            -e 's#^/srv/alpine/#https://dl-cdn.alpinelinux.org/alpine/#' $list; \
    done
FROM scratch
COPY --from=published / /
ARG RUN
RUN echo "$RUN" > /run-of-the-tests
"""

# What is served from this machine where the stand-ins have it: Alpine's packages, and a few of conda's, which follow a
# script in one file.  And the archive that Debian's packages are from.
FOUND = r"""
FROM {debian} AS debian
FROM {alpine} AS alpine
RUN mkdir -p /srv/alpine
FROM {micromamba} AS micromamba
USER 0
RUN mkdir /channels && cd / \
 && line=$(grep -anm1 '^exit 0$' /bin/micromamba | cut -d: -f1) \
 && if [ -n "$line" ]; then \
        tail -n +$((line + 1)) /bin/micromamba \
      | tar -xf - --wildcards './channels/*.json*' './channels/*/python-*' './channels/*/pip-*' './channels/*/six-*'; \
    fi
FROM scratch
COPY --from=debian /etc/apt/sources.list.d/debian.sources /
COPY --from=alpine /srv/alpine /alpine
COPY --from=micromamba /channels /channels
"""


def docker(engine: Mapping[str, str], *arguments: str, folder: Path | None = None) -> str:
    done = subprocess.run(["docker", *arguments], cwd=folder, env=engine, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Mirror(ThreadingHTTPServer):
    """A company's package index: HTTPS with a certificate of its own, and all below a path that is a secret.

    `upstream` maps the first parts of a path to the addresses that it stands for, `asked` are the paths it had.
    `run` is no secret: the base images have it, so that each run has others.
    """

    def __init__(self, address: str, folder: Path) -> None:
        super().__init__((address, 0), _Request)
        self.token = secrets.token_hex(16)
        self.run = secrets.token_hex(8)
        self.address = address
        self.place = f"{HOST}:{self.server_port}"
        self.upstream: dict[str, str] = {}
        self.asked: list[str] = []
        self.ca = folder / "ca.crt"
        certificates.make(folder, HOST)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.crt", folder / "server.key")
        # The handshake belongs into the thread of its connection.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        return f"https://{self.place}/{self.token}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients close connections as they like; what else goes wrong is shown."""
        if not isinstance(sys.exception(), OSError):
            traceback.print_exc()


class _Request(BaseHTTPRequestHandler):
    server: Mirror
    protocol_version = "HTTP/1.1"

    # Links to files elsewhere, as an index of PyPI and a document of npm have them.
    LINKS: Mapping[str, str] = {"pip": r'((?:href=|"url":\s*)")([^"]+)', "npm": r'("tarball":\s*")([^"]+)'}

    def do_GET(self) -> None:
        _, token, path = (*self.path.split("/", 2), "", "")[:3]
        if token != self.server.token:
            return self.send_error(404)
        if path.startswith("files/http"):
            address = path.removeprefix("files/").replace("/", "://", 1)
        else:
            place = next((place for place in self.server.upstream if path.startswith(f"{place}/")), None)
            if place is None:
                return self.send_error(404)
            address = self.server.upstream[place] + path.removeprefix(place)
        headers = {name: self.headers[name] for name in ("Accept", "Range") if name in self.headers}
        try:
            with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=60) as answer:
                body: bytes = answer.read()
        except urllib.error.HTTPError as error:
            return self.send_error(error.code)
        except urllib.error.URLError:
            return self.send_error(404 if address.startswith("file:") else 502)
        self.server.asked.append(path)
        kind = answer.headers.get_content_type()
        if "html" in kind or "json" in kind:
            body = self._with_links(path, address, body)
        self.send_response(getattr(answer, "status", None) or 200)
        for name in ("Content-Type", "Content-Range"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        return None

    do_HEAD = do_GET

    def _with_links(self, path: str, address: str, body: bytes) -> bytes:
        def mirrored(link: re.Match[str]) -> str:
            return f"{link[1]}{self.server.url}/files/{urljoin(address, link[2]).replace('://', '/', 1)}"

        links = self.LINKS.get(path.split("/")[0])
        return re.sub(links, mirrored, body.decode()).encode() if links else body

    def log_message(self, format: str, *args: object) -> None:
        """Not among the output of the tests."""


@dataclass(frozen=True)
class Built:
    """What `orbiter build` made of the families, with what it said, and the mirror that it asked."""

    engine: Mapping[str, str]
    mirror: Mirror
    registry: str
    said: str
    archive: Path

    @property
    def private(self) -> dict[str, bytes]:
        """What no image may contain, by what it is: addresses, the token, the certificate."""
        certificate = self.mirror.ca.read_text()
        body = [line for line in certificate.splitlines()[1:-1] if len(line) > 20]  # the last may be short
        return {
            "the address of the index": self.mirror.place.encode(),
            "the token": self.mirror.token.encode(),
            "the registry": self.engine["ENGINE_REGISTRY"].encode(),
            "the certificate": ssl.PEM_cert_to_DER_cert(certificate),
            **{f"line {number} of the certificate": line.encode() for number, line in enumerate(body, 1)},
        }


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]) -> Iterator[Mirror]:
    """The index, at an address that containers reach."""
    address = docker(engine, "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
    with Mirror(address, tmp_path_factory.mktemp("certificates")) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def configured(variable: str, *command: str) -> str | None:
    """What a client of this machine has as the place of its packages: by variable, else what it says itself."""
    if variable not in os.environ and shutil.which(command[0]):
        done = subprocess.run(command, capture_output=True, text=True)
        return done.stdout.strip().rstrip("/") if done.returncode == 0 else None
    return os.environ.get(variable, "").rstrip("/") or None


def places(registry: str) -> dict[str, str]:
    """Where the mirror has the base images and the tools' images, by their public reference."""
    paths = {base: f"library/{base}" for base in BASES} | {tool: tool.removeprefix("ghcr.io/") for _, tool in TOOLS}
    return {reference: f"{registry}/{path}" for reference, path in paths.items()}


def prepare(folder: Path, engine: Mapping[str, str], registry: str, debian: str, run: str) -> None:
    """Pushes to the registry what comes from public ones, and puts into `folder` what the index is to serve.

    `debian` is what the first of the bases is made of.
    """
    bases = dict(zip(BASES, (debian, BASES[1]), strict=True))
    tools = {reference: engine.get(variable, reference) for variable, reference in TOOLS}
    dockerfiles = {reference: BASE.format(reference=source) for reference, source in bases.items()}
    dockerfiles |= {reference: f"FROM {source}" for reference, source in tools.items()}
    micromamba = next(source for reference, source in tools.items() if "micromamba" in reference)
    found = FOUND.format(debian=BASES[0], alpine=BASES[1], micromamba=micromamba)
    targets = {
        f"mirrored-{number}": {
            "dockerfile-inline": text,
            "args": {"RUN": run},
            "tags": [places(registry)[reference]],
            "output": ["type=registry"],
            "attest": ["type=provenance,disabled=true"],
        }
        for number, (reference, text) in enumerate(dockerfiles.items())
    }
    targets["found"] = {"dockerfile-inline": found, "output": ["type=local,dest=found"]}
    (folder / "prepare.json").write_text(json.dumps({"target": targets, "group": {"default": {"targets": [*targets]}}}))
    (folder / "empty").mkdir()
    options = ("--file=prepare.json", "--set=*.context=empty", "--metadata-file=made.json")
    docker(engine, "buildx", "bake", *options, folder=folder)


def forget(folder: Path, registry: str) -> None:
    """Takes out of the registry what `prepare` pushed, where it lets things be taken out."""
    for made in json.loads((folder / "made.json").read_text()).values():
        if isinstance(made, dict) and "containerimage.digest" in made:
            repository = made["image.name"].removeprefix(f"{registry}/").rpartition(":")[0]
            address = f"http://{registry}/v2/{repository}/manifests/{made['containerimage.digest']}"
            with contextlib.suppress(urllib.error.HTTPError):
                urllib.request.urlopen(urllib.request.Request(address, method="DELETE")).close()


def upstream(found: Path) -> dict[str, str]:
    """Where the index has its packages from: what this machine's own clients ask, or what the stand-ins have."""
    archives = re.findall(r"^URIs: (.*/(debian[^/\n]*))/?$", (found / "debian.sources").read_text(), re.MULTILINE)
    alpine, channels = (
        folder.as_uri() if any(folder.iterdir()) else None for folder in (found / "alpine", found / "channels")
    )
    return {f"apt/{name}": address for address, name in archives} | {
        "pip": configured("PIP_INDEX_URL", "pip", "config", "get", "global.index-url") or "https://pypi.org/simple",
        "npm": configured("NPM_CONFIG_REGISTRY", "npm", "config", "get", "registry") or "https://registry.npmjs.org",
        "apk": alpine or "https://dl-cdn.alpinelinux.org/alpine",
        "conda": channels or "https://conda.anaconda.org",
    }


@pytest.fixture(scope="module")
def registry(
    tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str], mirror: Mirror, debian_with_npm: str
) -> Iterator[str]:
    """The registry and the index, with all that the families need."""
    folder = tmp_path_factory.mktemp("prepared")
    registry = f"{engine['ENGINE_REGISTRY']}/orbiter-mirrors"
    prepare(folder, engine, registry, debian_with_npm, mirror.run)
    mirror.upstream |= upstream(folder / "found")
    yield registry
    forget(folder, engine["ENGINE_REGISTRY"])
    # Some engines keep what they push.
    subprocess.run(["docker", "rmi", "--force", *places(registry).values()], env=engine, capture_output=True)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str], mirror: Mirror, registry: str
) -> Iterator[Built]:
    """The families, built behind the mirrors, and all their images in an archive."""
    folder = tmp_path_factory.mktemp("mirrors")
    archive = folder / "images.tar"
    shutil.copy(mirror.ca, folder / "company.crt")
    indexes = {name: f"{mirror.url}/{name}" for name in ("pip", "npm", "apt", "apk", "conda")}
    mirrors = {"docker.io": registry, "ghcr.io": registry, **indexes, "ca": "company.crt"}
    configuration = {"version": "1", "docker": {"repo": REPO}, "mirrors": mirrors, "build": FAMILIES}
    (folder / "orbiter.yaml").write_text(json.dumps(configuration, indent=2))
    # The tools are to come from where `mirrors` says; what a nested build leaves is looked at, too.
    variables = {name: value for name, value in engine.items() if name not in dict(TOOLS)}
    settings = [f"--set=*.extra-hosts.{HOST}={mirror.address}"]
    settings += [f"--set={name}.{key}" for name in NESTED for key in ("output=type=docker", f"tags={REPO}:{name}-1")]
    try:
        done = run_orbiter(folder, variables, "build", *PUBLISHED, *NESTED, "--load", "--progress=plain", *settings)
        assert done.returncode == 0, done.stderr[-10000:]
        docker(engine, "save", "--output", str(archive), *IMAGES)
        yield Built(engine, mirror, registry, done.stderr, archive)
    finally:
        subprocess.run(["docker", "rmi", "--force", *IMAGES], env=engine, capture_output=True)
        shutil.rmtree(folder)


def search(archive: Path, private: Mapping[str, bytes]) -> list[str]:
    """What of `private` is in the archive: in its descriptions, and in the layers, whose files are named."""
    hits = []
    with tarfile.open(archive) as saved:
        for member in saved:
            file = saved.extractfile(member)
            data = expanded(file.read()) if file else b""
            for what, secret in private.items():
                if (position := data.find(secret)) >= 0:
                    hits.append(f"{what} in {member.name}: {file_at(data, position)}")
    return hits


def expanded(data: bytes) -> bytes:
    """A layer, however it is compressed."""
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return subprocess.run(["zstd", "--decompress", "--stdout"], input=data, check=True, capture_output=True).stdout
    return data


def file_at(data: bytes, position: int) -> str:
    """The name of the file with that byte in a layer; elsewhere the text around it."""
    with contextlib.suppress(tarfile.ReadError), tarfile.open(fileobj=io.BytesIO(data)) as layer:
        return [member.name for member in layer if member.offset <= position][-1]
    return data[max(0, position - 100) : position + 100].decode(errors="replace")


@pytest.mark.parametrize(
    "asked",
    [
        "apt/debian/dists/[^/]+/InRelease",
        "apt/debian-security/dists/[^/]+/InRelease",
        "apk/v[0-9.]+/main/[^/]+/APKINDEX.tar.gz",
        "pip/pip/",  # uv venv --seed
        "pip/six/",  # uv on Debian
        "pip/attrs/",  # uv on Alpine
        "pip/idna/",  # pip in the lines of a build
        "pip/toolz/",  # pip in the lines of a published image
        "pip/iniconfig/",  # pip in a conda environment
        "files/.*/six-1.17.0.*[.]whl",
        "npm/is-number",
        "conda/conda-forge/[^/]+/repodata.*",
    ],
)
def test_every_installer_asks_the_mirror(built: Built, asked: str) -> None:
    assert [path for path in built.mirror.asked if re.fullmatch(asked, path)]


def test_base_images_and_tools_are_pulled_from_the_mirror(built: Built) -> None:
    pulled = re.findall(r"load metadata for (\S+)", built.said)
    assert set(pulled) == set(places(built.registry).values())
    for family in FAMILIES:
        assert (
            docker(built.engine, "run", "--rm", f"{REPO}:{family}-core-1", "cat", "/run-of-the-tests")
            == built.mirror.run
        )


@pytest.mark.parametrize(
    ("family", "script"),
    [
        ("debian", "python -c 'import six, idna, toolz' && ls /opt/venv/lib/node_modules/is-number && less --version"),
        ("alpine", "python -c 'import attrs' && less --version"),
        ("conda", "python -c 'import six, iniconfig'"),
    ],
)
def test_what_comes_from_the_mirror_is_installed(built: Built, family: str, script: str) -> None:
    docker(built.engine, "run", "--rm", f"{REPO}:{family}-base-1", "sh", "-c", script)


def test_nothing_of_the_mirrors_is_left_in_a_layer_or_description(built: Built) -> None:
    assert search(built.archive, built.private) == []


def test_nothing_of_the_mirrors_is_left_in_environment_or_history(built: Built) -> None:
    shown = docker(built.engine, "inspect", *IMAGES)
    shown += "".join(docker(built.engine, "history", "--no-trunc", image) for image in IMAGES)
    assert "/run/secrets/mirrors" in shown
    assert [what for what, secret in built.private.items() if secret in shown.encode()] == []


def test_the_search_finds_what_is_left(built: Built, tmp_path: Path) -> None:
    """So that an empty answer says something."""
    content, image = tmp_path / "content.tar", f"{REPO}:left"
    (tmp_path / "ca.der").write_bytes(built.private["the certificate"])
    with tarfile.open(content, "w") as files:
        files.add(built.mirror.ca, "etc/ca.crt")
        files.add(tmp_path / "ca.der", "etc/ca.der")
    left = (f"--change=ENV INDEX={built.mirror.url}", f"--message=from {built.registry}")
    docker(built.engine, "import", *left, str(content), image)
    docker(built.engine, "save", "--output", str(tmp_path / "left.tar"), image)
    docker(built.engine, "rmi", image)
    hits = search(tmp_path / "left.tar", built.private)
    assert {hit.partition(" in ")[0] for hit in hits} == set(built.private)
    assert [hit for hit in hits if hit.endswith(": etc/ca.crt")]


@pytest.mark.parametrize("core", ["debian-core", "alpine-core"])
def test_an_image_does_not_trust_the_certificate(built: Built, core: str) -> None:
    """Neither does it itself; it does when it is told to, so the build had needed it."""
    script = f"""
import ssl, urllib.error, urllib.request
try:
    print(urllib.request.urlopen("{built.mirror.url}/pip/six/").status)
except urllib.error.URLError as error:
    print(type(error.reason).__name__)
"""
    command = (f"{REPO}:{core}-1", "python3", "-c", script)
    host = f"--add-host={HOST}:{built.mirror.address}"
    assert docker(built.engine, "run", "--rm", host, *command) == "SSLCertVerificationError"
    trusting = (f"--volume={built.mirror.ca}:/ca.crt:ro", "--env=SSL_CERT_FILE=/ca.crt")
    assert docker(built.engine, "run", "--rm", host, *trusting, *command) == "200"
