"""The commands that Docker gets, and what is said when it is missing, old or silent. The real one: tests/e2e."""

import os
from pathlib import Path

import pytest

from orbiter.bake import BakeOptions, bake_command, bake_variables
from orbiter.engine import Buildx
from orbiter.errors import EngineError


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` that notes its arguments in `calls` and fails for the words in $FAILS."""
    program = tmp_path / "bin/docker"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$PLATFORMS|$PWD|$*" >> "{tmp_path}/calls"\ncase " $* " in *" $FAILS "*) exit 9;; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("FAILS", "nothing")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    return tmp_path


def test_bake_command_has_every_option() -> None:
    options = BakeOptions(
        push=True,
        load=False,
        no_cache=True,
        builder="remote",
        set=("*.network=host", "a.tags=b c"),
        allow=("fs.read=/etc",),
        progress="plain",
        metadata="m.json",
    )
    assert bake_command(("default", "a"), options) == [
        *("docker", "buildx", "bake", "--file", "docker-bake.hcl", "--builder", "remote", "--progress", "plain"),
        *("--metadata-file", "m.json", "--allow", "fs.read=/etc"),
        *("--push", "--no-cache", "--set", "*.network=host", "--set", "a.tags=b c", "default", "a"),
    ]


def test_bake_command_is_short_without_options() -> None:
    assert bake_command(("default",), BakeOptions()) == [
        *("docker", "buildx", "bake", "--file", "docker-bake.hcl", "default")
    ]


def test_platforms_are_a_variable_of_the_bake_file() -> None:
    assert bake_variables(BakeOptions(platforms=("linux/amd64", "linux/arm64"))) == {
        "PLATFORMS": "linux/amd64,linux/arm64"
    }
    assert bake_variables(BakeOptions()) == {}


def test_bake_runs_in_the_folder_of_the_bake_file(docker: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a project"
    folder.mkdir()
    Buildx().bake(folder, ["default"], BakeOptions(platforms=("linux/arm64",)))
    called = (docker / "calls").read_text()
    assert called == f"linux/arm64|{folder}|buildx bake --file docker-bake.hcl default\n"


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        ("bake", "docker buildx bake failed with status 9"),
        ("buildx", "docker has no Buildx; install the plugin"),
    ],
)
def test_failure_says_why(docker: Path, monkeypatch: pytest.MonkeyPatch, fails: str, message: str) -> None:
    monkeypatch.setenv("FAILS", fails)
    with pytest.raises(EngineError) as error:
        Buildx().bake(docker, ["default"], BakeOptions())
    assert str(error.value).startswith(message)
    assert error.value.exit_code == 4


@pytest.mark.parametrize("said", ["unknown flag: --format", "docker: unknown command: docker buildx"])
def test_a_question_to_buildx_where_there_is_none(docker: Path, said: str) -> None:
    # What Docker 28.2 says without the plugin, to arguments that have options and to those that have none.
    (docker / "bin/docker").write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    with pytest.raises(EngineError, match="docker has no Buildx; install the plugin: https://"):
        Buildx().ask("buildx", "imagetools", "inspect")


def test_no_engine_answers(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (docker / "bin/docker").write_text('#!/bin/sh\ncase "$2" in bake) exit 1;; esac\n[ "$1" != version ]\n')
    with pytest.raises(EngineError, match="no Docker engine answers; start one"):
        Buildx().bake(docker, ["default"], BakeOptions())


def test_no_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="docker is not installed, or not on PATH; get it: https://"):
        Buildx().bake(tmp_path, ["default"], BakeOptions())


def test_docker_that_cannot_run(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(docker / "bin"))
    (docker / "bin/docker").write_bytes(b"\x7fELF no program")
    with pytest.raises(EngineError, match="cannot run docker: "):
        Buildx().bake(docker, ["default"], BakeOptions())


def test_a_question_without_an_answer_ends(docker: Path) -> None:
    (docker / "bin/docker").write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(EngineError, match="docker buildx inspect: no answer within 0 s"):
        Buildx().ask("buildx", "inspect", "far", timeout=0.2)
