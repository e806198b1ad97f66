"""A build that failed → the place in the configuration that it comes from."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orbiter.diagnostics import Finding, Path
from orbiter.model import BuildPlan, FileSet, Image, Target
from orbiter.source import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A step that failed, as BuildKit tells it: the context folder of the target, the line of its Dockerfile with
    the text that stands there, what the step printed (all of it, and what of it were errors, stderr), and what the
    engine has to say itself.

    Before any step there is no line: it is 0, and its text empty.
    """

    context: str
    line: int
    text: str
    logs: tuple[str, ...]
    errors: tuple[str, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a target could not be built: the step as its Dockerfile has it, the place in the configuration that it comes
    from, and the last lines that it printed.

    `dockerfile` and `finding` are None where nobody knows; `line` is 0 before any step.
    """

    target: str
    dockerfile: str | None
    line: int
    instruction: str
    finding: Finding | None
    log: tuple[str, ...]


_SHOWN = 20
"""How many of the last lines of a step a person gets to see."""

_CLIPPED = "[output clipped, log limit "
"""What BuildKit says where it drops lines: https://github.com/moby/buildkit/blob/master/util/progress/logs/logs.go."""

_TOOLS = {
    "apt-get": "apt",
    "apk": "apk",
    "uv pip": "pip",
    "uv --no-cache python": "python",
    "micromamba": "conda",
    "npm": "npm",
}
_COMMAND = re.compile(rf"\b({'|'.join(_TOOLS)}) (?:install|add|create|update)\b")
_NAME = re.compile(r"@?[\w./+-]+")


def blame(plan: BuildPlan, document: Document, files: FileSet, failures: Sequence[Failure]) -> Finding | None:
    """The place of the first failure that can be traced; see `cause`."""
    found = cause(plan, document, files, failures)
    return found.finding if found else None


def cause(plan: BuildPlan, document: Document, files: FileSet, failures: Sequence[Failure]) -> Cause | None:
    """Where the first failure that can be traced comes from, the latest being the first; None if none can.

    A target that is built from a failed one fails with the same step: the one whose Dockerfile has it is to blame.
    That one's own failure is not always told, as its dependent's cancels it.
    """
    targets = {target.image.directory: target for target in plan.targets}
    told = {failure.context for failure in failures}
    for failure in failures:
        if failure.context not in targets:
            continue
        images = _built_from(plan, targets[failure.context])
        if not failure.line:
            return _cause(document, images[0], (), failure)
        found = [(image, step) for image in images if (step := _step(image, files, failure))]
        if found:
            known = [each for each in found if each[0].directory in told]
            return _cause(document, *(known[-1] if known else found[0]), failure)
    return None


def _cause(document: Document, image: Image, lines: Sequence[str], failure: Failure) -> Cause:
    return Cause(
        target=image.target,
        dockerfile=f"{image.directory}/Dockerfile",
        line=failure.line,
        instruction=failure.text,
        finding=_finding(document, image, lines, failure),
        log=failure.logs[-_SHOWN:],
    )


def _built_from(plan: BuildPlan, target: Target) -> list[Image]:
    """The image of the target, and those that it is built from, the nearest first."""
    by_name = {each.name: each for each in plan.targets}
    names = [target.name]
    for name in names:
        names += [need for need in by_name[name].needs if need not in names]
    return [by_name[name].image for name in names]


def _step(image: Image, files: FileSet, failure: Failure) -> list[str]:
    """The Dockerfile of the image from the failed step on; nothing if that is a step of another."""
    lines = files.get(f"{image.directory}/Dockerfile", "").splitlines()[failure.line - 1 :]
    return lines if lines[:1] == [failure.text] else []


def _finding(document: Document, image: Image, lines: Sequence[str], failure: Failure) -> Finding:
    section, logs = section_of(image, lines) if lines else None, failure.logs[-_SHOWN:]
    path: Path = image.path
    step = f": the step of '{section}' failed" if section else ""
    if section == "image":
        step = ": its parent could not be pulled"
    if section == "python":
        path = ("python", "version")
    elif section and section in document.value(image.path):
        path = (*image.path, section)
        if section == "postbuild":
            path, line = next(_reached(document.value(path), path, failure.errors), (path, None))
            step += f" at '{line}'" if line else ""
        elif section != "image":
            path = next(named(document.value(path), path, logs), path)
    words = "".join(f"\n  {line}" for line in logs)
    return Finding(
        span=document.span(path),
        path=path,
        message=f"'{image.target}' could not be built{step}",
        hint=f"it printed{words}" if words else f"the engine said\n  {failure.message}" if failure.message else None,
        defined=document.defined(path),
    )


def section_of(image: Image, lines: Sequence[str]) -> str | None:
    """The section of the configuration that the instruction at the head of `lines` was made for."""
    if lines[0].startswith("FROM "):
        return "image"
    if "<<" in lines[0]:
        # The account is a script as well: it is that of the configuration if it has its lines.
        script = "\n".join(["", *lines[1 : lines.index(lines[0].rpartition("<<")[2].strip('"'), 1)], ""])
        own = "\n".join(["", *image.postbuild, ""])
        return "postbuild" if image.postbuild and own in script else None
    for line in lines:
        found = _COMMAND.search(line)
        if found:
            return _TOOLS[found[1]]
        if not line.endswith("\\"):
            return None
    return None


def named(data: Any, path: Path, logs: Sequence[str]) -> Iterator[Path]:
    """Places of the entries below `path` whose package is named in the log, those in the last lines first."""
    entries = [
        (where, re.compile(rf"(?<![\w.-]){re.escape(name[0])}(?![\w-])", re.IGNORECASE))
        for where, entry in _entries(data, path)
        for spec in entry.split()
        if (name := _NAME.match(spec.rpartition("::")[2]))
    ]
    for line in reversed(logs):
        yield from (where for where, name in entries if name.search(line))


def _reached(data: Any, path: Path, errors: Sequence[str]) -> Iterator[tuple[Path, str | None]]:
    """The entry below `path` that the shell had read last, and of an entry with several lines the line; nothing if
    it had read none.

    The shell shows lines in their order (`set -v`), so those that are twice there cannot be mixed up.
    """
    script = [
        (line.rstrip(), where, line.strip() if "\n" in entry.strip() else None)
        for where, entry in _entries(data, path)
        for line in entry.split("\n")
        if line.strip()
    ]
    unread, lost = script, False
    for printed in errors:
        # Not only the next one: BuildKit may clip a long log, and what a program printed may end without a line break.
        found = next((number for number, (line, *_) in enumerate(unread, 1) if line == printed), 0)
        lost = found == 0 and (lost or _CLIPPED in printed)
        unread = unread[found:]
    if len(unread) < len(script) and not lost:
        yield script[len(script) - len(unread) - 1][1:]


def _entries(data: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(data, str):
        yield path, data
    elif isinstance(data, list):
        for number, each in enumerate(data):
            yield from _entries(each, (*path, number))
    elif isinstance(data, dict):
        for key in ("dependencies", "pip"):
            yield from _entries(data.get(key), (*path, key))
