"""`orbiter validate`: what is wrong with the configuration."""

from pathlib import Path

import click

from orbiter.commands import console, options
from orbiter.errors import ConfigError


@click.command(
    epilog=options.EXAMPLES + "  orbiter validate\n  orbiter validate -f lab.yaml --format json\n"
    "  orbiter validate --format github    annotations in GitHub Actions"
)
@options.file
@options.locked
@options.form("text", "json", "github")
def validate(file: str | None, locked: bool, form: str) -> None:
    """Check the configuration.

    Reports everything that is wrong, each with FILE:LINE:COLUMN, and ends with 2 if there is an error.
    """
    from orbiter import pipeline
    from orbiter.diagnostics import Finding, as_github, as_json

    config = pipeline.find(options.given(file), Path())
    planned, findings = None, tuple[Finding, ...]()
    try:
        planned = pipeline.make_plan(config)
        findings, valid = planned.warnings, True
    except ConfigError as error:
        findings, valid = error.findings, False
    if form == "json":
        console.print_json(
            {"file": str(config), "valid": valid, "findings": [as_json(finding) for finding in findings]}
        )
    else:
        for finding in findings:
            click.echo(as_github(finding) if form == "github" else str(finding))
    if findings:
        console.say(console.count(findings))
    elif form == "text":
        console.say(f"{config}: valid", colour="green")
    if not valid:
        raise click.exceptions.Exit(ConfigError.exit_code)
    if locked and planned:
        options.require_lock(planned)
