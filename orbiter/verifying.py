"""Builds images from nothing and compares what came of it: `orbiter verify` without its options."""

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import disk_usage

from orbiter import building, layouts
from orbiter.building import Job
from orbiter.engine import Engine
from orbiter.errors import EngineError, UsageError
from orbiter.lock import Lock
from orbiter.model import BuildPlan
from orbiter.processes import terminable
from orbiter.tables import size
from orbiter.verification import Build, Layer, Listing, Verdict, compare, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a build is compared with. `folder` has the layouts of `--keep`, None if there are digests only."""

    builds: tuple[Build, ...]
    folder: Path | None


def epoch(lock: Lock | None, variables: Mapping[str, str]) -> int:
    """The Unix time that all files and images bear at most: SOURCE_DATE_EPOCH, else that of the lock, else 0."""
    given = variables.get("SOURCE_DATE_EPOCH", "")
    if given and not given.isdecimal():
        raise UsageError(f"SOURCE_DATE_EPOCH={given}: is no Unix time (seconds since 1970)")
    return int(given) if given else (lock.seconds if lock else None) or 0


@contextmanager
def room(keep: Path | None) -> Iterator[Path]:
    """The folder for what is built: `keep`, which has to be new or empty, else one that is always removed."""
    with terminable():
        if keep is None:
            with tempfile.TemporaryDirectory(prefix="orbiter-verify-", ignore_cleanup_errors=True) as name:
                yield Path(name)
            return
        try:
            keep.mkdir(parents=True, exist_ok=True)
            if any(keep.iterdir()):
                raise UsageError(f"--keep {keep}: is not empty")
        except OSError as error:
            raise UsageError(f"--keep {keep}: {error.strerror}") from error
        yield keep.resolve()


def reference(place: Path, targets: Sequence[str], epoch: int) -> Reference:
    """What `--against` names: a list of digests, or a folder with a layout for each target. Raises UsageError."""
    if place.is_dir():
        there = [target for target in targets if (place / target / "index.json").is_file()]
        builds = tuple(each for target in there for each in layouts.newest(place / target, target))
    else:
        try:
            builds, theirs = parse(place.read_text(encoding="utf-8"), str(place))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--against {place}: {getattr(error, 'strerror', None) or error}") from error
        if theirs != epoch:
            raise UsageError(
                f"--against {place}: made with SOURCE_DATE_EPOCH={theirs}, here it is {epoch}; "
                "take the same orbiter.lock, or set the variable"
            )
    missing = [target for target in targets if target not in {each.target for each in builds}]
    if missing:
        raise UsageError(f"--against {place}: has nothing of {', '.join(missing)}")
    chosen = tuple(each for each in builds if each.target in targets)
    return Reference(builds=chosen, folder=place if place.is_dir() else None)


def build(
    job: Job, targets: Sequence[str], folder: Path, epoch: int, engine: Engine, say: Callable[[str], None]
) -> tuple[Build, ...]:
    """Builds the targets from nothing into layouts below `folder`, each in one of its name. Raises EngineError.

    Several builds may go into the same folder: what they have in common takes room once.
    """
    space = f"orbiter-verify-{secrets.token_hex(8)}"
    overrides = (*job.options.set, *settings(targets, str(folder), epoch, space))
    options = replace(job.options, no_cache=True, set=overrides, allow=(*job.options.allow, f"fs.write={folder}"))
    try:
        report, error = building.run(replace(job, wanted=tuple(targets), options=options), engine, say)
    finally:
        _forget(space, job.options.builder, engine)
    if error:
        if "OCI exporter is not supported" in str(error):
            raise EngineError(
                "this builder writes no image layouts: give Docker the containerd image store "
                "(https://docs.docker.com/engine/storage/containerd/), or name another builder with --builder"
            ) from error
        raise error
    say(f"built in {report.seconds:.0f} s: {size(layouts.weight(folder))} in {folder}")
    digests = {outcome.target: outcome.digest for outcome in report.outcomes}
    return tuple(made for target in targets for made in layouts.builds(folder / target, target, digests[target] or ""))


def settings(targets: Sequence[str], folder: str, epoch: int, space: str) -> tuple[str, ...]:
    """Overrides of the bake file for a build that can be repeated.

    Attestations tell when and where something was built. `--no-cache` empties cache mounts; in a space of their own
    (https://docs.docker.com/build/buildkit/dockerfile-frontend/), other builds keep what is in theirs.
    """
    outputs = (
        f'{target}.output=type=oci,tar=false,rewrite-timestamp=true,"dest={folder}/{target}"' for target in targets
    )
    return (
        *outputs,
        "*.attest=type=provenance,disabled=true",
        "*.attest=type=sbom,disabled=true",
        "*.cache-from=",
        "*.cache-to=",
        f"*.args.SOURCE_DATE_EPOCH={epoch}",
        f"*.args.BUILDKIT_CACHE_MOUNT_NS={space}",
    )


def dated(plan: BuildPlan, epoch: int) -> tuple[str, ...]:
    """Overrides of the bake file by which the published images are pushed just as `settings` has them built.

    Docker's own builder refuses to keep such images, so they go to the registry only.
    """
    outputs = (
        f"{target.name}.output=type=registry,oci-mediatypes=true,rewrite-timestamp=true,store=false"
        for target in plan.targets
        if target.image.deployable
    )
    return (*outputs, f"*.args.SOURCE_DATE_EPOCH={epoch}")


def _forget(space: str, builder: str | None, engine: Engine) -> None:
    """Removes the cache mounts of a space from the builder."""
    at = ["--builder", builder] if builder else []
    filters = ["--filter", "type=exec.cachemount", "--filter", f"description~={space}"]
    with suppress(EngineError):  # they are in nobody's way: the builder removes what is not used
        engine.ask("buildx", "prune", "--force", *filters, *at, shielded=True)


def verdicts(
    first: Sequence[Build], second: Sequence[Build], before: Path | None, after: Path | None
) -> tuple[Verdict, ...]:
    """The comparison of two builds, of whose layouts `before` and `after` are the folders if they are at hand."""

    def listing(folder: Path | None) -> Callable[[Build, Layer], Listing | None]:
        return lambda build, layer: layouts.listing(folder / build.target, layer) if folder else None

    return compare(first, second, listing(before), listing(after))


def free(folder: Path) -> str:
    """The room that is left where a folder lies."""
    return size(disk_usage(folder if folder.is_dir() else os.fspath(folder.parent)).free)
