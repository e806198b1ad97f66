"""`--no-deps`: images alone, on parents as they are published."""

import pytest

from orbiter import builders, resources, schema, source
from orbiter.errors import UsageError
from orbiter.plan import plan, without_parents
from orbiter.resolve import resolve

CONFIG = b"""\
docker: {repo: ghcr.io/a/b}
version: "1"
build:
  a:
    core: {image: "debian:trixie-slim", builder: pip_core}
    base: {image: core, builder: pip_deploy, build: {image: core, builder: pip_builder, pip: [six]}}
    more: {image: base, builder: pip_deploy, build: {image: base-build, builder: pip_builder, pip: [idna]}}
"""
RULES = schema.parse(resources.schema(), {})
KNOWN = builders.with_own(schema.builders(RULES))
PLAN = plan(resolve(source.load(CONFIG, "o.yaml"), KNOWN)[0], KNOWN)
CORE = "contexts.ghcr.io/a/b:a-core-1=docker-image://ghcr.io/a/b:a-core-1"


def test_parents_are_those_of_the_registry_and_the_nested_build_is_made() -> None:
    alone, overrides = without_parents(PLAN, ["a-base"])
    assert {target.name: target.needs for target in alone.targets} == {
        "a-base-build": (),
        "a-base": ("a-base-build",),
    }
    assert overrides == (f"a-base-build.{CORE}", f"a-base.{CORE}")


def test_what_is_named_as_well_is_built() -> None:
    _, overrides = without_parents(PLAN, ["a-base", "a-core"])
    assert overrides == ()
    assert without_parents(PLAN, ["default"])[1] == ()


def test_a_parent_that_is_never_published_is_refused() -> None:
    with pytest.raises(
        UsageError, match="'a-more-build' needs 'a-base-build', a nested build, which is never published"
    ):
        without_parents(PLAN, ["a-more"])
    assert without_parents(PLAN, ["a-more", "a-base-build"])[1] != ()
