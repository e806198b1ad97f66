"""The README's example is what Orbiter does today."""

import json
import re
from pathlib import Path

from orbiter.commands import SECTIONS
from tests.conftest import ROOT, Run

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_example_is_what_compile_writes(tmp_path: Path, orbiter: Run) -> None:
    shown = dict(reversed(BLOCK.findall((ROOT / "README.md").read_text())))
    (tmp_path / "orbiter.yaml").write_text(shown["yaml"])
    assert orbiter("compile").returncode == 0
    dockerfile = (tmp_path / "build/debian/base/Dockerfile").read_text()
    # The README leaves the program of the health check out.
    assert shown["dockerfile"] == re.sub(r'(?<=CMD \["python3", "-c", ").*(?="\]\n)', "…", dockerfile)
    # And the hash of the content, and what it is made of.
    assert shown["hcl"] in re.sub(r'"([0-9a-f]{16}|builder=.*)"', '"…"', (tmp_path / "docker-bake.hcl").read_text())


def test_every_command_is_named() -> None:
    readme = (ROOT / "README.md").read_text()
    for command in (name for names in SECTIONS.values() for name in names):
        assert f"| `orbiter {command}" in readme


def test_every_key_is_in_the_table() -> None:
    readme = (ROOT / "README.md").read_text()
    schema = json.loads((ROOT / "schemas/orbiter.schema.json").read_text())
    for key in schema["properties"]:
        assert re.search(rf"^\|.*`{key}\b", readme, re.MULTILINE), key
