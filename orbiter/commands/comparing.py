"""Comparing with what was built before, for the commands that build or tell only what changed."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from orbiter.errors import EngineError, LockError

if TYPE_CHECKING:
    from orbiter.changes import Verdicts, Wanted
    from orbiter.credentials import Login
    from orbiter.lock import Lock
    from orbiter.model import BuildPlan, FileSet
    from orbiter.pipeline import Planned
    from orbiter.survey import Places

Command = TypeVar("Command", bound=Callable[..., object])


def against(default: str) -> Callable[[Command], Command]:
    """`--against`, the place whose images are compared: parameter `against`."""
    return click.option(
        "--against",
        type=click.Choice(["registry", "engine"]),
        help=f"Whose images to compare with  [default: {default}].",
    )


def places(planned: "Planned", *, registry: bool) -> "Places":
    """The engine, and the registry of the project if that is to be asked."""
    from orbiter.engine import Buildx
    from orbiter.published import Registry
    from orbiter.survey import Places

    if not registry:
        return Places(engine=Buildx(), registry=None)
    project = planned.plan.project
    repo = os.environ.get("REPO", project.repo)
    ca = planned.config.parent / project.mirrors.ca if project.mirrors.ca else None
    return Places(engine=Buildx(), registry=Registry(repo, _login(repo), ca))


def verdicts(
    planned: "Planned",
    plan: "BuildPlan",
    files: "FileSet",
    where: "Places",
    builder: str | None = None,
    platforms: tuple[str, ...] = (),
) -> "Verdicts":
    """A verdict for every target of the plan, which may be a part of the project's. Raises EngineError."""
    from orbiter import changes, survey

    found = survey.survey(plan, _wanted(planned, files, platforms), where, builder)
    return changes.with_versions(plan, found, planned.lock, _earlier(planned))


def _wanted(planned: "Planned", files: "FileSet", platforms: tuple[str, ...]) -> "Wanted":
    from orbiter import changes, copied, pipeline

    given = platforms or tuple(name for name in os.environ.get("PLATFORMS", "").split(",") if name)
    contents, parts = pipeline.described(planned, files)
    return changes.Wanted(
        contents=contents,
        copied=copied.hashes(planned.plan, planned.config.parent),
        parts=parts,
        references=changes.references(planned.plan, os.environ),
        platforms={target.name: given or target.image.platforms for target in planned.plan.targets},
    )


def _earlier(planned: "Planned") -> "Iterator[Lock]":
    """Former states of the lock, read when they are asked for."""
    from orbiter import engine, lock

    for text in engine.earlier(planned.config.parent / lock.FILE):
        try:
            yield lock.parse(text)
        except LockError:
            continue


def _login(repo: str) -> "Login | None":
    """What Docker keeps for the registry; None without, and where a helper does not answer: Buildx is asked then."""
    from orbiter import credentials
    from orbiter.engine import Buildx
    from orbiter.plan import host_and_path

    path = Path(os.environ.get("DOCKER_CONFIG") or Path("~/.docker").expanduser()) / "config.json"
    try:
        config = credentials.parse(path.read_bytes(), str(path))
    except OSError:
        return None
    names = credentials.servers(host_and_path(repo)[0])
    helper = credentials.helper(config, names)
    try:
        for name in names if helper else ():
            found = Buildx().credential(helper, name) if helper else None
            if found and found[0] != "<token>":
                return credentials.Login(user=found[0], secret=found[1])
    except EngineError:
        return None
    return credentials.from_config(config, names, str(path))
