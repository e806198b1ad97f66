"""The engine: Docker with Buildx. The only module that runs programs; their arguments come from pure functions."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orbiter.errors import EngineError


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeOptions:
    """What `docker buildx bake` is told beside the targets. `set` holds overrides as `target.key=value`."""

    push: bool = False
    load: bool = False
    no_cache: bool = False
    builder: str | None = None
    platforms: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    progress: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a command in a container ended: its status, None if its time was over, and all that it printed."""

    status: int | None
    output: str


class Engine(Protocol):
    """What the rest of Orbiter asks of an engine. All methods raise EngineError."""

    def bake(self, folder: Path, targets: Sequence[str], options: BakeOptions) -> None:
        """Builds targets of the bake file in `folder`; progress goes to stderr."""

    def start(self, reference: str, *, serves: bool, token: str) -> str:
        """Starts a container of an image that is there, and returns its id. Unless it `serves`, it only waits."""

    def execute(self, container: str, command: Sequence[str], stdin: bytes, timeout: float) -> Answer:
        """Runs a command in the container, with the variables and the user of its image."""

    def logs(self, container: str) -> str:
        """What the container's own command printed."""

    def remove(self, container: str) -> None:
        """Ends the container and removes it."""


def bake_command(targets: Sequence[str], options: BakeOptions) -> list[str]:
    """The command that builds targets of the bake file in the current directory."""
    command = ["docker", "buildx", "bake", "--file", "docker-bake.hcl"]
    if options.builder:
        command += ["--builder", options.builder]
    if options.progress:
        command += ["--progress", options.progress]
    command += ["--push"] * options.push + ["--load"] * options.load + ["--no-cache"] * options.no_cache
    for override in options.set:
        command += ["--set", override]
    return [*command, *targets]


def bake_variables(options: BakeOptions) -> dict[str, str]:
    """Variables of the bake file that the options set."""
    return {"PLATFORMS": ",".join(options.platforms)} if options.platforms else {}


class Buildx:
    """Docker with the Buildx plugin, as the command line of this machine finds it."""

    def bake(self, folder: Path, targets: Sequence[str], options: BakeOptions) -> None:
        status = self._run(bake_command(targets, options), folder, bake_variables(options))
        if status != 0:
            self._explain_failure()
            raise EngineError(f"docker buildx bake failed with status {status}; its own messages are above")

    def start(self, reference: str, *, serves: bool, token: str) -> str:
        own = [] if serves else ["--entrypoint", "tail"]
        command = ["docker", "run", "--detach", "--pull=never", "--env", "JUPYTER_TOKEN", *own, reference]
        done = self._capture([*command, *([] if serves else ["-f", "/dev/null"])], {"JUPYTER_TOKEN": token})
        if done.returncode == 0:
            return done.stdout.decode().strip()
        said = done.stderr.decode(errors="replace").strip()
        if "No such image" in said:
            raise EngineError(f"{reference} is not in the engine; 'orbiter build --load' puts it there")
        if "daemon" in said and "connect" in said:
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
            raise EngineError(_NO_DOCKER) from error
        return Answer(status=done.returncode, output=done.stdout.decode(errors="replace"))

    def logs(self, container: str) -> str:
        done = self._capture(["docker", "logs", "--tail=40", container])
        return (done.stdout + done.stderr).decode(errors="replace")

    def remove(self, container: str) -> None:
        self._capture(["docker", "rm", "--force", "--volumes", container])

    def _capture(
        self, command: Sequence[str], variables: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[bytes]":
        try:
            return subprocess.run(command, env={**os.environ, **(variables or {})}, capture_output=True, check=False)
        except OSError as error:
            raise EngineError(_NO_DOCKER) from error

    def _run(self, command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> int:
        try:
            process = subprocess.Popen(command, cwd=folder, env={**os.environ, **variables})
        except FileNotFoundError as error:
            raise EngineError(_NO_DOCKER) from error
        except OSError as error:
            raise EngineError(f"cannot run {command[0]}: {error.strerror}") from error
        with process:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # The terminal sent the signal to Buildx as well: it ends the build and says so.
                process.wait()
                raise

    def _explain_failure(self) -> None:
        """Raises EngineError if there is no Buildx, or no engine that answers: better words than Buildx's own."""
        if self._fails(["docker", "buildx", "version"]):
            raise EngineError("docker has no Buildx; install the plugin: https://docs.docker.com/build/install-buildx/")
        if self._fails(["docker", "buildx", "ls"]) or (
            "DOCKER_HOST" not in os.environ and self._fails(["docker", "version"])
        ):
            raise EngineError(_NO_ENGINE)

    def _fails(self, command: Sequence[str]) -> bool:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return done.returncode != 0


_NO_DOCKER = "docker is not installed, or not on PATH; get it: https://docs.docker.com/engine/install/"

_NO_ENGINE = "no Docker engine answers; start one, or point DOCKER_HOST or a Docker context to one"
