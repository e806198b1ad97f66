"""What a build tells Buildx of the sources and of attestations."""

import subprocess
from pathlib import Path

import pytest

from orbiter import pipeline
from orbiter.bake import BakeOptions, bake_command, bake_variables
from orbiter.commands.build import _scanner
from orbiter.commands.options import revision

CONFIG = "{}build: {{d: {{core: {{image: 'debian:trixie', builder: pip_core}}}}}}\n"


def test_bake_gets_attestations_and_the_commit() -> None:
    options = BakeOptions(sbom="true", provenance="mode=max", revision="abc-dirty", push=True)
    assert bake_command(["a"], options)[5:] == ["--sbom=true", "--provenance=mode=max", "--push", "a"]
    assert bake_variables(options) == {"REVISION": "abc-dirty"}


@pytest.mark.parametrize(
    ("mirrors", "scanner"),
    [
        ("", "true"),
        ("mirrors: {ghcr.io: hub.example.org}\n", "true"),
        (
            "mirrors: {docker.io: hub.example.org/proxy}\n",
            "generator=hub.example.org/proxy/docker/buildkit-syft-scanner:stable-1",
        ),
    ],
    ids=["public", "another mirror", "mirror"],
)
def test_the_scanner_is_from_where_the_mirrors_have_it(tmp_path: Path, mirrors: str, scanner: str) -> None:
    (tmp_path / "orbiter.yaml").write_text(CONFIG.format(mirrors))
    assert _scanner(pipeline.make_plan(tmp_path / "orbiter.yaml")) == scanner


def test_the_commit_is_asked_of_git_unless_the_environment_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REVISION", raising=False)
    assert revision(tmp_path) is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message=a"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True, capture_output=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert revision(tmp_path) == head.stdout.strip()
    monkeypatch.setenv("REVISION", "")
    assert revision(tmp_path) is None
    monkeypatch.delenv("REVISION")
    monkeypatch.setenv("PATH", "/nowhere")
    assert revision(tmp_path) is None
