"""Options that several commands have, and what they mean together: the project, and the targets that are meant."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orbiter.commands import console
from orbiter.errors import CheckFailed, EngineError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from orbiter.completing import Names
    from orbiter.model import FileSet
    from orbiter.output import Changes
    from orbiter.pipeline import Planned

Command = TypeVar("Command", bound=Callable[..., Any])

EXAMPLES = "\b\nExamples:\n"
"""Begins the epilog of a command: one line an example, none of them wrapped."""


def file(command: Command) -> Command:
    """`-f FILE`, which may also stand before the command: see `given`."""
    return click.option(
        "-f",
        "--file",
        envvar="ORBITER_FILE",
        type=click.Path(),
        metavar="FILE",
        help="The configuration  [default: $ORBITER_FILE, else orbiter.yaml, orbiter.yml or invoke.yaml here].",
    )(command)


def form(*formats: str) -> Callable[[Command], Command]:
    """`--format`, the first one being the default; the parameter is called `form`."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="How to print the result.",
    )


def selection(command: Command) -> Command:
    """Names and globs of targets, or `-b FAMILY -i IMAGE`: parameters `targets`, `family` and `image`."""
    for decorate in (
        click.option(
            "-i", "--image", metavar="IMAGE", help="Only this image of the family.", shell_complete=_complete_images
        ),
        click.option(
            "-b",
            "--build",
            "family",
            metavar="FAMILY",
            help="Only this family, as in the original tool.",
            shell_complete=_complete_families,
        ),
        click.argument("targets", nargs=-1, shell_complete=_complete_targets),
    ):
        command = decorate(command)
    return command


def consent(command: Command) -> Command:
    """`--dry-run` and `--yes`, for commands that remove something: parameters `dry_run` and `yes`."""
    for decorate in (
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.option("--dry-run", is_flag=True, help="Only show what would be removed."),
    ):
        command = decorate(command)
    return command


def locked(command: Command) -> Command:
    """`--locked`, for commands that `require_lock` then."""
    return click.option("--locked", is_flag=True, help="End with 1 unless orbiter.lock pins everything.")(command)


def require_lock(planned: "Planned") -> None:
    """Raises CheckFailed, with the entries, unless the lock fits the configuration."""
    from orbiter import lock as locks
    from orbiter import pipeline

    stale, unpinned = pipeline.unlocked(planned)
    if planned.lock is None and (stale or unpinned):
        raise CheckFailed(f"there is no {locks.FILE}; run 'orbiter lock'")
    if stale or unpinned:
        names = ", ".join((*stale, *unpinned))
        raise CheckFailed(f"{locks.FILE} is stale: {names}; run 'orbiter lock'")


def mention_lock(planned: "Planned") -> None:
    """Says that there is no lock, where one would pin packages."""
    from orbiter import lock as locks

    if planned.lock is None and any(map(locks.installs, planned.plan.project.images.values())):
        console.say("no orbiter.lock: versions are resolved in the build; 'orbiter lock' pins them")


def split_platforms(given: tuple[str, ...]) -> tuple[str, ...]:
    """The platforms of several `--platform`, each of which may have several, with commas between."""
    return tuple(dict.fromkeys(name for each in given for name in each.split(",") if name))


def given(file: str | None) -> str | None:
    """The file of `-f` after the command, else of the one before it."""
    return file or click.get_current_context().find_root().params.get("file")


def planned(file: str | None, out: str | None = None, *, quiet: bool = False) -> "Planned":
    """The checked project; its warnings are said unless it is to be quiet. Raises ConfigError and UsageError."""
    from orbiter import pipeline

    found = pipeline.make_plan(pipeline.find(given(file), Path()), Path(out) if out else None)
    for warning in () if quiet else found.warnings:
        console.say(str(warning), colour="yellow")
    return found


def patterns(planned: "Planned", targets: tuple[str, ...], family: str | None, image: str | None) -> tuple[str, ...]:
    """What `selection` says, as patterns of targets."""
    from orbiter.plan import family_patterns

    return targets + family_patterns(planned.plan, family, image)


def _complete_targets(context: click.Context, parameter: click.Parameter, word: str) -> "list[CompletionItem]":
    from click.shell_completion import CompletionItem

    from orbiter.completing import offered

    given = context.params.get("targets") or ()
    return [CompletionItem(name, help=about) for name, about in offered(_names(context), word, given)]


def _complete_families(context: click.Context, parameter: click.Parameter, word: str) -> list[str]:
    return [name for name in _names(context).families if name.startswith(word)]


def _complete_images(context: click.Context, parameter: click.Parameter, word: str) -> list[str]:
    return [name for name in _names(context).images(context.params.get("family")) if name.startswith(word)]


def _names(context: click.Context) -> "Names":
    """The names of the configuration; none if it cannot be read: a shell has no place for complaints."""
    from orbiter import pipeline, source
    from orbiter.completing import Names, names
    from orbiter.errors import OrbiterError

    try:
        config = pipeline.find(context.params.get("file") or context.find_root().params.get("file"), Path())
        return names(source.load(config.read_bytes(), str(config)).data)
    except (OrbiterError, OSError):
        return Names()


def revision(folder: Path) -> str | None:
    """The commit of the sources, unless the environment says it, as CI may, or nobody knows."""
    from orbiter.git import Git

    if "REVISION" in os.environ:
        return None
    try:
        return Git(folder).state()
    except EngineError:
        return None


def compiled(planned: "Planned") -> "tuple[FileSet, Changes]":
    """The files of a project, written where they are stale, which is said, and what that changed."""
    from orbiter import output, pipeline

    files, folder = pipeline.render(planned), planned.config.parent
    changes = output.compare(files, folder)
    output.write(changes, folder)
    if changes:
        console.say(output.summary(changes, wrote=True))
    return files, changes
