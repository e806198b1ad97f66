"""`orbiter schema`: the JSON schema, for editors."""

from pathlib import Path

import click

from orbiter.commands import console, options


@click.command(
    epilog=options.EXAMPLES + "  orbiter schema > orbiter.schema.json\n\n"
    "  Editors with a YAML server read it from the first line of orbiter.yaml:\n"
    "  # yaml-language-server: $schema=orbiter.schema.json"
)
@options.file
def schema(file: str | None) -> None:
    """Print the JSON schema of the configuration.

    With a project, its own builders (templates/) are part of it.
    """
    from orbiter import pipeline

    given = options.given(file)
    console.print_json(pipeline.project_schema(Path(given).parent if given else Path()))
