"""Where the schema and the templates come from, and where Jinja remembers what it compiled."""

import json
import stat
from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment

from orbiter import resources
from orbiter.errors import UsageError


def test_schema_is_draft_7() -> None:
    assert json.loads(resources.schema())["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_every_builder_has_a_dockerfile() -> None:
    names = {f"{family}_{role}" for family in ("pip", "micromamba") for role in ("core", "builder", "deploy")}
    assert {f"{name}/Dockerfile.j2" for name in names} < set(resources.templates())
    assert "docker-bake.hcl.j2" in resources.templates()


def test_project_without_templates(tmp_path: Path) -> None:
    assert resources.project_templates(tmp_path) == {}
    assert resources.project_builders(tmp_path) == {}


def test_builders_of_a_project(tmp_path: Path) -> None:
    for name, text in {
        "r_core/Dockerfile.j2": "FROM r",
        "r_core/schema.json": '{"properties": {}}',
        "plain/Dockerfile.j2": "FROM p",
        "plain/deep/Dockerfile.j2": "FROM no builder of its own",
        "only_options/schema.json": "{}",
        "notes.txt": "no template",
    }.items():
        place = tmp_path / "templates" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    assert resources.project_builders(tmp_path) == {"plain": "{}", "r_core": '{"properties": {}}'}
    templates = resources.project_templates(tmp_path)
    assert set(templates) == {"r_core/Dockerfile.j2", "plain/Dockerfile.j2", "plain/deep/Dockerfile.j2"}


def test_template_that_is_no_text(tmp_path: Path) -> None:
    place = tmp_path / "templates/x/Dockerfile.j2"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot read the templates"):
        resources.project_templates(tmp_path)


def test_compiled_templates_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def use(text: str) -> str:
        cache = resources.compiled_templates()
        return Environment(loader=DictLoader({"a": text}), bytecode_cache=cache).get_template("a").render()

    folder = tmp_path / "orbiter/templates"
    assert [use("one"), use("one"), use("two")] == ["one", "one", "two"]
    assert len(list(folder.iterdir())) == 1
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for entry in folder.iterdir():
        entry.write_bytes(b"broken")
    assert use("two") == "two"


def test_no_cache_folder_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert resources.compiled_templates() is None
