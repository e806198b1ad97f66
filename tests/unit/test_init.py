"""`orbiter init` as a person meets it: flags, questions on a terminal, what it refuses."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from orbiter import pipeline
from orbiter.plan import as_data
from tests.conftest import Run

URL = "https://raw.githubusercontent.com/dorgeln/orbiter/main/schemas/orbiter.schema.json"


def data(config: Path) -> dict[str, dict[str, object]]:
    """The targets of the plan, by name."""
    return {target["name"]: target for target in as_data(pipeline.make_plan(config).plan)["targets"]}


@pytest.mark.parametrize(
    ("flags", "targets"),
    [
        ([], "debian-core debian-base-build debian-base"),
        (["--base", "alpine:3.23"], "alpine-core alpine-base-build alpine-base"),
        (["--builder", "micromamba"], "micromamba-core micromamba-base-build micromamba-base"),
        (["--family", "lab_1", "--python", "3.12"], "lab_1-core lab_1-base-build lab_1-base"),
        (["--base", "ghcr.io/x/Y.Z@sha256:" + "0" * 64], None),
        (["--base", "ghcr.io/x/y@sha256:" + "0" * 64], "y-core y-base-build y-base"),
    ],
)
def test_flags_give_a_configuration_without_a_warning(
    tmp_path: Path, orbiter: Run, flags: list[str], targets: str | None
) -> None:
    done = orbiter("init", *flags)
    if targets is None:
        assert done.returncode == 2
        return
    assert (done.returncode, done.stdout) == (0, "+ orbiter.yaml\n")
    assert list(data(tmp_path / "orbiter.yaml")) == targets.split()
    assert pipeline.make_plan(tmp_path / "orbiter.yaml").warnings == ()
    text = (tmp_path / "orbiter.yaml").read_text()
    assert text.startswith(f"# yaml-language-server: $schema={URL}\n")
    assert not re.search(r"[ \t]$|\n\n\n|\t", text, re.MULTILINE)
    assert orbiter("validate").stderr == "orbiter.yaml: valid\n"


@pytest.mark.parametrize("builder", ["pip", "micromamba"])
def test_packages_are_those_that_were_named(tmp_path: Path, orbiter: Run, builder: str) -> None:
    assert orbiter("init", "--builder", builder, "--packages", "xarray>=2024.1 dask").returncode == 0
    family = "debian" if builder == "pip" else "micromamba"
    packages = data(tmp_path / "orbiter.yaml")[f"{family}-base-build"]["packages"]
    section = packages["pip" if builder == "pip" else "conda"]  # type: ignore[index]
    assert section[-3:] == ["jupyterhub", "xarray>=2024.1", "dask"]


def test_the_further_image_in_the_comments_is_right_too(tmp_path: Path, orbiter: Run) -> None:
    for builder in ("pip", "micromamba"):
        config = tmp_path / builder / "orbiter.yaml"
        assert orbiter("init", builder, "--builder", builder).returncode == 0
        start, sample = config.read_text().split("    # An image on top of another ships only what it adds:\n    #\n")
        config.write_text(start + sample.replace("    # ", "    "))
        assert any(name.endswith("-maps") for name in data(config))


def test_folder_is_made_and_named_in_what_comes_next(tmp_path: Path, orbiter: Run) -> None:
    done = orbiter("init", "My Course (2026)/images")
    assert (done.returncode, done.stdout) == (0, "+ My Course (2026)/images/orbiter.yaml\n")
    text = (tmp_path / "My Course (2026)/images/orbiter.yaml").read_text()
    assert "repo: localhost/images " in text
    assert "  cd 'My Course (2026)/images' && orbiter plan " in done.stderr


def test_schema_beside_it(tmp_path: Path, orbiter: Run) -> None:
    done = orbiter("init", "--schema", "--format", "json")
    assert json.loads(done.stdout) == {"written": ["orbiter.yaml", "orbiter.schema.json"], "remarks": []}
    assert (tmp_path / "orbiter.yaml").read_text().startswith("# yaml-language-server: $schema=orbiter.schema.json\n")
    assert json.loads((tmp_path / "orbiter.schema.json").read_text())["title"] == "Orbiter"


@pytest.mark.parametrize("name", ["orbiter.yaml", "orbiter.yml", "invoke.yaml"])
def test_never_writes_over_a_configuration(tmp_path: Path, orbiter: Run, name: str) -> None:
    (tmp_path / name).write_text("mine\n")
    done = orbiter("init", "--yes")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"orbiter: {name}: is there already, and is not written over; ")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine\n")]


def test_schema_that_is_there_leaves_nothing_half_done(tmp_path: Path, orbiter: Run) -> None:
    (tmp_path / "orbiter.schema.json").write_text("{}")
    done = orbiter("init", "--schema")
    assert done.returncode == 2
    assert "orbiter.schema.json" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["orbiter.schema.json"]
    assert (tmp_path / "orbiter.schema.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--family", "Lab"], "--family: 'Lab' is no name of a family: small letters and digits, "),
        (["--family", "default"], "--family: 'default' is the group of all images"),
        (["--base", "debian"], "--base: 'debian' has no tag; write for example 'debian:latest'"),
        (["--base", "debian:tr ixie"], "--base: 'debian:tr ixie' is no reference"),
        (["--base", "alpine:3.23", "--builder", "micromamba"], "--base: conda packages need glibc, which Alpine lacks"),
        (["--base", "alpine:3.23", "--from", "."], "--base: a Binder repository has packages of Debian"),
        (["--repo", "localhost/course:1"], "--repo: 'localhost/course:1' has a tag or digest"),
        (["--python", "2.7"], "--python: '2.7' is no version of Python 3"),
        (["--packages", "numpy=1.2"], "--packages: 'numpy=1.2' is a conda spec; did you mean 'numpy==1.2'?"),
        (["--packages", "-e ."], "--packages: '-e' is an option of pip"),
        (["--from", "nowhere"], "nowhere: does not exist; --from names the folder of a Binder repository"),
        (["--from", "."], ".: nothing of a Binder repository here, such as environment.yml"),
        (["--from", ".", "--packages", "numpy"], "the repository of --from says what --builder, --python and "),
        (["folder", "-f", "lab.yaml"], "-f FILE ($ORBITER_FILE) and DIR both say where"),
        (["-f", "file/lab.yaml"], "file: is a file, not a folder"),
    ],
)
def test_wrong_usage_is_2_and_writes_nothing(tmp_path: Path, orbiter: Run, arguments: list[str], message: str) -> None:
    (tmp_path / "file").write_text("")
    done = orbiter("init", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_file_is_named_by_f(tmp_path: Path, orbiter: Run) -> None:
    done = orbiter("-f", "lab.yaml", "init")
    assert (done.returncode, done.stdout) == (0, "+ lab.yaml\n")
    assert "  orbiter -f lab.yaml plan " in done.stderr
    assert orbiter("-f", "lab.yaml", "init").returncode == 2


# -- a repository elsewhere


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "requirements.txt").write_text("numpy\n-e .\n")
    (folder / "runtime.txt").write_text("python-3.13\n")
    return folder


def test_repository_below_the_configuration(tmp_path: Path, repository: Path, orbiter: Run) -> None:
    (repository / "postBuild").write_text("sh prepare.sh\n")
    (repository / "prepare.sh").write_text("true\n")
    assert orbiter("init", "--from", "repository").returncode == 0
    assert "repository/prepare.sh: prepare.sh\n" in (tmp_path / "orbiter.yaml").read_text()
    assert orbiter("validate").returncode == 0


def test_repository_that_is_not_below_the_configuration(tmp_path: Path, repository: Path, orbiter: Run) -> None:
    (repository / "postBuild").write_text("sh prepare.sh\n")
    (repository / "prepare.sh").write_text("true\n")
    done = orbiter("init", "images", "--from", "repository", "--format", "json")
    remarks = json.loads(done.stdout)["remarks"]
    assert [(remark["file"], remark["line"]) for remark in remarks] == [
        ("requirements.txt", 2),
        ("postBuild", None),
        ("postBuild", 1),
    ]
    assert remarks[1]["text"].startswith("left out: the file prepare.sh, which it uses; ")
    assert "copy:" not in (tmp_path / "images/orbiter.yaml").read_text()


def test_link_out_of_the_repository_is_not_followed(tmp_path: Path, repository: Path, orbiter: Run) -> None:
    (tmp_path / "private.txt").write_text("private-package\n")
    (repository / "requirements.txt").write_text("-r link.txt\nnumpy\n")
    (repository / "link.txt").symlink_to("../private.txt")
    done = orbiter("init", "--from", "repository")
    assert "requirements.txt:1: left out: -r link.txt; there is no link.txt" in done.stderr
    assert "private" not in (tmp_path / "orbiter.yaml").read_text()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings_of_windows(tmp_path: Path, repository: Path, orbiter: Run, encoding: str) -> None:
    (repository / "requirements.txt").write_bytes("numpy # für Übungen\r\npandas\r\n".encode(encoding))
    assert orbiter("init", "--from", "repository").returncode == 0
    assert "- numpy # für Übungen\n          - pandas\n" in (tmp_path / "orbiter.yaml").read_text()


def test_file_that_is_too_large(repository: Path, orbiter: Run) -> None:
    (repository / "apt.txt").write_text("#" * 1_000_001)
    done = orbiter("init", "--from", "repository")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "orbiter: apt.txt: has 1,000,001 bytes; files of at most 1,000,000 are read\n"


# -- a terminal


def take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it, and so do their children


class Terminal:
    """`orbiter init` on a pseudo-terminal, which gives it answers."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.main, side = pty.openpty()
        self.text = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orbiter", "init", *arguments],
            cwd=folder,
            env={key: value for key, value in os.environ.items() if key != "ORBITER_FILE"},
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
            preexec_fn=take_terminal,
        )
        os.close(side)

    def answer(self, question: str, answer: str) -> None:
        self.wait_for(question)
        os.write(self.main, answer.encode())

    def wait_for(self, text: str) -> None:
        start = len(self.text)
        until = time.monotonic() + 60
        while text not in self.text[start:]:
            assert time.monotonic() < until, self.text
            if select.select([self.main], [], [], 0.2)[0]:
                self.text += os.read(self.main, 4096).decode()

    def end(self, key: str = "") -> int:
        """Waits for the end, pressing a key meanwhile: Python loses a Ctrl-C that comes right before it reads."""
        until = time.monotonic() + 60
        press = time.monotonic() + 1
        while self.process.poll() is None or select.select([self.main], [], [], 0)[0]:
            assert time.monotonic() < until, self.text
            if key and time.monotonic() > press:
                os.write(self.main, key.encode())
                press += 10
            if select.select([self.main], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self.main, 4096).decode()
                except OSError:  # Linux: the other side is closed
                    break
        os.close(self.main)
        return self.process.wait(timeout=60)


def test_questions_have_defaults_and_a_bad_answer_is_asked_again(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "course")
    terminal.answer("Repository of the images [localhost/course]: ", "Bad Name\n")
    terminal.answer("Repository of the images [localhost/course]: ", "ghcr.io/example/course\n")
    terminal.answer("(micromamba) [pip]: ", "\n")
    terminal.answer("Image to start from [debian:trixie-slim]: ", "debian\n")
    terminal.answer("Image to start from [debian:trixie-slim]: ", "alpine:3.23\n")
    terminal.answer("[numpy pandas matplotlib]: ", "-\n")
    assert terminal.end() == 0
    assert "'debian' has no tag" in terminal.text
    targets = data(tmp_path / "course/orbiter.yaml")
    assert targets["alpine-base-build"]["packages"] == {
        "apk": ["build-base", "linux-headers"],
        "pip": ["jupyterlab", "jupyterhub"],
    }
    assert targets["alpine-base"]["tags"] == ["ghcr.io/example/course:alpine-base-0.1.0"]


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_leaving_in_the_middle_leaves_nothing(tmp_path: Path, key: str) -> None:
    terminal = Terminal(tmp_path, "course")
    terminal.answer("[localhost/course]: ", "\n")
    terminal.wait_for("[pip]: ")
    assert terminal.end(key) == 130
    assert "interrupted" in terminal.text
    assert list(tmp_path.iterdir()) == []


def test_yes_asks_nothing(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "--yes")
    assert terminal.end() == 0
    assert "[" not in re.sub(r"\x1b\[[0-9;]*m", "", terminal.text)
    assert (tmp_path / "orbiter.yaml").is_file()
