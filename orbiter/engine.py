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


class Engine(Protocol):
    """What the rest of Orbiter asks of an engine."""

    def bake(self, folder: Path, targets: Sequence[str], options: BakeOptions) -> None:
        """Builds targets of the bake file in `folder`; progress goes to stderr. Raises EngineError."""


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
            raise EngineError("no Docker engine answers; start one, or point DOCKER_HOST or a Docker context to one")

    def _fails(self, command: Sequence[str]) -> bool:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return done.returncode != 0


_NO_DOCKER = "docker is not installed, or not on PATH; get it: https://docs.docker.com/engine/install/"
