"""`orbiter clean` removes what Orbiter wrote, and nothing else."""

import json
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.unit.test_cli import BAD, GOOD, files


@pytest.fixture
def project(tmp_path: Path, orbiter: Run) -> Path:
    """A compiled project with files of its own in Orbiter's places."""
    (tmp_path / "orbiter.yaml").write_text(GOOD)
    assert orbiter("compile").returncode == 0
    (tmp_path / "build/debian/mine.txt").write_text("mine\n")
    (tmp_path / "notes").mkdir()
    return tmp_path


LEFT = {"orbiter.yaml", "build/debian/mine.txt"}


def test_generated_files_go_and_all_others_stay(project: Path, orbiter: Run) -> None:
    generated = files(project) - LEFT
    done = orbiter("clean", "--yes")
    assert (done.returncode, done.stderr) == (0, "removed: 8 files\n")
    assert {line.removeprefix("- ") for line in done.stdout.splitlines()} == generated
    assert files(project) == LEFT
    assert not (project / "dockerfiles").exists()
    assert (project / "notes").is_dir()
    again = orbiter("clean", "--yes")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "nothing to remove\n")


def test_dry_run_and_a_pipe_without_yes_change_nothing(project: Path, orbiter: Run) -> None:
    before = files(project)
    shown, refused = orbiter("clean", "--dry-run"), orbiter("clean")
    assert (shown.returncode, refused.returncode, files(project)) == (0, 2, before)
    assert shown.stdout == refused.stdout != ""
    assert "Remove 8 files? There is no terminal to ask on; --yes answers" in refused.stderr


def test_data_goes_to_stdout_alone(project: Path, orbiter: Run) -> None:
    shown, done = (json.loads(orbiter("clean", option, "--format=json").stdout) for option in ("--dry-run", "--yes"))
    assert shown["files"] == done["files"]
    assert (len(done["files"]), shown["removed"], done["removed"]) == (8, False, True)


def test_a_configuration_that_is_wrong_or_gone_is_no_obstacle(project: Path, orbiter: Run) -> None:
    (project / "orbiter.yaml").write_text(BAD)
    assert orbiter("clean", "--dry-run").returncode == 0
    (project / "orbiter.yaml").unlink()
    assert orbiter("clean", "--yes").returncode == 2
    assert orbiter("clean", "--yes", "-o", ".").returncode == 0
    assert files(project) == LEFT - {"orbiter.yaml"}


def test_what_was_compiled_elsewhere_is_cleaned_there(project: Path, orbiter: Run) -> None:
    orbiter("compile", "-o", "out")
    before = files(project)
    assert orbiter("clean", "-o", "out", "--yes").returncode == 0
    assert files(project) == {path for path in before if not path.startswith("out/")}


@pytest.mark.parametrize("command", ["images", "docker-rmi", "docker-clean", "docker-prune"])
def test_without_docker_is_4(project: Path, orbiter: Run, command: str) -> None:
    done = orbiter(command, PATH=str(project))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        "orbiter: docker is not installed, or not on PATH; get it: https://docs.docker.com/engine/install/\n"
    )


@pytest.mark.parametrize("command", ["images", "docker-rmi"])
def test_no_such_family_is_3(project: Path, orbiter: Run, command: str) -> None:
    assert orbiter(command, "-b", "debia", PATH=str(project)).returncode == 3


def test_images_of_a_nested_build_are_no_images(project: Path, orbiter: Run) -> None:
    done = orbiter("images", "debian-base-build")
    assert (done.returncode, done.stdout) == (2, "")
    assert "a nested build is not published" in done.stderr


def test_all_and_names_exclude_each_other(project: Path, orbiter: Run) -> None:
    assert orbiter("docker-rmi", "--all", "debian-base").returncode == 2


def test_the_doctor_works_without_docker_and_without_a_configuration(tmp_path: Path, orbiter: Run) -> None:
    done = orbiter("doctor", PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.splitlines()[:2] == [
        "problem  docker         not installed, or not on PATH",
        "         → https://docs.docker.com/engine/install/",
    ]
    assert done.stderr == "orbiter: 1 problem, 1 warning\n"
