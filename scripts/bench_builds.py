"""What a build in parallel and a warm registry save: numbers of docs/performance.md, compared within this one run.

    make bench-builds                  prints them
    make bench-builds ARGS=--write     and puts them into docs/performance.md

Three families are built: the Debian family of orbiter.yaml, and twice 30 small images that differ in depth: each has a
package of Debian, which keeps a processor busy, or waits three seconds, as for a slow server. Every build runs on
an engine of its own that is started for it and has nothing yet, not even the base image; arms take turns. Where an
image of BuildKit can be pulled, a builder in a container of its own, as CI has it, is measured beside the engine's.
Debian's archive and PyPI are asked by the steps, as always, so the network is part of every figure.
"""

import argparse
import itertools
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from engines import ORBITER, Environment, engine, fresh, fresh_builder, has_buildkit, run
from figures import machine, put

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures: make bench-builds ARGS=--write -->\n", "<!-- end of figures: builds -->\n"
ADDRESS = "10.217.0.1/24"

SMALL = ("tree", "file", "jq", "bc", "patch", "zip", "unzip", "rsync", "time", "dos2unix")
"""Packages of Debian of less than a megabyte, one for each image of a branch."""


@dataclass(frozen=True, slots=True)
class Family:
    """A project: what it is called in the table, its configuration, and the image that is changed in the end."""

    name: str
    configuration: Mapping[str, Any]
    leaf: str
    changed: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Built:
    """A build: seconds, those of its critical path, and what ran: targets of which at least one step did."""

    seconds: float
    path: float = 0.0
    ran: frozenset[str] = frozenset()


def debian() -> Family:
    """The Debian family of the repository's own configuration; one more package for the last image."""
    configuration = yaml.safe_load((ROOT / "orbiter.yaml").read_text())
    family = configuration["build"]["debian"]
    whole = {key: configuration[key] for key in ("version", "python")}
    more = [*family["geospatial"]["build"]["pip"], "six"]
    other = family | {"geospatial": family["geospatial"] | {"build": family["geospatial"]["build"] | {"pip": more}}}
    return Family(
        "Debian family, 3 images",
        whole | {"build": {"debian": family}},
        "geospatial",
        whole | {"build": {"debian": other}},
    )


def small(name: str, own: Callable[[str], Mapping[str, Any]]) -> Family:
    """Thirty images: a core, and on it branches of one to four images, with what `own` says of an image by its name."""
    family: dict[str, Any] = {"core": {"image": "debian:trixie-slim", "builder": "pip_core"}}
    for branch, depth in zip(range(12), itertools.cycle((1, 2, 3, 4)), strict=False):
        for level in range(depth):
            image, parent = f"branch{branch}-{level}", f"branch{branch}-{level - 1}" if level else "core"
            family[image] = {"image": parent, "builder": "pip_deploy", **own(image)}
    family = dict(itertools.islice(family.items(), 30))
    leaf = list(family)[-1]
    other = family | {leaf: family[leaf] | {"apt": ["ed"]}}
    whole = ({"version": "1", "build": {"small": images}} for images in (family, other))
    return Family(name, next(whole), leaf, next(whole))


def with_package(image: str) -> Mapping[str, Any]:
    return {"apt": [SMALL[sum(int(number) for number in re.findall(r"\d+", image)) % len(SMALL)]]}


def waiting(image: str) -> Mapping[str, Any]:
    return {"postbuild": [f"sleep 3 # {image}"]}


FAMILIES = {
    "debian": debian,
    "small": lambda: small("30 small images", with_package),
    "waiting": lambda: small("30 images that wait 3 s", waiting),
}


def write(folder: Path, configuration: Mapping[str, Any], repo: str) -> None:
    (folder / "orbiter.yaml").write_text(yaml.safe_dump({**configuration, "docker": {"repo": repo}}, sort_keys=False))


def by_orbiter(folder: Path, environment: Environment, *options: str) -> Built:
    """`orbiter build`, with what its report says of the steps."""
    report = folder / "report.json"
    began = time.monotonic()
    run(environment, *ORBITER, "build", "--progress", "quiet", "--report", str(report), *options, cwd=folder)
    seconds = time.monotonic() - began
    steps = json.loads(report.read_text())["steps"]
    path = sum(step["seconds"] for step in steps if step["critical"])
    return Built(seconds, path, frozenset(s["target"] for s in steps if s["kind"] == "step" and s["state"] == "ran"))


def one_by_one(folder: Path, environment: Environment) -> Built:
    """The same Dockerfiles with `docker build`, parents first, each under the name by which others build on it."""
    run(environment, *ORBITER, "compile", cwd=folder)
    targets = json.loads(run(environment, "docker", "buildx", "bake", "--print", cwd=folder))["target"]
    names = {
        context.removeprefix("target:"): name
        for target in targets.values()
        for name, context in target.get("contexts", {}).items()
        if context.startswith("target:")
    }
    began = time.monotonic()
    for target in in_order(targets):
        told = targets[target]
        words = ["docker", "build", "--quiet", "--tag", names.get(target) or told["tags"][0]]
        for name, context in told.get("contexts", {}).items():
            words += () if context.startswith("target:") else ("--build-context", f"{name}={context}")
        run(environment, *words, told["context"], cwd=folder)
    return Built(time.monotonic() - began)


def in_order(targets: Mapping[str, Any]) -> Iterator[str]:
    """Parents before children."""
    done: set[str] = set()

    def visit(target: str) -> Iterator[str]:
        if target not in done:
            done.add(target)
            for context in targets[target].get("contexts", {}).values():
                if context.startswith("target:"):
                    yield from visit(context.removeprefix("target:"))
            yield target

    for target in targets:
        yield from visit(target)


def layers(folder: Path, environment: Environment) -> Mapping[str, Any]:
    """Tag → layers in the registry, of every published image."""
    targets = json.loads(run(environment, "docker", "buildx", "bake", "--print", cwd=folder))["target"]
    tags = [tag for target in targets.values() for tag in target.get("tags", ())]
    inspect = ("docker", "buildx", "imagetools", "inspect", "--format", "{{json .Image.RootFS.DiffIDs}}")
    return {tag.rpartition(":")[2]: json.loads(run(environment, *inspect, tag)) for tag in tags}


@dataclass(frozen=True, slots=True)
class Project:
    """A family in a folder, and the engine that stays, with its registry."""

    family: Family
    folder: Path
    here: Environment

    def on_engine(self, *options: str, singly: bool = False, **variables: str) -> Built:
        """A build on an engine that has nothing yet: with these options, or one image after the other."""
        with fresh(ADDRESS) as alone:
            # The registry of the engine that stays: an address of its own would be part of every name.
            environment = {**alone, **{key: self.here[key] for key in ("ENGINE_REGISTRY", "UV_IMAGE")}, **variables}
            made = one_by_one(self.folder, environment) if singly else by_orbiter(self.folder, environment, *options)
        how = "one by one" if singly else f"on an engine {' '.join(options)}"
        print(f"{self.family.name}, {how}: {made}", file=sys.stderr, flush=True)
        return made

    def in_container(self, *options: str, **variables: str) -> Built:
        """A build with a builder in a container that has nothing yet."""
        with fresh_builder(self.here) as name:
            made = by_orbiter(self.folder, {**self.here, **variables}, "--builder", name, *options)
        print(f"{self.family.name}, in a container {' '.join(options)}: {made}", file=sys.stderr, flush=True)
        return made

    def cold(self, rounds: int) -> tuple[float, Built]:
        """Seconds one by one, and the build in parallel: the median of rounds that take turns, of two the slower."""
        singly, baked = [], []
        for _ in range(rounds):
            singly.append(self.on_engine(singly=True).seconds)
            baked.append(self.on_engine())
        return sorted(singly)[rounds // 2], sorted(baked, key=lambda each: each.seconds)[rounds // 2]

    def warm(self, build: Callable[..., Built]) -> dict[str, Built]:
        """What CI does, each time on a builder that has nothing; the registry has more and more."""
        repo = f"{self.here['ENGINE_REGISTRY']}/orbiter-builds/{time.time_ns()}"
        write(self.folder, self.family.configuration, repo)
        cache = {"CACHE_REPO": f"{repo}-cache"}
        made = {"with an empty registry": build("--push", **cache)}
        before = layers(self.folder, self.here)
        made["nothing changed"] = build("--push", **cache)
        if layers(self.folder, self.here) != before:
            raise SystemExit(f"{self.family.name}: other layers from the cache than those that were built")
        made["nothing changed, `--changed`"] = build("--push", "--changed", **cache)
        write(self.folder, self.family.changed, repo)
        made[f"`{self.family.leaf}` changed"] = build("--push", **cache)
        return made


DRIVERS = ("docker", "docker-container")


def tables(rounds: int, families: tuple[Family, ...], drivers: tuple[str, ...]) -> Iterator[str]:
    """The two tables, line by line."""
    here = engine(os.environ, "ensure --registry", "debian", "uv=0.13.9")
    if not has_buildkit(here):
        drivers = tuple(driver for driver in drivers if driver == "docker")
    parallel, warm = [], []
    with tempfile.TemporaryDirectory(prefix="orbiter-builds-") as name:
        for family in families:
            folder = Path(name, family.name.replace(" ", "-"))
            folder.mkdir()
            write(folder, family.configuration, "localhost/orbiter-builds")
            project = Project(family, folder, here)
            one, cold = project.cold(rounds)
            parallel.append(
                f"| {family.name} | {one:.0f} s | {cold.seconds:.0f} s | {cold.seconds / one:.2f} "
                f"| {cold.path:.0f} s | {cold.seconds / cold.path:.2f} |\n"
            )
            for driver in drivers:
                build = project.in_container if driver == "docker-container" else project.on_engine
                for what, made in project.warm(build).items():
                    ran = f"{len(made.ran)}" if len(made.ran) > 2 else ", ".join(sorted(made.ran)) or "none"
                    share = made.seconds / cold.seconds
                    warm.append(f"| {family.name} | {what} | {driver} | {made.seconds:.1f} s | {share:.2f} | {ran} |\n")
    yield "| | `docker build` one by one | `orbiter build` | of it | critical path | build, of it |\n"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |\n"
    yield from parallel
    yield "\n| `build --push` on an empty builder | | driver | seconds | of the build above | what ran |\n"
    yield "| --- | --- | --- | ---: | ---: | --- |\n"
    yield from warm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the figures into docs/performance.md")
    parser.add_argument("--rounds", type=int, default=2, help="rounds, of which the median counts (default: 2)")
    parser.add_argument("--only", choices=tuple(FAMILIES), help="only this family")
    parser.add_argument("--driver", choices=DRIVERS, help="only from empty builders of this driver (default: both)")
    given = parser.parse_args()
    drivers = tuple(driver for driver in DRIVERS if given.driver in (None, driver))
    chosen = tuple(make() for name, make in FAMILIES.items() if given.only in (None, name))
    lines = []
    for line in tables(given.rounds, chosen, drivers):
        print(line, end="", flush=True)
        lines.append(line)
    if given.write:
        rounds = "one round" if given.rounds == 1 else f"median of {given.rounds} rounds"
        put(PAGE, BEGIN, END, f"\nMeasured on {machine()}, {rounds}.\n\n{''.join(lines)}\n")


if __name__ == "__main__":
    main()
