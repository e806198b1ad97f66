"""Runs bake, listens to it, and makes the report: `orbiter build` without its options."""

import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orbiter import report
from orbiter.blame import Cause, cause
from orbiter.caching import in_words, is_torn
from orbiter.engine import BakeOptions, BuildFailed, Engine, Record
from orbiter.errors import EngineError, UsageError
from orbiter.model import BuildPlan, FileSet, Target
from orbiter.pipeline import Planned
from orbiter.plan import tags
from orbiter.progress import Progress, Step, Trouble, Work
from orbiter.report import Outcome, Report

_RACE = re.compile(r'^image "[^"]+": already exists$')
"""What Docker's image store says to the second one of two builds that tag at the same moment (Docker 28.5)."""


NO_READING = "*.cache-from="
"""The override by which bake reads no cache but the builder's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be built: `wanted` are names of targets and groups, `plan` has them and what they need."""

    planned: Planned
    plan: BuildPlan
    wanted: tuple[str, ...]
    files: FileSet
    options: BakeOptions
    keep_going: bool = False
    listens: bool = True
    """Whether the steps are said one by one; else Buildx shows its own progress."""
    reports: bool = False
    """Whether it is worth a moment to find out how far an interrupted build came."""

    @property
    def needs(self) -> dict[str, tuple[str, ...]]:
        return {target.name: target.needs for target in self.plan.targets}


@dataclass(slots=True)
class _Round:
    """One call of bake: what came of its targets, what Buildx wrote about them, and how it failed."""

    work: Mapping[str, Work]
    buildx: Mapping[str, Any]
    words: Sequence[str] = ()
    steps: tuple[Step, ...] = ()
    troubles: Sequence[Trouble] = ()
    imported: bool = False
    error: EngineError | KeyboardInterrupt | None = None
    seconds: float = 0.0


Ended = EngineError | KeyboardInterrupt
"""How a build ends that does not end well."""


def run(job: Job, engine: Engine, say: Callable[[str], None]) -> tuple[Report, Ended | None]:
    """Builds. `say` gets a line for each step that ended, and what there is to say of a failure.

    A cache from which a layer cannot be had is not read again, and all is built once more. An interrupt, and an engine
    that is not there or goes away, are returned with what was known until then.

    With `keep_going`, bake is called again without what failed and all that needs it, until nothing else is left:
    what was finished, or as far as it got, comes from the cache then.
    """
    groups = {group.name: group.targets for group in job.planned.plan.groups}
    wanted = tuple(dict.fromkeys(target for name in job.wanted for target in groups.get(name, (name,))))
    work, buildx = dict[str, Work](), dict[str, Any]()
    steps, causes = tuple[Step, ...](), dict[str, Cause]()
    errors: list[Ended] = []
    said: set[str] = set()
    again = 3
    seconds = 0.0
    while wanted:
        done = _bake(job, wanted, engine, say)
        work = dict(report.merged(work, done.work))
        steps = report.merged_steps(steps, done.steps)
        buildx |= done.buildx
        seconds += done.seconds
        for verb in ("read", "written"):
            troubles = [trouble for trouble in done.troubles if trouble.verb == verb]
            if troubles and verb not in said:
                said.add(verb)
                say(in_words(troubles))
        if not done.error:
            break
        if not isinstance(done.error, BuildFailed):
            errors.append(done.error)
            break
        if again and any(each.failed and _RACE.search(each.failed.error) for each in done.work.values()):
            again -= 1
            say("another build has just made the same image; once more, from the cache")
            continue
        torn = next(
            (each.failed.error for each in done.work.values() if each.failed and is_torn(each.failed.error)), ""
        )
        if torn and done.imported and NO_READING not in job.options.set:
            job = replace(job, options=replace(job.options, set=(*job.options.set, NO_READING)))
            say(f"what the cache refers to cannot be had ({torn}); once more without reading it")
            continue
        found = _causes(job, done, done.error)
        causes |= found
        errors.append(_told(done, done.error, found, job.listens, say))
        failed = {target for target, each in done.work.items() if each.failed}
        if not job.keep_going or not failed:
            break
        failed |= set(_descendants(job.needs, failed))
        wanted = tuple(target for target in wanted if target not in failed)
        if wanted:
            say(f"going on with {', '.join(wanted)}")
    made = Report(
        outcomes=tuple(_outcomes(job, work, buildx, causes, engine)),
        critical=report.critical_path(steps, job.needs),
        seconds=seconds,
        buildx=buildx,
        steps=steps,
        interrupted=any(isinstance(error, KeyboardInterrupt) for error in errors),
    )
    return made, errors[0] if errors else None


def _bake(job: Job, wanted: Sequence[str], engine: Engine, say: Callable[[str], None]) -> _Round:
    deployable = {target.name for target in job.plan.targets if target.image.deployable}
    progress = Progress(_lineage(job.needs, wanted), deployable & set(wanted))
    width = max(map(len, job.needs))

    def hear(line: str) -> None:
        for step in progress.feed(line):
            say(_line(step, width))

    with tempfile.TemporaryDirectory(prefix="orbiter-") as folder:
        metadata = Path(folder, "metadata.json")
        options = replace(job.options, metadata=str(metadata))
        error: Ended | None = None
        records, since, began = list[tuple[str, str]](), time.time(), time.monotonic()
        try:
            engine.bake(job.planned.config.parent, wanted, options, hear if job.listens else None)
        except BuildFailed as failed:
            error = failed
            records = _identities(job.plan, failed.records)
        except (EngineError, KeyboardInterrupt) as ended:
            error = ended
        seconds = time.monotonic() - began
        if isinstance(error, KeyboardInterrupt) and job.reports and not job.listens:
            say("asking the builder how far it came; another interrupt skips that")
            with suppress(EngineError, KeyboardInterrupt):
                told = engine.records(job.planned.config.parent, job.options.builder, since)
                records = _identities(job.plan, told)
        buildx = json.loads(metadata.read_text()) if metadata.is_file() else {}
    if not job.listens:
        if not error:
            records = [(name, told["buildx.build.ref"].rpartition("/")[2]) for name, told in buildx.items()]
        _replay(progress, engine, job.options.builder, records)
    return _Round(
        work=progress.work(done=error is None),
        buildx=buildx,
        words=progress.words,
        steps=progress.steps(),
        troubles=progress.troubles,
        imported=progress.imported,
        error=error,
        seconds=seconds,
    )


def _lineage(needs: Mapping[str, Sequence[str]], wanted: Sequence[str]) -> dict[str, Sequence[str]]:
    """The wanted targets and all that they need, with what they need."""
    found: dict[str, Sequence[str]] = {}
    waiting = list(wanted)
    while waiting:
        target = waiting.pop()
        if target not in found:
            found[target] = needs[target]
            waiting += needs[target]
    return {target: found[target] for target in needs if target in found}


def _descendants(needs: Mapping[str, Sequence[str]], targets: set[str]) -> Iterator[str]:
    for target in needs:
        if targets & _lineage(needs, [target]).keys():
            yield target


def _identities(plan: BuildPlan, records: Sequence[Record]) -> list[tuple[str, str]]:
    """Target and identity of each build of the history that is one of the plan; of several builds the last one."""
    targets = {target.image.directory: target.name for target in plan.targets}
    found = {targets[record.context]: record.identity for record in reversed(records) if record.context in targets}
    return list(found.items())


def _replay(progress: Progress, engine: Engine, builder: str | None, records: Sequence[tuple[str, str]]) -> None:
    with ThreadPoolExecutor(max_workers=4) as pool:
        logs = pool.map(lambda record: engine.replay(record[1], builder), records)
        for (target, _), lines in zip(records, logs, strict=True):
            for line in lines:
                progress.feed(line, target)


def _line(step: Step, width: int) -> str:
    text = step.text if len(step.text) <= 38 else f"{step.text[:37]}…"
    if text == "cached":
        return f"{step.target:{width}}  cached"
    return f"{step.target:{width}}  {text:38}  {'failed after ' if step.error else ''}{step.seconds:.1f} s"


def _causes(job: Job, done: _Round, error: BuildFailed) -> dict[str, Cause]:
    """Where the failures of this round come from: target → cause, also of steps that nobody can trace."""
    found = (cause(job.planned.plan, job.planned.document, job.files, [failure]) for failure in error.failures)
    causes = {each.target: each for each in found if each}
    for target, work in done.work.items():
        step = work.failed
        if step and target not in causes:
            causes[target] = Cause(
                target=target, dockerfile=None, line=0, instruction=step.text, finding=None, log=step.logs
            )
    return causes


def _told(
    done: _Round, error: BuildFailed, causes: Mapping[str, Cause], listened: bool, say: Callable[[str], None]
) -> BuildFailed:
    """Says where each failure comes from; the error with the names of the targets."""
    failed = {target: work.failed for target, work in done.work.items() if work.failed}
    traced = False
    for each in causes.values():
        if each.finding:
            traced = True
            say(f"{each.dockerfile}:{each.line}: {each.instruction}")
            say(str(each.finding))
    reasons = []
    for target, step in failed.items():
        what = report.explain(step.error)
        if step.text.startswith("exporting to "):
            reasons.append(what)
            continue
        reasons.append(f"'{target}' could not be built")
        if not traced:
            say(f"{target}: {step.text}: {what}" + "".join(f"\n  {line}" for line in step.logs))
    if not failed and listened:
        # Buildx has not begun: its own words say why.
        reasons.append("\n".join(done.words))
    if not reasons:
        reasons.append("its own messages are above")
    return BuildFailed(f"{error}: {'; '.join(reasons)}", error.failures, error.records)


def _outcomes(
    job: Job, work: Mapping[str, Work], buildx: Mapping[str, Any], causes: Mapping[str, Cause], engine: Engine
) -> Iterator[Outcome]:
    targets = job.plan.targets
    with ThreadPoolExecutor(max_workers=4) as pool:
        sizes = pool.map(lambda target: _size(job, buildx.get(target.name, {}), engine), targets)
        for target, size in zip(targets, sizes, strict=True):
            told = buildx.get(target.name, {})
            yield replace(_outcome(job, target, work.get(target.name), told, size), cause=causes.get(target.name))


def _outcome(job: Job, target: Target, work: Work | None, buildx: Mapping[str, Any], size: int | None) -> Outcome:
    names = buildx.get("image.name", "")
    return Outcome(
        target=target.name,
        result=work.result if work else "not reached",
        seconds=work.seconds if work else None,
        digest=buildx.get("containerimage.digest"),
        size=size,
        references=tuple(names.split(",")) if names else tags(job.plan.project, target.image),
        problem=report.explain(work.failed.error) if work and work.failed else None,
    )


def _size(job: Job, buildx: Mapping[str, Any], engine: Engine) -> int | None:
    """Bytes of the image that was made: in the registry after a push, else in the engine if it is there."""
    digest, name = buildx.get("containerimage.digest"), buildx.get("image.name", "").partition(",")[0]
    if not digest or not name:
        return None
    try:
        if job.options.push:
            return _pushed_size(name, digest, job.options.builder, engine)
        (image,) = json.loads(engine.ask("image", "inspect", name))
    except (EngineError, ValueError):
        return None
    # Another image may have taken the name; Docker's two image stores have different ideas of an id.
    same = image["Id"] in (digest, buildx.get("containerimage.config.digest"))
    return int(image["Size"]) if same else None


def _pushed_size(name: str, digest: str, builder: str | None, engine: Engine) -> int | None:
    """Compressed bytes of an image in a registry; of its first platform if it has several."""
    found, _ = manifest(name, digest, builder, engine)
    layers = found.get("layers")
    return int(found["config"]["size"]) + sum(int(layer["size"]) for layer in layers) if layers else None


def manifest(
    name: str, digest: str, builder: str | None, engine: Engine, *, configuration: bool = False
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The manifest of an image in a registry, and its configuration if that is wanted; of its first platform."""
    repository = re.sub(r":[^/:]*$", "", name)
    at = ["--builder", builder] if builder else []

    def ask(digest: str, *form: str) -> Any:
        return json.loads(engine.ask("buildx", "imagetools", "inspect", *form, f"{repository}@{digest}", *at))

    found = ask(digest, "--raw")
    if "manifests" in found:
        images = (each for each in found["manifests"] if each.get("platform", {}).get("os") != "unknown")
        first = next(images, None)
        digest = first["digest"] if first else digest
        found = ask(digest, "--raw") if first else {}
    return found, ask(digest, "--format", "{{json .Image}}") if configuration and found else {}


def write_metadata(made: Report, file: Path) -> None:
    """Writes the report as JSON, the whole file or nothing. Raises UsageError."""
    text = json.dumps(report.as_data(made), indent=2, ensure_ascii=False) + "\n"
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text)
        temporary.replace(file)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise UsageError(f"{file}: {error.strerror}") from error
