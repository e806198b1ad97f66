"""`orbiter images`: what the engine and the registry have of the project."""

import time

import click

from orbiter.commands import console, options
from orbiter.errors import UsageError


@click.command(
    epilog=options.EXAMPLES + "  orbiter images\n"
    "  orbiter images 'debian-*' --registry    also what is published\n"
    "  orbiter images --format json | jq '.images[] | select(.digest).tag'"
)
@options.file
@options.selection
@click.option("--registry", is_flag=True, help="Ask the registry, too: it may count that as a pull.")
@options.form("text", "json")
def images(
    file: str | None, targets: tuple[str, ...], family: str | None, image: str | None, registry: bool, form: str
) -> None:
    """List the images of the project, up to date or stale.

    An image is stale if its Dockerfile, the other generated files, its labels or one of its parents are not what the
    configuration gives now; newer base images and packages, and files that 'copy' names, are not compared. One that
    was built without Orbiter's labels is 'unknown'; a tag that the configuration does not name is 'not configured'.
    """
    from orbiter import content, inventory, pipeline
    from orbiter import images as listing
    from orbiter.engine import Buildx
    from orbiter.plan import select, tags

    planned = options.planned(file)
    patterns = options.patterns(planned, targets, family, image)
    chosen = select(planned.plan, patterns) if patterns else None
    selected = listing.selected(planned.plan, chosen)
    if not selected:
        raise UsageError(f"{', '.join(chosen or ())}: a nested build is not published, so there is no image of it")
    engine = Buildx()
    local = inventory.local_images(engine, f"reference={listing.familiar(planned.plan.project.repo)}")
    asked = [reference for target in selected for reference in tags(planned.plan.project, target.image)]
    published = inventory.published(engine, asked if registry else ())
    contents = content.hashes(planned.plan, pipeline.render(planned))
    rows = listing.rows(planned.plan, contents, chosen, local, published)
    if form == "json":
        console.print_json(listing.as_data(planned.plan, rows))
    else:
        for line in listing.as_text(rows, time.time()):
            click.echo(line)
    problems = dict.fromkeys(each.problem for each in published.values() if each.problem)
    for problem in list(problems)[:1]:
        console.say(f"the registry cannot tell: {problem}", colour="yellow")
