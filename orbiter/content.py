"""What an image is made of, as one hash a target: the label by which a built image is told from a stale one.

The hash covers what decides the image as far as generated files tell: its Dockerfile, the files of its build context,
its own labels, the digest that a lock has for the image of the installer, and the hashes of the targets that it is
built from. It leaves out what the files do not hold: the bytes of base images and of packages that no lock pins, the
files that `copy` names (`copied.py` has these), and the platforms. The version of the project does not count, so the
same image keeps its hash under a new tag.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from orbiter.model import BuildPlan, FileSet, Target

LABEL = "orbiter.content"

COPIED = "orbiter.copied"
"""The label with the hash of copied files: `orbiter build` sets it, the bake file cannot know it."""

_DIGITS = 16
"""64 bits: enough to tell the states of an image apart, and short enough to be read in a bake file."""


def hashes(plan: BuildPlan, files: FileSet) -> Mapping[str, str]:
    """The hash of every target, from the generated files; of those, the build contexts are read."""
    contents = _contents(plan, files)
    targets = {target.name: target for target in plan.targets}
    found: dict[str, str] = {}
    waiting = list(targets)
    while waiting:
        name = waiting[-1]
        missing = [each for each in targets[name].needs if each not in found]
        waiting += missing
        if not missing:
            more = (*(found[each] for each in targets[name].needs), tool_digest(plan, targets[name]))
            found[waiting.pop()] = _hash(targets[name], contents[name], more)
    return found


def tool_digest(plan: BuildPlan, target: Target) -> str:
    """The digest that the lock has for the image which lends the installer, without prefix; empty without one."""
    names = {context.variable for context in target.contexts if context.reference == target.stage.tool}
    found = next((variable.default for variable in plan.variables if variable.name in names), "")
    return found.partition("@sha256:")[2]


def _contents(plan: BuildPlan, files: FileSet) -> Mapping[str, list[tuple[str, str]]]:
    """The files of each build context: path in it and text, sorted. That of a nested build is part of its image's."""
    owners = {target.image.directory: target for target in plan.targets}
    contents: dict[str, list[tuple[str, str]]] = {target.name: [] for target in plan.targets}
    for path in sorted(files):
        text = None
        for folder in _folders(path):
            if folder in owners:
                text = _normalized(files[path], owners[folder]) if text is None else text
                contents[owners[folder].name].append((path.removeprefix(f"{folder}/"), text))
    return contents


def _folders(path: str) -> Iterator[str]:
    """The folders above a path, the nearest first."""
    while path := path.rpartition("/")[0]:
        yield path


def _normalized(text: str, target: Target) -> str:
    """Without what no layer has: the comments before FROM, but not a parser's directive, and versions of parents."""
    lines = text.split("\n")
    head = next((number for number, line in enumerate(lines) if line and not line.startswith("#")), len(lines))
    if lines[head : head + 1] and lines[head].startswith(("FROM ", "ARG ")):
        lines[:head] = [line for line in lines[:head] if line.startswith(_DIRECTIVES)]
    text = "\n".join(lines)
    for context in target.contexts:
        if context.kind == "target":
            text = text.replace(context.reference, f"target:{context.value}")
    return text


_DIRECTIVES = ("# syntax=", "#syntax=", "# escape=", "#escape=")


def _hash(target: Target, content: list[tuple[str, str]], more: Iterable[str]) -> str:
    parts = [part for pair in (*content, *target.image.labels) for part in pair]
    parts += [part for part in more if part]
    # The count and the lengths keep "ab", "c" and "a", "bc" apart.
    text = "".join(f"{len(part)}:{part}" for part in (str(len(content)), *parts))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
