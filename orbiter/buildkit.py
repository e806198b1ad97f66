"""A builder as it is wanted → the `docker buildx create` commands that make it, and BuildKit's configuration."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from orbiter import references
from orbiter.errors import UsageError
from orbiter.model import Mirrors, Pairs, Project
from orbiter.quoting import toml
from orbiter.tables import parse_size

Driver = Literal["docker-container", "kubernetes", "remote"]

CONFIG = "buildkitd.toml"

_PLATFORM = re.compile(r"(linux/[a-z0-9]+(?:/v[0-9]+)?)@(.+)")
_NAME = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of a builder. `platform` is None where the node itself says it, `endpoint` where Docker's own is meant."""

    name: str
    platform: str | None = None
    endpoint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """A builder as it is wanted. `replicas`, `namespace`, `cpu`, `memory` and `rootless` are for Kubernetes.

    `cpu` and `memory` are Kubernetes quantities; `cache` is a size as Docker writes it (`50GB`). `options` are further
    `--driver-opt`. `tls` are options of a remote node: `cacert`, `cert`, `key`, with absolute paths.
    """

    name: str
    driver: Driver
    nodes: tuple[Node, ...]
    append: bool = False
    use: bool = False
    bootstrap: bool = True
    replicas: int = 1
    namespace: str | None = None
    cpu: str = "2"
    memory: str = "4Gi"
    cache: str = "50GB"
    rootless: bool = False
    options: tuple[str, ...] = ()
    tls: Pairs = ()


def nodes(
    name: str, driver: Driver, given: Sequence[str], platforms: Sequence[str], *, append: bool = False
) -> tuple[Node, ...]:
    """The nodes: those given as `[OS/ARCH@]ENDPOINT`, or in Kubernetes one for each platform. Raises UsageError.

    Each has a name, so that a second call changes or adds the node that is meant.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"'{name}' is no name of a builder: small letters, digits and '-', a letter first")
    if driver == "kubernetes":
        if given:
            raise UsageError("--node is for machines; in Kubernetes --platform makes a node for each architecture")
        found = tuple(Node(name=_node(name, platform), platform=platform) for platform in dict.fromkeys(platforms))
        return found or (Node(name=f"{name}-0"),)
    if platforms:
        raise UsageError(
            "--platform is for Kubernetes; elsewhere it stands before the machine: --node OS/ARCH@ENDPOINT"
        )
    if driver == "remote" and not given:
        raise UsageError("the driver 'remote' needs --node: where a buildkitd listens, for example tcp://HOST:1234")
    if append and not given:
        raise UsageError("--append needs --node: the machine to add")
    return tuple(_given(name, number, node) for number, node in enumerate(given)) or (Node(name=f"{name}-0"),)


def commands(builder: Builder, config: str | None) -> tuple[tuple[str, ...], ...]:
    """The commands that make the builder, one a node; `config` is the path of the configuration of BuildKit.

    Raises UsageError for what the driver does not have.
    """
    if builder.driver != "kubernetes" and (builder.rootless or builder.replicas != 1 or builder.namespace):
        raise UsageError("--rootless, --replicas and --namespace are for the driver 'kubernetes'")
    if builder.driver != "remote" and builder.tls:
        raise UsageError("--cacert, --cert and --key are for the driver 'remote'")
    if builder.replicas < 1:
        raise UsageError(f"--replicas {builder.replicas}: at least 1")
    found = []
    for number, node in enumerate(builder.nodes):
        last = number == len(builder.nodes) - 1
        command = ["docker", "buildx", "create", "--name", builder.name, "--driver", builder.driver]
        command += ["--node", node.name]
        command += ["--append"] * (builder.append or number > 0)
        command += ["--platform", node.platform] if node.platform else []
        command += ["--buildkitd-config", config] if config and builder.driver != "remote" else []
        for name, value in _options(builder, node):
            command += ["--driver-opt", _csv(f"{name}={value}")]
        for option in builder.options:
            command += ["--driver-opt", _csv(option)]
        command += ["--use"] * (builder.use and last) + ["--bootstrap"] * (builder.bootstrap and last)
        # An endpoint that begins with a dash is none, and no option either.
        command += ["--", node.endpoint] if node.endpoint else []
        found.append(tuple(command))
    return tuple(found)


def _options(builder: Builder, node: Node) -> Iterator[tuple[str, str]]:
    if builder.driver == "remote":
        yield from builder.tls
    if builder.driver != "kubernetes":
        return
    if builder.namespace:
        yield "namespace", builder.namespace
    if builder.replicas > 1:
        yield "replicas", str(builder.replicas)
        # A project meets the pod that has its cache again.
        yield "loadbalance", "sticky"
    # A pod without requests is the first to go when its machine is full; a limit would only slow a build down.
    yield "requests.cpu", builder.cpu
    yield "requests.memory", builder.memory
    yield "requests.ephemeral-storage", f"{parse_size(builder.cache) // 10**6}M"
    if node.platform:
        yield "nodeselector", f"kubernetes.io/arch={node.platform.split('/')[1]}"
    if builder.rootless:
        yield "rootless", "true"


def configuration(project: Project | None, folder: str, size: str = "50GB") -> str:
    """The text of buildkitd.toml: mirrors of registries, a CA, and how large its cache may grow.

    `folder` is the absolute path of the project, `size` as Docker writes it (`50GB`). The keys:
    https://docs.docker.com/build/buildkit/toml-configuration/. Raises UsageError for a size that is none.
    """
    if not re.fullmatch(r"[1-9][0-9]*(MB|GB|TB)", size):
        raise UsageError(f"--cache-size {size}: is no size; write for example 50GB")
    mirrors = project.mirrors if project else Mirrors()
    registries = {host: [f"mirrors = [{toml(mirror)}]"] for host, mirror in mirrors.registries}
    if project and mirrors.ca:
        ca = toml(f"{folder}/{mirrors.ca}")
        for host in dict.fromkeys(_private(project)):
            registries.setdefault(host, []).append(f"ca = [{ca}]")
    lines = ["# Generated by orbiter builder create.", ""]
    for host, settings in registries.items():
        lines += [f"[registry.{toml(host)}]", *(f"  {setting}" for setting in settings), ""]
    kept = max(parse_size(size) // 5 // 10**6, 1)
    lines += [
        "[worker.oci]",
        "  gc = true",
        f"  maxUsedSpace = {toml(size)}",
        f'  reservedSpace = "{kept}MB" # is never cleared',
        '  minFreeSpace = "10%" # of the disk, for others',
    ]
    return "\n".join(lines) + "\n"


def _private(project: Project) -> Iterator[str]:
    """The registries that may have a certificate of the project's CA."""
    for _, mirror in project.mirrors.registries:
        yield mirror.partition("/")[0]
    for repository in (project.repo, project.cache.registry):
        if host := references.host(repository or ""):
            yield host


def script(made: Sequence[Sequence[str]], config: str | None) -> str:
    """The commands as a person would type them, and the file that they name."""
    lines = [f"cat > {CONFIG} <<'EOF'", *config.splitlines(), "EOF"] if config else []
    return "\n".join((*lines, *map(shlex.join, made)))


def _given(name: str, number: int, text: str) -> Node:
    found = _PLATFORM.fullmatch(text)
    platform, endpoint = (found[1], found[2]) if found else (None, text)
    if not endpoint or endpoint.startswith("-"):
        raise UsageError(f"--node {text}: is no machine; write [OS/ARCH@]ENDPOINT, for example linux/arm64@ssh://HOST")
    return Node(name=_node(name, platform) if platform else f"{name}-{number}", platform=platform, endpoint=endpoint)


def _node(name: str, platform: str) -> str:
    if not re.fullmatch(r"linux/[a-z0-9]+(/v[0-9]+)?", platform):
        raise UsageError(f"--platform {platform}: is no platform; write for example linux/arm64")
    return f"{name}-{platform.removeprefix('linux/').replace('/', '-')}"


def _csv(option: str) -> str:
    """An option as Buildx reads it: fields with commas between; a comma in a field asks for quotes."""
    if "," in option or '"' in option:
        quoted = option.replace('"', '""')
        return f'"{quoted}"'
    return option
