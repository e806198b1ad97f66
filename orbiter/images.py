"""What the engine and the registry have of a project: Docker's answers as values, and each image's state."""

import calendar
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orbiter import content
from orbiter.model import BuildPlan, Target
from orbiter.plan import tags
from orbiter.tables import age, columns, parse_size, size

REPOSITORY = "orbiter.repository"
TARGET = "orbiter.target"

State = Literal["up to date", "stale", "unknown", "not built", "not pushed", "not configured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalImage:
    """An image in the engine. `size` is in bytes, as Docker rounds it; `created` in seconds since 1970.

    `last_step` is the newest entry of its history, None where nobody asked for it. `platform` is `linux/amd64`.
    """

    id: str
    references: tuple[str, ...]
    digests: tuple[str, ...]
    labels: Mapping[str, str]
    size: int
    created: float
    last_step: str | None = None
    platform: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A reference in its registry: digest and labels, or None for both where there is none or nothing answers."""

    digest: str | None = None
    labels: Mapping[str, str] | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A reference of the project: what the configuration, the engine and the registry say of it."""

    target: str
    reference: str
    state: State
    image: LocalImage | None
    published: Published | None = None
    published_state: State | None = None

    @property
    def tag(self) -> str:
        return self.reference.rpartition(":")[2]

    @property
    def digest(self) -> str | None:
        """The digest under which a registry has or would have the image; None where the engine cannot tell."""
        name = familiar(self.reference.rpartition(":")[0])
        own = (each.partition("@") for each in self.image.digests) if self.image else ()
        return next((digest for repository, _, digest in own if familiar(repository) == name), None)


def familiar(reference: str) -> str:
    """A reference as Docker shows it, without what it adds itself: `docker.io/library/debian:x` is `debian:x`."""
    for prefix in ("docker.io/library/", "docker.io/"):
        if reference.startswith(prefix):
            return reference.removeprefix(prefix)
    return reference


def parse_list(text: str) -> dict[str, int]:
    """Ids and sizes (bytes), from `docker image ls --no-trunc --format json`."""
    lines = (json.loads(line) for line in text.splitlines() if line.strip())
    return {line["ID"]: parse_size(line["Size"]) for line in lines}


def parse_inspect(text: str, sizes: Mapping[str, int]) -> tuple[LocalImage, ...]:
    """Images, from `docker image inspect ID...`, with the sizes of `parse_list`."""
    return tuple(
        LocalImage(
            id=each["Id"],
            references=tuple(each.get("RepoTags") or ()),
            digests=tuple(each.get("RepoDigests") or ()),
            labels=(each.get("Config") or {}).get("Labels") or {},
            size=sizes.get(each["Id"]) or each["Size"],
            created=seconds(each.get("Created") or ""),
            platform=platform({key.lower(): each[key] for key in ("Os", "Architecture", "Variant") if each.get(key)}),
        )
        for each in json.loads(text)
    )


def parse_last_step(text: str) -> str:
    """The newest instruction, from `docker history --no-trunc --format json`; empty if there is none."""
    first = text.partition("\n")[0]
    return str(json.loads(first)["CreatedBy"]) if first else ""


def parse_cache(text: str) -> str:
    """The total below the table of `docker buildx du`; empty if that is nothing."""
    found = re.search(r"^Total:\s+(\S+)$", text, re.MULTILINE)
    return size(parse_size(found[1])) if found and parse_size(found[1]) else ""


def parse_published(text: str) -> Published:
    """What `docker buildx imagetools inspect --format '{{json .}}'` prints.

    Its `image` is one configuration, or one for each platform: the labels are the same in all of them.
    """
    data = json.loads(text)
    image = data.get("image") or {}
    configuration = image if "config" in image else next(iter(image.values()), {})
    labels = (configuration.get("config") or {}).get("Labels")
    return Published(digest=data["manifest"]["digest"], labels=labels or {})


def own_labels(configuration: Mapping[str, Any]) -> Mapping[str, str]:
    """The labels of an image that Orbiter's Dockerfile made, from its configuration; none of one that somebody built
    on it (see removal.py)."""
    labels: Mapping[str, str] = (configuration.get("config") or {}).get("Labels") or {}
    steps = [step.get("created_by", "") for step in configuration.get("history") or ()]
    return labels if steps and steps[-1] == f"LABEL {TARGET}={labels.get(TARGET)}" else {}


def platform(data: Mapping[str, str]) -> str:
    """`linux/amd64`, `linux/arm/v7`. What arm64 has as variant is its only one."""
    named = [data.get("os", ""), data.get("architecture", "")]
    variant = data.get("variant", "")
    return "/".join([*named, variant] if variant and (named[1], variant) != ("arm64", "v8") else named)


def seconds(moment: str) -> float:
    """A moment in UTC as Docker writes it (`2026-01-31T12:00:00.123456789Z`) in seconds since 1970; else 0."""
    found = re.match(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?Z$", moment)
    return float(calendar.timegm(tuple(map(int, found.groups())))) if found else 0.0


def rows(
    plan: BuildPlan,
    contents: Mapping[str, str],
    chosen: Sequence[str] | None,
    local: Iterable[LocalImage],
    published: Mapping[str, Published],
) -> tuple[Row, ...]:
    """A row for each reference of the configuration, in its order, then those the engine has beside them.

    `chosen` are targets and groups, None stands for everything; `published` maps references to what a registry
    said, and lacks those that nobody asked for.
    """
    named = {reference: image for image in local for reference in image.references}
    found: list[Row] = []
    for target in selected(plan, chosen):
        for reference in tags(plan.project, target.image):
            image = named.pop(familiar(reference), None)
            there = published.get(reference)
            found.append(
                Row(
                    target=target.name,
                    reference=reference,
                    state=_state(image.labels, contents[target.name]) if image else "not built",
                    image=image,
                    published=there,
                    published_state=_published_state(there, contents[target.name]),
                )
            )
    return (*found, *_others(plan, chosen, named))


def selected(plan: BuildPlan, chosen: Sequence[str] | None) -> tuple[Target, ...]:
    """The published targets among the chosen targets and groups."""
    groups = {group.name: group.targets for group in plan.groups}
    wanted = {name for each in chosen or ("default",) for name in groups.get(each, (each,))}
    return tuple(target for target in plan.targets if target.name in wanted and target.image.deployable)


def _others(plan: BuildPlan, chosen: Sequence[str] | None, named: Mapping[str, LocalImage]) -> Iterator[Row]:
    """What else has a name in the repository: old versions, images that the configuration had."""
    expected = {familiar(reference) for target in plan.targets for reference in tags(plan.project, target.image)}
    repository = familiar(plan.project.repo)
    wanted = {target.name for target in selected(plan, chosen)}
    for reference, image in sorted(named.items()):
        target = image.labels.get(TARGET, "")
        if (
            reference not in expected
            and reference.rpartition(":")[0] == repository
            and (not chosen or target in wanted)
        ):
            yield Row(target=target, reference=reference, state="not configured", image=image)


def _state(labels: Mapping[str, str], wanted: str) -> State:
    found = labels.get(content.LABEL)
    if found is None:
        return "unknown"
    return "up to date" if found == wanted else "stale"


def _published_state(published: Published | None, wanted: str) -> State | None:
    if published is None:
        return None
    if published.labels is None:
        return "unknown" if published.problem else "not pushed"
    return _state(published.labels, wanted)


def as_text(found: Sequence[Row], now: float) -> list[str]:
    """A table, and the registry's side of it where somebody asked there. A tag that begins with its target is cut."""
    asked = any(row.published for row in found)
    head = ("target", "tag", "state", "digest", "size", "age", *(("registry",) if asked else ()))
    return columns([head, *(_cells(row, now, asked=asked) for row in found)])


def _cells(row: Row, now: float, *, asked: bool) -> tuple[str, ...]:
    tag = f"…{row.tag.removeprefix(row.target)}" if row.target and row.tag.startswith(f"{row.target}-") else row.tag
    image = row.image
    about = (size(image.size), age(now - image.created) if image.created else "") if image else ("", "")
    digest = (row.digest or "").removeprefix("sha256:")[:12]
    return (row.target, tag, row.state, digest, *about, *((row.published_state or "",) if asked else ()))


def as_data(plan: BuildPlan, found: Sequence[Row]) -> dict[str, Any]:
    """The rows as plain data, for `--format json`."""
    return {
        "repository": plan.project.repo,
        "images": [
            {
                "target": row.target or None,
                "reference": row.reference,
                "tag": row.tag,
                "state": row.state,
                "id": row.image.id if row.image else None,
                "digest": row.digest,
                "size": row.image.size if row.image else None,
                "created": row.image.created if row.image else None,
                "registry": _registry_data(row),
            }
            for row in found
        ],
    }


def _registry_data(row: Row) -> dict[str, Any] | None:
    if row.published is None:
        return None
    return {"state": row.published_state, "digest": row.published.digest, "problem": row.published.problem}
