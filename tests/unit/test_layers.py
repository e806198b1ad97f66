"""Layers from what Docker and registries tell. The answers are those of Docker 28.5, shortened."""

import json

from orbiter.layers import Layer, parse_local, parse_published, shared, total

HISTORY = "\n".join(
    json.dumps(entry)
    for entry in (
        {"Size": "0", "CreatedBy": "USER 1000", "Comment": "buildkit.dockerfile.v0"},
        {"Size": "4096", "CreatedBy": "WORKDIR /home/jovyan", "Comment": "buildkit.dockerfile.v0"},
        {"Size": "41721856", "CreatedBy": "RUN /bin/sh -c apt-get update \t&& x # buildkit", "Comment": "b"},
        {"Size": "86241280", "CreatedBy": "", "Comment": "Imported from -"},
    )
)
CORE = Layer(digest="sha256:1", size=86241280, text="Imported from -")
APT = Layer(digest="sha256:2", size=41721856, text="RUN apt-get update && x")
HOME = Layer(digest="sha256:3", size=4096, text="WORKDIR /home/jovyan")


def test_entries_with_a_size_made_the_layers() -> None:
    assert parse_local(["sha256:1", "sha256:2", "sha256:3"], HISTORY) == (CORE, APT, HOME)


def test_a_history_that_does_not_fit_tells_nothing() -> None:
    assert parse_local(["sha256:1", "sha256:2"], HISTORY) == ()
    assert parse_local([], "") == ()


def test_published_layers_have_the_words_of_the_configuration() -> None:
    manifest = {"layers": [{"digest": "sha256:1", "size": 30}, {"digest": "sha256:2", "size": 12}]}
    history = [{"created_by": "A"}, {"created_by": "USER 1", "empty_layer": True}, {"created_by": "RUN /bin/sh -c b"}]
    assert [layer.text for layer in parse_published(manifest, {"history": history})] == ["A", "RUN b"]
    assert [layer.size for layer in parse_published(manifest, {"history": history[:1]})] == [30, 12]
    assert parse_published({}, {}) == ()


def test_a_layer_is_kept_once() -> None:
    layers = {"core": (CORE, APT), "base": (CORE, APT, HOME, HOME)}
    assert total(layers) == CORE.size + APT.size + HOME.size
    assert shared(layers) == {"sha256:1": ("core", "base"), "sha256:2": ("core", "base"), "sha256:3": ("base",)}
