"""Image layouts on disk, made here with Python's own tar: what is read of them."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from orbiter import layouts
from orbiter.errors import UsageError
from orbiter.verification import Layer


def blob(folder: Path, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    (folder / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    (folder / "blobs/sha256" / digest).write_bytes(data)
    return f"sha256:{digest}"


def layer(folder: Path, **members: bytes) -> tuple[str, str]:
    """A layer of files: its digest, and that of its content."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.uid, entry.gid, entry.mtime = len(data), 0o640, 1000, 100, 1700000000
            archive.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "elsewhere"
        archive.addfile(link)
    content = f"sha256:{hashlib.sha256(raw.getvalue()).hexdigest()}"
    return blob(folder, gzip.compress(raw.getvalue(), mtime=0)), content


def manifest(folder: Path, architecture: str = "amd64") -> str:
    digest, content = layer(folder, a=b"1")
    config = {
        "os": "linux",
        "architecture": architecture,
        "config": {"Env": ["A=1"]},
        "rootfs": {"type": "layers", "diff_ids": [content]},
        "history": [{"created_by": "ENV A=1", "empty_layer": True}, {"created_by": "RUN make"}],
    }
    described = {"config": {"digest": blob(folder, json.dumps(config).encode())}, "layers": [{"digest": digest}]}
    return blob(folder, json.dumps(described).encode())


def index(*manifests: Any) -> bytes:
    return json.dumps({"manifests": manifests}).encode()


def test_image_is_read_with_the_instructions_of_its_layers(tmp_path: Path) -> None:
    digest = manifest(tmp_path)
    (build,) = layouts.builds(tmp_path, "core", digest)
    assert (build.target, build.platform, build.digest) == ("core", "linux/amd64", digest)
    assert [each.instruction for each in build.layers] == ["RUN make"]
    assert build.config["config.Env"] == ["A=1"]
    assert "rootfs" not in build.config


def test_each_platform_of_an_index_is_an_image_and_attestations_are_none(tmp_path: Path) -> None:
    attested = {"digest": "sha256:none", "platform": {"os": "unknown", "architecture": "unknown"}}
    arm = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    several = blob(
        tmp_path,
        index(
            {"digest": manifest(tmp_path), "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": manifest(tmp_path, "arm64"), "platform": arm},
            attested,
        ),
    )
    builds = layouts.builds(tmp_path, "core", several)
    assert [build.platform for build in builds] == ["linux/amd64", "linux/arm64/v8"]


def test_last_image_of_a_layout_counts(tmp_path: Path) -> None:
    digest = manifest(tmp_path)
    (tmp_path / "index.json").write_bytes(index({"digest": "sha256:old"}, {"digest": digest}))
    assert [build.digest for build in layouts.newest(tmp_path, "core")] == [digest]


def test_entries_of_a_layer_are_read(tmp_path: Path) -> None:
    digest, content = layer(tmp_path, a=b"12")
    listing = layouts.listing(tmp_path, Layer(digest=digest, content=content, instruction=""))
    assert listing is not None
    assert list(listing) == ["a", "link"]
    entry = listing["a"]
    assert (entry.kind, entry.mode, entry.owner, entry.time, entry.size) == ("file", 0o640, "1000:100", 1700000000.0, 2)
    assert entry.content == hashlib.sha256(b"12").hexdigest()
    assert (listing["link"].kind, listing["link"].content) == ("link", "elsewhere")


def test_layer_in_an_unknown_compression_has_no_listing(tmp_path: Path) -> None:
    digest = blob(tmp_path, b"\x28\xb5\x2f\xfd" + bytes(600))
    assert layouts.listing(tmp_path, Layer(digest=digest, content="", instruction="")) is None


@pytest.mark.parametrize("text", [None, "", "{}", '{"manifests": []}', '{"manifests": [{"digest": "sha256:gone"}]}'])
def test_what_is_no_layout_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "index.json").write_text(text)
    with pytest.raises(UsageError, match="no image layout"):
        layouts.newest(tmp_path, "core")


def test_layer_knows_whose_step_made_it() -> None:
    history = [
        {"created_by": "RUN of the base image"},
        {"created_by": "RUN one"},
        {"created_by": "WORKDIR /", "empty_layer": True},
        {"created_by": "USER 1000", "empty_layer": True},
        {"created_by": "LABEL orbiter.target=core", "empty_layer": True},
        {"created_by": "COPY two"},
        {"created_by": "LABEL orbiter.target=base", "empty_layer": True},
        {"created_by": "RUN of somebody else"},
    ]
    assert list(layouts._made(history)) == [
        ("RUN of the base image", ("core", 3)),
        ("RUN one", ("core", 2)),
        ("COPY two", ("base", 1)),
        ("RUN of somebody else", None),
    ]
