"""How a container starts: as whom, with what home, after which hooks. On Debian and on Alpine."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import run_orbiter

pytestmark = pytest.mark.engine

REPO = "localhost/orbiter-start"
WHO = 'id -u; id -g; echo "$USER"; echo "$HOME"; pwd; touch ~/made && stat -c %u ~/made'

Answer = tuple[int, list[str], str]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]) -> Iterator[str]:
    """Two images of a core and a command, built."""
    folder = tmp_path_factory.mktemp("start")
    families = {
        "debian": {"core": {"image": "debian:trixie-slim", "builder": "pip_core", "apt": ["sudo"]}},
        "alpine": {"core": {"image": "alpine:3.23", "builder": "pip_core", "apk": ["sudo"]}},
    }
    for family in families.values():
        family["shell"] = {"image": "core", "builder": "pip_deploy", "cmd": ["sh", "-c", WHO]}
    (folder / "orbiter.yaml").write_text(json.dumps({"version": "1", "docker": {"repo": REPO}, "build": families}))
    done = run_orbiter(folder, engine, "build", "*-shell", "--load", "--progress=plain")
    assert done.returncode == 0, done.stderr[-3000:]
    yield REPO
    subprocess.run(["docker", "rmi", *(f"{REPO}:{name}-shell-1" for name in families)], env=engine, capture_output=True)


@pytest.fixture(params=["debian", "alpine"])
def image(request: pytest.FixtureRequest, repository: str) -> str:
    return f"{repository}:{request.param}-shell-1"


def run(engine: Mapping[str, str], image: str, *options: str, command: tuple[str, ...] = ()) -> Answer:
    done = subprocess.run(
        ["docker", "run", "--rm", *options, image, *command], env=engine, capture_output=True, text=True
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_runs_as_the_notebook_user(image: str, engine: Mapping[str, str]) -> None:
    home = "/home/jovyan"
    assert run(engine, image) == (0, ["1000", "100", "jovyan", home, home, "1000"], "")


def test_root_becomes_the_notebook_user(image: str, engine: Mapping[str, str]) -> None:
    home = "/home/jovyan"
    assert run(engine, image, "--user=0") == (0, ["1000", "100", "jovyan", home, home, "1000"], "")


def test_root_becomes_whom_the_hub_wants(image: str, engine: Mapping[str, str]) -> None:
    options = ("--user=0", "--env=NB_USER=student", "--env=NB_UID=1234", "--env=NB_GID=5678")
    home = "/home/student"
    assert run(engine, image, *options) == (0, ["1234", "5678", "student", home, home, "1234"], "")


def test_sudo_is_for_those_who_are_granted_it(image: str, engine: Mapping[str, str]) -> None:
    root = ("--user=0", "--env=NB_USER=student", "--env=NB_UID=1234")
    sudo = ("sudo", "-n", "id", "-u")
    assert run(engine, image, *root, "--env=GRANT_SUDO=yes", command=sudo)[:2] == (0, ["0"])
    status, printed, _ = run(engine, image, *root, command=sudo)
    assert (status != 0, printed) == (True, [])
    status, printed, _ = run(engine, image, command=sudo)
    assert (status != 0, printed) == (True, [])


def test_made_up_user_of_group_0_has_the_home(image: str, engine: Mapping[str, str]) -> None:
    home = "/home/jovyan"
    assert run(engine, image, "--user=54321:0") == (0, ["54321", "0", "jovyan", home, home, "54321"], "")


def test_any_other_user_has_a_home_in_tmp(image: str, engine: Mapping[str, str]) -> None:
    status, printed, said = run(engine, image, "--user=54321:54321")
    assert (status, printed[0], printed[-1]) == (0, "54321", "54321")
    assert printed[3].startswith("/tmp/")
    assert said == "start.sh: user 54321 cannot write to /home/jovyan; the home is a folder in /tmp\n"


@pytest.mark.parametrize("user", ["1000", "0"])
def test_hooks_come_first_and_may_set_variables(
    image: str, user: str, engine: Mapping[str, str], tmp_path: Path
) -> None:
    for name, text in {
        "start-notebook.d/10-set.sh": "export SET=$(id -u)\n",
        "start-notebook.d/20-run": "#!/bin/sh\necho first\n",
        "start-notebook.d/30-not-executable": "#!/bin/sh\necho never\n",
        "before-notebook.d/10-run": '#!/bin/sh\necho "second $NB_USER"\n',
    }.items():
        place = tmp_path / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
        place.chmod(0o755 if name.endswith("run") else 0o644)
    folders = [
        f"--volume={tmp_path / name}:/usr/local/bin/{name}" for name in ("start-notebook.d", "before-notebook.d")
    ]
    script = ("sh", "-c", 'echo "$SET $(id -u)"')
    answer = run(engine, image, f"--user={user}", *folders, command=script)
    assert answer == (0, ["first", "second jovyan", f"{user} 1000"], "")


def test_a_hook_that_fails_stops_the_start(image: str, engine: Mapping[str, str], tmp_path: Path) -> None:
    hook = tmp_path / "hooks" / "fails"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\nexit 7\n")
    hook.chmod(0o755)
    options = (f"--volume={hook.parent}:/usr/local/bin/start-notebook.d",)
    said = "start.sh: /usr/local/bin/start-notebook.d/fails ended with 7\n"
    assert run(engine, image, *options, command=("echo", "never")) == (1, [], said)


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("NB_USER=root", "start.sh: NB_USER=root is another account of this image"),
        ("NB_USER=a b", "start.sh: NB_USER=a b is no name of a user"),
        ("NB_USER=a/.*/g;e", "start.sh: NB_USER=a/.*/g;e is no name of a user"),
        ("NB_UID=1000; id", "start.sh: NB_UID=1000; id is no number"),
        ("NB_GID=-1", "start.sh: NB_GID=-1 is no number"),
    ],
)
def test_bad_values_are_refused(image: str, engine: Mapping[str, str], variable: str, message: str) -> None:
    assert run(engine, image, "--user=0", f"--env={variable}") == (1, [], f"{message}\n")


def test_unknown_command_is_said(image: str, engine: Mapping[str, str]) -> None:
    status, printed, said = run(engine, image, "--user=0", command=("no-such-command",))
    assert (status, printed, said) == (1, [], "start.sh: no-such-command: No such file or directory\n")
