"""Collects what a report of a build has beside what came of it, and writes it: `orbiter build --report`."""

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from orbiter import __version__, lockdiff, output, page, resources
from orbiter import lock as locks
from orbiter.building import Ended, Job, manifest
from orbiter.engine import Engine
from orbiter.errors import EngineError, OrbiterError, UsageError
from orbiter.git import Git
from orbiter.layers import Layer, Layers, parse_local, parse_published
from orbiter.lockdiff import Difference
from orbiter.origins import origins
from orbiter.page import Facts
from orbiter.report import Outcome, Report

SUFFIXES = (".html", ".htm", ".json")
"""The endings of a report, by which its form is known."""


def check(files: Sequence[Path]) -> None:
    """Raises UsageError for a report that could not be written, before anything is built."""
    for file in files:
        if file.suffix.lower() not in SUFFIXES:
            raise UsageError(f"--report {file}: a report ends with .html or .json")
        if not file.parent.is_dir():
            raise UsageError(f"--report {file}: there is no folder {file.parent}")


def write(
    files: Sequence[Path], made: Report, ended: Ended | None, job: Job, changed: Sequence[str], engine: Engine
) -> None:
    """Writes reports, each of them whole or not at all. `changed` are the files that this build compiled anew.

    Raises UsageError.
    """
    facts = _facts(made, ended, job, changed, engine)
    for file in files:
        if file.suffix.lower() == ".json":
            text = json.dumps(page.as_data(made, facts), indent=2, ensure_ascii=False) + "\n"
        else:
            templates = resources.templates() | resources.project_templates(job.planned.config.parent)
            text = page.as_html(made, facts, templates)
        output.replace(file, text.encode())


def _facts(made: Report, ended: Ended | None, job: Job, changed: Sequence[str], engine: Engine) -> Facts:
    project = job.plan.project
    folders = {path.rpartition("/")[0] for path in changed}
    problem = str(ended) if isinstance(ended, OrbiterError) else "interrupted" if ended else None
    return Facts(
        title=f"{project.repo} {project.version}",
        source=project.source,
        moment=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() - made.seconds)),
        orbiter=__version__,
        problem=problem,
        needs=job.needs,
        origins=origins(job.plan, job.planned.document, job.files),
        layers={} if isinstance(ended, KeyboardInterrupt) else _layers(made, job, engine),
        compressed=job.options.push,
        changed=frozenset(target.name for target in job.plan.targets if target.image.directory in folders),
        uncached=job.options.no_cache,
        packages=_packages(job),
    )


def _layers(made: Report, job: Job, engine: Engine) -> Layers:
    """The layers of each image that this build has made."""
    sized = [outcome for outcome in made.outcomes if outcome.size is not None]
    with ThreadPoolExecutor(max_workers=4) as pool:
        found = pool.map(lambda outcome: _layers_of(outcome, made.buildx, job, engine), sized)
        return {outcome.target: layers for outcome, layers in zip(sized, found, strict=True) if layers}


def _layers_of(outcome: Outcome, buildx: Mapping[str, Any], job: Job, engine: Engine) -> tuple[Layer, ...]:
    name, digest = outcome.references[0], outcome.digest or ""
    try:
        if job.options.push:
            found, configuration = manifest(name, digest, job.options.builder, engine, configuration=True)
            return parse_published(found, configuration)
        (image,) = json.loads(engine.ask("image", "inspect", name))
        history = engine.ask("history", "--no-trunc", "--human=false", "--format", "json", name)
        return parse_local(image["RootFS"]["Layers"], history)
    except (EngineError, ValueError, KeyError):
        return ()


def _packages(job: Job) -> Difference:
    """What the lock has other than in the last commit, for the targets of this build; nothing outside of Git."""
    names = {"", *(target.name for target in job.plan.targets)}
    if job.planned.lock is None:
        return {}
    with suppress(OrbiterError):
        before = Git(job.planned.config.parent).show("HEAD", locks.FILE)
        found = lockdiff.difference(locks.parse(before), job.planned.lock) if before is not None else {}
        return {target: changes for target, changes in found.items() if target in names}
    return {}
