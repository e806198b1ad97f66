"""The numbers of docs/performance.md: whole commands, the best of several runs, compared within this one run.

    make bench                      print them
    make bench ARGS=--write         and put them into docs/performance.md
    make bench ARGS=--lock          those of `orbiter lock`, which asks PyPI; with --write, too

`docker buildx bake --print`, which only reads what Orbiter wrote and needs no daemon, is the yardstick; of a lock it is
`uv pip compile`, called once for each image.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures import machine, put

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures: make bench ARGS={} -->\n", "<!-- end of figures -->\n"

FAMILY = """\
  family{number}:
    core:
      image: debian:trixie-slim
      builder: pip_core
      apt: [git, curl]
    base:
      image: core
      builder: pip_deploy
      build:
        image: core
        builder: pip_builder
        pip: [jupyterlab, numpy, pandas]
    geospatial:
      image: base
      builder: pip_deploy
      env: {{ NUMBER: "{number}" }}
      build:
        image: base-build
        builder: pip_builder
        pip: ["geopandas>=1"]
"""
TARGETS_OF_A_FAMILY = 5


@dataclass(frozen=True, slots=True)
class Measured:
    """The best wall time of a command in seconds, and its peak memory in MB."""

    seconds: float
    megabytes: float


def measure(
    command: list[str],
    folder: Path,
    runs: int,
    before: Callable[[], None] = lambda: None,
    variables: Mapping[str, str] | None = None,
) -> Measured:
    """Runs the command, which must end with 0, with `before` ahead of each run and outside of the time."""
    environment = {**os.environ, **(variables or {})}
    seconds, kilobytes = [], []
    for _ in range(runs):
        before()
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert process.stderr is not None
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds.append(time.perf_counter() - started)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stderr.close()
        kilobytes.append(usage.ru_maxrss)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{errors.decode()}")
    return Measured(min(seconds), max(kilobytes) / 1024)


def project(folder: Path, targets: int) -> Path:
    """A project with that many targets."""
    families = "".join(FAMILY.format(number=number) for number in range(targets // TARGETS_OF_A_FAMILY))
    folder.mkdir()
    (folder / "orbiter.yaml").write_text(f"version: 0.1.0\nbuild:\n{families}")
    return folder


def forget(folder: Path) -> None:
    """Takes the generated files away."""
    shutil.rmtree(folder / "build", ignore_errors=True)
    shutil.rmtree(folder / "dockerfiles", ignore_errors=True)
    (folder / "docker-bake.hcl").unlink(missing_ok=True)


def tables(runs: int) -> Iterator[str]:
    """The tables, line by line."""
    orbiter = [str(Path(sys.executable).with_name("orbiter"))]
    with tempfile.TemporaryDirectory(prefix="orbiter-bench-") as name:
        top = Path(name)
        python = measure([sys.executable, "-c", "pass"], top, runs * 2)
        yield "| command | seconds |\n| --- | ---: |\n"
        yield f"| `python -c pass` | {python.seconds:.3f} |\n"
        for option in ("--version", "--help"):
            yield f"| `orbiter {option}` | {measure([*orbiter, option], top, runs * 2).seconds:.3f} |\n"
        yield "\n| targets | `bake --print` | `compile` from nothing | of it | again, unchanged | of `compile` "
        yield "| peak memory |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        for targets in (10, 100, 1000, 4000):
            folder = project(top / str(targets), targets)
            some = runs if targets < 4000 else max(1, runs // 2)
            new = measure([*orbiter, "compile"], folder, some, lambda folder=folder: forget(folder))  # type: ignore[misc]
            same = measure([*orbiter, "compile"], folder, some)
            read = measure(["docker", "buildx", "bake", "--print"], folder, some)
            yield (
                f"| {targets:,} | {read.seconds:.2f} s | {new.seconds:.2f} s | {new.seconds / read.seconds:.2f} "
                f"| {same.seconds:.2f} s | {same.seconds / new.seconds:.2f} | {new.megabytes:.0f} MB |\n"
            )


def lock_figures(runs: int) -> Iterator[str]:
    """The table of `orbiter lock`, line by line: the Debian family of the default configuration."""
    import yaml
    from uv import find_uv_bin

    from orbiter import builders, lock

    configuration = yaml.safe_load((ROOT / "orbiter.yaml").read_text())
    debian = configuration["build"]["debian"]
    version = configuration["python"]["version"]
    configuration = {"python": {"version": version}, "build": {"debian": debian}}
    # Digests are the registry's time, not that of a resolver.
    images = dict.fromkeys((debian["core"]["image"], *dict(builders.TOOLS).values()), f"sha256:{'0' * 64}")
    asked = {name: _flat(debian[name]["build"]["pip"]) for name in ("base", "geospatial")}
    with tempfile.TemporaryDirectory(prefix="orbiter-bench-") as name:
        top = Path(name)
        cache, place = top / "cache", top / "orbiter.lock"
        variables = {"UV_CACHE_DIR": str(cache)}

        def cold(before: str = lock.dump(lock.Lock(images=images))) -> None:
            shutil.rmtree(cache, ignore_errors=True)
            place.write_text(before)
            for answer in top.glob("*.txt"):  # uv would keep its versions
                answer.unlink()

        def change(geospatial: list[str]) -> None:
            debian["geospatial"]["build"]["pip"] = geospatial
            (top / "orbiter.yaml").write_text(yaml.safe_dump(configuration))

        by_hand, alike = [], []
        for image, requirements in asked.items():
            (top / f"{image}.in").write_text("\n".join(requirements))
            command = (
                f"{find_uv_bin()} pip compile --quiet --python {sys.executable} --python-version {version} "
                f"--generate-hashes --output-file {image}.txt {image}.in"
            )
            by_hand.append(command)
            alike.append(f"{command} --universal" + " --constraints base.txt" * (image != "base"))
        change(asked["geospatial"])
        orbiter = [sys.executable, "-m", "orbiter", "lock"]
        hand = measure(["sh", "-c", " && ".join(by_hand)], top, runs, cold, variables)
        under = measure(["sh", "-c", " && ".join(alike)], top, runs, cold, variables)
        whole = measure(orbiter, top, runs, cold, variables)
        same = measure(orbiter, top, runs, variables=variables)
        before = place.read_text()
        change([*asked["geospatial"], "six"])
        one = measure(orbiter, top, runs, lambda: place.write_text(before) and None, variables)
        anew = measure(orbiter, top, runs, lambda: cold(before), variables)
        yield "| | seconds | of it |\n| --- | ---: | ---: |\n"
        rows = {
            "`uv pip compile`, once an image, empty cache": hand,
            "`uv pip compile --universal`, the second under the first, empty cache": under,
            "`orbiter lock`, empty cache": whole,
            "`orbiter lock`, nothing to do": same,
            "`orbiter lock`, one image changed": one,
            "`orbiter lock`, one image changed, empty cache": anew,
        }
        for what, measured in rows.items():
            yield f"| {what} | {measured.seconds:.2f} | {measured.seconds / hand.seconds:.2f} |\n"


def _flat(entries: Any) -> list[str]:
    if isinstance(entries, str):
        return entries.split()
    return [name for entry in entries for name in _flat(entry)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the figures into docs/performance.md")
    parser.add_argument("--runs", type=int, default=5, help="runs of each command (default: 5)")
    parser.add_argument("--lock", action="store_true", help="measure `orbiter lock`, which asks PyPI")
    given = parser.parse_args()
    lines = []
    for line in (lock_figures if given.lock else tables)(given.runs):
        print(line, end="", flush=True)
        lines.append(line)
    if given.write:
        begin = BEGIN.format("'--lock --write'" if given.lock else "--write")
        put(PAGE, begin, END, f"\nMeasured on {machine()}.\n\n{''.join(lines)}\n")


if __name__ == "__main__":
    main()
