"""Docker's answers as values, and the state of each image."""

import json

import pytest

from orbiter import images
from orbiter.images import LocalImage, Published
from tests.unit.test_content import planned

CONTENTS = {"debian-core": "c" * 16, "debian-base": "b" * 16, "debian-side": "5" * 16, "debian-top": "7" * 16}


def image(*references: str, **labels: str) -> LocalImage:
    return LocalImage(
        id="sha256:" + "a" * 64,
        references=references,
        digests=("example/course@sha256:" + "d" * 64,),
        labels={name.replace("_", "."): value for name, value in labels.items()},
        size=183_000_000,
        created=1_000_000.0,
    )


def test_list_and_inspect_make_an_image() -> None:
    sizes = images.parse_list('{"ID":"sha256:aa","Size":"182MB"}\n{"ID":"sha256:aa","Size":"182MB"}\n')
    told = [
        {
            "Id": "sha256:aa",
            "RepoTags": ["a:1"],
            "RepoDigests": None,
            "Created": "2026-01-31T12:00:00.123456789Z",
            "Size": 5,
            "Config": {"Labels": {"x": "y"}},
        },
        {"Id": "sha256:bb", "RepoTags": None, "Created": "0001-01-01T00:00:00Z", "Size": 5, "Config": None},
    ]
    first, second = images.parse_inspect(json.dumps(told), sizes)
    assert (first.references, first.digests, first.labels, first.size) == (("a:1",), (), {"x": "y"}, 182_000_000)
    assert first.created == 1_769_860_800
    assert (second.references, second.labels, second.size) == ((), {}, 5)


@pytest.mark.parametrize("moment", ["", "yesterday", "2026-01-31"])
def test_what_is_no_moment_is_0(moment: str) -> None:
    assert images.seconds(moment) == 0


def test_last_step_is_the_first_line_of_the_history() -> None:
    assert images.parse_last_step('{"CreatedBy":"LABEL a=b"}\n{"CreatedBy":"USER 0"}\n') == "LABEL a=b"
    assert images.parse_last_step("") == ""


@pytest.mark.parametrize(
    "image",
    [
        {"config": {"Labels": {"a": "b"}}},
        {"linux/amd64": {"config": {"Labels": {"a": "b"}}}, "linux/arm64": {"config": {"Labels": {"a": "b"}}}},
    ],
    ids=["one platform", "two platforms"],
)
def test_published_image_has_digest_and_labels(image: object) -> None:
    told = json.dumps({"manifest": {"digest": "sha256:ff"}, "image": image})
    assert images.parse_published(told) == Published(digest="sha256:ff", labels={"a": "b"})


def test_cache_is_the_total_of_the_table() -> None:
    assert images.parse_cache("ID\tx\nReclaimable:\t1.5GB\nTotal:\t\t2.5GB\n") == "2.5 GB"
    assert images.parse_cache("Reclaimable:\t0B\nTotal:\t\t0B\n") == ""


@pytest.mark.parametrize(
    ("labels", "state"),
    [
        ({"orbiter_content": "b" * 16}, "up to date"),
        ({"orbiter_content": "0" * 16}, "stale"),
        ({"orbiter_target": "debian-base"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_label_decides_the_state(labels: dict[str, str], state: str) -> None:
    local = (image("example/course:debian-base-1.0.0", **labels),)
    rows = images.rows(planned(), CONTENTS, ["debian-base"], local, {})
    assert [(row.tag, row.state) for row in rows] == [("debian-base-1.0.0", state)]


def test_every_reference_has_a_row_and_others_of_the_repository_follow() -> None:
    local = (
        image("example/course:debian-core-0.9.0", "elsewhere:1", "example/course2:x", orbiter_target="debian-core"),
        image("example/course:gone-1.0.0", orbiter_target="gone"),
    )
    every = images.rows(planned(), CONTENTS, None, local, {})
    assert [(row.target, row.tag, row.state) for row in every] == [
        ("debian-core", "debian-core-1.0.0", "not built"),
        ("debian-base", "debian-base-1.0.0", "not built"),
        ("debian-side", "debian-side-1.0.0", "not built"),
        ("debian-top", "debian-top-1.0.0", "not built"),
        ("debian-core", "debian-core-0.9.0", "not configured"),
        ("gone", "gone-1.0.0", "not configured"),
    ]
    some = images.rows(planned(), CONTENTS, ["debian-core"], local, {})
    assert [row.tag for row in some] == ["debian-core-1.0.0", "debian-core-0.9.0"]


def test_registry_has_a_state_of_its_own() -> None:
    reference = "example/course:debian-%s-1.0.0"
    published = {
        reference % "core": Published(digest="sha256:1", labels={"orbiter.content": "c" * 16}),
        reference % "base": Published(digest="sha256:2", labels={}),
        reference % "side": Published(),
        reference % "top": Published(problem="connection refused"),
    }
    rows = images.rows(planned(), CONTENTS, None, (), published)
    assert [row.published_state for row in rows] == ["up to date", "unknown", "not pushed", "unknown"]
    assert all(row.published_state is None for row in images.rows(planned(), CONTENTS, None, (), {}))


def test_docker_hub_has_several_names() -> None:
    assert images.familiar("docker.io/library/debian:x") == "debian:x"
    assert images.familiar("docker.io/a/b:x") == "a/b:x"
    assert images.familiar("quay.io/library/b") == "quay.io/library/b"


def test_table_cuts_the_target_off_the_tag() -> None:
    local = (image("example/course:debian-base-1.0.0", orbiter_content="b" * 16),)
    rows = images.rows(planned(), CONTENTS, ["debian-base", "debian-top"], local, {})
    assert images.as_text(rows, 1_000_000.0 + 3 * 86400) == [
        "target       tag      state       digest        size    age",
        "debian-base  …-1.0.0  up to date  dddddddddddd  183 MB  3 days",
        "debian-top   …-1.0.0  not built",
    ]
    asked = images.rows(planned(), CONTENTS, ["debian-top"], (), {"example/course:debian-top-1.0.0": Published()})
    assert images.as_text(asked, 0.0) == [
        "target      tag      state      digest  size  age  registry",
        "debian-top  …-1.0.0  not built                     not pushed",
    ]


def test_data_says_null_for_what_there_is_not() -> None:
    (row,) = images.as_data(planned(), images.rows(planned(), CONTENTS, ["debian-top"], (), {}))["images"]
    assert row == {
        "target": "debian-top",
        "reference": "example/course:debian-top-1.0.0",
        "tag": "debian-top-1.0.0",
        "state": "not built",
        "id": None,
        "digest": None,
        "size": None,
        "created": None,
        "registry": None,
    }
