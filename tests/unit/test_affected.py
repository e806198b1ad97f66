"""`orbiter plan --since`: what a build makes anew since a revision, asked of real repositories."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from orbiter import lock as locks
from tests.conftest import Run

CONFIG = """\
version: 1.0.0
docker: {repo: example.org/course}
build:
  debian:
    core: {image: "debian:trixie-slim", builder: pip_core, apt: [git], copy: {"data": "data"}}
    base: {image: core, builder: pip_deploy, build: {image: core, builder: pip_builder, pip: [numpy]}}
    side: {image: core, builder: pip_deploy, env: {A: b}, copy: {"notes.md": "notes.md"}}
    top: {image: base, builder: pip_deploy, build: {image: base-build, builder: pip_builder, pip: [scipy]}}
"""
ALL = ["debian-core", "debian-base-build", "debian-base", "debian-side", "debian-top-build", "debian-top"]
BASES = ["debian-base-build", "debian-base", "debian-top-build", "debian-top"]


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message=change")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "orbiter.yaml").write_text(CONFIG)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.csv").write_text("1\n")
    (tmp_path / "notes.md").write_text("# Notes\n")
    (tmp_path / "README.md").write_text("# Course\n")
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    commit(tmp_path)
    return tmp_path


def since(orbiter: Run, revision: str, *arguments: str, cwd: Path | None = None) -> dict[str, list[str]]:
    """Target → reasons."""
    done = orbiter("plan", "--since", revision, "--format", "json", *arguments, **({"cwd": cwd} if cwd else {}))
    assert done.returncode == 0, done.stderr
    return {target["name"]: target["reasons"] for target in json.loads(done.stdout)["targets"]}


def replace(project: Path, old: str, new: str) -> None:
    text = (project / "orbiter.yaml").read_text()
    assert old in text
    (project / "orbiter.yaml").write_text(text.replace(old, new))


def append(project: Path, path: str) -> None:
    with (project / path).open("a") as file:
        file.write("more\n")


CHANGES: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "nothing": (lambda project: None, []),
    "a package of a leaf": (lambda p: replace(p, "[scipy]", "[scipy, polars]"), ["debian-top-build", "debian-top"]),
    "a package of a build": (lambda p: replace(p, "[numpy]", "[pandas]"), BASES),
    "a package of the core": (lambda p: replace(p, "[git]", "[git, less]"), ALL),
    "a variable": (lambda p: replace(p, "A: b", "A: c"), ["debian-side"]),
    "a file that is copied": (lambda p: append(p, "notes.md"), ["debian-side"]),
    "a file in a folder that is copied": (lambda p: append(p, "data/a.csv"), ALL),
    "a new file in a folder that is copied": (lambda p: append(p, "data/b.csv"), ALL),
    "another file": (lambda p: append(p, "README.md"), []),
    "a comment": (lambda p: append(p, "orbiter.yaml") or replace(p, "more\n", "# more\n"), []),
    "the version": (
        lambda p: replace(p, "1.0.0", "1.1.0"),
        ["debian-core", "debian-base", "debian-side", "debian-top"],
    ),
}


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("change", CHANGES)
def test_change_affects_the_target_and_what_stands_on_it(
    project: Path, orbiter: Run, change: str, committed: bool
) -> None:
    make, affected = CHANGES[change]
    make(project)
    if committed:
        commit(project)
    assert sorted(since(orbiter, "HEAD~" if committed else "HEAD")) == sorted(affected)


def test_reasons_name_files_parents_and_tags(project: Path, orbiter: Run) -> None:
    replace(project, "[scipy]", "[polars]")
    replace(project, "A: b}", "A: b}, tags: [side]")
    append(project, "notes.md")
    assert since(orbiter, "main") == {
        "debian-top-build": ["requirements.txt"],
        "debian-top": ["needs debian-top-build"],
        "debian-side": ["copy: notes.md", "tag side"],
    }


def test_levels_are_those_of_the_affected_targets(project: Path, orbiter: Run) -> None:
    replace(project, "[scipy]", "[polars]")
    replace(project, "A: b", "A: c")
    done = orbiter("plan", "--since", "HEAD")
    assert done.stdout == (
        "level 0\n"
        "  debian-side       Dockerfile\n"
        "  debian-top-build  requirements.txt\n"
        "\n"
        "level 1\n"
        "  debian-top        needs debian-top-build\n"
    )
    assert done.stderr == "3 of 6 targets affected since HEAD\n"


def test_new_and_removed_targets(project: Path, orbiter: Run) -> None:
    replace(project, "    side:", "    other:")
    assert since(orbiter, "HEAD") == {"debian-other": ["new"]}
    assert orbiter("plan", "--since", "HEAD").stdout.endswith("\nno longer there\n  debian-side\n")


def test_platform_counts(project: Path, orbiter: Run) -> None:
    replace(project, "build:\n", "defaults: {platforms: [linux/amd64, linux/arm64]}\nbuild:\n")
    commit(project)
    replace(project, "A: b}", "A: b}, platforms: [linux/arm64]")
    assert since(orbiter, "HEAD") == {"debian-side": ["platforms: linux/arm64"]}


def test_digest_of_the_lock_affects_all_that_stands_on_it(project: Path, orbiter: Run) -> None:
    def lock(digest: str) -> None:
        pinned = locks.Lock(images={"debian:trixie-slim": f"sha256:{digest * 64}"})
        (project / "orbiter.lock").write_text(locks.dump(pinned))

    lock("a")
    commit(project)
    assert since(orbiter, "HEAD") == {}
    lock("b")
    assert sorted(since(orbiter, "HEAD")) == sorted(ALL)


def test_template_of_the_project_affects_its_builder(project: Path, orbiter: Run) -> None:
    place = project / "templates/pip_deploy/Dockerfile.j2"
    place.parent.mkdir(parents=True)
    place.write_text("# Generated by orbiter compile.\nFROM {{ stage.parent }}\n")
    affected = since(orbiter, "HEAD")
    assert affected["debian-side"][0] == "Dockerfile"
    assert sorted(affected) == ["debian-base", "debian-side", "debian-top"]
    commit(project)
    assert since(orbiter, "HEAD") == {}
    place.unlink()
    assert sorted(since(orbiter, "HEAD")) == ["debian-base", "debian-side", "debian-top"]


def test_committed_dockerfile_is_what_was_built(project: Path, orbiter: Run) -> None:
    # As after an upgrade of Orbiter whose templates are others.
    orbiter("compile")
    dockerfile = project / "build/debian/side/Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("ENV ", "# older\nENV "))
    commit(project)
    assert since(orbiter, "HEAD") == {"debian-side": ["Dockerfile"]}


def test_selection_narrows(project: Path, orbiter: Run) -> None:
    replace(project, "[git]", "[git, less]")
    assert sorted(since(orbiter, "HEAD", "debian-side")) == ["debian-core", "debian-side"]


def test_project_in_a_folder_of_its_repository(project: Path, orbiter: Run) -> None:
    inner = project / "images"
    inner.mkdir()
    for name in ("orbiter.yaml", "notes.md"):
        shutil.copy(project / name, inner)
    shutil.copytree(project / "data", inner / "data")
    commit(project)
    append(project, "notes.md")  # of the outer project
    assert since(orbiter, "HEAD", cwd=inner) == {}
    append(inner, "notes.md")
    assert sorted(since(orbiter, "HEAD", cwd=inner)) == ["debian-side"]


def test_configuration_with_another_name_before(project: Path, orbiter: Run) -> None:
    git(project, "mv", "orbiter.yaml", "orbiter.yml")
    done = orbiter("plan", "--since", "HEAD")
    assert "not there" not in done.stderr
    assert "new" not in done.stdout


def test_matrix_is_for_the_output_of_a_job(project: Path, orbiter: Run) -> None:
    replace(project, "[numpy]", "[polars]")
    base = '{"target":"debian-base","family":"debian","level":0}'
    top = '{"target":"debian-top","family":"debian","level":1}'
    assert orbiter("plan", "--since", "HEAD", "--format", "github-matrix").stdout == (
        f'matrix={{"include":[{base},{top}]}}\nlevel0={{"include":[{base}]}}\nlevel1={{"include":[{top}]}}\n'
    )


def test_matrix_of_nothing_is_nothing(project: Path, orbiter: Run) -> None:
    done = orbiter("plan", "--since", "HEAD", "--format", "github-matrix")
    assert (done.returncode, done.stdout) == (0, "")


def test_matrix_without_a_revision_has_every_image(project: Path, orbiter: Run) -> None:
    lines = orbiter("plan", "--format", "github-matrix").stdout.splitlines()
    levels = {name: json.loads(value)["include"] for name, value in (line.split("=", 1) for line in lines)}
    assert {name: [each["target"] for each in include] for name, include in levels.items()} == {
        "matrix": ["debian-core", "debian-base", "debian-side", "debian-top"],
        "level0": ["debian-core"],
        "level1": ["debian-base", "debian-side"],
        "level2": ["debian-top"],
    }


def test_matrix_that_github_refuses(tmp_path: Path, orbiter: Run) -> None:
    images = "".join(f"    i{n}: {{image: 'debian:trixie-slim', builder: pip_core}}\n" for n in range(257))
    (tmp_path / "orbiter.yaml").write_text(f"build:\n  many:\n{images}")
    done = orbiter("plan", "--format", "github-matrix")
    assert (done.returncode, done.stdout) == (2, "")
    assert "level0 has 257 images, and GitHub allows 256 jobs" in done.stderr


def test_everything_where_there_was_no_configuration(project: Path, orbiter: Run) -> None:
    git(project, "rm", "--quiet", "--cached", "orbiter.yaml")
    commit_without = ("commit", "--quiet", "--message=no configuration")
    git(project, *commit_without)
    done = orbiter("plan", "--since", "HEAD")
    assert done.returncode == 0
    assert done.stderr.startswith("orbiter.yaml: not there at HEAD, so everything is affected\n6 of 6 targets")


def test_everything_where_the_configuration_was_wrong(project: Path, orbiter: Run) -> None:
    right = (project / "orbiter.yaml").read_text()
    replace(project, "builder: pip_core", "bulder: pip_core")
    commit(project)
    (project / "orbiter.yaml").write_text(right)
    done = orbiter("plan", "--since", "HEAD")
    assert done.returncode == 0
    assert (
        "orbiter.yaml: wrong at HEAD, so everything is affected: orbiter.yaml:5:41: build.debian.core: " in done.stderr
    )
    assert "6 of 6 targets" in done.stderr


def test_everything_where_a_branch_is_new(project: Path, orbiter: Run) -> None:
    done = orbiter("plan", "--since", "0" * 40)
    assert done.returncode == 0
    assert "6 of 6 targets" in done.stderr


@pytest.mark.parametrize("revision", ["nope", "--output=x", "HEAD:orbiter.yaml", ""])
def test_no_such_revision_is_2(project: Path, orbiter: Run, revision: str) -> None:
    done = orbiter("plan", f"--since={revision}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"orbiter: '{revision}' is no revision of this repository\n"
    assert not (project / "x").exists()


def test_shallow_clone_says_what_is_missing(project: Path, tmp_path: Path, orbiter: Run) -> None:
    commit(project)
    first = git(project, "rev-parse", "HEAD~")
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{project}", "shallow")
    done = orbiter("plan", "--since", first, cwd=tmp_path / "shallow")
    assert done.returncode == 2
    assert "fetch-depth: 0" in done.stderr


def test_no_repository_is_2_and_no_git_is_4(tmp_path: Path, orbiter: Run) -> None:
    (tmp_path / "orbiter.yaml").write_text(
        CONFIG.replace(', copy: {"data": "data"}', "").replace(", copy: {", ", x: {")
    )
    (tmp_path / "orbiter.yaml").write_text(
        "build: {debian: {core: {image: 'debian:trixie-slim', builder: pip_core}}}\n"
    )
    done = orbiter("plan", "--since", "HEAD", GIT_CEILING_DIRECTORIES=str(tmp_path.parent))
    assert (done.returncode, done.stdout) == (2, "")
    assert "not a git repository" in done.stderr
    done = orbiter("plan", "--since", "HEAD", PATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (
        4,
        "orbiter: git is not installed, or not on PATH; get it: https://git-scm.com\n",
    )
