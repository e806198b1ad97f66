"""BuildPlan → what a JupyterHub is told of the published images: KubeSpawner's profiles, DockerSpawner's images."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pprint import pformat
from typing import Any, Literal

import yaml

from orbiter.checks import starts
from orbiter.model import BuildPlan, Target
from orbiter.packages import name_in

Spawner = Literal["kubernetes", "docker"]

TITLE = "org.opencontainers.image.title"
DESCRIPTION = "org.opencontainers.image.description"

_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """An image that people choose. `image` is its reference, with a digest where one was asked for."""

    target: str
    name: str
    description: str
    image: str
    default: bool


def offered(plan: BuildPlan, names: Sequence[str] | None, exactly: Sequence[str] = ()) -> tuple[Target, ...]:
    """The published images among the named targets and groups, or among all if None is named, that start Jupyter.

    What is named `exactly` need not: a spawner may know how to start it.
    """
    groups = {group.name: group.targets for group in plan.groups}
    wanted = {target for name in names or ("default",) for target in groups.get(name, (name,))}
    published = (target for target in plan.targets if target.name in wanted and target.image.deployable)
    return tuple(target for target in published if target.name in exactly or _serves(plan, target))


def profiles(
    plan: BuildPlan, targets: Sequence[Target], default: str | None, digests: Mapping[str, str]
) -> tuple[Profile, ...]:
    """A profile for each target. The default one, else the first, is the default; `digests`: target → digest."""
    first = default or (targets[0].name if targets else None)
    families = len({target.image.family for target in targets})
    found = []
    for target in targets:
        labels = dict(target.image.labels)
        reference = plan.project.reference(target.name)
        digest = digests.get(target.name)
        found.append(
            Profile(
                target=target.name,
                name=labels.get(TITLE) or (target.name if families > 1 else target.image.name),
                description=labels.get(DESCRIPTION) or _packages(plan, target),
                image=f"{reference}@{digest}" if digest else reference,
                default=target.name == first,
            )
        )
    return tuple(found)


def repeated(found: Sequence[Profile]) -> tuple[str, ...]:
    """Names that several profiles have: of a spawner's images, only one of them would be left."""
    names = [profile.name for profile in found]
    return tuple(sorted({name for name in names if names.count(name) > 1}))


def without_hub(plan: BuildPlan, targets: Sequence[Target]) -> tuple[str, ...]:
    """Targets whose configuration does not install jupyterhub, which has `jupyterhub-singleuser`."""
    return tuple(target.name for target in targets if "jupyterhub" not in _names(plan, target))


def _serves(plan: BuildPlan, target: Target) -> bool:
    start = starts(plan, target)
    return start is not None and start.jupyter


def _packages(plan: BuildPlan, target: Target) -> str:
    """What is in the image, in a line: what it adds itself comes first."""
    names = [name for name in _names(plan, target) if name not in ("python", "pip", "jupyterhub")]
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _names(plan: BuildPlan, target: Target) -> list[str]:
    images = plan.project.images
    made = [target.image, *([images[target.image.nested]] if target.image.nested else [])]
    line = [*made, *(below for image in made for below in plan.project.lineage(image))]
    line += [images[image.nested] for image in line if image.nested]
    specs = [
        spec
        for image in line
        for spec in (*(image.conda.dependencies + image.conda.pip if image.conda else ()), *image.pip)
    ]
    return list(dict.fromkeys(name_in(spec).lower() for spec in specs))


def as_data(found: Sequence[Profile], spawner: Spawner) -> Any:
    """The profiles as the spawner takes them: a list of profiles, or names and images, the default one first."""
    if spawner == "docker":
        return {each.name: each.image for each in sorted(found, key=lambda each: not each.default)}
    return [
        {
            "display_name": each.name,
            "slug": each.target,
            **({"description": each.description} if each.description else {}),
            **({"default": True} if each.default else {}),
            "kubespawner_override": {"image": each.image},
        }
        for each in found
    ]


def as_yaml(found: Sequence[Profile], spawner: Spawner) -> str:
    """Kubernetes: values for the Helm chart Zero to JupyterHub. Docker: the mapping."""
    data = as_data(found, spawner)
    whole = {"singleuser": {"profileList": data}} if spawner == "kubernetes" else data
    return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=10_000).rstrip("\n")


def as_json(found: Sequence[Profile], spawner: Spawner) -> str:
    """The list or the mapping alone."""
    return json.dumps(as_data(found, spawner), indent=2, ensure_ascii=False)


def as_python(found: Sequence[Profile], spawner: Spawner) -> str:
    """Lines for jupyterhub_config.py."""
    data = pformat(as_data(found, spawner), sort_dicts=False, width=100)
    if spawner == "kubernetes":
        return f"c.KubeSpawner.profile_list = {data}"
    image = next((each.image for each in found if each.default), None)
    return f"c.DockerSpawner.allowed_images = {data}\nc.DockerSpawner.image = {image!r}"
