"""`orbiter builder create`: the commands that Buildx gets, and the configuration that BuildKit gets."""

import shlex
import subprocess
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from orbiter import builders, source
from orbiter.buildkit import Builder, Driver, commands, configuration, nodes
from orbiter.errors import UsageError
from orbiter.resolve import resolve
from tests.conftest import Run

CONFIG = """
docker: {repo: registry.example.org/course}
cache: {registry: cache.example.org/course}
mirrors:
  docker.io: hub.example.org/proxy
  ghcr.io: hub.example.org/ghcr
  ca: it's "ca".pem
build: {debian: {core: {image: 'debian:trixie-slim', builder: pip_core}}}
"""


def made(driver: Driver, *given: str, platforms: tuple[str, ...] = (), **wanted: object) -> list[list[str]]:
    found = nodes("farm", driver, given, platforms)
    builder = Builder(name="farm", driver=driver, nodes=found, **{"bootstrap": False, **wanted})  # type: ignore[arg-type]
    return [list(command) for command in commands(builder, "c.toml")]


def test_container_of_this_engine() -> None:
    assert made("docker-container", bootstrap=True, use=True) == [
        [
            *("docker", "buildx", "create", "--name", "farm", "--driver", "docker-container", "--node", "farm-0"),
            *("--buildkitd-config", "c.toml", "--use", "--bootstrap"),
        ]
    ]


def test_several_machines_are_appended_and_the_last_one_starts_all() -> None:
    first, second = made(
        "docker-container", "linux/amd64@ssh://me@one", "linux/arm64@two", platforms=(), bootstrap=True, use=True
    )
    create = ["docker", "buildx", "create", "--name", "farm", "--driver", "docker-container"]
    config = ["--buildkitd-config", "c.toml"]
    assert first == [*create, "--node", "farm-amd64", "--platform", "linux/amd64", *config, "--", "ssh://me@one"]
    assert second == [
        *create,
        *(
            "--node",
            "farm-arm64",
            "--append",
            "--platform",
            "linux/arm64",
            *config,
            "--use",
            "--bootstrap",
            "--",
            "two",
        ),
    ]


def test_machine_with_a_user_has_no_platform() -> None:
    ((*_, endpoint),) = made("docker-container", "ssh://me@one")
    assert endpoint == "ssh://me@one"


def test_kubernetes_has_a_node_for_each_architecture() -> None:
    first, second = made(
        "kubernetes", platforms=("linux/amd64", "linux/arm64"), namespace="build", replicas=3, rootless=True, cpu="4"
    )
    options = [word for option, word in pairwise(first) if option == "--driver-opt"]
    assert options == [
        "namespace=build",
        "replicas=3",
        "loadbalance=sticky",
        "requests.cpu=4",
        "requests.memory=4Gi",
        "requests.ephemeral-storage=50000M",
        "nodeselector=kubernetes.io/arch=amd64",
        "rootless=true",
    ]
    assert "nodeselector=kubernetes.io/arch=arm64" in second
    assert ("--append" in first, "--append" in second) == (False, True)
    assert "replicas=1" not in made("kubernetes")[0]


def test_remote_gets_certificates_and_no_configuration() -> None:
    ((*words,),) = made("remote", "tcp://a:1234", tls=(("cacert", "/ca.pem"),))
    assert words[-4:] == ["--driver-opt", "cacert=/ca.pem", "--", "tcp://a:1234"]
    assert "--buildkitd-config" not in words


def test_option_with_commas_is_one_option() -> None:
    ((*words,),) = made("kubernetes", options=('tolerations=key=a,value="b"',))
    assert words[-1] == '"tolerations=key=a,value=""b"""'


@pytest.mark.parametrize(
    ("driver", "given", "platforms", "wanted", "message"),
    [
        ("remote", (), (), {}, "needs --node"),
        ("kubernetes", ("a",), (), {}, "--node is for machines"),
        ("docker-container", (), ("linux/arm64",), {}, "--platform is for Kubernetes"),
        ("kubernetes", (), ("arm64",), {}, "is no platform"),
        ("docker-container", ("linux/arm64@",), (), {}, None),
        ("docker-container", ("--append",), (), {}, "is no machine"),
        ("docker-container", (), (), {"rootless": True}, "are for the driver 'kubernetes'"),
        ("docker-container", (), (), {"replicas": 2}, "are for the driver 'kubernetes'"),
        ("kubernetes", (), (), {"tls": (("key", "/k"),)}, "are for the driver 'remote'"),
        ("kubernetes", (), (), {"replicas": 0}, "at least 1"),
    ],
)
def test_what_makes_no_sense(
    driver: Driver, given: tuple[str, ...], platforms: tuple[str, ...], wanted: dict[str, object], message: str | None
) -> None:
    if message is None:
        # Not a platform and a machine, so a machine: Docker will say what it thinks of it.
        assert made(driver, *given, platforms=platforms, **wanted)[0][-1] == "linux/arm64@"
        return
    with pytest.raises(UsageError, match=message):
        made(driver, *given, platforms=platforms, **wanted)


@pytest.mark.parametrize("name", ["", "-x", "Farm", "a b", "a;b"])
def test_name_of_a_builder(name: str) -> None:
    with pytest.raises(UsageError, match="is no name of a builder"):
        nodes(name, "docker-container", (), ())


def test_configuration_has_mirrors_ca_and_a_limit() -> None:
    document = source.load(CONFIG.encode(), "orbiter.yaml")
    text = configuration(resolve(document, builders.BUILDERS)[0], "/etc", "20GB")
    ca = ['/etc/it\'s "ca".pem']
    assert tomllib.loads(text) == {
        "registry": {
            "docker.io": {"mirrors": ["hub.example.org/proxy"]},
            "ghcr.io": {"mirrors": ["hub.example.org/ghcr"]},
            "hub.example.org": {"ca": ca},
            "registry.example.org": {"ca": ca},
            "cache.example.org": {"ca": ca},
        },
        "worker": {
            "oci": {"gc": True, "maxUsedSpace": "20GB", "reservedSpace": "4000MB", "minFreeSpace": "10%"},
        },
    }


@pytest.mark.parametrize("size", ["50", "0GB", "50 GB", "big", "1.5GB"])
def test_size_of_the_cache(size: str) -> None:
    with pytest.raises(UsageError, match="is no size"):
        configuration(None, "/", size)


def test_dry_run_is_a_script(tmp_path: Path, orbiter: Run) -> None:
    (tmp_path / "docker").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$OLDPWD/called"\n')
    (tmp_path / "docker").chmod(0o755)
    done = orbiter("builder", "create", "farm", "--driver", "kubernetes", "--driver-opt", "labels=a=b,c=d", "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "there").mkdir()
    script = f"cd there\nPATH={shlex.quote(str(tmp_path))}:$PATH\n{done.stdout}"
    subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True)
    assert tomllib.loads((tmp_path / "there/buildkitd.toml").read_text())["worker"]["oci"]["gc"] is True
    assert '"labels=a=b,c=d"' in (tmp_path / "called").read_text().splitlines()


def test_project_is_not_needed_but_read(tmp_path: Path, orbiter: Run) -> None:
    assert "[registry" not in orbiter("builder", "create", "farm", "--dry-run").stdout
    (tmp_path / "ca.pem").write_text("")
    (tmp_path / "orbiter.yaml").write_text(
        "docker: {repo: registry.example.org/a}\nmirrors: {docker.io: hub.example.org/proxy, ca: ca.pem}\n"
        "build: {debian: {core: {image: 'debian:trixie-slim', builder: pip_core}}}\n"
    )
    text = orbiter("builder", "create", "farm", "--dry-run").stdout
    assert 'mirrors = ["hub.example.org/proxy"]' in text
    assert f'[registry."registry.example.org"]\n  ca = ["{tmp_path / "ca.pem"}"]' in text
    assert orbiter("builder", "create", "farm", "--dry-run", "-f", "no.yaml").returncode == 2


def test_remote_is_told_where_the_configuration_belongs(orbiter: Run) -> None:
    done = orbiter("builder", "create", "far", "--driver", "remote", "--node", "tcp://a.example.org:1", "--dry-run")
    assert done.returncode == 0
    assert done.stderr == "buildkitd.toml belongs on the nodes, as /etc/buildkit/buildkitd.toml\n"


def test_without_docker_is_4(tmp_path: Path, orbiter: Run) -> None:
    done = orbiter("builder", "create", "farm", PATH=str(tmp_path))
    assert done.returncode == 4
    assert done.stderr.startswith("orbiter: docker is not installed")
