"""What Orbiter has to say about a configuration: places, findings, and their text, JSON and GitHub forms."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Path = tuple[str | int, ...]
"""Keys and list indexes from the root of a document to a value."""

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Span:
    """A piece of a file. Lines and columns count from 1, columns in characters; the end is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One problem: where, under which path of the configuration, what is wrong and the way out.

    `defined` is the place of an anchor when the value came through an alias; `span` is then the place of use.
    """

    span: Span
    path: Path
    message: str
    hint: str | None = None
    severity: Severity = "error"
    defined: Span | None = None

    def __str__(self) -> str:
        where = f"{dotted(self.path)}: " if self.path else ""
        kind = "warning: " if self.severity == "warning" else ""
        hint = f"; {self.hint}" if self.hint else ""
        anchor = f" (defined at {self.defined})" if self.defined else ""
        return f"{self.span}: {kind}{where}{self.message}{hint}{anchor}"


def dotted(path: Path) -> str:
    """`("build", "alpine", "pip", 0)` → `build.alpine.pip[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def in_file_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sorted by place; the order of two findings of the same place is kept."""
    return tuple(sorted(findings, key=lambda finding: finding.span))


def as_json(finding: Finding) -> dict[str, Any]:
    """The finding as plain data, for `--format json`."""
    span, defined = finding.span, finding.defined
    return {
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
        "path": dotted(finding.path),
        "severity": finding.severity,
        "message": finding.message,
        "hint": finding.hint,
        "defined": {"file": defined.file, "line": defined.line, "column": defined.column} if defined else None,
    }


def as_github(finding: Finding) -> str:
    """The finding as a workflow command, which GitHub Actions shows beside the line of the file.

    Format: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    """
    span = finding.span
    properties = {
        "file": span.file,
        "line": span.line,
        "endLine": span.end_line,
        "col": span.column,
        "endColumn": span.end_column,
    }
    listed = ",".join(f"{name}={_escape_property(str(value))}" for name, value in properties.items())
    text = str(finding).removeprefix(f"{span}: ").removeprefix("warning: ")
    return f"::{finding.severity} {listed}::{_escape_data(text)}"


def _escape_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")
