"""What an image is made of, piece by piece, as a label: by it, Orbiter says why an image is to be built again.

`orbiter.content` decides whether an image is as the configuration gives it; `orbiter.parts` only explains. It is a list
of `name=value` with blanks between. Packages stand there as the configuration has them, so that a difference has names;
what may be long or private is a hash. What comes from the nested build has `build:` before its name, what comes from
another target is that one's content hash, under `target:NAME`.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orbiter.content import tool_digest
from orbiter.model import BuildPlan, Pins, Target

LABEL = "orbiter.parts"

Parts = Mapping[str, str]
"""Name → value, as they stand in the label."""

PACKAGES = ("apt", "apk", "conda", "pip", "npm")
"""Names of parts that are lists of packages; these are the sections of the configuration."""

NESTED = "build:"
TARGET = "target:"

_ADDRESS = re.compile(r"(.*?)[^ @]*://.*", re.DOTALL)
_ESCAPED = {"%": "%25", " ": "%20", ",": "%2C", "\n": "%0A", "\t": "%09"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why an image is not what it should be: the part that differs, a sentence about it, and packages one by one.

    `part` is as in the label, with `build:` for the nested build, and `old` its former value. `new` and `gone` are
    packages of a list.
    """

    part: str
    text: str
    old: str = ""
    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def parent(self) -> str | None:
        """The target that the image is made from and that differs, if that is the reason."""
        name = self.part.rpartition(NESTED)[2]
        return name.removeprefix(TARGET) if name.startswith(TARGET) else None


def parts(plan: BuildPlan, contents: Mapping[str, str]) -> Mapping[str, Parts]:
    """The parts of every target. `contents` are its content hashes."""
    targets = {target.name: target for target in plan.targets}
    own = {name: dict(_own(plan, target)) for name, target in targets.items()}
    return {name: dict(_all(target, targets, own, contents)) for name, target in targets.items()}


def label(found: Parts) -> str:
    """The parts as text."""
    return " ".join(f"{name}={value}" for name, value in found.items())


def parse(text: str) -> Parts:
    """The parts in a label."""
    return {name: value for name, equals, value in (each.partition("=") for each in text.split(" ")) if equals}


def locked(pins: Pins) -> str:
    """The value of the part `lock`. Where nothing is compiled, it is that of images that were built before Orbiter
    locked builds."""
    without = set() if pins.build else {"build", "sources"}
    return _hash({name: value for name, value in asdict(pins).items() if name not in without})


def reasons(old: Parts, new: Parts) -> tuple[Reason, ...]:
    """What separates two states of an image, in the order of the parts.

    If nothing does, and the content differs, then the same parts were put together in another way: by a template.
    """
    found = (_reason(name, old.get(name), new.get(name)) for name in dict.fromkeys((*new, *old)))
    several = tuple(reason for reason in found if reason)
    return several or (Reason(part="template", text="template changed"),)


def _reason(name: str, old: str | None, new: str | None) -> Reason | None:
    if old == new:
        return None
    plain = name.rpartition(NESTED)[2]
    if plain in (*PACKAGES, "channels"):
        before, after = _entries(old), _entries(new)
        added = tuple(_shown(each) for each in after if each not in before)
        gone = tuple(_shown(each) for each in before if each not in after)
        words = [*(f"+ {each}" for each in added), *(f"- {each}" for each in gone)] or ["in another order"]
        return Reason(part=name, text=f"{plain}: {' '.join(words)}", new=added, gone=gone)
    if plain == "from":
        return Reason(part=name, text=_moved(_shown(old or ""), _shown(new or "")))
    if plain in ("builder", "python", "snapshot") and old and new:
        return Reason(part=name, text=f"{plain}: {_shown(old)} → {_shown(new)}")
    if plain.startswith(TARGET):
        changed = "changed" if old and new else "is new" if new else "is gone"
        return Reason(part=name, text=f"parent {plain.removeprefix(TARGET)} {changed}")
    words_of = {
        "lock": "locked versions moved" if old else "versions locked",
        "tool": "digest of the installer's image moved" if old else "installer's image pinned",
    }
    return Reason(part=name, text=words_of.get(plain) or f"{plain} changed", old=old or "")


def _moved(old: str, new: str) -> str:
    name, _, digest = new.partition("@")
    before, _, known = old.partition("@")
    if before == name and digest:
        return f"base digest moved ({name})" if known else f"base image pinned ({name})"
    return f"image: {old or 'a target'} → {new or 'a target'}"


def _all(
    target: Target, targets: Mapping[str, Target], own: Mapping[str, Parts], contents: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    yield from own[target.name].items()
    for need in target.needs:
        if need == target.image.nested:
            for name, value in _all(targets[need], targets, own, contents):
                yield f"{NESTED}{name}", value
        else:
            yield f"{TARGET}{need}", contents[need]


def _own(plan: BuildPlan, target: Target) -> Iterator[tuple[str, str]]:
    image, stage = target.image, target.stage
    yield "builder", image.builder
    if image.parent.target is None:
        yield "from", _escape(stage.parent)
    yield from ((name, _list(specs)) for name, specs in _lists(target) if specs)
    if stage.pins:
        yield "lock", locked(stage.pins)
    if digest := tool_digest(plan, target):
        yield "tool", digest[:8]
    if stage.python and stage.tool and not stage.conda:
        yield "python", _escape(stage.python)
    if stage.snapshot:
        yield "snapshot", stage.snapshot
    facts: tuple[tuple[str, Any], ...] = (
        ("postbuild", stage.postbuild),
        ("env", stage.env),
        ("copy", image.copy),
        ("cmd", stage.start.cmd if stage.start else ()),
        ("labels", image.labels),
        ("options", image.options),
    )
    yield from ((name, _hash(value)) for name, value in facts if value)
    yield "user", _hash(asdict(stage.account))
    if stage.mirrored or stage.ca:
        yield "mirrors", "ca" if stage.ca else "indexes"


def _lists(target: Target) -> Iterator[tuple[str, Sequence[str]]]:
    stage = target.stage
    yield "apk" if stage.distribution == "alpine" else "apt", stage.system
    if target.image.conda and stage.conda:  # without the former it is there for npm only
        yield "conda", (*stage.conda.dependencies, *stage.conda.pip)
        if stage.conda.channels:
            yield "channels", stage.conda.channels
    yield "pip", stage.pip
    yield "npm", stage.npm


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=dict)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _list(specs: Sequence[str]) -> str:
    return ",".join(_escape(_public(spec)) for spec in specs)


def _public(spec: str) -> str:
    """A package that comes from an address, which may hold a password, is its name and a hash."""
    address = _ADDRESS.fullmatch(spec)
    return f"{address[1]}#{_hash(spec)}" if address else spec


def _entries(value: str | None) -> tuple[str, ...]:
    return tuple(value.split(",")) if value else ()


def _escape(text: str) -> str:
    return "".join(_ESCAPED.get(character, character) for character in text)


def _shown(text: str) -> str:
    for character, escaped in reversed(_ESCAPED.items()):
        text = text.replace(escaped, character)
    return text
