"""Names of caches, what may go, and what is said of a cache that fails. The names are compared with bake's in
tests/contract."""

import json
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter import caching
from orbiter.caching import Ref, Wish, cache_tag, in_words, is_torn, prune, split_tag
from orbiter.progress import Progress, Trouble
from orbiter.registry import Manifest

TARGETS = ("debian-base", "debian-base-build")


@pytest.mark.parametrize(
    ("branch", "tag"),
    [
        ("", "debian-base"),
        ("main", "debian-base"),
        ("build", "debian-base.build"),
        ("Feature/x_1.2", "debian-base.Feature-x_1.2"),
        ("a#b", "debian-base.a-b-413ff7a4"),
    ],
)
def test_a_branch_has_a_tag_of_its_own(branch: str, tag: str) -> None:
    assert cache_tag("debian-base", branch, "main") == tag


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_branch_takes_the_tag_of_another(one: str, other: str) -> None:
    tags = {cache_tag(target, branch, "main") for target in TARGETS for branch in (one, other, "main")}
    alike = len({normalize("NFC", branch).replace("/", "-") for branch in (one, other)} - {"main"})
    assert len(tags) == 2 * (1 + alike)
    assert all(len(tag) <= 128 and tag.isascii() for tag in tags)
    assert all(split_tag(tag, TARGETS) is not None for tag in tags)


@pytest.mark.parametrize("tag", ["debian-base-0.1.0", "latest", "debian", "debian-base."])
def test_a_tag_of_something_else_is_none_of_ours(tag: str) -> None:
    assert split_tag(tag, TARGETS) is None


def test_what_is_an_image_is_no_cache() -> None:
    data = {"config": {"mediaType": "application/vnd.oci.image.config.v1+json"}, "layers": []}
    assert caching.ref("debian-base", Manifest(digest="sha256:1", data=data), TARGETS) is None
    cache = {
        "config": {"mediaType": caching.CONFIG_TYPE},
        "layers": [
            {"size": 5, "annotations": {"buildkit/createdat": "1970-01-01T00:01:00.5Z"}},
            {"size": 6, "annotations": {"buildkit/createdat": "1970-01-01T00:00:01Z"}},
        ],
    }
    found = caching.ref("debian-base.x", Manifest(digest="sha256:1", data=cache), TARGETS)
    assert found == Ref(target="debian-base", branch="x", tag="debian-base.x", digest="sha256:1", size=11, made=60)
    index = {"manifests": [{"mediaType": caching.CONFIG_TYPE, "size": 1}, {"mediaType": "layer", "size": 7}]}
    older = caching.ref("debian-base", Manifest(digest="sha256:1", data=index), TARGETS)
    assert older is not None
    assert (older.size, older.made) == (7, None)


def ref(tag: str, digest: str, made: float | None = 0.0) -> Ref:
    target, _, branch = tag.partition(".")
    return Ref(target=target, branch=branch, tag=tag, digest=digest, size=1, made=made)


REFS = (ref("a", "1", 100), ref("a.x", "2", 10), ref("a.y", "3", None), ref("b", "4", 10), ref("b.x", "4", 10))
DIGESTS = {each.tag: each.digest for each in REFS}


@pytest.mark.parametrize(
    ("wish", "gone"),
    [
        (Wish(branches=["x"]), ["a.x"]),
        (Wish(branches=["main"]), ["a"]),
        (Wish(kept=["x"]), ["a.y"]),
        (Wish(kept=[]), ["a.x", "a.y"]),
        (Wish(made_before=50), ["a.x", "b", "b.x"]),
        (Wish(made_before=50, kept=["y"]), ["a.x"]),
        (Wish(made_before=5), []),
    ],
)
def test_what_goes_is_what_all_conditions_name(wish: Wish, gone: list[str]) -> None:
    assert [each.tag for each in prune(REFS, DIGESTS, wish, "main").doomed] == gone


def test_a_manifest_that_another_tag_has_stays() -> None:
    found = prune(REFS, DIGESTS, Wish(branches=["x"]), "main")
    assert found.kept == (("b.x", "is the same as b, which would go with it"),)
    foreign = prune(REFS, {**DIGESTS, "latest": "2"}, Wish(branches=["x"]), "main")
    assert foreign.doomed == ()


@pytest.mark.parametrize(
    "error",
    [
        "httpReadSeeker: failed open: could not fetch content descriptor sha256:62 from remote: not found",
        'failed commit on ref "layer-sha256:2": unexpected commit digest sha256:7, expected sha256:2',
        "short read: expected 97 bytes but got 96: unexpected EOF",
    ],
)
def test_a_layer_that_cannot_be_had_is_known(error: str) -> None:
    assert is_torn(error)


@pytest.mark.parametrize("error", ['process "/bin/sh -c false" did not complete successfully: exit code: 1', ""])
def test_a_step_that_failed_is_no_such_layer(error: str) -> None:
    assert not is_torn(error)


def vertex(name: str, error: str = "", cached: bool = False) -> str:
    state = {"started": "2026-01-01T00:00:00Z", "completed": "2026-01-01T00:00:09Z", "error": error, "cached": cached}
    return json.dumps({"vertexes": [{"digest": f"sha256:{name}", "name": name, **state}]})


def test_a_cache_that_fails_is_no_failure_of_its_target() -> None:
    progress = Progress({"a": (), "b": ("a",)}, ("a", "b"))
    for target in ("a", "b"):
        progress.feed(
            vertex(f"[{target}] importing cache manifest from r.org/c:{target}", "dial tcp: connection refused")
        )
        progress.feed(vertex(f"[{target} 1/1] RUN {target}"))
        progress.feed(vertex(f"[{target}] exporting to image"))
        progress.feed(vertex(f"[{target}] exporting cache to registry", "unexpected status: 401 Unauthorized"))
    assert {name: work.result for name, work in progress.work(done=True).items()} == {"a": "built", "b": "built"}
    assert not progress.imported
    read, written = ([each for each in progress.troubles if each.verb == verb] for verb in ("read", "written"))
    assert in_words(read) == (
        "the cache of a and 1 more cannot be read: built without it: "
        "the registry does not answer (dial tcp: connection refused)"
    )
    assert in_words(written) == (
        "the cache of a and 1 more cannot be written: others gain nothing: "
        "the registry refuses; 'docker login' may help (unexpected status: 401 Unauthorized)"
    )


def test_a_cache_that_nobody_has_written_yet_is_nothing_to_talk_about() -> None:
    progress = Progress({"a": ()}, ("a",))
    name = "importing cache manifest from r.org/c:a"
    progress.feed(vertex(f"[a] {name}", "failed to configure registry cache importer: r.org/c:a: not found"))
    assert progress.troubles == []
    progress.feed(vertex(f"[a] {name}", "could not fetch content descriptor sha256:2 from remote: not found"))
    assert progress.troubles == [
        Trouble(
            target="a",
            verb="read",
            place="r.org/c:a",
            error="could not fetch content descriptor sha256:2 from remote: not found",
        )
    ]


def test_a_layer_that_is_fetched_is_no_step_that_ran() -> None:
    progress = Progress({"a": (), "b": ("a",)}, ())
    # BuildKit tells of the fetching as if the step ran, before it says that it was cached (seen with Docker 28.5).
    for line in (
        vertex("[a 1/2] RUN x"),
        vertex("[a 1/2] RUN x", cached=True),
        vertex("[a 2/2] RUN y", cached=True),
        vertex("[a 2/2] RUN y"),
        vertex("[b 1/1] RUN z"),
    ):
        progress.feed(line)
    assert [(step.target, step.text) for step in progress.ran()] == [("b", "z")]
    assert progress.heard() == 3
