"""The engine: Docker with Buildx. The only module that runs programs; their arguments come from pure functions."""

import base64
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from orbiter.blame import Failure
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


class BuildFailed(EngineError):
    """Bake ended with an error: the steps that failed, where Buildx could tell."""

    def __init__(self, text: str, failures: tuple[Failure, ...]) -> None:
        super().__init__(text)
        self.failures = failures


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

    def ask(self, *arguments: str) -> str:
        """What `docker ARGUMENTS` prints. A failure is an EngineError with the engine's own words."""

    def attach(self, *arguments: str, variables: Mapping[str, str] | None = None) -> int:
        """Runs `docker ARGUMENTS` on this terminal, and returns its status. An interrupt reaches Docker first."""


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


def failed_step(record: bytes) -> Failure | None:
    """The step that failed, from what `docker buildx history inspect --format json` prints.

    None if nothing failed, or only because another target did.
    """
    data = json.loads(record)
    error = data.get("Error")
    if not error or data.get("Status") == "canceled":
        return None
    excerpt = base64.b64decode(error.get("Sources") or "").decode(errors="replace")
    place = re.match(r"Dockerfile:(\d+)\n", excerpt)
    text = re.search(r"^ *\d+ \| >>> (.*)$", excerpt, re.MULTILINE)
    line, text_there = (int(place[1]), text[1]) if place and text else (0, "")
    return Failure(
        context=data.get("Context", ""),
        line=line,
        text=text_there,
        logs=tuple(each.rstrip() for each in (error.get("Logs") or [])[-15:]),
        # Of a command that failed it says all of the command first.
        message=error.get("Message", "").rpartition("did not complete successfully: ")[2],
    )


class Buildx:
    """Docker with the Buildx plugin, as the command line of this machine finds it."""

    def bake(self, folder: Path, targets: Sequence[str], options: BakeOptions) -> None:
        began = time.time()
        status = self._run(bake_command(targets, options), folder, bake_variables(options))
        if status != 0:
            self._explain_failure()
            raise BuildFailed(
                f"docker buildx bake failed with status {status}; its own messages are above",
                tuple(self._failures(folder, options.builder, began)),
            )

    def _failures(self, folder: Path, builder: str | None, since: float) -> Iterator[Failure]:
        """The builds that failed since then, from Buildx's history; none where it has no history."""
        history, at = ["docker", "buildx", "history"], ["--builder", builder] if builder else []
        listed = self._capture([*history, "ls", "--format", "json", "--no-trunc", *at])
        for line in listed.stdout.splitlines() if listed.returncode == 0 else ():
            record = json.loads(line)
            # The clocks of the engine and of this machine may differ a little.
            recent = datetime.fromisoformat(record["created_at"]).timestamp() > since - 5
            if record["status"] == "Error" and recent:
                identity = record["ref"].rpartition("/")[2]
                # Buildx tells the contexts of this project, and no other, relative to the folder.
                told = self._capture([*history, "inspect", identity, "--format", "json", *at], folder=folder)
                failure = failed_step(told.stdout) if told.returncode == 0 else None
                if failure:
                    yield failure

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
            raise EngineError(_NO_DOCKER) from error
        return Answer(status=done.returncode, output=done.stdout.decode(errors="replace"))

    def logs(self, container: str) -> str:
        done = self._capture(["docker", "logs", "--tail=40", container])
        return (done.stdout + done.stderr).decode(errors="replace")

    def remove(self, container: str) -> None:
        self._capture(["docker", "rm", "--force", "--volumes", container])

    def ask(self, *arguments: str) -> str:
        done = self._capture(["docker", *arguments])
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            if _SILENT.search(said):
                raise EngineError(_NO_ENGINE)
            raise EngineError(f"docker {' '.join(arguments[:2])}: {said or f'ended with {done.returncode}'}")
        return done.stdout.decode(errors="replace")

    def attach(self, *arguments: str, variables: Mapping[str, str] | None = None) -> int:
        return self._run(["docker", *arguments], Path(), variables or {})

    def _capture(
        self, command: Sequence[str], variables: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> "subprocess.CompletedProcess[bytes]":
        environment = {**os.environ, **(variables or {})}
        try:
            return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
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

_SILENT = re.compile(r"Cannot connect to the Docker daemon|failed to connect to the docker API|daemon.*connect")
"""What Docker says when no engine answers; the wording changed with Docker 28.3."""

_NO_ENGINE = "no Docker engine answers; start one, or point DOCKER_HOST or a Docker context to one"
