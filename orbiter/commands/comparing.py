"""Comparing with what was built before, for the commands that build or tell only what changed."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import click

from orbiter.commands import console
from orbiter.errors import EngineError, LockError

if TYPE_CHECKING:
    from orbiter.changes import Verdicts, Wanted
    from orbiter.lock import Lock
    from orbiter.model import BuildPlan, FileSet
    from orbiter.pipeline import Planned
    from orbiter.survey import Places

Command = TypeVar("Command", bound=Callable[..., object])

_EARLIER = 10
"""Former states of the lock that are looked at."""


def against(default: str) -> Callable[[Command], Command]:
    """`--against`, the place whose images are compared: parameter `against`."""
    return click.option(
        "--against",
        type=click.Choice(["registry", "engine"]),
        help=f"Whose images to compare with  [default: {default}].",
    )


def places(planned: "Planned", *, registry: bool, push: bool = False) -> "Places":
    """Where the images are looked for. Raises EngineError or UsageError for a login that cannot be read."""
    from orbiter import cached
    from orbiter.engine import Buildx
    from orbiter.survey import Places

    if not registry:
        return Places(engine=Buildx(), registry=None)
    repo = os.environ.get("REPO", planned.plan.project.repo)
    asked = cached.connect(repo, planned.plan, planned.config.parent, retries=2)
    return Places(engine=Buildx(), registry=asked, push=push)


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

    try:
        found = survey.survey(plan, _wanted(planned, files, platforms), where, console.say, builder)
    except survey.Unanswered as error:
        if where.push:  # the images of the engine are no way out
            raise
        raise EngineError(f"{error}; '--against engine' compares with the images of this machine") from error
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
    """Former states of the lock, the newest first, read when they are asked for; none where there is no git."""
    from orbiter import lock
    from orbiter.git import Git

    git = Git(planned.config.parent)
    try:
        texts = [git.show(commit, lock.FILE) for commit in git.commits(lock.FILE, _EARLIER)]
    except EngineError:
        return
    for text in texts:
        with suppress(LockError):
            if text is not None:
                yield lock.parse(text)
