"""What the builder families share: a builder's role, the environment that it fills, and the stage of an image."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from orbiter.model import Conda, Distribution, Image, Pairs, Project, Stage, Start

Role = Literal["core", "builder", "deploy", "custom"]

Problem = tuple[str, str, str]
"""Key of the image, what is wrong, the way out."""

JUPYTERLAB = ("jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser")
"""Starts with a token: Jupyter Server makes one up unless JUPYTER_TOKEN gives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A folder with packages that is copied from image to image as a whole.

    `env` leads an image to it; `tool` is the bake variable and the public reference of the image that lends
    the installer's binary.
    """

    family: str
    prefix: str
    env: Pairs
    tool: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """A kind of image. `system` are the packages it needs itself, `node` those it needs for npm packages."""

    name: str
    role: Role
    environment: Environment | None = None
    system: Mapping[Distribution, tuple[str, ...]] = field(default_factory=dict)
    node: tuple[str, ...] = ()


Builders = Mapping[str, Builder]
"""Every builder of a project, by name."""


def stage(project: Project, image: Image, builders: Builders) -> Stage:
    """What the template of the image's builder sees."""
    builder = builders[image.builder]
    environment = builder.environment
    lineage = project.lineage(image)
    rooted = any(builders[each.builder].role == "core" for each in lineage)
    led = any(builders[each.builder].environment == environment for each in lineage)
    inherited = environment is not None and bool(lineage) and carries(project, lineage[0], environment, builders)
    return Stage(
        parent=image.parent.reference,
        distribution=image.distribution,
        account=project.account,
        creates_account=image.deployable and not rooted,
        system=_system(project, image, builders),
        pip=image.pip,
        npm=image.npm,
        conda=_with_node(image),
        python=project.python,
        postbuild=image.postbuild,
        path=f"{environment.prefix}/bin" if environment and not led and "PATH" not in dict(image.env) else None,
        env=_env(project, image, builders, rooted=rooted, led=led),
        copy=image.copy,
        start=_start(project, image, builders),
        prefix=environment.prefix if environment else None,
        fresh=not inherited,
        source=project.reference(image.nested) if image.nested and builder.role == "deploy" else None,
        # A parent from elsewhere may have an environment too; if it has none, everything is new.
        stacked=inherited or image.parent.target is None,
        tool=environment.tool[1] if environment and _installs(project, builder) else None,
        mirrored=project.mirrors.has_indexes,
        ca=project.mirrors.ca is not None,
        snapshot=project.mirrors.snapshot,
        pins=None,
        explicit={},
        options=image.options,
    )


def carries(project: Project, image: Image, environment: Environment, builders: Builders) -> bool:
    """Whether the image has the environment: filled by itself, or by a parent within the project."""
    for each in (image, *project.lineage(image)):
        builder = builders[each.builder]
        if builder.environment == environment and (
            builder.role == "builder" or (builder.role == "deploy" and each.nested)
        ):
            return True
    return False


def problems(project: Project, image: Image, builders: Builders) -> Iterator[Problem]:
    """What is wrong with the way an image is put together."""
    environment = builders[image.builder].environment
    if builders[image.builder].role != "deploy" or environment is None or image.nested is None:
        return
    nested = project.images[image.nested]
    if builders[nested.builder].role == "custom" or carries(project, nested, environment, builders):
        return
    other = builders[nested.builder].environment or environment
    yield (
        "builder",
        f"{image.builder} copies {environment.prefix}, which '{nested.target}' does not have",
        f"use {other.family}_deploy here" if other != environment else f"nest a build of {environment.family}_builder",
    )


def _installs(project: Project, builder: Builder) -> bool:
    """Whether the image needs the installer: to fill its environment, or to look for the wanted Python."""
    wants_python = builder.name == "pip_core" and project.python is not None
    return builder.role == "builder" or wants_python


def _system(project: Project, image: Image, builders: Builders) -> tuple[str, ...]:
    builder = builders[image.builder]
    needed = builder.system.get(image.distribution, ())
    if builder.node and _has_npm(project, image):
        needed += builder.node
    return tuple(dict.fromkeys(needed + image.system))


def _has_npm(project: Project, image: Image) -> bool:
    """Whether npm packages are installed in the image itself, or in the nested build that it copies."""
    if image.nested is None:
        return bool(image.npm)
    nested = project.images[image.nested]
    return any(each.npm for each in (image, nested, *project.lineage(nested)))


def _with_node(image: Image) -> Conda | None:
    """The conda environment, with Node where npm packages are to be installed into it."""
    if not image.npm:
        return image.conda
    conda = image.conda or Conda(name="base", channels=("conda-forge",), dependencies=(), pip=())
    if any(spec.rpartition("::")[2].startswith("nodejs") for spec in conda.dependencies):
        return conda
    return replace(conda, dependencies=(*conda.dependencies, "nodejs"))


def _env(project: Project, image: Image, builders: Builders, *, rooted: bool, led: bool) -> Pairs:
    """The variables that the image adds to what its parents within the project set already."""
    environment = builders[image.builder].environment
    env: dict[str, str] = {}
    if image.deployable and not rooted:
        env |= _locale_and_user(project)
    if environment is not None and not led:
        env |= dict(environment.env)
        if environment.family == "pip" and project.python:
            env["UV_PYTHON_INSTALL_DIR"] = "/opt/python"
    env |= dict(image.env)
    set_already: dict[str, str] = {}
    for parent in reversed(project.lineage(image)):
        set_already |= dict(parent.env)
    return tuple((name, value) for name, value in env.items() if set_already.get(name) != value)


def _locale_and_user(project: Project) -> dict[str, str]:
    account = project.account
    return {
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "SHELL": "/bin/bash",
        "HOME": account.home,
        "NB_USER": account.name,
        "NB_UID": str(account.uid),
        "NB_GID": str(account.gid),
    }


def _start(project: Project, image: Image, builders: Builders) -> Start | None:
    """How the image starts: Jupyter where it has an environment, unless it is told otherwise or its parent does it."""
    start = _own_start(project, image, builders)
    parent = project.images[image.parent.target] if image.parent.target else None
    if start is None or (parent and parent.deployable and _own_start(project, parent, builders) == start):
        return None
    return start


def _own_start(project: Project, image: Image, builders: Builders) -> Start | None:
    builder = builders[image.builder]
    if not image.deployable:
        return None
    runs_jupyter = builder.environment is not None and builder.role in ("builder", "deploy")
    cmd = image.cmd or (JUPYTERLAB if runs_jupyter else ())
    if not cmd:
        return None
    tini = any(builders[each.builder].role == "core" for each in (image, *project.lineage(image)))
    return Start(cmd=cmd, tini=tini, jupyter=cmd[0].startswith("jupyter"))
