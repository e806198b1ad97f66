"""Runs bake, listens to it, and makes the report: `orbiter build` without its options."""

import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orbiter import copied, report
from orbiter.bake import BakeOptions
from orbiter.blame import Cause, cause
from orbiter.caching import in_words, is_half_written, is_torn
from orbiter.changes import Verdicts
from orbiter.content import COPIED
from orbiter.engine import BuildFailed, Engine, Record
from orbiter.errors import EngineError, UsageError
from orbiter.images import familiar
from orbiter.model import BuildPlan, FileSet, Target
from orbiter.pipeline import Planned
from orbiter.plan import tags, waves
from orbiter.progress import Progress, Step, Trouble, Work
from orbiter.report import Outcome, Report

_RACE = re.compile(r'^image "[^"]+": already exists$')
"""What Docker's image store says to the second one of two builds that tag at the same moment (Docker 28.5)."""

_ASKED = 100
"""Pushed images whose sizes are asked for: a process of Buildx each."""

_LOST = re.compile(r"no such job|code = Unavailable|snapshot \S+ does not exist")
"""What Buildx says, for no fault of the build: with hundreds of targets at once (Buildx 0.29), or where the engine
tidies its store just then (seen with Docker 28.5: `failed to commit … snapshot … does not exist`)."""


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
    at_once: int = 0
    """How many targets one call of bake may have with all that they need; 0: any number."""
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


@dataclass(slots=True)
class _Course:
    """A build on its way: what is known from the calls of bake so far, and what was said of the caches."""

    job: Job
    work: Mapping[str, Work] = field(default_factory=dict)
    buildx: dict[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    causes: dict[str, Cause] = field(default_factory=dict)
    errors: list[Ended] = field(default_factory=list)
    said: set[str] = field(default_factory=set)
    seconds: float = 0.0

    def add(self, done: _Round) -> None:
        self.work = report.merged(self.work, done.work)
        self.steps = report.merged_steps(self.steps, done.steps)
        for target, told in done.buildx.items():
            # Of a parent that an earlier call has made, a later one knows less.
            self.buildx[target] = {**self.buildx.get(target, {}), **told}
        self.seconds += done.seconds


def run(job: Job, engine: Engine, say: Callable[[str], None]) -> tuple[Report, Ended | None]:
    """Builds. `say` gets a line for each step that ended, and what there is to say of a failure.

    A cache from which a layer cannot be had is not read again, and all is built once more. An interrupt, and an engine
    that is not there or goes away, are returned with what was known until then.

    With `keep_going`, bake is called again without what failed and all that needs it, until nothing else is left:
    what was finished, or as far as it got, comes from the cache then. More targets than may be built `at_once` are
    built in waves, and then it keeps going, too: what failed stops only what needs it.
    """
    groups = {group.name: group.targets for group in job.planned.plan.groups}
    wanted = tuple(dict.fromkeys(target for name in job.wanted for target in groups.get(name, (name,))))
    several = waves(job.plan, wanted, job.at_once) if job.at_once else (wanted,)
    course = _Course(replace(job, keep_going=job.keep_going or len(several) > 1))
    failed = set[str]()
    try:
        for number, wave in enumerate(several, 1):
            possible = tuple(target for target in wave if target not in failed)
            if len(several) > 1 and possible:
                say(f"wave {number} of {len(several)}: {len(possible)} target{'s' * (len(possible) > 1)}")
            if not _build(course, possible, engine, say):
                break
            failed |= {target for target, each in course.work.items() if each.result == "failed"}
            failed |= set(_descendants(job.needs, failed))
    except KeyboardInterrupt as ended:  # between two calls of bake
        course.errors.append(ended)
    interrupted = any(isinstance(error, KeyboardInterrupt) for error in course.errors)
    finished = sum("containerimage.digest" in told for told in course.buildx.values())
    if interrupted and finished:
        images = "1 image was finished and stays" if finished == 1 else f"{finished} images were finished and stay"
        say(f"{images}; 'orbiter build --changed' goes on from there")
    made = Report(
        outcomes=tuple(_outcomes(job, course, engine)),
        critical=report.critical_path(course.steps, job.needs),
        seconds=course.seconds,
        buildx=course.buildx,
        steps=course.steps,
        interrupted=interrupted,
    )
    return made, course.errors[0] if course.errors else None


def _build(course: _Course, wanted: Sequence[str], engine: Engine, say: Callable[[str], None]) -> bool:
    """Calls bake until all is built that can be, only once unless the job keeps going.

    False if it is no use to go on with other targets: what is no image's fault would happen to them as well.
    """
    again = 3
    while wanted:
        done = _bake(course.job, wanted, engine, say)
        course.add(done)
        half = tuple(dict.fromkeys(trouble.target for trouble in done.troubles if is_half_written(trouble)))
        if half and not done.error and "half" not in course.said:
            course.said.add("half")
            wanted = half
            say(f"the registry had not got the whole cache of {_named(half)}; it is written once more")
            continue
        for verb in ("read", "written"):
            troubles = [trouble for trouble in done.troubles if trouble.verb == verb]
            if troubles and verb not in course.said:
                course.said.add(verb)
                say(in_words(troubles))
        if not done.error:
            return True
        if not isinstance(done.error, BuildFailed):
            course.errors.append(done.error)
            return False
        problems = {target: each.failed.error for target, each in done.work.items() if each.failed}
        if again and any(_RACE.search(problem) for problem in problems.values()):
            again -= 1
            say("another build has just made the same image; once more, from the cache")
            continue
        if again and any(_LOST.search(line) for line in (*done.words, *problems.values())):
            again -= 1
            say("the builder lost hold of the build, for no fault of it; once more, from the cache")
            continue
        torn = next((problem for problem in problems.values() if is_torn(problem)), "")
        options = course.job.options
        if torn and done.imported and NO_READING not in options.set:
            course.job = replace(course.job, options=replace(options, set=(*options.set, NO_READING)))
            say(f"what the cache refers to cannot be had ({torn}); once more without reading it")
            continue
        found = _causes(course.job, done, done.error)
        course.causes |= found
        course.errors.append(_told(done, done.error, found, course.job.listens, say))
        if not course.job.keep_going or not problems:
            return False
        out = {*problems, *_descendants(course.job.needs, set(problems))}
        wanted = tuple(target for target in wanted if target not in out)
        if wanted:
            say(f"going on with {_named(wanted)}")
    return True


def _named(targets: Sequence[str]) -> str:
    return ", ".join(targets[:8]) + (f" and {len(targets) - 8} more" if len(targets) > 8 else "")


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
        work=_blamed(progress.work(done=error is None)),
        buildx=buildx,
        words=progress.words,
        steps=progress.steps(),
        troubles=progress.troubles,
        imported=progress.imported,
        error=error,
        seconds=seconds,
    )


def _blamed(work: Mapping[str, Work]) -> Mapping[str, Work]:
    """Without the exports that failed beside a step: that step's failure cancelled them, whatever they say of it.

    Seen with Docker 28.5: `error writing config blob: … EOF`. One that fails of itself does so again.
    """
    exports = {target for target, each in work.items() if each.failed and each.failed.text.startswith("exporting to ")}
    if not any(each.failed for target, each in work.items() if target not in exports):
        return work
    return {
        target: Work(result="not reached", seconds=each.seconds) if target in exports else each
        for target, each in work.items()
    }


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
            if each.line:
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


def _outcomes(job: Job, course: _Course, engine: Engine) -> Iterator[Outcome]:
    sizes = (_pushed_sizes if job.options.push else _local_sizes)(job, course.buildx, engine)
    for target in job.plan.targets:
        told = course.buildx.get(target.name, {})
        outcome = _outcome(job, target, course.work.get(target.name), told, sizes.get(target.name))
        yield replace(outcome, cause=course.causes.get(target.name))


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


def _local_sizes(job: Job, buildx: Mapping[str, Any], engine: Engine) -> Mapping[str, int]:
    """Bytes of the images that were made and that the engine has, by target; asked of it in two calls."""
    names = {target: told.get("image.name", "").partition(",")[0] for target, told in buildx.items()}
    repos = {name.rpartition(":")[0] for name in names.values() if name}
    try:
        there = {
            line
            for repo in sorted(repos)
            for line in engine.ask("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", familiar(repo)).split()
        }
        wanted = {target: name for target, name in names.items() if name and familiar(name) in there}
        images = json.loads(engine.ask("image", "inspect", *wanted.values())) if wanted else []
    except (EngineError, ValueError):
        return {}
    # Another image may have taken the name; Docker's two image stores have different ideas of an id.
    return {
        target: int(image["Size"])
        for target, image in zip(wanted, images, strict=True)
        if image["Id"]
        in (buildx[target].get("containerimage.digest"), buildx[target].get("containerimage.config.digest"))
    }


def _pushed_sizes(job: Job, buildx: Mapping[str, Any], engine: Engine) -> Mapping[str, int]:
    """Compressed bytes of the images in the registry, by target; nothing of so many that asking would take long."""
    wanted = {
        target: (told["image.name"].partition(",")[0], told["containerimage.digest"])
        for target, told in buildx.items()
        if told.get("image.name") and told.get("containerimage.digest")
    }
    if len(wanted) > _ASKED:
        return {}

    def ask(image: tuple[str, str]) -> int | None:
        try:
            return _pushed_size(*image, job.options.builder, engine)
        except (EngineError, ValueError):
            return None

    with ThreadPoolExecutor(max_workers=4) as pool:
        sizes = pool.map(ask, wanted.values())
        return {target: size for target, size in zip(wanted, sizes, strict=True) if size is not None}


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


def changed(plan: BuildPlan, verdicts: Verdicts, chosen: Sequence[str]) -> tuple[Verdicts, tuple[str, ...]]:
    """The verdicts without tags for parents that nobody chose, and of the chosen targets those that are to be built.

    A nested build that is chosen by name is always built: no image tells whether it was.
    """
    groups = {group.name: group.targets for group in plan.groups}
    names = {target for name in chosen for target in groups.get(name, (name,))}
    told = {
        name: verdict if name in names or not verdict.tags else replace(verdict, state="up to date", tags=())
        for name, verdict in verdicts.items()
    }
    return told, tuple(name for name, verdict in told.items() if name in names and not verdict.made)


def copied_labels(planned: Planned, plan: BuildPlan) -> tuple[str, ...]:
    """Overrides by which the images of the plan, a part of the project's, bear the hash of their copied files."""
    found = copied.hashes(planned.plan, planned.config.parent)
    return tuple(
        f"{target.name}.labels.{COPIED}={found[target.name]}"
        for target in plan.targets
        if target.image.deployable and target.name in found
    )


def with_ready(plan: BuildPlan, verdicts: Verdicts, made: Report) -> Report:
    """The report with the images that needed no build, in the order of the plan."""
    found = {outcome.target: outcome for outcome in made.outcomes}
    for verdict in verdicts.values():
        if verdict.made and verdict.target not in found:
            found[verdict.target] = Outcome(
                target=verdict.target,
                result="tagged" if verdict.state == "to tag" else "up to date",
                digest=verdict.made.digest,
                references=(verdict.made.reference, *verdict.tags),
            )
    order = [target.name for target in plan.targets if target.name in found]
    return replace(made, outcomes=tuple(found[name] for name in order))


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
