"""What the commands that remove images share: show it, ask, do it, say what was refused."""

import time
from typing import TYPE_CHECKING

import click

from orbiter.commands import console
from orbiter.errors import EngineError

if TYPE_CHECKING:
    from orbiter.engine import Engine
    from orbiter.removal import Removal


def carry_out(removal: "Removal", engine: "Engine", *, yes: bool, dry_run: bool, form: str) -> None:
    """Removes what is doomed once it was shown and agreed to. Raises EngineError for what Docker refused."""
    from orbiter import inventory
    from orbiter import removal as removals

    lines = removals.as_text(removal, time.time())
    if form == "json":
        # stdout is for the data.
        for line in lines:
            console.say(line)
        lines = []
    agreed = False
    if removal.doomed:
        agreed = console.confirm(lines, removals.question(removal), yes=yes, dry_run=dry_run)
    else:
        for line in lines:
            click.echo(line)
        console.say("nothing to remove")
    refused = inventory.remove(engine, removal.doomed) if agreed else ()
    if form == "json":
        console.print_json(removals.as_data(removal, removed=agreed and not refused))
    if refused:
        raise EngineError("not everything was removed:\n" + "\n".join(f"  {each}" for each in refused))
    if agreed:
        console.say(f"removed: {removals.counted(removal)}")
