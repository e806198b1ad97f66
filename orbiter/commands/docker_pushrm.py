"""`orbiter docker-pushrm`: the README, to where the images are."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orbiter.commands import console, options
from orbiter.errors import EngineError, UsageError

if TYPE_CHECKING:
    from orbiter.credentials import Login
    from orbiter.model import BuildPlan
    from orbiter.pushrm import Repository

NAMES = ("README-containers.md", "README.md")
"""READMEs in the order in which they are looked for: a project may have one for its images alone."""


@click.command(
    epilog=options.EXAMPLES + "  orbiter pushrm                          README.md, to the hub of docker.repo\n"
    "  orbiter pushrm --dry-run                where it would go, its length\n"
    "  orbiter pushrm --short 'JupyterLab for the course'\n"
    "  orbiter pushrm --provider harbor2       a Harbor of your own\n"
    "\n\b\nLogin:\n"
    "  Docker Hub, Harbor   that of 'docker login', or DOCKER_USER and DOCKER_PASS\n"
    "  Quay                 an API key in DOCKER_APIKEY, or APIKEY__QUAY_IO"
)
@options.file
@options.selection
@click.option("--readme", metavar="FILE", envvar="PUSHRM_FILE", help=f"The README  [default: {' or '.join(NAMES)}].")
@click.option(
    "--provider",
    type=click.Choice(["dockerhub", "quay", "harbor2"]),
    envvar="PUSHRM_PROVIDER",
    help="What kind of hub it is, where docker.repo does not say.",
)
@click.option(
    "--short", metavar="TEXT", envvar="PUSHRM_SHORT", help="Short description, 100 characters; Docker Hub only."
)
@click.option("--timeout", type=click.FloatRange(0.1), default=30, show_default=True, help="Seconds for an answer.")
@click.option("--retries", type=click.IntRange(0), default=4, show_default=True, help="How often to try again.")
@click.option("--dry-run", is_flag=True, help="Only show what would be sent.")
@options.form("text", "json")
def docker_pushrm(
    file: str | None,
    targets: tuple[str, ...],
    family: str | None,
    image: str | None,
    readme: str | None,
    provider: str | None,
    short: str | None,
    timeout: float,
    retries: int,
    dry_run: bool,
    form: str,
) -> None:
    """Push the README to Docker Hub, Quay or Harbor.

    All images are in one repository (docker.repo), which shows one README; so TARGETS make no difference. Docker Hub
    shows 25,000 characters: a longer README is cut before a heading and ends with a link to the whole.
    """
    from orbiter import pushrm
    from orbiter.plan import select
    from orbiter.web import Hub

    planned = options.planned(file)
    select(planned.plan, options.patterns(planned, targets, family, image))
    repository = pushrm.repository(planned.plan.project.repo, provider)
    folder = planned.config.parent
    path = Path(readme) if readme else _find(folder)
    whole = _read(path)
    text = pushrm.fit(whole, _source(planned.plan)) if repository.provider == "dockerhub" else whole
    if text != whole:
        console.say(f"{path}: longer than the {pushrm.LIMIT} bytes that Docker Hub shows; its end is left out")
    if short is not None:
        short = _short(short, repository)
    if not dry_run:
        ca = planned.plan.project.mirrors.ca
        hub = Hub(repository, ca=folder / ca if ca else None, timeout=timeout, retries=retries, say=console.say)
        hub.update(_key(repository), text, short)
    where = f"{pushrm.method(repository)} {pushrm.url(repository)}"
    if form == "json":
        console.print_json(
            {
                "repository": planned.plan.project.repo,
                "provider": repository.provider,
                "request": where,
                "readme": str(path),
                "characters": len(text),
                "shortened": text != whole,
                "short": short,
                "sent": not dry_run,
            }
        )
    else:
        click.echo(f"{path}, {len(text)} characters: {where}")
        if short is not None:
            click.echo(f"short description: {short}")
    console.say("nothing sent (--dry-run)" if dry_run else f"{planned.plan.project.repo} shows it now")


def _find(folder: Path) -> Path:
    for name in NAMES:
        if (folder / name).is_file():
            return folder / name
    raise UsageError(f"no README: neither {' nor '.join(NAMES)} beside the configuration; name one with --readme FILE")


def _read(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}:{line}: is not UTF-8, so no hub could show it") from error
    if not text.strip():
        raise UsageError(f"{path}: is empty")
    return text.replace("\r\n", "\n")


def _source(plan: "BuildPlan") -> str | None:
    """Where the sources are, as a label of the images says."""
    labels = [dict(target.image.labels) for target in plan.targets]
    return next((each[name] for each in labels if (name := "org.opencontainers.image.source") in each), None)


def _short(short: str, repository: "Repository") -> str | None:
    from orbiter import pushrm

    if repository.provider != "dockerhub":
        console.say(f"--short: {repository.host} has no short descriptions; left out", colour="yellow")
        return None
    fitting = pushrm.shorten(short)
    if fitting != " ".join(short.split()):
        console.say(f"--short: longer than {pushrm.SHORT_LIMIT} bytes; cut to '{fitting}'", colour="yellow")
    return fitting


def _key(repository: "Repository") -> "str | Login":
    """The login, or Quay's API key. Raises EngineError if there is none."""
    from orbiter import credentials

    folder = os.environ.get("DOCKER_CONFIG") or Path("~/.docker").expanduser()
    path = Path(folder) / "config.json"
    try:
        config = credentials.parse(path.read_bytes(), str(path))
    except OSError:
        config = {}
    host = repository.host
    if repository.provider == "quay":
        key = credentials.api_key(os.environ, config, host)
        if key is None:
            raise EngineError(f"no API key for {host}; make one there, and set DOCKER_APIKEY to it")
        return key
    login = credentials.from_environment(os.environ, host) or _kept(config, credentials.servers(host), path)
    if login is None:
        where = "Docker Hub" if host == "docker.io" else host
        again = "docker login" if host == "docker.io" else f"docker login {host}"
        raise EngineError(f"no login for {where}; '{again}', or set DOCKER_USER and DOCKER_PASS")
    return login


def _kept(config: Mapping[str, Any], servers: tuple[str, ...], path: Path) -> "Login | None":
    """The login that Docker keeps: with a helper program, else in its file."""
    from orbiter import credentials
    from orbiter.engine import Buildx

    helper = credentials.helper(config, servers)
    for server in servers if helper else ():
        found = Buildx().credential(helper, server) if helper else None
        if found and found[0] == "<token>":
            raise EngineError(
                f"docker-credential-{helper} has a token of 'docker login' in the browser, which is of no use here; "
                "set DOCKER_USER and DOCKER_PASS to an access token"
            )
        if found:
            return credentials.Login(user=found[0], secret=found[1])
    return credentials.from_config(config, servers, str(path))
