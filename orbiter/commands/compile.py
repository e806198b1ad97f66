"""`orbiter compile`: the generated files, written, checked or shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orbiter.commands import console, options
from orbiter.errors import CheckFailed

if TYPE_CHECKING:
    from orbiter.output import Changes


@click.command(
    epilog=options.EXAMPLES
    + "  orbiter compile\n  orbiter compile --check     in CI: are the committed files up to date?\n"
    "  orbiter compile --locked    never without the lock that fits\n"
    "  orbiter compile --diff      what would change?\n  orbiter compile -o out      somewhere else"
)
@options.file
@click.option(
    "-o",
    "--output",
    "out",
    metavar="DIR",
    help="Write the tree below DIR  [default: beside the configuration].",
)
@click.option(
    "--check",
    is_flag=True,
    help="Write nothing; end with 1 if the files are not what the configuration gives, or the lock does not fit it.",
)
@click.option("--diff", is_flag=True, help="Write nothing; print what would change.")
@options.locked
@options.form("text", "json")
def compile(file: str | None, out: str | None, check: bool, diff: bool, locked: bool, form: str) -> None:
    """Write the Dockerfiles and docker-bake.hcl.

    Files that are right already are not touched, stale ones are removed, and files that Orbiter did not write
    are left alone.
    """
    from orbiter import output, pipeline

    planned = options.planned(file, out)
    if locked:
        options.require_lock(planned)
    changes = pipeline.compare(planned, Path(out) if out else None)
    folder = Path(out) if out else planned.config.parent
    if not check and not diff:
        output.write(changes, folder)
    if diff:
        for line in output.diff(changes):
            click.echo(line, nl=False)
    if form == "json":
        console.print_json(_changes_as_data(changes))
    elif not diff:
        _print_changes(changes)
    console.say(output.summary(changes, wrote=not check and not diff))
    options.mention_lock(planned)
    if check and changes:
        raise CheckFailed("the generated files are stale; run 'orbiter compile'")
    if check and planned.lock:
        options.require_lock(planned)


def _changes_as_data(changes: "Changes") -> dict[str, Any]:
    return {
        "created": changes.created,
        "updated": changes.updated,
        "removed": changes.removed,
        "unchanged": changes.unchanged,
    }


def _print_changes(changes: "Changes") -> None:
    for sign, paths in (("+", changes.created), ("~", changes.updated), ("-", changes.removed)):
        for path in paths:
            click.echo(f"{sign} {path}")
