"""The lock: its text and back, what it refuses, which entries the configuration has outgrown."""

import json
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from orbiter import builders, lock, resources, schema, source
from orbiter.errors import LockError
from orbiter.lock import CondaPackage, Entry, Lock, PipPackage
from orbiter.model import Project
from orbiter.resolve import resolve
from tests.conftest import ROOT

CONFIG = """
    python: {version: "3.13"}
    build:
      debian:
        core: {image: "debian:trixie-slim", builder: pip_core}
        base:
          image: core
          builder: pip_deploy
          build: {image: core, builder: pip_builder, pip: [numpy]}
        lab:
          image: core
          builder: pip_deploy
          build: {image: base-build, builder: pip_builder, pip: [pandas]}
        apart:
          image: base
          builder: pip_deploy
          build: {image: core, builder: pip_builder, pip: [scipy]}
"""
FULL = Lock(
    images={"debian:trixie-slim": f"sha256:{'0' * 64}"},
    targets={
        "a-build": Entry(
            inputs="sha256:1",
            python="3.13",
            newest="2026-01-02T03:04:05Z",
            pip=(
                PipPackage(name="six", version="1.17.0", files={"six-1.17.0-py3-none-any.whl": "sha256:2"}),
                PipPackage(name="x", version="", url="git+https://example.org/x@0a1b", platforms=("linux/amd64",)),
            ),
            conda={"linux-64": (CondaPackage(name="z", version="1", build="0", url="https://x/z.conda", sha256="3"),)},
            npm={"": {"dependencies": {"is-odd": "*"}}, "node_modules/is-odd": {"version": "3.0.1"}},
        ),
        "b-build": Entry(
            inputs="sha256:4",
            newest="2026-02-01T00:00:00Z",
            pip=(PipPackage(name="y", version="1", files={"y-1.tar.gz": "sha256:5"}),),
            build=(PipPackage(name="flit-core", version="3", files={"flit_core-3-py3-none-any.whl": "sha256:6"}),),
        ),
    },
)


def project(text: str = CONFIG) -> Project:
    document = source.load(textwrap.dedent(text).encode(), "orbiter.yaml")
    assert not schema.check(document, schema.parse(resources.schema(), {}))
    return resolve(document, builders.BUILDERS)[0]


def made(project: Project) -> Lock:
    """A lock that fits, without packages."""
    targets: dict[str, Entry] = {}
    below = lock.foundations(project)
    for image in lock.in_order(project, below):
        under = [targets[each.target] for each in below[image.target]]
        targets[image.target] = Entry(inputs=lock.inputs(project, image, under))
    return Lock(targets=targets)


def test_text_and_back() -> None:
    assert lock.parse(lock.dump(FULL)) == FULL
    assert lock.parse(lock.dump(Lock())) == Lock()
    some = Lock(platforms=("linux/arm64",))
    assert lock.parse(lock.dump(some)) == some


def test_text_is_what_its_schema_describes() -> None:
    import jsonschema_rs

    rules = jsonschema_rs.validator_for(json.loads((ROOT / "schemas/lock.schema.json").read_text()))
    for text in (lock.dump(FULL), (ROOT / "tests/cases/locked/orbiter.lock").read_text()):
        assert list(map(str, rules.iter_errors(json.loads(text)))) == []
    assert not rules.is_valid({"orbiter-lock": 1, "images": {"x": "latest"}, "targets": {}})


def test_a_package_is_a_line() -> None:
    lines = lock.dump(FULL).splitlines()
    assert sum('"six"' in line for line in lines) == 1
    assert next(line for line in lines if '"six"' in line).strip() == (
        '{"name": "six", "version": "1.17.0", "files": {"six-1.17.0-py3-none-any.whl": "sha256:2"}},'
    )


def test_an_entry_of_an_older_orbiter_has_no_build() -> None:
    text = lock.dump(FULL)
    data = json.loads(text)
    del data["targets"]["b-build"]["build"]
    assert lock.parse(json.dumps(data)).targets["b-build"] == replace(FULL.targets["b-build"], build=())
    assert '"build": [' not in lock.dump(lock.parse(json.dumps(data)))


def test_what_stands_on_it_does_not_depend_on_what_it_is_built_with() -> None:
    entry = FULL.targets["b-build"]
    assert lock.content(entry) == lock.content(replace(entry, build=()))


def test_date_is_that_of_the_youngest_file() -> None:
    assert FULL.epoch == "2026-02-01T00:00:00Z"
    assert Lock().epoch is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "orbiter.lock:1:1: no lock: "),
        ('{\n  "orbiter-lock": 1,\n}', "orbiter.lock:3:1: no lock: "),
        ("[]", "orbiter.lock: no lock of Orbiter's"),
        ('{"images": {}}', "orbiter.lock: no lock of Orbiter's"),
        (
            '{"orbiter-lock": 2}',
            "orbiter.lock: written by a newer Orbiter (format 2, this one reads 1); update Orbiter",
        ),
        ('{"orbiter-lock": 1, "images": {}}', "orbiter.lock: not as Orbiter wrote it"),
        ('{"orbiter-lock": 1, "images": {}, "targets": {"a": {}}}', "orbiter.lock: not as Orbiter wrote it"),
        ('{\n<<<<<<< HEAD\n  "a": 1\n=======\n', "orbiter.lock:2: a merge left its conflict here; take either side"),
    ],
)
def test_what_is_no_lock_is_refused_with_a_way_out(text: str, message: str) -> None:
    with pytest.raises(LockError) as error:
        lock.parse(text)
    assert str(error.value).startswith(message)


def test_images_agree_with_what_they_stand_on() -> None:
    found = {name: [each.target for each in below] for name, below in lock.foundations(project()).items()}
    assert found["debian-base-build"] == []
    assert found["debian-lab-build"] == ["debian-base-build"]
    # Its own build starts from the core, but what it is copied to has base's packages.
    assert found["debian-apart-build"] == ["debian-base-build"]


def test_an_entry_that_fits_is_not_stale() -> None:
    assert lock.stale(project(), made(project())) == ()
    assert lock.stale(project(), Lock()) == ("debian-base-build", "debian-lab-build", "debian-apart-build")


@pytest.mark.parametrize(
    ("old", "new", "stale"),
    [
        ("[pandas]", "[pandas, six]", ["debian-lab-build"]),
        ("[numpy]", '["numpy<3"]', ["debian-base-build", "debian-lab-build", "debian-apart-build"]),
        ('"3.13"', '"3.12"', ["debian-base-build", "debian-lab-build", "debian-apart-build"]),
        ("trixie", "bookworm", ["debian-base-build", "debian-lab-build", "debian-apart-build"]),
        ("[numpy]", "[[numpy], numpy]", []),
    ],
)
def test_a_change_makes_stale_what_it_reaches(old: str, new: str, stale: list[str]) -> None:
    assert list(lock.stale(project(CONFIG.replace(old, new)), made(project()))) == stale


def test_other_versions_below_make_stale_what_stands_on_them() -> None:
    before = made(project())
    packages = (PipPackage(name="numpy", version="2.5.5"),)
    base = before.targets["debian-base-build"]
    after = Lock(targets={**before.targets, "debian-base-build": Entry(inputs=base.inputs, pip=packages)})
    assert lock.stale(project(), after) == ("debian-lab-build", "debian-apart-build")


def test_the_same_packages_below_leave_what_stands_on_them_alone() -> None:
    before = made(project())
    base = replace(before.targets["debian-base-build"], inputs="sha256:5", newest="2026-02-01T00:00:00Z")
    after = Lock(targets={**before.targets, "debian-base-build": base})
    stale = lock.stale(project(), after)
    assert stale[0] == "debian-base-build"
    repaired = replace(base, inputs=before.targets["debian-base-build"].inputs)
    assert lock.stale(project(), Lock(targets={**before.targets, "debian-base-build": repaired})) == ()


def test_other_platforms_make_all_stale_that_names_none() -> None:
    assert lock.stale(project(), replace(made(project()), platforms=("linux/arm64",))) == tuple(
        lock.stale(project(), Lock())
    )


def test_lock_of_a_case_is_read(tmp_path: Path) -> None:
    read = lock.parse((ROOT / "tests/cases/locked/orbiter.lock").read_text())
    assert [package.name for package in read.targets["debian-top-build"].pip] == ["jinja2", "markupsafe", "pip"]
