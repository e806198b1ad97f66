"""What a registry is asked, and how: logins, indexes, redirects, tags; on a stand-in that speaks the protocol."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from orbiter import inventory, survey
from orbiter.changes import Made
from orbiter.credentials import Login
from orbiter.engine import Buildx
from orbiter.errors import EngineError
from orbiter.registry import place
from orbiter.survey import published
from orbiter.web import Hidden, Registry
from tests.registries import Fault, Handler, Request, Server, serving

LABELS = {"orbiter.target": "f-core", "orbiter.content": "0" * 16}
CONFIG = {
    "os": "linux",
    "architecture": "amd64",
    "config": {"Labels": LABELS},
    "history": [{"created_by": "COPY a b"}, {"created_by": "LABEL orbiter.target=f-core"}],
}
INDEX = {
    "manifests": [
        {"digest": "sha256:m1", "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": "sha256:m2", "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}},
        {"digest": "sha256:m3", "platform": {"os": "unknown", "architecture": "unknown"}},
    ]
}
MANIFEST = {"config": {"digest": "sha256:c"}, "layers": []}


class Standin(Handler):
    """A repository `a/b` that wants a token, whose blobs lie elsewhere, and that lists two tags a page."""

    wants: str | None = None
    config: object = CONFIG
    tags = ("f-core-1", "f-core-2", "f-core-3")

    def answer(self, request: Request) -> int:
        status, headers, data = self.decide(request)
        self.reply(status, headers, json.dumps(data).encode())
        return status

    def decide(self, request: Request) -> tuple[int, dict[str, str], object]:
        path, _, query = request.path.partition("?")
        may = request.headers.get("authorization")
        if path == "/token":
            if self.wants and may != f"Basic {base64.b64encode(self.wants.encode()).decode()}":
                return 401, {}, {}
            return 200, {}, {"token": "t0ken"} if "scope=repository%3Aa%2Fb%3Apull" in query else {}
        if path == "/store":
            return (400, {}, {"error": "a login that is not for this host"}) if may else (200, {}, self.config)
        if may != "Bearer t0ken":
            realm = f'Bearer realm="http://{self.server.address}/token",service="here"'
            return 401, {"WWW-Authenticate": realm}, {}
        match path.removeprefix("/v2/a/b/"):
            case "manifests/f-core-1":
                return 200, {"Docker-Content-Digest": "sha256:index"}, INDEX
            case "manifests/f-core-2":
                return 200, {"Docker-Content-Digest": "sha256:single"}, MANIFEST
            case "manifests/sha256:m1":
                return 200, {}, MANIFEST
            case "blobs/sha256:c":
                return 307, {"Location": "/store"}, {}
            case "tags/list":
                more = {} if "last=" in query else {"Link": '</v2/a/b/tags/list?last=f-core-2>; rel="next"'}
                return 200, more, {"tags": self.tags[2:] if "last=" in query else self.tags[:2]}
        return 404, {}, {"errors": [{"code": "MANIFEST_UNKNOWN"}]}


@contextmanager
def registry(login: Login | None = None, **attributes: object) -> Iterator[tuple[Server, Registry]]:
    with serving(type("Own", (Standin,), attributes)) as server:
        yield server, Registry(place(f"{server.address}/a/b"), login=login, retries=1)


def made(server: Server, asked: Registry, tag: str) -> Made | None:
    reference = f"{server.address}/a/b:{tag}"
    return published(asked, [reference]).get(reference)


def test_an_index_has_the_labels_of_its_first_image_and_all_platforms() -> None:
    with registry() as (server, asked):
        found = made(server, asked, "f-core-1")
        assert found is not None
        assert found.pinned == f"{server.address}/a/b@sha256:index"
        assert found.labels == LABELS
        assert found.platforms == ("linux/amd64", "linux/arm/v7")


def test_many_are_asked_at_once_and_those_that_are_not_there_left_out() -> None:
    with registry() as (server, asked):
        names = [f"{server.address}/a/b:f-core-{number}" for number in (1, 2, 9, 2)]
        found = published(asked, names)
        assert list(found) == names[:2]
        assert found[names[1]].platforms == ("linux/amd64",)
        assert len([request for request in server.requests if request.path.endswith("/f-core-2")]) <= 2


def test_what_somebody_built_on_an_image_has_none_of_its_labels() -> None:
    other = {**CONFIG, "history": [*CONFIG["history"], {"created_by": "RUN true"}]}  # type: ignore[misc]
    with registry(config=other) as (server, asked):
        found = made(server, asked, "f-core-1")
        assert found is not None
        assert found.labels == {}


def test_the_login_goes_to_the_token_server_and_nowhere_else() -> None:
    with registry(Login(user="u", secret="p"), wants="u:p") as (server, asked):
        assert made(server, asked, "f-core-2") is not None
        basic = [request.path for request in server.requests if "Basic" in request.headers.get("authorization", "")]
        assert [path.partition("?")[0] for path in basic] == ["/token"]


def test_a_refusal_names_the_way_in() -> None:
    with registry(wants="u:p") as (server, asked), pytest.raises(EngineError) as refused:
        made(server, asked, "f-core-2")
    assert str(refused.value) == (
        f"{server.address} shows no repository a/b without a login: it is not there yet, or wants one: "
        f"'docker login {server.address}'"
    )


def test_all_pages_of_tags_are_read() -> None:
    with registry() as (_, asked):
        assert asked.tags() == ("f-core-1", "f-core-2", "f-core-3")


@pytest.mark.parametrize("kind", [503, "drop"])
def test_a_fault_that_passes_is_tried_again(kind: int | str) -> None:
    with registry() as (server, asked):
        server.faults.append(Fault(kind=kind, times=1, path="manifests/f-core-2"))
        assert made(server, asked, "f-core-2") is not None


def test_a_fault_that_stays_is_told() -> None:
    with registry() as (server, asked):
        server.faults.append(Fault(kind=500, path="manifests"))
        with pytest.raises(EngineError, match="answered 500"):
            made(server, asked, "f-core-2")


def test_many_share_a_token() -> None:
    with registry() as (server, asked):
        published(asked, [f"{server.address}/a/b:f-core-{number}" for number in range(1, 30)])
        assert sum(request.path.startswith("/token") for request in server.requests) == 1


def test_a_token_that_expired_is_renewed_by_one_for_all() -> None:
    with registry() as (server, asked):
        assert made(server, asked, "f-core-2")
        asked._tokens["pull"] = "0ld"
        found = published(asked, [f"{server.address}/a/b:f-core-{number}" for number in (1, 2, 9)])
        assert len(found) == 2
        assert sum(request.path.startswith("/token") for request in server.requests) == 2


def test_a_registry_that_is_away_is_asked_for_one_image_only() -> None:
    with registry() as (server, asked):
        server.faults.append(Fault(kind=500, path="manifests"))
        with pytest.raises(EngineError):
            published(asked, [f"{server.address}/a/b:f-core-{number}" for number in range(1, 30)])
        asked_for = {request.path for request in server.requests if "manifests" in request.path}
        assert len(asked_for) == 1


class Inspecting(Buildx):
    """An engine whose Buildx has other ways to a registry."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def ask(self, *arguments: str, **options: Any) -> str:
        self.asked.append(arguments[-1])
        if self.answer.startswith("ERROR"):
            raise EngineError(f"docker buildx imagetools: {self.answer}")
        return self.answer


def test_buildx_is_asked_where_the_registry_does_not_answer_orbiter() -> None:
    engine = Inspecting(json.dumps({"manifest": {"digest": "sha256:x"}, "image": CONFIG}))
    with registry(wants="u:p") as (server, asked):
        names = [f"{server.address}/a/b:f-core-{number}" for number in (1, 2)]
        found = survey._there(asked, engine, names)
    assert {name: image.labels for name, image in found.items()} == dict.fromkeys(names, LABELS)


def test_where_buildx_has_no_answer_either_one_question_is_enough() -> None:
    engine = Inspecting("ERROR: unauthorized")
    with registry(wants="u:p") as (server, asked), pytest.raises(Hidden, match="shows no repository a/b without"):
        survey._there(asked, engine, [f"{server.address}/a/b:f-core-{number}" for number in range(1, 30)])
    assert len(engine.asked) == 1


def test_without_buildx_it_is_the_registry_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object) -> None:
        raise EngineError("docker is not installed")

    monkeypatch.setattr(inventory, "published", missing)
    with registry() as (server, asked):
        server.faults.append(Fault(kind=500, path="manifests"))
        with pytest.raises(survey.Unanswered, match="answered 500"):
            survey._there(asked, Inspecting(""), [f"{server.address}/a/b:f-core-1"])


def test_a_list_that_is_refused_is_no_error() -> None:
    with registry() as (server, asked):
        server.faults.append(Fault(kind=403, path="tags/list"))
        assert survey._listed(asked) == ()


def test_a_blob_that_is_not_there_is_no_image() -> None:
    with registry() as (server, asked):
        server.faults.append(Fault(kind=404, path="blobs"))
        assert made(server, asked, "f-core-2") is None


@pytest.mark.parametrize(("kind", "said"), [(403, "answered 403"), (503, "answered 503")])
def test_a_store_of_blobs_that_refuses_is_told(kind: int, said: str) -> None:
    with registry() as (server, asked):
        server.faults.append(Fault(kind=kind, path="^/store"))
        with pytest.raises(EngineError, match=said):
            made(server, asked, "f-core-2")


def test_what_is_no_configuration_is_told() -> None:
    with registry(config=["no"]) as (server, asked), pytest.raises(EngineError, match="configuration is none"):
        made(server, asked, "f-core-2")
