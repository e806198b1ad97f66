"""Two builds compared, as values: which layers and files differ, and in what."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter import verification
from orbiter.errors import UsageError
from orbiter.verification import Build, Change, File, Layer, Listing, compare, files


def file(content: str = "a", **changes: Any) -> File:
    values: dict[str, Any] = {"kind": "file", "mode": 0o644, "owner": "0:0", "time": 1.0, "size": 3, "content": content}
    return File(**values | changes)


def image(*layers: str, target: str = "core", config: Mapping[str, Any] | None = None, packed: str = "") -> Build:
    """A build whose layers are named by their content."""
    return Build(
        target=target,
        platform="linux/amd64",
        digest=f"sha256:{'-'.join(layers)}{packed}{config or ''}",
        config_digest=f"sha256:config{config or ''}",
        layers=tuple(
            Layer(digest=f"{name}{packed}", content=name, instruction=f"RUN /bin/sh -c make {name[0]} # buildkit")
            for name in layers
        ),
        config=config or {"created": "then"},
    )


def listed(build: Build, layer: Layer) -> Listing:
    """Of every layer: a file that is its content, and one that all layers have."""
    return {"etc/own": file(layer.content), "etc/same": file()}


@pytest.mark.parametrize(
    ("before", "after", "how"),
    [
        (file(), None, "only in the first build"),
        (None, file(), "only in the second build"),
        (file("a"), file("b"), "content (3 B)"),
        (file("a"), file("b", size=1200), "content (3 B → 1.2 kB)"),
        (file(), file(mode=0o4755), "mode (0644 → 4755)"),
        (file(), file(owner="1000:100"), "owner (0:0 → 1000:100)"),
        (file(), file(time=2.0), "time (1 → 2)"),
        (file(), file(kind="folder", content=""), "kind (file → folder)"),
        (file("x", kind="link"), file("y", kind="link"), "target (x → y)"),
        (file(), file(attributes=(("SCHILY.xattr.user.a", "1"),)), "attributes"),
    ],
)
def test_file_that_differs_is_named_with_what_differs(before: File | None, after: File | None, how: str) -> None:
    one = {"etc": file(kind="folder"), **({"etc/x": before} if before else {})}
    two = {"etc": file(kind="folder"), **({"etc/x": after} if after else {})}
    assert list(files(one, two)) == [Change(path="etc/x", how=(how,))]


def test_all_that_differs_of_a_file_is_told() -> None:
    (change,) = files({"x": file("a")}, {"x": file("b", mode=0o600, time=9.0)})
    assert change.how == ("content (3 B)", "mode (0644 → 0600)", "time (1 → 9)")


def test_order_alone_is_told() -> None:
    one = {"a": file(), "b": file()}
    two = {"b": file(), "a": file()}
    assert list(files(one, two)) == [Change(path="", how=("the same files in another order",))]


names = st.sampled_from(["a", "b/c", "d"])
listings = st.dictionaries(names, st.builds(file, st.sampled_from("xy"), mode=st.sampled_from([0o600, 0o644])))


@given(listings, listings)
def test_two_listings_differ_both_ways_in_the_same_files(one: Listing, two: Listing) -> None:
    paths = [change.path for change in files(one, two) if change.path]
    assert paths == [change.path for change in files(two, one) if change.path]
    assert set(paths) == {path for path in {*one, *two} if one.get(path) != two.get(path)}


def test_same_digest_is_identical_and_reads_no_layer() -> None:
    def unread(build: Build, layer: Layer) -> Listing:
        raise AssertionError(layer)

    (verdict,) = compare([image("a1", "b1")], [image("a1", "b1")], unread, unread)
    assert verdict.identical
    assert verdict.differences == ()


def test_layer_is_named_with_its_instruction_and_files() -> None:
    verdicts = compare([image("a1", "b1")], [image("a1", "b2")], listed, listed)
    (difference,) = verdicts[0].differences
    assert (difference.where, difference.digests) == ("layer 2 of 2", ("b1", "b2"))
    assert [change.path for change in difference.changes] == ["etc/own"]
    assert verification.as_text(verdicts, {}).splitlines() == [
        "core  different  sha256:a1-b1 → sha256:a1-b2",
        "",
        "core, layer 2 of 2: RUN make b",
        "  etc/own  content (3 B)",
    ]


def test_layer_of_a_parent_is_told_once() -> None:
    first = [image("a1"), image("a1", "b1", target="base")]
    second = [image("a2"), image("a2", "b1", target="base")]
    core, base = compare(first, second, listed, listed)
    assert (core.differences[0].also, base.differences[0].also) == (None, "core")
    assert base.differences[0].changes == ()
    assert "  as in core" in verification.as_text([core, base], {}).splitlines()


def test_same_files_compressed_otherwise_are_told_without_reading_them() -> None:
    (verdict,) = compare([image("a1")], [image("a1", packed="zstd")], lambda *_: None, lambda *_: None)
    assert not verdict.identical
    assert verdict.differences[0].changes[0].how == ("the same files, compressed differently",)


def test_configuration_that_differs_is_named() -> None:
    (verdict,) = compare(
        [image("a1", config={"created": "x"})], [image("a1", config={"config.Env": 1})], listed, listed
    )
    (difference,) = verdict.differences
    assert difference.where == "configuration"
    assert {change.path: change.how for change in difference.changes} == {
        "created": ('"x" → nothing',),
        "config.Env": ("nothing → 1",),
    }


def test_number_of_layers_that_differs_is_told() -> None:
    (verdict,) = compare([image("a1")], [image("a1", "b1")], listed, listed)
    assert (verdict.differences[0].where, verdict.differences[0].what) == (
        "layers",
        "1 in the first build, 2 in the second",
    )


def test_platform_without_counterpart_is_not_identical() -> None:
    (verdict,) = compare([image("a1")], [], listed, listed)
    assert not verdict.identical
    assert "not compared" in verification.as_text([verdict], {})


def test_many_files_are_cut_for_people_only() -> None:
    def many(build: Build, layer: Layer) -> Listing:
        return {f"f{number:02}": file(layer.content) for number in range(50)}

    verdicts = compare([image("a1")], [image("a2")], many, many)
    text = verification.as_text(verdicts, {}).splitlines()
    assert text[-2:] == ["  f19  content (3 B)", "  and 30 more; --format json has them all"]
    data = verification.as_data(verdicts, 7, {})
    assert (data["identical"], data["source_date_epoch"]) == (False, 7)
    assert len(data["images"][0]["differences"][0]["changes"]) == 50


def test_list_of_digests_is_read_as_it_was_written() -> None:
    made = [image("a1", "b1"), image("a1", target="base")]
    builds, epoch = verification.parse(verification.dump(made, 5), "digests.json")
    assert epoch == 5
    assert [(build.target, build.digest, build.layers) for build in builds] == [
        (build.target, build.digest, build.layers) for build in made
    ]


def test_list_of_digests_finds_the_layer_without_files() -> None:
    theirs, _ = verification.parse(verification.dump([image("a1", "b1")], 5), "digests.json")
    verdicts = compare(theirs, [image("a1", "b2")], lambda *_: None, listed)
    assert verification.as_text(verdicts, {}).splitlines()[2:] == [
        "core, layer 2 of 2: RUN make b",
        "  the files are not at hand: compare with a folder of --keep to see which",
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"orbiter-digests": 1, "images": [{}]}'])
def test_what_is_no_list_of_digests_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^d\.json: no list of digests; 'orbiter verify --write"):
        verification.parse(text, "d.json")


def test_list_of_a_newer_orbiter_is_refused() -> None:
    with pytest.raises(UsageError, match="written by another Orbiter"):
        verification.parse('{"orbiter-digests": 2}', "d.json")
