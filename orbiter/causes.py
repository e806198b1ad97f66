"""Why a target is to be built: the chain from it to what changed, with the places in the configuration."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orbiter.blame import named
from orbiter.changes import Verdicts, why
from orbiter.diagnostics import Path, Span, dotted
from orbiter.model import BuildPlan, Image, Target
from orbiter.parts import NESTED, PACKAGES, Reason
from orbiter.source import Document
from orbiter.tables import columns

_KEYS = {"from": "image", "channels": "conda", "template": "builder", "files": "builder"}
"""Parts that are called otherwise in the configuration."""

_TOP: Mapping[str, Path] = {"user": ("user",), "python": ("python", "version")}
"""Parts that the whole project has in common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A link of the chain. `depth` counts the parents above it, `path` and `span` are its place in the configuration.

    `target` is the one whose change it is.
    """

    target: str
    text: str
    depth: int
    path: Path = ()
    span: Span | None = None


def causes(plan: BuildPlan, document: Document, verdicts: Verdicts, target: str) -> tuple[Cause, ...]:
    """The causes of a target, each parent's below the sentence about it; nothing if the image is as it should be."""
    targets = {each.name: each for each in plan.targets}
    if verdicts[target].state == "to tag":
        return tuple(Cause(target=target, text=text, depth=0) for text in why(verdicts[target]))
    return tuple(_causes(targets, document, verdicts, target, 0, set()))


def _causes(
    targets: Mapping[str, Target], document: Document, verdicts: Verdicts, name: str, depth: int, seen: set[str]
) -> Iterator[Cause]:
    owner, reasons = _reasons(targets, verdicts, name)
    seen.add(name)
    for reason in reasons:
        path = _place(targets, document, targets[owner].image, reason)
        span = _span(document, path, targets[owner].image) if path else None
        yield Cause(target=owner, text=reason.text, depth=depth, path=path, span=span)
        parent = reason.parent
        if parent is None or parent not in targets:
            continue
        if parent in seen:
            yield Cause(target=parent, text="as said above", depth=depth + 1)
        elif _reasons(targets, verdicts, parent)[1]:
            yield from _causes(targets, document, verdicts, parent, depth + 1, seen)
        else:
            yield Cause(target=parent, text="is built already, this image is not", depth=depth + 1)


def _span(document: Document, path: Path, image: Image) -> Span:
    """Where it is written, which is what has changed: with the anchor, if an alias brings it here."""
    return document.defined(path) or document.span(path, key=path == image.path)


def _reasons(targets: Mapping[str, Target], verdicts: Verdicts, name: str) -> tuple[str, tuple[Reason, ...]]:
    """Why a target differs; of a nested build the image around it knows, in the parts that are the build's."""
    if name not in targets or targets[name].image.deployable:
        return name, verdicts[name].reasons if name in verdicts else ()
    owner = next((each.name for each in targets.values() if each.image.nested == name), name)
    if owner == name:
        return name, ()
    around, found = _reasons(targets, verdicts, owner)
    inner = tuple(reason for reason in found if reason.part.startswith(NESTED))
    return around, inner or tuple(reason for reason in found if reason.part in ("", "files"))


def _place(targets: Mapping[str, Target], document: Document, image: Image, reason: Reason) -> Path:
    for _ in range(reason.part.count(NESTED)):
        image = targets[image.nested].image if image.nested and image.nested in targets else image
    plain = reason.part.rpartition(NESTED)[2]
    if plain == "lock":
        return ()
    if plain in _TOP:
        return _TOP[plain] if _TOP[plain][0] in document.data else ()
    key = "image" if reason.parent else _KEYS.get(plain, plain)
    own: Any = document.value(image.path)
    if key not in own:
        return image.path
    path = (*image.path, key)
    if plain in PACKAGES:
        return next(named(own[key], path, reason.new), path) if reason.new else path
    return path


def as_text(target: str, state: str, found: tuple[Cause, ...]) -> str:
    """The chain as an indented list, with places on the right."""
    rows = [("  " * cause.depth + f"{cause.target}: {cause.text}", str(cause.span or "")) for cause in found]
    return "\n".join([f"{target}: {state}", *(f"  {line}" for line in (columns(rows) if rows else []))])


def as_data(target: str, state: str, found: tuple[Cause, ...]) -> dict[str, Any]:
    """The chain as plain data, for `--format json`."""
    return {
        "name": target,
        "state": state,
        "causes": [
            {
                "target": cause.target,
                "text": cause.text,
                "depth": cause.depth,
                "path": dotted(cause.path) or None,
                "file": cause.span.file if cause.span else None,
                "line": cause.span.line if cause.span else None,
            }
            for cause in found
        ],
    }
