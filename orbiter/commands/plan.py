"""`orbiter plan`: what would be built."""

import click

from orbiter.commands import console, options


@click.command(
    epilog=options.EXAMPLES
    + "  orbiter plan\n  orbiter plan 'debian-*'\n  orbiter plan --format json | jq '.targets[].name'"
)
@options.file
@options.selection
@options.form("text", "json")
def plan(file: str | None, targets: tuple[str, ...], family: str | None, image: str | None, form: str) -> None:
    """Show what would be built: targets, their parents and packages.

    TARGETS are names or globs; without any, everything is shown. Writes nothing.
    """
    from orbiter.plan import as_data, as_text, restrict

    planned = options.planned(file)
    patterns = options.patterns(planned, targets, family, image)
    shown = restrict(planned.plan, patterns) if patterns else planned.plan
    if form == "json":
        console.print_json(as_data(shown))
    else:
        click.echo(console.fitted(as_text(shown)))
