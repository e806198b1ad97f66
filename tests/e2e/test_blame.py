"""A build that fails is told with the place in the configuration that it comes from."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import run_orbiter

pytestmark = pytest.mark.engine

CONFIG = """\
docker: {{repo: localhost/orbiter-blame}}
x-list: &list
  - six
  - {listed}
x-lines: &lines
  - echo second
  - {postbuild}
build:
  alpine:
    core:
      image: alpine:3.23
      builder: pip_core
      postbuild:
        - echo "$HOME"
        - |
          for n in 1 2; do
            echo $n
          done
          {alpine}
        - echo not reached
  debian:
    core:
      image: {base}
      builder: pip_core
      apt: [{apt}]
    base:
      image: core
      builder: pip_deploy
      build:
        image: core
        builder: pip_builder
        pip:
          - *list
          - idna {pip}
        npm: [{npm}]
        postbuild:
          - echo second
          - *lines
          - echo second
"""
RIGHT = {
    "listed": "packaging",
    "apt": "bash",
    "pip": "certifi",
    "npm": "is-number",
    "postbuild": "pwd",
    "alpine": "pwd",
}


@pytest.mark.parametrize(
    ("wrong", "said", "printed"),
    [
        (
            {"listed": "no-such-package-of-anyone"},
            "orbiter.yaml:33:13: build.debian.base.build.pip[0][1]: 'debian-base-build' could not be built: "
            "the step of 'pip' failed",
            "no-such-package-of-anyone was not found",
        ),
        (
            {"pip": "certifi==0.0.0.1"},
            "orbiter.yaml:34:13: build.debian.base.build.pip[1]: 'debian-base-build' could not be built: "
            "the step of 'pip' failed",
            "certifi==0.0.0.1",
        ),
        (
            {"apt": "bash, no-such-package-of-anyone"},
            "orbiter.yaml:25:19: build.debian.core.apt[1]: 'debian-core' could not be built: the step of 'apt' failed",
            "Unable to locate package no-such-package-of-anyone",
        ),
        (
            {"npm": '"@no-such-scope-of-anyone/x"'},
            "orbiter.yaml:35:15: build.debian.base.build.npm[0]: 'debian-base-build' could not be built: "
            "the step of 'npm' failed",
            "@no-such-scope-of-anyone",
        ),
        (
            {"postbuild": "seq 30 >&2; echo about to fail $((6 * 7)) >&2; false"},
            "orbiter.yaml:38:13: build.debian.base.build.postbuild[1][1]: 'debian-base-build' could not be built: "
            "the step of 'postbuild' failed; it printed",
            "about to fail 42",
        ),
        (
            {"alpine": "echo about to fail $((6 * 7)) >&2; false"},
            "orbiter.yaml:15:11: build.alpine.core.postbuild[1]: 'alpine-core' could not be built: "
            "the step of 'postbuild' failed at 'echo about to fail $((6 * 7)) >&2; false'; it printed",
            "about to fail 42",
        ),
    ],
    ids=["alias", "pip", "apt", "npm", "postbuild", "alpine"],
)
def test_failure_has_its_place(
    tmp_path: Path, engine: Mapping[str, str], debian_with_npm: str, wrong: dict[str, str], said: str, printed: str
) -> None:
    (tmp_path / "orbiter.yaml").write_text(CONFIG.format(base=debian_with_npm, **RIGHT | wrong))
    target = "alpine-core" if "alpine" in wrong else "debian-base"
    done = run_orbiter(tmp_path, engine, "build", target, "--progress=quiet")
    assert done.returncode == 4
    _, _, rest = done.stderr.partition("orbiter.yaml:")
    assert ("orbiter.yaml:" + rest).startswith(said), done.stderr
    assert printed in rest
    assert done.stderr.splitlines()[-1].startswith("orbiter: docker buildx bake failed with status 1")
