"""What images are asked, and how the answers are told. The asking itself: tests/e2e/test_checks.py."""

from xml.etree import ElementTree

import pytest

from orbiter import builders, checks, resources, schema, source
from orbiter.checks import Outcome
from orbiter.errors import ConfigError
from orbiter.model import BuildPlan
from orbiter.plan import plan
from orbiter.resolve import resolve

CONFIG = """
build:
  debian:
    core: {image: "debian:trixie-slim", builder: pip_core}
    base: {image: core, builder: pip_deploy, build: {image: core, builder: pip_builder, pip: [jupyterlab]}}
    more: {image: base, builder: pip_deploy, test: {TEST}}
    tool: {image: base, builder: pip_deploy, cmd: [cat], test: {imports: [json]}}
"""


def planned(test: str = "") -> BuildPlan:
    rules = schema.parse(resources.schema(), {})
    document = source.load(CONFIG.replace("TEST", test).encode(), "orbiter.yaml")
    findings = schema.check(document, rules)
    if findings:
        raise ConfigError(findings)
    known = builders.with_own(schema.builders(rules))
    return plan(resolve(document, known)[0], known)


def asked(plan: BuildPlan, *names: str) -> dict[str, list[str]]:
    return {suite.target: [check.name for check in suite.checks] for suite in checks.suites(plan, names)}


def test_every_image_is_asked_what_it_can_answer() -> None:
    jupyter = ["user", "interpreter", "imports", "kernels", "http", "token"]
    assert asked(planned(), "default") == {
        "debian-core": ["user"],
        "debian-base": jupyter,
        "debian-more": jupyter,
        "debian-tool": ["user", "imports"],
    }
    assert [suite.serves for suite in checks.suites(planned(), ["debian"])] == [False, True, True, False]


def test_nested_builds_have_no_image() -> None:
    assert asked(planned(), "debian-base-build") == {}


def test_expectations_are_checks() -> None:
    test = "imports: [a.b], commands: [{run: [x, '$HOME']}, {run: [y], output: z}], notebooks: [n.ipynb], http: [/api]"
    (suite,) = checks.suites(planned(test), ["debian-more"])
    by_name = {check.name: check for check in suite.checks}
    assert list(by_name)[6:] == ["x $HOME", "y", "n.ipynb"]
    assert by_name["imports"].command[-1] == "a.b"
    assert by_name["http"].command[-1] == "/api"
    assert (by_name["x $HOME"].command, by_name["x $HOME"].output) == (("x", "$HOME"), None)
    assert by_name["y"].output == "z"
    assert by_name["n.ipynb"].stdin == "n.ipynb"


@pytest.mark.parametrize(
    ("test", "problem"),
    [
        ("imports: [a b]", "build.debian.more.test.imports[0]: bad value 'a b'; a module is written as in Python"),
        ("import: [a]", "unknown key 'import'; did you mean 'imports'?"),
        ("commands: [ls]", "must be a mapping (key: value), not text; for example {"),
        ("commands: [{output: x}]", "missing key 'run'; for example run: ["),
        ("notebooks: [../x.ipynb]", "'../x.ipynb' leads out of the project"),
        ("http: [lab]", "bad value 'lab'; a path begins with '/'"),
    ],
)
def test_wrong_expectations_are_said(test: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        planned(test)
    assert problem in str(error.value)


def test_nested_build_has_no_expectations() -> None:
    document = CONFIG.replace("pip: [jupyterlab]", "pip: [jupyterlab], test: {http: [/lab]}")
    rules = schema.parse(resources.schema(), {})
    loaded = source.load(document.replace("TEST", "").encode(), "orbiter.yaml")
    said = [str(finding) for finding in schema.check(loaded, rules)]
    if not said:
        with pytest.raises(ConfigError) as error:
            resolve(loaded, builders.with_own(schema.builders(rules)))
        said = [str(error.value)]
    assert "'test' of a nested build, which is never published" in said[0]


OUTCOMES = (
    Outcome(target="a-one", check="user", seconds=0.1),
    Outcome(target="a-one", check="http", seconds=12.0, problem="first\nlast <&> \x00"),
    Outcome(target="b", check="user", seconds=0.25),
)


def test_table_lines_up_and_says_what_failed() -> None:
    assert checks.as_text(OUTCOMES).splitlines() == [
        "image  check  result  time",
        "a-one  user   ok      0.1 s",
        "a-one  http   failed  12.0 s",
        "b      user   ok      0.2 s",
        "",
        "a-one: http failed",
        "  first",
        "  last <&> \x00",
    ]


def test_data_has_every_check() -> None:
    data = checks.as_data(OUTCOMES)
    assert (data["passed"], len(data["checks"])) == (False, 3)
    assert data["checks"][0] == {"target": "a-one", "check": "user", "passed": True, "seconds": 0.1, "problem": None}


def test_junit_has_a_suite_an_image() -> None:
    suites = ElementTree.fromstring(checks.as_junit(OUTCOMES))
    assert [(suite.get("name"), suite.get("failures"), suite.get("time")) for suite in suites] == [
        ("a-one", "1", "12.100"),
        ("b", "0", "0.250"),
    ]
    failure = suites[0][1].find("failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("last <&>", "first\nlast <&> ")
