"""Engines for the scripts that measure and prove: one that is there, and fresh ones that nobody else uses."""

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent

Environment = Mapping[str, str]


def run(environment: Environment, *command: str, cwd: Path = ROOT, fine: tuple[int, ...] = (0,)) -> str:
    """What the command prints; the script ends if the command does so with a status that is not `fine`."""
    done = subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode not in fine:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    return done.stdout


def engine(environment: Environment, action: str, *images: str) -> dict[str, str]:
    """The environment of an engine with these base images, as scripts/fixtures.sh names them."""
    made = f'f=$(scripts/fixtures.sh {" ".join(images)}) && eval "$f" && ' if images else ""
    script = f'e=$(scripts/engine.sh {action}) && eval "$e" && {made}env -0'
    return dict(line.split("=", 1) for line in run(environment, "bash", "-c", script).split("\0") if "=" in line)


@contextmanager
def fresh(address: str, *images: str) -> Iterator[dict[str, str]]:
    """An engine that has built nothing, and ends with the block; it shares no more than the registry's storage.

    `address` is that of its network (`10.215.0.1/24`), which no other engine has.
    """
    with tempfile.TemporaryDirectory(prefix="orbiter-fresh-", dir="/tmp") as state:  # its sockets need short paths
        own = {"ENGINE_STATE": state, "ENGINE_BRIDGE": f"orb{address.split('.')[1]}", "ENGINE_BIP": address}
        try:
            yield engine({**os.environ, **own}, "up", *images)
        finally:
            subprocess.run([ROOT / "scripts/engine.sh", "purge"], env={**os.environ, **own}, capture_output=True)


ORBITER = (sys.executable, "-m", "orbiter")
BUILDKIT = "moby/buildkit:buildx-stable-1"


def has_buildkit(environment: Environment) -> bool:
    """Whether this engine gets an image of BuildKit, so that it can have builders in containers."""
    command = ("docker", "pull", "--quiet", BUILDKIT)
    return subprocess.run(command, env=environment, capture_output=True).returncode == 0


@contextmanager
def fresh_builder(environment: Environment) -> Iterator[str]:
    """A builder in a container that has built nothing, and ends with the block: its name."""
    name = f"orbiter-fresh-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory(prefix="orbiter-fresh-") as folder:
        # BuildKit asks the mirror first, then Docker Hub.
        image = "{image: 'debian:trixie-slim', builder: pip_core}"
        text = f"mirrors: {{docker.io: '{environment['ENGINE_REGISTRY']}'}}\nbuild: {{a: {{core: {image}}}}}\n"
        Path(folder, "orbiter.yaml").write_text(text)
        try:
            run(environment, *ORBITER, "builder", "create", name, "--driver-opt=network=host", cwd=Path(folder))
            yield name
        finally:
            subprocess.run(("docker", "buildx", "rm", "--force", name), env=environment, capture_output=True)
