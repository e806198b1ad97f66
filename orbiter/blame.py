"""A build that failed → the place in the configuration that it comes from."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orbiter.diagnostics import Finding, Path
from orbiter.model import BuildPlan, FileSet, Image
from orbiter.source import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A step that failed, as BuildKit tells it: the context folder of the target, the line of its Dockerfile with
    the text that stands there, and what the step printed: all of it, and what of it were errors (stderr)."""

    context: str
    line: int
    text: str
    logs: tuple[str, ...]
    errors: tuple[str, ...]


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
    """Where the first failure that can be traced comes from; None if none can.

    A target that is built from a failed one fails with the same step: the one whose Dockerfile has it is to blame.
    """
    images = {target.image.directory: target.image for target in plan.targets}
    for failure in failures:
        lines = files.get(f"{failure.context}/Dockerfile", "").splitlines()
        if failure.context in images and lines[failure.line - 1 : failure.line] == [failure.text]:
            return _finding(document, images[failure.context], lines[failure.line - 1 :], failure)
    return None


def _finding(document: Document, image: Image, lines: Sequence[str], failure: Failure) -> Finding:
    section, logs = _section(image, lines), failure.logs[-_SHOWN:]
    path: Path = image.path
    step = f": the step of '{section}' failed" if section else ""
    if section == "python":
        path = ("python", "version")
    elif section and section in document.value(image.path):
        path = (*image.path, section)
        if section == "postbuild":
            path, line = next(_reached(document.value(path), path, failure.errors), (path, None))
            step += f" at '{line}'" if line else ""
        else:
            path = next(named(document.value(path), path, logs), path)
    words = "".join(f"\n  {line}" for line in logs)
    return Finding(
        span=document.span(path),
        path=path,
        message=f"'{image.target}' could not be built{step}",
        hint=f"it printed{words}" if logs else None,
        defined=document.defined(path),
    )


def _section(image: Image, lines: Sequence[str]) -> str | None:
    """The section of the configuration that the instruction at the head of `lines` was made for."""
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
