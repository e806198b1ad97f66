"""A server in a container: started on a free port, asked until it answers, watched, and stopped."""

import errno
import json
import re
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address
from types import FrameType
from urllib.parse import quote

from orbiter.containers import PORT, TOKEN, Settings, server
from orbiter.engine import Engine
from orbiter.errors import EngineError, UsageError

_TAKEN = re.compile(r"port is already allocated|address already in use")
"""What Docker says when another program listens there: two ways of it, two wordings."""

_PATIENCE = 60
"""Seconds without an answer after which that is said. The server may need longer, and is waited for."""


class Ended(EngineError):
    """The container ended by itself."""

    def __init__(self, target: str, status: int) -> None:
        super().__init__(f"{target} ended with status {status}")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running container and where it is published on this machine."""

    target: str
    container: str
    host: str
    port: int


def make_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_hex(24)


def check_host(host: str) -> None:
    """Raises UsageError for what Docker cannot publish a port on."""
    try:
        ip_address(host)
    except ValueError:
        raise UsageError(f"--host {host}: is no IP address; 127.0.0.1 is this machine, 0.0.0.0 everybody") from None


@contextmanager
def started(
    engine: Engine, settings: Settings, *, host: str, port: int, token: str, command: Sequence[str], keep: bool
) -> Iterator[Server]:
    """A container that serves on the port, or on the next that is free, and is stopped and removed after the block.

    `keep` leaves it running if the block ends well. SIGTERM and SIGHUP end the block like Ctrl-C does.
    """
    running = None
    done = False
    with _handling(_interrupt, signal.SIGTERM, signal.SIGHUP):
        try:
            # An interrupt in between would leave a container that nobody knows of.
            with _interrupts_later():
                running = _start(engine, settings, host, port, token, command)
            yield running
            done = True
        finally:
            if running and not (keep and done):
                with _handling(signal.SIG_IGN, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    engine.end(running.container)


def _start(engine: Engine, settings: Settings, host: str, port: int, token: str, command: Sequence[str]) -> Server:
    for candidate in _ports(host, port):
        arguments = server(settings, host, candidate, command)
        container = engine.ask(*arguments, variables={TOKEN: token}, shielded=True).strip()
        try:
            engine.ask("start", container, shielded=True)
            published = engine.ask("inspect", "--format={{json .NetworkSettings.Ports}}", container, shielded=True)
        except EngineError as error:
            engine.remove(container)
            if _TAKEN.search(str(error)):
                continue
            said = str(error).partition("Error response from daemon: ")[2].splitlines()
            raise EngineError(f"{settings.target} cannot be started: {said[0]}" if said else str(error)) from error
        # Nothing is published any more if it ended at once.
        bound = json.loads(published).get(f"{PORT}/tcp")
        found = int(bound[0]["HostPort"]) if bound else candidate
        return Server(target=settings.target, container=container, host=host, port=found)
    raise EngineError(f"no port from {port} to {port + _TRIED - 1} is free on {host}; name another with --port")


def wait_until_it_answers(
    engine: Engine, running: Server, token: str, say: Callable[[str], None], patience: float = _PATIENCE
) -> str:
    """The link that opens it, once it answers. Raises Ended if the container does first."""
    began, said = time.monotonic(), False
    while not _get(running, "/api", token):
        if status := ended(engine, running):
            raise Ended(running.target, int(status))
        if not said and time.monotonic() - began > patience:
            said = True
            say(f"no answer from {_origin(running)} yet; an engine on another machine opens its ports there")
        time.sleep(0.3)
    return link(running, token)


def ended(engine: Engine, running: Server) -> str | None:
    """The status of a container that ended, in digits, else None."""
    state = engine.ask("inspect", "--format={{.State.Status}} {{.State.ExitCode}}", running.container)
    status, code = state.split()
    return code if status in ("exited", "dead") else None


def link(running: Server, token: str) -> str:
    """The address to open: JupyterLab with its token, or the front page of anything else."""
    answer = _get(running, "/api", token)
    if not answer or answer[0] != 200 or not _is_jupyter(answer[1]):
        return f"{_origin(running)}/"
    lab = _get(running, "/lab", token)
    path = "lab" if lab and lab[0] == 200 else ""
    return f"{_origin(running)}/{path}?token={quote(token, safe='')}"


@contextmanager
def removed_by_signals(engine: Engine, container: str) -> Iterator[None]:
    """SIGTERM and SIGHUP remove a container that this process is attached to; that ends what the block waits for."""
    caught = []

    def remove(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        engine.remove(container)

    with _handling(remove, signal.SIGTERM, signal.SIGHUP):
        yield
    if caught:
        raise KeyboardInterrupt


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Puts an interrupt off until the block is done, so that it leaves nothing half begun."""
    caught = []

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(number)

    with _handling(note, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        yield
    if caught:
        raise KeyboardInterrupt


_Handler = Callable[[int, FrameType | None], None] | signal.Handlers


@contextmanager
def _handling(handler: _Handler, *signals: signal.Signals) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


_TRIED = 100


def _ports(host: str, wanted: int) -> Iterator[int]:
    """The wanted port and those after it that are free on this machine; whether Docker may have it shows later."""
    if wanted == 0:
        yield 0
        return
    for port in range(wanted, min(wanted + _TRIED, 65536)):
        if _is_free(host, port):
            yield port


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            # A low port may be for root alone, and the address that of another machine's engine: Docker says.
            return error.errno != errno.EADDRINUSE
    return True


def _get(running: Server, path: str, token: str) -> tuple[int, bytes] | None:
    """Status and body of a page, None without an answer. No proxy is asked: it would not know this machine."""
    connection = HTTPConnection(_reachable(running.host), running.port, timeout=5)
    try:
        # In a header, for no log to show it.
        connection.request("GET", path, headers={"Authorization": f"token {token}"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _is_jupyter(body: bytes) -> bool:
    try:
        return "version" in json.loads(body)
    except (ValueError, TypeError):
        return False


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _origin(running: Server) -> str:
    host = _reachable(running.host)
    return f"http://[{host}]:{running.port}" if ":" in host else f"http://{host}:{running.port}"
