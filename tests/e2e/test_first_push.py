"""The first push of a new project, to a registry that hides what is not there: from the plan to the images."""

import base64
import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.test_changed import Project, base  # noqa: F401
from tests.registries import PAIR, PASSWORD, USER, Forward, Request, Server, refused, serving

pytestmark = pytest.mark.engine


class Hiding(Forward):
    """The real registry, behind logins as Docker Hub has them: a repository is seen from the first push on."""

    seen: set[str]

    def answer(self, request: Request) -> int:
        path, _, query = self.path.partition("?")
        shown = request.headers.get("authorization", "")
        if path == "/token":
            form = urllib.parse.parse_qs(request.body.decode() or query)
            if form.get("grant_type") == ["password"]:  # as BuildKit asks
                pair = f"{form['username'][0]}:{form['password'][0]}"
                shown = f"Basic {base64.b64encode(pair.encode()).decode()}"
            login = {"": "anybody", f"Basic {PAIR}": "owner"}.get(shown)
            if login is None:
                return self.told(*refused(401, "UNAUTHORIZED", "incorrect username or password"))
            token = f"{login} {' '.join(form.get('scope', []))}"
            return self.told(200, {}, {"token": token, "access_token": token})
        repository = (re.match("/v2/(.*)/(manifests|blobs|tags)/", path) or ["", ""])[1]
        scope = f"repository:{repository}:pull{'' if self.command in ('GET', 'HEAD') else ',push'}"
        realm = f'Bearer realm="http://{self.server.address}/token",service="hub"'
        realm += f',scope="{scope}"' if repository else ""
        owner = shown.startswith("Bearer owner ")
        if not owner or (repository and f"repository:{repository}:" not in shown):
            return self.told(*refused(401, "UNAUTHORIZED", "authentication required", realm))
        if self.command == "POST":
            self.seen.add(repository)
        if repository and repository not in self.seen:
            return self.told(
                *refused(401, "UNAUTHORIZED", "authentication required", f'{realm},error="insufficient_scope"')
            )
        del self.headers["Authorization"]
        return super().answer(request)

    def told(self, status: int, headers: Mapping[str, str], data: object) -> int:
        self.reply(status, {"Content-Type": "application/json", **headers}, json.dumps(data).encode())
        return status


@pytest.fixture
def hub(engine: Mapping[str, str]) -> Iterator[Server]:
    made = type("Hub", (Hiding,), {"upstream": engine["ENGINE_REGISTRY"], "seen": set()})
    with serving(made) as server:
        yield server


def test_a_new_project_goes_from_the_plan_to_its_images(
    tmp_path: Path,
    engine: Mapping[str, str],
    base: str,  # noqa: F811
    hub: Server,
) -> None:
    config = json.loads((Path(engine["DOCKER_CONFIG"]) / "config.json").read_text())
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    own = tmp_path / "docker"
    own.mkdir()
    (own / "config.json").write_text(json.dumps({**config, "auths": {hub.address: {"auth": auth}}}))
    for each in ("cli-plugins", "contexts"):
        if (Path(engine["DOCKER_CONFIG"]) / each).exists():
            (own / each).symlink_to(Path(engine["DOCKER_CONFIG"]) / each)
    project = Project(tmp_path, {**engine, "DOCKER_CONFIG": str(own)}, base)
    project.repo = project.repo.replace(engine["ENGINE_REGISTRY"], hub.address)
    project.write()
    try:
        done = project.run("plan", "--changed")
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("shows no repository") == 1
        assert "4 to build" in done.stdout
        assert set(project.results("--changed", "--push").values()) == {"built"}
        done = project.run("plan", "--changed")
        assert "4 up to date" in done.stdout
        assert done.stderr == ""
    finally:
        project.forget()
