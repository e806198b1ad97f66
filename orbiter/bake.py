"""`docker buildx bake`: what it is told, and what its history has of a step that failed."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from orbiter.blame import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeOptions:
    """What `docker buildx bake` is told beside the targets.

    `set` holds overrides as `target.key=value`, `allow` what the build may have beyond its folder (`fs.read=/etc`).
    `metadata` is the file that Buildx writes what it made to, once all is done. `sbom` and `provenance` are
    attestations as Buildx takes them (`mode=max`), `revision` the commit of the sources. `push` is left to overrides
    of outputs if it is `dated`.
    """

    push: bool = False
    dated: bool = False
    load: bool = False
    no_cache: bool = False
    builder: str | None = None
    platforms: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    progress: str | None = None
    metadata: str | None = None
    sbom: str | None = None
    provenance: str | None = None
    revision: str | None = None


def bake_command(targets: Sequence[str], options: BakeOptions) -> list[str]:
    """The command that builds targets of the bake file in the current directory."""
    command = ["docker", "buildx", "bake", "--file", "docker-bake.hcl"]
    if options.builder:
        command += ["--builder", options.builder]
    if options.progress:
        command += ["--progress", options.progress]
    if options.metadata:
        command += ["--metadata-file", options.metadata]
    for allowed in options.allow:
        command += ["--allow", allowed]
    for name, value in (("--sbom", options.sbom), ("--provenance", options.provenance)):
        command += [f"{name}={value}"] if value else []
    command += (
        ["--push"] * (options.push and not options.dated)
        + ["--load"] * options.load
        + ["--no-cache"] * options.no_cache
    )
    for override in options.set:
        command += ["--set", override]
    return [*command, *targets]


def bake_variables(options: BakeOptions) -> dict[str, str]:
    """Variables that the options set: of the bake file, and of Buildx.

    Without the last one, Buildx asks its history for the provenance of every target once all is built, for a file that
    Orbiter reads other things from: seconds for each (Buildx 0.29).
    """
    values = {
        "PLATFORMS": ",".join(options.platforms),
        "REVISION": options.revision,
        "BUILDX_METADATA_PROVENANCE": "disabled" if options.metadata else None,
    }
    return {name: value for name, value in values.items() if value}


def failed_step(record: bytes, progress: bytes = b"") -> Failure | None:
    """The step that failed, from what `docker buildx history inspect --format json` prints.

    It has the last 16 lines of the step (Buildx 0.29); `history logs --progress rawjson`, which is `progress`, has all.
    None if nothing failed, or only because another target did.
    """
    data = json.loads(record)
    error = data.get("Error")
    if not error or data.get("Status") == "canceled":
        return None
    excerpt = base64.b64decode(error.get("Sources") or "").decode(errors="replace")
    place = re.match(r"Dockerfile:(\d+)\n", excerpt)
    text = re.search(r"^ *\d+ \| >>> (.*)$", excerpt, re.MULTILINE)
    line, text_there = (int(place[1]), text[1]) if place and text else (0, "")
    printed = list(_printed(progress, error.get("Name"))) or [(0, f"{said}\n") for said in error.get("Logs") or ()]
    return Failure(
        context=data.get("Context", ""),
        line=line,
        text=text_there,
        logs=_lines(text for _, text in printed),
        errors=_lines(text for stream, text in printed if stream != 1),
        # Of a command that failed it says all of the command first.
        message=error.get("Message", "").rpartition("did not complete successfully: ")[2],
    )


def _printed(progress: bytes, name: str | None) -> Iterator[tuple[int, str]]:
    """What the step of that name printed before it failed, as it came: the stream (1 or 2) and the text."""
    states = [json.loads(line) for line in progress.splitlines() if line.startswith(b"{")]
    failed = {
        step["digest"]
        for state in states
        for step in state.get("vertexes") or ()
        if step.get("error") and step["name"] == name
    }
    for state in states:
        for log in state.get("logs") or ():
            if log["vertex"] in failed:
                yield log.get("stream", 0), base64.b64decode(log["data"]).decode(errors="replace")


def _lines(texts: Iterable[str]) -> tuple[str, ...]:
    """The texts as lines. Of a line that was written over and over, as progress is, the last state."""
    text = "".join(texts).removesuffix("\n")
    return tuple(line.rstrip().rpartition("\r")[2] for line in text.split("\n")) if text else ()
