"""`orbiter diff` without an engine: revisions of a real git repository, files, and what is neither."""

import json
import subprocess
from pathlib import Path

import pytest

from orbiter.git import Git
from tests.conftest import ROOT, Run

CASE = ROOT / "tests" / "cases" / "locked"


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits, the first without a lock; since then markupsafe has another version. The project is in a folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(tmp_path, "init", "--quiet")
    (folder / "orbiter.yaml").write_text((CASE / "config.yaml").read_text())
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "without a lock")
    text = (CASE / "orbiter.lock").read_text()
    (folder / "orbiter.lock").write_text(text)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "with a lock")
    package = next(each for each in json.loads(text)["targets"]["debian-base-build"]["pip"] if each["name"] != "pip")
    old = f'"name": "{package["name"]}", "version": "{package["version"]}"'
    (folder / "orbiter.lock").write_text(text.replace(old, f'"name": "{package["name"]}", "version": "99"', 1))
    return folder


def test_since_the_last_commit(repository: Path, orbiter: Run) -> None:
    done = orbiter("diff", cwd=repository)
    assert (done.returncode, done.stderr) == (0, "")
    image, change = done.stdout.splitlines()
    assert (image, change[-5:]) == ("debian-base", " → 99")
    reverse = orbiter("diff", "orbiter.lock", "HEAD", "--format", "json", cwd=repository)
    assert list(json.loads(reverse.stdout)["images"]) == ["debian-base"]
    assert orbiter("diff", "HEAD", "--format", "markdown", cwd=repository).stdout.startswith("### debian-base\n\n|")


def test_exit_code_says_whether_there_is_a_difference(repository: Path, orbiter: Run) -> None:
    assert orbiter("diff", "--exit-code", cwd=repository).returncode == 1
    done = orbiter("diff", "--exit-code", "HEAD", "HEAD", cwd=repository)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "HEAD and HEAD: no difference\n")


def test_two_files_need_no_project(repository: Path, orbiter: Run, tmp_path: Path) -> None:
    done = orbiter("diff", str(CASE / "orbiter.lock"), str(repository / "orbiter.lock"), cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "debian-base"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("HEAD~1",), "orbiter: HEAD~1 has no orbiter.lock; 'git log -- orbiter.lock' lists the commits that changed"),
        (("v9",), "orbiter: v9: neither a lock file, nor a revision of git, nor an image (REPOSITORY:TAG)\n"),
        (("--", "--output=x"), "orbiter: --output=x: neither a lock file, nor a revision of git, nor an image"),
        (("orbiter.yaml",), "orbiter: orbiter.yaml:1:1: no lock: "),
    ],
)
def test_what_is_no_lock_is_said(repository: Path, orbiter: Run, arguments: tuple[str, ...], said: str) -> None:
    done = orbiter("diff", *arguments, cwd=repository)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)


def test_without_repository_lock_or_git(repository: Path, orbiter: Run, tmp_path: Path) -> None:
    alone = tmp_path.parent / f"{tmp_path.name}-alone"
    alone.mkdir()
    (alone / "orbiter.yaml").write_text((CASE / "config.yaml").read_text())
    done = orbiter("diff", "HEAD", cwd=alone)
    assert done.returncode == 2
    assert "; git says: not a git repository" in done.stderr
    done = orbiter("diff", str(CASE / "orbiter.lock"), cwd=alone)
    assert done.stderr == "orbiter: orbiter.lock is not there; 'orbiter lock' makes it, or name NEW\n"
    assert "; git says: git is not installed" in orbiter("diff", "HEAD", cwd=repository, PATH="/nowhere").stderr


def test_the_state_of_a_checkout(repository: Path, tmp_path: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    assert Git(repository).state() == f"{head}-dirty"
    git(repository, "checkout", "--quiet", ".")
    (repository / "untracked").touch()
    assert Git(repository).state() == head
    empty = tmp_path.parent / f"{tmp_path.name}-empty"
    empty.mkdir()
    assert Git(empty).state() is None
    git(empty, "init", "--quiet")
    assert Git(empty).state() is None
