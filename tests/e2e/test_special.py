"""What is easily got wrong, built for real: odd names and values, packages replaced further up, an interrupt."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import run_orbiter

pytestmark = pytest.mark.engine

REPO = "localhost/orbiter-special"

NAMES = ("a b (1).txt", "$HOME.txt", 'it\'s "quoted".txt', "grün + {x}|^&<>.txt", "!first.txt")
IN_FOLDERS = ("[x].txt", "star*.txt", "back\\slash.txt")

VALUES = {
    "DOLLAR": "$HOME ${HOME:-x} $$",
    "QUOTES": """it's "quoted" \\ and \\n""",
    "SPACES": "  two  ",
    "SHELL": "`id` $(id) ; # & | < >",
    "EMPTY": "",
    "TEMPLATE": "${REPO} %{if} {{ x }}",
}


def docker(engine: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], env=engine, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(
    tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str], debian_with_npm: str
) -> Iterator[Path]:
    """A family with one of everything that is special, built."""
    folder = tmp_path_factory.mktemp("special")
    (folder / "material").mkdir()
    for name in NAMES + IN_FOLDERS:
        (folder / "material" / name).write_text(name)
    configuration = {
        "version": "0.1.0",
        "docker": {"repo": REPO},
        "build": {
            "debian": {
                "core": {"image": debian_with_npm, "builder": "pip_core"},
                "base": {
                    "image": "core",
                    "builder": "pip_deploy",
                    "env": VALUES,
                    "copy": {f"material/{name}": f"copied/{name}" for name in NAMES} | {"material": "/srv/all of it"},
                    "labels": {"org.example.odd": VALUES["SHELL"] + VALUES["TEMPLATE"]},
                    "cmd": ["sleep", "60"],
                    "build": {
                        "image": "core",
                        "builder": "pip_builder",
                        "pip": ["packaging==24.0", "idna==3.6", "six"],
                    },
                },
                "top": {
                    "image": "base",
                    "builder": "pip_deploy",
                    "cmd": ["sleep", "60"],
                    "postbuild": ["echo made > ~/made.txt", "echo \"$HOME\" 'single' `echo x` > /srv/shell.txt"],
                    "build": {
                        "image": "base-build",
                        "builder": "pip_builder",
                        "pip": ["packaging==24.1"],
                        "npm": ["is-number@7.0.0"],
                        "postbuild": ["rm -rf /opt/venv/lib/python3*/site-packages/idna*"],
                    },
                },
                # A build on a build, neither published.
                "deep": {
                    "image": "core",
                    "builder": "pip_deploy",
                    "cmd": ["sleep", "60"],
                    "build": {
                        "image": "deep-build-build",
                        "builder": "pip_builder",
                        "pip": ["idna==3.6"],
                        "postbuild": ["cat /srv/inner.txt > /opt/venv/outer.txt"],
                        "build": {
                            "image": "core",
                            "builder": "pip_builder",
                            "pip": ["six"],
                            "postbuild": ["echo inner > /srv/inner.txt"],
                        },
                    },
                },
                "single": {
                    "image": "core",
                    "builder": "pip_builder",
                    "cmd": ["sleep", "60"],
                    "pip": ["idna==3.6"],
                },
            },
            # On what others have published: an image without Python, and one of the other family.
            "second": {
                "single": {
                    "image": "debian:trixie-slim",
                    "builder": "pip_builder",
                    "cmd": ["sleep", "60"],
                    "apt": ["ca-certificates", "python3"],
                    "pip": ["idna==3.6"],
                },
                "copied": {
                    "image": "debian:trixie-slim",
                    "builder": "pip_deploy",
                    "cmd": ["sleep", "60"],
                    "apt": ["python3"],
                    "build": {"image": "debian-core", "builder": "pip_builder", "pip": ["idna==3.6"]},
                },
                "stacked": {
                    "image": "debian-base",
                    "builder": "pip_deploy",
                    "build": {"image": "debian-base-build", "builder": "pip_builder", "pip": ["certifi"]},
                },
            },
        },
    }
    (folder / "orbiter.yaml").write_text(json.dumps(configuration, indent=2))
    done = run_orbiter(folder, engine, "build", "--load", "--progress=plain")
    assert done.returncode == 0, done.stderr[-5000:]
    yield folder
    docker(engine, "rmi", "--force", *docker(engine, "images", "--format={{.Repository}}:{{.Tag}}", REPO).split())
    shutil.rmtree(folder)


def test_files_with_odd_names_arrive_under_their_names(project: Path, engine: Mapping[str, str]) -> None:
    script = "import json, pathlib; " + "; ".join(
        (
            "places = [pathlib.Path.home() / 'copied', pathlib.Path('/srv/all of it')]",
            "read = [{file.name: file.read_text() for file in place.iterdir()} for place in places]",
            "print(json.dumps([read, (places[0] / 'a b (1).txt').stat().st_uid]))",
        )
    )
    found = json.loads(docker(engine, "run", "--rm", f"{REPO}:debian-base-0.1.0", "python", "-c", script))
    assert found == [[{name: name for name in NAMES}, {name: name for name in NAMES + IN_FOLDERS}], 1000]


def test_values_of_env_and_labels_mean_themselves(project: Path, engine: Mapping[str, str]) -> None:
    script = "import json, os; print(json.dumps(dict(os.environ)))"
    found = json.loads(docker(engine, "run", "--rm", f"{REPO}:debian-base-0.1.0", "python", "-c", script))
    assert {name: found[name] for name in VALUES} == VALUES
    label = '{{index .Config.Labels "org.example.odd"}}'
    read = docker(engine, "inspect", "--format", label, f"{REPO}:debian-base-0.1.0")
    assert read.removesuffix("\n") == VALUES["SHELL"] + VALUES["TEMPLATE"]


def test_a_stacked_image_replaces_and_removes_what_its_build_did(project: Path, engine: Mapping[str, str]) -> None:
    image = f"{REPO}:debian-top-0.1.0"
    listed = docker(engine, "run", "--rm", image, "pip", "list", "--format=freeze").split()
    assert "packaging==24.1" in listed
    assert "six" in " ".join(listed)
    assert not [name for name in listed if name.startswith("idna")]
    left = "find /opt/venv -path '*packaging-24.0*' -o -path '*/idna*' ! -path '*/pip/*'"
    assert docker(engine, "run", "--rm", image, "sh", "-c", left) == ""
    assert docker(engine, "run", "--rm", f"{REPO}:debian-base-0.1.0", "pip", "show", "idna").startswith("Name: idna")


@pytest.mark.parametrize(
    ("image", "packages"),
    [
        ("debian-deep", ["idna", "pip", "six"]),
        ("debian-single", ["idna", "pip"]),
        ("second-single", ["idna", "pip"]),
        ("second-copied", ["idna", "pip"]),
        ("second-stacked", ["certifi", "idna", "packaging", "pip", "six"]),
    ],
)
def test_image_has_the_packages_of_its_builds_as_the_notebook_user(
    project: Path, engine: Mapping[str, str], image: str, packages: list[str]
) -> None:
    script = 'id -un; pwd; pip list --format=freeze | sed "s/=.*//" | sort'
    found = docker(engine, "run", "--rm", f"{REPO}:{image}-0.1.0", "sh", "-ec", script)
    assert found.split() == ["jovyan", "/home/jovyan", *packages]


def test_a_build_on_a_build_has_its_files(project: Path, engine: Mapping[str, str]) -> None:
    script = "cat /opt/venv/outer.txt; ls /srv"
    assert docker(engine, "run", "--rm", f"{REPO}:debian-deep-0.1.0", "sh", "-ec", script) == "inner\n"


def test_only_published_images_are_tagged(project: Path, engine: Mapping[str, str]) -> None:
    tags = docker(engine, "images", "--format={{.Tag}}", REPO).split()
    names = ("base", "core", "deep", "single", "top")
    assert sorted(tags) == [
        *(f"debian-{name}-0.1.0" for name in names),
        *(f"second-{name}-0.1.0" for name in ("copied", "single", "stacked")),
    ]


def test_an_image_on_one_of_another_family_shares_its_layers(project: Path, engine: Mapping[str, str]) -> None:
    below, above = (
        json.loads(docker(engine, "inspect", "--format={{json .RootFS.Layers}}", f"{REPO}:{image}-0.1.0"))
        for image in ("debian-base", "second-stacked")
    )
    assert above[: len(below)] == below
    assert len(above) > len(below)


def test_node_packages_reach_the_published_image(project: Path, engine: Mapping[str, str]) -> None:
    script = "cat /opt/venv/lib/node_modules/is-number/package.json"
    found = json.loads(docker(engine, "run", "--rm", f"{REPO}:debian-top-0.1.0", "sh", "-c", script))
    assert found["version"] == "7.0.0"


def test_postbuild_lines_reach_the_shell_as_they_are(project: Path, engine: Mapping[str, str]) -> None:
    script = "cat /srv/shell.txt; stat -c %u ~/made.txt"
    found = docker(engine, "run", "--rm", f"{REPO}:debian-top-0.1.0", "sh", "-c", script)
    assert found.splitlines() == ["/home/jovyan single x", "1000"]


def test_a_dockerfile_whose_parents_are_published_builds_alone(project: Path, engine: Mapping[str, str]) -> None:
    alone = f"{REPO}:alone"
    docker(engine, "build", "--quiet", "--tag", alone, str(project / "build" / "debian" / "core"))
    layers = [
        docker(engine, "inspect", "--format", "{{json .RootFS.Layers}}", image)
        for image in (alone, f"{REPO}:debian-core-0.1.0")
    ]
    docker(engine, "rmi", alone)
    assert layers[0] == layers[1]


def test_a_build_without_orbiter_gives_the_same(project: Path, engine: Mapping[str, str]) -> None:
    command = ["docker", "buildx", "bake", "debian-base", "--load", "--set", f"debian-base.tags={REPO}:by-hand"]
    done = subprocess.run(command, cwd=project, env=engine, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    layers = [
        docker(engine, "inspect", "--format", "{{json .RootFS.Layers}}", image)
        for image in (f"{REPO}:by-hand", f"{REPO}:debian-base-0.1.0")
    ]
    docker(engine, "rmi", f"{REPO}:by-hand")
    assert layers[0] == layers[1]


def test_a_failing_step_ends_with_4_and_is_shown(project: Path, engine: Mapping[str, str], tmp_path: Path) -> None:
    failing = with_postbuild(project, tmp_path, "echo about to fail; false")
    done = run_orbiter(failing, engine, "build", "debian-top", "--progress=plain")
    assert done.returncode == 4
    assert "about to fail" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("orbiter: docker buildx bake failed")


def test_an_interrupt_ends_the_build_with_130(project: Path, engine: Mapping[str, str], tmp_path: Path) -> None:
    slow = with_postbuild(project, tmp_path, "echo now; sleep 300")
    command = [sys.executable, "-m", "orbiter", "build", "debian-top", "--progress=plain"]
    with subprocess.Popen(
        command, cwd=slow, env=engine, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        assert any(line.endswith(" now\n") for line in process.stderr), "the slow step never began"
        started = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 130
    assert time.monotonic() - started < 30
    assert "Traceback" not in rest
    assert rest.splitlines()[-1] == "interrupted"


def with_postbuild(project: Path, folder: Path, line: str) -> Path:
    """The project once more, with another line in `top`."""
    shutil.copytree(project, folder, dirs_exist_ok=True)
    configuration = json.loads((project / "orbiter.yaml").read_text())
    configuration["build"]["debian"]["top"]["postbuild"] = [line]
    (folder / "orbiter.yaml").write_text(json.dumps(configuration))
    return folder
