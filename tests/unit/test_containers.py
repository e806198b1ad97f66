"""What Docker is told for a server and for a shell, which image is meant, and who may write to a folder."""

from dataclasses import replace
from pathlib import Path

import pytest

from orbiter import pipeline
from orbiter.containers import Mount, Owner, Settings, candidates, home_of, may_write, repo2docker, server, shell
from orbiter.errors import NothingMatched, UsageError
from orbiter.model import BuildPlan
from tests.conftest import Run

CONFIG = """\
build:
  debian:
    core: {image: "debian:trixie-slim", builder: pip_core}
    base: {image: core, builder: pip_deploy, build: {image: core, builder: pip_builder, pip: [jupyterlab]}}
    geo: {image: base, builder: pip_deploy}
    tool: {image: core, builder: pip_deploy, cmd: [git, daemon]}
"""
PLAIN = Settings(target="d-base", reference="r:d-base-1", repository="r", name="d-base-0")
COMMON = (
    "--pull=never",
    "--name=d-base-0",
    "--label=orbiter.target=d-base",
    "--label=orbiter.repository=r",
)


@pytest.fixture
def plan(tmp_path: Path) -> BuildPlan:
    (tmp_path / "orbiter.yaml").write_text(CONFIG)
    return pipeline.make_plan(tmp_path / "orbiter.yaml").plan


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ([], ["debian-base", "debian-geo"]),
        (["debian-core"], ["debian-core"]),
        (["*-geo"], ["debian-geo"]),
        (["debian"], ["debian-core", "debian-base", "debian-geo", "debian-tool"]),
    ],
)
def test_candidates_are_published_and_without_patterns_those_with_jupyter(
    plan: BuildPlan, patterns: list[str], found: list[str]
) -> None:
    assert [target.name for target in candidates(plan, patterns)] == found


def test_nested_build_is_no_candidate(plan: BuildPlan) -> None:
    with pytest.raises(UsageError, match="debian-base-build: a nested build is never published"):
        candidates(plan, ["debian-base-build"])
    with pytest.raises(NothingMatched):
        candidates(plan, ["nothing"])


def test_server_is_published_and_its_token_is_no_argument() -> None:
    arguments = server(PLAIN, "127.0.0.1", 8889, ())
    assert arguments == (
        "create",
        "--publish=127.0.0.1:8889:8888",
        "--env=JUPYTER_TOKEN",
        *COMMON,
        "--label=orbiter.command=run",
        "r:d-base-1",
    )


@pytest.mark.parametrize(
    ("host", "port", "publish"),
    [("0.0.0.0", 0, "0.0.0.0::8888"), ("::1", 8888, "[::1]:8888:8888")],
)
def test_server_on_other_addresses(host: str, port: int, publish: str) -> None:
    assert f"--publish={publish}" in server(PLAIN, host, port, ())


def test_server_takes_everything_that_can_be_set() -> None:
    settings = replace(
        PLAIN,
        mount=Mount(source="/a, b/book", target="/home/jovyan/book"),
        volumes=("data:/data",),
        env=("A=1", "B"),
        gpus="all",
        account=(1001, 1002),
    )
    assert server(settings, "127.0.0.1", 8888, ("jupyter", "notebook"))[3:] == (
        *COMMON,
        "--label=orbiter.command=run",
        '--mount=type=bind,"source=/a, b/book",target=/home/jovyan/book',
        "--volume=data:/data",
        "--env=A=1",
        "--env=B",
        "--gpus=all",
        *("--user=0", "--env=NB_UID=1001", "--env=NB_GID=1002"),
        *("r:d-base-1", "jupyter", "notebook"),
    )


def test_shell_goes_through_the_start_of_the_image() -> None:
    assert shell(PLAIN, ("python", "-c", "1"), terminal=False) == (
        *("run", "--rm", "--interactive", *COMMON, "--label=orbiter.command=bash", "r:d-base-1", "python", "-c", "1"),
    )


def test_shell_is_bash_where_there_is_one() -> None:
    arguments = shell(PLAIN, (), terminal=True)
    assert arguments[:4] == ("run", "--rm", "--interactive", "--tty")
    assert arguments[-3:] == ("sh", "-c", "exec $(command -v bash || echo sh)")


def test_root_shell_goes_around_the_start_of_the_image() -> None:
    settings = replace(PLAIN, root=True, account=(1, 1))
    assert shell(settings, ("id", "-u"), terminal=False) == (
        *(
            "run",
            "--rm",
            "--interactive",
            *COMMON,
            "--label=orbiter.command=bash",
            "--init",
            "--user=0",
            "--entrypoint=id",
            "r:d-base-1",
            "-u",
        ),
    )


def test_repo2docker_builds_for_the_user_of_binder() -> None:
    assert repo2docker(("r2d",), PLAIN, "image:1", "/folder") == (
        *("r2d", "--no-run", "--image-name=image:1", "--user-id=1000", "--user-name=jovyan"),
        *("--label=orbiter.target=d-base", "--label=orbiter.repository=r", "/folder"),
    )


@pytest.mark.parametrize(
    ("owner", "may"),
    [
        ((1000, 0, 0o755), True),
        ((0, 100, 0o775), True),
        ((0, 100, 0o755), False),
        ((0, 0, 0o777), True),
        ((0, 0, 0o755), False),
        ((1000, 100, 0o577), False),  # the owner's own bits count
    ],
)
def test_who_may_write(owner: tuple[int, int, int], may: bool) -> None:
    uid, gid, mode = owner
    assert may_write(Owner(uid=uid, gid=gid, mode=mode), 1000, 100) is may


def test_mount_is_in_the_home(plan: BuildPlan) -> None:
    assert home_of(plan.project, "book") == "/home/jovyan/book"


SEVERAL = "which image? One of: debian-base, debian-geo"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], SEVERAL),
        (["bash", "--", "ls"], SEVERAL),
        (["r2d"], SEVERAL),
        (["run", "debian-*"], "4 images match, name one of them: debian-core, debian-base, debian-geo, debian-tool"),
        (["bash", "-b", "debian"], "4 images match, name one of them: "),
        (["run", "debian-base-build"], "debian-base-build: a nested build is never published"),
        (
            ["run", "debian-base", "--host", "localhost"],
            "--host localhost: is no IP address; ",
        ),
        (["run", "debian-base", "-e", "JUPYTER_TOKEN="], "-e JUPYTER_TOKEN: an empty token would let everybody in"),
    ],
)
def test_wrong_usage_is_2(plan: BuildPlan, orbiter: Run, arguments: list[str], message: str) -> None:
    done = orbiter(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"orbiter: {message}")


@pytest.mark.parametrize("command", ["run", "bash"])
def test_no_docker_is_4(plan: BuildPlan, orbiter: Run, tmp_path: Path, command: str) -> None:
    done = orbiter(command, "debian-base", PATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("orbiter: docker is not installed, or not on PATH; ")


@pytest.mark.parametrize("command", ["run", "bash", "r2d"])
def test_no_such_image_is_3(plan: BuildPlan, orbiter: Run, command: str) -> None:
    done = orbiter(command, "debian-bse")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "orbiter: no target matches 'debian-bse'; did you mean 'debian-base'?\n"
