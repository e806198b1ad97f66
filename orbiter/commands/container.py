"""What `run`, `bash` and `r2d` have in common: one image, in the engine, with the folder that it mounts."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from orbiter.commands import console, options
from orbiter.errors import ConfigError, EngineError, UsageError

if TYPE_CHECKING:
    from orbiter.containers import Mount, Settings
    from orbiter.engine import Engine
    from orbiter.model import Target
    from orbiter.pipeline import Planned
    from orbiter.serving import Server


class WithCommand(click.Command):
    """A command whose arguments after `--` are those of a program in the container: see `after_dashes`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            place = args.index("--")
            args, ctx.meta["orbiter.after_dashes"] = args[:place], tuple(args[place + 1 :])
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", "[TARGET]", "[-- COMMAND [ARGUMENT]...]"]


def after_dashes() -> tuple[str, ...]:
    """The arguments after `--`."""
    found: tuple[str, ...] = click.get_current_context().meta.get("orbiter.after_dashes", ())
    return found


def settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a container, as parameters `mounts`, `volumes`, `env`, `gpus` and `as_me`."""
    for decorate in (
        click.option("--as-me", is_flag=True, help="The notebook user gets your user id and group, and so your files."),
        click.option("--gpus", metavar="GPUS", help="GPUs for the container, as docker takes them: all, 2, device=0."),
        click.option(
            "-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="Set a variable, or hand yours on; repeatable."
        ),
        click.option(
            "-v", "--volume", "volumes", multiple=True, metavar="FROM:TO", help="Mount something else; repeatable."
        ),
        click.option(
            "--mount/--no-mount",
            "mounts",
            default=None,
            help="Mount docker.mount into the home  [default: if it is set].",
        ),
    ):
        command = decorate(command)
    return command


def address(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where a server is published, as parameters `port` and `host`."""
    for decorate in (
        click.option(
            "--host",
            default="127.0.0.1",
            show_default=True,
            metavar="ADDRESS",
            help="Address of this machine; 0.0.0.0: others reach it, too.",
        ),
        click.option(
            "-p",
            "--port",
            type=click.IntRange(0, 65535),
            default=8888,
            metavar="PORT",
            show_default="8888",
            help="Port of this machine, or the next that is free; 0: any.",
        ),
    ):
        command = decorate(command)
    return command


def choose(planned: "Planned", targets: tuple[str, ...], family: str | None, image: str | None) -> "Target":
    """The one published image that the selection names; asks on a terminal which of several, if none was named."""
    from orbiter.containers import candidates

    found = candidates(planned.plan, options.patterns(planned, targets, family, image))
    names = [target.name for target in found]
    if len(found) == 1:
        return found[0]
    if targets or family or image:
        raise UsageError(f"{len(found)} images match, name one of them: {', '.join(names)}")
    if not _is_terminal():
        raise UsageError(f"which image? One of: {', '.join(names)}")
    for number, name in enumerate(names, 1):
        console.say(f"{number:3}  {name}")
    answer = click.prompt("Which image", type=click.IntRange(1, len(names)), default=1, err=True)
    return found[answer - 1]


def ensure_built(engine: "Engine", planned: "Planned", target: "Target", file: str | None) -> str:
    """The reference of the image, which is in the engine: a terminal is asked whether to build what is not there."""
    reference = planned.plan.project.reference(target.name)
    if not engine.ask("image", "ls", "--quiet", reference).strip():
        given = options.given(file)
        where = f" -f {given}" if given else ""
        message = f"{reference} is not in the engine; 'orbiter build --load{where} {target.name}' puts it there"
        if not _is_terminal():
            raise EngineError(message)
        if not click.confirm(f"{reference} is not in the engine. Build it now?", default=True, err=True):
            raise EngineError(message)
        from orbiter.commands.build import build

        click.get_current_context().invoke(build, file=file, targets=(target.name,), load=True)
    return reference


def make_settings(
    planned: "Planned",
    target: "Target",
    reference: str,
    *,
    name: str | None,
    mounts: bool | None,
    volumes: tuple[str, ...],
    env: tuple[str, ...],
    gpus: str | None,
    as_me: bool,
    root: bool = False,
) -> "Settings":
    """The settings of a container; what is odd about the mount is said. Raises ConfigError and UsageError."""
    import secrets

    from orbiter.containers import Settings

    if as_me and not hasattr(os, "getuid"):
        raise UsageError("--as-me: this system has no user ids")
    account = (os.getuid(), os.getgid()) if as_me else None
    if account and account[0] == 0:
        raise UsageError("--as-me: you are root, and Jupyter does not run as root; be the owner of the files")
    mount = mounted(planned, mounts)
    if mount and not root:
        _explain_ownership(planned, mount, account)
    return Settings(
        target=target.name,
        reference=reference,
        repository=planned.plan.project.repo,
        name=name or f"{target.name}-{secrets.token_hex(4)}",
        mount=mount,
        volumes=volumes,
        env=env,
        gpus=gpus,
        account=account,
        root=root,
    )


def mounted(planned: "Planned", wanted: bool | None) -> "Mount | None":
    """The mount of the configuration, if it has one. Raises ConfigError if that folder is not there."""
    from orbiter.containers import Mount, home_of
    from orbiter.diagnostics import Finding

    path, text = ("docker", "mount"), planned.plan.project.mount
    if wanted is False or text is None:
        if wanted:
            raise UsageError("--mount: the configuration names no folder; set docker.mount, or use -v FROM:TO")
        return None
    folder = (planned.config.parent / Path(text).expanduser()).resolve()
    problem = (
        f"'{text}' is not there"
        if not folder.exists()
        else f"'{text}' is not a folder"
        if not folder.is_dir()
        else f"'{text}' is the whole of this machine"
        if not folder.name
        else None
    )
    if problem:
        hint = "name a folder" if folder.exists() else f"make it: mkdir {text}"
        raise ConfigError(
            [
                Finding(
                    span=planned.document.span(path),
                    path=path,
                    message=problem,
                    hint=f"{hint}; or start with --no-mount",
                )
            ]
        )
    project = planned.config.parent.resolve()
    if not folder.is_relative_to(project):
        console.say(f"mounting {folder}, which is outside of the project")
    return Mount(source=str(folder), target=home_of(planned.plan.project, folder.name))


def token(env: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The token, and the variables without it: it is never an argument, which every user of a machine can read."""
    from orbiter import serving
    from orbiter.containers import TOKEN

    found = os.environ.get(TOKEN) or serving.make_token()
    rest = []
    for variable in env:
        name, equals, value = variable.partition("=")
        if name == TOKEN:
            found = value if equals else os.environ.get(TOKEN, "")
        else:
            rest.append(variable)
    if not found:
        raise UsageError(f"-e {TOKEN}: an empty token would let everybody in; leave it out, and one is made")
    return found, tuple(rest)


def serve(
    engine: "Engine", settings: "Settings", *, host: str, port: int, token: str, detach: bool, opens: bool
) -> None:
    """Starts the container and prints the link; then follows it to its end, unless it is to be left alone."""
    from orbiter import serving

    command = after_dashes()
    if host != "127.0.0.1":
        console.say(f"{host}: whoever reaches this machine there and has the token may run code in the container")
    try:
        with serving.started(
            engine, settings, host=host, port=port, token=token, command=command, keep=detach
        ) as running:
            if port not in (0, running.port):
                console.say(f"port {port} is taken; using {running.port}")
            try:
                if detach:
                    _show(serving.wait_until_it_answers(engine, running, token, console.say), opens=opens)
                else:
                    _follow(engine, running, token, opens=opens)
            except serving.Ended:
                if detach:
                    console.say(engine.logs(running.container).rstrip())
                raise
            except KeyboardInterrupt:
                console.say(f"stopping {settings.target}")
                raise
    except serving.Ended as error:
        if error.status != 0:
            raise
        console.say(f"{settings.target} ended")
        return
    console.say(f"running in the background; 'docker rm --force {settings.name}' stops and removes it")


def _follow(engine: "Engine", running: "Server", token: str, *, opens: bool) -> NoReturn:
    """Shows what the container prints, and the link once it answers. Raises Ended when the container ends."""
    from orbiter import serving

    with engine.following(running.container):
        _show(serving.wait_until_it_answers(engine, running, token, console.say), opens=opens)
        console.say("Ctrl-C stops it")
        raise serving.Ended(running.target, int(engine.ask("wait", running.container)))


def _show(link: str, *, opens: bool) -> None:
    click.echo(link)
    if opens:
        import webbrowser

        if not webbrowser.open(link):
            console.say("there is no browser to open it with")


def _explain_ownership(planned: "Planned", mount: "Mount", account: tuple[int, int] | None) -> None:
    from orbiter.containers import Owner, may_write

    if sys.platform != "linux":
        return  # Docker Desktop makes whoever asks the owner
    found = Path(mount.source).stat()
    owner = Owner(uid=found.st_uid, gid=found.st_gid, mode=found.st_mode & 0o777)
    user = planned.plan.project.account
    uid, gid = account or (user.uid, user.gid)
    if may_write(owner, uid, gid):
        return
    ways = [f"'chown -R {uid}:{gid} {mount.source}'"]
    if found.st_uid == os.getuid() != 0 and account is None:
        ways.insert(0, "--as-me")
    whose = f"{mount.source} belongs to {owner.uid}:{owner.gid} (mode {owner.mode:o})"
    console.say(
        f"warning: {whose}, so {user.name} ({uid}:{gid}) can only read it; mend it with {' or '.join(ways)}",
        colour="yellow",
    )


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
