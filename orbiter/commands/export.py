"""`orbiter export`: the published images, as other programs want to be told of them."""

from typing import TYPE_CHECKING

import click

from orbiter.commands import console, options
from orbiter.errors import EngineError, NothingMatched, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orbiter.model import BuildPlan, Target


@click.group(
    epilog=options.EXAMPLES
    + "  orbiter export jupyterhub > profiles.yaml\n  orbiter export jupyterhub --docker --format python\n"
    "  orbiter export binder debian-base > binder/Dockerfile"
)
def export() -> None:
    """Tell other programs of the published images."""


@export.command(
    epilog=options.EXAMPLES + "  orbiter export jupyterhub > profiles.yaml     values for Zero to JupyterHub\n"
    "  helm upgrade hub jupyterhub/jupyterhub --values config.yaml --values profiles.yaml\n"
    "  orbiter export jupyterhub --docker --format python >> jupyterhub_config.py\n"
    "  orbiter export jupyterhub --default debian-maps --digests 'debian-*'"
)
@options.file
@options.selection
@click.option("--kubernetes", "spawner", flag_value="kubernetes", default=True, help="For KubeSpawner  [default].")
@click.option("--docker", "spawner", flag_value="docker", help="For DockerSpawner.")
@click.option("--default", "default", metavar="TARGET", help="The image that is chosen at first  [default: the first].")
@click.option("--digests", is_flag=True, help="Name each image by the digest that it has in the registry, too.")
@options.form("yaml", "json", "python")
def jupyterhub(
    file: str | None,
    targets: tuple[str, ...],
    family: str | None,
    image: str | None,
    spawner: str,
    default: str | None,
    digests: bool,
    form: str,
) -> None:
    """Print the images that a JupyterHub offers.

    Name and description are those of the labels org.opencontainers.image.title and description; without them, the
    image and its first packages. TARGETS are names or globs; without any, every image that starts Jupyter.
    """
    from orbiter import profiles
    from orbiter.plan import select

    planned = options.planned(file)
    plan = planned.plan
    patterns = options.patterns(planned, targets, family, image)
    chosen = profiles.offered(plan, select(plan, patterns) if patterns else None, targets)
    if not chosen:
        raise NothingMatched("no image starts Jupyter; name those that are to be offered")
    if default is not None and default not in {target.name for target in chosen}:
        known = ", ".join(target.name for target in chosen)
        raise UsageError(f"--default {default}: is none of those that are offered: {known}")
    found = profiles.profiles(plan, chosen, default, _digests(plan, chosen) if digests else {})
    if again := profiles.repeated(found):
        raise UsageError(f"several images are called '{again[0]}'; give them different labels {profiles.TITLE}")
    for name in profiles.without_hub(plan, chosen):
        console.say(f"{name}: installs no jupyterhub, which a hub starts as jupyterhub-singleuser", colour="yellow")
    kind: profiles.Spawner = "docker" if spawner == "docker" else "kubernetes"
    write = {"yaml": profiles.as_yaml, "json": profiles.as_json, "python": profiles.as_python}[form]
    click.echo(write(found, kind))


@export.command(epilog=options.EXAMPLES + "  orbiter export binder debian-base > binder/Dockerfile")
@options.file
@options.selection
def binder(file: str | None, targets: tuple[str, ...], family: str | None, image: str | None) -> None:
    """Print the Dockerfile with which Binder starts from an image.

    It is dockerfiles/FAMILY/IMAGE/Dockerfile, but names the image by the digest that it has in the registry: Binder
    starts the same image also after its tag has been pushed anew.
    """
    from orbiter import pipeline
    from orbiter.commands import container

    planned = options.planned(file)
    target = container.choose(planned, targets, family, image)
    digest = _digests(planned.plan, [target])[target.name]
    reference = f"{planned.plan.project.reference(target.name)}@{digest}"
    click.echo(pipeline.binder(planned, target, reference), nl=False)


def _digests(plan: "BuildPlan", targets: "Sequence[Target]") -> dict[str, str]:
    """Target → digest in the registry. Raises EngineError if one is not there."""
    from orbiter import inventory
    from orbiter.engine import Buildx

    references = {target.name: plan.project.reference(target.name) for target in targets}
    known = inventory.published(Buildx(), references.values())
    found: dict[str, str] = {}
    for target, reference in references.items():
        there = known[reference]
        if there.digest is None:
            missing = "not in the registry; 'orbiter build --push' puts it there"
            raise EngineError(f"{reference}: {there.problem or missing}")
        found[target] = there.digest
    return found
