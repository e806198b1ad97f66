"""The configuration that `orbiter init` writes, as values: what stands in it, and what is said beside it."""

import re
from dataclasses import dataclass
from typing import Literal

from orbiter import grammar, packages
from orbiter.model import Pairs

SCHEMA = "https://raw.githubusercontent.com/dorgeln/orbiter/main/schemas/orbiter.schema.json"
"""Where editors find the schema of a configuration that has none beside it."""

PYTHON = "3.13"
"""The Python of a conda environment for which none is asked; the pip builders then take the distribution's."""

PACKAGES = ("numpy", "pandas", "matplotlib")
"""What a new image has beside JupyterLab."""

Package = Literal["pip", "micromamba"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry of a list. Without a text it is a comment of its own; a text of several lines has no comment."""

    text: str | None
    comment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the person decides. Without a family it is named as `family` does; without a Python none is asked for."""

    schema: str = SCHEMA
    family: str | None = None
    base: str
    repo: str
    builder: Package = "pip"
    python: str | None = None
    packages: tuple[str, ...] = PACKAGES


@dataclass(frozen=True, slots=True, kw_only=True)
class Starter:
    """The text of a configuration, in pieces: a core, and an image `base` with a nested build on it.

    `about` are the lines of the comment at the top. `system` and `compilers` are packages of the distribution, for
    the core and for the nested build. `packages` are requirements or match specs, as `builder` says; `pip` are the
    requirements of a conda environment. `copy` are files of the project for the core; `sample` asks for a further
    image, in comments.
    """

    schema: str
    about: tuple[str, ...]
    repo: str
    family: str
    base: str
    builder: Package
    python: Entry | None = None
    system: tuple[Entry, ...]
    copy: Pairs = ()
    env: Pairs = ()
    postbuild: tuple[Entry, ...] = ()
    compilers: tuple[Entry, ...] = ()
    channels: tuple[str, ...] = ()
    packages: tuple[Entry, ...]
    pip: tuple[Entry, ...] = ()
    sample: bool = False

    @property
    def section(self) -> str:
        """The key of the distribution's packages."""
        return "apk" if "alpine" in self.base else "apt"


def new(settings: Settings) -> Starter:
    """A first configuration, with JupyterLab."""
    alpine = "alpine" in settings.base
    jupyter = (
        Entry(text="jupyterlab"),
        Entry(text="jupyterhub", comment="a hub starts `jupyterhub-singleuser` in the image"),
    )
    conda = (Entry(text=f"python={settings.python or PYTHON}"), Entry(text="pip"))
    pip = settings.builder == "pip"
    return Starter(
        schema=settings.schema,
        about=(
            "Jupyter images, built by `orbiter build`: `core` has what all of them share, `base` is what people start.",
            "`orbiter validate` checks this file, `orbiter plan` shows what comes of it.",
        ),
        repo=settings.repo,
        family=settings.family or family(settings.base, settings.builder),
        base=settings.base,
        builder=settings.builder,
        python=Entry(text=settings.python) if pip and settings.python else None,
        system=tuple(Entry(text=name) for name in ("curl", "git", *(("libstdc++",) if alpine else ()))),
        compilers=tuple(Entry(text=name) for name in (("build-base", "linux-headers") if alpine else ())),
        channels=() if pip else ("conda-forge",),
        packages=(() if pip else conda) + jupyter + tuple(Entry(text=name) for name in settings.packages),
        sample=True,
    )


def repository(folder: str) -> str:
    """The repository of the images of a project in a folder of this name, as long as it has no registry."""
    return f"localhost/{_slug(folder) or 'images'}"


def family(base: str, builder: Package) -> str:
    """The name of a family, as those of Orbiter's own configuration are named."""
    if builder == "micromamba":
        return builder
    name = _slug(base.partition("@")[0].rpartition("/")[2].partition(":")[0])
    return name if name and family_problem(name) is None else "jupyter"


def family_problem(name: str) -> str | None:
    """What is wrong with the name of a family, as a sentence."""
    if not re.fullmatch(r"[a-z0-9]+([_-][a-z0-9]+)*", name):
        return f"'{name}' is no name of a family: small letters and digits, with single '-' or '_' between"
    if name == "default":
        return "'default' is the group of all images; name the family otherwise"
    # `<family>-base-build-<version>` is a tag, which has 128 characters.
    return f"'{name}' is longer than 64 characters" if len(name) > 64 else None


def base_problem(reference: str) -> str | None:
    """What is wrong with the base image, as a sentence."""
    if not any(mark in reference for mark in ":@/"):
        return f"'{reference}' has no tag; write for example '{reference}:latest'"
    return grammar.reference(reference)


def python_problem(version: str) -> str | None:
    """What is wrong with the version of Python, as a sentence."""
    if re.fullmatch(r"3(\.[0-9]{1,2}){1,2}", version):
        return None
    return f"'{version}' is no version of Python 3; write for example 3.13"


def specs(builder: Package, entries: tuple[str, ...]) -> tuple[str, ...]:
    """The packages that the entries name. Raises BadPackage."""
    ecosystem = "pip" if builder == "pip" else "conda"
    return tuple(dict.fromkeys(spec for entry in entries for spec in packages.split(ecosystem, entry)))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64].rstrip("-")
