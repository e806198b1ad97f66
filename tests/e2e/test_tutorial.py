"""The tutorial, done by the book: its files are written, its commands run in one shell, their outputs compared."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.pages import blocks, steps

pytestmark = pytest.mark.engine

REGISTRY = "localhost:5000"
DONE = re.compile(r"^<done (\d+) (.*)>\n", re.MULTILINE)


@dataclass(frozen=True)
class Shell:
    """A shell that stays from command to command, as a reader's does."""

    process: "subprocess.Popen[str]"

    def run(self, command: str) -> tuple[int, Path, str]:
        """How the command ended, in which folder, and what it printed on both streams."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f'{{ {command}\n}} < /dev/null\nprintf "<done %s %s>\\n" "$?" "$PWD"\n')
        self.process.stdin.flush()
        printed = ""
        for line in self.process.stdout:
            printed += line
            if done := DONE.search(printed):
                return int(done[1]), Path(done[2]), printed[: done.start()]
        raise AssertionError(f"the shell ended: {printed}")


@pytest.fixture
def shell(tmp_path: Path, engine: Mapping[str, str]) -> Iterator[Shell]:
    """A shell in an empty folder, with this Orbiter and a real engine."""
    environment = {**engine, "PYTHONPATH": str(ROOT)}
    environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), engine["PATH"]))
    for name in ("REPO", "VERSION", "CACHE_REPO", "PLATFORMS", "ORBITER_FILE"):
        environment.pop(name, None)
    subprocess.run(["docker", "rm", "--force", "weather"], env=environment, capture_output=True)
    with subprocess.Popen(
        ["bash", "--norc"],
        cwd=tmp_path,
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        yield Shell(process)
        assert process.stdin is not None
        process.stdin.close()
    subprocess.run(["docker", "rm", "--force", "weather"], env=environment, capture_output=True)


def test_tutorial(shell: Shell, engine: Mapping[str, str], tmp_path: Path) -> None:
    folder, written = tmp_path, []
    for block in blocks("tutorial.md"):
        if block.language == "console":
            for step in steps(block):
                command = step.command.replace(REGISTRY, engine["ENGINE_REGISTRY"])
                status, folder, printed = shell.run(command)
                assert status == 0, f"$ {command}\n{printed}"
                shown = [line.replace(REGISTRY, engine["ENGINE_REGISTRY"]) for line in step.shown]
                assert_prints(printed, shown, command)
                written.append(command)
        elif (block.file and not (folder / block.file).exists()) or block.file == "orbiter.yaml":
            (folder / block.file).write_text(block.text)
    assert len(written) > 20
    left = ["docker", "images", "--format", "{{.Repository}}"]
    repositories = subprocess.run(left, env=engine, capture_output=True, text=True, check=True).stdout.split()
    assert {"localhost/weather", f"{engine['ENGINE_REGISTRY']}/weather"} & set(repositories) == set()


def assert_prints(printed: str, shown: list[str], command: str) -> None:
    """Each line that is shown is printed, in this order; `…` stands for anything, blanks for blanks."""
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    for line in shown:
        pattern = ".*".join(re.escape(part) for part in " ".join(line.split()).split("…"))
        if line.strip() != "…":
            assert any(re.fullmatch(pattern, each) for each in lines), f"$ {command}\n{printed}\ndoes not show: {line}"
