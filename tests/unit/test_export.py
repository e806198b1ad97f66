"""`orbiter export jupyterhub`: which images, how they are called, and in which forms."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Run

CONFIG = """\
version: "2026.1"
docker: {repo: ghcr.io/example/course}
build:
  debian:
    core: {image: "debian:trixie-slim", builder: pip_core, apt: [git]}
    base:
      image: core
      builder: pip_deploy
      build:
        image: core
        builder: pip_builder
        pip: ["jupyterlab>=4", jupyterhub, numpy, pandas, scipy, altair, dask, h5py]
    maps:
      image: base
      builder: pip_deploy
      labels:
        org.opencontainers.image.title: "Maps: \\"all\\" of them"
        org.opencontainers.image.description: 'for #geographers'
      build: {image: base-build, builder: pip_builder, pip: [geopandas]}
    job: {image: base, builder: pip_deploy, cmd: [python3, job.py]}
"""
BASE = "ghcr.io/example/course:debian-base-2026.1"
MAPS = "ghcr.io/example/course:debian-maps-2026.1"
TITLE = 'Maps: "all" of them'
PROFILES = [
    {
        "display_name": "base",
        "slug": "debian-base",
        "description": "jupyterlab, numpy, pandas, scipy, altair, dask and 1 more",
        "default": True,
        "kubespawner_override": {"image": BASE},
    },
    {
        "display_name": TITLE,
        "slug": "debian-maps",
        "description": "for #geographers",
        "kubespawner_override": {"image": MAPS},
    },
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "orbiter.yaml").write_text(CONFIG)
    return tmp_path


def exported(orbiter: Run, *arguments: str) -> str:
    done = orbiter("export", "jupyterhub", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


class Traits:
    """The object `c` of a jupyterhub_config.py."""

    def __init__(self) -> None:
        self.set: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return self.__dict__.setdefault(name, type(name, (), {})())


@pytest.mark.usefixtures("project")
def test_values_for_the_chart(orbiter: Run) -> None:
    text = exported(orbiter)
    assert yaml.safe_load(text) == {"singleuser": {"profileList": PROFILES}}
    assert text == exported(orbiter, "--kubernetes")


@pytest.mark.usefixtures("project")
def test_images_of_docker_spawner(orbiter: Run) -> None:
    images = {"base": BASE, TITLE: MAPS}
    assert yaml.safe_load(exported(orbiter, "--docker")) == images
    assert json.loads(exported(orbiter, "--docker", "--format", "json")) == images


@pytest.mark.usefixtures("project")
def test_lines_of_a_configuration(orbiter: Run) -> None:
    c = Traits()
    exec(exported(orbiter, "--format", "python") + exported(orbiter, "--docker", "--format", "python"), {"c": c})
    assert c.KubeSpawner.profile_list == PROFILES
    assert (c.DockerSpawner.allowed_images, c.DockerSpawner.image) == ({"base": BASE, TITLE: MAPS}, BASE)


@pytest.mark.usefixtures("project")
def test_default_comes_first_where_order_decides(orbiter: Run) -> None:
    assert list(json.loads(exported(orbiter, "--docker", "--format=json", "--default=debian-maps"))) == [TITLE, "base"]
    profiles = json.loads(exported(orbiter, "--format=json", "--default=debian-maps"))
    assert [(each["slug"], each.get("default")) for each in profiles] == [("debian-base", None), ("debian-maps", True)]


@pytest.mark.usefixtures("project")
def test_only_what_starts_jupyter_unless_it_is_named(orbiter: Run) -> None:
    for arguments in ((), ("debian",), ("debian-*",)):
        assert [p["slug"] for p in json.loads(exported(orbiter, "--format=json", *arguments))] == [
            "debian-base",
            "debian-maps",
        ]
    (named,) = json.loads(exported(orbiter, "--format=json", "debian-job"))
    assert named["slug"] == "debian-job"


def test_families_are_in_the_name_if_there_are_several(project: Path, orbiter: Run) -> None:
    (project / "orbiter.yaml").write_text(CONFIG + "  lab:\n    base: {image: debian-base, builder: pip_deploy}\n")
    names = [profile["display_name"] for profile in json.loads(exported(orbiter, "--format=json"))]
    assert names == ["debian-base", TITLE, "lab-base"]


def test_missing_jupyterhub_is_said(project: Path, orbiter: Run) -> None:
    (project / "orbiter.yaml").write_text(CONFIG.replace("jupyterhub, ", ""))
    done = orbiter("export", "jupyterhub")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        f"{name}: installs no jupyterhub, which a hub starts as jupyterhub-singleuser"
        for name in ("debian-base", "debian-maps")
    ]


def test_same_name_twice_is_2(project: Path, orbiter: Run) -> None:
    (project / "orbiter.yaml").write_text(CONFIG.replace('"Maps: \\"all\\" of them"', "base"))
    done = orbiter("export", "jupyterhub", "--docker")
    assert (done.returncode, done.stdout) == (2, "")
    assert "several images are called 'base'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--default", "debian-core"], 2, "--default debian-core: is none of those that are offered: debian-base, "),
        (["debian-bas"], 3, "did you mean 'debian-base'?"),
        (["debian-core-build"], 3, "no target matches"),
    ],
)
@pytest.mark.usefixtures("project")
def test_wrong_targets(orbiter: Run, arguments: list[str], code: int, message: str) -> None:
    done = orbiter("export", "jupyterhub", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr


def test_nothing_that_starts_jupyter_is_3(tmp_path: Path, orbiter: Run) -> None:
    (tmp_path / "orbiter.yaml").write_text(
        "build: {d: {core: {image: 'debian:trixie-slim', builder: pip_core, cmd: [sh]}}}"
    )
    done = orbiter("export", "jupyterhub")
    assert (done.returncode, done.stderr) == (
        3,
        "orbiter: no image starts Jupyter; name those that are to be offered\n",
    )
