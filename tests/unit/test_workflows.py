"""The workflows that `orbiter ci` writes: valid by the services' own rules, safe whatever the configuration holds."""

import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from orbiter import ci
from orbiter import lock as locks
from tests.conftest import Run

CONFIG = """\
version: 1.0.0
docker: {repo: ghcr.io/example/course}
build:
  debian:
    core: {image: "debian:trixie-slim", builder: pip_core}
    base: {image: core, builder: pip_deploy, build: {image: core, builder: pip_builder, pip: [numpy]}}
    top:
      {image: base, builder: pip_deploy, tags: [latest], build: {image: base-build, builder: pip_builder, pip: [scipy]}}
"""
TOOLS = Path(sys.executable).parent
PLATFORMS = "--platforms=linux/amd64,linux/arm64"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "orbiter.yaml").write_text(CONFIG)
    return tmp_path


def lock(project: Path) -> None:
    text = locks.dump(locks.Lock(images={"debian:trixie-slim": f"sha256:{'a' * 64}"}))
    (project / "orbiter.lock").write_text(text)


def printed(orbiter: Run, *arguments: str) -> str:
    done = orbiter("ci", *arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    return done.stdout


def parsed(text: str) -> Any:
    # YAML 1.1 would take `on` for true.
    return yaml.load(re.sub(r"^on:", '"on":', text, flags=re.MULTILINE), yaml.SafeLoader)


def assert_valid(service: str, folder: Path, *texts: str) -> None:
    """By the service's JSON schema, and for GitHub by actionlint, which asks ShellCheck as well where there is one."""
    files = [folder / f"{number}.yml" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    schema = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}[service]
    transform = ["--data-transform=gitlab-ci"] if service == "gitlab" else []
    commands = [[TOOLS / "check-jsonschema", f"--builtin-schema={schema}", *transform, *files]]
    if service == "github":
        actionlint = shutil.which("actionlint", path=TOOLS) or shutil.which("actionlint")
        assert actionlint, "actionlint is missing; install the extra 'test'"
        commands.append([actionlint, "-no-color", *files])
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


CACHES = ([], ["--cache-repo="])
SHAPES = ([], ["--split"], [PLATFORMS])


@pytest.mark.parametrize("locked", [False, True], ids=["no lock", "lock"])
@pytest.mark.parametrize("repo", ["ghcr.io/example/course", "registry.example.org:5000/course", "example/course"])
def test_github_takes_it(project: Path, orbiter: Run, tmp_path: Path, locked: bool, repo: str) -> None:
    (project / "orbiter.yaml").write_text(CONFIG.replace("ghcr.io/example/course", repo))
    if locked:
        lock(project)
    combined = itertools.product(CACHES, SHAPES)
    assert_valid("github", tmp_path, *(printed(orbiter, "github", *cache, *shape) for cache, shape in combined))


@pytest.mark.parametrize("locked", [False, True], ids=["no lock", "lock"])
@pytest.mark.parametrize("repo", ["registry.gitlab.com/example/course", "ghcr.io/example/course", "example/course"])
def test_gitlab_takes_it(project: Path, orbiter: Run, tmp_path: Path, locked: bool, repo: str) -> None:
    (project / "orbiter.yaml").write_text(CONFIG.replace("ghcr.io/example/course", repo))
    if locked:
        lock(project)
    assert_valid("gitlab", tmp_path, *(printed(orbiter, "gitlab", *cache) for cache in CACHES))


@pytest.mark.parametrize("shape", SHAPES, ids=["one job", "split", "platforms"])
def test_github_gives_no_more_than_is_needed(project: Path, orbiter: Run, shape: list[str]) -> None:
    lock(project)
    workflow = parsed(printed(orbiter, "github", *shape))
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        allowed = {"upgrade": ["contents", "pull-requests"]}.get(name, [])
        writes = [scope for scope, access in job["permissions"].items() if access == "write" and scope != "packages"]
        assert writes == allowed
        assert "timeout-minutes" in job
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("shape", SHAPES, ids=["one job", "split", "platforms"])
def test_actions_are_pinned_by_commit(project: Path, orbiter: Run, shape: list[str]) -> None:
    text = printed(orbiter, "github", *shape)
    used = re.findall(r"uses: (.*)", text)
    assert used
    for each in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)


@pytest.mark.parametrize("shape", SHAPES, ids=["one job", "split", "platforms"])
def test_shell_has_no_expression(project: Path, orbiter: Run, shape: list[str]) -> None:
    lock(project)
    for job in parsed(printed(orbiter, "github", *shape))["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("shape", SHAPES, ids=["one job", "split", "platforms"])
def test_only_a_push_publishes(project: Path, orbiter: Run, shape: list[str]) -> None:
    lock(project)
    for job in parsed(printed(orbiter, "github", *shape))["jobs"].values():
        for step in job["steps"]:
            run = step.get("run", "")
            condition = f"{step.get('if', '')} {job.get('if', '')}"
            if "--push" in run or "imagetools create" in run:
                assert "github.event_name == 'push'" in condition
            if "--push" in run:  # what was built before has written the cache
                assert re.search("^CACHE_WRITE=0 (orbiter build|docker buildx bake) ", run, re.MULTILINE)


@pytest.mark.parametrize("shape", SHAPES, ids=["one job", "split", "platforms"])
def test_a_pull_request_has_a_cache_of_its_own_and_a_fork_writes_none(
    project: Path, orbiter: Run, shape: list[str]
) -> None:
    workflow = parsed(printed(orbiter, "github", *shape))
    # Of a push, the branch is empty: that of the main cache, whatever the branch that is published is called.
    assert workflow["env"]["CACHE_BRANCH"] == "${{ github.head_ref }}"
    own = "github.event.pull_request.head.repo.full_name == github.repository"
    assert workflow["env"]["CACHE_WRITE"] == f"${{{{ github.event_name == 'push' || {own} }}}}"
    without = printed(orbiter, "github", "--cache-repo=", *shape)
    assert "CACHE_" not in without + printed(orbiter, "gitlab", "--cache-repo=")


def test_the_cache_of_the_configuration_is_taken(project: Path, orbiter: Run) -> None:
    (project / "orbiter.yaml").write_text(f"{CONFIG}cache: {{registry: ghcr.io/example/kept}}\n")
    assert parsed(printed(orbiter, "github"))["env"]["CACHE_REPO"] == "ghcr.io/example/kept"
    assert parsed(printed(orbiter, "github", "--cache-repo=a/b"))["env"]["CACHE_REPO"] == "a/b"


def test_test_comes_before_push(project: Path, orbiter: Run) -> None:
    steps = [step.get("run", "") for step in parsed(printed(orbiter, "github"))["jobs"]["images"]["steps"]]
    order = [next(n for n, run in enumerate(steps) if f"orbiter {what}" in run) for what in ("test", "build --push")]
    assert order == sorted(order)


def test_levels_are_those_of_the_graph(project: Path, orbiter: Run) -> None:
    jobs = parsed(printed(orbiter, "github", "--split"))["jobs"]
    assert list(jobs) == ["check", "level0", "level1", "level2", "publish"]
    assert jobs["level2"]["needs"] == ["check", "level0", "level1"]
    assert jobs["publish"]["needs"] == ["check", "level0", "level1", "level2"]


def test_platforms_have_runners_and_caches_of_their_own(project: Path, orbiter: Run) -> None:
    job = parsed(printed(orbiter, "github", PLATFORMS))["jobs"]["images"]
    assert job["strategy"]["matrix"]["include"] == [
        {
            "arch": arch,
            "platform": f"linux/{arch}",
            "runner": runner,
            "cache": f"ghcr.io/example/course-cache-{arch}",
        }
        for arch, runner in (("amd64", "ubuntu-24.04"), ("arm64", "ubuntu-24.04-arm"))
    ]


def test_platforms_of_the_configuration_are_taken(project: Path, orbiter: Run) -> None:
    given = printed(orbiter, "github", PLATFORMS)
    (project / "orbiter.yaml").write_text(f"defaults: {{platforms: [linux/amd64, linux/arm64]}}\n{CONFIG}")
    assert printed(orbiter, "github").splitlines()[1:] == given.splitlines()[1:]
    (project / "orbiter.yaml").write_text(f"defaults: {{platforms: [linux/arm64]}}\n{CONFIG}")
    assert parsed(printed(orbiter, "github"))["jobs"]["images"]["runs-on"] == "ubuntu-24.04-arm"


def test_a_lock_is_checked_and_upgraded(project: Path, orbiter: Run) -> None:
    without = printed(orbiter, "github")
    lock(project)
    with_lock = printed(orbiter, "github")
    for word in ("lock --check", "schedule:", "lock --upgrade", "gh pr create"):
        assert (word in without, word in with_lock) == (False, True)


def test_values_stay_values(project: Path, orbiter: Run, tmp_path: Path) -> None:
    nasty = "a: b # ${{ secrets.X }} $CI_JOB_TOKEN \"'`$(id)`"
    github = parsed(printed(orbiter, "github", f"--install={nasty}"))
    assert github["env"]["ORBITER"] == nasty.replace("${{", "${{ '${{' }}")
    gitlab = parsed(printed(orbiter, "gitlab", f"--install={nasty}"))
    assert gitlab["variables"]["ORBITER"] == nasty.replace("$", "$$")
    text = printed(orbiter, "github", f"--install={nasty}\nname: other")
    assert text.splitlines()[0].startswith("# Generated by orbiter ci github")
    assert_valid("github", tmp_path, text)


def test_release_pins_orbiter() -> None:
    from tests.unit.test_content import planned

    def made(version: str) -> ci.Workflow:
        plan = planned(CONFIG)
        return ci.workflow("github", plan, ci.Wishes(), version=version, locked=False, folder="", file=None)

    assert (made("1.2.3").requirement, made("1.2.3").pinned) == (f"{ci.SOURCE}@v1.2.3", True)
    assert (made("1.2.3.dev0").requirement, made("1.2.3.dev0").pinned) == (ci.SOURCE, False)


def test_project_in_a_folder(project: Path, orbiter: Run, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    folder = tmp_path / "my images"
    folder.mkdir()
    shutil.move(project / "orbiter.yaml", folder / "lab.yaml")
    done = orbiter("ci", "github", "-f", "lab.yaml", "--write", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "../.github/workflows/images.yml: written\n")
    workflow = parsed((tmp_path / ".github/workflows/images.yml").read_text())
    assert workflow["defaults"]["run"]["working-directory"] == "my images"
    assert workflow["env"]["ORBITER_FILE"] == "lab.yaml"


@pytest.mark.parametrize(("service", "place"), ci.PLACES.items())
def test_check_says_whether_it_is_stale(project: Path, orbiter: Run, service: str, place: str) -> None:
    done = orbiter("ci", service, "--check")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"orbiter: {place} is not there; run 'orbiter ci {service} --write'\n"
    assert orbiter("ci", service, "--write").stderr == f"{place}: written\n"
    assert orbiter("ci", service, "--write").stderr == f"{place}: up to date\n"
    assert orbiter("ci", service, "--check").returncode == 0
    again = (project / "orbiter.yaml").read_text().replace("example/course", "example/other")
    (project / "orbiter.yaml").write_text(again)
    done = orbiter("ci", service, "--check")
    assert (done.returncode, done.stderr) == (1, f"orbiter: {place} is stale; run 'orbiter ci {service} --write'\n")
    diff = orbiter("ci", service, "--diff")
    assert diff.returncode == 0
    assert "+  REPO: ghcr.io/example/other\n" in diff.stdout


def test_new_image_does_not_make_it_stale(project: Path, orbiter: Run) -> None:
    for shape in SHAPES:
        orbiter("ci", "github", *shape, "-o", "w.yml")
        config = CONFIG.replace("    top:", "    side: {image: core, builder: pip_deploy}\n    top:").replace(
            "1.0.0", "2.0.0"
        )
        (project / "orbiter.yaml").write_text(config)
        assert orbiter("ci", "github", *shape, "-o", "w.yml", "--check").returncode == 0
        (project / "orbiter.yaml").write_text(CONFIG)


def test_first_line_is_the_command_that_writes_it(project: Path, orbiter: Run) -> None:
    command = "orbiter ci github --split --branch=trunk --cache-repo= --install=orbiter==1"
    text = printed(orbiter, *command.split()[2:])
    assert text.startswith(f"# Generated by {command} from orbiter.yaml; do not edit.\n")


def test_file_of_somebody_else_is_kept(project: Path, orbiter: Run) -> None:
    place = project / ".gitlab-ci.yml"
    place.write_text("image: alpine\n")
    done = orbiter("ci", "gitlab", "--write")
    assert done.returncode == 2
    assert "not written by Orbiter" in done.stderr
    assert place.read_text() == "image: alpine\n"
    assert orbiter("ci", "gitlab", "--check").returncode == 1


@pytest.mark.parametrize(
    ("repo", "defaults", "arguments", "message"),
    [
        ("localhost/course", "", ["github"], "docker.repo is localhost/course, which is on one machine only"),
        ("localhost:5000/course", "", ["gitlab"], "docker.repo is localhost:5000/course, which is on one machine only"),
        ("a/b", "", ["github", "--branch", "a'b"], "--branch a'b: is no name of a branch"),
        ("a/b", "", ["github", "--split", PLATFORMS], "--split and several platforms exclude each other"),
        ("a/b", "", ["github", "--platforms=linux/riscv64"], "GitHub has no runner for linux/riscv64"),
        ("a/b", "", ["github", "--write", "-o", "x"], "--write and -o both say where"),
        ("a/b", "[linux/amd64, linux/arm64]", ["github", "--split"], "exclude each other"),
    ],
)
def test_what_cannot_be_is_2(
    project: Path, orbiter: Run, repo: str, defaults: str, arguments: list[str], message: str
) -> None:
    config = CONFIG.replace("ghcr.io/example/course", repo)
    (project / "orbiter.yaml").write_text(f"defaults: {{platforms: {defaults}}}\n{config}" if defaults else config)
    done = orbiter("ci", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_images_for_different_platforms_are_said(project: Path, orbiter: Run) -> None:
    config = CONFIG.replace("tags: [latest]", "tags: [latest], platforms: [linux/amd64]")
    (project / "orbiter.yaml").write_text(f"defaults: {{platforms: [linux/amd64, linux/arm64]}}\n{config}")
    done = orbiter("ci", "github")
    assert done.returncode == 2
    assert "'debian-core' is for linux/amd64, linux/arm64, 'debian-top' for linux/amd64" in done.stderr
    assert orbiter("ci", "github", PLATFORMS).returncode == 0


def test_template_of_the_project_comes_first(project: Path, orbiter: Run) -> None:
    place = project / "templates/ci/github.yml.j2"
    place.parent.mkdir(parents=True)
    place.write_text("# Generated by orbiter ci.\nname: {{ ci.repo | github }}\n")
    assert printed(orbiter, "github") == "# Generated by orbiter ci.\nname: ghcr.io/example/course\n"
    place.write_text("name: mine\n")
    done = orbiter("ci", "github")
    assert done.returncode == 2
    assert "its first line has to be a comment with 'Generated by orbiter ci'" in done.stderr
