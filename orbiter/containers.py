"""Containers of one image: which image is meant, and the arguments that `docker` gets for a server and for a shell."""

from collections.abc import Sequence
from dataclasses import dataclass

from orbiter.checks import starts
from orbiter.errors import UsageError
from orbiter.model import BuildPlan, Project, Target
from orbiter.plan import select
from orbiter.removal import COMMAND

PORT = 8888
"""Where Jupyter listens in a container."""

TOKEN = "JUPYTER_TOKEN"
"""The variable that Jupyter reads its token from. Its value is handed on in the environment, never as an argument."""

SHELL = ("sh", "-c", "exec $(command -v bash || echo sh)")
"""bash where the image has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder of this machine and its place in the container, both absolute."""

    source: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a container is started with.

    `env` holds `NAME=VALUE`, or `NAME` for a variable of this process. `account` are the ids that the notebook user
    gets instead of those of the image. `root` goes around the image's own start.
    """

    target: str
    reference: str
    repository: str
    name: str
    mount: Mount | None = None
    volumes: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    gpus: str | None = None
    account: tuple[int, int] | None = None
    root: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose a folder is, and the bits of its mode."""

    uid: int
    gid: int
    mode: int


def candidates(plan: BuildPlan, patterns: Sequence[str]) -> tuple[Target, ...]:
    """The published images that the patterns name; without patterns those that start Jupyter, or all if none does.

    Raises NothingMatched, and UsageError where only nested builds are named.
    """
    groups = {group.name: group.targets for group in plan.groups}
    chosen = select(plan, patterns)
    named = {target for name in chosen for target in groups.get(name, (name,))}
    published = tuple(target for target in plan.targets if target.name in named and target.image.deployable)
    if not published:
        raise UsageError(f"{', '.join(chosen)}: a nested build is never published, so there is no image to start")
    jupyter = tuple(target for target in published if serves(plan, target))
    return published if patterns or not jupyter else jupyter


def serves(plan: BuildPlan, target: Target) -> bool:
    """Whether the image starts Jupyter."""
    start = starts(plan, target)
    return start is not None and start.jupyter


def home_of(project: Project, folder: str) -> str:
    """The place of a folder of that name in the home of the notebook user."""
    return f"{project.account.home}/{folder}"


def may_write(owner: Owner, uid: int, gid: int) -> bool:
    """Whether a user may write to a folder, by its owner, group and mode."""
    if uid == 0:
        return True
    bits = owner.mode >> 6 if owner.uid == uid else owner.mode >> 3 if owner.gid == gid else owner.mode
    return bits & 0o3 == 0o3


def server(settings: Settings, host: str, port: int, command: Sequence[str]) -> tuple[str, ...]:
    """Arguments of `docker` for a container that is to serve; port 0 leaves the choice to Docker."""
    address = f"[{host}]" if ":" in host else host
    publish = f"--publish={address}:{port or ''}:{PORT}"
    return ("create", publish, f"--env={TOKEN}", *_common(settings, "run"), settings.reference, *command)


def shell(settings: Settings, command: Sequence[str], *, terminal: bool) -> tuple[str, ...]:
    """Arguments of `docker` for a container that runs a command, or a shell, and is gone afterwards."""
    first, *rest = command or SHELL
    arguments = ["run", "--rm", "--interactive", *(["--tty"] if terminal else []), *_common(settings, "bash")]
    if settings.root:
        # The image's own start would become the notebook user.
        return (*arguments, "--init", "--user=0", f"--entrypoint={first}", settings.reference, *rest)
    return (*arguments, settings.reference, first, *rest)


def _common(settings: Settings, command: str) -> tuple[str, ...]:
    """What both have; the labels say whose the container is, and which command of Orbiter's made it."""
    arguments = ["--pull=never", f"--name={settings.name}", *_labels(settings), f"--label={COMMAND}={command}"]
    if settings.mount:
        arguments.append(f"--mount={_fields(settings.mount)}")
    arguments += [f"--volume={volume}" for volume in settings.volumes]
    arguments += [f"--env={variable}" for variable in settings.env]
    if settings.gpus:
        arguments.append(f"--gpus={settings.gpus}")
    if settings.account and not settings.root:
        uid, gid = settings.account
        # The way of docker-stacks, which the images know: they start as root and become that user.
        arguments += ["--user=0", f"--env=NB_UID={uid}", f"--env=NB_GID={gid}"]
    return tuple(arguments)


def _fields(mount: Mount) -> str:
    """The fields of `--mount`, which Docker reads as a line of CSV."""
    fields = ("type=bind", f"source={mount.source}", f"target={mount.target}")
    return ",".join(_field(field) for field in fields)


def _field(text: str) -> str:
    if not any(sign in text for sign in ',"\n'):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def repo2docker(program: Sequence[str], settings: Settings, image: str, folder: str) -> tuple[str, ...]:
    """The command that builds a repository, as Binder builds it: for its user, jovyan with the id 1000."""
    return (
        *program,
        "--no-run",
        f"--image-name={image}",
        "--user-id=1000",
        "--user-name=jovyan",
        *_labels(settings),
        folder,
    )


def _labels(settings: Settings) -> tuple[str, ...]:
    return (f"--label=orbiter.target={settings.target}", f"--label=orbiter.repository={settings.repository}")
