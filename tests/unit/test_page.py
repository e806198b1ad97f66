"""The page of a build: what it says of recorded builds, and that nothing of a log becomes markup."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from orbiter import resources
from orbiter.blame import Cause
from orbiter.errors import UsageError
from orbiter.layers import Layer
from orbiter.lockdiff import Change
from orbiter.page import Facts, Timeline, as_data, as_html, seconds
from orbiter.progress import Progress, Step
from orbiter.report import Outcome, Report, critical_path

NEEDS = {
    "debian-core": (),
    "debian-base-build": ("debian-core",),
    "debian-base": ("debian-core", "debian-base-build"),
    "debian-other": ("debian-core",),
}
FACTS = Facts(
    title="localhost/lab 1",
    source="orbiter.yaml",
    moment="2026-01-01 10:00:00 UTC",
    orbiter="0",
    needs=NEEDS,
    origins={},
    layers={},
    compressed=False,
    changed=frozenset(),
    uncached=False,
    packages={},
)
NASTY = '</pre><script>alert(1)</script><img src="https://example.org/x" onerror="alert(2)">&amp;'


def report(name: str, *, done: bool = False, interrupted: bool = False) -> Report:
    """What came of a recorded build."""
    progress = Progress(NEEDS, ("debian-core", "debian-base", "debian-other"))
    for line in (Path(__file__).parent / "progress" / f"{name}.jsonl").read_text().splitlines():
        progress.feed(line)
    outcomes = tuple(
        Outcome(
            target=target,
            result=work.result,
            seconds=work.seconds,
            problem=work.failed.error if work.failed else None,
            cause=Cause(target=target, dockerfile=None, line=0, instruction="RUN x", finding=None, log=work.failed.logs)
            if work.failed
            else None,
        )
        for target, work in progress.work(done=done).items()
    )
    steps = progress.steps()
    return Report(
        outcomes=outcomes, critical=critical_path(steps, NEEDS), seconds=7.0, steps=steps, interrupted=interrupted
    )


class Outline(HTMLParser):
    """Checks that elements are closed in order, and keeps their text, names, attributes and headings."""

    void = frozenset({"meta", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.headings: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            return
        self.text += data
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append((self.open[-1], data))


def page(made: Report, facts: Facts = FACTS) -> Outline:
    return Outline(as_html(made, facts, resources.templates()))


def test_a_build_has_its_targets_steps_and_times() -> None:
    made = report("built", done=True)
    shown = page(made)
    assert all(target in shown.text for target in NEEDS)
    assert "uv pip install" in shown.text
    assert "every step came from the cache" in shown.text  # debian-core
    assert "after debian-base-build: 'uv pip install' ran" in shown.text  # why debian-base was built
    assert [text for tag, text in shown.headings if tag == "h1"] == ["localhost/lab 1"]
    assert [text for tag, text in shown.headings if tag == "h2"] == ["Timeline", "Targets", "Slowest steps"]


def test_the_page_needs_no_network_and_runs_nothing() -> None:
    shown = page(report("built", done=True))
    assert not {"script", "img", "link", "iframe", "object", "svg", "a", "form"} & set(shown.tags)
    assert not [value for name, value in shown.attributes if "://" in (value or "") or name.startswith("on")]
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in shown.attributes


def test_nothing_that_was_printed_becomes_markup() -> None:
    made = report("failed")
    cause = Cause(target="x", dockerfile=NASTY, line=3, instruction=NASTY, finding=None, log=(NASTY, NASTY))
    outcomes = tuple(
        replace(each, problem=NASTY, cause=cause, references=(NASTY,)) if each.result == "failed" else each
        for each in made.outcomes
    )
    steps = tuple(replace(step, text=NASTY, name=NASTY) for step in made.steps)
    layers = {"debian-core": (Layer(digest="sha256:1", size=10**6, text=NASTY),)}
    packages = {"debian-core": (Change(kind="pip", name=NASTY, old=None, new=NASTY),)}
    facts = replace(FACTS, title=NASTY, problem=NASTY, layers=layers, packages=packages)
    shown = page(replace(made, outcomes=outcomes, steps=steps, critical=()), facts)
    assert not {"script", "img"} & set(shown.tags)
    assert not [name for name, _ in shown.attributes if name.startswith("on")]
    assert shown.text.count(NASTY) >= 8


def test_a_failed_build_shows_why_and_the_last_lines() -> None:
    shown = page(report("failed"), replace(FACTS, problem="docker buildx bake failed"))
    assert shown.headings[1] == ("h2", "What went wrong")
    assert "about to fail" in shown.text
    assert "stopped before its end" in shown.text
    assert "not begun" in shown.text
    assert "critical path ·" not in shown.text


def test_an_interrupted_build_shows_how_far_it_came() -> None:
    shown = page(report("cancelled", interrupted=True), replace(FACTS, problem="interrupted"))
    assert ("h2", "How far it came") in shown.headings
    assert ("class", "badge interrupted") in shown.attributes


@pytest.mark.parametrize("name", ["cached", "refused"])
def test_other_builds_have_a_page_too(name: str) -> None:
    assert "debian-base" in page(report(name, done=name == "cached")).text


def test_what_needed_no_build_says_so() -> None:
    ready = (
        Outcome(target="debian-core", result="up to date", digest="sha256:1"),
        Outcome(target="debian-base", result="tagged", digest="sha256:2"),
    )
    text = page(Report(outcomes=ready, critical=(), seconds=0.0)).text
    assert "the image is there as the configuration has it" in text
    assert "the image was there under another version" in text
    assert "nothing to do" in page(Report(outcomes=ready[:1], critical=(), seconds=0.0)).text


def test_a_builder_without_a_history_has_a_page_without_steps() -> None:
    made = Report(outcomes=(Outcome(target="debian-core", result="built"),), critical=(), seconds=7.0)
    assert "The builder told of no steps that ran." in page(made).text


def test_bars_lie_within_the_time_and_in_order() -> None:
    made = report("built", done=True)
    timeline = Timeline(made, FACTS)
    bars = {step.digest: timeline.bar(step) for step in made.steps}
    assert all(bar.left >= 0 and bar.left + bar.width <= 100.01 for bar in bars.values() if bar)
    for before, after in zip(made.critical, made.critical[1:], strict=False):
        first, second = bars[before.digest], bars[after.digest]
        assert first is None or second is None or first.left + first.width <= second.left + 0.5
    assert {bar.look for bar in bars.values() if bar} == {"critical", "ran", "aside"}
    assert sum(step.seconds for step in made.critical) <= timeline.seconds
    assert timeline.ticks()[0] == (0.0, "0 s")
    assert 4 <= len(timeline.ticks()) <= 9


def test_why_a_step_ran() -> None:
    made = report("built", done=True)
    (first,) = (step for step in made.steps if step.text == "uv pip install")
    assert Timeline(made, FACTS).why(first) == "not in the cache"
    changed = replace(FACTS, changed=frozenset({"debian-base-build"}))
    assert Timeline(made, changed).why(first).startswith("not in the cache: its Dockerfile or the files beside it")
    assert Timeline(made, replace(FACTS, uncached=True)).why(first) == "asked to build without cache"
    follows = next(step for step in made.steps if step.because == (("debian-base-build", "uv pip install"),))
    assert Timeline(made, FACTS).why(follows) == "after 'uv pip install' ran"


def test_layers_of_a_parent_are_not_added_again() -> None:
    core = (Layer(digest="sha256:1", size=80_000_000, text="import"),)
    base = (*core, Layer(digest="sha256:2", size=20_000_000, text="COPY /opt/venv"))
    facts = replace(FACTS, layers={"debian-core": core, "debian-base": base})
    shown = page(report("built", done=True), facts).text
    assert "100 MB for 2 images" in " ".join(shown.split())
    assert "20 MB" in shown  # what base adds
    assert "unpacked; 180 MB if nothing were shared" in shown


def test_package_changes() -> None:
    changes = (
        Change(kind="pip", name="polars", old=None, new="1.9"),
        Change(kind="pip", name="six", old="1.16", new=None),
        Change(kind="pip", name="numpy", old="2.4", new="2.5"),
    )
    text = " ".join(page(report("built", done=True), replace(FACTS, packages={"debian-base": changes})).text.split())
    assert "+ polars 1.9 − six 1.16 ~ numpy 2.4 → 2.5" in text


def test_data_has_what_the_page_has() -> None:
    made = report("failed")
    data = json.loads(json.dumps(as_data(made, FACTS)))
    assert data["result"] == "failed"
    states = {(step["target"], step["step"]): step["state"] for step in data["steps"]}
    assert states["debian-base-build", "a script"] == "failed"
    assert all(step["began"] is None or step["began"] >= 0 for step in data["steps"])
    assert [target["failure"]["log"][-1] for target in data["targets"] if target["failure"]] == ["about to fail"]


def test_a_template_of_the_project_that_does_not_work_is_named() -> None:
    templates = dict(resources.templates()) | {"report/page.html.j2": "{{ nothing }}"}
    with pytest.raises(UsageError, match=r"^templates/report/page\.html\.j2: 'nothing' is undefined"):
        as_html(report("cached", done=True), FACTS, templates)


@pytest.mark.parametrize(
    ("count", "text"), [(0.04, "0.0 s"), (75.01, "75.0 s"), (125, "2 min 5 s"), (7380, "2 h 3 min")]
)
def test_seconds(count: float, text: str) -> None:
    assert seconds(count) == text


def test_steps_that_wait_for_each_other_in_a_circle_end() -> None:
    one = Step(target="a", text="x", seconds=1.0, began=1.0, ended=2.0, because=(("a", "y"),))
    other = replace(one, text="y", because=(("a", "x"),))
    made = Report(outcomes=(), critical=(), seconds=1.0, steps=(one, other))
    assert Timeline(made, FACTS).why(one).startswith("after ")
