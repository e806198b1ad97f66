"""`orbiter ci`: a workflow for a CI service, written, checked or printed."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orbiter.commands import console, options
from orbiter.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from orbiter.ci import Service, Wishes


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of both services."""
    for decorate in (
        click.option("--diff", is_flag=True, help="Write nothing; print what would change."),
        click.option(
            "--check", is_flag=True, help="Write nothing; end with 1 if the workflow is not what would be written."
        ),
        click.option("-o", "--output", "out", type=click.Path(), metavar="FILE", help="Write it to FILE."),
        click.option("--write", is_flag=True, help="Write it to where the service looks for it."),
        click.option("--install", "requirement", metavar="REQUIREMENT", help="What pip installs Orbiter from."),
        click.option(
            "--cache-repo",
            "cache",
            metavar="REPOSITORY",
            help="Repository of the cache; '' for none  [default: cache.registry, or docker.repo with -cache behind].",
        ),
    ):
        command = decorate(command)
    return options.file(command)


@click.group(
    epilog=options.EXAMPLES + "  orbiter ci github --write     .github/workflows/images.yml\n"
    "  orbiter ci gitlab --write     .gitlab-ci.yml\n"
    "  orbiter ci github --check     in CI: is it up to date?"
)
def ci() -> None:
    """Write a workflow that checks, builds, tests and publishes."""


@ci.command(
    epilog=options.EXAMPLES + "  orbiter ci github                        prints it\n"
    "  orbiter ci github --write                to .github/workflows/images.yml\n"
    "  orbiter ci github --split --write        a job for each image, by level of the graph\n"
    "  orbiter ci github --platforms linux/amd64,linux/arm64 --write\n"
    "  orbiter ci github --check                in CI: is it up to date?"
)
@_common
@click.option("--split", is_flag=True, help="A job for each image, by level; of a pull request only what it changes.")
@click.option(
    "--platforms",
    multiple=True,
    metavar="OS/ARCH",
    help="Build for these, each on a runner of its own  [default: those of the configuration].",
)
@click.option("--branch", metavar="NAME", default="main", show_default=True, help="The branch that is published.")
def github(
    file: str | None,
    split: bool,
    platforms: tuple[str, ...],
    branch: str,
    cache: str | None,
    requirement: str | None,
    write: bool,
    out: str | None,
    check: bool,
    diff: bool,
) -> None:
    """Write a workflow for GitHub Actions.

    One job checks, builds with a cache in the registry, tests, and on a push publishes. Several platforms are built on
    a runner of each, and merged under one tag. With a lock, a nightly job upgrades it and proposes a pull request.
    """
    from orbiter.ci import Wishes

    named = tuple(name for given in platforms for name in given.split(",") if name)
    wishes = Wishes(split=split, platforms=named, branch=branch, cache=cache, requirement=requirement)
    _run("github", file, wishes, write=write, out=out, check=check, diff=diff)


@ci.command(
    epilog=options.EXAMPLES + "  orbiter ci gitlab             prints it\n"
    "  orbiter ci gitlab --write     to .gitlab-ci.yml\n"
    "  orbiter ci gitlab -o ci/images.yml    to be included"
)
@_common
def gitlab(
    file: str | None,
    cache: str | None,
    requirement: str | None,
    write: bool,
    out: str | None,
    check: bool,
    diff: bool,
) -> None:
    """Write a pipeline for GitLab CI.

    One job checks, builds with a cache in the registry, tests, and on the default branch or a tag publishes. It needs a
    runner for Docker in Docker. With a lock, a scheduled pipeline upgrades it and proposes a merge request.
    """
    from orbiter.ci import Wishes

    wishes = Wishes(cache=cache, requirement=requirement)
    _run("gitlab", file, wishes, write=write, out=out, check=check, diff=diff)


def _run(
    service: "Service", file: str | None, wishes: "Wishes", *, write: bool, out: str | None, check: bool, diff: bool
) -> None:
    from orbiter import output, pipeline
    from orbiter.ci import PLACES, is_generated
    from orbiter.git import Git

    if write and out is not None:
        raise UsageError("--write and -o both say where; give one")
    planned = options.planned(file)
    workflow, text, top = pipeline.workflow(service, planned, wishes, Git(planned.config.parent))
    place = Path(out) if out is not None else top / PLACES[service]
    if not (write or out is not None or check or diff):
        click.echo(text, nl=False)
        return
    old = _read(place)
    new = text.encode()
    if diff and old != new:
        for line in output.diff(output.one_file(place.as_posix(), old, new)):
            click.echo(line, nl=False)
    if old == new:
        console.say(f"{place}: up to date")
    elif check:
        again = f"{workflow.command} {f'-o {out}' if out is not None else '--write'}"
        raise CheckFailed(f"{place} is {'stale' if old else 'not there'}; run '{again}'")
    elif not diff:
        if old is not None and not is_generated(old.decode(errors="replace")):
            raise UsageError(
                f"{place}: not written by Orbiter, so not overwritten; move it away, or name another with -o"
            )
        output.replace(place, new)
        console.say(f"{place}: written")


def _read(place: Path) -> bytes | None:
    try:
        return place.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{place}: cannot be read: {error.strerror}") from error
