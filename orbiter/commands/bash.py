"""`orbiter bash`: a shell, or one command, in a new container of an image."""

import sys

import click

from orbiter.commands import container, options
from orbiter.errors import EngineError


@click.command(
    cls=container.WithCommand,
    epilog=options.EXAMPLES + "  orbiter bash debian-base\n"
    "  orbiter bash -b debian -i base          as in the original tool\n"
    "  orbiter bash debian-base --root         to try an installation\n"
    "  orbiter bash debian-base -- python -c 'import sys; print(sys.version)'\n"
    "  orbiter bash debian-base -- python - < script.py",
)
@options.file
@options.selection
@container.settings
@click.option("--root", is_flag=True, help="As root, without the image's own start.")
def bash(
    file: str | None,
    targets: tuple[str, ...],
    family: str | None,
    image: str | None,
    mounts: bool | None,
    volumes: tuple[str, ...],
    env: tuple[str, ...],
    gpus: str | None,
    as_me: bool,
    root: bool,
) -> None:
    """Open a shell in a new container of an image.

    TARGET is the name of one image; without it, the only one that has Jupyter, or the one that you choose. A COMMAND
    after '--' runs instead of the shell, with this input and output, and its status is that of 'orbiter bash'. The
    container is removed at its end.
    """
    from orbiter import serving
    from orbiter.containers import shell
    from orbiter.engine import Buildx

    planned = options.planned(file)
    # A pipe may be the input of the command, so nothing is asked there.
    target = container.choose(planned, targets, family, image)
    engine = Buildx()
    reference = container.ensure_built(engine, planned, target, file)
    settings = container.make_settings(
        planned,
        target,
        reference,
        name=None,
        mounts=mounts,
        volumes=volumes,
        env=env,
        gpus=gpus,
        as_me=as_me,
        root=root,
    )
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    with serving.removed_by_signals(engine, settings.name):
        status = engine.attach(*shell(settings, container.after_dashes(), terminal=terminal))
    if status == 125:
        raise EngineError("docker could not start the container; its own message is above")
    raise click.exceptions.Exit(status)
