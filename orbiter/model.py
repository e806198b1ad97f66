"""The values that flow through the core: what a project is once its configuration is resolved, and what a bake builds.

Project ── Family ── Image ── ParentRef          made by resolve
BuildPlan ── Target, Group, Variable             made by plan
Target ── Stage ── Start                         made by the builders, read by their templates
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from orbiter.diagnostics import Path

Pairs = tuple[tuple[str, str], ...]
"""Names and values, in the order of the configuration."""

Distribution = Literal["alpine", "debian"]

FileSet = Mapping[str, str]
"""Generated files: POSIX path below the output directory → text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The notebook user."""

    name: str
    uid: int
    gid: int

    @property
    def home(self) -> str:
        return f"/home/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrors:
    """Replacements for public places; None or nothing where the public one is used.

    `registries` maps hosts (`docker.io`) to their replacement (`hub.example.org/proxy`).
    `ca` is a file with certificates (PEM), relative to the project directory.
    """

    registries: Pairs = ()
    pip: str | None = None
    npm: str | None = None
    apt: str | None = None
    apk: str | None = None
    conda: str | None = None
    ca: str | None = None

    @property
    def indexes(self) -> Pairs:
        """The replaced package indexes: ecosystem → address."""
        named = (
            ("pip", self.pip),
            ("npm", self.npm),
            ("apt", self.apt),
            ("apk", self.apk),
            ("conda", self.conda),
        )
        return tuple((name, address) for name, address in named if address is not None)

    @property
    def has_indexes(self) -> bool:
        """Whether installers are to look elsewhere, or to trust somebody else."""
        return bool(self.indexes) or self.ca is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conda:
    """A conda environment: match specs, and requirements that pip installs afterwards."""

    name: str
    channels: tuple[str, ...]
    dependencies: tuple[str, ...]
    pip: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentRef:
    """A parent: the full reference that `FROM` names, and the target it is if it is one of the project."""

    reference: str
    target: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image of the configuration, or the nested build of one.

    `target` is its name in the bake file, `path` its place in the configuration, `nested` the target of its
    own nested build. `system` are packages of the distribution (apk or apt). `tags` are the tags beside
    `<target>-<version>`, without the repository. `copy` are sources in the project and absolute
    destinations. `options` are the keys that only a builder of the project knows.
    """

    family: str
    name: str
    target: str
    path: Path
    builder: str
    parent: ParentRef
    nested: str | None
    deployable: bool
    distribution: Distribution
    system: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    conda: Conda | None = None
    postbuild: tuple[str, ...] = ()
    env: Pairs = ()
    labels: Pairs = ()
    copy: Pairs = ()
    tags: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    options: Mapping[str, Any]

    @property
    def directory(self) -> str:
        """Its build context below the output directory: `build/<family>/<image>`, nested ones in `/build`."""
        depth = len(self.path) - 3
        return "/".join(("build", self.family, self.name, *("build",) * depth))


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Images that share a core. `targets` are in the order of the configuration, a nested build before its image."""

    name: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A whole configuration, resolved. `images` maps each target to its image, in the order of the configuration."""

    source: str
    version: str
    maintainer: str | None
    account: Account
    repo: str
    mount: str | None
    python: str | None
    python_range: str | None
    mirrors: Mirrors
    families: tuple[Family, ...]
    images: Mapping[str, Image]

    def reference(self, target: str) -> str:
        """The full reference of a target of this project."""
        return f"{self.repo}:{target}-{self.version}"

    def lineage(self, image: Image) -> tuple[Image, ...]:
        """The parents of an image within the project, the nearest first."""
        found = []
        while image.parent.target is not None:
            image = self.images[image.parent.target]
            found.append(image)
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How a container of the image starts. `tini` is there to be the entry point; `jupyter` listens on 8888."""

    cmd: tuple[str, ...]
    tini: bool
    jupyter: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What the template of a builder sees of one image; every value is final.

    References are full (`repo:target-version`). `prefix` is the folder of the environment, `fresh` says that no
    parent has made it, `path` what the image puts before PATH. `source` is the nested build that a deployed image
    copies it from: all of it, or only what the parent's own lacks if `stacked`. `tool` is the image that lends
    the installer's binary. `start` is None where the parent's holds. `mirrored` and `ca` say which secrets a RUN
    mounts.
    """

    parent: str
    distribution: Distribution
    account: Account
    creates_account: bool
    system: tuple[str, ...]
    pip: tuple[str, ...]
    npm: tuple[str, ...]
    conda: Conda | None
    python: str | None
    postbuild: tuple[str, ...]
    path: str | None
    env: Pairs
    copy: Pairs
    start: Start | None
    prefix: str | None
    fresh: bool
    source: str | None
    stacked: bool
    tool: str | None
    mirrored: bool
    ca: bool
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A named context of a target: what stands in for a reference of the Dockerfile.

    `kind` is `target` (value: its name), `image` (value: a reference, or the rest of one after the value of the
    bake variable `variable`) or `folder` (value: its path, relative to the bake file).
    """

    reference: str
    kind: Literal["target", "image", "folder"]
    value: str
    variable: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target of the bake file. `needs` are the targets it is built from, `secrets` ids and files of build secrets."""

    name: str
    image: Image
    stage: Stage
    description: str
    contexts: tuple[Context, ...]
    needs: tuple[str, ...]
    secrets: Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of the bake file."""

    name: str
    description: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable of the bake file, which the environment overrides."""

    name: str
    default: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """What bake is to build, in the order of the configuration."""

    project: Project
    variables: tuple[Variable, ...]
    groups: tuple[Group, ...]
    targets: tuple[Target, ...]
