"""`orbiter run` and `orbiter bash` on a real engine: ports, tokens, mounts, and what is left afterwards."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import run_orbiter

pytestmark = pytest.mark.engine

REPO = "localhost/orbiter-run-test"
CONFIG = f"""\
version: "1"
docker: {{repo: {REPO}, mount: book}}
build:
  debian:
    core: {{image: "debian:trixie-slim", builder: pip_core}}
    base: {{image: core, builder: pip_deploy, build: {{image: core, builder: pip_builder, pip: [jupyterlab]}}}}
    ends: {{image: core, builder: pip_deploy, cmd: [sh, -c, "echo out of luck; exit 3"]}}
"""
LINK = re.compile(r"http://127\.0\.0\.1:(\d+)/lab\?token=(\w+)")
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]) -> Iterator[Path]:
    """A project with two built images and a folder that the notebook user owns."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "orbiter.yaml").write_text(CONFIG)
    (folder / "book").mkdir()
    (folder / "book" / "lesson.md").write_text("# One\n")
    (folder / "book").chmod(0o777)
    (folder / "book" / "lesson.md").chmod(0o666)
    done = run_orbiter(folder, engine, "build", "debian-base", "debian-ends", "--load", "--progress=plain")
    assert done.returncode == 0, done.stderr[-3000:]
    yield folder
    assert containers(engine) == []
    subprocess.run(["docker", "rmi", f"{REPO}:debian-base-1", f"{REPO}:debian-ends-1"], env=engine, capture_output=True)


def containers(engine: Mapping[str, str]) -> list[str]:
    command = ["docker", "ps", "--all", "--format={{.Names}}", "--filter", f"label=orbiter.repository={REPO}"]
    return subprocess.run(command, env=engine, capture_output=True, text=True, check=True).stdout.split()


def get(url: str) -> tuple[int, bytes]:
    try:
        with OPENER.open(url, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_link_opens_and_a_signal_leaves_nothing(project: Path, engine: Mapping[str, str], stop: signal.Signals) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "orbiter", "run", "debian-base", f"--port={port}"]
        with subprocess.Popen(
            command, cwd=project, env=engine, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            try:
                line = process.stdout.readline()
                found = LINK.fullmatch(line.strip())
                assert found, (line, process.stderr.read() if process.stderr and not line else "")
                assert int(found[1]) != port
                assert get(found[0])[0] == 200
                api = f"http://127.0.0.1:{found[1]}/api/contents/book/lesson.md"
                assert get(api)[0] == 403
                status, body = get(f"{api}?token={found[2]}")
                assert (status, json.loads(body)["content"], json.loads(body)["writable"]) == (200, "# One\n", True)
                (name,) = containers(engine)
                inspected = subprocess.run(["docker", "inspect", name], env=engine, capture_output=True, text=True)
                (data,) = json.loads(inspected.stdout)
                assert data["HostConfig"]["PortBindings"] == {
                    "8888/tcp": [{"HostIp": "127.0.0.1", "HostPort": found[1]}]
                }
                assert data["Config"]["Labels"]["orbiter.target"] == "debian-base"
                arguments = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
                assert found[2] not in arguments
            finally:
                process.send_signal(stop)
                _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"port {port} is taken; using {found[1]}" in said
    assert "Jupyter Server" in said
    assert said.endswith("interrupted\n")
    assert found[2] not in said
    assert containers(engine) == []


def test_interrupt_in_the_middle_of_the_start_leaves_nothing(project: Path, engine: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "orbiter", "run", "debian-base", "-p0"]
    with subprocess.Popen(
        command, cwd=project, env=engine, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        until = time.monotonic() + 60
        while not containers(engine):
            assert time.monotonic() < until
        # As a terminal does it: to everything that runs in the foreground.
        os.killpg(process.pid, signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    assert (process.returncode, printed) == (130, b"")
    assert containers(engine) == []


def test_in_the_background_with_the_token_of_the_environment(project: Path, engine: Mapping[str, str]) -> None:
    environment = {**engine, "JUPYTER_TOKEN": "a+token/of mine"}
    done = run_orbiter(project, environment, "run", "debian-base", "-d", "-p", "0", "--name", "orbiter-run-test")
    try:
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/lab\?token=a%2Btoken%2Fof%20mine\n", done.stdout)
        assert done.stderr.endswith("'docker rm --force orbiter-run-test' stops and removes it\n")
        assert get(done.stdout.strip())[0] == 200
        assert get(done.stdout.partition("lab?")[0] + "api/contents")[0] == 403
        again = run_orbiter(project, engine, "run", "debian-base", "-d", "-p", "0", "--name", "orbiter-run-test")
        assert again.returncode == 4
        assert "already in use" in again.stderr
        assert containers(engine) == ["orbiter-run-test"]
    finally:
        subprocess.run(["docker", "rm", "--force", "orbiter-run-test"], env=engine, capture_output=True)


@pytest.mark.parametrize("options", [(), ("--detach",)])
def test_container_that_ends_by_itself_is_4(project: Path, engine: Mapping[str, str], options: tuple[str, ...]) -> None:
    done = run_orbiter(project, engine, "run", "debian-ends", *options)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.endswith("out of luck\norbiter: debian-ends ended with status 3\n")
    assert containers(engine) == []


def test_command_instead_of_the_image_s_own(project: Path, engine: Mapping[str, str]) -> None:
    command = ("run", "debian-base", "-d", "-p0", "--", "python3", "-m", "http.server", "8888")
    done = run_orbiter(project, engine, *command)
    (name,) = containers(engine)
    subprocess.run(["docker", "rm", "--force", name], env=engine, capture_output=True, check=True)
    assert done.returncode == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\n", done.stdout)


@pytest.mark.parametrize("command", ["run", "bash"])
def test_image_that_is_not_built_is_4(project: Path, engine: Mapping[str, str], command: str) -> None:
    done = run_orbiter(project, engine, command, "debian-core")
    assert done.returncode == 4
    words = "is not in the engine; 'orbiter build --load debian-core' puts it there"
    assert done.stderr == f"orbiter: {REPO}:debian-core-1 {words}\n"


@pytest.mark.parametrize("command", ["run", "bash"])
def test_folder_that_is_not_there_is_2_with_its_line(project: Path, engine: Mapping[str, str], command: str) -> None:
    (project / "other.yaml").write_text(CONFIG.replace("mount: book", "mount: no/book"))
    done = run_orbiter(project, engine, command, "-f", "other.yaml", "debian-base")
    column = CONFIG.splitlines()[1].index("book") + 1
    place = f"other.yaml:2:{column}: docker.mount: 'no/book' is not there; make it: mkdir no/book"
    assert (done.returncode, done.stderr) == (2, f"{place}; or start with --no-mount\n1 error\n")
    assert run_orbiter(project, engine, "bash", "-f", "other.yaml", "--no-mount", "--", "true").returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Docker gives whoever asks the files")
def test_ownership_is_explained(project: Path, engine: Mapping[str, str]) -> None:
    outside = project.parent / "outside"
    outside.mkdir(exist_ok=True)
    outside.chmod(0o755)
    (project / "other.yaml").write_text(CONFIG.replace("mount: book", f"mount: {outside}"))
    done = run_orbiter(project, engine, "bash", "-f", "other.yaml", "debian-base", "--", "ls", "-d", "outside")
    assert (done.returncode, done.stdout) == (0, "outside\n")
    first, second = done.stderr.splitlines()
    assert first == f"mounting {outside}, which is outside of the project"
    assert f"belongs to {os.getuid()}:{os.getgid()} (mode 755), so jovyan (1000:100) can only read it" in second
    assert f"chown -R 1000:100 {outside}" in second


def test_bash_hands_input_output_and_status_on(project: Path, engine: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "orbiter", "bash", "debian-base", "-e", "A=b c", "--", "python3", "-"]
    code = "import os, sys; print(os.environ['A'], os.getuid(), os.listdir('book')); sys.exit(7)"
    done = subprocess.run(command, cwd=project, env=engine, input=code, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (7, "b c 1000 ['lesson.md']\n", "")


def test_bash_of_a_pipe_reads_a_script(project: Path, engine: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "orbiter", "bash", "-b", "debian", "-i", "base", "--root"]
    done = subprocess.run(
        command, cwd=project, env=engine, input="id -u; echo $BASH_VERSION", capture_output=True, text=True
    )
    assert done.returncode == 0
    assert re.fullmatch(r"0\n5\.\S+\n", done.stdout)


def test_bash_that_is_terminated_leaves_nothing(project: Path, engine: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "orbiter", "bash", "debian-base", "--", "sleep", "600"]
    with subprocess.Popen(command, cwd=project, env=engine, stdin=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while not containers(engine):
            assert time.monotonic() < until
            time.sleep(0.2)
        time.sleep(1)
        process.terminate()
        assert process.wait(60) == 130
    assert containers(engine) == []


@pytest.mark.parametrize("command", ["run", "bash"])
def test_no_engine_is_4(project: Path, engine: Mapping[str, str], command: str) -> None:
    done = run_orbiter(project, {**engine, "DOCKER_HOST": "unix:///nonexistent"}, command, "debian-base")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("orbiter: no Docker engine answers; ")


def test_repo2docker_that_is_missing_is_explained(project: Path, engine: Mapping[str, str], tmp_path: Path) -> None:
    docker = shutil.which("docker", path=engine["PATH"])
    assert docker
    (tmp_path / "docker").symlink_to(docker)
    done = run_orbiter(project, {**engine, "PATH": str(tmp_path)}, "r2d", "debian-base")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("orbiter: repo2docker is not installed; get it with 'uv tool install jupyter-repo2d")


def test_repo2docker_builds_and_the_result_is_started(
    project: Path, engine: Mapping[str, str], repo2docker: str
) -> None:
    environment = {**engine, "PATH": f"{Path(repo2docker).parent}:{engine['PATH']}"}
    command = [sys.executable, "-m", "orbiter", "r2d", "debian-base", "-p0"]
    with subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert LINK.fullmatch(line.strip()), (line, process.stderr.read() if process.stderr and not line else "")
            status, body = get(line.strip().replace("/lab?", "/api/contents/lesson.md?"))
            assert (status, json.loads(body)["content"], json.loads(body)["writable"]) == (200, "# One\n", True)
        finally:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said[-3000:]
    assert containers(engine) == []
    left = ["docker", "image", "ls", "--quiet", "localhost/orbiter-r2d"]
    assert subprocess.run(left, env=engine, capture_output=True, text=True, check=True).stdout == ""
