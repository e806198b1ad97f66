"""Project → BuildPlan: the targets, groups and variables of the bake file, and which of them a selection names."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from posixpath import normpath
from typing import Any

from orbiter import builders
from orbiter.builders import Builders
from orbiter.diagnostics import dotted
from orbiter.errors import NothingMatched, UsageError
from orbiter.lock import Entry, Lock, chain, contents, origin
from orbiter.lock import stale as lock_stale
from orbiter.model import BuildPlan, Context, Group, Image, Mirrors, Pins, Project, Stage, Target, Variable
from orbiter.pins import pins
from orbiter.references import full_name, host_and_path
from orbiter.schema import closest, did_you_mean

PROJECT = "localhost/project:files"
"""Name of the context with the project's files: no registry can have an image of that name."""

INDEXES = "build/mirrors.env"
"""The file with the addresses of package indexes that a RUN mounts as build secret."""


def plan(project: Project, known: Builders, folder: str = ".", lock: Lock | None = None) -> BuildPlan:
    """What bake is to build. `folder` is the project directory as seen from the directory of the bake file.

    What a lock has for the project as it is now is pinned; its stale entries do not count.
    """
    digests = lock.images if lock else {}
    entries = dict(lock.targets) if lock else {}
    for target in lock_stale(project, lock) if lock else ():
        entries.pop(target, None)
    targets = tuple(_target(project, image, known, folder, digests, entries) for image in project.images.values())
    return BuildPlan(
        project=project,
        dated=bool(lock and lock.seconds),
        variables=tuple(_variables(project, targets, digests, folder, lock)),
        groups=tuple(_groups(project)),
        targets=targets,
    )


def select(plan: BuildPlan, patterns: Sequence[str]) -> tuple[str, ...]:
    """The targets and groups that names and globs (`micromamba-*`) name, in the order of the plan.

    Without patterns the group `default`. A glob stands for published images only, a name for any target.
    Raises NothingMatched for the first pattern that names nothing.
    """
    groups = [group.name for group in plan.groups]
    published = [target.name for target in plan.targets if target.image.deployable]
    every = groups + [target.name for target in plan.targets]
    chosen: set[str] = set()
    for pattern in patterns or ("default",):
        named = {pattern} & set(every) or {name for name in published if fnmatchcase(name, pattern)}
        if not named:
            match = closest(pattern, every)
            hint = f"did you mean '{match}'?" if match else f"known: {', '.join(published)}"
            raise NothingMatched(f"no target matches '{pattern}'; {hint}")
        chosen |= named
    return tuple(name for name in every if name in chosen)


def family_patterns(plan: BuildPlan, family: str | None, image: str | None) -> tuple[str, ...]:
    """The patterns for a family and an image of it, each of them optional. Raises NothingMatched."""
    families = [each.name for each in plan.project.families]
    if family is not None and family not in families:
        raise NothingMatched(f"no family '{family}'; {did_you_mean(family, families)}")
    if family is None and image is None:
        return ()
    chosen = tuple(
        target.name
        for target in plan.targets
        if target.image.deployable
        and target.image.family == (family or target.image.family)
        and target.image.name == (image or target.image.name)
    )
    if not chosen:
        names = dict.fromkeys(t.image.name for t in plan.targets if t.image.family == (family or t.image.family))
        where = f" in family '{family}'" if family else ""
        raise NothingMatched(f"no image '{image}'{where}; {did_you_mean(image or '', names)}")
    return chosen


def restrict(plan: BuildPlan, patterns: Sequence[str]) -> BuildPlan:
    """The plan of what the patterns name and all that it needs. Raises NothingMatched."""
    by_name = {target.name: target for target in plan.targets}
    groups = {group.name: group.targets for group in plan.groups}
    waiting = [name for chosen in select(plan, patterns) for name in groups.get(chosen, (chosen,))]
    wanted: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += by_name[name].needs
    groups_left = (replace(group, targets=tuple(t for t in group.targets if t in wanted)) for group in plan.groups)
    return replace(
        plan,
        targets=tuple(target for target in plan.targets if target.name in wanted),
        groups=tuple(group for group in groups_left if group.targets),
    )


def without_parents(plan: BuildPlan, names: Sequence[str]) -> tuple[BuildPlan, tuple[str, ...]]:
    """The plan of the named targets and groups alone, and the overrides by which bake takes their parents as published.

    The nested build of a named image belongs to it. Raises UsageError if a parent is never published.
    """
    groups = {group.name: group.targets for group in plan.groups}
    named = {target for name in names for target in groups.get(name, (name,))}
    named |= {target.image.nested for target in plan.targets if target.name in named and target.image.nested}
    published = {target.name for target in plan.targets if target.image.deployable}
    kept = tuple(target for target in plan.targets if target.name in named)
    overrides = []
    for target in kept:
        for context in target.contexts:
            if context.kind == "target" and context.value not in named:
                if context.value not in published:
                    raise UsageError(
                        f"'{target.name}' needs '{context.value}', a nested build, which is never published; "
                        f"name it too, or leave out --no-deps"
                    )
                overrides.append(f"{target.name}.contexts.{context.reference}=docker-image://{context.reference}")
    alone = tuple(replace(target, needs=tuple(need for need in target.needs if need in named)) for target in kept)
    return replace(plan, targets=alone, groups=()), tuple(overrides)


def waves(plan: BuildPlan, wanted: Sequence[str], size: int) -> tuple[tuple[str, ...], ...]:
    """The wanted targets in groups for one call of bake each, parents in the same group or an earlier one.

    A call solves with its targets all that they need, again where an earlier one has done it. So what stands on each
    other stays together, and no group has with what it needs more than `size` targets, unless one target alone has.
    """
    targets = {target.name: target for target in plan.targets}
    chosen, found = set(wanted), list[list[str]]()
    together: set[str] = set()
    for name in (name for name in _families_first(plan) if name in chosen):
        lineage = _lineage(targets, name)
        if not found or len(together | lineage) > size:
            found.append([])
            together = set()
        found[-1].append(name)
        together |= lineage
    return tuple(map(tuple, found))


def _families_first(plan: BuildPlan) -> list[str]:
    """The targets, parents first, and each followed by what is built from it before the next one of its kind."""
    children: dict[str, list[str]] = {target.name: [] for target in plan.targets}
    missing = {target.name: len(target.needs) for target in plan.targets}
    for target in plan.targets:
        for need in target.needs:
            children[need].append(target.name)
    stack = [target.name for target in reversed(plan.targets) if not target.needs]
    found = []
    while stack:
        name = stack.pop()
        found.append(name)
        for child in reversed(children[name]):
            missing[child] -= 1
            if not missing[child]:
                stack.append(child)
    return found


def _lineage(targets: Mapping[str, Target], name: str) -> set[str]:
    """The target and all that it is built from."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += targets[each].needs
    return found


def as_text(plan: BuildPlan) -> str:
    """The plan for people: families, and under each its targets in the order of the configuration."""
    lines: list[str] = []
    width = max((len(target.name) for target in plan.targets), default=0)
    for family in plan.project.families:
        targets = [target for target in plan.targets if target.image.family == family.name]
        if targets:
            lines += [*([""] if lines else []), family.name]
        for target in targets:
            lines.append(f"  {target.name:{width}}  {target.description}")
            lines += [f"  {'':{width}}  → {tag}" for tag in tags(plan.project, target.image)]
    return "\n".join(lines)


def as_data(plan: BuildPlan) -> dict[str, Any]:
    """The plan as plain data, for `--format json`."""
    project = plan.project
    return {
        "source": project.source,
        "repository": project.repo,
        "version": project.version,
        "groups": {group.name: list(group.targets) for group in plan.groups},
        "targets": [
            {
                "name": target.name,
                "family": target.image.family,
                "builder": target.image.builder,
                "description": target.description,
                "path": dotted(target.image.path),
                "dockerfile": f"{target.image.directory}/Dockerfile",
                "parent": target.image.parent.reference,
                "needs": list(target.needs),
                "deployable": target.image.deployable,
                "tags": list(tags(project, target.image)),
                "cache": f"${{CACHE_REPO}}:{target.name}",
                "platforms": list(target.image.platforms),
                "labels": dict(target.image.labels),
                "packages": {name: list(specs) for name, specs in _sections(target.image)},
            }
            for target in plan.targets
        ],
    }


def tags(project: Project, image: Image) -> tuple[str, ...]:
    """All references under which an image is published: none for a nested build."""
    if not image.deployable:
        return ()
    return (project.reference(image.target), *(f"{project.repo}:{tag}" for tag in image.tags))


def _target(
    project: Project,
    image: Image,
    known: Builders,
    folder: str,
    digests: Mapping[str, str],
    entries: Mapping[str, Entry],
) -> Target:
    stage = builders.stage(project, image, known)
    entry = entries.get(image.target)
    own = pins(entry) if entry else None
    stage = replace(
        stage,
        parent=_pinned(stage.parent, digests),
        pins=own,
        explicit=_explicit(project, image, entries, own),
    )
    linked = (image.parent.target, image.nested if stage.source else None)
    return Target(
        name=image.target,
        image=image,
        stage=stage,
        description=_description(project, image),
        contexts=tuple(_contexts(project, image, stage, folder)),
        needs=tuple(dict.fromkeys(target for target in linked if target)),
        secrets=tuple(_secrets(project.mirrors, folder)),
        labels=tuple({**_provenance(project, image, digests, entries), **dict(image.labels)}.items()),
    )


def _explicit(
    project: Project, image: Image, entries: Mapping[str, Entry], own: Pins | None
) -> Mapping[str, tuple[str, ...]]:
    """The conda packages of the lock, by architecture, without those that the parent has: micromamba installs what an
    explicit list names, even if it is there."""
    if own is None or not own.explicit:
        return {}
    below = contents(project, project.images[image.parent.target]) if image.parent.target else ()
    there = {
        (architecture, address)
        for each in below
        if each.target in entries
        for architecture, addresses in pins(entries[each.target]).explicit.items()
        for address in addresses
    }
    return {
        architecture: tuple(address for address in addresses if (architecture, address) not in there)
        for architecture, addresses in own.explicit.items()
    }


def _provenance(
    project: Project, image: Image, digests: Mapping[str, str], entries: Mapping[str, Entry]
) -> dict[str, str]:
    """The labels that say what a published image comes from, as far as it is known."""
    reference, _, digest = _pinned(origin(project, image), digests).partition("@")
    packages = chain(project, image, entries)
    known = {
        "org.opencontainers.image.base.name": full_name(reference),
        "org.opencontainers.image.base.digest": digest,
        "orbiter.lock": packages.removeprefix("sha256:")[:16] if packages else "",
    }
    return {name: value for name, value in known.items() if value}


def _pinned(reference: str, digests: Mapping[str, str]) -> str:
    """The reference with its digest, if the lock has one."""
    return f"{reference}@{digests[reference]}" if reference in digests else reference


def _contexts(project: Project, image: Image, stage: Stage, folder: str) -> Iterator[Context]:
    mirrors = dict(project.mirrors.registries)
    parent = image.parent
    if parent.target:
        yield Context(reference=parent.reference, kind="target", value=parent.target)
    else:
        host, path = host_and_path(stage.parent)
        if host in mirrors:
            yield Context(reference=stage.parent, kind="image", value=f"/{path}", variable=_variable(host))
    if stage.source and image.nested and image.nested != parent.target:
        yield Context(reference=stage.source, kind="target", value=image.nested)
    if stage.tool:
        variable = next(name for name, reference in builders.TOOLS if reference == stage.tool)
        yield Context(reference=stage.tool, kind="image", value="", variable=variable)
    if image.copy:
        yield Context(reference=PROJECT, kind="folder", value=folder)


def _secrets(mirrors: Mirrors, folder: str) -> Iterator[tuple[str, str]]:
    if mirrors.has_indexes:
        yield "mirrors", INDEXES
    if mirrors.ca:
        yield "ca", normpath(f"{folder}/{mirrors.ca}")


def _description(project: Project, image: Image) -> str:
    parent = image.parent.target or image.parent.reference
    system = "apk" if image.distribution == "alpine" else "apt"
    counted = (
        (system, image.system),
        *((name, specs) for name, specs in _sections(image) if name not in ("apk", "apt")),
    )
    packages = ", ".join(f"{len(specs)} {name}" for name, specs in counted if specs)
    text = f"{image.builder} on {parent}"
    if image.nested:
        text += f", environment of {image.nested}"
    return f"{text}; packages: {packages}" if packages else text


def _sections(image: Image) -> tuple[tuple[str, tuple[str, ...]], ...]:
    conda = image.conda.dependencies + image.conda.pip if image.conda else ()
    system = "apk" if image.distribution == "alpine" else "apt"
    named = ((system, image.system), ("conda", conda), ("pip", image.pip), ("npm", image.npm))
    return tuple((name, specs) for name, specs in named if specs)


def _variables(
    project: Project, targets: Iterable[Target], digests: Mapping[str, str], folder: str, lock: Lock | None
) -> Iterator[Variable]:
    yield Variable(name="REPO", default=project.repo, description="Repository of the images.")
    yield Variable(name="VERSION", default=project.version, description="Last part of every tag, and a label.")
    cache = project.cache
    yield Variable(
        name="CACHE_REPO",
        default=cache.registry or "",
        description="Repository of the registry cache, one tag a target; empty: none.",
    )
    yield Variable(
        name="CACHE_BRANCH",
        default="",
        description=f"Branch that is built: its own cache comes before that of {cache.main}; empty: {cache.main}.",
    )
    yield Variable(
        name="CACHE_WRITE",
        default="0" if cache.read_only else "1",
        description="Whether caches are written; 0 or empty: they are read only.",
    )
    if cache.local:
        yield Variable(
            name="CACHE_LOCAL",
            default=normpath(f"{folder}/{cache.local}"),
            description="Folder of the cache on disk, one folder a target; empty: none.",
        )
    yield Variable(
        name="PLATFORMS",
        default="",
        description="Platforms for every target, with commas between; empty: as configured.",
    )
    if lock and lock.seconds:
        yield Variable(
            name="SOURCE_DATE_EPOCH",
            default=str(lock.seconds),
            description="Date of the images as Unix time: the youngest package of the lock. It runs no step again.",
        )
    yield Variable(name="REVISION", default="", description="Commit of the sources, a label; empty: none.")
    yield Variable(
        name="CREATED",
        default=(lock.epoch if lock else None) or "",
        description="When the youngest package of the lock was uploaded (RFC 3339), a label; empty: none.",
    )
    contexts = [context for target in targets for context in target.contexts]
    used = {context.variable for context in contexts}
    mirrors = dict(project.mirrors.registries)
    for name, reference in builders.TOOLS:
        if name in used:
            default = mirrored(project.mirrors, _pinned(reference, digests))
            yield Variable(name=name, default=default, description=f"Image that stands for {reference}.")
    for host, replacement in mirrors.items():
        if _variable(host) in used:
            yield Variable(name=_variable(host), default=replacement, description=f"Mirror of {host}.")


def _groups(project: Project) -> Iterator[Group]:
    published = [target for target, image in project.images.items() if image.deployable]
    yield Group(
        name="default",
        description="Every image that is published.",
        targets=tuple(published),
    )
    for family in project.families:
        yield Group(
            name=family.name,
            description=f"The images of the family {family.name}.",
            targets=tuple(target for target in family.targets if project.images[target].deployable),
        )


def mirrored(mirrors: Mirrors, reference: str) -> str:
    """Where the image of that reference is pulled from."""
    host, path = host_and_path(reference)
    replacement = dict(mirrors.registries).get(host)
    return f"{replacement}/{path}" if replacement else reference


def _variable(host: str) -> str:
    return "MIRROR_" + "".join(character if character.isalnum() else "_" for character in host).upper()
