"""OCI image layouts on disk: which images they hold, and the files of their layers.

The format: https://github.com/opencontainers/image-spec/blob/main/image-layout.md.
"""

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orbiter.errors import UsageError
from orbiter.images import TARGET
from orbiter.origins import STEP
from orbiter.verification import Build, File, Layer, Listing, Step

_END = re.compile(rf"LABEL {re.escape(TARGET)}=(\S+)$")
"""The last line of a published Dockerfile, as an image's history has it."""

_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "link",
    tarfile.LNKTYPE: "hard link",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "pipe",
}


def builds(folder: Path, target: str, digest: str) -> tuple[Build, ...]:
    """The images below a manifest or an index of the layout in `folder`, one a platform. Raises UsageError."""
    try:
        return tuple(_builds(folder, target, digest, None))
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{folder}: no image layout that holds {digest}: {error}") from error


def newest(folder: Path, target: str) -> tuple[Build, ...]:
    """The images that were written last to the layout in `folder`. Raises UsageError."""
    try:
        index = json.loads((folder / "index.json").read_text())
        return builds(folder, target, index["manifests"][-1]["digest"])
    except (OSError, ValueError, LookupError) as error:
        raise UsageError(f"{folder}: no image layout: {error}") from error


def _builds(folder: Path, target: str, digest: str, platform: Mapping[str, str] | None) -> Iterator[Build]:
    manifest = _json(folder, digest)
    if "manifests" in manifest:
        for each in manifest["manifests"]:
            # An attestation is no image; its platform is `unknown/unknown`.
            if each.get("platform", {}).get("os") != "unknown":
                yield from _builds(folder, target, each["digest"], each.get("platform"))
        return
    config = _json(folder, manifest["config"]["digest"])
    contents = config["rootfs"]["diff_ids"]
    made = list(_made(config.get("history", ())))
    made += [("", None)] * (len(contents) - len(made))
    parts = platform or config
    variant = f"/{parts['variant']}" if parts.get("variant") else ""
    yield Build(
        target=target,
        platform=f"{parts['os']}/{parts['architecture']}{variant}",
        digest=digest,
        config_digest=manifest["config"]["digest"],
        layers=tuple(
            Layer(digest=layer["digest"], content=content, instruction=instruction, step=step)
            for layer, content, (instruction, step) in zip(manifest["layers"], contents, made, strict=False)
        ),
        config=_flat(config),
    )


def _made(history: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Step | None]]:
    """The instruction and the step of each layer. The last line of each Dockerfile tells whose steps come before."""
    target, number = "", 0
    found: list[tuple[str, Step | None]] = []
    for each in reversed(history):
        instruction = each.get("created_by") or each.get("comment", "")
        if ends := _END.match(instruction):
            target, number = ends[1], 0
        number += bool(STEP.match(instruction))
        if not each.get("empty_layer"):
            found.append((instruction, (target, number) if target and number else None))
    yield from reversed(found)


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """What an image says about itself, beside its layers: `config.Env`, `created`, `history` …"""
    flat = {key: value for key, value in config.items() if key not in ("config", "rootfs")}
    return flat | {f"config.{key}": value for key, value in config.get("config", {}).items()}


def _json(folder: Path, digest: str) -> Any:
    return json.loads(_blob(folder, digest).read_text())


def _blob(folder: Path, digest: str) -> Path:
    return folder / "blobs" / digest.replace(":", "/")


def listing(folder: Path, layer: Layer) -> Listing | None:
    """The entries of a layer of the layout in `folder`; None if it is compressed in a way that is not known here."""
    found: dict[str, File] = {}
    try:
        with tarfile.open(_blob(folder, layer.digest), "r|*") as archive:
            for entry in archive:
                found[entry.name] = _file(archive, entry)
    except tarfile.ReadError:
        return None
    return found


def _file(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> File:
    kind = _KINDS.get(entry.type, "unknown")
    content = entry.linkname or (f"{entry.devmajor}:{entry.devminor}" if kind == "device" else "")
    reader = archive.extractfile(entry) if kind == "file" else None
    if reader:
        with reader:
            content = hashlib.file_digest(reader, "sha256").hexdigest()  # type: ignore[arg-type]
    # What has a field of its own: a long path, or a time with fractions.
    own = {"path", "linkpath", "size", "mtime", "uid", "gid", "uname", "gname"}
    return File(
        kind=kind,
        mode=entry.mode,
        owner=f"{entry.uid}:{entry.gid}",
        time=float(entry.mtime),
        size=entry.size,
        content=content,
        attributes=tuple(sorted((key, value) for key, value in entry.pax_headers.items() if key not in own)),
    )


def weight(folder: Path) -> int:
    """The bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
