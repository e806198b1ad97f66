"""`orbiter docker-rmi`: the project's images, removed from the engine."""

import click

from orbiter.commands import options, removing
from orbiter.errors import UsageError


@click.command(
    "docker-rmi",
    epilog=options.EXAMPLES + "  orbiter docker-rmi --dry-run\n"
    "  orbiter docker-rmi 'debian-*'    of all versions\n"
    "  orbiter docker-rmi --all         of every project",
)
@options.file
@options.selection
@click.option("--all", "every", is_flag=True, help="The images of all projects; needs no configuration.")
@options.consent
@options.form("text", "json")
def docker_rmi(
    file: str | None,
    targets: tuple[str, ...],
    family: str | None,
    image: str | None,
    every: bool,
    dry_run: bool,
    yes: bool,
    form: str,
) -> None:
    """Remove the project's images from the engine.

    Only images that Orbiter made, under the names that it gave them, of all versions. An image that a container
    uses stays, and the container is named; so does what somebody built on one of the images. The registry is not
    touched.
    """
    from orbiter import inventory, removal
    from orbiter.engine import Buildx
    from orbiter.images import REPOSITORY

    if every and (targets or family or image):
        raise UsageError("--all takes the images of every project; leave it out to name some")
    engine = Buildx()
    if every:
        found = inventory.local_images(engine, f"label={REPOSITORY}", histories=True)
    else:
        planned = options.planned(file)
        patterns = options.patterns(planned, targets, family, image)
        label = f"label={REPOSITORY}={planned.plan.project.repo}"
        found = removal.matching(inventory.local_images(engine, label, histories=True), planned.plan, patterns)
    going = removal.of_images(found, inventory.containers(engine) if found else ())
    removing.carry_out(going, engine, yes=yes, dry_run=dry_run, form=form)
