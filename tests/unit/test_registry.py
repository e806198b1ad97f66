"""What a registry is asked, with which login, and what its answers mean."""

import base64
import json

import pytest

from orbiter import credentials, registry
from orbiter.credentials import Login
from orbiter.errors import EngineError
from orbiter.registry import Challenge, Place

HERE = Place(host="r.example.org", path="course/cache")
ME = Login(user="me", secret="s3cret")


@pytest.mark.parametrize(
    ("repository", "address", "path"),
    [
        ("ghcr.io/dorgeln/cache", "https://ghcr.io", "dorgeln/cache"),
        ("dorgeln/cache", "https://registry-1.docker.io", "dorgeln/cache"),
        ("docker.io/dorgeln/cache", "https://registry-1.docker.io", "dorgeln/cache"),
        ("debian", "https://registry-1.docker.io", "library/debian"),
        ("localhost:5000/cache", "http://localhost:5000", "cache"),
        ("localhost/cache", "http://localhost", "cache"),
        ("127.0.0.1.example.org/cache", "https://127.0.0.1.example.org", "cache"),
    ],
)
def test_where_a_repository_is(repository: str, address: str, path: str) -> None:
    found = registry.place(repository)
    assert (found.address, found.path) == (address, path)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (['Basic realm="r"'], Challenge(scheme="basic")),
        (
            ['Bearer realm="https://auth.org/token",service="r.org",scope="repository:a/b:pull,push"'],
            Challenge(
                scheme="bearer", realm="https://auth.org/token", service="r.org", scope="repository:a/b:pull,push"
            ),
        ),
        (['Basic realm="r"', "bearer REALM=https://a.org/t"], Challenge(scheme="bearer", realm="https://a.org/t")),
        (["Negotiate"], None),
        (["Bearer"], None),
        ([], None),
    ],
)
def test_what_a_registry_wants_to_see(headers: list[str], found: Challenge | None) -> None:
    assert registry.challenge(headers) == found


BEARER = Challenge(scheme="bearer", realm="https://auth.org/token?x=1", service="r.org")


def test_a_token_is_asked_for_what_is_meant_only() -> None:
    request = registry.token_request(HERE, BEARER, ME, "pull,delete")
    assert (request.method, request.url) == ("GET", "https://auth.org/token?x=1")
    assert request.query == {"service": "r.org", "scope": "repository:course/cache:pull,delete"}
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"me:s3cret"
    assert registry.token_request(HERE, BEARER, None, "pull").headers == {}


def test_a_token_of_a_browser_login_gets_another_one() -> None:
    request = registry.token_request(HERE, BEARER, Login(user="<token>", secret="long"), "pull")
    assert (request.method, request.headers) == ("POST", {})
    assert request.form == {
        "grant_type": "refresh_token",
        "refresh_token": "long",
        "client_id": "orbiter",
        "service": "r.org",
        "scope": "repository:course/cache:pull",
    }


@pytest.mark.parametrize(
    "realm", ["http://auth.org/token", "http://127.0.0.1.org/token", "ftp://auth.org/x", "auth.org"]
)
def test_a_login_goes_over_no_open_line(realm: str) -> None:
    with pytest.raises(EngineError, match="not HTTPS"):
        registry.token_request(HERE, Challenge(scheme="bearer", realm=realm), ME, "pull")
    assert registry.token_request(HERE, Challenge(scheme="bearer", realm="http://127.0.0.1:5/t"), ME, "pull").headers


def test_nothing_prints_a_secret() -> None:
    requests = [
        registry.token_request(HERE, BEARER, each, "pull") for each in (ME, Login(user="<token>", secret="s3cret"))
    ]
    assert "s3cret" not in repr(requests)
    assert not any(request.headers.get("Authorization", "none") in repr(request) for request in requests)


def test_what_answers_a_challenge() -> None:
    assert registry.authorization(BEARER, ME, "abc")[0] == {"Authorization": "Bearer abc"}
    assert registry.authorization(BEARER, ME, None) == ({}, ())
    assert registry.authorization(Challenge(scheme="basic"), None, None) == ({}, ())
    assert registry.parse_token(b'{"access_token": "x"}') == "x"
    assert registry.parse_token(b"<html>") is None


def test_a_list_goes_on_at_the_same_host_only() -> None:
    following = registry.next_request(HERE, '</v2/course/cache/tags/list?n=5&last=x>; rel="next"')
    assert following is not None
    assert following.url == "https://r.example.org/v2/course/cache/tags/list?n=5&last=x"
    assert registry.next_request(HERE, "") is None
    for elsewhere in ("https://evil.org/v2/", "https://r.example.org.evil.org/v2/", "http://r.example.org/v2/"):
        with pytest.raises(EngineError, match="another host"):
            registry.next_request(HERE, f'<{elsewhere}>; rel="next"')


@pytest.mark.parametrize(
    ("status", "login", "said"),
    [
        (401, False, "r.example.org wants a login for course/cache: DENIED, no; 'docker login r.example.org'"),
        (
            401,
            True,
            "r.example.org does not accept the login for course/cache: DENIED, no; 'docker login r.example.org'",
        ),
        (
            403,
            True,
            "r.example.org does not let this login do that to course/cache: DENIED, no; 'docker login r.example.org' "
            "with one that may",
        ),
        (500, True, "r.example.org answered 500 Reason: DENIED, no"),
    ],
)
def test_a_refusal_says_the_way_out(status: int, login: bool, said: str) -> None:
    body = json.dumps({"errors": [{"code": "DENIED", "message": "no"}]}).encode()
    assert registry.refusal(HERE, status, "Reason", body, login=login) == said


def test_what_is_no_manifest_is_an_error() -> None:
    with pytest.raises(EngineError, match="no manifest"):
        registry.parse_manifest(b"<html>", "sha256:1")


def test_docker_keeps_the_token_of_a_browser_login_beside_an_empty_one() -> None:
    entry = {"auth": base64.b64encode(b"00000000-0000-0000-0000-000000000000:").decode(), "identitytoken": "long"}
    config = {"auths": {"r.example.org": entry}}
    assert credentials.identity(config, ["r.example.org"]) == Login(user="<token>", secret="long")
    assert credentials.identity(config, ["other"]) is None
