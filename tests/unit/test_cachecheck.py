"""Why a step ran that the cache should have had."""

import textwrap

import pytest

from orbiter import builders, source
from orbiter.cachecheck import Checked, Found, as_data, as_text, rows, verdict
from orbiter.model import BuildPlan
from orbiter.plan import plan
from orbiter.progress import Step
from orbiter.resolve import resolve

CONFIG = """
    version: "1"
    docker: {repo: example.org/x}
    %s
    build:
      d:
        core: {image: "debian:trixie-slim", builder: pip_core}
        base: {image: core, builder: pip_core}
"""


def planned(more: str = "") -> BuildPlan:
    document = source.load(textwrap.dedent(CONFIG % more).encode(), "orbiter.yaml")
    return plan(resolve(document, builders.BUILDERS)[0], builders.BUILDERS)


def found(state: str = "there", **more: object) -> dict[str, Found]:
    """What there is for the core; the cache of the other target is whole."""
    core = Found(references=("c:d-core",), state=state, **more)  # type: ignore[arg-type]
    return {"d-core": core, "d-base": Found(references=("c:d-base",), state="there")}


CORE = [Step(target="d-core", text="apt-get", seconds=1.5), Step(target="d-core", text="COPY", seconds=0.1)]
ONLY = {"": frozenset({"1"})}
SAME = {"linux/amd64": frozenset({"1"}), "linux/arm64": frozenset({"2"})}


@pytest.mark.parametrize(
    ("seen", "base", "writes", "reason"),
    [
        (found("missing"), {}, True, "c:d-core does not exist; a build writes it"),
        (found("missing"), {}, False, "c:d-core does not exist; CACHE_WRITE keeps builds from writing it"),
        (found("no cache"), {}, True, "c:d-core is an image, not a cache"),
        (found("unknown", problem="c wants a login"), {}, True, "c:d-core cannot be read: c wants a login"),
        (found(), {}, True, "its Dockerfile or files changed since c:d-core was written"),
        (found(layers={"1", "9"}), SAME, True, "its Dockerfile or files changed since c:d-core was written"),
        (
            found(layers={"1"}),
            {"": frozenset({"1"})},
            True,
            "its Dockerfile or files changed since c:d-core was written",
        ),
        (found(layers={"2", "9"}), SAME, True, "c:d-core is for linux/arm64, not for linux/amd64"),
        (
            found(layers={"9"}),
            SAME,
            True,
            "debian:trixie-slim is another one since c:d-core was written; 'orbiter lock' pins it",
        ),
    ],
)
def test_the_first_step_has_the_reason(
    seen: dict[str, Found], base: dict[str, frozenset[str]], writes: bool, reason: str
) -> None:
    made = rows(planned(), CORE, seen, {"d-core": base}, platform="linux/amd64", writes=writes)
    assert [(row.target, row.step, row.reason) for row in made] == [
        ("d-core", "apt-get", reason),
        ("d-core", "COPY", "follows"),
    ]


def test_what_stands_on_it_follows() -> None:
    ran = [*CORE, Step(target="d-base", text="x", seconds=0.0)]
    *_, last = rows(planned(), ran, found(), {}, platform="linux/amd64", writes=True)
    assert (last.target, last.reason) == ("d-base", "d-core ran, on which it is built")


def test_mode_min_may_have_dropped_it() -> None:
    first, _ = rows(planned("cache: {mode: min}"), CORE, found(), {}, platform="linux/amd64", writes=True)
    assert first.reason.endswith(" was written, or mode min dropped it")


def test_a_lost_layer_is_told_although_nothing_ran() -> None:
    made = rows(planned(), [], found(gone=("sha256:1", "sha256:2")), {}, platform="linux/amd64", writes=True)
    checked = Checked(repository="c", targets=("d-core", "d-base"), steps=4, rows=made)
    assert verdict(checked) == "1 cache not whole"
    reason = "the registry has lost 2 layers of c:d-core; a build that needs it fails"
    assert as_text(checked)[1].split() == ["d-core", "–", *reason.split()]
    assert as_data(checked)["ran"] == []
    assert [row["target"] for row in as_data(checked)["lost"]] == ["d-core"]


def test_nothing_ran() -> None:
    checked = Checked(repository="r.org/c", targets=("d-core",), steps=2, rows=())
    assert as_text(checked) == ["1 target, 2 steps: all from r.org/c"]
