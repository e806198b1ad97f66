"""pyproject.toml, setup.py and Pipfile: what a package of the repository needs, and what pipenv would install."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from orbiter.convert.carried import Carried, Remark, left_out
from orbiter.convert.requirements import Reader
from orbiter.convert.system import DEFAULT, SUPPORTED
from orbiter.errors import UsageError
from orbiter.packages import folded

_NOT_INSTALLED = "the repository is not in the build; publish it, or write 'name @ git+https://…'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The dependencies of a package, and the Python that fits it if the default does not."""

    carried: Carried
    python: str | None = None


def read(path: str, files: Mapping[str, str], asked: str | None) -> Project:
    """The table [project]. `asked` is the Python of runtime.txt. Raises UsageError for what is no TOML."""
    text = files[path]
    reader = Reader(files)
    project = _parse(path, text).get("project")
    if not isinstance(project, dict):
        reason = "Binder reads the table [project] only, which it lacks"
        return Project(carried=Carried(remarks=(left_out(path, 0, "the whole file", reason),)))
    dependencies = project.get("dependencies")
    for requirement in dependencies if isinstance(dependencies, list) else ():
        reader.line(path, _line(text, str(requirement)), str(requirement), None)
    for table in ("optional-dependencies", "dependency-groups"):
        if table in project or table in _parse(path, text):
            reader.remarks.append(left_out(path, _line(text, table), table, "Binder does not install them either"))
    name = str(project.get("name", "the package of the repository"))
    reader.remarks.append(left_out(path, _line(text, "[project]"), name, _NOT_INSTALLED))
    python, remarks = _python(path, text, project.get("requires-python"), asked)
    return Project(carried=Carried(tuple(reader.entries), (*reader.remarks, *remarks)), python=python)


def setup(path: str) -> Remark:
    """The remark about a setup.py, which is a program and is not run."""
    return left_out(path, 0, "the package and what it needs", f"setup.py is not run; {_NOT_INSTALLED}")


def pipfile(path: str | None, lock: str | None, files: Mapping[str, str]) -> Project:
    """Packages and those for development, with the versions of the lock. Raises UsageError for no TOML, no JSON."""
    reader = Reader(files)
    locked: dict[str, Any] = {}
    if lock:
        for section in ("default", "develop"):
            locked |= _mapping(_parse(lock, files[lock]).get(section))
    place = path or lock or ""
    data = _parse(path, files[path]) if path else {"packages": locked, "requires": {}}
    for section in ("packages", "dev-packages"):
        for name, wanted in _mapping(data.get(section)).items():
            pinned = _mapping(locked.get(folded(name)))
            number = _line(files[place], name)
            for line in _requirement(name, wanted, pinned):
                reader.line(place, number, line, None)
    if path and lock:
        others = len(set(locked) - {folded(name) for section in data.values() for name in _mapping(section)})
        if others:
            reason = "packages that only others need are not named"
            reader.remarks.append(
                left_out(lock, 0, f"the version{'s' * (others > 1)} of {others} package{'s' * (others > 1)}", reason)
            )
    if "source" in data and path:
        for source in data["source"] if isinstance(data["source"], list) else ():
            url = str(_mapping(source).get("url", ""))
            if url.rstrip("/") != "https://pypi.org/simple":
                reason = "the place of a package index is 'mirrors: {pip: ADDRESS}'"
                reader.remarks.append(left_out(path, _line(files[path], url), url, reason))
    requires = _mapping(data.get("requires"))
    python = str(requires.get("python_full_version") or requires.get("python_version") or "")
    known = re.fullmatch(r"3\.[0-9]{1,2}(\.[0-9]{1,2})?", python)
    return Project(carried=Carried(tuple(reader.entries), tuple(reader.remarks)), python=python if known else None)


def _requirement(name: str, wanted: Any, pinned: Mapping[str, Any]) -> Iterator[str]:
    """The line of a requirements file for an entry of a Pipfile.

    Format: https://pipenv.pypa.io/en/latest/pipfile.html
    """
    table = _mapping(wanted)
    extras = table.get("extras")
    shown = f"{name}[{','.join(map(str, extras))}]" if isinstance(extras, list) and extras else name
    markers = table.get("markers")
    marker = f"; {markers}" if isinstance(markers, str) else ""
    if "path" in table or "file" in table:
        yield f"-e {table.get('path', table.get('file'))}"
    elif "git" in table:
        reference = pinned.get("ref") or table.get("ref")
        yield f"{shown} @ git+{table['git']}{f'@{reference}' if reference else ''}{' ' * bool(marker)}{marker}"
    else:
        version = str(pinned.get("version") or table.get("version") or (wanted if isinstance(wanted, str) else ""))
        yield f"{shown}{version if version != '*' else ''}{marker}"


def _python(path: str, text: str, wanted: Any, asked: str | None) -> tuple[str | None, tuple[Remark, ...]]:
    if not isinstance(wanted, str):
        return None, ()
    line = _line(text, "requires-python")
    try:
        specifiers = SpecifierSet(wanted)
    except InvalidSpecifier:
        return None, (left_out(path, line, f"requires-python = {wanted}", "no range of versions"),)
    if asked or DEFAULT in specifiers:
        return None, ()
    fitting = [version for version in SUPPORTED if version in specifiers]
    if not fitting:
        return None, (left_out(path, line, f"requires-python = {wanted}", "Binder has no such Python either"),)
    return fitting[-1], ()


def _parse(path: str, text: str) -> dict[str, Any]:
    try:
        data = json.loads(text) if path.endswith(".lock") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.endswith(".lock") else "TOML"
        raise UsageError(f"{path}: no {kind}: {error}") from error
    return _mapping(data)


def _mapping(data: Any) -> dict[str, Any]:
    return data if isinstance(data, dict) else {}


def _line(text: str, what: str) -> int:
    """The first line with this text; 0 if there is none, as a TOML string may be written in several ways."""
    return next((number for number, line in enumerate(text.splitlines(), 1) if what and what in line), 0)
