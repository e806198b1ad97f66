"""What is Orbiter's own, and what of it may go."""

from dataclasses import replace

import pytest

from orbiter import removal
from orbiter.errors import NothingMatched
from orbiter.images import LocalImage
from orbiter.removal import COMMAND, Container, Removal
from tests.unit.test_content import planned

REPO = "example/course"
STEP = "LABEL orbiter.target=debian-base"


def image(*references: str, target: str = "debian-base", step: str | None = None, **more: object) -> LocalImage:
    own = LocalImage(
        id=f"sha256:{target}",
        references=references,
        digests=(),
        labels={"orbiter.repository": REPO, "orbiter.target": target},
        size=1,
        created=0.0,
        last_step=f"LABEL orbiter.target={target}" if step is None else step,
    )
    return replace(own, **more)  # type: ignore[arg-type]


def container(state: str = "exited", image: str = "sha256:debian-base", **labels: str) -> Container:
    named = {name.replace("_", "."): value for name, value in labels.items()}
    return Container(id="c1", name="one", image=image, state=state, labels=named)


OWN = image(f"{REPO}:debian-base-1.0.0")


def names(found: Removal) -> list[str]:
    return [each.name for each in found.doomed]


@pytest.mark.parametrize(
    ("other", "own"),
    [
        (OWN, True),
        (replace(OWN, last_step="RUN /bin/sh -c pip install # buildkit"), False),
        (replace(OWN, last_step="LABEL orbiter.target=debian-core"), False),
        (replace(OWN, last_step=""), False),
        (replace(OWN, labels={"orbiter.target": "debian-base"}), False),
        (replace(OWN, labels={}), False),
    ],
)
def test_labels_and_history_together_make_an_image_orbiters(other: LocalImage, own: bool) -> None:
    assert removal.is_own(other) is own


def test_an_image_whose_history_nobody_asked_for_is_no_answer() -> None:
    with pytest.raises(ValueError, match="history"):
        removal.is_own(replace(OWN, last_step=None))


def test_only_names_in_orbiters_repository_go() -> None:
    tagged = image(f"{REPO}:a", "me/copy:1", f"{REPO}2:a", f"registry.example.org/{REPO}:a", f"{REPO}:latest")
    found = removal.of_images([tagged], [])
    assert (names(found), found.kept) == ([f"{REPO}:a", f"{REPO}:latest"], ())


def test_an_image_under_somebody_elses_name_only_is_not_mentioned() -> None:
    assert removal.of_images([image("me/copy:1")], []) == Removal(doomed=(), kept=())


def test_a_dangling_image_goes_by_its_id() -> None:
    assert names(removal.of_images([image()], [])) == ["sha256:debian-base"]


def test_docker_hubs_own_name_is_left_out_by_docker() -> None:
    hub = image("a/b:1", labels={"orbiter.repository": "docker.io/a/b", "orbiter.target": "debian-base"})
    assert names(removal.of_images([hub], [])) == ["a/b:1"]


def test_what_somebody_built_on_an_image_stays_and_is_named() -> None:
    derived = image(f"{REPO}:derived", step="COPY . . # buildkit")
    found = removal.of_images([derived], [])
    assert found == Removal(doomed=(), kept=((f"{REPO}:derived", "somebody else's, built on debian-base"),))


@pytest.mark.parametrize("state", ["running", "paused", "exited", "created"])
def test_an_image_that_a_container_uses_stays(state: str) -> None:
    found = removal.of_images([OWN], [container(state)])
    assert found == Removal(doomed=(), kept=((f"{REPO}:debian-base-1.0.0", f"used by one ({state})"),))


@pytest.mark.parametrize("state", ["exited", "created", "dead"])
def test_stopped_containers_of_orbiters_commands_go_before_their_images(state: str) -> None:
    found = removal.of_everything([OWN], [container(state, orbiter_command="run")])
    assert [(each.kind, each.name) for each in found.doomed] == [
        ("container", "one"),
        ("image", f"{REPO}:debian-base-1.0.0"),
    ]


@pytest.mark.parametrize("state", ["running", "paused", "restarting", "removing", "some new word"])
def test_other_containers_never_go(state: str) -> None:
    found = removal.of_everything([OWN], [container(state, orbiter_command="run")])
    assert (found.doomed, len(found.kept)) == ((), 1)


def test_a_container_that_somebody_started_stays_although_it_has_the_labels_of_its_image() -> None:
    found = removal.of_everything([OWN], [container(orbiter_target="debian-base", orbiter_repository=REPO)])
    assert found.doomed == ()


def test_a_container_of_a_committed_container_inherits_the_label_and_stays() -> None:
    committed = image("me/committed:1", step="sleep 60", labels={**OWN.labels, COMMAND: "run"})
    assert removal.of_everything([committed], [container(orbiter_command="run")]).doomed == ()


def test_selection_knows_what_the_configuration_has_no_more() -> None:
    gone, other = image("x", target="debian-gone"), image("y", labels={"orbiter.repository": "other"})
    images = [OWN, gone, other]
    assert removal.matching(images, planned(), ()) == (OWN, gone)
    assert removal.matching(images, planned(), ("debian-gone",)) == (gone,)
    assert removal.matching(images, planned(), ("debian-*",)) == (OWN, gone)
    assert removal.matching(images, planned(), ("debian",)) == (OWN,)
    assert removal.matching(images, planned(), ("debian-top",)) == ()
    with pytest.raises(NothingMatched, match="no target matches 'debian-bas'; did you mean 'debian-base'"):
        removal.matching(images, planned(), ("debian-bas",))


def test_list_shows_what_goes_and_what_stays() -> None:
    found = removal.of_images(
        [
            image(f"{REPO}:debian-base-1.0.0", size=183_000_000, created=1000.0),
            image(id="sha256:0123456789abcdef", size=1_500_000_000),
            image(f"{REPO}:x", id="sha256:other", step=""),
        ],
        [],
    )
    assert removal.as_text(found, 1000.0 + 2 * 86400) == [
        "image  example/course:debian-base-1.0.0  183 MB  2 days",
        "image  0123456789ab (debian-base)        1.5 GB",
        "kept:",
        "  example/course:x  somebody else's, built on debian-base",
    ]
    assert removal.question(found) == "Remove 2 images?"
    assert removal.as_data(found, removed=False)["kept"] == [
        {"name": "example/course:x", "reason": "somebody else's, built on debian-base"}
    ]


def test_question_counts_both_kinds() -> None:
    found = removal.of_everything([OWN], [container(orbiter_command="run")])
    assert removal.question(found) == "Remove 1 image and 1 container?"
