"""Conda packages by rattler, a solver in compiled code: channels on the network → the records of an environment."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
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


class Solver:
    """Asks the channels, for several threads at once. `cache` keeps their indexes; `offline` takes them from there."""

    def __init__(self, cache: Path, *, offline: bool) -> None:
        self._cache, self._offline = cache, offline
        self._gateway: rattler.Gateway | None = None
        self._guard = Lock()
        self._running: dict[asyncio.Task[Any], asyncio.AbstractEventLoop] = {}
        self._stopped = False

    def stop(self) -> None:
        """Ends what is being solved, in any thread, and refuses what comes."""
        with self._guard:
            self._stopped = True
            for task, loop in self._running.items():
                loop.call_soon_threadsafe(task.cancel)

    def solve(self, question: Question) -> Solved:
        """Raises LockError, with the solver's reason, if there is no solution; EngineError if rattler is missing or a
        channel does not answer."""
        try:
            from rattler import RepoDataRecord
            from rattler.exceptions import (
                CacheDirError,
                FetchRepoDataError,
                GatewayError,
                InvalidMatchSpecError,
                SolverError,
            )
        except ImportError as error:
            raise EngineError(
                "locking conda environments needs py-rattler; install it: pip install 'orbiter[lock]'"
            ) from error
        try:
            records = asyncio.run(self._watched(question))
        except (InvalidMatchSpecError, SolverError) as error:
            raise LockError(str(error).strip()) from error
        except (CacheDirError, GatewayError, FetchRepoDataError) as error:
            raise EngineError(f"conda: a channel does not answer: {error}") from error
        # Installers of explicit lists link in their order: what a package needs comes before it.
        by_name = {record.name.normalized: record for record in records}
        names = [record.name.normalized for record in RepoDataRecord.sort_topologically(list(records))]
        packages = tuple(_package(by_name[name], question.mirror) for name in names)
        dates = [record.timestamp for record in records if record.timestamp]
        return Solved(packages=packages, newest=_date(max(dates)) if dates else None)

    async def _watched(self, question: Question) -> Sequence["rattler.RepoDataRecord"]:
        """The answer, unless `stop` comes first."""
        task = asyncio.current_task()
        assert task is not None
        with self._guard:
            if self._stopped:
                raise EngineError("interrupted")
            self._running[task] = asyncio.get_running_loop()
            self._gateway = gateway = self._gateway or _gateway(self._cache, offline=self._offline)
        try:
            return await _solve(question, gateway)
        finally:
            with self._guard:
                del self._running[task]


def _gateway(cache: Path, *, offline: bool) -> "rattler.Gateway":
    from rattler import Client, Gateway, SourceConfig

    config = SourceConfig(cache_action="force-cache-only" if offline else "cache-or-fetch")
    # The client knows the credentials of this user: netrc, the key store, RATTLER_AUTH_FILE.
    return Gateway(cache_dir=cache, default_config=config, client=Client.authenticated_client())


async def _solve(question: Question, gateway: "rattler.Gateway") -> Sequence["rattler.RepoDataRecord"]:
    import rattler

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
