"""`orbiter run`: JupyterLab of an image on a port of this machine."""

import click

from orbiter.commands import console, container, options


@click.command(
    cls=container.WithCommand,
    epilog=options.EXAMPLES + "  orbiter run debian-base\n"
    "  orbiter run -b debian -i base           as in the original tool\n"
    "  orbiter run debian-base --open          in the browser\n"
    "  orbiter run debian-base -d              in the background\n"
    "  orbiter run debian-base --as-me         with your user id and files\n"
    "  orbiter run debian-base -e DEBUG=1 --gpus all\n"
    "  orbiter run debian-base -- jupyter notebook --ip=0.0.0.0",
)
@options.file
@options.selection
@container.address
@container.settings
@click.option("--name", metavar="NAME", help="Name of the container  [default: target and a random part].")
@click.option("-d", "--detach", is_flag=True, help="Leave it running in the background.")
@click.option("--open", "opens", is_flag=True, help="Open the link in the browser.")
def run(
    file: str | None,
    targets: tuple[str, ...],
    family: str | None,
    image: str | None,
    port: int,
    host: str,
    mounts: bool | None,
    volumes: tuple[str, ...],
    env: tuple[str, ...],
    gpus: str | None,
    as_me: bool,
    name: str | None,
    detach: bool,
    opens: bool,
) -> None:
    """Start JupyterLab of an image.

    TARGET is the name of one image; without it, the only one that has Jupyter, or the one that you choose. The link
    is printed once the server answers. It has a token: that of $JUPYTER_TOKEN, else a new one. What the container
    prints follows on stderr; Ctrl-C stops and removes it. A COMMAND after '--' runs instead of the image's own.
    """
    from orbiter import serving
    from orbiter.containers import TOKEN, serves
    from orbiter.engine import Buildx

    serving.check_host(host)
    token, variables = container.token(env)
    planned = options.planned(file)
    target = container.choose(planned, targets, family, image)
    engine, command = Buildx(), container.after_dashes()
    reference = container.ensure_built(engine, planned, target, file)
    settings = container.make_settings(
        planned,
        target,
        reference,
        name=name,
        mounts=mounts,
        volumes=volumes,
        env=variables,
        gpus=gpus,
        as_me=as_me,
    )
    if not command and not serves(planned.plan, target):
        console.say(f"{target.name} starts no Jupyter; its own command runs, and {TOKEN} may mean nothing to it")
    container.serve(engine, settings, host=host, port=port, token=token, detach=detach, opens=opens)
