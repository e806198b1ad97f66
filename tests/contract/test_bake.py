"""What Orbiter writes, read by those for whom it is: bake, BuildKit's checks and hadolint."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from orbiter import output, pipeline
from orbiter.caching import cache_tag
from orbiter.plan import tags

CASES = Path(__file__).parent.parent / "cases"
ROOT = CASES.parent.parent
EXAMPLES = sorted(path.parent for path in ROOT.glob("examples/*/orbiter.yaml"))
PROJECTS = [*sorted(path.parent for path in CASES.glob("*/expected")), *EXAMPLES, ROOT]


@pytest.fixture(params=PROJECTS, ids=lambda path: path.name)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A compiled copy of a project, and nothing else that could help."""
    source: Path = request.param
    if source.parent == CASES:
        shutil.copytree(source, tmp_path / "p", ignore=shutil.ignore_patterns("expected*"))
        return tmp_path / "p" / "config.yaml"
    if source in EXAMPLES:
        return shutil.copytree(source, tmp_path / "p") / "orbiter.yaml"
    (tmp_path / "p").mkdir()
    return Path(shutil.copy(source / "orbiter.yaml", tmp_path / "p"))


def bake(config: Path, engine: Mapping[str, str], *arguments: str, **variables: str) -> str:
    done = subprocess.run(
        ["docker", "buildx", "bake", *arguments],
        cwd=config.parent,
        env={key: value for key, value in engine.items() if not key.endswith("_IMAGE")} | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def unescaped(text: str) -> str:
    """`bake --print` writes JSON that bake could read again, in which `${` and `%{` are doubled."""
    return text.replace("$${", "${").replace("%%{", "%{")


def compiled(config: Path) -> pipeline.Planned:
    planned = pipeline.make_plan(config)
    output.write(pipeline.compare(planned), config.parent)
    return planned


@pytest.mark.engine
def test_bake_reads_what_was_planned(project: Path, engine: Mapping[str, str]) -> None:
    planned = compiled(project)
    plan = planned.plan
    every = [target.name for target in plan.targets]
    default, *families = plan.groups
    assert json.loads(bake(project, engine, "--print"))["group"]["default"]["targets"] == sorted(default.targets)
    read = json.loads(bake(project, engine, "--print", *every, *(family.name for family in families)))

    assert set(read["target"]) == set(every)
    for family in families:
        assert sorted(read["group"][family.name]["targets"]) == sorted(family.targets)
    variables = {variable.name: variable.default for variable in plan.variables}
    for target in plan.targets:
        found, image = read["target"][target.name], target.image
        assert found["context"] == image.directory
        assert found["description"] == target.description
        assert found.get("tags", []) == list(tags(plan.project, image))
        assert found.get("platforms", []) == list(image.platforms)
        assert found.get("output", []) == ([] if image.deployable else [{"type": "cacheonly"}])
        assert "cache-to" not in found
        wanted = {}
        for context in target.contexts:
            value = variables[context.variable] + context.value if context.variable else context.value
            prefix = {"target": "target:", "image": "docker-image://", "folder": ""}[context.kind]
            wanted[context.reference] = prefix + value
        assert found.get("contexts", {}) == wanted
        if image.deployable:
            labels = found["labels"]
            assert labels["org.opencontainers.image.version"] == plan.project.version
            assert {name: unescaped(labels[name]) for name, _ in image.labels} == dict(image.labels)
        else:
            assert "labels" not in found


@pytest.mark.engine
def test_environment_overrides_the_variables(engine: Mapping[str, str], tmp_path: Path) -> None:
    config = Path(shutil.copy(CASES / "seed-full" / "config.yaml", tmp_path))
    compiled(config)
    variables = {"REPO": "r.example.org/x", "VERSION": "9", "CACHE_REPO": "c.example.org/y", "PLATFORMS": "linux/arm64"}
    target = json.loads(bake(config, engine, "--print", "alpine-base-build", "alpine-base", **variables))["target"]
    assert target["alpine-base"]["tags"] == ["r.example.org/x:alpine-base-9"]
    for name in ("alpine-base", "alpine-base-build"):
        ref = f"c.example.org/y:{name}"
        assert target[name]["cache-from"] == [{"ref": ref, "type": "registry"}]
        assert target[name]["cache-to"] == [{"ignore-error": "true", "mode": "max", "ref": ref, "type": "registry"}]
        assert target[name]["platforms"] == ["linux/arm64"]


@pytest.mark.engine
def test_every_target_has_a_cache_of_its_own(project: Path, engine: Mapping[str, str]) -> None:
    """Caches of the published images alone were tried: steps of nested builds and parents ran again (docs/adr/0001)."""
    plan = compiled(project).plan
    names = [target.name for target in plan.targets]
    main = plan.project.cache.main
    for branch in ("", main, "feature/größe", "e\u0301#", "x" * 150):
        variables = {"CACHE_REPO": "c.example.org/y", "CACHE_BRANCH": branch, "CACHE_WRITE": "1"}
        read = json.loads(bake(project, engine, "--print", *names, **variables))["target"]
        for name in names:
            own = f"c.example.org/y:{cache_tag(name, branch, main)}"
            refs = [each["ref"] for each in read[name]["cache-from"] if each["type"] == "registry"]
            assert refs == list(dict.fromkeys((own, f"c.example.org/y:{name}")))
            assert all(each["ignore-error"] == "true" for each in read[name]["cache-to"])
            assert [each["ref"] for each in read[name]["cache-to"] if each["type"] == "registry"] == [own]
        assert len({read[name]["cache-to"][0]["ref"] for name in names}) == len(names)


@pytest.mark.engine
@pytest.mark.parametrize("value", ["", "0", "false"])
def test_a_cache_can_be_read_only(value: str, engine: Mapping[str, str], tmp_path: Path) -> None:
    config = Path(shutil.copy(CASES / "minimal" / "config.yaml", tmp_path))
    compiled(config)
    read = json.loads(bake(config, engine, "--print", CACHE_REPO="c.example.org/y", CACHE_WRITE=value))["target"]
    assert all("cache-to" not in target and "cache-from" in target for target in read.values())


def test_hadolint_finds_nothing(project: Path, hadolint: str) -> None:
    compiled(project)
    dockerfiles = sorted(project.parent.rglob("Dockerfile"))
    done = subprocess.run([hadolint, "--no-color", *dockerfiles], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.engine
@pytest.mark.parametrize("name", ["every-key", "seed-full"])
def test_buildkit_checks_find_nothing(name: str, engine: Mapping[str, str], tmp_path: Path) -> None:
    """`bake --check` cannot follow links between targets (docker/buildx#3343), so a base image stands for each."""
    shutil.copytree(CASES / name, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("expected*"))
    plan = compiled(tmp_path / "config.yaml").plan
    stand_in = f"docker-image://{engine.get('ENGINE_REGISTRY', 'docker.io')}/library/debian:trixie-slim"
    for target in plan.targets:
        references = {target.image.parent.reference} | {c.reference for c in target.contexts if c.kind != "folder"}
        if target.stage.tool:
            references.add(target.stage.tool)
        contexts = [f"--build-context={reference}={stand_in}" for reference in sorted(references)]
        contexts += [f"--build-context={c.reference}={tmp_path}" for c in target.contexts if c.kind == "folder"]
        done = subprocess.run(
            ["docker", "buildx", "build", "--check", *contexts, target.image.directory],
            cwd=tmp_path,
            env=engine,
            capture_output=True,
            text=True,
        )
        assert "Check complete, no warnings found." in done.stdout + done.stderr, done.stdout + done.stderr


def test_the_repository_is_compiled(root: Path) -> None:
    assert not pipeline.compare(pipeline.make_plan(root / "orbiter.yaml"))
