"""The hash of what an image is made of: what changes it, and what does not."""

import re
from collections.abc import Mapping

import pytest

from orbiter import builders, resources, schema, source
from orbiter.content import hashes
from orbiter.model import BuildPlan
from orbiter.plan import plan
from orbiter.render import BAKE_FILE, render
from orbiter.resolve import resolve

CONFIG = """\
version: 1.0.0
docker: {repo: example/course}
build:
  debian:
    core: {image: "debian:trixie-slim", builder: pip_core, apt: [git]}
    base: {image: core, builder: pip_deploy, build: {image: core, builder: pip_builder, pip: [numpy]}}
    side: {image: core, builder: pip_deploy, env: {A: b}}
    top: {image: base, builder: pip_deploy, build: {image: base-build, builder: pip_builder, pip: [scipy]}}
"""
DOCKERFILE = "build/debian/side/Dockerfile"


def planned(text: str = CONFIG) -> BuildPlan:
    known = builders.with_own(schema.builders(schema.parse(resources.schema(), {})))
    project, _ = resolve(source.load(text.encode(), "orbiter.yaml"), known)
    return plan(project, known)


def files(text: str = CONFIG) -> Mapping[str, str]:
    return render(planned(text), resources.templates())


def labels(text: str) -> dict[str, str]:
    """The hashes of the published images, as the bake file says them."""
    return dict(re.findall(r'labels\("([^"]+)", "[^"]*", "([0-9a-f]{16})", {', files(text)[BAKE_FILE]))


def changed(old: str, new: str) -> set[str]:
    """The targets whose hash is another one when the configuration says `new` instead of `old`."""
    assert old in CONFIG
    before, after = labels(CONFIG), labels(CONFIG.replace(old, new))
    assert set(after) == set(before)
    return {name for name, value in after.items() if value != before[name]}


def test_every_published_image_has_its_own() -> None:
    found = labels(CONFIG)
    assert list(found) == ["debian-core", "debian-base", "debian-side", "debian-top"]
    assert len(set(found.values())) == 4


@pytest.mark.parametrize(
    ("old", "new", "targets"),
    [
        ("apt: [git]", "apt: [git, less]", {"debian-core", "debian-base", "debian-side", "debian-top"}),
        ("apt: [git]", "apt: [git], labels: {org.a: b}", {"debian-core", "debian-base", "debian-side", "debian-top"}),
        ("pip: [numpy]", "pip: [numpy, pandas]", {"debian-base", "debian-top"}),
        ("pip: [scipy]", "pip: [sympy]", {"debian-top"}),
        ("A: b", "A: c", {"debian-side"}),
    ],
)
def test_a_change_reaches_what_is_built_from_it_and_nothing_else(old: str, new: str, targets: set[str]) -> None:
    assert changed(old, new) == targets


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1.0.0", "version: 2.0.0"),
        ("version: 1.0.0", "version: 1.0.0\nmaintainer: Somebody"),
        ("repo: example/course", "repo: registry.example.org/course"),
        ("env: {A: b}", "env: {A: b}, tags: [latest]"),
        ("apt: [git]", "apt: [git, git]"),
    ],
)
def test_what_an_image_is_called_does_not_count(old: str, new: str) -> None:
    assert changed(old, new) == set()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_directives_and_all_lines_of_a_script_count(number: int) -> None:
    before = files()
    text = before[DOCKERFILE]
    other = (
        f"# syntax=docker/dockerfile:1\n{text}",
        f'{text}RUN <<"EOF"\n# a comment\nEOF\n',
        f'{text}RUN <<"EOF"\n# another\nEOF\n',
    )
    found = [hashes(planned(), before | {DOCKERFILE: each})["debian-side"] for each in (text, *other)]
    assert found.count(found[number]) == 1


def test_words_before_the_first_instruction_do_not_count() -> None:
    before = files()
    assert hashes(planned(), before | {DOCKERFILE: f"# Other words.\n{before[DOCKERFILE]}"}) == hashes(
        planned(), before
    )


def test_every_file_of_the_context_counts_and_no_other() -> None:
    before, more = files(), {"build/debian/side/more": "x"}
    wanted = hashes(planned(), before)
    assert {name for name, value in hashes(planned(), before | more).items() if value != wanted[name]} == {
        "debian-side"
    }
    assert hashes(planned(), before | {"dockerfiles/debian/side/more": "x"}) == wanted


def test_a_parent_may_stand_below_its_child() -> None:
    lines = CONFIG.splitlines(keepends=True)
    turned = "".join([*lines[:4], *reversed(lines[4:])])
    assert labels(turned) == labels(CONFIG)
