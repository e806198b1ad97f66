"""Further private engines, for tests that need one which has built nothing or which nobody else uses."""

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.conftest import ROOT, unavailable


@contextmanager
def engine_alone(bridge: str, address: str) -> Iterator[Mapping[str, str]]:
    """The environment of a new engine with its own network and registry; both end with the block.

    What it shares with the others is the storage of base images. `address` is that of its bridge (`10.213.5.1/24`).
    """
    state = tempfile.mkdtemp(prefix="orbiter-", dir="/tmp")  # its sockets have to have short paths
    own = {"ORBITER_ENGINE": "private", "ENGINE_STATE": state, "ENGINE_BRIDGE": bridge, "ENGINE_BIP": address}
    environment = _neutral(os.environ) | own
    script = (
        f"cd {shlex.quote(str(ROOT))}"
        ' && e=$(scripts/engine.sh ensure --registry) && eval "$e"'
        ' && f=$(scripts/fixtures.sh debian) && eval "$f" && env -0'
    )
    try:
        done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)
        if "the private engine" in done.stderr and done.returncode == 4:
            unavailable(f"no engine of our own on this machine: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        yield dict(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)
    finally:
        subprocess.run([ROOT / "scripts/engine.sh", "purge"], env=environment, capture_output=True)
        shutil.rmtree(state, ignore_errors=True)


def restarted(engine: Mapping[str, str]) -> bool:
    """Ends an engine of `engine_alone`, and starts it again with all that it has."""
    script = ROOT / "scripts/engine.sh"
    for command in ("down", "up"):
        done = subprocess.run([script, command], env=_neutral(engine), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return True


def _neutral(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what names an engine that runs already."""
    return {key: value for key, value in environment.items() if not key.startswith(("DOCKER_", "BUILDX_"))}
