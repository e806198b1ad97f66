"""The facts that `orbiter doctor` judges, gathered from Docker, the disk and the project. Nothing here fails."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from orbiter import diagnosis, inventory, pipeline
from orbiter.diagnosis import Builder, Facts, ProjectFacts
from orbiter.engine import Engine
from orbiter.errors import ConfigError, EngineError, OrbiterError

_TIMEOUT = 20.0
"""Seconds for one question: a builder in a cluster may take a while, and one that is gone must not hold us up."""


def facts(engine: Engine, file: str | None, folder: Path) -> Facts:
    """All that can be found out; `file` is what `-f` names, `folder` where a configuration is looked for."""
    project = _project(file, folder)
    repo2docker = any(shutil.which(name) for name in ("jupyter-repo2docker", "repo2docker"))
    if not shutil.which("docker"):
        return Facts(docker=False, repo2docker=repo2docker, project=project)
    version, problem = _version(engine)
    info = _asked_json(engine, "info", "--format", "json") if version else {}
    free, data = _disk(engine, str(info.get("DockerRootDir") or ""))
    buildx = _asked(engine, "buildx", "version")
    builder = _builder(engine) if buildx else None
    return Facts(
        docker=True,
        engine=version,
        engine_problem=problem,
        buildx=buildx.split()[1] if buildx and len(buildx.split()) > 1 else buildx,
        builder=builder,
        containerd=_has_containerd_store(info) if info else None,
        logins=_logins(),
        free=free,
        data=data,
        cache=inventory.build_cache(engine) if builder and not builder.problem else None,
        repo2docker=repo2docker,
        project=project,
    )


def _version(engine: Engine) -> tuple[str | None, str | None]:
    """Version of the engine, or why there is none."""
    try:
        told = json.loads(engine.ask("version", "--format", "{{json .Server}}", timeout=_TIMEOUT))
        return str(told["Version"]), None
    except EngineError as error:
        return None, str(error)
    except (ValueError, KeyError, TypeError):
        return None, "'docker version' tells no version of an engine"


def _builder(engine: Engine) -> Builder | None:
    try:
        return diagnosis.parse_builder(engine.ask("buildx", "inspect", timeout=_TIMEOUT))
    except EngineError as error:
        name = os.environ.get("BUILDX_BUILDER") or "the builder"
        return Builder(name=name, driver="", platforms=(), problem=str(error).rpartition("ERROR: ")[2])


def _asked(engine: Engine, *arguments: str) -> str | None:
    try:
        return engine.ask(*arguments, timeout=_TIMEOUT).strip()
    except EngineError:
        return None


def _asked_json(engine: Engine, *arguments: str) -> dict[str, Any]:
    try:
        data = json.loads(_asked(engine, *arguments) or "{}")
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _has_containerd_store(info: dict[str, Any]) -> bool:
    # https://docs.docker.com/engine/storage/containerd/
    return ["driver-type", "io.containerd.snapshotter.v1"] in (info.get("DriverStatus") or [])


def _disk(engine: Engine, data: str) -> tuple[int | None, str]:
    """Free bytes where the engine keeps its data, and that folder; None if it is not on this machine."""
    endpoint = _asked(engine, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}") or ""
    if not data or not endpoint.startswith("unix://"):
        return None, ""
    try:
        return shutil.disk_usage(data).free, data
    except OSError:  # a virtual machine has it, as with Docker Desktop
        return None, ""


def _logins() -> frozenset[str]:
    try:
        folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
        return diagnosis.parse_logins((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RuntimeError):
        return frozenset()


def _project(file: str | None, folder: Path) -> ProjectFacts:
    try:
        config = pipeline.find(file, folder)
    except OrbiterError as error:
        return ProjectFacts(config=file or "", problem=str(error), mend="orbiter init", missing=file is None)
    try:
        planned = pipeline.make_plan(config)
        changes = pipeline.compare(planned)
    except ConfigError as error:
        number = len(error.findings)
        text = f"{config}: {number} error{'s' * (number != 1)}"
        return ProjectFacts(config=str(config), problem=text, mend="orbiter validate")
    except OrbiterError as error:
        return ProjectFacts(config=str(config), problem=str(error), mend="orbiter compile")
    platforms = (platform for target in planned.plan.targets for platform in target.image.platforms)
    return ProjectFacts(
        config=str(config),
        repo=planned.plan.project.repo,
        platforms=tuple(dict.fromkeys(platforms)),
        stale=len(changes.created) + len(changes.updated) + len(changes.removed),
    )
