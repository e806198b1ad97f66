"""BuildPlan → the generated parts of a README, and these into its text, between markers.

    <!-- orbiter:images -->
    <!-- /orbiter:images -->

A marker stands alone on its line, outside of blocks of code. What is not between two of them stays as it is.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from orbiter.errors import UsageError
from orbiter.installed import Package, versions
from orbiter.model import BuildPlan, Image, Project, Target
from orbiter.packages import folded, name_in
from orbiter.plan import tags

DESCRIPTION = "org.opencontainers.image.description"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What the engine knows of an image: bytes, and the version of each package in it.

    `packed` says that the bytes are those to download (Docker with the containerd store), else they are those on disk.
    """

    size: int
    packed: bool
    versions: Mapping[Package, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A generated part of a text: its name, the offsets of what is between its markers, and how its lines end."""

    name: str
    start: int
    end: int
    newline: str


def find(text: str, file: str) -> tuple[Section, ...]:
    """The sections of a text. Raises UsageError with all that is wrong with its markers, each with FILE:LINE."""
    found: list[Section] = []
    wrong: list[str] = []
    began: dict[str, int] = {}
    opened: tuple[str, int, int, str] | None = None
    for number, start, end, closing, name, newline in _markers(text):
        if not closing:
            if opened:
                wrong.append(f"{file}:{number}: '{_open(name)}' is inside of '{_open(opened[0])}' of line {opened[1]}")
            elif name not in SECTIONS:
                wrong.append(f"{file}:{number}: no section '{name}'; there are {', '.join(SECTIONS)}")
            elif name in began:
                wrong.append(f"{file}:{number}: a second '{name}'; the first one is in line {began[name]}")
            began.setdefault(name, number)
            opened = opened or (name, number, end, newline)
        elif opened is None or opened[0] != name:
            wrong.append(f"{file}:{number}: '{_close(name)}' has no '{_open(name)}' before it")
        else:
            found.append(Section(name=name, start=opened[2], end=start, newline=opened[3]))
            opened = None
    if opened:
        wrong.append(f"{file}:{opened[1]}: '{_open(opened[0])}' has no '{_close(opened[0])}' after it")
    if wrong:
        raise UsageError("\n".join(wrong))
    return tuple(found)


def update(text: str, sections: tuple[Section, ...], contents: Mapping[str, str]) -> str:
    """The text with the contents (by the names of their sections, lines that end in LF) in its sections."""
    for section in reversed(sections):
        new = contents[section.name].replace("\n", section.newline)
        text = text[: section.start] + new + text[section.end :]
    return text


def with_markers(text: str) -> str:
    """The text and, at its end, markers for the table of images."""
    newline = "\r\n" if "\r\n" in text else "\n"
    text += newline if text and not text.endswith("\n") else ""
    added = ("## Images", "", _open("images"), _close("images"), "")
    return text + newline * bool(text) + newline.join(added)


def contents(plan: BuildPlan, built: Mapping[str, Built]) -> dict[str, str]:
    """What belongs into each section. `built`: target → what the engine knows; without it, the plan alone decides."""
    note = "<!-- Written by orbiter readme; do not edit. -->"
    return {name: f"{note}\n\n{write(plan, built)}\n\n" for name, write in SECTIONS.items()}


def example() -> str:
    """Markers to put into a README."""
    return f"{_open('images')}\n{_close('images')}"


def _images(plan: BuildPlan, built: Mapping[str, Built]) -> str:
    targets = _published(plan)
    described = {target.name: dict(target.image.labels).get(DESCRIPTION, "") for target in targets}
    columns: list[tuple[str, Callable[[Target], str]]] = [("image", lambda target: _code(target.name))]
    if any(described.values()):
        columns.append(("description", lambda target: _plain(described[target.name])))
    columns += [
        ("built on", lambda target: _code(target.image.parent.target or target.image.parent.reference)),
        ("tags", lambda target: " ".join(_code(tag.rpartition(":")[2]) for tag in tags(plan.project, target.image))),
        ("adds", lambda target: _counted(_added(plan.project, target.image))),
    ]
    if built:
        packed = all(each.packed for each in built.values())
        columns.append(
            ("download" if packed else "size", lambda t: _bytes(built[t.name].size) if t.name in built else "–")
        )
    rows = [[title for title, _ in columns], ["---"] * len(columns)]
    rows += [[cell(target) for _, cell in columns] for target in targets]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _packages(plan: BuildPlan, built: Mapping[str, Built]) -> str:
    return "\n\n".join("\n".join(_listed(plan.project, target, built.get(target.name))) for target in _published(plan))


def _listed(project: Project, target: Target, built: Built | None) -> Iterator[str]:
    parent = target.image.parent
    added = _added(project, target.image)
    more = ", and" if added else ""
    yield f"**{target.name}**: all of {_code(parent.target or parent.reference)}{more}"
    if added:
        yield ""
    for ecosystem in dict.fromkeys(ecosystem for ecosystem, _ in added):
        specs = [spec for each, spec in added if each == ecosystem]
        yield f"- {ecosystem}: {', '.join(_with_version(ecosystem, spec, built) for spec in specs)}"


def _tags(plan: BuildPlan, built: Mapping[str, Built]) -> str:
    lines = [tag for target in _published(plan) for tag in tags(plan.project, target.image)]
    return "\n".join(("```text", *lines, "```"))


SECTIONS: Mapping[str, Callable[[BuildPlan, Mapping[str, Built]], str]] = {
    "images": _images,
    "packages": _packages,
    "tags": _tags,
}
"""Names of sections → what writes them."""


def built(inspected: str, probed: str) -> Built:
    """What the engine knows: from what `docker image inspect REFERENCE` and PROBE print."""
    (image,) = json.loads(inspected)
    return Built(
        size=image["Size"],
        packed="digest" in (image.get("Descriptor") or {}),
        versions=versions(probed),
    )


def _published(plan: BuildPlan) -> list[Target]:
    return [target for target in plan.targets if target.image.deployable]


def _added(project: Project, image: Image) -> list[Package]:
    """The packages that the image has and no parent of it within the project has, in the order of the configuration."""
    inherited = {package for parent in project.lineage(image) for package in _all(project, parent)}
    return [package for package in dict.fromkeys(_all(project, image)) if package not in inherited]


def _all(project: Project, image: Image) -> Iterator[Package]:
    """The packages of an image's own sections, and of the environment that it has from its nested build."""
    system = "apk" if image.distribution == "alpine" else "apt"
    yield from ((system, spec) for spec in image.system)
    yield from _environment(image)
    if image.nested:
        nested = project.images[image.nested]
        for each in (*reversed(project.lineage(nested)), nested):
            yield from _environment(each)


def _environment(image: Image) -> Iterator[Package]:
    if image.conda:
        yield from (("conda", spec) for spec in image.conda.dependencies)
        yield from (("pip", spec) for spec in image.conda.pip)
    yield from (("pip", spec) for spec in image.pip)
    yield from (("npm", spec) for spec in image.npm)


def _with_version(ecosystem: str, spec: str, built: Built | None) -> str:
    version = built.versions.get((ecosystem, folded(name_in(spec)))) if built else None
    return f"{_code(name_in(spec))} {_plain(version)}" if version else _code(spec)


def _counted(packages: list[Package]) -> str:
    kinds = [ecosystem for ecosystem, _ in packages]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)) or "–"


def _bytes(size: int) -> str:
    """As Docker shows sizes: powers of 1000."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{max(size / 1e6, 1):.0f} MB"


def _code(text: str) -> str:
    """A span of code, also in a cell of a table; no name of a target, tag or package has a backtick."""
    return "`" + text.replace("|", "\\|") + "`"


def _plain(text: str) -> str:
    """Text that stays in its cell and its line, and is no HTML: a description may be anything."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def _markers(text: str) -> Iterator[tuple[int, int, int, bool, str, str]]:
    """Line number, offsets of the line and of what follows it, whether it closes, name, and how the line ends."""
    place, fence = 0, ""
    for number, line in enumerate(re.findall(r"[^\n]*\n|[^\n]+", text), 1):
        mark = re.match(r" {0,3}(`{3,}|~{3,})", line)
        found = re.fullmatch(r" {0,3}<!-- *(/?) *orbiter:([\w-]+) *-->[ \t]*(\r?\n|)", line)
        if mark:
            closes = fence and line.strip().startswith(fence) and not line.strip().strip(fence[0])
            fence = "" if closes else fence or mark[1]
        elif found and not fence:
            yield number, place, place + len(line), bool(found[1]), found[2], found[3] or "\n"
        place += len(line)


def _open(name: str) -> str:
    return f"<!-- orbiter:{name} -->"


def _close(name: str) -> str:
    return f"<!-- /orbiter:{name} -->"
