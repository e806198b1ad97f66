"""What `orbiter verify` decides before it builds: the date, the settings of the build, what it is compared with."""

from pathlib import Path

import pytest

from orbiter import verification, verifying
from orbiter.errors import UsageError
from orbiter.lock import Entry, Lock
from tests.conftest import Run
from tests.unit.test_verification import image

LOCK = Lock(targets={"a": Entry(inputs="", newest="2026-01-02T03:04:05Z"), "b": Entry(inputs="", newest=None)})

CONFIG = 'build: {a: {core: {image: "debian:trixie-slim", builder: pip_core}}}\n'


def test_date_is_that_of_the_variable_else_of_the_lock_else_1970() -> None:
    assert verifying.epoch(LOCK, {"SOURCE_DATE_EPOCH": "17"}) == 17
    assert verifying.epoch(LOCK, {"SOURCE_DATE_EPOCH": ""}) == 1767323045
    assert verifying.epoch(Lock(), {}) == 0
    assert verifying.epoch(None, {}) == 0


def test_date_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH=yesterday: is no Unix time"):
        verifying.epoch(None, {"SOURCE_DATE_EPOCH": "yesterday"})


def test_settings_of_a_build_that_can_be_repeated() -> None:
    assert verifying.settings(["a-core", "a-base"], "/tmp/x", 17, "space") == (
        'a-core.output=type=oci,tar=false,rewrite-timestamp=true,"dest=/tmp/x/a-core"',
        'a-base.output=type=oci,tar=false,rewrite-timestamp=true,"dest=/tmp/x/a-base"',
        "*.attest=type=provenance,disabled=true",
        "*.attest=type=sbom,disabled=true",
        "*.cache-from=",
        "*.cache-to=",
        "*.args.SOURCE_DATE_EPOCH=17",
        "*.args.BUILDKIT_CACHE_MOUNT_NS=space",
    )


def test_list_of_digests_has_to_be_of_the_same_date(tmp_path: Path) -> None:
    place = tmp_path / "digests.json"
    place.write_text(verification.dump([image("a1")], 5))
    assert [build.target for build in verifying.reference(place, ["core"], 5).builds] == ["core"]
    with pytest.raises(UsageError, match="made with SOURCE_DATE_EPOCH=5, here it is 6"):
        verifying.reference(place, ["core"], 6)


def test_reference_has_to_have_every_image(tmp_path: Path) -> None:
    place = tmp_path / "digests.json"
    place.write_text(verification.dump([image("a1")], 5))
    for where in (place, tmp_path):
        with pytest.raises(UsageError, match=r"has nothing of .*base"):
            verifying.reference(where, ["core", "base"] if where is place else ["base"], 5)


def test_folder_is_always_removed() -> None:
    made = []

    def interrupted() -> None:
        with verifying.room(None) as folder:
            (folder / "core").mkdir()
            made.append(folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not made[0].exists()


def test_kept_folder_has_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(UsageError, match="is not empty"), verifying.room(tmp_path):
        pass
    with verifying.room(tmp_path / "new") as folder:
        (folder / "core").mkdir()
    assert (tmp_path / "new/core").is_dir()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["verify", "nothing"], 3, "no target matches 'nothing'"),
        (["verify", "--write", "no/where.json"], 2, "there is no folder no"),
        (["verify", "--against", "no.json"], 2, "does not exist"),
        (["verify", "--against", "orbiter.yaml"], 2, "no list of digests"),
    ],
)
def test_wrong_wish_is_refused_before_anything_is_built(
    tmp_path: Path, orbiter: Run, arguments: list[str], status: int, said: str
) -> None:
    (tmp_path / "orbiter.yaml").write_text(CONFIG)
    done = orbiter(*arguments, DOCKER_HOST="unix:///nonexistent")
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert not (tmp_path / "docker-bake.hcl").exists()
