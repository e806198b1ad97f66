"""`orbiter build` as a person, a terminal, a pipe and CI meet it, on a real engine."""

import http.server
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import run_orbiter

pytestmark = pytest.mark.engine

CONFIG = """\
docker: {{repo: {repo}}}
build:
  debian:
    core: {{image: "debian:trixie-slim", builder: pip_core, cmd: [sleep, "60"]}}
    left: {{image: core, builder: pip_core, cmd: [sleep, "60"], postbuild: [{left}]}}
    right: {{image: core, builder: pip_core, cmd: [sleep, "60"], postbuild: [{right}]}}
    top: {{image: left, builder: pip_core, cmd: [sleep, "60"], postbuild: [echo top]}}
"""


class Project:
    """A folder with a small family in a repository of its own, whose steps no other test has in its cache."""

    def __init__(self, folder: Path, engine: Mapping[str, str], repo: str) -> None:
        self.folder, self.engine, self.repo = folder, engine, repo
        self.repos = {repo}
        self.unique = f"echo {folder.name} {time.time_ns()}"
        self.write()

    def write(self, left: str = "true", right: str = "true", repo: str | None = None) -> None:
        steps = {"left": f"{self.unique} && {left}", "right": f"{self.unique} right && {right}"}
        quoted = {name: json.dumps(step) for name, step in steps.items()}
        self.repos.add(repo or self.repo)
        (self.folder / "orbiter.yaml").write_text(CONFIG.format(repo=repo or self.repo, **quoted))

    def build(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        return run_orbiter(self.folder, {**self.engine, **variables}, "build", *arguments)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "orbiter", "build", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=dict(self.engine), stdout=pipe, stderr=pipe, text=True)

    def images(self) -> set[str]:
        return {reference.rpartition(":")[2] for reference in self.references(self.repo)}

    def references(self, repo: str) -> list[str]:
        command = ["docker", "images", repo, "--format", "{{.Repository}}:{{.Tag}}"]
        listed = subprocess.run(command, env=dict(self.engine), capture_output=True, text=True, check=True)
        return listed.stdout.split()


@pytest.fixture
def project(tmp_path: Path, engine: Mapping[str, str]) -> Iterator[Project]:
    made = Project(tmp_path, engine, f"localhost/orbiter-build-{os.getpid()}-{time.time_ns()}")
    yield made
    # An image whose push failed is in the engine nevertheless.
    left = [reference for repo in made.repos for reference in made.references(repo)]
    if left:
        subprocess.run(["docker", "rmi", *left], env=dict(engine), capture_output=True, check=True)


def results(done: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    rows = (re.split(r"  +", line) for line in done.stdout.splitlines())
    return {row[0]: row[1] for row in rows if row[0].startswith("debian-")}


def test_a_pipe_gets_a_line_a_step_and_a_table(project: Project) -> None:
    done = project.build()
    assert done.returncode == 0, done.stderr
    assert re.search(r"^debian-left +a script +\d+\.\d s$", done.stderr, re.MULTILINE)
    assert "\x1b" not in done.stderr + done.stdout
    assert "#1 " not in done.stderr  # nothing of Buildx's plain progress
    assert {name: result for name, result in results(done).items() if name != "debian-core"} == {
        "debian-left": "built",
        "debian-right": "built",
        "debian-top": "built",
    }
    # On a busy machine the export of the one or the other may take longest.
    assert re.search(r"^critical path: .*debian-(left → debian-top|right), \d+\.\d s$", done.stdout, re.MULTILINE)

    file = project.folder / "out.json"
    again = project.build("--format", "json", "--metadata", str(file))
    assert again.returncode == 0, again.stderr
    data = json.loads(again.stdout)
    assert json.loads(file.read_text()) == data
    assert {target["result"] for target in data["targets"]} == {"cached"}
    assert all(target["size"] > 1_000_000 for target in data["targets"])
    assert data["targets"][0]["references"] == [f"{project.repo}:debian-core-latest"]
    assert data["buildx"]["debian-core"]["containerimage.digest"] == data["targets"][0]["digest"]
    inspect = ["docker", "image", "inspect", f"{project.repo}:debian-core-latest", "--format", "{{.Id}}"]
    known = subprocess.run(inspect, env=dict(project.engine), capture_output=True, text=True, check=True)
    assert known.stdout.strip() == data["targets"][0]["digest"]

    assert project.build().stdout.splitlines()[-1].startswith("nothing to do: everything is cached")


def test_a_failure_names_its_places_and_what_was_not_reached(project: Project) -> None:
    project.write(left="echo about to fail; false", right="sleep 20")
    done = project.build()
    assert done.returncode == 4
    assert results(done)["debian-left"] == "failed"
    assert results(done)["debian-right"] == results(done)["debian-top"] == "not reached"
    lines = (project.folder / "build/debian/left/Dockerfile").read_text().splitlines()
    number = max(number for number, line in enumerate(lines, 1) if line.startswith("RUN <<"))
    assert f"build/debian/left/Dockerfile:{number}: RUN <<" in done.stderr
    assert "orbiter.yaml:5:" in done.stderr
    assert "\n  about to fail\n" in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "orbiter: docker buildx bake failed with status 1: 'debian-left' could not be built"
    )


@pytest.mark.parametrize("terminal", [False, True])
def test_keep_going_finishes_the_other_branches(project: Project, terminal: bool) -> None:
    project.write(left="false", right="sleep 3")
    done = on_terminal(project, "--keep-going") if terminal else project.build("--keep-going")
    assert done.returncode == 4
    assert {name: result for name, result in results(done).items() if name != "debian-core"} == {
        "debian-left": "failed",
        "debian-right": "built",
        "debian-top": "not reached",
    }
    assert "debian-right-latest" in project.images()
    assert not {"debian-left-latest", "debian-top-latest"} & project.images()


def on_terminal(project: Project, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Builds with stderr on a terminal of 100 columns; `stderr` of the result is what the terminal got."""
    leader, follower = pty.openpty()
    environment = {key: value for key, value in project.engine.items() if key != "BUILDKIT_PROGRESS"}
    command = [sys.executable, "-m", "orbiter", "build", *arguments]
    process = subprocess.Popen(
        command, cwd=project.folder, env=environment, stdout=subprocess.PIPE, stderr=follower, stdin=follower
    )
    os.close(follower)
    seen = bytearray()

    def read() -> None:
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:
                return
            if not chunk:
                return
            seen.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    out = process.communicate(timeout=600)[0].decode()
    reader.join(timeout=30)
    os.close(leader)
    return subprocess.CompletedProcess(command, process.returncode, out, seen.decode(errors="replace"))


def test_a_terminal_has_the_progress_of_buildx_and_the_same_table(project: Project) -> None:
    done = on_terminal(project)
    assert done.returncode == 0, done.stderr
    assert "\x1b[" in done.stderr
    assert "[debian-left" in done.stderr
    assert "\x1b" not in done.stdout
    assert results(done)["debian-left"] == results(done)["debian-top"] == "built"
    times = re.findall(r"^debian-\w+ +\w+ +(\d+\.\d) s", done.stdout, re.MULTILINE)
    assert len(times) == 4


def test_progress_that_is_asked_for_is_that_of_buildx(project: Project) -> None:
    done = project.build("debian-core", "--progress", "plain")
    assert "#1 [internal] load local bake definitions" in done.stderr
    assert results(done).keys() == {"debian-core"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("early", [True, False], ids=["at the start", "in a step"])
def test_an_interrupt_stops_buildx_and_tags_nothing_unfinished(
    project: Project, number: signal.Signals, early: bool
) -> None:
    # As many seconds as no other build sleeps that this machine may run.
    sleep = f"sleep {time.time_ns() % 10**9 + 1000}"
    project.write(left=sleep)

    def begun() -> bool:
        return any(command[:1] == ["docker"] for command in commands(project.folder)) if early else sleeps()

    def sleeps() -> bool:
        return sleep.split() in commands(Path("/"))

    with project.start() as process:
        until = time.monotonic() + 300
        while not begun() and time.monotonic() < until:
            time.sleep(0.01 if early else 0.3)
        process.send_signal(number)
        began = time.monotonic()
        _, said = process.communicate(timeout=60)
        took = time.monotonic() - began
    assert process.returncode == 130
    assert said.splitlines()[-1] == "interrupted"
    assert took < 10  # 2 s on a machine that has nothing else to do
    until = time.monotonic() + 30
    while (commands(project.folder) or sleeps()) and time.monotonic() < until:
        time.sleep(0.1)
    assert commands(project.folder) == []
    assert not sleeps()
    assert project.images() <= {"debian-core-latest", "debian-right-latest"}


def commands(folder: Path) -> list[list[str]]:
    """The commands that run in a folder on this machine, in `/` all of them, also those in containers."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            here = folder == Path("/") or (process / "cwd").readlink() == folder
            command = (process / "cmdline").read_text(errors="replace").rstrip("\0").split("\0")
        except OSError:  # it has ended
            continue
        if here and command != [""]:
            found.append(command)
    return found


def test_two_builds_at_once_in_a_folder(project: Project) -> None:
    project.write(left="sleep 2")
    with project.start() as one, project.start() as other:
        said = [process.communicate(timeout=600) for process in (one, other)]
    assert [one.returncode, other.returncode] == [0, 0], said
    assert project.images() == {f"debian-{name}-latest" for name in ("core", "left", "right", "top")}


class Refusing(http.server.BaseHTTPRequestHandler):
    """A registry that knows nobody."""

    default_request_version = "HTTP/1.1"  # an answer to a TLS handshake that Docker takes for one

    def refuse(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="registry"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = refuse

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def test_a_push_without_login_says_so(project: Project) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as registry:
        threading.Thread(target=registry.serve_forever, daemon=True).start()
        project.write(repo=f"127.0.0.1:{registry.server_port}/x")
        done = project.build("debian-core", "--push")
        registry.shutdown()
    assert done.returncode == 4
    assert results(done) == {"debian-core": "failed"}
    assert f"127.0.0.1:{registry.server_port} refuses the push: log in with 'docker login 127." in done.stderr


def test_a_push_to_a_registry_that_is_down_says_so(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    project.write(repo=f"127.0.0.1:{port}/x")
    done = project.build("debian-core", "--push")
    assert done.returncode == 4
    assert f"the registry 127.0.0.1:{port} does not answer" in done.stderr
    assert "Dockerfile:0" not in done.stderr


def test_a_push_has_the_size_in_the_registry(project: Project) -> None:
    repo = f"{project.engine['ENGINE_REGISTRY']}/orbiter-build-test"
    project.write(repo=repo)
    done = project.build("debian-core", "--push", "--format", "json")
    assert done.returncode == 0, done.stderr
    (target,) = json.loads(done.stdout)["targets"]
    assert target["size"] > 1_000_000
    assert target["references"] == [f"{repo}:debian-core-latest"]
    # On the parent that was just published, and without building it:
    alone = project.build("debian-left", "--no-deps", "--format", "json")
    assert alone.returncode == 0, alone.stderr
    assert [target["name"] for target in json.loads(alone.stdout)["targets"]] == ["debian-left"]


def test_no_engine_answers(project: Project) -> None:
    done = project.build(DOCKER_HOST="unix:///nonexistent")
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1].startswith("orbiter: no Docker engine answers; start one")
    assert "Traceback" not in done.stderr


def test_metadata_needs_a_folder(project: Project) -> None:
    done = project.build("--metadata", "no/such/file.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "orbiter: --metadata no/such/file.json: there is no folder no/such\n"
