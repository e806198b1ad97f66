"""Conda packages by rattler, a solver in compiled code: channels on the network → the records of an environment."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbiter.errors import EngineError, LockError
from orbiter.lock import CondaPackage
from orbiter.model import Conda
from orbiter.pins import SUBDIRS

if TYPE_CHECKING:
    import rattler

PUBLIC = "https://conda.anaconda.org"
"""Where channels without an address are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An environment to solve for one platform. `kept` are versions to keep where they fit, `fixed` those that
    have to stay. `mirror` stands for PUBLIC. `glibc` is the minor of 2.x."""

    conda: Conda
    platform: str
    glibc: int
    kept: tuple[CondaPackage, ...] = ()
    fixed: tuple[CondaPackage, ...] = ()
    mirror: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """The packages of an environment, each after what it needs, and when the youngest was built (RFC 3339)."""

    packages: tuple[CondaPackage, ...]
    newest: str | None


def solve(question: Question, cache: Path) -> Solved:
    """Asks the channels. `cache` keeps their indexes. Raises LockError, with the solver's reason, if there is no
    solution; EngineError if rattler is missing or a channel does not answer."""
    try:
        from rattler import RepoDataRecord
        from rattler.exceptions import FetchRepoDataError, GatewayError, SolverError
    except ImportError as error:
        raise EngineError(
            "locking conda environments needs py-rattler; install it: pip install 'orbiter[lock]'"
        ) from error
    try:
        records = asyncio.run(_solve(question, cache))
    except SolverError as error:
        raise LockError(str(error).strip()) from error
    except (GatewayError, FetchRepoDataError) as error:
        raise EngineError(f"a conda channel does not answer: {error}") from error
    # Installers of explicit lists link in their order: what a package needs comes before it.
    by_name = {record.name.normalized: record for record in records}
    names = [record.name.normalized for record in RepoDataRecord.sort_topologically(list(records))]
    packages = tuple(_package(by_name[name], question.mirror) for name in names)
    dates = [record.timestamp for record in records if record.timestamp]
    return Solved(packages=packages, newest=_date(max(dates)) if dates else None)


async def _solve(question: Question, cache: Path) -> Sequence["rattler.RepoDataRecord"]:
    import rattler

    gateway = rattler.Gateway(cache_dir=cache)
    channels = [_channel(name, question.mirror) for name in question.conda.channels]
    platforms: Any = [SUBDIRS[question.platform], "noarch"]
    kept = await _records(gateway, channels, platforms, question.kept) if question.kept else []
    return await rattler.solve(
        channels,
        [rattler.MatchSpec(spec) for spec in question.conda.dependencies],
        gateway=gateway,
        platforms=platforms,
        locked_packages=kept,
        constraints=[_exactly(package) for package in question.fixed],
        virtual_packages=_virtual(question),
    )


async def _records(
    gateway: "rattler.Gateway", channels: list[str], platforms: Any, packages: Iterable[CondaPackage]
) -> list["rattler.RepoDataRecord"]:
    """What the channels say of packages: with their dependencies, which a lock leaves out."""
    specs = [_exactly(package) for package in packages]
    found = await gateway.query(channels, platforms, specs, recursive=False)
    return [record for records in found for record in records]


def _exactly(package: CondaPackage) -> str:
    return f"{package.name} =={package.version} {package.build}"


def _virtual(question: Question) -> list[Any]:
    """What the base image brings, in conda's terms."""
    from rattler import BuildString, GenericVirtualPackage, PackageName, Version

    brought = {"__unix": "0", "__linux": "5.15", "__glibc": f"2.{question.glibc}"}
    if question.platform.startswith("linux/amd64"):
        brought["__archspec"] = "1"
    builds = {"__archspec": "x86_64"}
    return [
        GenericVirtualPackage(PackageName(name), Version(version), BuildString(builds.get(name, "0")))
        for name, version in brought.items()
    ]


def _channel(name: str, mirror: str | None) -> str:
    return name if "://" in name else f"{(mirror or PUBLIC).rstrip('/')}/{name}"


def _package(record: "rattler.RepoDataRecord", mirror: str | None) -> CondaPackage:
    url = record.url
    if mirror and url.startswith(f"{mirror.rstrip('/')}/"):
        url = PUBLIC + url.removeprefix(mirror.rstrip("/"))
    if record.sha256 is None:
        raise LockError(f"{record.name.source} {record.version} has no sha256 in its channel, so it cannot be locked")
    return CondaPackage(
        name=record.name.normalized,
        version=str(record.version),
        build=str(record.build),
        url=url,
        sha256=record.sha256.hex(),
    )


def _date(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
