"""An entry of the lock → the files by which installers take just what it names, and ask no resolver."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orbiter.lock import CondaPackage, Entry, PipPackage
from orbiter.model import Pins

_MACHINES = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "386": "i686",
    "arm": "armv7l",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}
"""Architectures as OCI calls them → as Python does."""

SUBDIRS = {"linux/amd64": "linux-64", "linux/arm64": "linux-aarch64", "linux/ppc64le": "linux-ppc64le"}
"""Platforms as OCI calls them → as conda does."""


def pins(entry: Entry) -> Pins:
    """What the templates of a builder see of an entry."""
    return Pins(
        requirements=tuple(map(_requirement, entry.pip)),
        hashed=all(package.files for package in entry.pip),
        explicit={
            architecture(platform): tuple(map(_explicit, entry.conda[subdir]))
            for platform, subdir in SUBDIRS.items()
            if subdir in entry.conda
        },
        package=_package(entry.npm[""]["dependencies"]) if entry.npm else {},
        package_lock=package_lock(entry.npm) if entry.npm else {},
        python=entry.python,
        build=tuple(map(_requirement, entry.build)),
        sources=tuple(sources(entry)) if entry.build else (),
    )


def sources(entry: Entry) -> Iterator[str]:
    """The names of the packages that are compiled for some platform, also of those that only others are built with."""
    for package in (*entry.pip, *entry.build):
        if not all(map(is_wheel, package.files)):
            yield package.name


def is_wheel(name: str) -> bool:
    """Whether the file of that name is installed as it is."""
    return name.partition("?")[0].endswith(".whl")


def machine(platform: str) -> str:
    """`linux/amd64` → `x86_64`."""
    return _MACHINES.get(architecture(platform), architecture(platform))


def architecture(platform: str) -> str:
    """`linux/arm64` → `arm64`, which a Dockerfile knows as TARGETARCH."""
    return platform.split("/")[1]


def _requirement(package: PipPackage) -> str:
    """A requirement with the hashes of its files, over several lines."""
    named = f"{package.name} @ {package.url}" if package.url else f"{package.name}=={package.version}"
    marker = " or ".join(f"platform_machine == '{machine(platform)}'" for platform in package.platforms)
    hashes = (f"--hash={hash}" for hash in sorted(set(package.files.values())))
    return " \\\n    ".join([named + (f" ; {marker}" if marker else ""), *hashes])


def _explicit(package: CondaPackage) -> str:
    """A line of an explicit environment file: the address of a package, and its hash."""
    return f"{package.url}#sha256:{package.sha256}"


def package(specs: Iterable[str]) -> dict[str, Any]:
    """The package.json that asks for `name`, `name@range` and `@scope/name@range`."""
    return _package(dict(map(_split, specs)))


def _package(dependencies: Mapping[str, str]) -> dict[str, Any]:
    return {"private": True, "dependencies": dict(sorted(dependencies.items()))}


def package_lock(packages: Mapping[str, Any]) -> dict[str, Any]:
    """The package-lock.json with these packages, whose root is `""`."""
    return {"lockfileVersion": 3, "requires": True, "packages": dict(packages)}


def names(specs: Iterable[str]) -> frozenset[str]:
    """The names of npm specs."""
    return frozenset(_split(spec)[0] for spec in specs)


def _split(spec: str) -> tuple[str, str]:
    name, at, version = spec[1:].partition("@")  # the first character may be the @ of a scope
    return spec[0] + name, version if at else "*"
