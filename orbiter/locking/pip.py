"""Python packages by uv: what it is told, and what becomes of its answer, a pylock.toml (PEP 751)."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from orbiter.lock import CondaPackage, PipPackage
from orbiter.locking.sources import Source
from orbiter.pins import is_wheel, machine

_LEGACY = {17: "2014", 12: "2010", 5: "1"}
"""Minor of glibc → the older name of that manylinux (PEP 600)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What packages have to run on: `python` as `3.13` or `3.13.2`, `glibc` the minor of 2.x, None for musl.

    Every package has to have files for the platforms that are `required`, for the others as far as it has them.
    """

    python: str
    platforms: tuple[str, ...]
    required: tuple[str, ...]
    glibc: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The answer of a resolver. `compiled` names packages without a wheel: name, version and the platforms; `sources`
    are all files that have to be built somewhere; `yanked` names those that were taken back, with the reason."""

    packages: tuple[PipPackage, ...]
    newest: str | None
    compiled: tuple[tuple[str, str, tuple[str, ...]], ...]
    sources: tuple[Source, ...] = ()
    yanked: tuple[str, ...] = ()


class Unusable(ValueError):
    """A package that was resolved, but has no file for a platform, or none with a hash: `name version: reason`."""


def command(
    environment: Environment,
    *,
    interpreter: str,
    constrained: bool,
    upgrade: Iterable[str] | None,
    offline: bool,
    build: bool = True,
) -> list[str]:
    """uv's arguments, in a folder with requirements.in, pyproject.toml and perhaps constraints.txt and pylock.toml.

    `interpreter` is a Python of this machine, for sources that tell their requirements only if they are run: without
    it, uv downloads one of the environment's version. `upgrade` names packages whose old version does not count, empty
    for all of them; None keeps every old version that still fits. Without `build`, no code of a source is run.
    """
    words = ["pip", "compile", "--no-progress", "--universal", "--python-version", environment.python]
    words += ["--python", interpreter, "--no-python-downloads"]
    words += ["--format", "pylock.toml", "--no-header", "--no-annotate", "--output-file", "pylock.toml"]
    if constrained:
        words += ["--constraints", "constraints.txt"]
    if upgrade is not None:
        names = sorted(upgrade)
        words += [word for name in names for word in ("--upgrade-package", name)] if names else ["--upgrade"]
    return [*words, *["--offline"] * offline, *["--no-build"] * (not build), "requirements.in"]


def pyproject(environment: Environment) -> str:
    """The file by which uv knows the environments that count: it takes them from nowhere else."""
    lines = (f'  "{_marker(environment, platform)}",\n' for platform in environment.platforms)
    return f"[tool.uv]\nenvironments = [\n{''.join(lines)}]\n{_PYPI}"


_PYPI = """
[[tool.uv.index]]
name = "pypi-as-it-is"
url = "https://pypi.org/simple"
explicit = true
cache-control = { api = "max-age=600", files = "max-age=365000000, immutable" }
"""
"""How long PyPI lets its answers be kept, for proxies that drop what it says of it. An explicit index is asked for
nothing: https://docs.astral.sh/uv/concepts/indexes/#customizing-cache-control-headers."""


def _marker(environment: Environment, platform: str) -> str:
    minor = ".".join(environment.python.split(".")[:2])
    return (
        f"sys_platform == 'linux' and platform_machine == '{machine(platform)}' "
        f"and python_version == '{minor}' and implementation_name == 'cpython'"
    )


def constraints(packages: Iterable[PipPackage], others: Mapping[str, str]) -> str:
    """The versions that are there already, as a requirements file. `others` are not of pip: name → version."""
    lines = {package.name: _exactly(package) for package in packages}
    return "".join(f"{line}\n" for line in ({name: f"{name}=={others[name]}" for name in others} | lines).values())


def _exactly(package: PipPackage) -> str:
    return f"{package.name} @ {package.url}" if package.url else f"{package.name}=={package.version}"


def provided(packages: Iterable[CondaPackage]) -> dict[str, str]:
    """Python packages that conda installs, as PyPI names them: pip is to leave them as they are.

    conda-forge calls a package as PyPI does, or adds `-base` or `-core` where another one has its optional parts.
    """
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion, Version

    found: dict[str, str] = {}
    for package in packages:
        try:
            version = str(Version(package.version))
        except InvalidVersion:
            continue
        found[canonicalize_name(re.sub("-(base|core)$", "", package.name))] = version
    found.pop("python", None)
    return found


def takes_constraints(packages: Iterable[CondaPackage]) -> bool:
    """Whether the pip among conda's packages can be held to requirements of builds and their hashes: since 25.3."""
    from packaging.version import Version

    versions = [Version(package.version) for package in packages if package.name == "pip"]
    return min(versions, default=Version("0")) >= Version("25.3")


def without(resolved: Resolved, others: Mapping[str, str]) -> Resolved:
    """The answer without what another installer brings."""
    return replace(
        resolved,
        packages=tuple(package for package in resolved.packages if package.name not in others),
        compiled=tuple(each for each in resolved.compiled if each[0] not in others),
        sources=tuple(each for each in resolved.sources if each.name not in others),
    )


def variables(index: str | None, environment: Mapping[str, str]) -> dict[str, str]:
    """What uv is told beside its arguments: the index of the configuration, unless the environment names one, which
    may have credentials."""
    return {"UV_DEFAULT_INDEX": index} if index and "UV_DEFAULT_INDEX" not in environment else {}


def preferences(packages: Iterable[PipPackage]) -> str:
    """Old versions as a pylock.toml, which uv keeps where they still fit."""
    head = 'lock-version = "1.0"\ncreated-by = "uv"\n'
    return head + "".join(
        f'\n[[packages]]\nname = "{package.name}"\nversion = "{package.version}"\n'
        for package in packages
        if not package.url and not package.platforms
    )


_YANKED = re.compile(r"^warning: `([^`=]+)==([^`]+)` is yanked(?: \(reason: \"(.*)\"\))?", re.MULTILINE)


def yanked(said: str) -> tuple[str, ...]:
    """The packages of which uv warns that they were taken back: the old lock has them, or the range asks for them."""
    return tuple(
        f"{name} {version}" + (f" ({reason})" if reason else "") for name, version, reason in _YANKED.findall(said)
    )


def read(text: str, environment: Environment) -> Resolved:
    """The packages of a pylock.toml with the files that fit the environment. Raises Unusable."""
    packages, dates, compiled, sources = [], [], [], []
    for each in tomllib.loads(text).get("packages", ()):
        platforms = tuple(platform for platform in environment.platforms if _applies(each, environment, platform))
        if not platforms:
            continue
        files, lacking = _files(each, environment, platforms)
        packages.append(
            PipPackage(
                name=each["name"],
                version=each.get("version", ""),
                files={name: _hash(each, file) for name, file in sorted(files.items())},
                url=_address(each),
                platforms=platforms if platforms != environment.platforms else (),
            )
        )
        dates += [f"{file['upload-time']:%Y-%m-%dT%H:%M:%SZ}" for file in files.values() if "upload-time" in file]
        sources += [_source(each, file) for name, file in files.items() if not is_wheel(name)]
        if lacking:
            compiled.append((each["name"], each.get("version", ""), lacking))
    return Resolved(
        packages=tuple(packages),
        newest=max(dates, default=None),
        compiled=tuple(compiled),
        sources=tuple(sources),
    )


def _source(package: Mapping[str, Any], file: Mapping[str, Any]) -> Source:
    hash = _hash(package, file).removeprefix("sha256:")
    return Source(name=package["name"], version=package.get("version", ""), url=file["url"], sha256=hash)


def _hash(package: Mapping[str, Any], file: Mapping[str, Any]) -> str:
    if "sha256" not in file.get("hashes", {}):
        raise Unusable(
            f"{package['name']} {package.get('version', '')} has no sha256 in its index: it cannot be locked"
        )
    return f"sha256:{file['hashes']['sha256']}"


def _applies(package: Mapping[str, Any], environment: Environment, platform: str) -> bool:
    return "marker" not in package or _holds(package["marker"], environment, platform)


@cache
def _holds(marker: str, environment: Environment, platform: str) -> bool:
    from packaging.markers import Marker

    minor = ".".join(environment.python.split(".")[:2])
    full = environment.python if environment.python != minor else f"{minor}.0"
    return Marker(marker).evaluate(
        {
            "python_version": minor,
            "python_full_version": full,
            "implementation_name": "cpython",
            "implementation_version": full,
            "platform_python_implementation": "CPython",
            "os_name": "posix",
            "sys_platform": "linux",
            "platform_system": "Linux",
            "platform_machine": machine(platform),
            "platform_release": "",
            "platform_version": "",
            "extra": "",
        }
    )


def _files(
    package: Mapping[str, Any], environment: Environment, platforms: Sequence[str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The files that fit, by name, and the platforms that need the source: it is among the files then."""
    if "archive" in package:
        return {package["archive"]["url"].rpartition("/")[2]: package["archive"]}, ()
    if "wheels" not in package and "sdist" not in package:
        return {}, ()
    found: dict[str, Any] = {}
    lacking = []
    for platform in platforms:
        fitting = dict(_wheels(package.get("wheels", ()), environment, platform))
        found |= fitting
        if not fitting:
            lacking.append(platform)
    if lacking and "sdist" in package:
        found[_name(package["sdist"])] = package["sdist"]
    needed = tuple(platform for platform in lacking if platform in environment.required)
    if needed and "sdist" not in package:
        raise Unusable(
            f"{package['name']} {package['version']} has neither a wheel for {', '.join(needed)} "
            f"with Python {environment.python} nor its source"
        )
    return found, needed


def _wheels(wheels: Iterable[Any], environment: Environment, platform: str) -> Iterator[tuple[str, Any]]:
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    fitting = _tags(environment, platform)
    for wheel in wheels:
        name = _name(wheel)
        try:
            tags = parse_wheel_filename(name)[3]
        except InvalidWheelFilename:
            continue
        if any(str(tag) in fitting for tag in tags):
            yield name, wheel


@cache
def _tags(environment: Environment, platform: str) -> frozenset[str]:
    from packaging.tags import compatible_tags, cpython_tags

    python = tuple(int(part) for part in environment.python.split(".")[:2])
    interpreter = "cp" + "".join(map(str, python))
    names = list(_platform_tags(environment, machine(platform)))
    own = cpython_tags(python_version=python, abis=[interpreter], platforms=names)
    return frozenset(map(str, (*own, *compatible_tags(python, interpreter, names))))


def _platform_tags(environment: Environment, machine: str) -> Iterator[str]:
    if environment.glibc is None:
        # Every Alpine that is still maintained has musl 1.2.
        yield from (f"musllinux_1_{minor}_{machine}" for minor in (2, 1, 0))
    else:
        for minor in range(environment.glibc, 4, -1):
            yield f"manylinux_2_{minor}_{machine}"
            if minor in _LEGACY:
                yield f"manylinux{_LEGACY[minor]}_{machine}"
    yield f"linux_{machine}"


def _address(package: Mapping[str, Any]) -> str | None:
    if "archive" in package:
        return str(package["archive"]["url"])
    if "vcs" in package:
        vcs = package["vcs"]
        inside = f"#subdirectory={vcs['subdirectory']}" if "subdirectory" in vcs else ""
        return f"{vcs['type']}+{vcs['url']}@{vcs['commit-id']}{inside}"
    return None


def _name(file: Mapping[str, Any]) -> str:
    return str(file.get("name") or file["url"].rpartition("/")[2])
