"""Tables, sizes and ages as people read them."""

import re
import textwrap
from collections.abc import Sequence

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
"""Decimal, as Docker counts them (https://github.com/docker/go-units)."""

_AGES = (("year", 365 * 86400), ("month", 30 * 86400), ("week", 7 * 86400), ("day", 86400), ("hour", 3600))
_GAP = re.compile(r" {2,}(?=\S)")
_SIZE = re.compile(r"([0-9.]+(?:e[+-]?[0-9]+)?)\s*([kMGTP]?B)")


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line a row, its cells in columns that are as wide as the widest of theirs, two blanks apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in rows]


def fit(text: str, width: int) -> str:
    """The text in lines of that width, if its words allow: what is too long goes on below its last column."""
    return "\n".join(part for line in text.split("\n") for part in _fit(line, width))


def _fit(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    gaps = [gap.end() for gap in _GAP.finditer(line)]
    indent = next((gap for gap in reversed(gaps) if gap <= width * 2 // 3), 0)
    wrapped = textwrap.wrap(line[indent:], width - indent, break_long_words=False, break_on_hyphens=False)
    return [line[:indent] + wrapped[0], *(" " * indent + part for part in wrapped[1:])]


def size(count: float) -> str:
    """Bytes with two or three digits and a decimal unit: `950 B`, `1.2 GB`, `214 MB`."""
    for unit in UNITS[:-1]:
        if count < 999.5:
            return f"{count:.1f} {unit}" if unit != "B" and count < 9.95 else f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.0f} {UNITS[-1]}"


def parse_size(text: str) -> int:
    """The bytes that Docker means by `1.083GB`, `4.096kB` or `1e+03MB`, which it rounds; 0 if there is no size."""
    found = _SIZE.search(text)
    return round(float(found[1]) * 1000 ** UNITS.index(found[2])) if found else 0


def age(seconds: float) -> str:
    """`3 days`, rounded down, in the largest unit that fits at least twice; below that minutes, or `now`."""
    for name, length in _AGES:
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {name}s"
    minutes = int(seconds // 60)
    return "now" if minutes < 1 else f"{minutes} minute{'s' * (minutes > 1)}"
