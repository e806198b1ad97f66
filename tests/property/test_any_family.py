"""What holds for every family: parents come first, nothing is lost, a selection has all that it needs."""

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from orbiter import builders, resources, schema, source
from orbiter.errors import ConfigError
from orbiter.model import BuildPlan
from orbiter.plan import plan, restrict, select
from orbiter.render import render
from orbiter.resolve import resolve

RULES = schema.parse(resources.schema(), {})
KNOWN = builders.with_own(schema.builders(RULES))
TEMPLATES = resources.templates()
NAMES = ("base", "lab", "gpu", "course")


@st.composite
def families(draw: st.DrawFn) -> dict[str, Any]:
    """Configurations of one to three families, images stacked at random on any image of their family."""
    build: dict[str, Any] = {}
    for family in draw(st.lists(st.sampled_from(["debian", "pip", "x"]), min_size=1, max_size=3, unique=True)):
        images: dict[str, Any] = {"core": {"image": "debian:trixie-slim", "builder": "pip_core"}}
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
            parent = draw(st.sampled_from(list(images)))
            image: dict[str, Any] = {"image": parent, "builder": "pip_deploy"}
            if draw(st.booleans()):
                image["apt"] = draw(st.lists(st.sampled_from(["git", "curl", "less"]), max_size=3))
            if draw(st.booleans()) or parent == "core":
                # An image on core brings an environment; one on another image may.
                below = f"{parent}-build" if "build" in images[parent] else "core"
                image["build"] = {"image": below, "builder": "pip_builder", "pip": ["numpy"]}
            images[name] = image
        order = draw(st.permutations(list(images)))
        build[family] = {name: images[name] for name in order}
    return {"build": build}


def planned(config: dict[str, Any]) -> BuildPlan:
    document = source.load(yaml.safe_dump(config, sort_keys=False).encode(), "orbiter.yaml")
    assert schema.check(document, RULES) == ()
    project, _ = resolve(document, KNOWN)
    return plan(project, KNOWN)


@given(families())
def test_targets_are_the_images_of_the_configuration(config: dict[str, Any]) -> None:
    found = planned(config)
    wanted = set()
    for family, images in config["build"].items():
        for name, image in images.items():
            wanted |= {f"{family}-{name}"} | ({f"{family}-{name}-build"} if "build" in image else set())
    names = [target.name for target in found.targets]
    assert sorted(names) == sorted(wanted)


@given(families())
def test_every_link_is_a_target_and_none_closes_a_circle(config: dict[str, Any]) -> None:
    found = planned(config)
    needs = {target.name: set(target.needs) for target in found.targets}
    for target in found.targets:
        assert {each.value for each in target.contexts if each.kind == "target"} == needs[target.name]
    done: set[str] = set()
    while len(done) < len(needs):
        ready = {name for name, parents in needs.items() if parents <= done} - done
        assert ready
        done |= ready


@given(families(), st.data())
def test_a_selection_is_closed_and_the_smallest(config: dict[str, Any], data: st.DataObject) -> None:
    found = planned(config)
    chosen = data.draw(st.sets(st.sampled_from([target.name for target in found.targets]), min_size=1))
    part = restrict(found, sorted(chosen))
    names = {target.name for target in part.targets}
    assert select(found, sorted(chosen)) == tuple(t.name for t in found.targets if t.name in chosen)
    assert chosen <= names
    for target in part.targets:
        assert set(target.needs) <= names
        assert target.name in chosen or any(target.name in other.needs for other in part.targets)
    assert restrict(part, sorted(chosen)) == part


@given(families())
def test_groups_are_the_published_images(config: dict[str, Any]) -> None:
    found = planned(config)
    groups = {group.name: set(group.targets) for group in found.groups}
    published = {target.name for target in found.targets if target.image.deployable}
    assert groups.pop("default") == published
    assert set().union(*groups.values()) == published


@given(families())
def test_order_of_families_and_images_changes_no_dockerfile(config: dict[str, Any]) -> None:
    turned = {"build": {family: dict(reversed(images.items())) for family, images in reversed(config["build"].items())}}
    one, other = (render(planned(each), TEMPLATES) for each in (config, turned))
    assert {path: text for path, text in one.items() if path != "docker-bake.hcl"} == {
        path: text for path, text in other.items() if path != "docker-bake.hcl"
    }


@given(families(), st.data())
def test_a_circle_is_shown_as_the_path_that_closes(config: dict[str, Any], data: st.DataObject) -> None:
    family = data.draw(st.sampled_from(list(config["build"])))
    images = config["build"][family]
    stacked = [name for name in images if name != "core"]
    if not stacked:
        return
    name = data.draw(st.sampled_from(stacked))
    images["core"]["image"] = name
    try:
        planned(config)
    except ConfigError as error:
        (message,) = [finding.message for finding in error.findings if "→" in finding.message]
        first, *_, last = message.partition(": ")[2].split(" → ")
        assert first == last
    else:
        raise AssertionError("a circle was resolved")
