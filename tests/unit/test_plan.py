"""What bake is to build: selections, groups, tags, contexts, variables, and the plan as text and as data."""

import json
import textwrap

import pytest

from orbiter import builders, resources, schema, source
from orbiter.errors import NothingMatched
from orbiter.lock import CondaPackage, Entry, Lock, foundations, inputs
from orbiter.model import BuildPlan, Context
from orbiter.plan import PROJECT, as_data, as_text, family_patterns, plan, restrict, select, tags
from orbiter.resolve import resolve

RULES = schema.parse(resources.schema(), {})

TWO_FAMILIES = """
    version: "1.0"
    docker: {repo: example.org/x}
    build:
      pip:
        core: {image: "debian:trixie-slim", builder: pip_core, apt: [git, less]}
        base:
          image: core
          builder: pip_deploy
          tags: [latest]
          build: {image: core, builder: pip_builder, apt: [gcc], npm: [vega], pip: [numpy, pandas]}
        lab:
          image: base
          builder: pip_deploy
          build: {image: base-build, builder: pip_builder, pip: [geopandas]}
      conda:
        core: {image: pip-core, builder: micromamba_core}
        base:
          image: core
          builder: micromamba_deploy
          build: {image: core, builder: micromamba_builder, conda: {dependencies: [numpy, {pip: [a, b]}]}}
"""


def planned(text: str, folder: str = ".") -> BuildPlan:
    document = source.load(textwrap.dedent(text).encode(), "orbiter.yaml")
    assert schema.check(document, RULES) == ()
    project, _ = resolve(document, builders.BUILDERS)
    return plan(project, builders.BUILDERS, folder)


@pytest.fixture(scope="module")
def two() -> BuildPlan:
    return planned(TWO_FAMILIES)


def contexts(plan: BuildPlan, target: str) -> tuple[Context, ...]:
    (found,) = (each.contexts for each in plan.targets if each.name == target)
    return found


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        ((), ("default",)),
        (("pip",), ("pip",)),
        (("pip-base",), ("pip-base",)),
        (("pip-base-build",), ("pip-base-build",)),
        (("*",), ("pip-core", "pip-base", "pip-lab", "conda-core", "conda-base")),
        (("pip-*",), ("pip-core", "pip-base", "pip-lab")),
        (("*-base",), ("pip-base", "conda-base")),
        (("*-[bl]a[sb]*",), ("pip-base", "pip-lab", "conda-base")),
        (("conda-*", "pip-lab", "conda-core"), ("pip-lab", "conda-core", "conda-base")),
        (("conda-base", "default"), ("default", "conda-base")),
    ],
)
def test_names_and_globs_select_in_the_order_of_the_plan(
    two: BuildPlan, patterns: tuple[str, ...], chosen: tuple[str, ...]
) -> None:
    assert select(two, patterns) == chosen


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (("pip-bse",), "no target matches 'pip-bse'; did you mean 'pip-base'?"),
        (("pip-base", "conda-bas"), "no target matches 'conda-bas'; did you mean 'conda-base'?"),
        (("*-build",), "no target matches '*-build'; did you mean 'pip-lab-build'?"),
        (("PIP-*",), "no target matches 'PIP-*'; known: pip-core, pip-base, pip-lab, conda-core, conda-base"),
        (("",), "no target matches ''; known: pip-core, pip-base, pip-lab, conda-core, conda-base"),
    ],
)
def test_a_pattern_that_names_nothing_is_an_error(two: BuildPlan, patterns: tuple[str, ...], message: str) -> None:
    for choose in (select, restrict):
        with pytest.raises(NothingMatched) as error:
            choose(two, patterns)
        assert (str(error.value), error.value.exit_code) == (message, 3)


@pytest.mark.parametrize(
    ("family", "image", "patterns"),
    [
        (None, None, ()),
        ("pip", None, ("pip-core", "pip-base", "pip-lab")),
        (None, "base", ("pip-base", "conda-base")),
        ("conda", "base", ("conda-base",)),
    ],
)
def test_family_and_image_name_published_images(
    two: BuildPlan, family: str | None, image: str | None, patterns: tuple[str, ...]
) -> None:
    assert family_patterns(two, family, image) == patterns


@pytest.mark.parametrize(
    ("family", "image", "message"),
    [
        ("conad", None, "no family 'conad'; did you mean 'conda'?"),
        ("x", "base", "no family 'x'; known: pip, conda"),
        (None, "bas", "no image 'bas'; did you mean 'base'?"),
        ("conda", "lab", "no image 'lab' in family 'conda'; known: core, base"),
        ("pip", "base-build", "no image 'base-build' in family 'pip'; known: core, base, lab"),
    ],
)
def test_an_unknown_family_or_image_is_an_error(
    two: BuildPlan, family: str | None, image: str | None, message: str
) -> None:
    with pytest.raises(NothingMatched) as error:
        family_patterns(two, family, image)
    assert (str(error.value), error.value.exit_code) == (message, 3)


@pytest.mark.parametrize(
    ("patterns", "targets", "groups"),
    [
        (("pip-core",), ["pip-core"], {"default": ("pip-core",), "pip": ("pip-core",)}),
        (("pip-base-build",), ["pip-core", "pip-base-build"], {"default": ("pip-core",), "pip": ("pip-core",)}),
        (
            ("conda",),
            ["pip-core", "conda-core", "conda-base-build", "conda-base"],
            {
                "default": ("pip-core", "conda-core", "conda-base"),
                "pip": ("pip-core",),
                "conda": ("conda-core", "conda-base"),
            },
        ),
    ],
)
def test_a_restricted_plan_has_all_that_is_needed_and_no_more(
    two: BuildPlan, patterns: tuple[str, ...], targets: list[str], groups: dict[str, tuple[str, ...]]
) -> None:
    found = restrict(two, patterns)
    assert [target.name for target in found.targets] == targets
    assert {group.name: group.targets for group in found.groups} == groups


def test_everything_published_needs_everything_here(two: BuildPlan) -> None:
    assert restrict(two, ()) == two


def test_a_build_that_nothing_published_needs_is_not_in_the_default() -> None:
    found = planned("""
        build:
          debian:
            core:
              image: "debian:trixie-slim"
              builder: pip_core
              build: {image: "debian:trixie-slim", builder: pip_builder}
    """)
    assert [target.name for target in restrict(found, ()).targets] == ["debian-core"]
    (only,) = restrict(found, ["debian-core-build"]).targets
    assert (only.name, restrict(found, ["debian-core-build"]).groups) == ("debian-core-build", ())


def test_groups_hold_published_images(two: BuildPlan) -> None:
    assert {group.name: group.targets for group in two.groups} == {
        "default": ("pip-core", "pip-base", "pip-lab", "conda-core", "conda-base"),
        "pip": ("pip-core", "pip-base", "pip-lab"),
        "conda": ("conda-core", "conda-base"),
    }
    assert all(group.description for group in two.groups)


def test_only_published_images_have_tags(two: BuildPlan) -> None:
    images = two.project.images
    assert tags(two.project, images["pip-core"]) == ("example.org/x:pip-core-1.0",)
    assert tags(two.project, images["pip-base"]) == ("example.org/x:pip-base-1.0", "example.org/x:latest")
    assert tags(two.project, images["pip-base-build"]) == ()


@pytest.mark.parametrize(
    ("target", "needs"),
    [
        ("pip-core", ()),
        ("pip-base-build", ("pip-core",)),
        ("pip-base", ("pip-core", "pip-base-build")),
        ("pip-lab", ("pip-base", "pip-lab-build")),
        ("conda-core", ("pip-core",)),
    ],
)
def test_needs_are_parent_and_nested_build(two: BuildPlan, target: str, needs: tuple[str, ...]) -> None:
    (found,) = (each for each in two.targets if each.name == target)
    assert found.needs == needs
    linked = [context for context in found.contexts if context.kind == "target"]
    assert [(c.reference, c.value) for c in linked] == [(two.project.reference(need), need) for need in needs]


def test_an_installer_is_a_context_that_a_variable_replaces(two: BuildPlan) -> None:
    uv = dict(builders.TOOLS)["UV_IMAGE"]
    wanted = Context(reference=uv, kind="image", value="", variable="UV_IMAGE")
    assert wanted in contexts(two, "pip-base-build")
    assert wanted not in contexts(two, "pip-base")


def test_files_of_the_project_are_a_context_seen_from_the_bake_file() -> None:
    text = "build: {d: {core: {image: 'debian:trixie', builder: pip_core, copy: {a: b}}}}"
    assert contexts(planned(text), "d-core") == (Context(reference=PROJECT, kind="folder", value="."),)
    assert contexts(planned(text, "../.."), "d-core") == (Context(reference=PROJECT, kind="folder", value="../.."),)


@pytest.mark.parametrize(
    ("reference", "variable", "value"),
    [
        ("debian:trixie", "MIRROR_DOCKER_IO", "/library/debian:trixie"),
        ("a/b:1", "MIRROR_DOCKER_IO", "/a/b:1"),
        ("docker.io/a/b", "MIRROR_DOCKER_IO", "/a/b"),
        ("ghcr.io/a/b:1", "MIRROR_GHCR_IO", "/a/b:1"),
        ("localhost:5000/a", "MIRROR_LOCALHOST_5000", "/a"),
    ],
)
def test_a_mirrored_parent_is_a_context_of_its_full_reference(reference: str, variable: str, value: str) -> None:
    text = f"""
        mirrors: {{docker.io: hub.example.org/proxy, ghcr.io: hub.example.org/ghcr, "localhost:5000": other:5000}}
        build: {{d: {{core: {{image: "{reference}", builder: pip_core}}}}}}
    """
    assert contexts(planned(text), "d-core") == (
        Context(reference=reference, kind="image", value=value, variable=variable),
    )


def test_a_registry_without_mirror_is_no_context() -> None:
    text = "mirrors: {docker.io: hub}\nbuild: {d: {core: {image: 'quay.io/a:1', builder: pip_core}}}"
    assert contexts(planned(text), "d-core") == ()


def test_variables_are_those_that_are_used(two: BuildPlan) -> None:
    names = ["REPO", "VERSION", "CACHE_REPO", "CACHE_BRANCH", "CACHE_WRITE", "PLATFORMS", "REVISION", "CREATED"]
    assert [variable.name for variable in two.variables] == [*names, "MICROMAMBA_IMAGE", "UV_IMAGE"]
    assert [variable.default for variable in two.variables[:8]] == ["example.org/x", "1.0", "", "", "1", "", "", ""]
    text = "mirrors: {docker.io: hub, ghcr.io: hub2}\nbuild: {d: {core: {image: 'debian:trixie', builder: pip_core}}}"
    assert [variable.name for variable in planned(text).variables] == [*names, "MIRROR_DOCKER_IO"]


def test_an_installer_comes_through_the_mirror() -> None:
    text = f"mirrors: {{ghcr.io: hub.example.org/ghcr}}\n{textwrap.dedent(TWO_FAMILIES)}"
    defaults = {variable.name: variable.default for variable in planned(text).variables}
    assert defaults["UV_IMAGE"] == dict(builders.TOOLS)["UV_IMAGE"].replace("ghcr.io", "hub.example.org/ghcr")
    assert defaults["MICROMAMBA_IMAGE"] == dict(builders.TOOLS)["MICROMAMBA_IMAGE"]


@pytest.mark.parametrize(
    ("mirrors", "secrets"),
    [
        ("{docker.io: hub}", ()),
        ("{pip: 'https://p'}", (("mirrors", "build/mirrors.env"),)),
        ("{ca: certs/ca.crt}", (("mirrors", "build/mirrors.env"), ("ca", "../certs/ca.crt"))),
    ],
)
def test_indexes_and_certificates_are_secrets(mirrors: str, secrets: tuple[tuple[str, str], ...]) -> None:
    text = f"mirrors: {mirrors}\nbuild: {{d: {{core: {{image: 'debian:trixie', builder: pip_core}}}}}}"
    assert planned(text, "..").targets[0].secrets == secrets


def test_descriptions_count_packages(two: BuildPlan) -> None:
    found = {target.name: target.description for target in two.targets}
    assert found["pip-core"] == "pip_core on debian:trixie-slim; packages: 2 apt"
    assert found["pip-base-build"] == "pip_builder on pip-core; packages: 1 apt, 2 pip, 1 npm"
    assert found["pip-base"] == "pip_deploy on pip-core, environment of pip-base-build"
    assert found["conda-base-build"] == "micromamba_builder on conda-core; packages: 3 conda"


def test_text_has_families_their_targets_and_tags(two: BuildPlan) -> None:
    assert as_text(restrict(two, ["pip-base", "conda-core"])) == textwrap.dedent("""\
        pip
          pip-core        pip_core on debian:trixie-slim; packages: 2 apt
                          → example.org/x:pip-core-1.0
          pip-base-build  pip_builder on pip-core; packages: 1 apt, 2 pip, 1 npm
          pip-base        pip_deploy on pip-core, environment of pip-base-build
                          → example.org/x:pip-base-1.0
                          → example.org/x:latest

        conda
          conda-core      micromamba_core on pip-core
                          → example.org/x:conda-core-1.0""")


def test_text_lists_targets_as_the_configuration_does() -> None:
    text = """
        build:
          debian:
            base: {image: core, builder: pip_deploy}
            core: {image: "debian:trixie-slim", builder: pip_core}
    """
    shown = [line.split()[0] for line in as_text(planned(text)).splitlines() if line.startswith("  debian")]
    assert shown == ["debian-base", "debian-core"]


def test_data_is_json_with_all_of_a_target(two: BuildPlan) -> None:
    data = json.loads(json.dumps(as_data(two)))
    assert {key: data[key] for key in ("source", "repository", "version")} == {
        "source": "orbiter.yaml",
        "repository": "example.org/x",
        "version": "1.0",
    }
    assert data["groups"]["conda"] == ["conda-core", "conda-base"]
    by_name = {target["name"]: target for target in data["targets"]}
    assert list(by_name) == [target.name for target in two.targets]
    assert by_name["pip-base-build"] == {
        "name": "pip-base-build",
        "family": "pip",
        "builder": "pip_builder",
        "description": "pip_builder on pip-core; packages: 1 apt, 2 pip, 1 npm",
        "path": "build.pip.base.build",
        "dockerfile": "build/pip/base/build/Dockerfile",
        "parent": "example.org/x:pip-core-1.0",
        "needs": ["pip-core"],
        "deployable": False,
        "tags": [],
        "cache": "${CACHE_REPO}:pip-base-build",
        "platforms": [],
        "labels": {},
        "packages": {"apt": ["gcc"], "pip": ["numpy", "pandas"], "npm": ["vega"]},
    }
    assert by_name["conda-base-build"]["packages"] == {"conda": ["numpy", "a", "b"]}


def test_every_target_has_a_cache_of_its_own(two: BuildPlan) -> None:
    caches = [target["cache"] for target in as_data(two)["targets"]]
    assert len(set(caches)) == len(two.targets)


def test_conda_packages_of_the_parent_are_not_installed_again() -> None:
    """micromamba would link them once more, over what is there."""
    text = """
    version: "1"
    docker: {repo: r}
    build:
      a:
        core: {image: "debian:trixie-slim", builder: micromamba_core}
        base:
          image: core
          builder: micromamba_deploy
          build: {image: core, builder: micromamba_builder, conda: {dependencies: [python]}}
        top:
          image: base
          builder: micromamba_deploy
          build: {image: base-build, builder: micromamba_builder, conda: {dependencies: [numpy]}}
        own: {image: base, builder: micromamba_builder, conda: {dependencies: [numpy]}}
    """
    python, numpy = (
        CondaPackage(name=name, version="1", build="0", url=f"https://x/{name}.conda", sha256="0")
        for name in ("python", "numpy")
    )
    project = planned(text).project
    entries: dict[str, Entry] = {}
    for name, packages in (("a-base-build", (python,)), ("a-top-build", (python, numpy)), ("a-own", (python, numpy))):
        image = project.images[name]
        under = [entries[each.target] for each in foundations(project)[name]]
        entries[name] = Entry(inputs=inputs(project, image, under), conda={"linux-64": packages})
    stages = {each.name: each.stage for each in plan(project, builders.BUILDERS, lock=Lock(targets=entries)).targets}
    assert stages["a-base-build"].explicit == {"amd64": ("https://x/python.conda#sha256:0",)}
    assert stages["a-top-build"].explicit == {"amd64": ("https://x/numpy.conda#sha256:0",)}
    assert stages["a-own"].explicit == {"amd64": ("https://x/numpy.conda#sha256:0",)}
    assert stages["a-core"].explicit == {}
