"""From a configuration to files on disk, one call a step: load → check → resolve → plan → render → write."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orbiter import builders, output, resources, schema, source
from orbiter.diagnostics import Finding
from orbiter.errors import ConfigError, UsageError
from orbiter.model import BuildPlan, FileSet, Project
from orbiter.output import Changes
from orbiter.plan import plan
from orbiter.resolve import resolve
from orbiter.source import Document

NAMES = ("orbiter.yaml", "orbiter.yml", "invoke.yaml")
"""The names of a configuration, in the order in which they are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A checked configuration: what bake is to build, and warnings."""

    config: Path
    document: Document
    plan: BuildPlan
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


def make_plan(config: Path, out: Path | None = None) -> Planned:
    """Reads, checks, resolves and plans. `out` is the directory of the bake file, else that of the configuration."""
    folder = config.parent
    document = _load(config)
    rules = project_schema(folder)
    known = builders.with_own(schema.builders(rules))
    findings = schema.check(document, rules)
    if findings:
        raise ConfigError(findings)
    project, warnings = resolve(document, known)
    missing = tuple(_missing_files(project, document, folder))
    if missing:
        raise ConfigError(missing)
    planned = plan(project, known, os.path.relpath(folder, out or folder))
    return Planned(config=config, document=document, plan=planned, warnings=warnings)


def project_schema(folder: Path) -> schema.Schema:
    """The JSON schema of the configuration, with the builders of the project in `folder`."""
    own = {
        name: schema.options(text, name)
        for name, text in resources.project_builders(folder).items()
        if name not in builders.BUILDERS
    }
    return schema.parse(resources.schema(), own)


def render(planned: Planned) -> FileSet:
    """The generated files of a plan, with the project's own templates before Orbiter's."""
    from orbiter.render import render as render_plan

    templates = resources.templates() | resources.project_templates(planned.config.parent)
    return render_plan(planned.plan, templates, resources.compiled_templates())


def compare(planned: Planned, out: Path | None = None) -> Changes:
    """What separates the disk from the plan; writes nothing."""
    return output.compare(render(planned), out or planned.config.parent)


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
