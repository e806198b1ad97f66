"""From a valid document to a project: names, parents, defaults, lists, and what only the whole can get wrong.

The findings of whole configurations are in tests/cases/error-*.
"""

import textwrap

import pytest

from orbiter import builders, resources, schema, source
from orbiter.diagnostics import Finding
from orbiter.errors import ConfigError
from orbiter.model import Conda, Family, Image, Project
from orbiter.resolve import resolve

RULES = schema.parse(resources.schema(), {})


def resolved(text: str) -> tuple[Project, tuple[Finding, ...]]:
    document = source.load(textwrap.dedent(text).encode(), "some/where/orbiter.yaml")
    assert schema.check(document, RULES) == ()
    return resolve(document, builders.BUILDERS)


def project(text: str) -> Project:
    found, warnings = resolved(text)
    assert warnings == ()
    return found


def core(more: str, builder: str = "pip_core", parent: str = "debian:trixie-slim", top: str = "") -> Image:
    """The only image of a project."""
    text = f"{top}\nbuild: {{debian: {{core: {{image: '{parent}', builder: {builder}, {more}}}}}}}"
    return project(text).images["debian-core"]


def errors(text: str) -> list[str]:
    """Findings without their place."""
    with pytest.raises(ConfigError) as error:
        resolved(text)
    return [str(finding).partition(": ")[2] for finding in error.value.findings]


FAMILY = """
    version: "1.0"
    docker: {repo: "example.org/x"}
    build:
      debian:
        core: {image: "debian:trixie-slim", builder: pip_core}
        base:
          image: core
          builder: pip_deploy
          build: {image: base-build-build, builder: pip_builder, build: {image: core, builder: pip_builder}}
      other:
        core: {image: debian-core, builder: pip_core}
        leaf: {image: core, builder: pip_core}
        far: {image: debian-base, builder: pip_deploy}
        tool: {image: debian-base-build, builder: pip_builder}
"""


def test_numbers_are_whole() -> None:
    # JSON Schema takes 1001.0 for a whole number.
    account = project(
        "uid: 1001.0\ngid: 100.0\nbuild: {d: {core: {image: 'debian:trixie', builder: pip_core}}}"
    ).account
    assert (repr(account.uid), repr(account.gid)) == ("1001", "100")


def test_names_are_family_image_and_build() -> None:
    images = project(FAMILY).images
    assert [(image.target, image.directory, image.deployable) for image in images.values()] == [
        ("debian-core", "build/debian/core", True),
        ("debian-base-build-build", "build/debian/base/build/build", False),
        ("debian-base-build", "build/debian/base/build", False),
        ("debian-base", "build/debian/base", True),
        ("other-core", "build/other/core", True),
        ("other-leaf", "build/other/leaf", True),
        ("other-far", "build/other/far", True),
        ("other-tool", "build/other/tool", True),
    ]
    assert images["debian-base"].nested == "debian-base-build"
    assert images["debian-core"].nested is None


def test_families_keep_their_order_and_a_nested_build_comes_before_its_image() -> None:
    assert project(FAMILY).families == (
        Family(name="debian", targets=("debian-core", "debian-base-build-build", "debian-base-build", "debian-base")),
        Family(name="other", targets=("other-core", "other-leaf", "other-far", "other-tool")),
    )


@pytest.mark.parametrize(
    ("target", "parent"),
    [
        ("other-leaf", "other-core"),
        ("other-core", "debian-core"),
        ("other-far", "debian-base"),
        ("other-tool", "debian-base-build"),
    ],
)
def test_a_bare_name_is_a_sibling_else_a_target(target: str, parent: str) -> None:
    found = project(FAMILY)
    assert found.images[target].parent.target == parent
    assert found.images[target].parent.reference == f"example.org/x:{parent}-1.0" == found.reference(parent)


def test_lineage_is_nearest_first_and_stays_in_the_project() -> None:
    found = project(FAMILY)
    assert [image.target for image in found.lineage(found.images["other-far"])] == ["debian-base", "debian-core"]
    assert found.lineage(found.images["debian-core"]) == ()


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("example.org/x:debian-core-1.0", "debian-core"),
        ("example.org/x:debian-core-0.9", None),
        ("example.org/x:debian-core", None),
        ("example.org/y:debian-core-1.0", None),
        ("debian-core:latest", None),
    ],
)
def test_a_reference_of_this_project_is_its_target(reference: str, target: str | None) -> None:
    found = project(FAMILY.replace("far: {image: debian-base,", f"far: {{image: '{reference}',"))
    parent = found.images["other-far"].parent
    assert (parent.reference, parent.target) == (reference, target)


def test_what_is_not_said() -> None:
    found = project("build: {debian: {core: {image: 'debian:trixie-slim', builder: pip_core}}}")
    assert (found.version, found.repo, found.source) == ("latest", "orbiter", "orbiter.yaml")
    assert (found.account.name, found.account.uid, found.account.gid) == ("jovyan", 1000, 100)
    assert found.account.home == "/home/jovyan"
    assert (found.maintainer, found.mount, found.python, found.python_range) == (None, None, None, None)
    assert not found.mirrors.has_indexes
    image = found.images["debian-core"]
    assert (image.system, image.env, image.platforms, image.cmd, image.tags) == ((), (), (), (), ())
    assert image.conda is None


@pytest.mark.parametrize(
    ("parent", "more", "distribution"),
    [
        ("debian:trixie-slim", "", "debian"),
        ("alpine:3.22", "", "alpine"),
        ("example.org/base:1", "apk: [bash]", "alpine"),
        ("example.org/base:1", "apt: [bash]", "debian"),
        ("example.org/base:1", "apk: []", "debian"),
        ("example.org/base:1", "", "debian"),
    ],
)
def test_distribution_is_that_of_the_section_else_of_the_parent(parent: str, more: str, distribution: str) -> None:
    assert core(more, parent=parent).distribution == distribution


def test_children_have_the_distribution_of_their_parent() -> None:
    text = FAMILY.replace('"debian:trixie-slim", builder: pip_core', '"x:1", builder: pip_core, apk: [bash]')
    assert {image.distribution for image in project(text).images.values()} == {"alpine"}


@pytest.mark.parametrize(
    ("section", "specs"),
    [
        ("apt: [git, less]", ("git", "less")),
        ("apt: [[git, [less]], [], curl]", ("git", "less", "curl")),
        ("apt: [zip git, less git, zip]", ("zip", "git", "less")),
        ("apt: null", ()),
        ("apt: []", ()),
    ],
)
def test_lists_are_flat_in_order_and_without_duplicates(section: str, specs: tuple[str, ...]) -> None:
    assert core(section).system == specs


def test_an_alias_is_a_part_of_a_list() -> None:
    assert core("apt: [git, *more, curl]", top="more: &more [less, git tree]").system == ("git", "less", "tree", "curl")


def test_conda_specs_and_their_requirements_are_apart() -> None:
    image = core(
        "conda: {name: lab, channels: [a, b, a], dependencies: [numpy >=2, [b, {pip: [x y]}], b, {pip: [y, z]}]}",
        builder="micromamba_builder",
    )
    assert image.conda == Conda(name="lab", channels=("a", "b"), dependencies=("numpy>=2", "b"), pip=("x", "y", "z"))


def test_conda_environments_have_a_name_and_a_channel() -> None:
    image = core("conda: {dependencies: null}", builder="micromamba_builder")
    assert image.conda == Conda(name="base", channels=("conda-forge",), dependencies=(), pip=())


def test_postbuild_lines_stay_as_they_are() -> None:
    image = core('postbuild: ["a  b", ["a  b", "c\\nd\\n\\n"]]')
    assert image.postbuild == ("a  b", "a  b", "c\nd")


def test_defaults_of_mappings_are_merged_and_of_lists_replaced() -> None:
    top = "defaults: {env: {A: '1', B: '1'}, labels: {a: x, b: x}, copy: {c: d}, cmd: [a], tags: [t], platforms: [a/b]}"
    image = core("env: {B: '2', C: '3'}, labels: {b: y}, copy: {e: f}, cmd: [b], tags: [u], platforms: [c/d]", top=top)
    assert dict(image.env) == {"A": "1", "B": "2", "C": "3"}
    assert dict(image.labels) == {"a": "x", "b": "y"}
    assert [source for source, _ in image.copy] == ["c", "e"]
    assert (image.cmd, image.tags, image.platforms) == (("b",), ("u",), ("c/d",))
    image = core("", top=top)
    assert (image.cmd, image.tags, image.platforms) == (("a",), ("t",), ("a/b",))


def test_nested_builds_take_no_defaults_but_the_platforms_of_their_image() -> None:
    text = "defaults: {env: {A: '1'}, labels: {a: x}, copy: {c: d}, cmd: [a], platforms: [linux/amd64]}"
    nested = project(f"{text}\n{textwrap.dedent(FAMILY)}").images["debian-base-build"]
    assert (nested.env, nested.labels, nested.copy, nested.cmd, nested.tags) == ((), (), (), (), ())
    assert nested.platforms == ("linux/amd64",)


def test_child_inherits_platforms_unless_it_sets_them() -> None:
    text = """
        defaults: {platforms: [linux/arm64]}
        build:
          debian:
            leaf: {image: base, builder: pip_deploy}
            base: {image: core, builder: pip_deploy, build: {image: core, builder: pip_builder}}
            one: {image: base, builder: pip_deploy, platforms: [linux/amd64, linux/amd64]}
            core: {image: "debian:trixie", builder: pip_core, platforms: [linux/amd64, linux/arm64]}
            alone: {image: "debian:trixie", builder: pip_core}
    """
    found = {target: image.platforms for target, image in project(text).images.items()}
    both = ("linux/amd64", "linux/arm64")
    assert found == {
        "debian-leaf": both,
        "debian-base-build": both,
        "debian-base": both,
        "debian-one": ("linux/amd64",),
        "debian-core": both,
        "debian-alone": ("linux/arm64",),
    }


@pytest.mark.parametrize(
    ("source", "destination", "pair"),
    [
        ("a", "b", ("a", "/home/ada/b")),
        ("./a//b/", "/srv//x", ("a/b", "/srv/x")),
        ("a", "dir/", ("a", "/home/ada/dir/")),
    ],
)
def test_copy_has_plain_absolute_destinations(source: str, destination: str, pair: tuple[str, str]) -> None:
    more = f"copy: {{'{source}': '{destination}'}}"
    assert core(more, top="user: ada").copy == (pair,)


def test_mirrors_are_registries_and_indexes() -> None:
    top = "mirrors: {docker.io: hub.example.org/proxy, 'ghcr.io:443': r, pip: 'https://p/simple', ca: ca.crt}"
    mirrors = project(f"{top}\n{textwrap.dedent(FAMILY)}").mirrors
    assert mirrors.registries == (("docker.io", "hub.example.org/proxy"), ("ghcr.io:443", "r"))
    assert mirrors.indexes == (("pip", "https://p/simple"),)
    assert mirrors.ca == "ca.crt"
    assert mirrors.has_indexes


@pytest.mark.parametrize(
    ("top", "problem"),
    [
        ("docker: {repo: 'x:1'}", "docker.repo: 'x:1' has a tag or digest"),
        ("python: {version: '3.13', required: '>=3.14'}", "python.required: python.version 3.13 is not in '>=3.14'"),
        ("python: {version: '2.7'}", "python.version: there is no Python 2.7 for uv"),
        ("python: {required: new}", "python.required: 'new' is no range of versions"),
        ("mirrors: {pip: p}", "mirrors.pip: 'p' is no address"),
        ("mirrors: {pip: 'https://a:b@p/'}", "mirrors.pip: an address with a user or password"),
        ("mirrors: {python: 'ftp://p/'}", "mirrors.python: 'ftp://p/' is no address"),
        ("mirrors: {ca: /etc/ca.crt}", "mirrors.ca: '/etc/ca.crt' is not inside the project"),
        ("mirrors: {docker.io: 'https://x'}", "mirrors.docker.io: 'https://x/x' is no repository"),
    ],
)
def test_values_at_the_top_have_a_grammar(top: str, problem: str) -> None:
    image = "{image: 'debian:trixie-slim', builder: pip_core}"
    (finding,) = errors(f"{top}\nbuild: {{debian: {{core: {image}}}}}")
    assert finding.startswith(problem)


def test_one_tag_names_one_image() -> None:
    text = """
        defaults: {tags: [latest]}
        build:
          debian:
            core: {image: "debian:trixie-slim", builder: pip_core}
            base: {image: core, builder: pip_deploy}
            lab: {image: core, builder: pip_deploy, tags: [lab]}
    """
    assert errors(text) == [
        "defaults.tags[0]: the tag 'latest' of 'debian-base' belongs to 'debian-core' already; a tag names one image"
    ]


def test_a_tag_has_at_most_128_characters() -> None:
    name = "a" * 60
    text = f"version: {'v' * 50}\nbuild: {{{name}: {{{name}: {{image: 'debian:trixie-slim', builder: pip_core}}}}}}"
    (finding,) = errors(text)
    assert finding.endswith("is longer than 128 characters")


def test_a_nested_build_that_nobody_copies_from_is_a_warning() -> None:
    text = """
        build:
          debian:
            core:
              image: "debian:trixie-slim"
              builder: pip_core
              build: {image: "debian:trixie-slim", builder: pip_builder}
    """
    _, (warning,) = resolved(text)
    assert warning.severity == "warning"
    assert str(warning).partition(": ")[2] == (
        "warning: build.debian.core.build: 'debian-core-build' is built, but pip_core copies nothing from it; "
        "remove it, or use it as parent ('image: core-build')"
    )


def test_settings_of_the_original_tool_are_one_warning() -> None:
    _, (warning,) = resolved(f"run: x\ndebug: true\n{textwrap.dedent(FAMILY)}")
    assert "settings of the original tool are ignored: debug, run" in str(warning)


def test_an_image_cannot_be_its_own_parent() -> None:
    for parent in ("core", "debian-core", "orbiter:debian-core-latest"):
        text = f"build: {{debian: {{core: {{image: '{parent}', builder: pip_core}}}}}}"
        assert errors(text) == [
            "build.debian.core.image: the images need each other: debian-core → debian-core; "
            "let one of them start from another parent"
        ]


def test_all_problems_are_found_at_once_in_file_order() -> None:
    text = """
        build:
          debian:
            core: {image: "debian:trixie-slim", builder: pip_core, apt: [-y], copy: {../x: y}}
            base: {image: cor, builder: pip_deploy, apt: [a;b]}
        docker: {repo: X}
    """
    assert [line.partition(": ")[0] for line in errors(text)] == [
        "build.debian.core.apt[0]",
        "build.debian.core.copy.../x",
        "build.debian.base.image",
        "build.debian.base.apt[0]",
        "docker.repo",
    ]
