"""`orbiter test`: built images, asked in the engine."""

import click

from orbiter.commands import console, options
from orbiter.errors import CheckFailed, UsageError


@click.command(
    epilog=options.EXAMPLES + "  orbiter test                            every published image\n"
    "  orbiter test debian-base 'alpine-*'     by name or glob\n"
    "  orbiter test --format junit > report.xml"
)
@options.file
@options.selection
@click.option(
    "-j", "--jobs", type=click.IntRange(1), default=2, show_default=True, help="Images that are tested at a time."
)
@options.form("text", "json", "junit")
def test(
    file: str | None, targets: tuple[str, ...], family: str | None, image: str | None, jobs: int, form: str
) -> None:
    """Check built images in the engine.

    Starts a container of each image and asks it: user, interpreter, the import of every distribution, every kernel,
    JupyterLab with and without its token, and what the 'test' section of the image adds. Images have to be in the
    engine ('orbiter build --load'). Ends with 1 if a check fails.
    """
    from orbiter import checks, testing
    from orbiter.engine import Buildx
    from orbiter.plan import select

    planned = options.planned(file)
    chosen = select(planned.plan, options.patterns(planned, targets, family, image))
    suites = checks.suites(planned.plan, chosen)
    if not suites:
        raise UsageError(f"{', '.join(chosen)}: a nested build is not published, so there is no image to test")

    def say(outcome: checks.Outcome) -> None:
        console.say(f"{outcome.target}: {outcome.check} {'failed' if outcome.problem else 'ok'}")

    outcomes = testing.run(suites, Buildx(), planned.config.parent, jobs, say)
    if form == "json":
        console.print_json(checks.as_data(outcomes))
    else:
        click.echo(checks.as_junit(outcomes) if form == "junit" else checks.as_text(outcomes))
    failed = sum(bool(outcome.problem) for outcome in outcomes)
    if failed:
        raise CheckFailed(f"{failed} of {len(outcomes)} checks failed")
