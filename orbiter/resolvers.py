"""uv, npm and the builder, as far as a lock asks them."""

import json
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from orbiter.engine import NO_DOCKER, Buildx
from orbiter.errors import EngineError, LockError
from orbiter.processes import said, terminable

_UNREACHABLE = re.compile(r"Failed to fetch|Could not connect|dns error|ENOTFOUND|ECONN|ETIMEDOUT|EAI_AGAIN|ERR_SOCKET")
"""What uv and npm say when an index does not answer, in distinction from one that says no."""


class Resolvers:
    """uv, npm and the builder, as far as a lock asks them: the tools of `locking.solving`.

    As a context, it makes SIGTERM an interrupt, and ends what still runs when the block ends.
    """

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self._stopped = False

    def __enter__(self) -> "Resolvers":
        self._signals = terminable()
        self._signals.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._signals.__exit__(None, None, None)

    def stop(self) -> None:
        with self._guard:
            self._stopped = True
            for process in self._running:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def uv(self, arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> str:
        missing = "uv is missing; install it: pip install 'orbiter[lock]'"
        with self._guard:  # it asks sysconfig, whose first answers are not safe with threads in Python 3.11
            program = _uv()
        done = self._run([program, *arguments], folder, variables, missing)
        if done.returncode != 0:
            words = said(done).removeprefix("error: ")
            # 1 is a no, 2 a failure: https://docs.astral.sh/uv/reference/cli/ and tried.
            failed = done.returncode != 1 or _UNREACHABLE.search(words)
            raise EngineError(f"uv: {words}") if failed else LockError(words)
        return done.stderr.decode(errors="replace")

    def npm(self, arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
        done = self._run(["npm", *arguments], folder, variables, "npm is missing; install Node.js: https://nodejs.org")
        if done.returncode != 0:
            lines = [line.removeprefix("npm error").strip() for line in said(done).splitlines()]
            words = "\n".join(line for line in lines if line and not line.startswith("A complete log"))
            raise EngineError(f"npm: {words}") if _UNREACHABLE.search(words) else LockError(words)

    def digest(self, reference: str) -> str:
        # Not `imagetools inspect`, which knows neither the mirrors nor the certificates of the builder.
        with tempfile.TemporaryDirectory(prefix="orbiter-digest-") as name:
            found = Path(name) / "metadata.json"
            command = [
                "docker",
                "buildx",
                "build",
                "--quiet",
                "--output=type=cacheonly",
                f"--metadata-file={found}",
                "-",
            ]
            done = self._run(command, Path(name), {}, NO_DOCKER, f"FROM {reference}\n".encode())
            if done.returncode != 0:
                Buildx().explain_failure()
                raise EngineError(f"{reference}: no digest to be had: {said(done).splitlines()[-1]}")
            return digest_of(found.read_bytes())

    def _run(
        self, command: Sequence[str], folder: Path, variables: Mapping[str, str], missing: str, stdin: bytes = b""
    ) -> "subprocess.CompletedProcess[bytes]":
        pipe = subprocess.PIPE
        with self._guard:
            if self._stopped:
                raise EngineError("interrupted")
            try:
                # A group of its own, so that what it starts (Buildx is a plugin) ends with it.
                process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env={**os.environ, **variables},
                    stdin=pipe,
                    stdout=pipe,
                    stderr=pipe,
                    process_group=0,
                )
            except OSError as error:
                raise EngineError(missing) from error
            self._running.add(process)
        try:
            out, err = process.communicate(stdin)
        finally:
            with self._guard:
                self._running.discard(process)
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def digest_of(metadata: bytes) -> str:
    """The digest of the only image that a build used, from what Buildx writes for `--metadata-file`."""
    provenance = json.loads(metadata)["buildx.build.provenance"]
    return f"sha256:{provenance['materials'][0]['digest']['sha256']}"


@cache
def _uv() -> str:
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        return "uv"
