"""What is pushed, in which order, and what is tried again."""

import json

import pytest

from orbiter import push
from orbiter.push import Local, Pushed, Wanted


def image(target: str, *layers: str, digest: str = "sha256:1", tags: tuple[str, ...] = ()) -> Local:
    references = (f"r:{target}", *(f"r:{tag}" for tag in tags))
    return Local(target=target, references=references, digest=digest, indexed=True, layers=layers, size=1)


def test_image_waits_for_the_one_that_it_shares_most_with() -> None:
    images = [
        image("geospatial", "a", "b", "c", "d"),
        image("base", "a", "b", "c"),
        image("core", "a", "b"),
        image("other-core", "a", "x"),
        image("other-base", "a", "x", "y", "z"),
        image("alone", "q"),
    ]
    assert push.waits(images) == {
        "alone": None,
        "core": None,
        "other-core": "core",
        "base": "core",
        "geospatial": "base",
        "other-base": "other-core",
    }


def test_same_layers_wait_for_each_other() -> None:
    assert push.waits([image("one", "a"), image("two", "a"), image("three")]) == {
        "three": None,
        "one": None,
        "two": "one",
    }


@pytest.mark.parametrize(
    "said",
    [
        "unexpected status from HEAD request to http://r/v2/x/blobs/sha256:4: 401 Unauthorized",
        "unexpected status from HEAD request to http://r/v2/x/blobs/sha256:4: 403 Forbidden",
        "unexpected status from PUT request to http://r/v2/x/manifests/1: 413 Request Entity Too Large",
        "error from registry: repository name not known to registry",
        "denied: requested access to the resource is denied",
        "push access denied, repository does not exist or may require authorization",
        "tag does not exist: r/x:1",
        "no Docker engine answers; start one",
        "tls: failed to verify certificate: x509: certificate signed by unknown authority",
    ],
)
def test_rights_and_names_are_final(said: str) -> None:
    assert push.is_final(said)


@pytest.mark.parametrize(
    "said",
    [
        "unexpected status from HEAD request to http://r/v2/x/blobs/sha256:401aa403bb: 429 Too Many Requests",
        "unexpected status from PUT request to http://r/v2/x/manifests/1: 500 Internal Server Error",
        "unexpected status from POST request to http://r/v2/x/: 408 Request Timeout",
        "toomanyrequests: rate exceeded",
        'failed to do request: Head "https://r/v2/": EOF',
        "read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer",
        "dial tcp 127.0.0.1:1: connect: connection refused",
        "something that nobody has seen yet",
    ],
)
def test_what_may_pass_is_not_final(said: str) -> None:
    assert not push.is_final(said)


def test_who_has_no_right_hears_of_the_login() -> None:
    assert push.advice("x: 401 Unauthorized", "h.org:5/a/b:1") == (
        "\n'docker login h.org:5' as somebody who may push there"
    )
    assert push.advice("denied: no", "a/b:1") == "\n'docker login' as somebody who may push there"
    assert push.advice("500 Internal Server Error", "a/b:1") == ""


def test_names_and_signatures_in_addresses_are_not_said() -> None:
    said = 'Put "https://me:secret@s3.example.org/b/1?X-Amz-Signature=abc&x=1": EOF, http://r/v2/x?_state=s'
    assert push.redact(said) == 'Put "https://s3.example.org/b/1?…": EOF, http://r/v2/x?…'


def test_image_of_the_containerd_store_has_the_digest_of_the_registry() -> None:
    inspected = {"Id": "sha256:i", "Descriptor": {"digest": "sha256:d"}, "RootFS": {"Layers": ["a"]}, "Size": 5}
    found = push.local(Wanted(target="t", references=("r:t",)), json.dumps([inspected]))
    assert (found.digest, found.indexed, found.layers, found.size) == ("sha256:d", True, ("a",), 5)


def test_image_of_the_older_store_has_that_of_its_configuration() -> None:
    inspected = {"Id": "sha256:i", "RootFS": {}, "Size": 5}
    found = push.local(Wanted(target="t", references=("r:t",)), json.dumps([inspected]))
    assert (found.digest, found.indexed, found.layers) == ("sha256:i", False, ())
    assert push.config_digest('{"config": {"digest": "sha256:i"}}') == "sha256:i"
    assert push.config_digest('{"manifests": []}') is None


def test_tag_that_is_another_image_is_found() -> None:
    new, old = image("a", digest="sha256:2", tags=("latest",)), image("a", digest="sha256:1", tags=("latest",))
    assert push.unlike({"r:a": new, "r:latest": old}) == ["r:latest"]
    assert push.unlike({"r:a": new, "r:latest": new}) == []


def test_table_and_data_of_failures() -> None:
    digest = "sha256:" + "5" * 64
    rows = [
        Pushed(target="a", reference="r:5/x:a-1", digest=digest, result="pushed", attempts=1),
        Pushed(target="b", reference="r:5/x:b-1", digest=digest, result="failed", attempts=5, problem="one\ntwo"),
        Pushed(target="c", reference="r:5/x:c-1", digest=digest, result="not tried", problem="b failed"),
    ]
    assert push.as_text(rows) == (
        "image  tag  digest               result\n"
        "a      a-1  sha256:555555555555  pushed\n"
        "b      b-1  sha256:555555555555  failed\n"
        "c      c-1  sha256:555555555555  not tried\n"
        "\n"
        "b-1: failed after 5 attempts\n"
        "  one\n"
        "  two"
    )
    data = push.as_data(rows)
    assert data["pushed"] is False
    assert [(i["result"], i["pinned"], i["problem"]) for i in data["images"]] == [
        ("pushed", f"r:5/x@{digest}", None),
        ("failed", None, "one\ntwo"),
        ("not tried", None, "b failed"),
    ]
