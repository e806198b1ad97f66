"""What shells offer: the names of the configuration that is found, and nothing said where it is broken."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orbiter.completing import Names, names, offered
from tests.conftest import Run

CONFIG = """\
build:
  debian:
    core: {image: "debian:trixie-slim", builder: pip_core}
    base: {image: core, builder: pip_deploy, build: {image: core, builder: pip_builder, pip: [numpy]}}
  lab:
    web: {image: debian-base, builder: pip_deploy}
"""
ALL = ["debian", "lab", "debian-core", "debian-base", "lab-web"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "orbiter.yaml").write_text(CONFIG)
    return tmp_path


def complete(orbiter: Run, *words: str, **variables: str) -> list[str]:
    """What bash is offered for the last word."""
    protocol = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1), "_ORBITER_COMPLETE": "bash_complete"}
    done = orbiter(**protocol, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["build", ""], ALL),
        (["build", "deb"], ["debian", "debian-core", "debian-base"]),
        (["build", "debian", "deb"], ["debian-core", "debian-base"]),
        (["graph", "*-b"], ["debian-base"]),
        (["plan", "debian-base-"], ["debian-base-build"]),
        (["build", "-b", ""], ["debian", "lab"]),
        (["build", "-b", "lab", "-i", ""], ["web"]),
        (["build", "-i", ""], ["core", "base", "web"]),
        (["run", "lab"], ["lab", "lab-web"]),
        (["graph", "--format", "d"], ["dot"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["grap"], ["graph"]),
        (["build", "nothing"], []),
    ],
)
def test_offers(project: Path, orbiter: Run, words: list[str], found: list[str]) -> None:
    assert complete(orbiter, "orbiter", *words) == found


def test_file_that_is_named_counts(project: Path, orbiter: Run) -> None:
    (project / "other.yaml").write_text(CONFIG.replace("lab:", "other:"))
    for words in (("-f", "other.yaml", "build", "o"), ("build", "-f", "other.yaml", "o")):
        assert complete(orbiter, "orbiter", *words) == ["other", "other-web"]
    assert complete(orbiter, "orbiter", "build", "o", ORBITER_FILE="other.yaml") == ["other", "other-web"]


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "build: 3", "build: {a: 3}", "build: {1: {2: 3}}", "\x00"])
def test_broken_configuration_is_silent(tmp_path: Path, orbiter: Run, text: str) -> None:
    (tmp_path / "orbiter.yaml").write_text(text)
    assert complete(orbiter, "orbiter", "build", "") == []


def test_no_configuration_is_silent(orbiter: Run) -> None:
    assert complete(orbiter, "orbiter", "build", "") == []


def test_configuration_with_errors_has_names(project: Path, orbiter: Run) -> None:
    (project / "orbiter.yaml").write_text(CONFIG.replace("builder: pip_core", "bulder: 7"))
    assert complete(orbiter, "orbiter", "build", "") == ALL


@pytest.mark.parametrize(
    ("shell", "current", "found"),
    [
        ("zsh", "2", "plain\nlab\nall of the family lab\nplain\nlab-web\nweb of lab\n"),
        ("fish", "la", "plain,lab\tall of the family lab\nplain,lab-web\tweb of lab\n"),
    ],
)
def test_other_shells_get_words_of_explanation(
    project: Path, orbiter: Run, shell: str, current: str, found: str
) -> None:
    done = orbiter(COMP_WORDS="orbiter build la", COMP_CWORD=current, _ORBITER_COMPLETE=f"{shell}_complete")
    assert (done.returncode, done.stdout, done.stderr) == (0, found, "")


def test_real_bash_completes(project: Path, orbiter: Run, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "orbiter"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m orbiter "$@"\n')
    program.chmod(0o755)
    script = """\
source <(orbiter completion bash)
complete -p orbiter
COMP_WORDS=(orbiter build debian-) COMP_CWORD=2
_orbiter_completion orbiter debian- build
printf '%s\\n' "${COMPREPLY[@]}"
"""
    environment = os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    bash = shutil.which("bash")
    assert bash
    done = subprocess.run([bash, "-c", script], cwd=project, env=environment, capture_output=True, text=True)
    assert done.stdout == "complete -o nosort -F _orbiter_completion orbiter\ndebian-core\ndebian-base\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_is_printed_and_where_it_belongs_is_said(orbiter: Run, shell: str) -> None:
    done = orbiter("completion", shell)
    assert done.returncode == 0
    assert f"_ORBITER_COMPLETE={shell}_complete" in done.stdout
    assert done.stderr.startswith(f"to have it in every new {shell}: ")


def test_unknown_shell_is_2(orbiter: Run) -> None:
    assert orbiter("completion", "tcsh").returncode == 2


def test_nested_builds_of_nested_builds_are_named() -> None:
    data = {"build": {"a": {"b": {"build": {"build": {}}}}}}
    assert names(data) == Names(published=(("a-b", "a", "b"),), nested=("a-b-build", "a-b-build-build"))
    assert [name for name, _ in offered(names(data), "a-b-", [])] == ["a-b-build", "a-b-build-build"]
