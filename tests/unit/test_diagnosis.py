"""Facts of machines, and what the doctor says of them."""

from dataclasses import replace

import pytest

from orbiter import diagnosis
from orbiter.diagnosis import Builder, Facts, ProjectFacts, Verdict

PROJECT = ProjectFacts(config="orbiter.yaml", repo="quay.io/lab/course")
BUILDER = Builder(name="default", driver="docker", platforms=("linux/amd64", "linux/386"))
WELL = Facts(
    docker=True,
    engine="28.5.2",
    buildx="0.29.1",
    builder=BUILDER,
    containerd=True,
    logins=frozenset({"quay.io"}),
    free=50 * 10**9,
    data="/var/lib/docker",
    cache="1.2 GB",
    repo2docker=True,
    project=PROJECT,
)
INSPECTED = """\
Name:          many
Driver:        docker-container
Last Activity: 2026-01-01 00:00:00 +0000 UTC

Nodes:
Name:             many0
Endpoint:         unix:///var/run/docker.sock
Error:
Status:           running
BuildKit version: v0.26.0
Platforms:        linux/amd64*, linux/amd64/v2
Labels:
 org.mobyproject.buildkit.worker.executor: oci
 Platforms: none

Name:             many1
Platforms:        linux/arm64, linux/amd64
"""


def verdict(facts: Facts, check: str) -> Verdict | None:
    return {each.check: each for each in diagnosis.diagnose(facts)}.get(check)


def level(facts: Facts, check: str) -> str | None:
    found = verdict(facts, check)
    return found.level if found else None


def test_all_is_well() -> None:
    verdicts = diagnosis.diagnose(WELL)
    assert {each.level for each in verdicts} == {"ok"}
    assert all(each.mend == "" for each in verdicts)
    assert [each.check for each in verdicts] == [
        *("docker", "buildx", "builder", "registry cache", "platforms", "login", "disk", "build cache"),
        *("configuration", "generated files", "repo2docker"),
    ]
    assert diagnosis.counted(verdicts) == ""
    assert diagnosis.as_data(verdicts)["healthy"] is True


def test_without_docker_only_the_project_is_judged() -> None:
    verdicts = diagnosis.diagnose(Facts(docker=False, project=PROJECT))
    assert [(each.check, each.level) for each in verdicts] == [
        ("docker", "problem"),
        ("configuration", "ok"),
        ("generated files", "ok"),
        ("repo2docker", "ok"),
    ]
    assert diagnosis.counted(verdicts) == "1 problem"


def test_an_engine_that_is_down_is_said_once() -> None:
    facts = replace(
        WELL,
        engine=None,
        engine_problem="no Docker engine answers",
        builder=Builder(name="default", driver="", platforms=(), problem="Cannot connect to the Docker daemon"),
    )
    assert verdict(facts, "docker") == Verdict(
        check="docker", level="problem", text="no Docker engine answers", mend="docker context ls"
    )
    assert verdict(facts, "builder") is None
    assert verdict(facts, "platforms") is None


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (None, "problem"),
        ("v0.9.1", "problem"),
        ("0.15.1", "problem"),
        ("0.16.0", "warning"),
        ("v0.20.1-desktop.2", "warning"),
        ("0.21.0", "ok"),
        ("1.0.0", "ok"),
        ("a build of my own", "ok"),
    ],
)
def test_buildx_has_to_be_new_enough(version: str | None, expected: str) -> None:
    assert level(replace(WELL, buildx=version), "buildx") == expected


def test_a_builder_that_does_not_run_is_a_problem() -> None:
    facts = replace(WELL, builder=Builder(name="far", driver="remote", platforms=(), problem="timeout"))
    found = verdict(facts, "builder")
    assert found is not None
    assert (found.level, found.text) == ("problem", "far does not run: timeout")


@pytest.mark.parametrize(
    ("driver", "containerd", "expected"),
    [("docker", False, "warning"), ("docker", True, "ok"), ("docker", None, "ok"), ("docker-container", False, "ok")],
)
def test_registry_cache_needs_the_containerd_store_or_another_driver(
    driver: str, containerd: bool | None, expected: str
) -> None:
    facts = replace(WELL, builder=replace(BUILDER, driver=driver), containerd=containerd)
    assert level(facts, "registry cache") == expected


@pytest.mark.parametrize(
    ("wanted", "containerd", "expected", "mend"),
    [
        ((), True, "ok", ""),
        (("linux/amd64",), False, "ok", ""),
        (("linux/amd64", "linux/386"), True, "ok", ""),
        (("linux/amd64", "linux/386"), False, "problem", "docker buildx create --driver docker-container --use"),
        (("linux/amd64", "linux/arm64/v8", "linux/s390x"), True, "problem", "--install arm64,s390x"),
    ],
)
def test_platforms_of_the_configuration_have_to_be_there(
    wanted: tuple[str, ...], containerd: bool, expected: str, mend: str
) -> None:
    found = verdict(replace(WELL, containerd=containerd, project=replace(PROJECT, platforms=wanted)), "platforms")
    assert found is not None
    assert found.level == expected
    assert found.mend.endswith(mend)


def test_arm64_has_two_names() -> None:
    facts = replace(
        WELL,
        builder=replace(BUILDER, platforms=("linux/arm64",)),
        project=replace(PROJECT, platforms=("linux/arm64/v8",)),
    )
    assert level(facts, "platforms") == "ok"


@pytest.mark.parametrize(
    ("repo", "expected", "mend"),
    [
        ("quay.io/lab/course", "ok", ""),
        ("ghcr.io/lab/course", "warning", "docker login ghcr.io"),
        ("lab/course", "warning", "docker login"),
        ("localhost:5000/course", "ok", ""),
        ("localhost/course", "ok", ""),
        ("127.0.0.1:5000/course", "ok", ""),
    ],
)
def test_pushing_needs_a_login(repo: str, expected: str, mend: str) -> None:
    found = verdict(replace(WELL, project=replace(PROJECT, repo=repo)), "login")
    assert found is not None
    assert (found.level, found.mend) == (expected, mend)


@pytest.mark.parametrize(
    ("free", "expected"), [(10**9, "problem"), (5 * 10**9, "warning"), (10**11, "ok"), (None, None)]
)
def test_disk_has_to_have_room(free: int | None, expected: str | None) -> None:
    assert level(replace(WELL, free=free), "disk") == expected


@pytest.mark.parametrize(
    ("project", "expected"),
    [
        (ProjectFacts(config="", problem="no configuration here", mend="orbiter init", missing=True), "warning"),
        (ProjectFacts(config="orbiter.yaml", problem="orbiter.yaml: 2 errors", mend="orbiter validate"), "problem"),
        (PROJECT, "ok"),
    ],
)
def test_configuration_has_to_be_valid(project: ProjectFacts, expected: str) -> None:
    assert level(replace(WELL, project=project), "configuration") == expected


def test_stale_files_are_a_warning() -> None:
    assert verdict(replace(WELL, project=replace(PROJECT, stale=3)), "generated files") == Verdict(
        check="generated files",
        level="warning",
        text="3 are not what the configuration gives",
        mend="orbiter compile",
    )


def test_the_table_has_what_mends_under_what_is_wrong() -> None:
    facts = replace(WELL, free=1, builder=None, cache=None, project=ProjectFacts(config="", problem="none"))
    assert [line for _, line in diagnosis.as_text(diagnosis.diagnose(facts))] == [
        "ok       docker         engine 28.5.2",
        "ok       buildx         0.29.1",
        "problem  disk           1 B free below /var/lib/docker",
        "         → docker system df",
        "problem  configuration  none",
        "ok       repo2docker    installed",
    ]


def test_builder_is_read_with_the_platforms_of_all_its_nodes() -> None:
    assert diagnosis.parse_builder(INSPECTED) == Builder(
        name="many", driver="docker-container", platforms=("linux/amd64", "linux/amd64/v2", "linux/arm64")
    )
    broken = INSPECTED.replace("Error:", "Error: cannot connect: no route")
    assert diagnosis.parse_builder(broken).problem == "cannot connect: no route"
    assert diagnosis.parse_builder("") == Builder(name="", driver="", platforms=())


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", set()),
        ("[]", set()),
        ("{}", set()),
        ('{"auths": null, "credsStore": "desktop"}', set()),
        ('{"auths": {"https://index.docker.io/v1/": {"auth": "c2VjcmV0"}}}', {"docker.io"}),
        ('{"auths": {"ghcr.io": {}, "https://r.example.org:5000/v2/": {}}}', {"ghcr.io", "r.example.org:5000"}),
        ('{"credHelpers": {"quay.io": "secretservice"}}', {"quay.io"}),
    ],
)
def test_logins_are_hosts(text: str, hosts: set[str]) -> None:
    assert diagnosis.parse_logins(text) == hosts
