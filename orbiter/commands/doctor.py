"""`orbiter doctor`: what is missing on this machine, and the command that mends it."""

from pathlib import Path

import click

from orbiter.commands import console, options
from orbiter.errors import CheckFailed

COLOURS = {"warning": "yellow", "problem": "red"}


@click.command(
    epilog=options.EXAMPLES + "  orbiter doctor\n  orbiter doctor --format json | jq '.checks[] | select(.mend)'"
)
@options.file
@options.form("text", "json")
def doctor(file: str | None, form: str) -> None:
    """Check this machine and the project.

    Docker, Buildx and its builder, platforms, the login to the registry, the disk, the configuration and its
    generated files: each is ok, a warning or a problem, with the command that mends it. Changes nothing. Ends with 1
    if there is a problem.
    """
    from orbiter import diagnosis, machine
    from orbiter.engine import Buildx

    verdicts = diagnosis.diagnose(machine.facts(Buildx(), options.given(file), Path()))
    if form == "json":
        console.print_json(diagnosis.as_data(verdicts))
    else:
        for level, line in diagnosis.as_text(verdicts):
            console.show(console.fitted(line), COLOURS.get(level))
    counted = diagnosis.counted(verdicts)
    if any(verdict.level == "problem" for verdict in verdicts):
        raise CheckFailed(counted)
    console.say(counted or "all is well")
