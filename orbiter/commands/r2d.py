"""`orbiter r2d`: the Binder Dockerfile of an image under repo2docker, on this machine."""

import shutil
import sys
import tempfile
from pathlib import Path

import click

from orbiter.commands import container, options
from orbiter.errors import EngineError


@click.command(
    cls=container.WithCommand,
    epilog=options.EXAMPLES + "  orbiter r2d debian-base                 as Binder would open it\n"
    "  orbiter r2d debian-base --no-run        only build, and print its name",
)
@options.file
@options.selection
@click.option("--run/--no-run", "runs", default=True, show_default=True, help="Start what was built.")
@container.address
@click.option("--mount/--no-mount", "mounts", default=None, help="Copy docker.mount in  [default: if it is set].")
@click.option("--open", "opens", is_flag=True, help="Open the link in the browser.")
def r2d(
    file: str | None,
    targets: tuple[str, ...],
    family: str | None,
    image: str | None,
    runs: bool,
    port: int,
    host: str,
    mounts: bool | None,
    opens: bool,
) -> None:
    """Try the Binder Dockerfile of an image with repo2docker.

    repo2docker builds a repository of dockerfiles/FAMILY/IMAGE/Dockerfile and the files of docker.mount, as Binder
    does, and the result is started like 'orbiter run' does. What was built is removed afterwards, unless with
    --no-run. A COMMAND after '--' runs instead of JupyterLab.
    """
    import secrets

    from orbiter import pipeline, serving
    from orbiter.containers import Settings, repo2docker
    from orbiter.engine import Buildx

    serving.check_host(host)
    planned = options.planned(file)
    target = container.choose(planned, targets, family, image)
    mount = container.mounted(planned, mounts)
    program = _program()
    engine, token = Buildx(), container.token(())[0]
    container.ensure_built(engine, planned, target, file)
    name = f"{target.name}-{secrets.token_hex(4)}"
    settings = Settings(
        target=target.name,
        reference=f"localhost/orbiter-r2d:{name}",
        repository=planned.plan.project.repo,
        name=f"r2d-{name}",
    )
    with tempfile.TemporaryDirectory(prefix="orbiter-r2d-") as folder:
        repository = Path(folder, "repository")
        if mount:
            shutil.copytree(mount.source, repository, symlinks=True)
        repository.mkdir(exist_ok=True)
        path = f"dockerfiles/{target.image.family}/{target.image.name}/Dockerfile"
        (repository / "Dockerfile").write_text(pipeline.render(planned)[path])
        status = engine.program(repo2docker(program, settings, settings.reference, str(repository)))
    if status != 0:
        raise EngineError(f"repo2docker failed with status {status}; its own messages are above")
    if not runs:
        click.echo(settings.reference)
        return
    try:
        container.serve(engine, settings, host=host, port=port, token=token, detach=False, opens=opens)
    finally:
        engine.ask("image", "rm", "--force", settings.reference, shielded=True)


def _program() -> tuple[str, ...]:
    """How repo2docker is called here. Raises EngineError if it is not installed."""
    from importlib.util import find_spec

    if found := shutil.which("jupyter-repo2docker"):
        return (found,)
    if find_spec("repo2docker"):
        return (sys.executable, "-m", "repo2docker")
    raise EngineError(
        "repo2docker is not installed; get it with 'uv tool install jupyter-repo2docker'"
        " or 'pipx install jupyter-repo2docker'"
    )
