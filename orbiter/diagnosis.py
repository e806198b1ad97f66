"""Facts of a machine and a project → verdicts, each with the command that mends it. One function a check."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orbiter import references
from orbiter.references import HUB
from orbiter.tables import columns, size

Level = Literal["ok", "warning", "problem"]

OLDEST_BUILDX = (0, 16)
"""Descriptions of targets and groups in a bake file, and `cacheonly` for targets that are only linked, came with it."""

GOOD_BUILDX = (0, 21)
"""`buildx history inspect --format`, by which a build that failed is explained, came with it."""

FULL_DISK, SMALL_DISK = 2 * 10**9, 10 * 10**9
"""Bytes: a family of images takes a few gigabytes while it is built."""

GET_DOCKER = "https://docs.docker.com/engine/install/"
GET_BUILDX = "https://docs.docker.com/build/install-buildx/"
CONTAINER_BUILDER = "docker buildx create --driver docker-container --use"


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """The current builder: `platforms` are those it builds for, `problem` is what it says when it does not run."""

    name: str
    driver: str
    platforms: tuple[str, ...]
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFacts:
    """A project: `problem` says why there is none to be had, `mend` how to get one; the rest is empty then.

    `platforms` are those that the configuration names, `stale` counts generated files that are not what it gives.
    """

    config: str
    problem: str | None = None
    mend: str = ""
    missing: bool = False
    repo: str = ""
    platforms: tuple[str, ...] = ()
    stale: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was found. None stands for what nothing told; `engine` and `buildx` are versions.

    `containerd` says whether the engine keeps images in containerd's store, `logins` are registries that Docker has
    credentials for, `free` are the bytes left where the engine keeps its data, if that is on this machine.
    """

    docker: bool
    engine: str | None = None
    engine_problem: str | None = None
    buildx: str | None = None
    builder: Builder | None = None
    containerd: bool | None = None
    logins: frozenset[str] = frozenset()
    free: int | None = None
    data: str = ""
    cache: str | None = None
    repo2docker: bool = False
    project: ProjectFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer of a check; `mend` is the command or address that helps, empty if nothing needs help."""

    check: str
    level: Level
    text: str
    mend: str = ""


def parse_builder(text: str) -> Builder:
    """The current builder, from what `docker buildx inspect` prints. A node's default platforms bear a star."""
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and not name.startswith(" "):
            values.setdefault(name, []).append(value.strip())
    platforms = (each.strip().rstrip("*") for line in values.get("Platforms", ()) for each in line.split(","))
    return Builder(
        name=values.get("Name", [""])[0],
        driver=values.get("Driver", [""])[0],
        platforms=tuple(dict.fromkeys(each for each in platforms if each)),
        problem=next((each for each in values.get("Error", ()) if each), None),
    )


def parse_logins(text: str) -> frozenset[str]:
    """The registries that Docker's `config.json` has credentials for; who they are is not read.

    https://docs.docker.com/reference/cli/docker/login/: `auths` also lists those that a credential store keeps.
    """
    try:
        data = json.loads(text)
    except ValueError:
        return frozenset()
    if not isinstance(data, dict):
        return frozenset()
    named = (name for key in ("auths", "credHelpers") for name in data.get(key) or ())
    return frozenset(_host_of_login(name) for name in named)


def _host_of_login(name: str) -> str:
    host = name.partition("://")[2] or name
    host = host.partition("/")[0]
    return "docker.io" if host in ("index.docker.io", "registry-1.docker.io") else host


def diagnose(facts: Facts) -> tuple[Verdict, ...]:
    """The verdicts of all checks that have something to say about these facts."""
    return tuple(verdict for check in CHECKS for verdict in check(facts))


def _docker(facts: Facts) -> Iterable[Verdict]:
    if not facts.docker:
        yield Verdict(check="docker", level="problem", text="not installed, or not on PATH", mend=GET_DOCKER)
    elif facts.engine is None:
        text = facts.engine_problem or "no engine answers"
        yield Verdict(check="docker", level="problem", text=text, mend="docker context ls")
    else:
        yield Verdict(check="docker", level="ok", text=f"engine {facts.engine}")


def _buildx(facts: Facts) -> Iterable[Verdict]:
    if not facts.docker:
        return
    if facts.buildx is None:
        yield Verdict(check="buildx", level="problem", text="docker has no Buildx plugin", mend=GET_BUILDX)
        return
    version = re.search(r"(\d+)\.(\d+)", facts.buildx)
    number = (int(version[1]), int(version[2])) if version else GOOD_BUILDX
    if number < OLDEST_BUILDX:
        text = f"{facts.buildx} is too old for the generated bake file, which needs {_dotted(OLDEST_BUILDX)}"
        yield Verdict(check="buildx", level="problem", text=text, mend=GET_BUILDX)
    elif number < GOOD_BUILDX:
        text = f"{facts.buildx} builds; from {_dotted(GOOD_BUILDX)} on, Orbiter can say why a build failed"
        yield Verdict(check="buildx", level="warning", text=text, mend=GET_BUILDX)
    else:
        yield Verdict(check="buildx", level="ok", text=facts.buildx)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _builder(facts: Facts) -> Iterable[Verdict]:
    builder = facts.builder
    if builder is None or (builder.problem and facts.engine is None):
        return  # what is wrong with the engine is said already
    if builder.problem:
        text = f"{builder.name} does not run: {builder.problem}"
        yield Verdict(check="builder", level="problem", text=text, mend="docker buildx ls")
        return
    yield Verdict(check="builder", level="ok", text=f"{builder.name}, driver {builder.driver}")


def _cache_export(facts: Facts) -> Iterable[Verdict]:
    if _is_plain(facts):
        text = "this builder cannot write one (CACHE_REPO): it has not the containerd image store"
        yield Verdict(check="registry cache", level="warning", text=text, mend=CONTAINER_BUILDER)
    elif _runs(facts):
        yield Verdict(check="registry cache", level="ok", text="the builder can write one (CACHE_REPO)")


def _platforms(facts: Facts) -> Iterable[Verdict]:
    builder = facts.builder
    if builder is None or not _runs(facts):
        return
    wanted = facts.project.platforms
    known = {_plain_platform(each) for each in builder.platforms}
    missing = [each for each in wanted if _plain_platform(each) not in known]
    if missing:
        architectures = ",".join(dict.fromkeys(each.split("/")[1] for each in missing))
        text = f"the configuration names {', '.join(missing)}, which the builder cannot run"
        mend = f"docker run --privileged --rm tonistiigi/binfmt --install {architectures}"
        yield Verdict(check="platforms", level="problem", text=text, mend=mend)
    elif len(wanted) > 1 and _is_plain(facts):
        text = "several platforms in one image need the containerd image store, or another builder"
        yield Verdict(check="platforms", level="problem", text=text, mend=CONTAINER_BUILDER)
    else:
        yield Verdict(check="platforms", level="ok", text=", ".join(wanted or builder.platforms))


def _plain_platform(platform: str) -> str:
    return "linux/arm64" if platform == "linux/arm64/v8" else platform


def _is_plain(facts: Facts) -> bool:
    """Whether builds run in an engine whose own image store knows neither several platforms nor exported caches."""
    return _runs(facts) and facts.builder is not None and facts.builder.driver == "docker" and facts.containerd is False


def _runs(facts: Facts) -> bool:
    return facts.builder is not None and not facts.builder.problem


def _login(facts: Facts) -> Iterable[Verdict]:
    if not facts.docker or not facts.project.repo:
        return
    registry = references.host(facts.project.repo) or HUB
    if registry in facts.logins:
        yield Verdict(check="login", level="ok", text=f"Docker has credentials for {registry}")
    elif registry.partition(":")[0] in ("localhost", "127.0.0.1"):
        yield Verdict(check="login", level="ok", text=f"{registry} is on this machine")
    else:
        mend = "docker login" if registry == HUB else f"docker login {registry}"
        yield Verdict(check="login", level="warning", text=f"none for {registry}: pushing needs one", mend=mend)


def _disk(facts: Facts) -> Iterable[Verdict]:
    if facts.free is None:
        return
    text = f"{size(facts.free)} free below {facts.data}"
    level: Level = "problem" if facts.free < FULL_DISK else "warning" if facts.free < SMALL_DISK else "ok"
    yield Verdict(check="disk", level=level, text=text, mend="" if level == "ok" else "docker system df")


def _build_cache(facts: Facts) -> Iterable[Verdict]:
    if facts.cache is not None:
        yield Verdict(check="build cache", level="ok", text=facts.cache or "empty")


def _configuration(facts: Facts) -> Iterable[Verdict]:
    project = facts.project
    if project.problem:
        level: Level = "warning" if project.missing else "problem"
        yield Verdict(check="configuration", level=level, text=project.problem, mend=project.mend)
        return
    yield Verdict(check="configuration", level="ok", text=f"{project.config} is valid")
    if project.stale:
        text = f"{project.stale} {'is' if project.stale == 1 else 'are'} not what the configuration gives"
        yield Verdict(check="generated files", level="warning", text=text, mend="orbiter compile")
    else:
        yield Verdict(check="generated files", level="ok", text="fresh")


def _repo2docker(facts: Facts) -> Iterable[Verdict]:
    text = "installed" if facts.repo2docker else "not installed; only 'orbiter r2d' needs it"
    mend = "" if facts.repo2docker else "pip install jupyter-repo2docker"
    yield Verdict(check="repo2docker", level="ok", text=text, mend=mend)


CHECKS: tuple[Callable[[Facts], Iterable[Verdict]], ...] = (
    _docker,
    _buildx,
    _builder,
    _cache_export,
    _platforms,
    _login,
    _disk,
    _build_cache,
    _configuration,
    _repo2docker,
)
"""In the order in which they are shown: what others depend on comes first."""


def as_text(verdicts: Sequence[Verdict]) -> list[tuple[Level, str]]:
    """Lines, each with the level of its verdict; what mends stands under what is wrong."""
    table = columns([(verdict.level, verdict.check, verdict.text) for verdict in verdicts])
    lines: list[tuple[Level, str]] = []
    for verdict, line in zip(verdicts, table, strict=True):
        lines.append((verdict.level, line))
        lines += [(verdict.level, f"         → {verdict.mend}")] if verdict.mend else []
    return lines


def as_data(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The verdicts as plain data, for `--format json`."""
    return {
        "healthy": not any(verdict.level == "problem" for verdict in verdicts),
        "checks": [
            {
                "check": verdict.check,
                "level": verdict.level,
                "text": verdict.text,
                "mend": verdict.mend or None,
            }
            for verdict in verdicts
        ],
    }


def counted(verdicts: Sequence[Verdict]) -> str:
    """`1 problem, 2 warnings`; empty if all is well."""
    levels = [verdict.level for verdict in verdicts]
    numbers = ((levels.count(level), level) for level in ("problem", "warning"))
    return ", ".join(f"{number} {level}{'s' * (number > 1)}" for number, level in numbers if number)
