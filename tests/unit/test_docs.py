"""The documentation: it builds, leads nowhere wrong, and shows what Orbiter does today."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from orbiter.cli import cli
from tests.conftest import ROOT, Run
from tests.pages import DOCS, PAGES, Block, blocks, steps

FETCHED = re.compile(r'<(?:script|img|link(?! rel="canonical"))\b[^>]*(?:src|href)="((?:https?:)?//[^"]*)"')
ELSEWHERE = re.compile(r"url\(['\"]?(?:https?:)?//|@import")


def build(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Builds the site of a folder with mkdocs.yml and docs/, into its folder `site`."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder / "site"]
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(DOCS, tmp_path / "docs")
    return tmp_path


def test_site_builds_and_fetches_nothing(copied: Path) -> None:
    done = build(copied)
    assert done.returncode == 0, done.stderr
    pages = list((copied / "site").rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        assert FETCHED.findall(page.read_text()) == [], page
    for style in (copied / "site").rglob("*.css"):
        assert not ELSEWHERE.search(style.read_text()), style


@pytest.mark.parametrize(
    "link", ["nowhere.md", "tutorial.md#nowhere", "#nowhere", "/tutorial.md", "../README.md", "assets/nowhere.svg"]
)
def test_dead_link_fails_the_build(copied: Path, link: str) -> None:
    with (copied / "docs/index.md").open("a") as page:
        page.write(f"\n[there]({link})\n")
    done = build(copied)
    assert done.returncode == 1
    assert link.removeprefix("../") in done.stderr


def test_page_that_nobody_finds_fails_the_build(copied: Path) -> None:
    (copied / "docs/lost.md").write_text("# Lost\n")
    done = build(copied)
    assert (done.returncode, "lost.md" in done.stderr) == (1, True)


def test_links_to_the_repository_and_of_the_readme_lead_somewhere() -> None:
    named = [
        path
        for page in PAGES
        for path in re.findall(r"https://github.com/dorgeln/orbiter/(?:tree|blob)/main/([^)#\s]+)", _text(page))
    ]
    local = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / "README.md").read_text())
    assert named
    assert [path for path in named + local if not (ROOT / path).exists()] == []


def test_generated_pages_are_current() -> None:
    command = [sys.executable, ROOT / "scripts" / "docs.py", "--check"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def _text(page: str) -> str:
    return (DOCS / page).read_text()


def _configurations() -> Iterator[tuple[Block, list[Block]]]:
    """Every block that is a configuration, with the blocks after it that show files made from it."""
    for page in PAGES:
        found: tuple[Block, list[Block]] | None = None
        for block in blocks(page):
            if block.language == "yaml" and "build" in (yaml.safe_load(block.text) or {}):
                if found:
                    yield found
                found = (block, [])
            elif found and block.file and block.language != "yaml":
                found[1].append(block)
        if found:
            yield found


CONFIGURATIONS = tuple(_configurations())


def test_there_are_configurations_on_many_pages() -> None:
    assert len({block.page for block, _ in CONFIGURATIONS}) >= 9


@pytest.mark.parametrize(
    ("configuration", "shown"), CONFIGURATIONS, ids=[f"{b.page}-{n}" for n, (b, _) in enumerate(CONFIGURATIONS)]
)
def test_configuration_compiles_to_what_is_shown(
    configuration: Block, shown: list[Block], tmp_path: Path, orbiter: Run
) -> None:
    (tmp_path / "orbiter.yaml").write_text(configuration.text)
    for path in _files(yaml.safe_load(configuration.text)):
        (tmp_path / path).mkdir(parents=True)
    done = orbiter("compile")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    for block in shown:
        if (tmp_path / block.file).exists():
            _assert_contains((tmp_path / block.file).read_text(), block.text)


def _files(data: Mapping[str, Any]) -> Iterator[str]:
    """The files of the project that a configuration names."""
    if "ca" in data.get("mirrors", {}):
        yield data["mirrors"]["ca"]
    for image in (image for family in data["build"].values() for image in family.values()):
        yield from image.get("copy", {})
        yield from image.get("test", {}).get("notebooks", ())


def _assert_contains(text: str, shown: str) -> None:
    """What is shown is there, line by line; a line `…` stands for any lines."""
    at = 0
    for part in re.split(r"^…\n", shown, flags=re.MULTILINE):
        found = f"\n{text}".find(f"\n{part}", at)
        assert found >= 0, part
        at = found + len(part)


def test_generated_files_that_are_shown_are_compared() -> None:
    compared = {block for _, shown in CONFIGURATIONS for block in shown}
    for page in PAGES:
        for block in blocks(page):
            if block.language == "hcl" or ("Generated by orbiter" in block.text and block.language == "dockerfile"):
                assert block in compared


def test_bake_file_has_no_label_or_variable_that_is_not_named() -> None:
    page = (DOCS / "reference/bake-file.md").read_text()
    template = (ROOT / "docker-bake.hcl.j2").read_text()
    labels = re.findall(r'^ {4}"([a-z.]+)" +=', template, re.MULTILINE)
    variables = re.findall(r'^variable "([A-Z]+_?[A-Z]+)"', (ROOT / "docker-bake.hcl").read_text(), re.MULTILINE)
    assert "orbiter.target" in labels
    assert "CACHE_REPO" in variables
    assert [name for name in labels + variables if f"`{name}`" not in page] == []


def test_dockerfiles_of_people_pass_hadolint(hadolint: str) -> None:
    own = [b for page in PAGES for b in blocks(page) if b.language == "dockerfile" and not b.file]
    assert own
    for block in own:
        # Which versions a reader pins is theirs.
        command = [hadolint, "--ignore", "DL3008", "--ignore", "DL3013", "-"]
        done = subprocess.run(command, input=block.text, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def _calls() -> Iterator[tuple[str, list[str]]]:
    """Every call of Orbiter in a console block: page, arguments."""
    for page in PAGES:
        for block in blocks(page):
            for step in steps(block) if block.language == "console" else ():
                words = shlex.split(step.command, comments=True)
                if "orbiter" in words:
                    arguments = words[words.index("orbiter") + 1 :]
                    ends = [n for n, word in enumerate(arguments) if word in ("|", "||", "&&", ">")]
                    if words[0] not in ("pip", "git", "cd"):
                        yield page, arguments[: ends[0] if ends else None]


@pytest.mark.parametrize(("page", "arguments"), sorted(_calls()), ids=str)
def test_commands_have_the_options_that_they_are_called_with(page: str, arguments: list[str]) -> None:
    context = click.Context(cli, info_name="orbiter")
    command = cli.get_command(context, arguments[0])
    assert command is not None, f"{page}: {arguments[0]}"
    inner = command.make_context(arguments[0], arguments[1:], parent=context)
    if isinstance(command, click.Group):
        # The groups have no options of their own.
        command.commands[arguments[1]].make_context(arguments[1], arguments[2:], parent=inner)
