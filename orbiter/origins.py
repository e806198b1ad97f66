"""A step of a build → the line of its Dockerfile, and the place in the configuration that it was made for."""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from orbiter.blame import section_of
from orbiter.diagnostics import Span
from orbiter.model import BuildPlan, FileSet, Image
from orbiter.progress import Step
from orbiter.source import Document

STEP = re.compile(r"(FROM|RUN|COPY|ADD|WORKDIR) ")
"""The instructions that BuildKit counts, where it says `3/5`."""

_HEREDOC = re.compile(r"<<-?[\"']?(\w+)[\"']?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a step comes from: its instruction, and the section of the image's configuration, None if it has none."""

    dockerfile: str
    line: int
    section: str | None
    span: Span

    def __str__(self) -> str:
        return f"{self.dockerfile}:{self.line}, from {self.span}{f' ({self.section})' if self.section else ''}"


def origins(plan: BuildPlan, document: Document, files: FileSet) -> Mapping[tuple[str, str, int], Origin]:
    """Target, stage and number of a step → its origin: see `origin`."""
    found = {}
    for target in plan.targets:
        path = f"{target.image.directory}/Dockerfile"
        lines = files.get(path, "").splitlines()
        replaced = {context.reference for context in target.contexts}
        for stage, number, line in _steps(lines, replaced):
            section, span = _place(document, target.image, lines[line:])
            found[target.name, stage, number] = Origin(dockerfile=path, line=line + 1, section=section, span=span)
    return found


def origin(known: Mapping[tuple[str, str, int], Origin], step: Step) -> Origin | None:
    """The origin of a step; None if it is none of a Dockerfile."""
    return known.get((step.target, step.stage, step.number)) if step.number else None


def last(known: Mapping[tuple[str, str, int], Origin]) -> Mapping[tuple[str, int], str]:
    """Target and number from the end, 1 being the last step of its Dockerfile → where that stands, for people."""
    steps: dict[str, list[Origin]] = {}
    for (target, _, _), found in known.items():
        steps.setdefault(target, []).insert(0, found)
    return {(target, number): str(found) for target, all in steps.items() for number, found in enumerate(all, start=1)}


def _steps(lines: Sequence[str], replaced: Set[str]) -> Iterator[tuple[str, int, int]]:
    """Stage, number and index of the line of each step, as BuildKit counts them.

    It counts a FROM that pulls, but not `scratch`, nor one of another stage or of a named context, which are `replaced`
    (https://github.com/moby/buildkit/blob/master/frontend/dockerfile/dockerfile2llb/convert.go).
    """
    stages: list[str] = []
    number, until, continued = 0, "", False
    for index, line in enumerate(lines):
        if until:
            until = "" if line.strip() == until else until
            continue
        if line.lstrip().startswith("#"):
            continue
        if not continued and STEP.match(line):
            if line.startswith("FROM "):
                parent, _, name = line.removeprefix("FROM ").partition(" AS ")
                number = 0 if parent in ("scratch", *replaced, *stages) else 1
                stages.append(name or f"stage-{len(stages)}")
            else:
                number += 1
            if number:
                yield stages[-1] if stages else "", number, index
        heredoc = _HEREDOC.search(line)
        until, continued = heredoc[1] if heredoc else "", line.endswith("\\")


def _place(document: Document, image: Image, lines: Sequence[str]) -> tuple[str | None, Span]:
    section = section_of(image, lines)
    if section == "python":
        return section, document.span(("python", "version"), key=True)
    if section and section in document.value(image.path):
        return section, document.span((*image.path, section), key=True)
    return None, document.span(image.path, key=True)
