"""Proves on two engines that one lock gives the same images, bit for bit: the table of docs/howto/reproducible.md.

    make reproduce                      verify the images of orbiter.yaml twice here, and once on a second engine
    make reproduce ARGS=--write         and put the table into the page
    make reproduce ARGS='--keep DIR'    keep the images, to see what differs

Needs an engine with Buildx here; the second one is private, has nothing of the first, and is purged at the end.
"""

import argparse
import functools
import json
import os
import platform
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from engines import Environment, engine, fresh, run
from figures import put

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "howto" / "reproducible.md"
BEGIN, END = "<!-- table: make reproduce ARGS=--write -->\n", "<!-- end of table -->\n"
IMAGES = ("debian-*", "micromamba-*", "alpine-core", "alpine-base")  # the stand-in for Alpine has no gdal
BASES = ("debian", "uv=0.13.9", "alpine=3.23", "micromamba=2.9.0")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Not among the output."""


@contextmanager
def channels(environment: Environment, folder: Path) -> Iterator[str]:
    """The conda channels of the stand-in for micromamba, which follow a script in one file, over HTTP."""
    made = run(environment, "docker", "create", environment["MICROMAMBA_IMAGE"]).strip()
    run(environment, "docker", "cp", f"{made}:/bin/micromamba", str(folder / "micromamba"))
    run(environment, "docker", "rm", made)
    script = "tail -n +$((1 + $(grep -anm1 '^exit 0$' micromamba | cut -d: -f1))) micromamba | tar -xf - ./channels"
    run(environment, "bash", "-c", script, cwd=folder)
    gateway = ("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
    address = run(environment, "docker", *gateway).strip()
    handler = functools.partial(Quiet, directory=folder / "channels")
    with ThreadingHTTPServer((address, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{address}:{server.server_port}"
        server.shutdown()


def told(printed: str) -> dict[str, Any]:
    """What `verify --format json` found; differences are shown at once."""
    found: dict[str, Any] = json.loads(printed)
    for image in found["images"]:
        for difference in image["differences"]:
            print(json.dumps({"target": image["target"], **difference}, indent=2), file=sys.stderr, flush=True)
    return found


def table(here: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    lines = ["| image | twice on one engine | on another engine | digest |", "| --- | --- | --- | --- |"]
    for one, two in zip(here["images"], there["images"], strict=True):
        words = ("identical" if each["identical"] else "different" for each in (one, two))
        lines.append(f"| `{one['target']}` | {' | '.join(words)} | `{one['digest'][7:19]}` |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/howto/reproducible.md")
    parser.add_argument("--keep", type=Path, help="keep the images in this folder")
    parser.add_argument("images", nargs="*", default=IMAGES, help="the images (default: all that can be built here)")
    options = parser.parse_args()
    orbiter = (sys.executable, "-m", "orbiter")
    first = engine(os.environ, "ensure --registry", *BASES)
    with tempfile.TemporaryDirectory(prefix="orbiter-reproduce-") as name:
        folder, registry = Path(name), first["ENGINE_REGISTRY"]
        with channels(first, folder) as channel:
            mirrors = {"docker.io": registry, "ghcr.io": registry, "conda": channel}
            text = (ROOT / "orbiter.yaml").read_text()
            (folder / "orbiter.yaml").write_text(f"{text}\nmirrors: {json.dumps(mirrors)}\n")
            run(first, *orbiter, "lock", cwd=folder)
            keep = ("--keep", str(options.keep.resolve() / "first")) if options.keep else ()
            command = (*orbiter, "verify", *options.images, "--write", "digests.json", "--format=json", *keep)
            here = told(run(first, *command, cwd=folder, fine=(0, 1)))
            with fresh("10.215.0.1/24", *BASES) as environment:
                keep = ("--keep", str(options.keep.resolve() / "second")) if options.keep else ()
                against = str(options.keep.resolve() / "first") if options.keep else "digests.json"
                command = (*orbiter, "verify", *options.images, "--against", against, "--format=json", *keep)
                there = told(run(environment, *command, cwd=folder, fine=(0, 1)))
                versions = [
                    run(each, "docker", "version", "--format", "{{.Server.Version}}").strip()
                    for each in (first, environment)
                ]
    made = table(here, there)
    print(made)
    if options.write:
        system = f"{platform.system()} {platform.machine()}, Docker {' and '.join(dict.fromkeys(versions))}"
        note = f"\nOn two engines ({system}) that share nothing but the lock and base images.\n"
        put(PAGE, BEGIN, END, made + note)
    if not (here["identical"] and there["identical"]):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
