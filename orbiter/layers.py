"""The layers of images, and which of them several images share."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SHELL = re.compile(r"^RUN /bin/sh -c ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer: bytes, compressed in a registry and unpacked in an engine, and what made it."""

    digest: str
    size: int
    text: str


Layers = Mapping[str, tuple[Layer, ...]]
"""Target → the layers of its image, the lowest first."""


def parse_local(digests: Sequence[str], history: str) -> tuple[Layer, ...]:
    """From the digests of `docker image inspect` and `docker history --no-trunc --human=false --format json`.

    The history does not tell which of its entries made a layer: those with a size did. Nothing if the two do not fit.
    """
    entries = [json.loads(line) for line in reversed(history.splitlines()) if line.strip()]
    made = [(int(entry["Size"]), _in_short(entry["CreatedBy"] or entry["Comment"])) for entry in entries]
    made = [entry for entry in made if entry[0]]
    if len(made) != len(digests):
        return ()
    return tuple(Layer(digest=digest, size=size, text=text) for digest, (size, text) in zip(digests, made, strict=True))


def parse_published(manifest: Mapping[str, Any], image: Mapping[str, Any]) -> tuple[Layer, ...]:
    """From the manifest of an image, and its configuration, whose history tells what made each layer."""
    history = [entry for entry in image.get("history") or () if not entry.get("empty_layer")]
    layers = manifest.get("layers") or ()
    texts = [_in_short(entry.get("created_by") or entry.get("comment") or "") for entry in history]
    if len(texts) != len(layers):
        texts = [""] * len(layers)
    return tuple(
        Layer(digest=layer["digest"], size=int(layer["size"]), text=text)
        for layer, text in zip(layers, texts, strict=True)
    )


def shared(layers: Layers) -> Mapping[str, tuple[str, ...]]:
    """The digest of each layer → the targets that have it."""
    found: dict[str, tuple[str, ...]] = {}
    for target, own in layers.items():
        for digest in dict.fromkeys(layer.digest for layer in own):
            found[digest] = (*found.get(digest, ()), target)
    return found


def total(layers: Layers) -> int:
    """Bytes of all the images together, where each layer is kept once."""
    return sum({layer.digest: layer.size for own in layers.values() for layer in own}.values())


def _in_short(text: str) -> str:
    """What made a layer, on one line."""
    return " ".join(_SHELL.sub("RUN ", text.removesuffix("# buildkit").strip()).split())
