"""Which images are to be built, to be tagged or as they should be, and why."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from orbiter import builders, causes, changes, content, copied, parts, resources, schema, source
from orbiter.changes import Made, Verdicts, Wanted
from orbiter.lock import Entry, Lock, PipPackage, inputs
from orbiter.model import BuildPlan
from orbiter.plan import plan, waves
from orbiter.render import render
from orbiter.resolve import resolve
from orbiter.source import Document
from orbiter.survey import older, parse_platform, platform_of

CONFIG = """\
version: "1"
docker: {repo: example/course}
build:
  debian:
    core: {image: "debian:trixie-slim", builder: pip_core, apt: [git]}
    base:
      image: core
      builder: pip_deploy
      tags: [latest]
      build:
        image: core
        builder: pip_builder
        pip:
          - numpy
          - six
    side: {image: core, builder: pip_deploy, env: {A: b}}
    top: {image: base, builder: pip_deploy, build: {image: base-build, builder: pip_builder, pip: ["scipy>=1,<2"]}}
"""
KNOWN = builders.with_own(schema.builders(schema.parse(resources.schema(), {})))
TEMPLATES = resources.templates()
DIGEST = "sha256:" + "d" * 64
DAY = "https://snapshot.debian.org/archive/debian/20260101T000000Z/"


class State:
    """A configuration with all that is compared of it."""

    def __init__(self, text: str = CONFIG, lock: Lock | None = None, copied: Mapping[str, str] | None = None) -> None:
        self.document: Document = source.load(text.encode(), "orbiter.yaml")
        project, _ = resolve(self.document, KNOWN)
        self.plan: BuildPlan = plan(project, KNOWN, ".", lock)
        contents = content.hashes(self.plan, render(self.plan, TEMPLATES, resources.compiled_templates()))
        self.wanted = Wanted(
            contents=contents,
            copied=copied or {},
            parts=parts.parts(self.plan, contents),
            references=changes.references(self.plan, {}),
        )

    def made(self, *platforms: str) -> dict[str, list[Made]]:
        """The images of this configuration, all tags of them."""
        return {
            target: [self.image(target, name, *platforms) for name in names]
            for target, names in self.wanted.references.items()
        }

    def image(self, target: str, reference: str, *platforms: str) -> Made:
        labels = {
            content.LABEL: self.wanted.contents[target],
            parts.LABEL: parts.label(self.wanted.parts[target]),
        }
        if target in self.wanted.copied:
            labels[content.COPIED] = self.wanted.copied[target]
        return Made(reference=reference, digest=DIGEST, labels=labels, platforms=platforms)

    def judge(self, found: Mapping[str, Sequence[Made]]) -> Verdicts:
        return changes.judge(self.plan, self.wanted, found, "registry")


def states(verdicts: Verdicts) -> dict[str, str]:
    return {name.removeprefix("debian-"): verdict.state for name, verdict in verdicts.items()}


def why(verdicts: Verdicts, target: str) -> list[str]:
    return [reason.text for reason in verdicts[f"debian-{target}"].reasons]


def after(old: str, new: str) -> Verdicts:
    """The verdicts when the configuration says `new` instead of `old`, of which all images were built."""
    assert old in CONFIG
    return State(CONFIG.replace(old, new)).judge(State().made())


def test_what_is_there_as_it_should_be_is_up_to_date_and_its_build_not_needed() -> None:
    assert states(State().judge(State().made())) == {
        "core": "up to date",
        "base-build": "not needed",
        "base": "up to date",
        "side": "up to date",
        "top-build": "not needed",
        "top": "up to date",
    }


def test_nothing_there_is_all_to_build() -> None:
    verdicts = State().judge({})
    assert set(states(verdicts).values()) == {"to build"}
    assert why(verdicts, "side") == ["not in the registry"]
    assert verdicts["debian-base-build"].needed == ("debian-base", "debian-top")


def test_a_change_reaches_exactly_its_descendants() -> None:
    verdicts = after("- six", "- six\n          - polars")
    assert states(verdicts) == {
        "core": "up to date",
        "base-build": "to build",
        "base": "to build",
        "side": "up to date",
        "top-build": "to build",
        "top": "to build",
    }


@pytest.mark.parametrize(
    ("old", "new", "target", "reasons"),
    [
        ("- six", "- polars", "base", ["pip: + polars - six"]),
        ("- six", "- polars", "top", ["parent debian-base changed", "parent debian-base-build changed"]),
        ("scipy>=1,<2", "scipy>=1,<3", "top", ["pip: + scipy>=1,<3 - scipy>=1,<2"]),
        ("apt: [git]", "apt: [git, less]", "core", ["apt: + less"]),
        ("apt: [git]", "apt: [git, less]", "side", ["parent debian-core changed"]),
        ("debian:trixie-slim", "debian:bookworm-slim", "core", ["image: debian:trixie-slim → debian:bookworm-slim"]),
        ("A: b", "A: c", "side", ["env changed"]),
        ("A: b}", "A: b}, cmd: [sleep]", "side", ["cmd changed"]),
        ("- six", "- six\n        postbuild: [\"true\"]", "base", ["postbuild changed"]),
        ("version:", f"mirrors: {{apt: {DAY}}}\nversion:", "core", ["snapshot changed", "mirrors changed"]),
        ("version:", "user: ada\nversion:", "core", ["env changed", "user changed"]),
    ],
)  # fmt: skip
def test_the_reason_is_the_part_of_the_configuration_that_changed(
    old: str, new: str, target: str, reasons: list[str]
) -> None:
    assert why(after(old, new), target) == reasons


def test_a_moved_base_digest_is_told_by_the_lock() -> None:
    locks = [Lock(images={"debian:trixie-slim": f"sha256:{digit * 64}"}) for digit in "ab"]
    verdicts = State(lock=locks[1]).judge(State(lock=locks[0]).made())
    assert why(verdicts, "core") == ["base digest moved (debian:trixie-slim)"]


def test_the_digest_of_the_installer_counts_where_it_installs() -> None:
    tool = builders.TOOLS[1][1]
    locks = [Lock(images={tool: f"sha256:{digit * 64}"}) for digit in "ab"]
    verdicts = State(lock=locks[1]).judge(State(lock=locks[0]).made())
    assert why(verdicts, "base") == ["digest of the installer's image moved"]
    assert states(verdicts)["side"] == "up to date"


def test_same_parts_and_another_hash_is_the_template() -> None:
    state = State()
    found = state.made()
    before = found["debian-side"][0]
    found["debian-side"] = [replace(before, labels={**before.labels, content.LABEL: "0" * 16})]
    assert why(state.judge(found), "side") == ["template changed"]


def test_an_image_of_something_else_is_built_and_said_to_be() -> None:
    found = State().made() | {"debian-side": [Made(reference="example/course:debian-side-1", digest=DIGEST, labels={})]}
    assert why(State().judge(found), "side") == ["has no label of its content: built by something else"]


def test_another_version_is_a_tag_of_the_same_image() -> None:
    state = State(CONFIG.replace('version: "1"', 'version: "2"'))
    verdicts = state.judge(State().made())
    side, base = verdicts["debian-side"], verdicts["debian-base"]
    assert (side.state, side.tags) == ("to tag", ("example/course:debian-side-2",))
    assert side.made is not None
    assert side.made.pinned == f"example/course@{DIGEST}"
    assert base.tags == ("example/course:debian-base-2",)  # `latest` is that image already


def test_a_further_tag_that_is_another_image_is_set() -> None:
    found = State().made()
    found["debian-base"][1] = replace(found["debian-base"][1], digest="sha256:" + "e" * 64)
    assert State().judge(found)["debian-base"].tags == ("example/course:latest",)


def test_a_platform_that_lacks_is_a_reason() -> None:
    state = State()
    state.wanted = replace(state.wanted, platforms={"debian-side": ("linux/amd64", "linux/arm64")})
    assert why(state.judge(state.made("linux/amd64")), "side") == ["linux/arm64 is missing"]
    assert states(state.judge(state.made("linux/arm64", "linux/amd64")))["side"] == "up to date"
    assert states(state.judge(state.made()))["side"] == "up to date"  # nobody knows them


def test_copied_files_count_for_all_that_is_built_from_them(tmp_path: Path) -> None:
    text = CONFIG.replace("apt: [git]", "apt: [git], copy: {files: files}")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a").write_text("a")

    def state() -> State:
        return State(text, copied=copied.hashes(State(text).plan, tmp_path))

    before = state().made()
    assert set(states(state().judge(before)).values()) == {"up to date", "not needed"}
    (tmp_path / "files" / "a").chmod(0o755)
    verdicts = state().judge(before)
    assert why(verdicts, "core") == ["copied files changed"]
    assert why(verdicts, "side") == ["copied files of debian-core changed"]
    bare = {
        name: [replace(each, labels=dict(list(each.labels.items())[:2])) for each in made]
        for name, made in before.items()
    }
    assert why(state().judge(bare), "core") == ["copied files are not known: not built by 'orbiter build'"]


def test_names_and_links_of_copied_files_count(tmp_path: Path) -> None:
    text = CONFIG.replace("A: b}", "A: b}, copy: {files: files}")
    folder = tmp_path / "files"
    folder.mkdir()
    seen = set()
    for change in (
        lambda: (folder / "a").write_text("x"),
        lambda: (folder / "a").rename(folder / "b"),
        lambda: (folder / "a").symlink_to("b"),
        lambda: ((folder / "a").unlink(), (folder / "a").symlink_to("c")),
        lambda: (folder / "empty").mkdir(),
    ):
        change()
        found = copied.hashes(State(text).plan, tmp_path)
        assert list(found) == ["debian-side"]
        seen.add(found["debian-side"])
    assert len(seen) == 5


def test_only_what_is_to_be_built_remains_on_parents_by_digest() -> None:
    state = State(CONFIG.replace("scipy>=1,<2", "sympy"))
    verdicts = state.judge(State().made())
    left, overrides = changes.remaining(state.plan, ["debian-top"], verdicts, published=True)
    assert {target.name: target.needs for target in left.targets} == {
        "debian-base-build": (),
        "debian-top-build": ("debian-base-build",),
        "debian-top": ("debian-top-build",),
    }
    assert overrides == (
        f"debian-base-build.contexts.example/course:debian-core-1=docker-image://example/course@{DIGEST}",
        f"debian-top.contexts.example/course:debian-base-1=docker-image://example/course@{DIGEST}",
    )
    left, overrides = changes.remaining(state.plan, ["debian-top"], verdicts, published=False)
    assert [target.name for target in left.targets if target.image.deployable] == [
        "debian-core",
        "debian-base",
        "debian-top",
    ]
    assert overrides == ()


def test_packages_with_addresses_keep_them_to_themselves() -> None:
    state = State(CONFIG.replace("- six", '- "six @ https://example.org/six.whl?token=secret"'))
    label = parts.label(state.wanted.parts["debian-base"])
    assert "secret" not in label
    assert "build:pip=numpy,six" in label
    assert parts.parse(label) == state.wanted.parts["debian-base"]


def locked(*packages: tuple[str, str]) -> Lock:
    entry = Entry(inputs="", pip=tuple(PipPackage(name=name, version=version) for name, version in packages))
    return Lock(targets={"debian-base-build": entry})


def fitting(text: str, lock: Lock) -> Lock:
    """The lock with the inputs of the configuration, so that it is not stale."""
    state = State(text)
    image = state.plan.project.images["debian-base-build"]
    entry = replace(lock.targets["debian-base-build"], inputs=inputs(state.plan.project, image, {}))
    return Lock(targets={"debian-base-build": entry})


def test_versions_come_from_the_lock_and_from_its_history() -> None:
    new = CONFIG.replace("- six", "- six\n          - polars")
    old_lock = fitting(CONFIG, locked(("numpy", "2.4.0"), ("six", "1.16")))
    new_lock = fitting(new, locked(("numpy", "2.5.5"), ("six", "1.16"), ("polars", "1.9")))
    state = State(new, new_lock)
    verdicts = state.judge(State(CONFIG, old_lock).made())
    known = changes.with_versions(state.plan, verdicts, new_lock, [new_lock, old_lock])
    assert why(known, "base") == ["pip: + polars 1.9", "locked versions: ~ numpy 2.4.0 → 2.5.5"]
    unknown = changes.with_versions(state.plan, verdicts, new_lock, [])
    assert why(unknown, "base") == ["pip: + polars 1.9"]


@pytest.mark.parametrize(
    ("spec", "packages", "reasons"),
    [
        ("six", [("six", "1.17")], ["locked versions: - numpy 2.4.0, ~ six 1.16 → 1.17"]),
        ("six>=1", [("six", "1.17")], ["pip: + six 1.17 - six", "locked versions: - numpy 2.4.0, ~ six 1.16 → 1.17"]),
        ("polars", [("numpy", "2.4.0"), ("polars", "1")], ["pip: + polars 1 - six"]),
    ],
)
def test_the_lock_tells_what_the_list_does_not(spec: str, packages: list[tuple[str, str]], reasons: list[str]) -> None:
    new = CONFIG.replace("- six", f"- {spec}")
    old_lock = fitting(CONFIG, locked(("numpy", "2.4.0"), ("six", "1.16")))
    new_lock = fitting(new, locked(*packages))
    state = State(new, new_lock)
    verdicts = state.judge(State(CONFIG, old_lock).made())
    assert why(changes.with_versions(state.plan, verdicts, new_lock, [old_lock]), "base") == reasons


def test_what_is_compiled_is_built_again_with_other_requirements() -> None:
    def lock(*versions: str) -> Lock:
        entry = locked(("numpy", "2.4.0"), ("six", "1.16")).targets["debian-base-build"]
        build = tuple(PipPackage(name="cython", version=version) for version in versions)
        return fitting(CONFIG, Lock(targets={"debian-base-build": replace(entry, build=build)}))

    old, new = lock("3.2"), lock("3.3")
    state = State(CONFIG, new)
    verdicts = state.judge(State(CONFIG, old).made())
    assert verdicts["debian-base"].state == "to build"
    known = changes.with_versions(state.plan, verdicts, new, [old])
    assert why(known, "base") == ["locked versions: ~ cython (to build) 3.2 → 3.3"]


def test_the_history_of_the_lock_is_read_only_where_it_tells_something() -> None:
    def earlier() -> Iterator[Lock]:
        raise AssertionError
        yield

    lock = fitting(CONFIG, locked(("numpy", "2.4.0"), ("six", "1.16")))
    state = State(CONFIG, lock)
    assert changes.with_versions(state.plan, state.judge(state.made()), lock, earlier())


def test_a_first_lock_pins_and_moves_nothing() -> None:
    entry = fitting(CONFIG, locked(("numpy", "2.4.0"), ("six", "1.16"))).targets
    state = State(CONFIG, Lock(images={"debian:trixie-slim": DIGEST}, targets=entry))
    verdicts = state.judge(State().made())
    assert why(verdicts, "core") == ["base image pinned (debian:trixie-slim)"]
    assert "versions locked" in why(verdicts, "base")


def test_the_chain_leads_to_the_line_that_changed() -> None:
    text = CONFIG.replace("- six", "- six\n          - polars")
    state = State(text)
    found = causes.causes(state.plan, state.document, state.judge(State().made()), "debian-top")
    assert [(cause.depth, cause.target, cause.text, cause.span and cause.span.line) for cause in found] == [
        (0, "debian-top", "parent debian-base changed", 18),
        (1, "debian-base", "pip: + polars", 16),
        (0, "debian-top", "parent debian-base-build changed", 18),
        (1, "debian-base", "pip: + polars", 16),
    ]
    assert found[1].path == ("build", "debian", "base", "build", "pip", 2)
    lines = causes.as_text("debian-top", "to build", found).splitlines()
    assert lines[0] == "debian-top: to build"
    assert lines[2].split() == ["debian-base:", "pip:", "+", "polars", "orbiter.yaml:16:13"]


def test_what_is_only_to_be_tagged_is_explained_too() -> None:
    state = State(CONFIG.replace('version: "1"', 'version: "2"'))
    verdicts = state.judge(State().made())
    text = "is there as debian-core-1, not as debian-core-2"
    assert [cause.text for cause in causes.causes(state.plan, state.document, verdicts, "debian-core")] == [text]
    assert changes.undone(verdicts)["debian-core"] == (text,)


def test_the_line_is_that_of_the_list_which_an_alias_brings() -> None:
    shared = CONFIG.replace("version:", "x-list: &list\n  - numpy\nversion:").replace(
        "- numpy\n          - six", "- *list"
    )
    text = shared.replace("  - numpy", "  - numpy\n  - polars")
    state = State(text)
    found = causes.causes(state.plan, state.document, state.judge(State(shared).made()), "debian-base")
    assert [(cause.text, str(cause.span)) for cause in found] == [("pip: + polars", "orbiter.yaml:3:5")]


def test_a_parent_that_is_built_already_ends_the_chain() -> None:
    state = State(CONFIG.replace("apt: [git]", "apt: [git, less]"))
    found = State().made() | {"debian-core": state.made()["debian-core"]}
    chain = causes.causes(state.plan, state.document, state.judge(found), "debian-side")
    assert [cause.text for cause in chain] == ["parent debian-core changed", "is built already, this image is not"]


def test_table_says_why_line_by_line() -> None:
    table = changes.as_text(after("- six", "- polars")).splitlines()
    assert table[0].split() == ["target", "state", "why"]
    assert "debian-base        to build    pip: + polars - six" in table
    assert table[-1] == "4 to build, 2 up to date"


def test_what_image_and_nested_build_have_in_common_is_said_once() -> None:
    table = changes.as_text(after("apt: [git]", "apt: [git, less]"))
    assert table.count("parent debian-core changed") == 2  # of base and of side


# -- waves


def wide(families: int) -> BuildPlan:
    """Families of a core and three images, each with a nested build: seven targets."""
    image = "{image: core, builder: pip_deploy, build: {image: core, builder: pip_builder, pip: [six]}}"
    lines = ["build:"]
    for number in range(families):
        lines += [f"  f{number}:", '    core: {image: "debian:trixie-slim", builder: pip_core}']
        lines += [f"    {name}: {image}" for name in ("a", "b", "c")]
    return State("\n".join(lines) + "\n").plan


@pytest.mark.parametrize("size", [1, 3, 7, 10, 25, 1000])
def test_waves_have_every_target_once_and_no_parent_after_its_child(size: int) -> None:
    made = wide(6)
    wanted = [target.name for target in made.targets if target.image.deployable]
    found = waves(made, wanted, size)
    assert sorted(name for wave in found for name in wave) == sorted(wanted)
    number = {name: at for at, wave in enumerate(found) for name in wave}
    needs = {target.name: target.needs for target in made.targets}
    assert all(number[need] <= number[name] for name in wanted for need in needs[name] if need in number)


def test_a_wave_is_bounded_with_all_that_it_needs() -> None:
    made = wide(6)
    wanted = [target.name for target in made.targets if target.image.deployable]
    needs = {target.name: target.needs for target in made.targets}
    found = waves(made, wanted, 14)
    assert len(found) == 3
    for wave in found:
        closure = set(wave)
        for name in wave:
            closure |= set(needs[name]) | {each for need in needs[name] for each in needs[need]}
        assert len(closure) <= 14


def test_few_targets_are_one_wave() -> None:
    assert waves(State().plan, ["debian-top", "debian-core"], 50) == (("debian-core", "debian-top"),)


# -- what the registry lists


def test_other_tags_of_a_target_are_its_versions_the_highest_first() -> None:
    tags = {"a-base": ["a-base-3"], "a-base-gpu": ["a-base-gpu-3"]}
    listed = ["a-base-1.9", "a-base-1.10", "a-base-gpu-2", "a-base-3", "a-base-nightly", "a-base-1.2", "b-base-9"]
    assert older("a-base", listed, tags) == ["a-base-1.10", "a-base-1.9", "a-base-1.2"]
    assert older("a-base-gpu", listed, tags) == ["a-base-gpu-2"]


def test_the_platform_of_a_builder_is_its_first() -> None:
    assert parse_platform("Name: x\nPlatforms:        linux/arm64*, linux/amd64\n") == ("linux/arm64",)
    assert parse_platform("Status: inactive\n") == ()


def test_the_platform_of_a_machine_is_that_of_its_processor() -> None:
    assert [platform_of(name) for name in ("x86_64", "AMD64", "aarch64", "arm64", "mips")] == [
        ("linux/amd64",),
        ("linux/amd64",),
        ("linux/arm64",),
        ("linux/arm64",),
        (),
    ]
