"""References of the registry cache: their names, what a registry has of them, which may go; and its troubles in words.

`cache_tag` is what the bake file computes in its function of the same name.
"""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orbiter.images import seconds
from orbiter.progress import Trouble
from orbiter.registry import Manifest
from orbiter.tables import age, columns, size

CONFIG_TYPE = "application/vnd.buildkit.cacheconfig.v0"
"""Media type of what a cache manifest has in place of an image's configuration."""

_LONGEST = 128
_TORN = re.compile(
    r"httpReadSeeker|content descriptor sha256|unexpected commit digest|short read: expected|unexpected EOF"
    r"|failed to extract layer|failed to get stream processor"
)
_HALF = re.compile(r"PUT request to \S+/manifests/\S+: 400 |blob unknown to registry")
_SILENT = re.compile(r"connection refused|no such host|no route|timeout|server misbehaving|\bEOF\b|reset by peer")
_REFUSED = re.compile(r"\b401\b|\b403\b|unauthorized|authorization|denied|no basic auth", re.IGNORECASE)


def is_torn(error: str) -> bool:
    """Whether a build failed because a layer that a cache promises cannot be had (words of BuildKit 0.25)."""
    return bool(_TORN.search(error))


def is_half_written(trouble: Trouble) -> bool:
    """Whether a registry had not got all layers of a cache when it got its manifest.

    Seen with Docker 28.5 where many targets that share layers write at once: `blob unknown to registry`.
    """
    return trouble.verb == "written" and bool(_HALF.search(trouble.error))


def in_words(troubles: Sequence[Trouble]) -> str:
    """One sentence about caches that could not be read, or not be written: whose, why, and what of it."""
    targets = list(dict.fromkeys(trouble.target for trouble in troubles))
    more = f" and {len(targets) - 1} more" if len(targets) > 1 else ""
    error = " ".join(troubles[0].error.split())
    if _REFUSED.search(error):
        why = f"the registry refuses; 'docker login' may help ({error})"
    elif _SILENT.search(error):
        why = f"the registry does not answer ({error})"
    else:
        why = error
    what = (
        "cannot be read: built without it" if troubles[0].verb == "read" else "cannot be written: others gain nothing"
    )
    return f"the cache of {targets[0]}{more} {what}: {why}"


def cache_tag(target: str, branch: str, main: str) -> str:
    """The tag of a target's cache: `<target>`, or `<target>.<branch>` for another branch than the main one.

    What a tag may not have becomes `-`, and a hash keeps branches apart that are alike then, unless it was a `/`.
    """
    # HCL normalizes all its strings.
    branch, main = unicodedata.normalize("NFC", branch), unicodedata.normalize("NFC", main)
    if branch in ("", main):
        return target
    tag = re.sub(r"[^A-Za-z0-9_.-]", "-", f"{target}.{branch}")
    whole = f"{target}.{branch.replace('/', '-')}"
    if tag == whole and len(tag) <= _LONGEST:
        return tag
    return f"{tag[:119]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """A cache in the registry. `branch` is the end of its tag, empty for the main branch.

    `size` is in bytes; `made` is when its newest layer was made, in seconds since 1970, None if that is not told. A
    build that runs nothing leaves that as it is.
    """

    target: str
    branch: str
    tag: str
    digest: str
    size: int
    made: float | None


def split_tag(tag: str, targets: Collection[str]) -> tuple[str, str] | None:
    """Target and branch of a tag; None if it is of no cache of these targets."""
    target, dot, branch = tag.partition(".")
    return (target, branch) if target in targets and bool(dot) == bool(branch) else None


def ref(tag: str, manifest: Manifest, targets: Collection[str]) -> Ref | None:
    """The cache under a tag; None if the tag, or what is there, is none of these targets' caches."""
    found = split_tag(tag, targets)
    if not found or not is_cache(manifest):
        return None
    layers = layers_of(manifest)
    made = [seconds((layer.get("annotations") or {}).get("buildkit/createdat", "")) for layer in layers]
    return Ref(
        target=found[0],
        branch=found[1],
        tag=tag,
        digest=manifest.digest,
        size=sum(int(layer.get("size", 0)) for layer in layers),
        made=max(filter(None, made), default=None),
    )


def is_cache(manifest: Manifest) -> bool:
    """Whether BuildKit wrote it as a cache: as an image, or, as it did before and still can, as an index."""
    entries = manifest.data.get("manifests") or ()
    return manifest.kind == CONFIG_TYPE or any(entry.get("mediaType") == CONFIG_TYPE for entry in entries)


def layers_of(manifest: Manifest) -> tuple[Mapping[str, Any], ...]:
    """The descriptors of a cache's layers."""
    entries = manifest.data.get("manifests") or ()
    return manifest.layers or tuple(entry for entry in entries if entry.get("mediaType") != CONFIG_TYPE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """Caches that are to go, and what stays although it was meant: tags and reasons."""

    doomed: tuple[Ref, ...]
    kept: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which caches are to go: those to which all apply. None does not count.

    `made_before` is in seconds since 1970; `branches` are named, `kept` are the branches that stay beside the main one.
    """

    made_before: float | None = None
    branches: Collection[str] | None = None
    kept: Collection[str] | None = None


def prune(refs: Iterable[Ref], digests: Mapping[str, str], wish: Wish, main: str) -> Pruning:
    """What goes. `digests` are those of all tags of the repository: a manifest goes with all the tags it has."""
    refs = tuple(refs)
    meant = [each for each in refs if _is_meant(each, wish, main)]
    tags = {each.tag for each in meant}
    doomed, kept = [], []
    for each in meant:
        others = [tag for tag, digest in digests.items() if digest == each.digest and tag not in tags]
        if others:
            kept.append((each.tag, f"is the same as {others[0]}, which would go with it"))
        else:
            doomed.append(each)
    return Pruning(doomed=tuple(doomed), kept=tuple(kept))


def _is_meant(each: Ref, wish: Wish, main: str) -> bool:
    def of(branches: Iterable[str]) -> set[str]:
        return {cache_tag(each.target, branch, main) for branch in branches}

    if wish.branches is not None and each.tag not in of(wish.branches):
        return False
    if wish.kept is not None and each.tag in of((main, *wish.kept)):
        return False
    return wish.made_before is None or (each.made is not None and each.made < wish.made_before)


def as_text(refs: Sequence[Ref], main: str, now: float) -> list[str]:
    """A table."""
    rows = [
        (each.target, each.branch or main, size(each.size), "–" if each.made is None else age(now - each.made))
        for each in refs
    ]
    return columns([("target", "branch", "size", "newest layer"), *rows]) if rows else []


def as_data(refs: Iterable[Ref]) -> list[dict[str, Any]]:
    return [
        {
            "target": each.target,
            "branch": each.branch or None,
            "tag": each.tag,
            "digest": each.digest,
            "size": each.size,
            "made": each.made,
        }
        for each in refs
    ]
