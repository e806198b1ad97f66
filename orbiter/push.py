"""What a push is about: which images, in which order, what a failure means; how it ended → a table or JSON."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orbiter import references
from orbiter.model import BuildPlan
from orbiter.plan import tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A published image and the full references of all its tags, `<target>-<version>` first."""

    target: str
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """An image of the engine. `layers` are the digests of its unpacked layers, the lowest first; `size` is in bytes.

    `digest` is what the registry will call it if the engine knows that (`indexed`: Docker with the containerd store),
    else the digest of its configuration, which is a part of what the registry gets.
    """

    target: str
    references: tuple[str, ...]
    digest: str
    indexed: bool
    layers: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """How a tag ended. `digest` is that of the registry if it was pushed, else the engine's."""

    target: str
    reference: str
    digest: str
    result: Literal["pushed", "failed", "not tried"]
    attempts: int = 0
    problem: str = ""


def wanted(plan: BuildPlan, names: Sequence[str]) -> tuple[Wanted, ...]:
    """The published images among the named targets and groups, in the order of the plan."""
    groups = {group.name: group.targets for group in plan.groups}
    chosen = {target for name in names for target in groups.get(name, (name,))}
    return tuple(
        Wanted(target=target.name, references=tags(plan.project, target.image))
        for target in plan.targets
        if target.name in chosen and target.image.deployable
    )


def local(wanted: Wanted, inspected: str) -> Local:
    """The image from what `docker image inspect REFERENCE` prints."""
    (image,) = json.loads(inspected)
    descriptor = image.get("Descriptor") or {}
    return Local(
        target=wanted.target,
        references=wanted.references,
        digest=descriptor.get("digest") or image["Id"],
        indexed="digest" in descriptor,
        layers=tuple(image["RootFS"].get("Layers") or ()),
        size=image["Size"],
    )


def waits(images: Iterable[Local]) -> dict[str, str | None]:
    """Targets in the order in which they are begun → the one that has to be pushed before, if any.

    It is the one that shares the most of its layers: so each layer is sent once, whatever is pushed at a time.
    """
    order: dict[str, str | None] = {}
    before: list[Local] = []
    for image in sorted(images, key=lambda image: len(image.layers)):
        shared = [(_common(image.layers, other.layers), other.target) for other in before]
        most = max(shared, key=lambda each: each[0], default=(0, ""))
        order[image.target] = most[1] if most[0] else None
        before.append(image)
    return order


def _common(some: Sequence[str], others: Sequence[str]) -> int:
    return next(
        (at for at, (one, other) in enumerate(zip(some, others, strict=False)) if one != other),
        min(len(some), len(others)),
    )


def is_final(said: str) -> bool:
    """Whether it is of no use to try again: what Docker said is about rights, names or the engine, not the moment."""
    return bool(_FINAL.search(said))


_FINAL = re.compile(
    # Any status of the request's own fault but 408, 425 and 429, which pass with time.
    r"\b4(?!08\b|25\b|29\b)\d\d [A-Z]"
    r"|denied|unauthorized|forbidden|authentication required|no basic auth|insufficient_scope"
    r"|not found|does not exist|name unknown|name invalid|invalid reference|repository name"
    r"|certificate|no Docker engine answers|docker is not installed|has no Buildx",
    re.IGNORECASE,
)


def advice(said: str, reference: str) -> str:
    """The way out, as a line to add, where Docker's words are about rights."""
    if not re.search(r"\b40[13] [A-Z]|denied|unauthorized|authentication required|no basic auth", said):
        return ""
    host = references.host(reference)
    login = f"docker login {host}" if host else "docker login"
    return f"\n'{login}' as somebody who may push there"


def redact(said: str) -> str:
    """What Docker said without names and passwords in addresses, and without their queries: these may be signed."""
    return re.sub(r"(https?://[^\s\"'?]*)\?[^\s\"']*", r"\1?…", re.sub(r"(https?://)[^\s/@\"']+@", r"\1", said))


def digest(manifest: str) -> str:
    """The digest in what `docker buildx imagetools inspect --format '{{json .Manifest}}'` prints."""
    return str(json.loads(manifest)["digest"])


def config_digest(raw: str) -> str | None:
    """The digest of the configuration in what `docker buildx imagetools inspect --raw` prints; an index has none."""
    found = json.loads(raw).get("config", {}).get("digest")
    return str(found) if found else None


def as_text(rows: Sequence[Pushed]) -> str:
    """A table, and under it what failed, each problem once."""
    table = [("image", "tag", "digest", "result"), *((r.target, _tag(r), _short(r.digest), r.result) for r in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table]
    for row in rows:
        if row.problem and row.result == "failed":
            tries = f" after {row.attempts} attempts" if row.attempts > 1 else ""
            lines += ["", f"{_tag(row)}: failed{tries}", *(f"  {line}".rstrip() for line in row.problem.splitlines())]
    return "\n".join(lines)


def as_data(rows: Sequence[Pushed]) -> dict[str, Any]:
    """The same as plain data, for `--format json`. `pinned` is a reference that will always mean this image."""
    return {
        "pushed": all(row.result == "pushed" for row in rows),
        "images": [
            {
                "target": row.target,
                "reference": row.reference,
                "digest": row.digest,
                "pinned": f"{row.reference.rpartition(':')[0]}@{row.digest}" if row.result == "pushed" else None,
                "result": row.result,
                "attempts": row.attempts,
                "problem": row.problem or None,
            }
            for row in rows
        ],
    }


def unlike(images: Mapping[str, Local]) -> list[str]:
    """References that are another image than the first of theirs. `images`: reference → the image under it."""
    return [reference for reference, image in images.items() if image.digest != images[image.references[0]].digest]


def _tag(row: Pushed) -> str:
    return row.reference.rpartition(":")[2]


def _short(digest: str) -> str:
    return digest[:19]
