"""Which line of the configuration a failed step comes from. With real failures: tests/e2e/test_blame.py."""

import base64
import json
from dataclasses import replace

import pytest

from orbiter import builders, resources, schema, source
from orbiter.bake import failed_step
from orbiter.blame import Failure, blame
from orbiter.plan import plan
from orbiter.render import render
from orbiter.resolve import resolve

CONFIG = b"""\
x-again: &again [make, ls]
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
        postbuild:
          - make
          - [rm -r x, *again]
          - |
            if [ -e y ]; then

              make y
            fi
            ls
          - make
  b:
    core: {image: "debian:trixie-slim", builder: pip_core}
python: {version: "3.12"}
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
    return Failure(context=context, line=head + 1, text=lines[head], logs=logs, errors=logs)


@pytest.mark.parametrize(
    ("context", "contains", "log", "place"),
    [
        ("build/a/core", "apt-get install", "E: Unable to locate package git", "4:73: build.a.core.apt[0]"),
        ("build/a/core", "apt-get install", "Temporary failure resolving", "4:72: build.a.core.apt"),
        (BUILD, "micromamba install", "nothing provides numpy", "11:32: build.a.base.build.conda.dependencies[0]"),
        (BUILD, "micromamba install", "no six-plus here", "11:65: build.a.base.build.conda.dependencies[1].pip[0]"),
        (BUILD, "micromamba install", "numpy-financial, not-numpy", "11:16: build.a.base.build.conda"),
        ("build/a/core", "getent", "", "4:11: build.a.core"),
        ("build/b/core", "python find", "No download found", "24:19: python.version"),
    ],
)
def test_place(context: str, contains: str, log: str, place: str) -> None:
    found = blame(PLAN, DOCUMENT, FILES, [failure(context, contains, *([log] if log else []))])
    assert found is not None
    assert str(found).startswith(f"o.yaml:{place}: ")


@pytest.mark.parametrize(
    ("errors", "place"),
    [
        ([], "13:11: build.a.base.build.postbuild: 'a-base-build' could not be built: the step of 'postbuild' failed"),
        (["make", "*** no rule"], "13:13: build.a.base.build.postbuild[0]: "),
        (["make", "rm -r x"], "14:14: build.a.base.build.postbuild[1][0]: "),
        (["make", "rm -r x", "make", "no"], "14:23: build.a.base.build.postbuild[1][1][0]: "),
        (["make", "rm -r x", "make", "ls", "no"], "14:23: build.a.base.build.postbuild[1][1][1]: "),
        # After a line that a program did not end.
        (["make", "50 %rm -r x", "make"], "14:23: build.a.base.build.postbuild[1][1][0]: "),
        # The log was clipped: what came then?
        (["make", "[output clipped, log limit 200KiB/s reached]", "no"], "13:11: build.a.base.build.postbuild: "),
        (["[output clipped, log limit 200KiB/s reached]", "fi", "no"], "15:13: build.a.base.build.postbuild[2]: "),
        (
            ["make", "rm -r x", "make", "ls", "if [ -e y ]; then", "", "  make y", "fi", "no"],
            "15:13: build.a.base.build.postbuild[2]: 'a-base-build' could not be built: "
            "the step of 'postbuild' failed at 'fi'; it printed\n  make\n",
        ),
        (
            ["make", "rm -r x", "make", "ls", "if [ -e y ]; then", "", "  make y", "fi", "ls", "make", "no"],
            "21:13: build.a.base.build.postbuild[3]: 'a-base-build' could not be built: "
            "the step of 'postbuild' failed; it printed\n  make\n",
        ),
    ],
)
def test_place_of_a_postbuild_line(errors: list[str], place: str) -> None:
    found = blame(PLAN, DOCUMENT, FILES, [failure(BUILD, "  make y", *errors)])
    assert str(found).startswith(f"o.yaml:{place}")


def test_only_the_last_lines_are_shown_and_all_are_read() -> None:
    found = blame(PLAN, DOCUMENT, FILES, [failure(BUILD, "  make y", "make", *(f"{n}." for n in range(30)))])
    assert found is not None
    assert str(found).endswith("it printed" + "".join(f"\n  {n}." for n in range(10, 30)))
    assert found.path == ("build", "a", "base", "build", "postbuild", 0)


def test_a_dependent_is_not_to_blame() -> None:
    failed = failure(BUILD, "micromamba install", "numpy")
    dependent = replace(failed, context="build/a/base")
    found = blame(PLAN, DOCUMENT, FILES, [dependent, failed])
    assert found is not None
    assert "'a-base-build' could not be built: the step of 'conda' failed; it printed\n  numpy" in str(found)
    # Buildx may tell of the dependent only.
    assert blame(PLAN, DOCUMENT, FILES, [dependent]) == found
    stranger = Failure(context="build/a/core", line=failed.line, text=failed.text, logs=failed.logs)
    assert blame(PLAN, DOCUMENT, FILES, [stranger]) is None
    assert blame(PLAN, DOCUMENT, FILES, []) is None


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_step_of_a_record_of_buildx() -> None:
    excerpt = "Dockerfile:9\n-----\n   8 |     \n   9 | >>> RUN one \\\n  10 | >>>     two\n  11 |     \n-----\n"
    error = {"Sources": encoded(excerpt), "Name": "[2/2] RUN one", "Logs": ["said  ", "more"]}
    record = json.dumps({"Context": "build/a/core", "Error": error}).encode()
    step = Failure(context="build/a/core", line=9, text="RUN one \\", logs=("said", "more"), errors=("said", "more"))
    assert failed_step(record) == step
    progress = [
        {"vertexes": [{"digest": "1", "name": "[1/2] FROM x"}, {"digest": "2", "name": "[2/2] RUN one"}]},
        {"logs": [{"vertex": "2", "stream": 2, "data": encoded("one\n 5 %")}]},
        {"logs": [{"vertex": "1", "stream": 2, "data": encoded("other\n")}]},
        {"logs": [{"vertex": "2", "stream": 1, "data": encoded("out\n")}]},
        {"logs": [{"vertex": "2", "stream": 2, "data": encoded("\r50 %\n\n")}]},
        {"vertexes": [{"digest": "2", "name": "[2/2] RUN one", "error": "exit code: 1"}], "statuses": []},
    ]
    lines = [json.dumps(state).encode() for state in progress]
    whole = failed_step(record, b"\n".join([b"WARNING: of Docker", *lines]))
    assert whole == replace(step, logs=("one", " 5 %out", "50 %", ""), errors=("one", "50 %", ""))
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
        "o.yaml:4:19: build.a.core.image: 'a-core' could not be built: its parent could not be pulled; "
        "the engine said\n  no such host"
    )


def test_failure_before_any_step_is_that_of_the_image() -> None:
    failed = Failure(context=BUILD, line=0, text="", logs=(), message="no such host")
    assert str(blame(PLAN, DOCUMENT, FILES, [failed])) == (
        "o.yaml:9:9: build.a.base.build: 'a-base-build' could not be built; the engine said\n  no such host"
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
