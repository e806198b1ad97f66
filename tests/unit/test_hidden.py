"""A repository that is not there yet, at registries that do not say so; on a stand-in that speaks as they do."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from orbiter.credentials import Login
from orbiter.errors import EngineError
from orbiter.registry import Place
from orbiter.web import Hidden, Registry
from tests.conftest import Run
from tests.registries import FORMS, PASSWORD, USER, Server, Tokens, serving

ME, WRONG = Login(user=USER, secret=PASSWORD), Login(user=USER, secret=f"{PASSWORD}x")
CONFIG = """\
version: "1"
docker: {{repo: {repo}}}
build:
  debian:
    core: {{image: "debian:trixie-slim", builder: pip_core}}
    top: {{image: core, builder: pip_deploy}}
"""
UNSAID = [name for name, form in FORMS.items() if name != "plain"]
BEARER = [name for name in UNSAID if not FORMS[name].basic]

Ask = Callable[..., "CompletedProcess[str]"]


@contextmanager
def speaking(form: str) -> Iterator[Server]:
    with serving(type("Own", (Tokens,), {"form": FORMS[form]})) as server:
        yield server


@pytest.fixture
def ask(orbiter: Run, tmp_path: Path) -> Ask:
    """Runs Orbiter without Docker, with this login for the registry; no secret is ever said."""

    def run(
        server: Server, login: Login | None, *arguments: str, path: str = "course/lab", **variables: str
    ) -> "CompletedProcess[str]":
        (tmp_path / "orbiter.yaml").write_text(CONFIG.format(repo=f"{server.address}/{path}"))
        auth = base64.b64encode(f"{login.user}:{login.secret}".encode()).decode() if login else ""
        kept = {"auths": {server.address: {"auth": auth}}} if login else {}
        (tmp_path / "config.json").write_text(json.dumps(kept))
        there = {"PATH": str(tmp_path), "DOCKER_CONFIG": str(tmp_path), "PLATFORMS": "linux/amd64"}
        done = orbiter(*arguments, **there, **variables)
        assert "Traceback" not in done.stderr
        for secret in (PASSWORD, auth):
            assert not secret or secret not in done.stdout + done.stderr
        return done

    return run


@pytest.mark.parametrize("form", UNSAID)
def test_what_the_registry_does_not_show_is_to_be_built_and_said_once(ask: Ask, form: str) -> None:
    with speaking(form) as server:
        done = ask(server, ME, "plan", "--changed", "--format=json")
        assert done.returncode == 0, done.stderr
        assert {each["changed"]["state"] for each in json.loads(done.stdout)["targets"]} == {"to build"}
        told = done.stderr.splitlines()
        assert len(told) == 1
        assert told[0].startswith(f"{server.address} shows no repository course/lab to this login (")
        assert told[0].endswith("it is not there yet, or this login may not see it; so all its images are to be built")
        assert sum("/manifests/" in request.path for request in server.requests) <= 2


def test_a_registry_that_says_it_is_not_there_needs_no_word(ask: Ask) -> None:
    with speaking("plain") as server:
        done = ask(server, ME, "plan", "--changed")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 to build" in done.stdout


@pytest.mark.parametrize("path", ["course/there", "course/lab"])
@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_login_is_told_whether_the_repository_is_there_or_not(ask: Ask, form: str, path: str) -> None:
    with speaking(form) as server:
        done = ask(server, WRONG, "plan", "--changed", path=path)
        assert (done.returncode, done.stdout) == (4, "")
        said = "does not let this login do that to" if FORMS[form].wrong[0] == 403 else "does not accept the login for"
        assert f"orbiter: {server.address} {said} {path}" in done.stderr
        assert f"'docker login {server.address}'" in done.stderr
        if "denied" not in done.stderr:
            assert FORMS[form].wrong[2] in done.stderr


@pytest.mark.parametrize("form", FORMS)
def test_a_repository_that_is_there_lacks_single_tags_only(form: str) -> None:
    with speaking(form) as server:
        registry = Registry(Place(host=server.address, path="course/there"), login=ME, retries=0)
        assert registry.manifest("1") is None


@pytest.mark.parametrize("form", BEARER)
def test_without_a_login_a_plan_goes_on_and_a_push_does_not_begin(ask: Ask, form: str) -> None:
    with speaking(form) as server:
        done = ask(server, None, "plan", "--changed")
        assert done.returncode == 0, done.stderr
        assert "2 to build" in done.stdout
        assert f"{server.address} shows no repository course/lab without a login (" in done.stderr
        assert f"it is not there yet, or wants one: 'docker login {server.address}'" in done.stderr
        done = ask(server, None, "build", "--changed", "--push")
        assert (done.returncode, done.stdout) == (4, "")
        assert done.stderr.splitlines()[-1].endswith(f"'docker login {server.address}'")


def test_a_registry_without_anything_for_anybody_wants_a_login(ask: Ask) -> None:
    with speaking("ecr") as server:
        done = ask(server, None, "plan", "--changed")
    assert done.returncode == 4
    assert f"{server.address} wants a login for course/lab" in done.stderr


def test_what_may_not_be_removed_is_not_called_hidden() -> None:
    with speaking("hub") as server:
        registry = Registry(Place(host=server.address, path="course/lab"), login=ME, retries=0)
        with pytest.raises(EngineError, match="does not accept the login") as refused:
            registry.delete("sha256:0")
    assert not isinstance(refused.value, Hidden)


@pytest.mark.parametrize("login", [ME, None], ids=["login", "no login"])
def test_a_cache_that_the_registry_does_not_show_cannot_be_listed(ask: Ask, login: Login | None) -> None:
    with speaking("hub") as server:
        done = ask(server, login, "cache", "ls", CACHE_REPO=f"{server.address}/course/lab")
    assert (done.returncode, done.stdout) == (4, "")
    assert f"{server.address} shows no repository course/lab" in done.stderr
