"""Reads the pages of the documentation: their blocks of code, and the files that these say they are."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.conftest import ROOT

DOCS = ROOT / "docs"
PAGES = tuple(sorted(page.relative_to(DOCS).as_posix() for page in DOCS.glob("**/*.md")))

_BLOCK = re.compile(r"(?:`([\w/-]*[./][\w./-]*)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `file` is the path that the line before it ends with, as in "`orbiter.yaml`:"."""

    page: str
    file: str | None
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """A command of a console block, and the lines that are shown below it."""

    command: str
    shown: tuple[str, ...]


def blocks(page: str) -> Iterator[Block]:
    for match in _BLOCK.finditer((DOCS / page).read_text()):
        yield Block(page, *match.groups())


def steps(block: Block) -> Iterator[Step]:
    """The commands of a console block: a line after `$ `, and the lines below it that belong to it for the shell."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = 1
        while end < len(lines) and (lines[end - 1].endswith("\\") or "\n".join(lines[:end]).count("'") % 2):
            end += 1
        yield Step("\n".join(lines[:end]), tuple(lines[end:]))
