"""The numbers of docs/images.md: images built, pushed to a registry and weighed there, compared within this one run.

    make bench-images                      print them
    make bench-images ARGS=--write         and put them into docs/images.md

Needs an engine of its own (`make bench-images` starts one): its build cache is pruned before each build that is timed.
Sizes are those of the layers in the registry: compressed as pulled, unpacked as they lie on disk.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from figures import put

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "images.md"
BEGIN, END = "<!-- figures: make bench-images ARGS=--write -->\n", "<!-- end of figures -->\n"

REGISTRY = os.environ.get("ENGINE_REGISTRY", "")
PACKAGES = ("jupyterlab", "numpy", "pandas", "altair", "matplotlib", "nbgitpuller")
MORE = ("geopandas", "rasterio", "xarray", "netcdf4", "cartopy", "folium")

NAIVE = f"""\
FROM debian:trixie-slim
RUN apt-get update && apt-get install -y python3-pip
RUN pip install --break-system-packages {" ".join(PACKAGES)}
RUN useradd -m jovyan
USER jovyan
WORKDIR /home/jovyan
CMD ["jupyter", "lab", "--ip=0.0.0.0"]
"""

CAREFUL = f"""\
FROM debian:trixie-slim
RUN apt-get update \\
 && apt-get install --yes --no-install-recommends ca-certificates python3 python3-pip tini \\
 && rm -rf /var/lib/apt/lists/* \\
 && pip install --break-system-packages --no-cache-dir {" ".join(PACKAGES)} \\
 && useradd -m jovyan
USER jovyan
WORKDIR /home/jovyan
ENTRYPOINT ["tini", "--"]
CMD ["jupyter", "lab", "--ip=0.0.0.0"]
"""

UNCOMPILED = """\
FROM {reference}
USER 0
RUN find /opt/venv /usr/lib/python3* -name __pycache__ -prune -exec rm -r {{}} +
USER 1000
"""

FAMILY = """\
  {name}:
    core:
      image: {base}
      builder: pip_core
    base:
      image: core
      builder: pip_deploy
      build: {{image: core, builder: pip_builder, pip: [{packages}]}}
"""

GEOSPATIAL = """\
    geospatial:
      image: base
      builder: pip_deploy
      build: {{image: base-build, builder: pip_builder, pip: [{more}]}}
    full-copy:
      image: core
      builder: pip_deploy
      build: {{image: base-build, builder: pip_builder, pip: [{more}]}}
"""

OWN = {
    "debian": ("core", "base", "geospatial"),
    "micromamba": ("core", "base", "geospatial"),
    "alpine": ("core", "base"),  # the stand-in for Alpine has no gdal
}
"""The images of the repository's orbiter.yaml that can be built everywhere."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer in the registry: bytes as pulled and as unpacked."""

    digest: str
    compressed: int
    unpacked: int


@dataclass(frozen=True, slots=True)
class Built:
    """An image in the registry, and the seconds that its build took."""

    reference: str
    layers: tuple[Layer, ...]
    seconds: float = 0.0

    @property
    def compressed(self) -> int:
        return sum(layer.compressed for layer in self.layers)

    @property
    def unpacked(self) -> int:
        return sum(layer.unpacked for layer in self.layers)

    def pull(self, there: "Built") -> int:
        """Bytes to pull where the other image is there already."""
        return sum(layer.compressed for layer in self.layers if layer not in there.layers)


def run(*command: str, cwd: Path | None = None, text: str | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, input=text, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout.strip()


def forget_builds() -> None:
    """The next build is a cold one; base images stay."""
    run("docker", "buildx", "prune", "--all", "--force")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# -- the registry


def ask(path: str, accept: str) -> bytes:
    request = urllib.request.Request(f"http://{REGISTRY}/v2/{path}", headers={"Accept": accept})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as response:
        return bytes(response.read())


def weigh(reference: str, seconds: float = 0.0) -> Built:
    """The layers of an image in the registry, for this engine's platform."""
    name, _, tag = reference.removeprefix(f"{REGISTRY}/").rpartition(":")
    kinds = ("oci.image.index.v1", "oci.image.manifest.v1", "docker.distribution.manifest.v2")
    accept = ", ".join(f"application/vnd.{kind}+json" for kind in kinds)
    manifest = json.loads(ask(f"{name}/manifests/{tag}", accept))
    if "manifests" in manifest:
        first = next(each for each in manifest["manifests"] if each["platform"]["os"] == "linux")
        manifest = json.loads(ask(f"{name}/manifests/{first['digest']}", accept))
    layers = tuple(Layer(each["digest"], each["size"], unpacked(name, each["digest"])) for each in manifest["layers"])
    return Built(reference, layers, seconds)


@cache
def unpacked(name: str, digest: str) -> int:
    reader, size = zlib.decompressobj(wbits=31), 0
    data = ask(f"{name}/blobs/{digest}", "*/*")
    while data:
        size += len(reader.decompress(data))
        data = reader.unused_data
        if data:
            reader = zlib.decompressobj(wbits=31)
    return size


# -- builds


def docker_build(name: str, dockerfile: str) -> Built:
    """Builds and pushes a hand-written Dockerfile; only the build is timed."""
    reference = f"{REGISTRY}/bench:{name}"
    started = time.perf_counter()
    run("docker", "build", "--no-cache", "--tag", reference, "-", text=dockerfile)
    seconds = time.perf_counter() - started
    run("docker", "push", "--quiet", reference)
    return weigh(reference, seconds)


def orbiter_build(folder: Path, version: str, *targets: str) -> dict[str, Built]:
    """Builds the targets with Orbiter, loads and pushes them; the seconds are those of the whole call."""
    orbiter = str(Path(sys.executable).with_name("orbiter"))
    started = time.perf_counter()
    run(orbiter, "build", "--load", *targets, cwd=folder)
    seconds = time.perf_counter() - started
    images = {}
    for target in targets:
        run("docker", "push", "--quiet", f"{REGISTRY}/bench:{target}-{version}")
        images[target] = weigh(f"{REGISTRY}/bench:{target}-{version}", seconds)
    return images


def answer_time(reference: str, runs: int) -> float:
    """Median seconds from `docker run` until JupyterLab answers on /api."""
    found = []
    for _ in range(runs):
        started = time.perf_counter()
        container = run("docker", "run", "--detach", "--publish=127.0.0.1::8888", reference)
        address = run("docker", "port", container, "8888").splitlines()[0]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while True:
            try:
                with opener.open(f"http://{address}/api", timeout=5):
                    break
            except OSError:
                if time.perf_counter() - started > 120:
                    raise SystemExit(f"{reference}: no answer in 120 s:\n{run('docker', 'logs', container)}") from None
                time.sleep(0.02)
        found.append(time.perf_counter() - started)
        run("docker", "rm", "--force", container)
    return statistics.median(found)


def count_packages(reference: str) -> int:
    code = "import importlib.metadata as m; print(len({d.name.lower().replace('_', '-') for d in m.distributions()}))"
    return int(run("docker", "run", "--rm", reference, "python", "-c", code))


# -- the page


def mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def comparison(folder: Path) -> Iterator[str]:
    """The same packages in five ways."""
    text = "version: '1'\ndocker: {repo: " + REGISTRY + "/bench}\nbuild:\n"
    text += FAMILY.format(name="debian", base="debian:trixie-slim", packages=", ".join(PACKAGES))
    text += GEOSPATIAL.format(more=", ".join(MORE))
    text += FAMILY.format(name="alpine", base="alpine:3.23", packages=", ".join(PACKAGES))
    (folder / "orbiter.yaml").write_text(text)
    # Base images are pulled, and PyPI's files fetched once by whatever stands between, before anything is timed.
    say("pulling base images, and a first build that does not count")
    docker_build("careful", CAREFUL)
    orbiter_build(folder, "1", "debian-base", "alpine-base")
    built: dict[str, Built] = {}
    for name, dockerfile in (("naive", NAIVE), ("careful", CAREFUL)):
        say(f"building {name}")
        forget_builds()
        built[name] = docker_build(name, dockerfile)
    for targets in (("debian-base",), ("debian-geospatial", "debian-full-copy"), ("alpine-base",)):
        say(f"building {', '.join(targets)}")
        if len(targets) == 1:
            forget_builds()
        built |= orbiter_build(folder, "1", *targets)
    base, geospatial, full = built["debian-base"], built["debian-geospatial"], built["debian-full-copy"]
    say("starting JupyterLab, with bytecode and without")
    with_bytecode = answer_time(base.reference, 5)
    without = answer_time(docker_build("uncompiled", UNCOMPILED.format(reference=base.reference)).reference, 5)

    yield "| image | compressed | of naive | of careful | unpacked | built in | of careful |\n"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    naive, careful = built["naive"], built["careful"]
    names = {
        "naive": "naive: `apt install python3-pip`, `pip install`",
        "careful": "careful: one stage, nothing recommended, no caches",
        "debian-base": "Orbiter on Debian",
        "alpine-base": "Orbiter on Alpine",
    }
    for name, text in names.items():
        each = built[name]
        yield (
            f"| {text} | {mb(each.compressed)} | {each.compressed / naive.compressed:.2f} "
            f"| {each.compressed / careful.compressed:.2f} | {mb(each.unpacked)} "
            f"| {each.seconds:.0f} s | {each.seconds / careful.seconds:.2f} |\n"
        )
    delta, copied = geospatial.pull(base), full.pull(base)
    yield f"\nOn top of that base, {', '.join(MORE[:-1])} and {MORE[-1]}:\n\n"
    yield "| geospatial | to pull where base is there | of the full copy |\n| --- | ---: | ---: |\n"
    yield f"| copies the whole environment (`image: core`) | {mb(copied)} | 1.00 |\n"
    yield f"| stacked (`image: base`): only what its build added | {mb(delta)} | {delta / copied:.2f} |\n"
    yield "\n| from `docker run` to an answer of JupyterLab | seconds | |\n| --- | ---: | ---: |\n"
    yield f"| without bytecode | {without:.2f} | 1.00 |\n| as built | {with_bytecode:.2f} "
    yield f"| {with_bytecode / without:.2f} |\n"


def own_images(folder: Path) -> Iterator[str]:
    """The images of the repository's orbiter.yaml."""
    text, count = re.subn(
        r"^  repo: .*$", f"  repo: {REGISTRY}/bench", (ROOT / "orbiter.yaml").read_text(), flags=re.MULTILINE
    )
    version = re.search(r"^version: (.+)$", text, re.MULTILINE)
    assert count == 1
    assert version
    (folder / "orbiter.yaml").write_text(text)
    yield "| image | compressed | unpacked | layers | shared with its parent | to pull where that is there "
    yield "| Python packages |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    for family, images in OWN.items():
        say(f"building the family {family}")
        built = orbiter_build(folder, version[1], *(f"{family}-{image}" for image in images))
        parent = None
        for target, each in built.items():
            shared = sum(layer in parent.layers for layer in each.layers) if parent else 0
            pull = f"{shared} | {mb(each.pull(parent))}" if parent else "– | –"
            packages = count_packages(each.reference) if target != f"{family}-core" else "–"
            sizes = f"{mb(each.compressed)} | {mb(each.unpacked)} | {len(each.layers)}"
            yield f"| {target} | {sizes} | {pull} | {packages} |\n"
            parent = each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the figures into docs/images.md")
    given = parser.parse_args()
    if not REGISTRY:
        raise SystemExit("no registry: use 'make bench-images', which starts an engine with one")
    sections = (("The same packages in other ways", comparison), ("Orbiter's own images", own_images))
    lines = []
    for heading, figures in sections:
        with tempfile.TemporaryDirectory(prefix="orbiter-bench-") as name:
            lines += [f"\n## {heading}\n\n"]
            for line in figures(Path(name)):
                print(line, end="", flush=True)
                lines.append(line)
    if given.write:
        docker = run("docker", "version", "--format", "{{.Server.Version}}")
        measured = f"Measured on {os.cpu_count()} cores, {platform.system()}, Docker {docker}.\n"
        put(PAGE, BEGIN, END, f"\n{measured}{''.join(lines)}\n")


if __name__ == "__main__":
    main()
