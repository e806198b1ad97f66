"""`orbiter clean`: the generated files, removed."""

from pathlib import Path

import click

from orbiter.commands import console, options


@click.command(
    epilog=options.EXAMPLES + "  orbiter clean --dry-run\n  orbiter clean --yes\n"
    "  orbiter clean -o out    what 'compile -o out' wrote"
)
@options.file
@click.option(
    "-o", "--output", "out", metavar="DIR", help="Clean the tree below DIR  [default: beside the configuration]."
)
@options.consent
@options.form("text", "json")
def clean(file: str | None, out: str | None, dry_run: bool, yes: bool, form: str) -> None:
    """Remove the generated files.

    Only files that Orbiter wrote, and folders that this leaves empty; 'orbiter compile' writes them again. The
    configuration need not be valid.
    """
    from orbiter import output, pipeline

    folder = Path(out) if out else pipeline.find(options.given(file), Path()).parent
    changes = output.compare({}, folder)
    lines = [f"- {path}" for path in changes.removed]
    if form == "json":
        for line in lines:
            console.say(line)
        lines = []
    number = len(changes.removed)
    files = f"{number} file{'s' * (number != 1)}"
    agreed = False
    if changes or changes.leftovers:
        agreed = console.confirm(lines, f"Remove {files}?", yes=yes, dry_run=dry_run)
    else:
        console.say("nothing to remove")
    if agreed:
        output.write(changes, folder)
        console.say(f"removed: {files}")
    if form == "json":
        console.print_json({"removed": agreed, "files": changes.removed})
