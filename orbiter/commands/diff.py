"""`orbiter diff`: what changed in the images between two locks, or between an image and a lock."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orbiter.commands import console, options
from orbiter.errors import CheckFailed, EngineError, UsageError

if TYPE_CHECKING:
    from orbiter.imagediff import State
    from orbiter.installed import Installed
    from orbiter.lock import Lock
    from orbiter.model import Project


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two that are compared: a lock or an image."""

    name: str
    lock: "Lock | None" = None
    image: "Installed | None" = None


@click.command(
    epilog=options.EXAMPLES + "  orbiter diff                              what changed since the last commit\n"
    "  orbiter diff v1.2 v1.3 --format markdown  for release notes\n"
    "  orbiter diff old.lock new.lock            two files\n"
    "  orbiter diff example.org/course:debian-base-1.2.0\n"
    "                                            what an update of it brings\n"
    "  orbiter diff --exit-code origin/main      in CI: is anything changed?"
)
@options.file
@click.argument("old", default="HEAD")
@click.argument("new", required=False)
@click.option("--exit-code", is_flag=True, help="End with 1 if anything differs.")
@options.form("text", "markdown", "json")
def diff(file: str | None, old: str, new: str | None, exit_code: bool, form: str) -> None:
    """Tell what changed in each image: packages and base images.

    OLD and NEW are lock files, revisions of git, or images, which are asked what is in them (and pulled if they are
    not in the engine). Without NEW it is the lock as it is now; without OLD, too, it is compared with HEAD.
    """
    from orbiter import imagediff

    project, folder = _project(file)
    sides = (_side(old, folder), _side(new, folder))
    found = imagediff.difference(*_states(sides, project), project)
    if form == "json":
        console.print_json(imagediff.as_data(found))
    elif found:
        click.echo(imagediff.as_markdown(found) if form == "markdown" else imagediff.as_text(found))
    if not found:
        console.say(f"{sides[0].name} and {sides[1].name}: no difference")
    elif exit_code:
        raise CheckFailed(f"{sides[0].name} and {sides[1].name} differ")


def _project(file: str | None) -> "tuple[Project | None, Path]":
    """The project, and its folder; two locks can be compared without one."""
    from orbiter import pipeline

    if options.given(file) is None and not any(Path(name).is_file() for name in pipeline.NAMES):
        return None, Path()
    planned = options.planned(file, quiet=True)
    return planned.plan.project, planned.config.parent


def _side(what: str | None, folder: Path) -> _Side:
    """What OLD or NEW names. Raises UsageError if that is nothing."""
    from orbiter import lock as locks
    from orbiter import pipeline
    from orbiter.git import Git

    place = folder / locks.FILE
    path = place if what is None else Path(what)
    if what is None or path.is_file():
        lock = pipeline.read_lock_file(path)
        if lock is None:
            raise UsageError(f"{place} is not there; 'orbiter lock' makes it, or name NEW")
        return _Side(str(path), lock=lock)
    git = Git(folder)
    try:
        commit, problem = git.find(what), git.problem()
    except EngineError as error:
        commit, problem = None, str(error)
    if commit:
        text = git.show(commit, locks.FILE)
        if text is None:
            raise UsageError(f"{what} has no {place}; 'git log -- {place}' lists the commits that changed it")
        return _Side(what, lock=locks.parse(text, f"{what}:{place}"))
    if "/" in what or ":" in what:
        return _Side(what, image=_ask(what))
    hint = f"; git says: {problem}" if problem else ""
    raise UsageError(f"{what}: neither a lock file, nor a revision of git, nor an image (REPOSITORY:TAG){hint}")


def _ask(reference: str) -> "Installed":
    from orbiter import installed, inventory
    from orbiter.engine import Buildx

    engine = Buildx()
    try:
        return installed.parse(*inventory.contents(engine, reference))
    except EngineError as error:
        if "No such image" not in str(error):
            raise
    console.say(f"{reference}: not in the engine, so it is pulled")
    try:
        engine.ask("pull", "--quiet", reference)
    except EngineError as error:
        raise EngineError(f"{reference}: cannot be pulled, and is no lock file or revision: {error}") from error
    return installed.parse(*inventory.contents(engine, reference))


def _states(sides: "tuple[_Side, _Side]", project: "Project | None") -> "tuple[State, State]":
    """What is known of both: all images of two locks, else the one of the image that was asked."""
    from orbiter import imagediff

    asked = [imagediff.of_image(side.image, side.name) for side in sides if side.image]
    if len(asked) == 2:
        (name, before), (other, after) = asked
        name = name if name == other else f"{sides[0].name} → {sides[1].name}"
        return {name: before}, {name: after}
    platform = next((side.image.platform for side in sides if side.image), None)
    states = [imagediff.of_lock(side.lock, project, platform) if side.lock else {} for side in sides]
    if not asked:
        return states[0], states[1]
    ((name, facts),) = asked
    image, lock = sides if sides[0].image else sides[::-1]
    locked = states[sides.index(lock)].get(name)
    if locked is None:
        raise UsageError(f"{lock.name} has nothing of '{name}', which {image.name} is")
    locked, facts = imagediff.common(locked, facts)
    return ({name: facts}, {name: locked}) if image == sides[0] else ({name: locked}, {name: facts})
