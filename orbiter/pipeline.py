"""From a configuration to files on disk, one call a step: load → check → resolve → plan → render → write."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orbiter import builders, output, resources, schema, source
from orbiter import lock as locks
from orbiter.blame import named
from orbiter.diagnostics import Finding
from orbiter.errors import ConfigError, EngineError, NothingMatched, OrbiterError, UsageError
from orbiter.lock import Lock
from orbiter.model import BuildPlan, FileSet, Project, Target
from orbiter.output import Changes
from orbiter.plan import mirrored, plan, select
from orbiter.resolve import resolve
from orbiter.source import Document

if TYPE_CHECKING:
    from orbiter.affected import Affected, State
    from orbiter.ci import Service, Wishes, Workflow
    from orbiter.convert import Remark
    from orbiter.git import Git
    from orbiter.locking.solving import Tools, Wish
    from orbiter.locking.update import Problem, Updated
    from orbiter.parts import Parts
    from orbiter.starter import Settings

NAMES = ("orbiter.yaml", "orbiter.yml", "invoke.yaml")
"""The names of a configuration, in the order in which they are looked for."""

SCHEMA_FILE = "orbiter.schema.json"
"""The name of a schema that lies beside a configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A checked configuration: what bake is to build, and warnings. `lock` is None where there is none."""

    config: Path
    document: Document
    plan: BuildPlan
    lock: Lock | None
    warnings: tuple[Finding, ...]


def find(file: str | None, folder: Path) -> Path:
    """The configuration: `file` if it is given, else the first of NAMES in the folder. Raises UsageError."""
    if file is not None:
        config = Path(file)
        if not config.is_file():
            what = "is a folder" if config.is_dir() else "does not exist"
            raise UsageError(f"{file}: {what}; -f and $ORBITER_FILE name the configuration file")
        return config
    for name in NAMES:
        if (folder / name).is_file():
            return folder / name if folder != Path() else Path(name)
    raise UsageError(f"no configuration here: none of {', '.join(NAMES)}; name one with -f FILE")


def make_plan(config: Path, out: Path | None = None, *, alone: bool = False) -> Planned:
    """Reads, checks, resolves and plans. `out` is the directory of the bake file, else that of the configuration.

    `alone`: the files that the configuration names need not be there.
    """
    folder = config.parent
    document = _load(config)
    rules = project_schema(folder)
    known = builders.with_own(schema.builders(rules))
    findings = schema.check(document, rules)
    if findings:
        raise ConfigError(findings)
    project, warnings = resolve(document, known)
    missing = () if alone else tuple(_missing_files(project, document, folder))
    if missing:
        raise ConfigError(missing)
    lock = read_lock(folder)
    planned = plan(project, known, os.path.relpath(folder, out or folder), lock)
    warnings += tuple(_outgrown(planned, document, lock)) if lock else ()
    return Planned(config=config, document=document, plan=planned, lock=lock, warnings=warnings)


def read_lock(folder: Path) -> Lock | None:
    """The lock of the project in `folder`, if it has one. Raises LockError."""
    return read_lock_file(folder / locks.FILE)


def read_lock_file(place: Path) -> Lock | None:
    """The lock in a file, None if there is no such file. Raises LockError, and UsageError if it cannot be read."""
    try:
        return locks.parse(place.read_text(encoding="utf-8"), str(place))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{place}: cannot be read: {error}") from error


def project_schema(folder: Path) -> schema.Schema:
    """The JSON schema of the configuration, with the builders of the project in `folder`."""
    own = {
        name: schema.options(text, name)
        for name, text in resources.project_builders(folder).items()
        if name not in builders.BUILDERS
    }
    return schema.parse(resources.schema(), own)


def render(planned: Planned) -> FileSet:
    """The generated files of a plan."""
    from orbiter.render import render as render_plan

    return render_plan(planned.plan, _templates(planned), resources.compiled_templates())


def _templates(planned: Planned) -> Mapping[str, str]:
    """Orbiter's, and the project's own before them."""
    return resources.templates() | resources.project_templates(planned.config.parent)


def binder(planned: Planned, target: Target, reference: str) -> str:
    """The Dockerfile for Binder of a published image, which it takes by `reference`."""
    from orbiter.render import binder as render_binder

    return render_binder(planned.plan, target, reference, _templates(planned), resources.compiled_templates())


def workflow(service: "Service", planned: Planned, wishes: "Wishes", git: "Git") -> tuple["Workflow", str, Path]:
    """The CI workflow of a project, its text, and the top of the repository: the project's folder if it is in none."""
    from orbiter import __version__
    from orbiter.ci import workflow as plan_workflow
    from orbiter.render import workflow as render_workflow

    folder = planned.config.parent
    place = ""
    with suppress(EngineError):
        place = git.place() or ""
    made = plan_workflow(
        service,
        planned.plan,
        wishes,
        version=__version__,
        locked=planned.lock is not None,
        folder=place,
        file=planned.config.name if planned.config.name not in NAMES else None,
    )
    templates = resources.templates() | resources.project_templates(folder)
    text = render_workflow(service, made, templates, resources.compiled_templates())
    return made, text, folder.joinpath(*[".."] * len(Path(place).parts))


def affected(planned: Planned, revision: str, git: "Git", say: Callable[[str], None]) -> "Affected":
    """What is to be built anew since a revision of Git. Where that one cannot be compiled, it is everything: `say` why.

    Raises UsageError if there is no such revision, EngineError without Git.
    """
    from orbiter.affected import State, compare, everything

    if not revision.strip("0") and len(revision) >= 40:
        # What GitHub and GitLab call the revision before a branch was there.
        say(f"no revision before this one ({revision}), so everything is affected")
        return everything(planned.plan, revision, "first revision")
    commit = git.commit(revision)
    names = dict.fromkeys((planned.config.name, *NAMES))
    there = git.files(commit, (*names, locks.FILE, "templates", *output.FOLDERS))
    name = next((name for name in names if name in there), None)
    if name is None:
        say(f"{planned.config}: not there at {revision}, so everything is affected")
        return everything(planned.plan, revision, f"no configuration at {revision}")
    with tempfile.TemporaryDirectory(prefix="orbiter-revision-") as place:
        try:
            then = _at(there, name, Path(place))
        except OrbiterError as error:
            reason = str(error).splitlines()[0].replace(f"{place}/", "")
            say(f"{planned.config}: wrong at {revision}, so everything is affected: {reason}")
            return everything(planned.plan, revision, f"wrong configuration at {revision}")
    now = State(plan=planned.plan, files=render(planned))
    return compare(now, then, git.changed(commit), revision)


def _at(there: Mapping[str, bytes], name: str, folder: Path) -> "State":
    """The project of a revision, put into an empty folder. The generated files it had committed are what was built."""
    from orbiter.affected import State

    for path, content in there.items():
        generated = path.startswith(tuple(f"{each}/" for each in output.FOLDERS))
        if not generated and ".." not in path.split("/"):  # Git forbids it, but does not check all that it fetches
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    planned = make_plan(folder / name, alone=True)
    files = render(planned)
    committed = {path: there[path].decode(errors="replace") for path in files if path in there}
    return State(plan=planned.plan, files={**files, **committed})


def compare(planned: Planned, out: Path | None = None) -> Changes:
    """What separates the disk from the plan; writes nothing."""
    return output.compare(render(planned), out or planned.config.parent)


def described(planned: Planned, files: FileSet) -> "tuple[Mapping[str, str], Mapping[str, Parts]]":
    """What each target is made of, from its rendered files: its hash, and its parts."""
    from orbiter import content, parts

    contents = content.hashes(planned.plan, files)
    return contents, parts.parts(planned.plan, contents)


def unlocked(planned: Planned) -> tuple[dict[str, str], tuple[str, ...]]:
    """What the lock, or none, does not pin: targets with the reason, and images from elsewhere."""
    from orbiter import outgrown

    lock, project = planned.lock or Lock(), planned.plan.project
    stale = outgrown.reasons(project, lock, locks.stale(project, lock))
    return stale, tuple(reference for reference in _from_elsewhere(planned.plan) if reference not in lock.images)


def lockable(planned: Planned, patterns: Iterable[str]) -> tuple[str, ...]:
    """The targets with an entry in the lock that belong to those that names and globs name: themselves, or the nested
    builds that their environments come from. Raises NothingMatched."""
    project = planned.plan.project
    groups = {group.name: group.targets for group in planned.plan.groups}
    chosen = [target for name in select(planned.plan, tuple(patterns)) for target in groups.get(name, (name,))]
    nested = [nested for target in chosen if (nested := project.images[target].nested)]
    found = tuple(target for target in dict.fromkeys([*chosen, *nested]) if locks.installs(project.images[target]))
    if not found:
        raise NothingMatched(f"{', '.join(chosen)}: installs no Python, conda or Node packages, so nothing is locked")
    return found


def make_lock(planned: Planned, wish: "Wish", tools: "Tools", say: Callable[[str], None]) -> "Updated":
    """The lock of the project as it is now; writes nothing. Raises ConfigError with all that has no solution."""
    from orbiter.locking.update import Failed, update

    project = planned.plan.project
    images = {reference: mirrored(project.mirrors, reference) for reference in _from_elsewhere(planned.plan)}
    old = planned.lock or Lock()
    try:
        updated = update(project, old, wish, tools, images, resources.cache("locks"), say)
    except Failed as error:
        raise ConfigError(_unsolved(planned, problem) for problem in error.problems) from error
    system = {target: each for target, each in old.system.items() if target in project.images}
    return replace(updated, lock=replace(updated.lock, system=system))


def _from_elsewhere(plan: BuildPlan) -> tuple[str, ...]:
    parents = (image.parent.reference for image in plan.project.images.values() if image.parent.target is None)
    tools = (target.stage.tool for target in plan.targets if target.stage.tool)
    return tuple(sorted({reference for reference in (*parents, *tools) if "@" not in reference}))


def _unsolved(planned: Planned, problem: "Problem") -> Finding:
    document, section = planned.document, (*problem.image.path, problem.section)
    if problem.section not in document.value(problem.image.path):
        section = (*problem.image.path, "conda")  # its list of pip packages
    path = next(named(document.value(section), section, problem.reason.splitlines()), section)
    met = []
    for target, name, version in problem.met:
        below = planned.plan.project.images[target].path
        places = (
            named(document.value((*below, key)), (*below, key), [name])
            for key in ("pip", "conda", "npm")
            if key in document.value(below)
        )
        place = next((found for each in places for found in each), below)
        met.append(f"'{target}' has {name} {version} ({document.span(place)})")
    return Finding(
        span=document.span(path),
        path=path,
        message=f"'{problem.image.target}' cannot be locked:\n  " + problem.reason.rstrip(".").replace("\n", "\n  "),
        hint=_way_out(met, problem.suits) if met else problem.hint,
        defined=document.defined(path),
    )


def _way_out(met: Iterable[str], suits: Iterable[tuple[str, str]]) -> str:
    text = f"below it, {', '.join(met)}: the two have to agree"
    if versions := dict(suits):
        listed = ", ".join(f"{name} {version}" for name, version in versions.items())
        upgrade = f"orbiter lock --upgrade {' '.join(versions)}"
        return f"{text}; {listed} would suit both: try '{upgrade}', or ask for that version there"
    return f"{text}; no version suits both: change what one of them asks for"


def _outgrown(plan: BuildPlan, document: Document, lock: Lock) -> Iterator[Finding]:
    from orbiter import outgrown

    project = plan.project
    places = {
        project.images[
            target
        ].path: f"{locks.FILE} does not fit '{target}', whose versions are therefore not pinned: {why}"
        for target, why in outgrown.reasons(project, lock, locks.stale(project, lock)).items()
    }
    for reference in _from_elsewhere(plan):
        if reference not in lock.images:
            users = (image.path for image in project.images.values() if image.parent.reference == reference)
            path = next(((*path, "image") for path in users), ("build",))
            places[path] = f"{locks.FILE} does not pin '{reference}'"
    for path, message in places.items():
        yield Finding(
            span=document.span(path, key=True),
            path=path,
            message=message,
            hint="run 'orbiter lock'",
            severity="warning",
        )


def first_place(file: str | None, folder: str | None) -> Path:
    """Where a first configuration is written. Raises UsageError if one is there, or for two places."""
    if file is not None and folder is not None:
        raise UsageError("-f FILE ($ORBITER_FILE) and DIR both say where the configuration is to be; give one")
    config = Path(file) if file is not None else Path(folder or "") / NAMES[0]
    if config.parent.exists() and not config.parent.is_dir():
        raise UsageError(f"{config.parent}: is a file, not a folder")
    names = (config.name,) if file is not None else NAMES
    for place in (config.parent / name for name in names):
        if os.path.lexists(place):
            raise UsageError(
                f"{place}: is there already, and is not written over; move it away, or name another folder"
            )
    return config


def first_configuration(
    settings: "Settings", config: Path, repository: Path | None
) -> tuple[str, tuple["Remark", ...]]:
    """The text of a first configuration, checked, and remarks about the repository that it comes from."""
    from orbiter import convert, starter
    from orbiter.render import configuration
    from orbiter.repository import read

    remarks: tuple[Remark, ...] = ()
    if repository is None:
        first = starter.new(settings)
    else:
        first, remarks = convert.convert(read(repository, config.parent), settings)
    text = configuration(first, resources.templates())
    document = source.load(text.encode(), str(config))
    rules = schema.parse(resources.schema(), {})
    findings = schema.check(document, rules)
    if findings:
        raise ConfigError(findings)
    resolve(document, builders.with_own(schema.builders(rules)))
    return text, remarks


def write_first(config: Path, text: str, *, with_schema: bool) -> tuple[Path, ...]:
    """Writes a first configuration, and the schema beside it if that is wanted; returns what was written."""
    files = {config: text}
    if with_schema:
        files[config.parent / SCHEMA_FILE] = resources.schema()
    written: list[Path] = []
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            with path.open("x", encoding="utf-8", newline="") as file:
                written.append(path)
                file.write(content)
    except BaseException as error:
        # Half a file would be in the way of the next attempt.
        for path in written:
            with suppress(OSError):
                path.unlink()
        if isinstance(error, OSError):
            raise UsageError(f"{error.filename or config}: cannot be written: {error.strerror}") from error
        raise
    return tuple(written)


def _load(config: Path) -> Document:
    try:
        text = config.read_bytes()
    except OSError as error:
        raise UsageError(f"{config}: cannot be read: {error.strerror}") from error
    return source.load(text, str(config))


def _missing_files(project: Project, document: Document, folder: Path) -> Iterator[Finding]:
    """Files of the project that the configuration names and that are not there."""
    named: dict[tuple[str | int, ...], str] = {("mirrors", "ca"): project.mirrors.ca} if project.mirrors.ca else {}
    for image in project.images.values():
        for path, _ in image.copy:
            named[(*image.path, "copy", path)] = path
        for number, path in enumerate(image.test.notebooks):
            named[(*image.path, "test", "notebooks", number)] = path
    for place, path in named.items():
        if not (folder / path).exists():
            yield Finding(
                span=document.span(place, key=place[-1] == path),
                path=place,
                message=f"'{path}' is not there",
                hint="paths are relative to the folder of the configuration",
            )
