"""`orbiter docker-push`: images of the engine, to their registry."""

import click

from orbiter.commands import console, options
from orbiter.errors import EngineError, UsageError


@click.command(
    epilog=options.EXAMPLES + "  orbiter push                            every published image\n"
    "  orbiter push debian-base 'alpine-*'     by name or glob\n"
    "  orbiter push --dry-run                  what would be pushed\n"
    "  orbiter push --format json | jq -r '.images[].pinned'"
)
@options.file
@options.selection
@click.option(
    "-j", "--jobs", type=click.IntRange(1), default=3, show_default=True, help="Images that are pushed at a time."
)
@click.option(
    "--retries",
    type=click.IntRange(0),
    default=4,
    show_default=True,
    help="How often to try again when the registry is busy, broken or away.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be pushed.")
@options.form("text", "json")
def docker_push(
    file: str | None,
    targets: tuple[str, ...],
    family: str | None,
    image: str | None,
    jobs: int,
    retries: int,
    dry_run: bool,
    form: str,
) -> None:
    """Push built images to the registry.

    What is pushed is what is in the engine ('orbiter build --load') and was tested there: all tags of the published
    images, those that others are built on first. Each tag is looked up in the registry afterwards. Docker's own
    login is used ('docker login').
    """
    from orbiter import push, pushing
    from orbiter.engine import Buildx
    from orbiter.plan import select

    planned = options.planned(file)
    chosen = select(planned.plan, options.patterns(planned, targets, family, image))
    wanted = push.wanted(planned.plan, chosen)
    if not wanted:
        raise UsageError(f"{', '.join(chosen)}: a nested build is not published, so there is no image to push")
    engine = Buildx()
    images = pushing.find(wanted, engine)
    rows = pushing.untried(images) if dry_run else pushing.run(images, engine, jobs, retries, console.say)
    if form == "json":
        console.print_json(push.as_data(rows))
    else:
        click.echo(push.as_text(rows))
    if dry_run:
        console.say(f"nothing pushed to {planned.plan.project.repo} (--dry-run)")
        return
    failed = sum(row.result != "pushed" for row in rows)
    if failed:
        raise EngineError(f"{failed} of {len(rows)} tags were not pushed to {planned.plan.project.repo}")
