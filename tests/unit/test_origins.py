"""Steps of a build, and the lines of Dockerfile and configuration that they come from."""

from orbiter import builders, resources, schema, source
from orbiter.origins import origin, origins
from orbiter.plan import plan
from orbiter.progress import Step
from orbiter.render import render
from orbiter.resolve import resolve

CONFIG = b"""\
build:
  a:
    core:
      image: debian:trixie-slim
      builder: pip_core
      apt: [git]
    base:
      image: core
      builder: pip_deploy
      build:
        image: core
        builder: pip_builder
        pip: [numpy]
        postbuild:
          - make
    top:
      image: base
      builder: pip_deploy
      build: {image: base-build, builder: pip_builder, pip: [scipy]}
"""
RULES = schema.parse(resources.schema(), {})
KNOWN = builders.with_own(schema.builders(RULES))
DOCUMENT = source.load(CONFIG, "o.yaml")
PLAN = plan(resolve(DOCUMENT, KNOWN)[0], KNOWN)
FILES = render(PLAN, resources.templates())
FOUND = origins(PLAN, DOCUMENT, FILES)


def told(target: str, number: int, stage: str = "stage-1") -> tuple[str, str | None, str] | None:
    """Instruction, section and place of a step, as BuildKit counts them."""
    step = Step(target=target, text="", seconds=0.0, stage=stage, number=number)
    found = origin(FOUND, step)
    if not found:
        return None
    line = FILES[found.dockerfile].splitlines()[found.line - 1]
    return line.split()[0], found.section, str(found.span)


def test_a_parent_that_is_pulled_is_the_first_step() -> None:
    assert told("a-core", 1) == ("FROM", "image", "o.yaml:4:7")
    assert told("a-core", 2) == ("RUN", "apt", "o.yaml:6:7")


def test_a_parent_that_is_a_target_is_no_step() -> None:
    # BuildKit 0.25 calls the first of these `stage-1 1/5`: the first stage has the files.
    assert told("a-base-build", 1, "files") == ("COPY", None, "o.yaml:10:7")
    assert told("a-base-build", 2, "files") is None
    assert told("a-base-build", 2) == ("RUN", "pip", "o.yaml:13:9")
    assert told("a-base-build", 3) == ("RUN", None, "o.yaml:10:7")  # bytecode
    assert told("a-base-build", 4) == ("RUN", "postbuild", "o.yaml:14:9")
    assert told("a-base-build", 5) == ("WORKDIR", None, "o.yaml:10:7")
    assert told("a-base-build", 6) is None


def test_stages_count_each_for_itself() -> None:
    assert told("a-top", 1, "delta") == ("RUN", None, "o.yaml:16:5")
    assert told("a-top", 2, "delta") is None
    copies = [number for number in range(1, 6) if (told("a-top", number, "stage-1") or ("",))[0] == "COPY"]
    assert len(copies) == 1


def test_what_is_no_step_has_no_origin() -> None:
    assert origin(FOUND, Step(target="a-core", text="exporting to image", seconds=1.0)) is None
