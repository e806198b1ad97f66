"""Packages of the distribution in a lock: they are written, read and shown, and make nothing stale."""

import json
from dataclasses import replace

import jsonschema_rs

from orbiter import lock
from orbiter.lock import Entry, PipPackage, System
from orbiter.lockdiff import as_text, difference
from tests.conftest import ROOT
from tests.unit.test_lock import FULL, project
from tests.unit.test_lock import made as fitting

DEBIAN = System(
    kind="apt", distribution="debian 13", platform="linux/amd64", packages={"bash": "5.2", "libc6": "2.41-12"}
)
RECORDED = replace(FULL, system={"debian-core": DEBIAN})


def test_text_goes_back_and_forth_with_a_package_a_line() -> None:
    text = lock.dump(RECORDED)
    assert lock.parse(text) == RECORDED
    assert lock.dump(lock.parse(text)) == text
    assert '\n        "bash": "5.2",\n        "libc6": "2.41-12"\n' in text
    schema = json.loads((ROOT / "schemas" / "lock.schema.json").read_text())
    assert jsonschema_rs.validator_for(schema).is_valid(json.loads(text))


def test_a_lock_without_records_is_as_it_was() -> None:
    assert '"system"' not in lock.dump(FULL)
    assert lock.parse(lock.dump(FULL)).system == {}


def test_a_record_makes_nothing_stale() -> None:
    made = project()

    assert lock.stale(made, replace(fitting(made), system={"debian-base": DEBIAN})) == ()


def test_difference_has_the_packages() -> None:
    new = replace(DEBIAN, packages={"bash": "5.3", "git": "1"})
    assert as_text(difference(RECORDED, replace(FULL, system={"debian-core": new}))).splitlines() == [
        "debian-core",
        "  ~ bash 5.2 → 5.3",
        "  + git 1",
        "  - libc6 2.41-12",
    ]


def test_the_label_of_a_lock_is_of_all_that_an_image_has() -> None:
    made = project()
    names = [image.target for image in lock.contents(made, made.images["debian-lab"])]
    assert names == ["debian-lab-build", "debian-base-build"]
    entries = {
        name: Entry(inputs=name, pip=(PipPackage(name=name, version="1"),)) for name in ("debian-base-build", *names)
    }
    lab, base = made.images["debian-lab"], made.images["debian-base"]
    first = lock.chain(made, lab, entries), lock.chain(made, base, entries)
    other = {**entries, "debian-base-build": Entry(inputs="other")}
    assert lock.chain(made, lab, other) != first[0]
    assert lock.chain(made, base, other) != first[1]
    assert lock.chain(made, base, {**entries, "debian-lab-build": Entry(inputs="other")}) == first[1]
    assert lock.chain(made, lab, {"debian-lab-build": entries["debian-lab-build"]}) is None
    assert lock.chain(made, made.images["debian-core"], entries) is None
