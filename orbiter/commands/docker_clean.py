"""`orbiter docker-clean`: Orbiter's images that have lost their name, removed."""

import click

from orbiter.commands import options, removing


@click.command(
    "docker-clean",
    epilog=options.EXAMPLES + "  orbiter docker-clean --dry-run\n  orbiter docker-clean --yes",
)
@options.consent
@options.form("text", "json")
def docker_clean(dry_run: bool, yes: bool, form: str) -> None:
    """Remove Orbiter's dangling images.

    Images of any project that Orbiter made and that a newer build took the name of. Others' dangling images stay,
    also those that somebody built on one of Orbiter's.
    """
    from orbiter import inventory, removal
    from orbiter.engine import Buildx
    from orbiter.images import REPOSITORY

    engine = Buildx()
    found = inventory.local_images(engine, "dangling=true", f"label={REPOSITORY}", histories=True)
    going = removal.of_images(found, inventory.containers(engine) if found else ())
    removing.carry_out(going, engine, yes=yes, dry_run=dry_run, form=form)
