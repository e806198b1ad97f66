"""`orbiter docker-prune`: everything of Orbiter's in the engine, removed."""

import click

from orbiter.commands import console, options, removing


@click.command(
    "docker-prune",
    epilog=options.EXAMPLES + "  orbiter docker-prune --dry-run\n  orbiter docker-prune --yes",
)
@options.consent
@options.form("text", "json")
def docker_prune(dry_run: bool, yes: bool, form: str) -> None:
    """Remove everything of Orbiter's from the engine.

    Stopped containers that its commands started, and the images of all projects that Orbiter made. What a container
    uses stays, and so do volumes, networks and everybody else's images. The build cache stays as well: its records
    do not say whose they are, so only you can tell whether 'docker buildx prune' hits something that others need.
    """
    from orbiter import inventory, removal
    from orbiter.engine import Buildx
    from orbiter.images import REPOSITORY

    engine = Buildx()
    found = inventory.local_images(engine, f"label={REPOSITORY}", histories=True)
    going = removal.of_everything(found, inventory.containers(engine))
    removing.carry_out(going, engine, yes=yes, dry_run=dry_run, form=form)
    cache = inventory.build_cache(engine)
    if cache:
        console.say(f"the build cache stays ({cache}): 'docker buildx prune' frees it, whoever it belongs to")
