"""A build that is interrupted while Buildx does not listen. With one that does: tests/e2e/test_build.py."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CONFIG = 'build: {a: {core: {image: "debian:trixie-slim", builder: pip_core}}}\n'


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_buildx_that_does_not_end_is_killed(tmp_path: Path, signals: list[signal.Signals]) -> None:
    (tmp_path / "orbiter.yaml").write_text(CONFIG)
    program = tmp_path / "bin/docker"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\ntrap '' INT TERM\necho $$ > {tmp_path}/new && mv {tmp_path}/new {tmp_path}/pid\nexec sleep 600\n"
    )
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "orbiter", "build"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        until = time.monotonic() + 60
        while not (tmp_path / "pid").is_file() and time.monotonic() < until:
            time.sleep(0.05)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.1)
        out, said = process.communicate(timeout=30)
    assert (process.returncode, out, said.splitlines()[-1]) == (130, "", "interrupted")
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
