"""`orbiter builder`: builders beyond this machine, made by `docker buildx create`."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orbiter.commands import console, options
from orbiter.errors import EngineError, UsageError

if TYPE_CHECKING:
    from orbiter.buildkit import Driver
    from orbiter.pipeline import Planned


@click.group(
    epilog=options.EXAMPLES + "  orbiter builder create farm --driver kubernetes --platform linux/amd64\n"
    "  orbiter builder create far --driver remote --node tcp://example.org:1234"
)
def builder() -> None:
    """Make a builder, here or on other machines."""


@builder.command(
    epilog=options.EXAMPLES + "  orbiter builder create local               a BuildKit in a container of this engine\n"
    "  orbiter builder create farm --driver kubernetes --namespace build --replicas 3\n"
    "  orbiter builder create farm --driver kubernetes --platform linux/amd64 --platform linux/arm64\n"
    "  orbiter builder create two --node linux/amd64@ssh://one.example.org --node linux/arm64@ssh://two.example.org\n"
    "  orbiter builder create far --driver remote --node tcp://build.example.org:1234 --cacert ca.pem\n"
    "  orbiter builder create farm --driver kubernetes --dry-run > builder.sh"
)
@options.file
@click.argument("name")
@click.option(
    "--driver",
    type=click.Choice(["docker-container", "kubernetes", "remote"]),
    default="docker-container",
    show_default=True,
    help="Where BuildKit runs.",
)
@click.option(
    "--node",
    "given",
    multiple=True,
    metavar="[OS/ARCH@]ENDPOINT",
    help="A machine: a context of Docker, ssh:// or tcp://.",
)
@click.option(
    "--platform", "platforms", multiple=True, metavar="OS/ARCH", help="Kubernetes: a node of this architecture."
)
@click.option("--append", is_flag=True, help="Add the nodes to a builder that is there.")
@click.option("--use", is_flag=True, help="Make it the builder that is taken where none is named.")
@click.option("--bootstrap/--no-bootstrap", default=True, help="Start it at once, or with its first build.")
@click.option("--namespace", metavar="NAME", help="Kubernetes: the namespace  [default: the one of the context].")
@click.option("--replicas", type=int, default=1, show_default=True, help="Kubernetes: pods of each node.")
@click.option("--cpu", metavar="QUANTITY", default="2", show_default=True, help="Kubernetes: what a pod requests.")
@click.option("--memory", metavar="QUANTITY", default="4Gi", show_default=True, help="Kubernetes: what a pod requests.")
@click.option("--rootless", is_flag=True, help="Kubernetes: BuildKit without root.")
@click.option("--cache-size", metavar="SIZE", default="50GB", show_default=True, help="How large its cache may grow.")
@click.option("--driver-opt", "further", multiple=True, metavar="KEY=VALUE", help="Any other option of the driver.")
@click.option(
    "--cacert", type=click.Path(exists=True, dir_okay=False), help="remote: who signed the certificate of the node."
)
@click.option("--cert", type=click.Path(exists=True, dir_okay=False), help="remote: the certificate of this machine.")
@click.option("--key", type=click.Path(exists=True, dir_okay=False), help="remote: its key.")
@click.option("--dry-run", is_flag=True, help="Only print the commands and the configuration of BuildKit.")
def create(
    file: str | None,
    name: str,
    driver: "Driver",
    given: tuple[str, ...],
    platforms: tuple[str, ...],
    append: bool,
    use: bool,
    bootstrap: bool,
    namespace: str | None,
    replicas: int,
    cpu: str,
    memory: str,
    rootless: bool,
    cache_size: str,
    further: tuple[str, ...],
    cacert: str | None,
    cert: str | None,
    key: str | None,
    dry_run: bool,
) -> None:
    """Make a builder with 'docker buildx create'.

    BuildKit gets the mirrors and the CA of the configuration, if there is one here, and clears its cache by itself.
    'docker buildx rm NAME' removes the builder.
    """
    from orbiter import buildkit
    from orbiter.engine import Buildx

    planned = _project(file)
    named = (("cacert", cacert), ("cert", cert), ("key", key))
    wanted = buildkit.Builder(
        name=name,
        driver=driver,
        nodes=buildkit.nodes(name, driver, given, platforms, append=append),
        append=append,
        use=use,
        bootstrap=bootstrap,
        replicas=replicas,
        namespace=namespace,
        cpu=cpu,
        memory=memory,
        cache=cache_size,
        rootless=rootless,
        options=further,
        tls=tuple((option, str(Path(path).absolute())) for option, path in named if path),
    )
    project, home = (planned.plan.project, planned.config.parent) if planned else (None, Path())
    text = buildkit.configuration(project, str(home.absolute()), cache_size)
    if dry_run:
        click.echo(buildkit.script(buildkit.commands(wanted, buildkit.CONFIG), text))
        if driver == "remote":
            console.say(f"{buildkit.CONFIG} belongs on the nodes, as /etc/buildkit/{buildkit.CONFIG}")
        return
    engine = Buildx()
    with tempfile.TemporaryDirectory(prefix="orbiter-builder-") as folder:
        config = Path(folder) / buildkit.CONFIG
        config.write_text(text, encoding="utf-8")
        # Buildx keeps a copy of the configuration.
        for command in buildkit.commands(wanted, str(config)):
            status = engine.attach(*command[1:])
            if status != 0:
                there = name in engine.ask("buildx", "ls", "--format", "{{.Name}}").split()
                hint = (
                    f"; the builder is there, but does not run: 'docker buildx rm {name}' removes it" if there else ""
                )
                raise EngineError(f"docker buildx create ended with {status}{hint}")
    console.say(f"{name}: made; 'orbiter build --builder {name}' builds with it", colour="green")


def _project(file: str | None) -> "Planned | None":
    """The project, if there is one here, or one is named."""
    from orbiter import pipeline

    try:
        pipeline.find(options.given(file), Path())
    except UsageError:
        if options.given(file) is not None:
            raise
        return None
    return options.planned(file)
