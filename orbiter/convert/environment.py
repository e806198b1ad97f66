"""environment.yml: channels, match specs, and the requirements of pip.

Format: https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orbiter import packages, source
from orbiter.convert.carried import Carried, Remark, comment_of, has_secret, left_out
from orbiter.convert.requirements import Reader
from orbiter.diagnostics import Path
from orbiter.model import Pairs
from orbiter.source import Document
from orbiter.starter import Entry

_CHANNEL = re.compile(r"[A-Za-z0-9_.:/@%+~-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LINE = re.compile(r"[^\x00-\x1f\x7f]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What an environment.yml came to. `pip` has the requirements, and the remarks of all."""

    channels: tuple[str, ...]
    dependencies: tuple[Entry, ...]
    pip: Carried
    variables: Pairs


def read(path: str, files: Mapping[str, str]) -> Environment:
    """Reads the file. Raises ConfigError where it is no YAML, or no mapping."""
    text = files[path]
    if not re.sub(r"#.*", "", text).strip():  # repo2docker takes an empty one
        return Environment(channels=("conda-forge",), dependencies=(), pip=Carried(), variables=())
    return _Environment(path, source.load(text.encode("utf-8", "replace"), path), files).read()


def name(spec: str) -> str:
    """The name of the package in a match spec."""
    return re.split(r"[\s=<>!~\[]", spec.rpartition("::")[2], maxsplit=1)[0].lower()


class _Environment:
    def __init__(self, path: str, document: Document, files: Mapping[str, str]) -> None:
        self.path = path
        self.document = document
        self.lines = files[path].splitlines()
        self.reader = Reader(files)
        self.remarks = self.reader.remarks

    def read(self) -> Environment:
        data: Mapping[str, Any] = self.document.data
        for key in data:
            if key not in ("name", "channels", "dependencies", "variables"):
                self._left_out((key,), key, "the environment of an image always lies in /opt/conda", key=True)
        channels = tuple(dict.fromkeys(self._channels()))
        dependencies = tuple(self._dependencies())
        variables = tuple(self._variables())
        pip = Carried(tuple(self.reader.entries), tuple(self.remarks))
        return Environment(
            channels=channels or ("conda-forge",), dependencies=dependencies, pip=pip, variables=variables
        )

    def _channels(self) -> Iterator[str]:
        for path, channel in self._list("channels"):
            if not isinstance(channel, str) or not _CHANNEL.fullmatch(channel):
                self._left_out(path, str(channel), "a channel is a name or an address")
            elif has_secret(channel):
                self._left_out(path, channel, "a password or token would stand in the configuration")
            elif channel != "nodefaults":  # says what is so with micromamba
                yield channel

    def _dependencies(self) -> Iterator[Entry]:
        for path, entry in self._list("dependencies"):
            if isinstance(entry, str):
                yield from self._spec(path, entry)
            elif isinstance(entry, dict) and list(entry) == ["pip"]:
                self._pip((*path, "pip"), entry["pip"])
            else:
                self._left_out(path, str(entry), "neither a package nor a list 'pip:'")

    def _spec(self, path: Path, entry: str) -> Iterator[Entry]:
        if has_secret(entry):
            self._left_out(path, entry, "a password or token would stand in the configuration")
            return
        try:
            specs = packages.split("conda", entry)
        except packages.BadPackage as problem:
            self.remarks.append(Remark(file=self.path, line=self._line(path), text=f"left out: {problem}"))
            return
        above, beside = self._comments(path)
        yield from (Entry(text=None, comment=comment) for comment in above)
        yield from (Entry(text=spec, comment=beside) for spec in specs)

    def _pip(self, path: Path, entries: Any) -> None:
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            where = (*path, index)
            if not isinstance(entry, str):
                self._left_out(where, str(entry), "not a requirement")
                continue
            above, beside = self._comments(where)
            self.reader.entries += (Entry(text=None, comment=comment) for comment in above)
            self.reader.line(self.path, self._line(where), re.sub(r"(^|\s)#.*", "", entry), beside)

    def _variables(self) -> Iterator[tuple[str, str]]:
        variables = self.document.data.get("variables")
        for key, value in variables.items() if isinstance(variables, dict) else ():
            path = ("variables", key)
            text = value if isinstance(value, str) else self.document.text(path)
            if _VARIABLE.fullmatch(key) and isinstance(value, str | int | float) and _LINE.fullmatch(text):
                yield key, text
            else:
                self._left_out(path, key, "no environment variable of one line")

    def _list(self, key: str) -> Iterator[tuple[Path, Any]]:
        entries = self.document.data.get(key)
        if isinstance(entries, list):
            for index, entry in enumerate(entries):
                yield (key, index), entry
        elif entries is not None:
            self._left_out((key,), f"{key}: {entries}", "not a list")

    def _comments(self, path: Path) -> tuple[list[str], str | None]:
        """The comments right above an entry, and the one beside it."""
        span = self.document.span(path)
        above: list[str] = []
        for line in reversed(self.lines[: span.line - 1]):
            if not line.strip().startswith("#"):
                break
            above.insert(0, comment_of(line) or "")
        last = self.lines[span.end_line - 1][span.end_column - 1 :] if span.end_line <= len(self.lines) else ""
        beside = re.fullmatch(r"\s+#(.*)", last) if span.line == span.end_line else None
        return [comment for comment in above if comment], comment_of(beside[1]) if beside else None

    def _line(self, path: Path) -> int:
        return self.document.span(path).line

    def _left_out(self, path: Path, what: str, why: str, *, key: bool = False) -> None:
        line = self.document.span(path, key=key).line
        self.remarks.append(left_out(self.path, line, what, why))
