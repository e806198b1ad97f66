"""Two builds of the same images, compared: which layers differ, and which of their files in what.

What was built is a Build, as `layouts` reads it and a list of digests (`--write`) keeps it. Files are compared only
where the layers are at hand; a list of digests has none.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orbiter.errors import UsageError
from orbiter.tables import columns, size

VERSION = 1

SHOWN = 20
"""So many files of a layer are shown to people; programs get them all."""


Step = tuple[str, int]
"""A step of an image's last stage: the target, and the number from the end, 1 being the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer: the digest of what is transferred, that of its files (`content`), and the instruction that made it.

    `step` is None where nobody knows it, as in a base image.
    """

    digest: str
    content: str
    instruction: str
    step: Step | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """An image of one platform (`linux/amd64`), as it was built.

    `config` is its configuration without the digests of layers and the history; a list of digests has its digest only.
    """

    target: str
    platform: str
    digest: str
    layers: tuple[Layer, ...]
    config_digest: str
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An entry of a layer. `content` is a hash of the bytes, or where a link points to; times are in seconds."""

    kind: str
    mode: int
    owner: str
    time: float
    size: int
    content: str
    attributes: tuple[tuple[str, str], ...] = ()


Listing = Mapping[str, File]
"""The entries of a layer by path, in the order of its archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A file that differs: `how` is a phrase for each of its properties that is another one in the second build."""

    path: str
    how: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What differs between two builds of an image.

    `where` is `layer 3 of 5`, `layers` (their number) or `configuration`; `what` the instruction, or what is to be
    said, `step` that of the layer. `also` names an image where the same two layers were compared already, and
    whose changes are not repeated.
    """

    where: str
    what: str
    digests: tuple[str, str]
    changes: tuple[Change, ...] = ()
    step: Step | None = None
    also: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Two builds of an image of one platform, and all that differs. `other` is None if the second has none such."""

    build: Build
    other: Build | None
    differences: tuple[Difference, ...]

    @property
    def identical(self) -> bool:
        return self.other is not None and self.build.digest == self.other.digest


Files = Callable[[Build, Layer], Listing | None]
"""The entries of a layer; None where they are not at hand."""


def compare(first: Sequence[Build], second: Sequence[Build], before: Files, after: Files) -> tuple[Verdict, ...]:
    """A verdict for each image of the first build. `before` and `after` read the layers of the two builds."""
    others = {(build.target, build.platform): build for build in second}
    known: dict[tuple[str, str], str] = {}
    return tuple(_verdict(build, others.get((build.target, build.platform)), before, after, known) for build in first)


def _verdict(
    build: Build, other: Build | None, before: Files, after: Files, known: dict[tuple[str, str], str]
) -> Verdict:
    if other is None or build.digest == other.digest:
        return Verdict(build=build, other=other, differences=())
    found = list(_layers(build, other, before, after, known))
    if build.config and other.config and build.config != other.config:
        keys = [key for key in sorted({*build.config, *other.config}) if build.config.get(key) != other.config.get(key)]
        changes = tuple(
            Change(path=key, how=(f"{_short(build.config.get(key))} → {_short(other.config.get(key))}",))
            for key in keys
        )
        found.append(_whole("configuration", "", build, other, changes))
    if not found:
        found.append(_whole("configuration", "of the image or its description; the layers are the same", build, other))
    return Verdict(build=build, other=other, differences=tuple(found))


def _whole(where: str, what: str, build: Build, other: Build, changes: tuple[Change, ...] = ()) -> Difference:
    return Difference(where=where, what=what, digests=(build.config_digest, other.config_digest), changes=changes)


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _layers(
    build: Build, other: Build, before: Files, after: Files, known: dict[tuple[str, str], str]
) -> Iterator[Difference]:
    count = len(build.layers)
    if count != len(other.layers):
        yield _whole("layers", f"{count} in the first build, {len(other.layers)} in the second", build, other)
    for number, (one, two) in enumerate(zip(build.layers, other.layers, strict=False), start=1):
        if one.digest == two.digest:
            continue
        digests = (one.digest, two.digest)
        difference = Difference(
            where=f"layer {number} of {count}", what=one.instruction, digests=digests, step=one.step or two.step
        )
        if one.content == two.content:
            changes: tuple[Change, ...] = (Change(path="", how=("the same files, compressed differently",)),)
        elif digests in known:
            yield replace(difference, also=known[digests])
            continue
        else:
            known[digests] = build.target
            old, new = before(build, one), after(other, two)
            changes = tuple(files(old, new)) if old is not None and new is not None else ()
        yield replace(difference, changes=changes)


def files(before: Listing, after: Listing) -> Iterator[Change]:
    """The files that differ between two layers, sorted by path; if none does, what else there is to say."""
    found = False
    for path in sorted({*before, *after}):
        how = tuple(_how(before.get(path), after.get(path)))
        if how:
            found = True
            yield Change(path=path, how=how)
    if not found:
        order = "the same files in another order" if list(before) != list(after) else "the same files, packed otherwise"
        yield Change(path="", how=(order,))


def _how(one: File | None, two: File | None) -> Iterator[str]:
    if one is None or two is None:
        yield "only in the second build" if one is None else "only in the first build"
        return
    if one.kind != two.kind:
        yield f"kind ({one.kind} → {two.kind})"
    elif one.content != two.content:
        if one.kind == "file":
            sizes = f"{size(one.size)} → {size(two.size)}" if one.size != two.size else size(one.size)
            yield f"content ({sizes})"
        else:
            yield f"target ({one.content} → {two.content})"
    if one.mode != two.mode:
        yield f"mode ({one.mode:04o} → {two.mode:04o})"
    if one.owner != two.owner:
        yield f"owner ({one.owner} → {two.owner})"
    if one.time != two.time:
        yield f"time ({one.time:.0f} → {two.time:.0f})"
    if one.attributes != two.attributes:
        yield "attributes"


# -- what people and programs get


Places = Mapping[Step, str]
"""Where steps stand, as `origins.last` has it."""


def as_text(verdicts: Sequence[Verdict], places: Places) -> str:
    """A table, and below it what differs, where that comes from, and how."""
    several = len({verdict.build.platform for verdict in verdicts}) > 1
    rows = [
        (
            verdict.build.target,
            *([verdict.build.platform] if several else []),
            "identical" if verdict.identical else "different" if verdict.other else "not compared",
            _brief(verdict.build.digest)
            if verdict.identical or not verdict.other
            else f"{_brief(verdict.build.digest)} → {_brief(verdict.other.digest)}",
        )
        for verdict in verdicts
    ]
    return "\n".join([*columns(rows), *(line for verdict in verdicts for line in _told(verdict, places))])


def _told(verdict: Verdict, places: Places) -> Iterator[str]:
    for difference in verdict.differences:
        what = f": {_one_line(difference.what)}" if difference.what else ""
        yield ""
        yield f"{verdict.build.target}, {difference.where}{what}"
        if difference.step and difference.step in places:
            yield f"  made by {places[difference.step]}"
        if difference.also:
            yield f"  as in {difference.also}"
        elif not difference.changes and difference.where.startswith("layer "):
            yield "  the files are not at hand: compare with a folder of --keep to see which"
        rows = [
            (f"  {change.path}" if change.path else " ", "; ".join(change.how)) for change in difference.changes[:SHOWN]
        ]
        yield from columns(rows) if rows else ()
        if len(difference.changes) > SHOWN:
            yield f"  and {len(difference.changes) - SHOWN} more; --format json has them all"


def _brief(digest: str) -> str:
    return digest[: len("sha256:") + 12]


def _one_line(instruction: str) -> str:
    """An instruction of the history, without what the builder added, on one line of a terminal."""
    text = re.sub(r"^(RUN )?(\|\d+ .*? )?/bin/sh -c ", "RUN ", instruction).removesuffix("# buildkit")
    text = re.sub(r"/dev/pipes/(\w+)", r"<<\1", text)  # a script of its own, whose text BuildKit does not keep
    text = re.sub(r"\s+", " ", text).strip()
    return text if len(text) <= 100 else f"{text[:99]}…"


def as_data(verdicts: Sequence[Verdict], epoch: int, places: Places) -> dict[str, Any]:
    """The verdicts as plain data, for `--format json`. `epoch` is the time that all files bear at most."""
    return {
        "identical": all(verdict.identical for verdict in verdicts),
        "source_date_epoch": epoch,
        "images": [
            {
                "target": verdict.build.target,
                "platform": verdict.build.platform,
                "identical": verdict.identical,
                "digest": verdict.build.digest,
                "other": verdict.other.digest if verdict.other else None,
                "differences": [
                    {
                        "where": difference.where,
                        "what": difference.what,
                        "origin": places.get(difference.step) if difference.step else None,
                        "digests": list(difference.digests),
                        "also": difference.also,
                        "changes": [{"path": each.path, "how": list(each.how)} for each in difference.changes],
                    }
                    for difference in verdict.differences
                ],
            }
            for verdict in verdicts
        ],
    }


# -- the list of digests


def dump(builds: Iterable[Build], epoch: int) -> str:
    """The builds as a list of digests, for another machine to compare its own with."""
    images = [
        {
            "target": build.target,
            "platform": build.platform,
            "digest": build.digest,
            "config": build.config_digest,
            "layers": [
                {"digest": layer.digest, "content": layer.content, "instruction": layer.instruction}
                for layer in build.layers
            ],
        }
        for build in builds
    ]
    data = {"orbiter-digests": VERSION, "source_date_epoch": epoch, "images": images}
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def parse(text: str, name: str) -> tuple[tuple[Build, ...], int]:
    """The builds of a list of digests, and its epoch. Raises UsageError."""
    try:
        data = json.loads(text)
        if data["orbiter-digests"] != VERSION:
            raise UsageError(f"{name}: written by another Orbiter (format {data['orbiter-digests']})")
        builds = tuple(
            Build(
                target=image["target"],
                platform=image["platform"],
                digest=image["digest"],
                config_digest=image["config"],
                layers=tuple(Layer(**layer) for layer in image["layers"]),
                config={},
            )
            for image in data["images"]
        )
        return builds, int(data["source_date_epoch"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{name}: no list of digests; 'orbiter verify --write {name}' makes one") from error
