"""Which line of the configuration a failed step comes from. With real failures: tests/e2e/test_blame.py."""

import base64
import json

import pytest

from orbiter import builders, resources, schema, source
from orbiter.blame import Failure, blame
from orbiter.engine import failed_step
from orbiter.plan import plan
from orbiter.render import render
from orbiter.resolve import resolve

CONFIG = b"""\
build:
  a:
    core: {image: "debian:trixie-slim", builder: micromamba_core, apt: [git], postbuild: [c]}
    base:
      image: core
      builder: micromamba_deploy
      build:
        image: core
        builder: micromamba_builder
        conda: {dependencies: ["conda-forge::numpy >=2", {pip: [six-plus]}]}
        postbuild: [a, b]
"""
RULES = schema.parse(resources.schema(), {})
KNOWN = builders.with_own(schema.builders(RULES))
DOCUMENT = source.load(CONFIG, "o.yaml")
PLAN = plan(resolve(DOCUMENT, KNOWN)[0], KNOWN)
FILES = render(PLAN, resources.templates())
BUILD = "build/a/base/build"


def failure(context: str, contains: str, *logs: str) -> Failure:
    """The failure of the instruction of a Dockerfile in which that text stands."""
    lines = FILES[f"{context}/Dockerfile"].splitlines()
    hit = next(number for number, line in enumerate(lines) if contains in line)
    head = max(number for number in range(hit + 1) if lines[number].startswith("RUN"))
    return Failure(context=context, line=head + 1, text=lines[head], logs=logs)


@pytest.mark.parametrize(
    ("context", "contains", "log", "place"),
    [
        ("build/a/core", "apt-get install", "E: Unable to locate package git", "3:73: build.a.core.apt[0]"),
        ("build/a/core", "apt-get install", "Temporary failure resolving", "3:72: build.a.core.apt"),
        (BUILD, "micromamba create", "nothing provides numpy", "10:32: build.a.base.build.conda.dependencies[0]"),
        (BUILD, "micromamba create", "no six-plus here", "10:65: build.a.base.build.conda.dependencies[1].pip[0]"),
        (BUILD, "micromamba create", "numpy-financial, not-numpy", "10:16: build.a.base.build.conda"),
        (BUILD, "\nb", "", "11:20: build.a.base.build.postbuild"),
        ("build/a/core", "getent", "", "3:11: build.a.core"),
    ],
)
def test_place(context: str, contains: str, log: str, place: str) -> None:
    if contains == "\nb":
        text = FILES[f"{context}/Dockerfile"].splitlines()
        number = max(number for number, line in enumerate(text) if line.startswith("RUN <<"))
        failed = Failure(context=context, line=number + 1, text=text[number], logs=())
    else:
        failed = failure(context, contains, *([log] if log else []))
    found = blame(PLAN, DOCUMENT, FILES, [failed])
    assert found is not None
    assert str(found).startswith(f"o.yaml:{place}: ")


def test_a_dependent_is_not_to_blame() -> None:
    failed = failure(BUILD, "micromamba create", "numpy")
    dependent = Failure(context="build/a/base", line=failed.line, text=failed.text, logs=failed.logs)
    found = blame(PLAN, DOCUMENT, FILES, [dependent, failed])
    assert found is not None
    assert "'a-base-build' could not be built: the step of 'conda' failed; it printed\n  numpy" in str(found)
    # Buildx may tell of the dependent only.
    assert blame(PLAN, DOCUMENT, FILES, [dependent]) == found
    stranger = Failure(context="build/a/core", line=failed.line, text=failed.text, logs=failed.logs)
    assert blame(PLAN, DOCUMENT, FILES, [stranger]) is None
    assert blame(PLAN, DOCUMENT, FILES, []) is None


def test_step_of_a_record_of_buildx() -> None:
    excerpt = "Dockerfile:9\n-----\n   8 |     \n   9 | >>> RUN one \\\n  10 | >>>     two\n  11 |     \n-----\n"
    error = {"Sources": base64.b64encode(excerpt.encode()).decode(), "Logs": ["said  ", "more"]}
    record = {"Context": "build/a/core", "Error": error}
    assert failed_step(json.dumps(record).encode()) == Failure(
        context="build/a/core", line=9, text="RUN one \\", logs=("said", "more")
    )
    assert failed_step(b'{"Context": "x", "Error": {"Message": "no network"}}') == Failure(
        context="x", line=0, text="", logs=(), message="no network"
    )
    said = 'process "sh -c false" did not complete successfully: exit code: 1'
    told = failed_step(json.dumps({"Context": "x", "Error": {"Message": said}}).encode())
    assert told is not None
    assert told.message == "exit code: 1"
    assert failed_step(b'{"Context": "x", "Status": "canceled", "Error": {"Message": "context canceled"}}') is None
    assert failed_step(b'{"Context": "x"}') is None


def test_parent_that_cannot_be_pulled() -> None:
    lines = FILES["build/a/core/Dockerfile"].splitlines()
    number = lines.index("FROM debian:trixie-slim")
    failed = Failure(context="build/a/core", line=number + 1, text=lines[number], logs=(), message="no such host")
    assert str(blame(PLAN, DOCUMENT, FILES, [failed])) == (
        "o.yaml:3:19: build.a.core.image: 'a-core' could not be built: its parent could not be pulled; "
        "the engine said\n  no such host"
    )


def test_failure_before_any_step_is_that_of_the_image() -> None:
    failed = Failure(context=BUILD, line=0, text="", logs=(), message="no such host")
    assert str(blame(PLAN, DOCUMENT, FILES, [failed])) == (
        "o.yaml:8:9: build.a.base.build: 'a-base-build' could not be built; the engine said\n  no such host"
    )
    elsewhere = Failure(context="elsewhere", line=0, text="", logs=(), message="no such host")
    assert blame(PLAN, DOCUMENT, FILES, [elsewhere]) is None


def test_the_deepest_of_two_that_fail_in_the_same_line_is_to_blame() -> None:
    below = [f"{{image: {parent}, builder: pip_builder, pip: [six]}}" for parent in ("core", "one", "two")]
    text = 'build: {a: {core: {image: "debian:trixie-slim", builder: pip_core}, '
    text += ", ".join(f"{name}: {image}" for name, image in zip(("one", "two", "three"), below, strict=True)) + "}}"
    document = source.load(text.encode(), "o.yaml")
    planned = plan(resolve(document, KNOWN)[0], KNOWN)
    files = render(planned, resources.templates())
    lines = files["build/a/two/Dockerfile"].splitlines()
    number = next(number for number, line in enumerate(lines) if line.startswith("RUN"))
    assert files["build/a/three/Dockerfile"].splitlines()[number] == lines[number]
    failures = [
        Failure(context=f"build/a/{name}", line=number + 1, text=lines[number], logs=()) for name in ("three", "two")
    ]
    for order in (failures, failures[::-1]):
        found = blame(planned, document, files, order)
        assert found is not None
        assert found.path == ("build", "a", "two", "pip")
