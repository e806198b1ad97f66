"""The engine: Docker with Buildx."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from orbiter.bake import BakeOptions, bake_command, bake_variables, failed_step
from orbiter.blame import Failure
from orbiter.errors import EngineError
from orbiter.processes import terminable


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a command in a container ended: its status, None if its time was over, and all that it printed."""

    status: int | None
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A build in Buildx's history: the folder of its context, relative to the project, and all that Buildx tells."""

    identity: str
    context: str
    told: bytes


class BuildFailed(EngineError):
    """Bake ended with an error: the builds that it began, and the steps that failed, where Buildx could tell."""

    def __init__(self, text: str, failures: tuple[Failure, ...], records: tuple[Record, ...] = ()) -> None:
        super().__init__(text)
        self.failures = failures
        self.records = records


class Engine(Protocol):
    """What the rest of Orbiter asks of an engine. All methods raise EngineError."""

    def bake(
        self, folder: Path, targets: Sequence[str], options: BakeOptions, hear: Callable[[str], None] | None = None
    ) -> None:
        """Builds targets of the bake file in `folder`. Progress goes to stderr, or line by line to `hear`.

        An interrupt, and SIGTERM, stop the build within two seconds and raise KeyboardInterrupt; a second one kills it.
        """

    def records(self, folder: Path, builder: str | None, since: float, *, failed: bool = False) -> tuple[Record, ...]:
        """The builds that began since then (seconds since 1970), the last one first; none without a history.

        Only those that did not end well if `failed`: to ask for one takes a process.
        """

    def replay(self, identity: str, builder: str | None) -> Sequence[str]:
        """The progress of a build of the history, as lines of `--progress=rawjson`."""

    def start(self, reference: str, *, serves: bool, token: str) -> str:
        """Starts a container of an image that is there, and returns its id. Unless it `serves`, it only waits."""

    def execute(self, container: str, command: Sequence[str], stdin: bytes, timeout: float) -> Answer:
        """Runs a command in the container, with the variables and the user of its image."""

    def logs(self, container: str) -> str:
        """What the container's own command printed."""

    def remove(self, container: str) -> None:
        """Ends the container and removes it."""

    def ask(
        self,
        *arguments: str,
        variables: Mapping[str, str] | None = None,
        timeout: float | None = None,
        shielded: bool = False,
    ) -> str:
        """What `docker ARGUMENTS` prints. A failure, or no answer in `timeout` seconds, is an EngineError.

        If it is `shielded`, an interrupt of the terminal does not reach it.
        """

    def attach(self, *arguments: str, variables: Mapping[str, str] | None = None) -> int:
        """Runs `docker ARGUMENTS` on this terminal, and returns its status. An interrupt reaches Docker first."""

    def following(self, container: str) -> AbstractContextManager[None]:
        """What the container prints goes to stderr, from its beginning to the end of the block."""

    def end(self, container: str) -> None:
        """Has the container stop, within ten seconds, and removes it, whatever the terminal sends meanwhile."""

    def program(self, command: Sequence[str]) -> int:
        """Runs another program that knows Docker on this terminal, and returns its status."""


class Buildx:
    """Docker with the Buildx plugin, as the command line of this machine finds it."""

    def bake(
        self, folder: Path, targets: Sequence[str], options: BakeOptions, hear: Callable[[str], None] | None = None
    ) -> None:
        began = time.time()
        command = bake_command(targets, replace(options, progress="rawjson") if hear else options)
        status = self._build(command, folder, bake_variables(options), hear)
        if status != 0:
            # Those of other targets may be there first: only one that failed is worth the wait.
            records = self.records(folder, options.builder, began, failed=True)
            if not hear:
                records = tuple(self._records(folder, options.builder, began, failed=False)) or records
            if not records:
                self.explain_failure(options.builder)
            failures = (self._failure(record, options.builder) for record in records)
            raise BuildFailed(
                f"docker buildx bake failed with status {status}",
                tuple(failure for failure in failures if failure),
                records,
            )

    def records(self, folder: Path, builder: str | None, since: float, *, failed: bool = False) -> tuple[Record, ...]:
        # A build that has just failed is written down a moment later.
        for _ in range(5):
            found = tuple(self._records(folder, builder, since, failed=failed))
            if found:
                return found
            time.sleep(0.3)
        # The clocks of the engine and of this machine may differ a little.
        return tuple(self._records(folder, builder, since - 5, failed=failed))

    def _records(self, folder: Path, builder: str | None, since: float, *, failed: bool) -> Iterator[Record]:
        history, at = ["docker", "buildx", "history"], ["--builder", builder] if builder else []
        listed = self._capture([*history, "ls", "--format", "json", "--no-trunc", *at])
        if listed.returncode != 0:
            _explain_builder(listed.stderr.decode(errors="replace"), builder)
        for line in listed.stdout.splitlines() if listed.returncode == 0 else ():
            record = json.loads(line)
            if failed and record.get("status") == "Completed":
                continue
            if datetime.fromisoformat(record["created_at"]).timestamp() > since:
                identity = record["ref"].rpartition("/")[2]
                # In the folder of the project: the contexts of other projects lie outside of it.
                told = self._capture([*history, "inspect", identity, "--format", "json", *at], folder=folder)
                if told.returncode == 0:
                    yield Record(
                        identity=identity, context=json.loads(told.stdout).get("Context", ""), told=told.stdout
                    )

    def replay(self, identity: str, builder: str | None) -> Sequence[str]:
        at = ["--builder", builder] if builder else []
        told = self._capture(["docker", "buildx", "history", "logs", identity, "--progress", "rawjson", *at])
        return told.stderr.decode(errors="replace").splitlines() if told.returncode == 0 else ()

    def _failure(self, record: Record, builder: str | None) -> Failure | None:
        if failed_step(record.told) is None:
            return None
        return failed_step(record.told, "\n".join(self.replay(record.identity, builder)).encode())

    def start(self, reference: str, *, serves: bool, token: str) -> str:
        own = [] if serves else ["--entrypoint", "tail"]
        command = ["docker", "run", "--detach", "--pull=never", "--env", "JUPYTER_TOKEN", *own, reference]
        done = self._capture([*command, *([] if serves else ["-f", "/dev/null"])], {"JUPYTER_TOKEN": token})
        if done.returncode == 0:
            return done.stdout.decode().strip()
        said = done.stderr.decode(errors="replace").strip()
        if "No such image" in said:
            raise EngineError(f"{reference} is not in the engine; 'orbiter build --load' puts it there")
        if _SILENT.search(said):
            raise EngineError(_NO_ENGINE)
        raise EngineError(f"{reference} cannot be started: {said}")

    def execute(self, container: str, command: Sequence[str], stdin: bytes, timeout: float) -> Answer:
        full = ["docker", "exec", "--interactive", container, *command]
        try:
            done = subprocess.run(
                full, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as over:
            return Answer(status=None, output=(over.output or b"").decode(errors="replace"))
        except OSError as error:
            raise EngineError(NO_DOCKER) from error
        return Answer(status=done.returncode, output=done.stdout.decode(errors="replace"))

    def logs(self, container: str) -> str:
        done = self._capture(["docker", "logs", "--tail=40", container])
        return (done.stdout + done.stderr).decode(errors="replace")

    def remove(self, container: str) -> None:
        self._capture(["docker", "rm", "--force", "--volumes", container])

    def ask(
        self,
        *arguments: str,
        variables: Mapping[str, str] | None = None,
        timeout: float | None = None,
        shielded: bool = False,
    ) -> str:
        try:
            done = self._capture(["docker", *arguments], variables, timeout=timeout, shielded=shielded)
        except subprocess.TimeoutExpired as over:
            raise EngineError(f"docker {' '.join(arguments[:2])}: no answer within {timeout:.0f} s") from over
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            if _SILENT.search(said):
                raise EngineError(_NO_ENGINE)
            if arguments[0] == "buildx" and _NO_BUILDX.search(said):
                raise EngineError(_GET_BUILDX)
            _explain_builder(said, None)
            raise EngineError(f"docker {' '.join(arguments[:2])}: {said or f'ended with {done.returncode}'}")
        return done.stdout.decode(errors="replace")

    def attach(self, *arguments: str, variables: Mapping[str, str] | None = None) -> int:
        return self._run(["docker", *arguments], Path(), variables or {})

    def credential(self, helper: str, server: str) -> tuple[str, str] | None:
        """User and secret that the program `docker-credential-HELPER` knows of a server; neither is ever printed.

        The protocol: https://github.com/docker/docker-credential-helpers. Raises EngineError if it does not answer.
        """
        program = f"docker-credential-{helper}"
        try:
            done = subprocess.run([program, "get"], input=server.encode(), capture_output=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineError(
                f"{program}, which Docker's config.json names, cannot be run or does not answer"
            ) from error
        if done.returncode != 0:
            # What it printed is not repeated: nobody knows what is in there.
            if b"not found" in done.stdout + done.stderr:
                return None
            raise EngineError(f"{program} ended with {done.returncode}; is the key store locked?")
        try:
            answer = json.loads(done.stdout)
            return str(answer["Username"]), str(answer["Secret"])
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(f"{program} answered something else than a user and a secret") from error

    @contextmanager
    def following(self, container: str) -> Iterator[None]:
        try:
            process = subprocess.Popen(["docker", "logs", "--follow", container], stdout=sys.stderr, stderr=sys.stderr)
        except OSError as error:
            raise EngineError(NO_DOCKER) from error
        with process:
            try:
                yield
            except Exception:
                # The container ended, as a rule: the last of what it printed is still on its way.
                with suppress(subprocess.TimeoutExpired):
                    process.wait(5)
                raise
            finally:
                process.terminate()

    def end(self, container: str) -> None:
        self._capture(["docker", "stop", "--time=10", container], shielded=True)
        self._capture(["docker", "rm", "--force", "--volumes", container], shielded=True)

    def program(self, command: Sequence[str]) -> int:
        return self._run(command, Path(), {})

    def _capture(
        self,
        command: Sequence[str],
        variables: Mapping[str, str] | None = None,
        *,
        folder: Path | None = None,
        timeout: float | None = None,
        shielded: bool = False,
    ) -> "subprocess.CompletedProcess[bytes]":
        environment = {**os.environ, **(variables or {})}
        try:
            return subprocess.run(
                command,
                cwd=folder,
                env=environment,
                capture_output=True,
                timeout=timeout,
                check=False,
                start_new_session=shielded,
            )
        except OSError as error:
            raise EngineError(NO_DOCKER) from error

    def _run(self, command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> int:
        with self._started(command, folder, variables) as process:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # The terminal sent the signal to Buildx as well: it ends the build and says so.
                process.wait()
                raise

    def _build(
        self,
        command: Sequence[str],
        folder: Path,
        variables: Mapping[str, str],
        hear: Callable[[str], None] | None,
    ) -> int:
        # A group of its own, so that a signal reaches the plugin that `docker` starts as well; at a terminal, Buildx
        # has to stay in the group in front, to which the terminal sends its signals.
        own = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, "process_group": 0} if hear else {}
        with terminable(), self._started(command, folder, variables, **own) as process:
            try:
                if hear and process.stderr:
                    for line in process.stderr:
                        hear(line.decode(errors="replace"))
                return process.wait()
            except BaseException:
                _stop(process, group=hear is not None)
                raise

    def _started(
        self, command: Sequence[str], folder: Path, variables: Mapping[str, str], **own: int
    ) -> "subprocess.Popen[bytes]":
        try:
            return subprocess.Popen(command, cwd=folder, env={**os.environ, **variables}, **own)  # type: ignore[call-overload,no-any-return]
        except FileNotFoundError as error:
            raise EngineError(NO_DOCKER) from error
        except OSError as error:
            raise EngineError(f"cannot run {command[0]}: {error.strerror}") from error

    def explain_failure(self, builder: str | None = None) -> None:
        """Raises EngineError if there is no Buildx, or no engine that answers: better words than Buildx's own."""
        if self._fails(["docker", "buildx", "version"]):
            raise EngineError(_GET_BUILDX)
        # Of an engine that DOCKER_HOST names, only the builder knows whether it is the one that is meant.
        inspected = self._capture(["docker", "buildx", "inspect", *([builder] if builder else [])])
        if (
            _SILENT.search((inspected.stdout + inspected.stderr).decode(errors="replace"))
            or self._fails(["docker", "buildx", "ls"])
            or ("DOCKER_HOST" not in os.environ and self._fails(["docker", "version"]))
        ):
            raise EngineError(_NO_ENGINE)

    def _fails(self, command: Sequence[str]) -> bool:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return done.returncode != 0


def _stop(process: "subprocess.Popen[bytes]", *, group: bool) -> None:
    """Ends Buildx, which cancels the build: at once on a further interrupt, and after 1.5 s at the latest."""

    def send(number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            if group:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)

    until = time.monotonic() + 1.5
    try:
        # A terminal has sent it already, `kill` has not; Buildx minds only the third one.
        send(signal.SIGINT)
        process.communicate(timeout=1.5)
        # `docker` may die of it before its plugin knows it: nothing but the group tells whether that one still runs.
        while group and time.monotonic() < until:
            os.killpg(process.pid, 0)
            time.sleep(0.02)
    except ProcessLookupError:
        return
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        pass
    with suppress(KeyboardInterrupt):
        send(signal.SIGKILL)
        process.wait()


NO_DOCKER = "docker is not installed, or not on PATH; get it: https://docs.docker.com/engine/install/"


def _explain_builder(said: str, builder: str | None) -> None:
    """Raises EngineError if the words of Buildx say that there is no such builder, or that it does not start."""
    if missing := _MISSING.search(said):
        raise EngineError(f"there is no builder {missing[1]}; 'docker buildx ls' has those that there are")
    if _BOOT.search(said):
        name, last = f" {builder}" if builder else "", said.strip().rpartition("ERROR: ")[2]
        raise EngineError(
            f"the builder{name} does not start: {last}; 'docker buildx inspect --bootstrap{name}' tries it once more"
        )


_MISSING = re.compile(r'no builder "([^"]*)" found')
_BOOT = re.compile(r"> \[internal\] (booting buildkit|waiting for connection):")
"""Buildx's steps by which it gets hold of a builder, as it repeats one that failed (Buildx 0.29)."""

_SILENT = re.compile(r"Cannot connect to the Docker daemon|failed to connect to the docker API|daemon.*connect")
"""What Docker says when no engine answers; the wording changed with Docker 28.3."""

_NO_BUILDX = re.compile(r"^unknown flag: |\bunknown command: docker buildx|'buildx' is not a docker command")
"""What Docker says to arguments of a plugin that it has not."""

_GET_BUILDX = "docker has no Buildx; install the plugin: https://docs.docker.com/build/install-buildx/"

_NO_ENGINE = "no Docker engine answers; start one, or point DOCKER_HOST or a Docker context to one"
