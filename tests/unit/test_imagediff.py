"""What changed by image: nested builds belong to their image, what a parent has is not said again."""

from dataclasses import replace
from typing import Any

import pytest

from orbiter.imagediff import as_data, as_markdown, as_text, common, difference, of_image, of_lock, only
from orbiter.installed import Installed
from orbiter.lock import CondaPackage, Entry, Lock, PipPackage, System
from tests.unit.test_lock import project

PROJECT = project(
    """
    build:
      debian:
        core: {image: "debian:trixie-slim", builder: pip_core}
        base:
          image: core
          builder: pip_deploy
          build: {image: core, builder: pip_builder, pip: [numpy]}
        top:
          image: base
          builder: pip_deploy
          build: {image: base-build, builder: pip_builder, pip: [pandas]}
        plain: {image: base, builder: pip_deploy}
    """
)
BASE, TOP = "debian-base-build", "debian-top-build"


def entry(**versions: str) -> Entry:
    return Entry(inputs="", pip=tuple(PipPackage(name=name, version=version) for name, version in versions.items()))


def system(**versions: str) -> System:
    return System(kind="apt", distribution="debian 13", platform="linux/amd64", packages=versions)


OLD = Lock(
    images={"debian:trixie-slim": "sha256:" + "a" * 64, "uv:1": "sha256:" + "c" * 64},
    targets={BASE: entry(numpy="1.0", six="1"), TOP: entry(pandas="2.0"), "debian-gone-build": entry(a="1", b="1")},
)
NEW = Lock(
    images={"debian:trixie-slim": "sha256:" + "b" * 64, "uv:1": "sha256:" + "d" * 64},
    targets={BASE: entry(numpy="1.1", polars="3"), TOP: entry(pandas="2.1")},
)


def changed(old: Lock, new: Lock, named: Any = PROJECT) -> Any:
    return difference(of_lock(old, named), of_lock(new, named), named)


def test_each_image_has_the_changes_of_its_builds_and_a_parents_are_not_repeated() -> None:
    assert as_text(changed(OLD, NEW)).splitlines() == [
        "images from elsewhere",
        "  ~ uv:1 sha256:cccccccccccc → sha256:dddddddddddd",
        "debian-core",
        "  ~ debian:trixie-slim sha256:aaaaaaaaaaaa → sha256:bbbbbbbbbbbb",
        "debian-base, besides what changed in debian-core",
        "  ~ numpy 1.0 → 1.1",
        "  + polars 3",
        "  - six 1",
        "debian-top, besides what changed in debian-base",
        "  ~ pandas 2.0 → 2.1",
        "debian-plain: as debian-base",
        "debian-gone: gone, 2 pip",
    ]


def test_markdown_has_a_heading_an_image() -> None:
    text = as_markdown(changed(OLD, NEW))
    assert text.startswith(
        "### Images from elsewhere\n\n| package | from | to |\n| --- | --- | --- |\n| uv:1 | sha256:c"
    )
    assert "### debian-top\n\nBesides what changed in debian-base:\n\n| package | from | to |\n" in text
    assert text.endswith("### debian-plain\n\nAs debian-base.\n\n### debian-gone\n\nGone: 2 pip.")


def test_data_has_all_changes_of_an_image() -> None:
    top = as_data(changed(OLD, NEW))["images"]["debian-top"]
    assert (top["state"], top["parent"]) == ("changed", "debian-base")
    own, inherited = ([c["name"] for c in top["changes"] if c["inherited"] is each] for each in (False, True))
    assert (own, inherited) == (["pandas"], ["debian:trixie-slim", "numpy", "polars", "six"])
    assert top["changes"][0]["new"] == "2.1"


def test_an_image_that_the_old_lock_does_not_have_is_new() -> None:
    assert as_text(changed(Lock(targets={BASE: NEW.targets[BASE]}), Lock(targets=NEW.targets))) == (
        "debian-top: new, 3 pip"
    )


def test_names_tell_the_image_where_there_is_no_project() -> None:
    assert as_text(changed(OLD, NEW, None)).splitlines()[3:] == [
        "debian-base",
        "  ~ numpy 1.0 → 1.1",
        "  + polars 3",
        "  - six 1",
        "debian-gone: gone, 2 pip",
        "debian-top",
        "  ~ pandas 2.0 → 2.1",
    ]


def test_the_same_lock_changes_nothing() -> None:
    assert changed(OLD, OLD) == {}
    assert (as_text({}), as_markdown({}), as_data({})) == ("", "", {"elsewhere": [], "images": {}})


def test_packages_of_the_distribution_are_compared_where_both_recorded_them() -> None:
    old = replace(OLD, system={"debian-core": system(git="1"), "debian-base": system(git="1")})
    new = replace(OLD, system={"debian-core": system(git="2")})
    assert as_text(changed(old, new)).splitlines() == ["debian-core", "  ~ git 1 → 2"]
    assert changed(OLD, old) == {}


def test_entry_of_one_platform_has_no_word_of_others() -> None:
    z = CondaPackage(name="z", version="1", build="0", url="https://x/z.conda", sha256="3")
    pip = (PipPackage(name="a", version="1", platforms=("linux/amd64",)), PipPackage(name="b", version="1"))
    both = Entry(inputs="", pip=pip, build=pip, conda={"linux-64": (z,), "linux-aarch64": (z,)})
    assert [(each.name, each.platforms) for each in only(both, "linux/amd64").pip] == [("a", ()), ("b", ())]
    assert [each.name for each in only(both, "linux/arm64").pip] == ["b"]
    assert only(both, "linux/arm64").build == only(both, "linux/arm64").pip
    assert list(only(both, "linux/arm64").conda) == ["linux-aarch64"]


INSTALLED = Installed(
    labels={
        "orbiter.target": "debian-base",
        "org.opencontainers.image.base.name": "docker.io/library/debian:trixie-slim",
        "org.opencontainers.image.base.digest": "sha256:" + "a" * 64,
    },
    platform="linux/amd64",
    distribution="debian 13",
    versions={("pip", "numpy"): "1.0", ("pip", "six"): "2", ("apt", "git"): "1"},
    names={("pip", "numpy"): "NumPy", ("pip", "six"): "six", ("apt", "git"): "git"},
)


def test_an_image_is_compared_with_what_a_lock_knows_of_it() -> None:
    name, facts = of_image(INSTALLED, "r:1")
    locked, asked = common(of_lock(OLD, PROJECT, "linux/amd64")[name], facts)
    assert as_text(difference({name: asked}, {name: locked}, PROJECT)).splitlines() == ["debian-base", "  ~ six 2 → 1"]


@pytest.mark.parametrize(("labels", "name"), [({}, "r:1"), ({"orbiter.target": "x"}, "x")])
def test_an_image_has_the_name_of_its_target_else_its_reference(labels: dict[str, str], name: str) -> None:
    found = Installed(labels=labels, platform="linux/amd64", distribution="", versions={})
    assert of_image(found, "r:1")[0] == name
