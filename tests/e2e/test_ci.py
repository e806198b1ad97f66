"""The workflows of `orbiter ci`, as far as a machine without GitHub and GitLab can run them.

Every shell line is run, in the order of the steps, in a new clone, on a real engine with a real registry. Actions are
replaced by what they leave behind: checkout by a clone, setup-python by a virtual environment, setup-buildx by the
engine that is there, the artifacts by a folder. `gh` is a script that notes how it is called. What this does not prove:
that the services read the files as we do (`tests/unit/test_workflows.py` asks their schemas), runners of arm64,
permissions, logins that are refused.
"""

import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from orbiter import lock as locks
from tests.conftest import ROOT, run_orbiter

pytestmark = pytest.mark.engine

CONFIG = """\
version: "1"
docker: {{repo: {repo}}}
mirrors: {{docker.io: "{registry}"}}
build:
  debian:
    core: {{image: "debian:trixie-slim", builder: pip_core}}
    top: {{image: core, builder: pip_deploy, cmd: [sleep, "60"], tags: [latest], copy: {{notes.md: notes.md}}}}
    side: {{image: core, builder: pip_deploy, cmd: [sleep, "61"]}}
"""
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
ACCEPTED = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in ("oci.image.index.v1", "oci.image.manifest.v1", "docker.distribution.manifest.v2")
)
OWN = "github.event.pull_request.head.repo.full_name == github.repository"
IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *IDENTITY, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]) -> tuple[Path, Path]:
    """What actions/setup-python leaves behind: programs; and a wheel of Orbiter as it is here."""
    folder = tmp_path_factory.mktemp("python")
    programs = folder / "venv/bin"
    for command in (
        [sys.executable, "-m", "venv", str(folder / "venv")],
        [str(programs / "pip"), "wheel", "--quiet", "--no-deps", f"--wheel-dir={folder}", str(ROOT)],
    ):
        done = subprocess.run(command, env=engine, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return programs, next(folder.glob("*.whl"))


@dataclass
class Runner:
    """A machine that runs jobs of a workflow of a repository, in a new clone each."""

    origin: Path
    folder: Path
    environment: dict[str, str]
    repo: str
    jobs: int = 0
    outputs: dict[str, str] = field(default_factory=dict)

    def workflow(self, *arguments: str, service: str = "github") -> Any:
        """Writes, commits and reads the workflow of the repository."""
        work = self.clone()
        self.orbiter(work, "ci", service, "--write", *arguments)
        place = work / {"github": ".github/workflows/images.yml", "gitlab": ".gitlab-ci.yml"}[service]
        text = place.read_text()
        git(work, "add", "--all")
        git(work, "commit", "--quiet", "--message=workflow")
        git(work, "push", "--quiet", "origin", "HEAD:main")
        return yaml.safe_load(text)

    def orbiter(self, folder: Path, *arguments: str) -> None:
        done = run_orbiter(folder, self.environment | {"PYTHONPATH": str(ROOT)}, *arguments)
        assert done.returncode == 0, done.stderr

    def clone(self) -> Path:
        self.jobs += 1
        work = self.folder / f"job{self.jobs}"
        git(self.folder, "clone", "--quiet", str(self.origin), str(work))
        return work

    def github(
        self, workflow: Any, job: str, event: str, expressions: Mapping[str, str] | None = None, skip: str = ""
    ) -> list[str]:
        """Runs a job of a GitHub workflow; returns the names of the steps that ran."""
        work, temporary, output = self.clone(), self.folder / f"temp{self.jobs}", self.folder / "output"
        temporary.mkdir()
        output.write_text("")
        known = {
            "github.token": "token",
            "github.actor": "somebody",
            "runner.temp": str(temporary),
            "github.event.pull_request.base.sha": "",
            "github.head_ref": {"pull_request": "fix/typo", "fork": "theirs"}.get(event, ""),
            f"github.event_name == 'push' || {OWN}": "true" if event in ("push", "pull_request") else "false",
            "secrets.REGISTRY_USERNAME": "user",
            "secrets.REGISTRY_PASSWORD": "password",
            **(expressions or {}),
        }
        conditions = {
            "github.event_name == 'push'": event == "push",
            "github.event_name == 'schedule'": event == "schedule",
            "github.event_name != 'schedule'": event != "schedule",
            f"github.event_name != 'pull_request' || {OWN}": event != "fork",
        }

        def evaluated(value: Any) -> str:
            return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: known[found[1]], str(value))

        described = workflow["jobs"][job]
        shared = {
            **self.environment,
            "RUNNER_TEMP": str(temporary),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_REF_NAME": "main",
        }
        shared |= {name: evaluated(value) for name, value in {**workflow["env"], **described.get("env", {})}.items()}
        shared["ORBITER"] = self.environment["ORBITER"]
        if "if" in described and described["if"] in conditions:
            assert conditions[described["if"]]
        ran = []
        for step in described["steps"]:
            name = step.get("name", "")
            if ("if" in step and not conditions[step["if"]]) or (skip and name == skip):
                continue
            if "run" in step:
                environment = shared | {key: evaluated(value) for key, value in step.get("env", {}).items()}
                shell(step["run"], work, environment)
                ran.append(name)
            elif step["uses"].startswith("docker/login-action"):
                login = step["with"]
                words = ["docker", "login", login["registry"], f"--username={evaluated(login['username'])}"]
                command = [*words, f"--password={evaluated(login['password'])}"]
                done = subprocess.run(command, env=shared, capture_output=True, text=True)
                assert done.returncode == 0, done.stderr
                ran.append("login")
            elif step["uses"].startswith("actions/upload-artifact"):
                kept = self.folder / "artifacts"
                kept.mkdir(exist_ok=True)
                shutil.copy(evaluated(step["with"]["path"]), kept)
            elif step["uses"].startswith("actions/download-artifact"):
                shutil.copytree(self.folder / "artifacts", evaluated(step["with"]["path"]))
            else:
                replaced = ("actions/checkout", "actions/setup-python", "docker/setup-buildx-action")
                assert step["uses"].startswith(replaced)
        self.outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
        return ran

    def gitlab(self, pipeline: Any, job: str, **variables: str) -> None:
        """Runs the script of a GitLab job; of what comes before it, all but what makes the machine."""
        work = self.clone()
        environment = self.environment | {
            name: value for name, value in pipeline["variables"].items() if not name.startswith("DOCKER_")
        }
        environment |= {
            "ORBITER": self.environment["ORBITER"],
            "CI_PROJECT_DIR": str(work),
            "REGISTRY_USERNAME": "user",
            "REGISTRY_PASSWORD": "password",
            **variables,
        }
        machine = ("apk add", "python3 -m venv", "export PATH=", "docker context", "docker buildx create")
        before = [line for line in pipeline["default"]["before_script"] if not line.startswith(machine)]
        assert len(before) == 4
        # As the runner does: all lines in one shell, which stops at the first that fails.
        shell("\n".join([*before, *pipeline[job]["script"]]), work, environment)

    def change(self, path: str, text: str, branch: str = "main") -> str:
        """Commits a file to a branch; returns the commit that main is at."""
        work = self.clone()
        main = git(work, "rev-parse", "origin/main")
        (work / path).write_text(text)
        git(work, "add", "--all")
        git(work, "commit", "--quiet", "--message=change")
        git(work, "push", "--quiet", "--force", "origin", f"HEAD:{branch}")
        return main

    def digest(self, tag: str, *, cache: str = "") -> str | None:
        """The digest of a tag in the registry, None if it is not there; `cache` is what the repository ends in."""
        try:
            with self._manifest(tag, cache) as answer:
                return str(answer.headers["Docker-Content-Digest"])
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def cached(self, branch: str = "") -> dict[str, str | None]:
        """The caches of a branch, whose tags end in that."""
        targets = ("debian-core", "debian-top", "debian-side")
        return {target: self.digest(target + branch, cache="-cache") for target in targets}

    def cached_layers(self, tag: str) -> set[str]:
        """The layers that a cache has."""
        with self._manifest(tag, "-cache") as answer:
            return {layer["digest"] for layer in json.load(answer)["layers"]}

    def _manifest(self, tag: str, cache: str) -> Any:
        host, _, path = f"{self.repo}{cache}".partition("/")
        request = urllib.request.Request(f"http://{host}/v2/{path}/manifests/{tag}", headers={"Accept": ACCEPTED})
        return OPENER.open(request, timeout=30)


def shell(script: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Runs a script as GitHub does where `shell: bash` stands."""
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}{done.stderr[-5000:]}"
    return done.stdout


@pytest.fixture
def runner(tmp_path: Path, engine: Mapping[str, str], python: tuple[Path, Path]) -> Iterator[Runner]:
    programs, wheel = python
    registry = engine["ENGINE_REGISTRY"]
    repo = f"{registry}/orbiter-ci/{uuid.uuid4().hex}"
    origin = tmp_path / "origin.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
    (tmp_path / "docker").mkdir()
    # The plugin, and nothing of the logins of whoever runs the tests.
    plugins = Path(engine.get("DOCKER_CONFIG", Path.home() / ".docker")) / "cli-plugins"
    if plugins.exists():
        (tmp_path / "docker/cli-plugins").symlink_to(plugins)
    environment = {
        name: value for name, value in engine.items() if name != "PYTHONPATH" and not name.startswith("GIT_")
    }
    environment |= {
        "PATH": f"{programs}:{engine['PATH']}",
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "ORBITER": str(wheel),
    }
    new = Runner(origin, tmp_path, environment, repo)
    work = new.clone()
    (work / "orbiter.yaml").write_text(CONFIG.format(repo=repo, registry=registry))
    (work / "notes.md").write_text("# Notes\n")
    new.orbiter(work, "compile")
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message=project")
    git(work, "push", "--quiet", "origin", "HEAD:main")
    yield new
    listed = ["docker", "image", "ls", "--format={{.Repository}}:{{.Tag}}", f"--filter=reference={repo}*"]
    made = subprocess.run(listed, env=engine, capture_output=True, text=True).stdout.split()
    subprocess.run(["docker", "rmi", "--force", *made], env=engine, capture_output=True)


def test_push_publishes_and_a_pull_request_has_a_cache_of_its_own(runner: Runner) -> None:
    workflow = runner.workflow()
    ran = runner.github(workflow, "images", "push")
    assert ran == ["Install Orbiter", "Check", "login", "Build", "Test", "Push"]
    published = {tag: runner.digest(tag) for tag in ("debian-core-1", "debian-top-1", "latest", "debian-side-1")}
    cached = runner.cached()
    assert all(published.values())
    assert published["latest"] == published["debian-top-1"]
    assert all(cached.values())

    runner.change("notes.md", "# Others\n")
    for event in ("fork", "pull_request"):
        ran = runner.github(workflow, "images", event)
        assert ran[-2:] == ["Build", "Test"]
        assert ("login" in ran) == (event == "pull_request")
    assert all(runner.cached(".fix-typo").values())
    # The manifests may differ where no step ran: BuildKit notes by which ways it got to the layers.
    assert runner.cached_layers("debian-core.fix-typo") == runner.cached_layers("debian-core")
    assert runner.cached_layers("debian-top.fix-typo") != runner.cached_layers("debian-top")
    assert not any(runner.cached(".theirs").values())
    assert runner.cached() == cached
    assert {tag: runner.digest(tag) for tag in published} == published


def test_what_is_stale_fails_before_it_is_built(runner: Runner) -> None:
    workflow = runner.workflow()
    runner.change("build/debian/top/Dockerfile", "# Generated by orbiter compile.\nFROM scratch\n")
    with pytest.raises(AssertionError, match="orbiter: the generated files are stale"):
        runner.github(workflow, "images", "push")
    assert runner.digest("debian-top-1") is None


def test_jobs_by_level(runner: Runner) -> None:
    workflow = runner.workflow("--split")
    runner.github(workflow, "check", "push")
    levels = dict(runner.outputs)
    assert list(levels) == ["matrix", "level0", "level1"]
    built = []
    for level in ("level0", "level1"):
        for entry in json.loads(levels[level])["include"]:
            runner.github(workflow, level, "push", {"matrix.target": entry["target"]})
            built.append(entry["target"])
    assert built == ["debian-core", "debian-top", "debian-side"]
    assert runner.digest("debian-top-1") is None
    runner.github(workflow, "publish", "push")
    assert all(runner.digest(tag) for tag in ("debian-core-1", "debian-top-1", "latest", "debian-side-1"))

    base = runner.change("notes.md", "# Others\n")
    runner.github(workflow, "check", "pull_request", {"github.event.pull_request.base.sha": base})
    assert json.loads(runner.outputs["level0"])["include"] == [{"target": "debian-top", "family": "debian", "level": 0}]
    assert "level1" not in runner.outputs
    runner.github(workflow, "level0", "pull_request", {"matrix.target": "debian-top"})
    assert runner.cached(".fix-typo")["debian-top"]
    base = runner.change("README.md", "# Course\n")
    runner.github(workflow, "check", "pull_request", {"github.event.pull_request.base.sha": base})
    assert runner.outputs == {}


def test_platforms_are_merged_by_digest(runner: Runner, engine: Mapping[str, str]) -> None:
    # Nothing runs in these builds, so another architecture needs no emulation.
    work = runner.clone()
    for builder in ("pip_core", "pip_deploy"):
        place = work / f"templates/{builder}/Dockerfile.j2"
        place.parent.mkdir(parents=True)
        place.write_text(
            "# Generated by orbiter compile.\nFROM scratch\n"
            "LABEL orbiter.target={{ image.target | dockerfile_value }}\n"
        )
        (place.parent / "start.sh.j2").write_text("")
    runner.orbiter(work, "compile")
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message=templates")
    git(work, "push", "--quiet", "origin", "HEAD:main")

    workflow = runner.workflow("--platforms=linux/amd64,linux/arm64")
    for entry in workflow["jobs"]["images"]["strategy"]["matrix"]["include"]:
        matrix = {f"matrix.{name}": value for name, value in entry.items()}
        runner.github(workflow, "images", "push", matrix, skip="Test")
    assert runner.digest("debian-top-1") is None
    assert runner.digest("debian-top-1-arm64")
    runner.github(workflow, "publish", "push")
    for tag in ("debian-core-1", "debian-top-1", "latest"):
        command = ["docker", "buildx", "imagetools", "inspect", "--format={{json .Manifest}}", f"{runner.repo}:{tag}"]
        told = json.loads(subprocess.run(command, env=engine, capture_output=True, text=True, check=True).stdout)
        found = {each["platform"]["architecture"] for each in told["manifests"]} - {"unknown"}
        assert found == {"amd64", "arm64"}


GH = """\
#!/bin/sh
echo "$@" >> "{folder}/gh"
case "$1 $2" in "pr list") cat "{folder}/open";; esac
"""


@pytest.fixture
def outdated(runner: Runner) -> Runner:
    """With a lock that pins the base image of another day, and a `gh`."""
    work = runner.clone()
    (work / locks.FILE).write_text(locks.dump(locks.Lock(images={"debian:trixie-slim": f"sha256:{'a' * 64}"})))
    runner.orbiter(work, "compile")
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message=lock")
    git(work, "push", "--quiet", "origin", "HEAD:main")
    programs = runner.folder / "programs"
    programs.mkdir()
    (programs / "gh").write_text(GH.format(folder=runner.folder))
    (programs / "gh").chmod(0o755)
    (runner.folder / "open").write_text("")
    runner.environment["PATH"] = f"{programs}:{runner.environment['PATH']}"
    return runner


def test_nightly_job_proposes_an_upgrade(outdated: Runner) -> None:
    runner = outdated
    workflow = runner.workflow()
    runner.github(workflow, "upgrade", "schedule")
    calls = (runner.folder / "gh").read_text()
    assert "pr create --base main --head orbiter-upgrade --title Upgrade packages and base images" in calls
    work = runner.clone()
    changed = git(work, "diff", "--name-only", "origin/main...origin/orbiter-upgrade").splitlines()
    assert changed == ["build/debian/core/Dockerfile", "docker-bake.hcl", locks.FILE]
    assert "a" * 64 not in git(work, "show", f"origin/orbiter-upgrade:{locks.FILE}")
    body = next(runner.folder.glob("temp*/body.md")).read_text()
    assert "debian:trixie-slim" in body

    # Another night, and nobody has merged it.
    (runner.folder / "open").write_text("7\n")
    (runner.folder / "gh").unlink()
    runner.github(workflow, "upgrade", "schedule")
    assert "pr edit orbiter-upgrade" in (runner.folder / "gh").read_text()
    assert "pr create" not in (runner.folder / "gh").read_text()

    # Once it is merged, there is nothing to do.
    git(work, "push", "--quiet", "origin", "origin/orbiter-upgrade:refs/heads/main")
    (runner.folder / "gh").unlink()
    runner.github(workflow, "upgrade", "schedule")
    assert not (runner.folder / "gh").exists()


def test_gitlab_pipeline(outdated: Runner) -> None:
    runner = outdated
    pipeline = runner.workflow(service="gitlab")
    server = {"CI_SERVER_URL": f"file://{runner.folder}", "CI_PROJECT_PATH": "origin", "CI_DEFAULT_BRANCH": "main"}
    git(runner.origin, "config", "receive.advertisePushOptions", "true")
    runner.gitlab(pipeline, "upgrade", CI_PIPELINE_SOURCE="schedule", ORBITER_TOKEN="secret", **server)
    git(runner.clone(), "push", "--quiet", "origin", "origin/orbiter-upgrade:refs/heads/main")

    request = {"CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_PROJECT_ID": "1"}
    for branch, source in (("theirs", "2"), ("fix/typo", "1")):
        own = {"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": branch, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": source}
        runner.gitlab(pipeline, "images", **request, **own)
    assert runner.digest("debian-top-1") is None
    assert not any((runner.cached() | runner.cached(".theirs")).values())
    assert all(runner.cached(".fix-typo").values())
    runner.gitlab(pipeline, "images", CI_PIPELINE_SOURCE="push")
    assert all(runner.digest(tag) for tag in ("debian-core-1", "debian-top-1", "latest", "debian-side-1"))
    assert all(runner.cached().values())
    assert list(runner.folder.glob("job*/report.xml"))
