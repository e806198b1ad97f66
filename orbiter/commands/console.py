"""What a person or a program gets to read: results on stdout, talk on stderr, colour on a terminal only."""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

from orbiter.errors import UsageError

if TYPE_CHECKING:
    from orbiter.diagnostics import Finding


def say(text: str, colour: str | None = None) -> None:
    """Talk, on stderr."""
    click.echo(_coloured(text, colour, sys.stderr), err=True)


def show(text: str, colour: str | None = None) -> None:
    """A line of a result, on stdout."""
    click.echo(_coloured(text, colour, sys.stdout))


def _coloured(text: str, colour: str | None, stream: TextIO) -> str:
    return click.style(text, fg=colour) if colour and stream.isatty() and "NO_COLOR" not in os.environ else text


def fitted(text: str, *, talk: bool = False) -> str:
    """A result (or talk) for people, wrapped within its columns at the width of the terminal; in a pipe as it is."""
    from orbiter.tables import fit

    stream = sys.stderr if talk else sys.stdout
    return fit(text, shutil.get_terminal_size().columns) if stream.isatty() else text


def as_json(data: Any) -> str:
    """A result for programs, as text."""
    import json

    return json.dumps(data, indent=2, ensure_ascii=False)


def print_json(data: Any) -> None:
    """A result for programs."""
    click.echo(as_json(data))


def count(findings: Iterable["Finding"]) -> str:
    """`2 errors, 1 warning`."""
    kinds = [finding.severity for finding in findings]
    counted = ((kinds.count(kind), kind) for kind in ("error", "warning"))
    return ", ".join(f"{number} {kind}{'s' * (number > 1)}" for number, kind in counted if number)


def confirm(what: Sequence[str], question: str, *, yes: bool, dry_run: bool) -> bool:
    """Shows what is about to happen, a line each, and asks on a terminal whether it may; `yes` answers for it.

    False after `--dry-run` or a no. Raises UsageError in a pipe without `--yes`: nobody could answer there.
    """
    for line in what:
        click.echo(line)
    if dry_run:
        say("nothing done (--dry-run)")
        return False
    if yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{question} There is no terminal to ask on; --yes answers, --dry-run only shows")
    return click.confirm(question, err=True)
