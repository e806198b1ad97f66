"""The command line as a person meets it: processes, exit codes, streams; never a traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orbiter.commands import SECTIONS
from tests.conftest import Run

GOOD = """\
build:
  debian:
    core: {image: "debian:trixie-slim", builder: pip_core}
    base: {image: core, builder: pip_deploy, build: {image: core, builder: pip_builder, pip: [numpy]}}
"""
BAD = GOOD.replace("builder: pip_core", "bulder: pip_core")
FINDING = "orbiter.yaml:3:41: build.debian.core: unknown key 'bulder'; did you mean 'builder'?"
COMMANDS = tuple(name for names in SECTIONS.values() for name in names)
GROUPS = {
    "builder": ("create",),
    "cache": ("check", "ls", "prune"),
    "ci": ("github", "gitlab"),
    "export": ("jupyterhub",),
}
"""Commands that are groups, and the commands in them."""
ALONE = tuple(
    name for command in COMMANDS for name in ([f"{command} {each}" for each in GROUPS.get(command, ())] or [command])
)
"""Every command that does something."""
INDEPENDENT = ("init", "schema", "completion", "clean", "docker-clean", "docker-prune", "doctor")
"""Commands that do without a valid configuration."""
UNLOCKED = "no orbiter.lock: versions are resolved in the build; 'orbiter lock' pins them\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "orbiter.yaml").write_text(GOOD)
    return tmp_path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    (tmp_path / "orbiter.yaml").write_text(BAD)
    return tmp_path


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_validate_says_valid(project: Path, orbiter: Run) -> None:
    done = orbiter("validate")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "orbiter.yaml: valid\n")
    assert files(project) == {"orbiter.yaml"}


def test_validate_ends_with_2_in_every_format(broken: Path, orbiter: Run) -> None:
    text, github, data = (orbiter("validate", "--format", form) for form in ("text", "github", "json"))
    assert [text.returncode, github.returncode, data.returncode] == [2, 2, 2]
    assert (text.stdout, text.stderr) == (f"{FINDING}\n", "1 error\n")
    assert github.stdout.startswith("::error file=orbiter.yaml,line=3,endLine=3,col=41,")
    report = json.loads(data.stdout)
    assert (report["valid"], report["file"]) == (False, "orbiter.yaml")
    (finding,) = report["findings"]
    assert (finding["line"], finding["column"]) == (3, 41)


@pytest.mark.parametrize("command", ["compile", "plan", "build"])
def test_wrong_configuration_is_2_and_writes_nothing(broken: Path, orbiter: Run, command: str) -> None:
    done = orbiter(command)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{FINDING}\n1 error\n")
    assert files(broken) == {"orbiter.yaml"}


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_into_80_columns(orbiter: Run, command: str) -> None:
    done = orbiter(*filter(None, [command]), "--help", COLUMNS="80")
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []


def test_compile_lists_what_it_did(project: Path, orbiter: Run) -> None:
    done = orbiter("compile")
    assert (done.returncode, done.stderr) == (0, f"8 new\n{UNLOCKED}")
    assert {line.removeprefix("+ ") for line in done.stdout.splitlines()} == files(project) - {"orbiter.yaml"}
    again = orbiter("compile")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", f"8 files, nothing to do\n{UNLOCKED}")


def test_compile_check_and_diff_write_nothing(project: Path, orbiter: Run) -> None:
    check = orbiter("compile", "--check")
    assert check.returncode == 1
    stale = "orbiter: the generated files are stale; run 'orbiter compile'\n"
    assert check.stderr == f"8 new (nothing written)\n{UNLOCKED}{stale}"
    diff = orbiter("compile", "--diff")
    assert diff.returncode == 0
    assert "+FROM debian:trixie-slim" in diff.stdout
    assert files(project) == {"orbiter.yaml"}
    orbiter("compile")
    assert orbiter("compile", "--check").returncode == 0


def test_compile_as_data(project: Path, orbiter: Run) -> None:
    data = json.loads(orbiter("compile", "--format", "json").stdout)
    assert len(data["created"]) == 8
    assert (data["updated"], data["removed"], data["unchanged"]) == ([], [], 0)


def test_compile_elsewhere(project: Path, orbiter: Run) -> None:
    assert orbiter("compile", "-o", "out").returncode == 0
    assert files(project) == {"orbiter.yaml"} | {f"out/{path}" for path in files(project / "out")}
    assert "docker-bake.hcl" in files(project / "out")


def test_foreign_file_is_kept(project: Path, orbiter: Run) -> None:
    (project / "docker-bake.hcl").write_text("# mine\n")
    done = orbiter("compile")
    assert done.returncode == 2
    assert "docker-bake.hcl" in done.stderr
    assert (project / "docker-bake.hcl").read_text() == "# mine\n"
    assert files(project) == {"orbiter.yaml", "docker-bake.hcl"}


def test_plan_of_one_image_has_what_it_needs(project: Path, orbiter: Run) -> None:
    data = json.loads(orbiter("plan", "debian-base", "--format", "json").stdout)
    assert {target["name"] for target in data["targets"]} == {"debian-core", "debian-base-build", "debian-base"}
    assert files(project) == {"orbiter.yaml"}


@pytest.mark.parametrize("command", ["plan", "build"])
def test_no_such_target_is_3(project: Path, orbiter: Run, command: str) -> None:
    done = orbiter(command, "debian-bas")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "orbiter: no target matches 'debian-bas'; did you mean 'debian-base'?\n"
    assert files(project) == {"orbiter.yaml"}


def test_build_without_docker_is_4(project: Path, orbiter: Run) -> None:
    done = orbiter("build", PATH=str(project))
    assert done.returncode == 4
    assert done.stderr.endswith(
        "orbiter: docker is not installed, or not on PATH; get it: https://docs.docker.com/engine/install/\n"
    )


def test_build_does_not_push_and_load_at_once(project: Path, orbiter: Run) -> None:
    done = orbiter("build", "--push", "--load")
    assert done.returncode == 2
    assert "exclude each other" in done.stderr


@pytest.mark.parametrize("command", [name for name in ALONE if name not in INDEPENDENT])
@pytest.mark.parametrize("before", [True, False], ids=["orbiter -f FILE command", "orbiter command -f FILE"])
def test_file_can_stand_before_and_after_the_command(tmp_path: Path, orbiter: Run, command: str, before: bool) -> None:
    (tmp_path / "lab.yaml").write_text(BAD)
    needed = {"builder create": ["name"], "cache prune": ["--older-than", "30d"]}
    words = (*command.split(), *needed.get(command, []))
    done = orbiter(*(("-f", "lab.yaml", *words) if before else (*words, "-f", "lab.yaml")))
    assert done.returncode == 2
    assert FINDING.replace("orbiter.yaml", "lab.yaml") in done.stdout + done.stderr


def test_file_of_the_environment(project: Path, orbiter: Run) -> None:
    (project / "lab.yaml").write_text(BAD)
    assert orbiter("validate", ORBITER_FILE="lab.yaml").returncode == 2
    assert orbiter("validate", "-f", "orbiter.yaml", ORBITER_FILE="lab.yaml").returncode == 0


def test_names_are_tried_in_order(tmp_path: Path, orbiter: Run) -> None:
    for name in ("invoke.yaml", "orbiter.yml", "orbiter.yaml"):  # the last one found counts
        (tmp_path / name).write_text(GOOD)
        assert orbiter("validate").stderr == f"{name}: valid\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["validate"], "no configuration here: none of orbiter.yaml, orbiter.yml, invoke.yaml; name one with -f FILE"),
        (["validate", "-f", "no.yaml"], "no.yaml: does not exist; -f and $ORBITER_FILE name the configuration file"),
        (["validate", "-f", "."], ".: is a folder; "),
        (["compil"], "No such command 'compil'"),
        (["compile", "--chek"], "No such option '--chek'"),
        (["validate", "--format", "xml"], "'xml' is not one of 'text', 'json', 'github'"),
        (["validate", "extra"], "Got unexpected extra argument"),
    ],
)
def test_wrong_usage_is_2(orbiter: Run, arguments: list[str], message: str) -> None:
    done = orbiter(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [b"", b"\xff", b"\x00", b"a: [", b"- 1\n", b"a: 1\na: 2\n", b"build: 3\n", b"{"])
def test_anything_in_the_file_is_2_with_a_place(tmp_path: Path, orbiter: Run, content: bytes) -> None:
    (tmp_path / "orbiter.yaml").write_bytes(content)
    done = orbiter("compile")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("orbiter.yaml:")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="another system has no such file")
def test_file_that_cannot_be_read(orbiter: Run) -> None:
    # Permissions would not stop root.
    done = orbiter("validate", "-f", "/proc/self/mem")
    assert (done.returncode, done.stderr) == (2, "orbiter: /proc/self/mem: cannot be read: Input/output error\n")


def test_template_with_an_error_is_2(project: Path, orbiter: Run) -> None:
    place = project / "templates/pip_core/Dockerfile.j2"
    place.parent.mkdir(parents=True)
    place.write_text("{% if %}")
    done = orbiter("compile")
    assert done.returncode == 2
    assert done.stderr.startswith("orbiter: templates/pip_core/Dockerfile.j2:1: ")
    assert "docker-bake.hcl" not in files(project)


def test_version_and_help(orbiter: Run) -> None:
    from orbiter import __version__

    assert orbiter("--version").stdout == f"orbiter {__version__}\n"
    main = orbiter("--help").stdout
    assert all(f"\n  {command} " in main for command in COMMANDS)
    assert "Exit codes:" in main
    for command in {*COMMANDS, *ALONE}:
        done = orbiter(*command.split(), "-h")
        assert done.returncode == 0
        assert "Examples:" in done.stdout


def test_help_imports_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys, orbiter.cli; print(*sorted({'yaml', 'jinja2', 'jsonschema_rs', 'packaging'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_schema_is_that_of_the_project(project: Path, orbiter: Run) -> None:
    place = project / "templates/r_core/schema.json"
    place.parent.mkdir(parents=True)
    place.write_text('{"properties": {"cran": {"type": "string"}}}')
    (place.parent / "Dockerfile.j2").write_text("# Generated by orbiter compile.\n")
    assert json.loads(orbiter("schema").stdout)["definitions"]["r_core"]["properties"]["cran"] == {"type": "string"}


def test_reader_that_has_enough_is_no_error(project: Path) -> None:
    # `orbiter schema | head -1`
    command = [sys.executable, "-m", "orbiter", "schema"]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_no_colour_in_a_pipe(broken: Path, orbiter: Run) -> None:
    assert "\x1b" not in orbiter("compile", FORCE_COLOR="").stderr
