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
build:
  debian:
    core:
      image: debian:trixie-slim
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
          - echo first
          - {postbuild}
"""
RIGHT = {"listed": "packaging", "apt": "bash", "pip": "certifi", "npm": "is-number", "postbuild": "echo second"}


@pytest.mark.parametrize(
    ("wrong", "said", "printed"),
    [
        (
            {"listed": "no-such-package-of-anyone"},
            "orbiter.yaml:18:13: build.debian.base.build.pip[0][1]: 'debian-base-build' could not be built: "
            "the step of 'pip' failed",
            "no-such-package-of-anyone was not found",
        ),
        (
            {"pip": "certifi==0.0.0.1"},
            "orbiter.yaml:19:13: build.debian.base.build.pip[1]: 'debian-base-build' could not be built: "
            "the step of 'pip' failed",
            "certifi==0.0.0.1",
        ),
        (
            {"apt": "bash, no-such-package-of-anyone"},
            "orbiter.yaml:10:19: build.debian.core.apt[1]: 'debian-core' could not be built: the step of 'apt' failed",
            "Unable to locate package no-such-package-of-anyone",
        ),
        (
            {"npm": '"@no-such-scope-of-anyone/x"'},
            "orbiter.yaml:20:15: build.debian.base.build.npm[0]: 'debian-base-build' could not be built: "
            "the step of 'npm' failed",
            "@no-such-scope-of-anyone",
        ),
        (
            {"postbuild": "echo about to fail >&2; false"},
            "orbiter.yaml:22:11: build.debian.base.build.postbuild: 'debian-base-build' could not be built: "
            "the step of 'postbuild' failed",
            "about to fail",
        ),
    ],
    ids=["alias", "pip", "apt", "npm", "postbuild"],
)
def test_failure_has_its_place(
    tmp_path: Path, engine: Mapping[str, str], wrong: dict[str, str], said: str, printed: str
) -> None:
    (tmp_path / "orbiter.yaml").write_text(CONFIG.format(**RIGHT | wrong))
    done = run_orbiter(tmp_path, engine, "build", "debian-base", "--progress=quiet")
    assert done.returncode == 4
    _, _, rest = done.stderr.partition("orbiter.yaml:")
    assert ("orbiter.yaml:" + rest).startswith(said), done.stderr
    assert printed in rest
    assert done.stderr.splitlines()[-1].startswith("orbiter: docker buildx bake failed with status 1")
