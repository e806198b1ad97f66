"""What an image is made of, told by what was built: labels, attestations, its own packages; compared with the lock."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from orbiter.builders import TOOLS
from tests.conftest import run_orbiter
from tests.e2e.test_mirrors import docker

pytestmark = pytest.mark.engine

BASES = ("debian:trixie-slim", "alpine:3.23")
SCANNER = "docker/buildkit-syft-scanner:stable-1"
UV = dict(TOOLS)["UV_IMAGE"]

# Says one thing of every image: what a scanner gets and gives is BuildKit's affair.
SCAN = r"""
FROM debian:trixie-slim
COPY --chmod=755 <<"EOF" /scan
#!/bin/sh
cat > "$BUILDKIT_SCAN_DESTINATION/a.spdx.json" <<"END"
{
  "_type": "https://in-toto.io/Statement/v0.1",
  "predicateType": "https://spdx.dev/Document",
  "predicate": {"SPDXID": "SPDXRef-DOCUMENT", "name": "scanned"}
}
END
EOF
ENTRYPOINT ["/scan"]
"""


@dataclass(frozen=True)
class Project:
    """A family that was locked, committed and built; `commit` is that of the lock."""

    folder: Path
    engine: Mapping[str, str]
    repo: str
    commit: str

    def run(self, *arguments: str, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
        return run_orbiter(folder or self.folder, self.engine, *arguments)

    def inspect(self, target: str, what: str) -> Any:
        form = f"{{{{json .{what}}}}}"
        return json.loads(
            docker(self.engine, "buildx", "imagetools", "inspect", f"{self.repo}:{target}-1", "--format", form)
        )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("trace")
    hub, repo = (f"{engine['ENGINE_REGISTRY']}/orbiter-trace{end}" for end in ("-hub", ""))
    copies = {f"library/{base}": f"FROM {base}" for base in BASES}
    copies |= {UV.partition("/")[2]: f"FROM {engine.get('UV_IMAGE', UV)}", SCANNER: SCAN}
    for name, text in copies.items():
        given = ["docker", "build", "--quiet", "--provenance=false", f"--tag={hub}/{name}", "--push", "-"]
        done = subprocess.run(given, env=engine, input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    nested = {"image": "core", "builder": "pip_builder", "pip": ["six<1.17"]}
    families = {
        "debian": {
            "core": {"image": BASES[0], "builder": "pip_core", "apt": ["less"], "labels": {"org.example": "a"}},
            "base": {"image": "core", "builder": "pip_deploy", "cmd": ["sleep", "60"], "build": nested},
        },
        "alpine": {"core": {"image": BASES[1], "builder": "pip_core", "apk": ["less"]}},
    }
    config = {
        "version": "1",
        "docker": {"repo": repo},
        "mirrors": {"docker.io": hub, "ghcr.io": hub},
        "build": families,
    }
    (folder / "orbiter.yaml").write_text(json.dumps(config, indent=1))
    try:
        done = run_orbiter(folder, engine, "lock")
        assert done.returncode == 0, done.stderr
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=all"]):
            subprocess.run([*git, *command], cwd=folder, env=engine, check=True, capture_output=True)
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
        done = run_orbiter(folder, engine, "build", "--push", "--sbom", "--provenance", "max", "--progress=plain")
        assert done.returncode == 0, done.stderr[-5000:]
        yield Project(folder, engine, repo, commit.stdout.strip())
    finally:
        left = [f"{repo}:{target}-1" for target in ("debian-core", "debian-base", "alpine-core")]
        copied = [f"{hub}/{name}" for name in copies]
        subprocess.run(["docker", "rmi", "--force", *left, *copied], env=engine, capture_output=True)


@pytest.fixture
def copied(built: Project, tmp_path: Path) -> Path:
    """The project with what tests change, apart from the one of the others."""
    return shutil.copytree(built.folder, tmp_path / "project", symlinks=True)


def test_labels_say_what_an_image_comes_from(built: Project) -> None:
    lock = json.loads((built.folder / "orbiter.lock").read_text())
    found = json.loads(docker(built.engine, "image", "inspect", f"{built.repo}:debian-base-1"))[0]["Config"]["Labels"]
    standard = {name.removeprefix("org.opencontainers.image."): value for name, value in found.items()}
    assert standard["revision"] == built.commit
    assert standard["created"] == lock["targets"]["debian-base-build"]["newest"]
    assert standard["base.name"] == "docker.io/library/debian:trixie-slim"
    assert standard["base.digest"] == lock["images"]["debian:trixie-slim"]
    assert re.fullmatch("[0-9a-f]{16}", found["orbiter.lock"])
    assert "" not in found.values()
    core = json.loads(docker(built.engine, "image", "inspect", f"{built.repo}:debian-core-1"))[0]["Config"]["Labels"]
    assert core["org.example"] == "a"
    assert "orbiter.lock" not in core


def test_labels_that_nobody_knows_are_not_there(built: Project) -> None:
    command = ["docker", "buildx", "bake", "--print", "debian-core"]

    def labels(**variables: str) -> dict[str, str]:
        done = subprocess.run(
            command, cwd=built.folder, env={**built.engine, **variables}, capture_output=True, check=True
        )
        found: dict[str, str] = json.loads(done.stdout)["target"]["debian-core"]["labels"]
        return {name.rpartition(".")[2]: value for name, value in found.items()}

    assert "revision" not in labels()
    changed = labels(REVISION="v1", CREATED="")
    assert changed["revision"] == "v1"
    assert "created" not in changed


def test_attestations_are_in_the_registry(built: Project) -> None:
    # The mirrors would switch the provenance off, if nobody asked for it.
    assert built.inspect("debian-core", "Provenance")["SLSA"]["buildType"]
    assert built.inspect("debian-core", "SBOM")["SPDX"]["name"] == "scanned"


def test_what_the_images_have_is_recorded_and_compared(built: Project, copied: Path) -> None:
    lock = copied / "orbiter.lock"
    before = json.loads(lock.read_text())
    done = built.run("lock", "--record", folder=copied)
    assert done.returncode == 0, done.stderr
    found = json.loads(lock.read_text())
    system = found.pop("system")
    assert found == before
    assert list(system) == ["alpine-core", "debian-base", "debian-core"]
    said = docker(built.engine, "run", "--rm", f"{built.repo}:debian-core-1", "dpkg-query", "-W")
    assert system["debian-core"]["packages"] == {
        name.partition(":")[0]: version for name, version in (line.split("\t") for line in said.splitlines())
    }
    assert (system["debian-core"]["kind"], system["debian-core"]["distribution"]) == ("apt", "debian 13")
    assert system["alpine-core"]["packages"]["less"] in docker(
        built.engine, "run", "--rm", f"{built.repo}:alpine-core-1", "apk", "info", "-v"
    )
    assert built.run("lock", "--check", folder=copied).returncode == 0
    assert built.run("lock", "--record", folder=copied).stderr == "orbiter.lock: nothing to do\n"
    assert built.run("lock", "--record", "--check", folder=copied).returncode == 0
    assert built.run("compile", "--check", folder=copied).returncode == 0

    version = system["debian-core"]["packages"]["less"]
    lock.write_text(lock.read_text().replace(f'"less": "{version}"', '"less": "1"', 2))
    done = built.run("lock", "--record", "--check", "--image", "debian-core", folder=copied)
    assert (done.returncode, done.stdout) == (1, f"debian-core\n  ~ less 1 → {version}\n")
    bill = json.loads(built.run("sbom", "debian-core", folder=copied).stdout)
    assert "pkg:deb/debian/less@1?arch=" in "".join(each["purl"] for each in bill["components"])


def test_an_image_of_another_configuration_is_not_recorded(built: Project, copied: Path) -> None:
    config = copied / "orbiter.yaml"
    config.write_text(config.read_text().replace('"org.example": "a"', '"org.example": "b"'))
    before = (copied / "orbiter.lock").read_text()
    done = built.run("lock", "--record", "--image", "debian-*", folder=copied)
    assert done.returncode == 4
    assert f"{built.repo}:debian-core-1: not what the configuration gives now; build it" in done.stderr
    assert done.stderr.endswith("nothing to record; 'orbiter build --load' puts the images into the engine\n")
    assert (copied / "orbiter.lock").read_text() == before


def test_an_image_is_what_its_lock_says(built: Project, copied: Path) -> None:
    image = f"{built.repo}:debian-base-1"
    done = built.run("diff", image)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr == f"{image} and orbiter.lock: no difference\n"
    lock = copied / "orbiter.lock"
    digest = json.loads(lock.read_text())["images"]["debian:trixie-slim"]
    text = lock.read_text().replace('"six", "version": "1.16.0"', '"six", "version": "9"')
    lock.write_text(text.replace(digest, "sha256:" + "0" * 64))
    done = built.run("diff", image, "--exit-code", folder=copied)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "debian-base",
        f"  ~ debian:trixie-slim {digest[:19]} → sha256:000000000000",
        "  ~ six 1.16.0 → 9",
    ]
    assert built.run("diff", "HEAD", image, folder=copied).stdout == ""


def test_two_images_are_compared_and_pulled_if_need_be(built: Project, tmp_path: Path) -> None:
    core, base = (f"{built.repo}:debian-{name}-1" for name in ("core", "base"))
    subprocess.run(["docker", "rmi", core], env=built.engine, check=True, capture_output=True)
    done = built.run("diff", core, base, "--format", "json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"{core}: not in the engine, so it is pulled\n"
    changes = json.loads(done.stdout)["images"][f"{core} → {base}"]["changes"]
    assert ("pip", "six", None, "1.16.0") in [tuple(c[k] for k in ("kind", "name", "old", "new")) for c in changes]


def test_an_image_that_is_nowhere(built: Project) -> None:
    missing = f"{built.repo}:nothing-1"
    done = built.run("diff", missing)
    assert done.returncode == 4
    assert f"orbiter: {missing}: cannot be pulled, and is no lock file or revision: " in done.stderr
    silent = {**built.engine, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    for command in (("diff", missing), ("lock", "--record")):
        done = run_orbiter(built.folder, silent, *command)
        assert (done.returncode, done.stdout) == (4, "")
        assert done.stderr.startswith("orbiter: no Docker engine answers; ")


MOMENT = "20261101T000000Z"


@dataclass
class Archive:
    """An archive of one day: it leads to the archives that the engine's base image has, under their names."""

    places: Mapping[str, str]
    asked: list[str] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def archive(engine: Mapping[str, str]) -> Iterator[Archive]:
    sources = docker(engine, "run", "--rm", BASES[0], "cat", "/etc/apt/sources.list.d/debian.sources")
    found = Archive({name: url for url, name in re.findall(r"^URIs: (.*/(debian[^/\n]*))/?$", sources, re.MULTILINE)})

    class Dated(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, root, name, moment, path = (*self.path.split("/", 4), "", "", "")[:5]
            if (root, moment) != ("archive", MOMENT) or name not in found.places:
                return self.send_error(404)
            found.asked.append(self.path)
            self.send_response(302)
            self.send_header("Location", f"{found.places[name]}/{path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None

        def log_message(self, format: str, *args: object) -> None:
            """Not among the output of the tests."""

    address = docker(engine, "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
    with ThreadingHTTPServer((address, 0), Dated) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        found.address = f"http://{address}:{server.server_port}/archive/debian/{MOMENT}"
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def test_packages_of_one_day_are_from_that_day(tmp_path: Path, engine: Mapping[str, str], archive: Archive) -> None:
    # The base as it is published, whatever archive a stand-in has.
    published = "localhost/orbiter-trace:published"
    text = f"FROM {BASES[0]}\nRUN sed -i -E 's#^(URIs:) .*/(debian[^/]*)/?$#\\1 http://deb.debian.org/\\2#' " + (
        "/etc/apt/sources.list.d/debian.sources\n"
    )
    done = subprocess.run(["docker", "build", "-q", "-t", published, "-"], env=engine, input=text, text=True)
    assert done.returncode == 0
    config = {
        "version": "1",
        "docker": {"repo": "localhost/orbiter-trace"},
        "mirrors": {"apt": archive.address},
        "build": {"debian": {"core": {"image": published, "builder": "pip_core", "apt": ["less"]}}},
    }
    (tmp_path / "orbiter.yaml").write_text(json.dumps(config))
    image = "localhost/orbiter-trace:debian-core-1"
    try:
        options = ("--load", "--no-cache", "--progress=plain")
        done = run_orbiter(tmp_path, engine, "build", *options)
        assert done.returncode == 0, done.stderr[-3000:]
        assert {path.split("/")[2] for path in archive.asked} == set(archive.places)
        assert any(path.endswith(".deb") and "/less/" in path for path in archive.asked)
        sources = docker(engine, "run", "--rm", image, "cat", "/etc/apt/sources.list.d/debian.sources")
        assert "http://deb.debian.org/debian\n" in sources
        assert archive.address.split("/")[2] not in docker(engine, "history", "--no-trunc", image)
        config["mirrors"] = {"apt": archive.address.replace(MOMENT, "20200101T000000Z")}
        (tmp_path / "orbiter.yaml").write_text(json.dumps(config))
        done = run_orbiter(tmp_path, engine, "build", "--progress=plain")
        assert done.returncode == 4
        assert "404" in done.stderr
    finally:
        subprocess.run(["docker", "rmi", "--force", image, published], env=engine, capture_output=True)
