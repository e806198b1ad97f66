"""`orbiter docker-pushrm` to a stand-in that speaks as Docker Hub, Quay and Harbor do."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.registries import KEY, PASSWORD, TOKEN, USER, Fault, Hubs, Server, serving

LOGIN = {"DOCKER_USER": USER, "DOCKER_PASS": PASSWORD}
PAIR = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
WAYS = [
    pytest.param("dockerhub", LOGIN, "PATCH /v2/repositories/course/lab/", "full_description", id="dockerhub"),
    pytest.param("quay", {"DOCKER_APIKEY": KEY}, "PUT /api/v1/repository/course/lab", "description", id="quay"),
    pytest.param("harbor2", LOGIN, "PUT /api/v2.0/projects/course/repositories/lab", "description", id="harbor2"),
]
README = "# Lab\n\nFor the course. Ä\n"

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def hubs() -> Iterator[Server]:
    with serving(Hubs) as server:
        yield server


@pytest.fixture
def project(tmp_path: Path, hubs: Server) -> Path:
    configure(tmp_path, f"{hubs.address}/course/lab")
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "docker").mkdir()
    return tmp_path


def configure(folder: Path, repo: str) -> None:
    core = {"image": "debian:trixie-slim", "builder": "pip_core"}
    labels = {"org.opencontainers.image.source": "https://git.example.org/lab"}
    config = {"docker": {"repo": repo}, "build": {"debian": {"core": {**core, "labels": labels}}}}
    (folder / "orbiter.yaml").write_text(json.dumps(config))


def pushrm(project: Path, *arguments: str, **variables: str) -> Done:
    """Runs the command with a Docker configuration of its own; whatever happens, it may not say a secret."""
    unset = ("DOCKER_", "PUSHRM_", "APIKEY_", "ORBITER_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
    environment |= {"DOCKER_CONFIG": str(project / "docker"), "http_proxy": "http://127.0.0.1:9", **variables}
    command = [sys.executable, "-m", "orbiter", "pushrm", *arguments]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    for secret in (PASSWORD, PAIR, KEY, TOKEN):
        assert secret not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize(("provider", "login", "request_line", "key"), WAYS)
def test_readme_is_shown(
    project: Path, hubs: Server, provider: str, login: dict[str, str], request_line: str, key: str
) -> None:
    done = pushrm(project, "--provider", provider, **login)
    assert done.returncode == 0, done.stderr
    sent = hubs.requests[-1]
    assert f"{sent.method} {sent.path}" == request_line
    assert sent.json() == {key: README}
    assert [request.status for request in hubs.requests] == ([200, 200] if provider == "dockerhub" else [200])
    method, path = request_line.split()
    assert done.stdout == f"README.md, 25 characters: {method} http://{hubs.address}{path}\n"
    assert done.stderr == f"{hubs.address}/course/lab shows it now\n"


@pytest.mark.parametrize(("provider", "login", "request_line", "key"), WAYS)
def test_wrong_login_is_not_tried_again(
    project: Path, hubs: Server, provider: str, login: dict[str, str], request_line: str, key: str
) -> None:
    wrong = {name: value + "wrong" for name, value in login.items()}
    done = pushrm(project, "--provider", provider, **wrong)
    assert (done.returncode, done.stdout) == (4, "")
    assert f"{hubs.address} does not accept the " in done.stderr
    assert "wrong" not in done.stderr
    assert [request.status for request in hubs.requests] == [401]


@pytest.mark.parametrize(("provider", "login", "request_line", "key"), WAYS)
def test_login_without_the_right_says_which(
    project: Path, hubs: Server, provider: str, login: dict[str, str], request_line: str, key: str
) -> None:
    hubs.faults = [Fault(kind=403, method="PATCH|PUT")]
    done = pushrm(project, "--provider", provider, **login)
    assert done.returncode == 4
    assert f"{hubs.address} does not let this login change course/lab: DENIED, requested access" in done.stderr


@pytest.mark.parametrize(("provider", "login", "request_line", "key"), WAYS)
def test_repository_that_is_not_there(
    project: Path, hubs: Server, provider: str, login: dict[str, str], request_line: str, key: str
) -> None:
    configure(project, f"{hubs.address}/course/other")
    done = pushrm(project, "--provider", provider, **login)
    assert (done.returncode, hubs.requests[-1].status) == (4, 404)
    assert f"{hubs.address} has no repository course/other: " in done.stderr
    assert "the first 'orbiter push' makes it" in done.stderr


@pytest.mark.parametrize(("provider", "login", "request_line", "key"), WAYS)
@pytest.mark.parametrize("kind", [429, 500, 502, "drop"])
def test_what_passes_is_tried_again(
    project: Path, hubs: Server, provider: str, login: dict[str, str], request_line: str, key: str, kind: int | str
) -> None:
    hubs.faults = [Fault(kind=kind, method="PATCH|PUT", times=1)]
    done = pushrm(project, "--provider", provider, **login)
    assert done.returncode == 0, done.stderr
    assert "; again in 1 s (1 of 4)\n" in done.stderr
    assert hubs.requests[-1].json() == {key: README}


@pytest.mark.parametrize("asked", ["2", "date", "nonsense"])
def test_server_says_when_to_come_again(project: Path, hubs: Server, asked: str) -> None:
    after = formatdate(time.time() + 3, usegmt=True) if asked == "date" else asked
    hubs.faults = [Fault(kind=429, times=1, headers={"Retry-After": after})]
    began = time.monotonic()
    done = pushrm(project, "--provider=harbor2", **LOGIN)
    assert done.returncode == 0
    if asked == "nonsense":
        assert "again in 1 s" in done.stderr
    else:
        assert time.monotonic() - began >= 2


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(kind=429), "answered 429 Too Many Requests: TOOMANYREQUESTS, too many requests (2 attempts)"),
        (Fault(kind=500), "answered 500 Internal Server Error: UNKNOWN, unknown error (2 attempts)"),
        (Fault(kind="drop"), "Remote end closed connection without response (2 attempts)"),
        (Fault(kind="hang"), "no answer within 0.5 s (2 attempts)"),
    ],
    ids=["429", "500", "drop", "time-out"],
)
def test_what_never_passes_is_given_up(project: Path, hubs: Server, fault: Fault, message: str) -> None:
    hubs.faults = [fault]
    done = pushrm(project, "--provider=quay", "--retries=1", "--timeout=0.5", DOCKER_APIKEY=KEY)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.splitlines()[-1].endswith(message)


def test_hub_that_is_down(project: Path, hubs: Server) -> None:
    hubs.shutdown()
    hubs.server_close()
    done = pushrm(project, "--provider=quay", "--retries=0", DOCKER_APIKEY=KEY)
    assert (done.returncode, done.stderr) == (4, f"orbiter: http://{hubs.address}: Connection refused\n")


def test_redirection_is_not_followed(project: Path, hubs: Server) -> None:
    with serving(Hubs) as elsewhere:
        hubs.faults = [Fault(kind=302, headers={"Location": f"http://{elsewhere.address}/v2/auth/token"})]
        done = pushrm(project, "--provider=dockerhub", **LOGIN)
        assert elsewhere.requests == []
    assert done.returncode == 4
    assert "answers with a redirection (302), which is not followed with a login" in done.stderr


def test_dry_run_sends_nothing_and_needs_no_login(project: Path, hubs: Server) -> None:
    done = pushrm(project, "--provider=dockerhub", "--dry-run", "--short", "For  the\ncourse")
    assert done.returncode == 0
    assert done.stdout == (
        f"README.md, 25 characters: PATCH http://{hubs.address}/v2/repositories/course/lab/\n"
        "short description: For the course\n"
    )
    assert done.stderr == "nothing sent (--dry-run)\n"
    assert hubs.requests == []


def test_readme_that_is_too_long_is_cut_with_a_link(project: Path, hubs: Server) -> None:
    chapters = "".join(f"## Chapter {number}\n\n{'Words, words, words. ' * 50}\n\n" for number in range(40))
    (project / "README.md").write_text(README + chapters)
    done = pushrm(project, "--provider=dockerhub", "--format=json", **LOGIN)
    assert done.returncode == 0, done.stderr
    text = hubs.requests[-1].json()["full_description"]
    assert 20_000 < len(text) <= 25_000
    assert text.startswith(README)
    assert text.endswith(
        "words.\n\n---\n\nThis is a part only; the rest is in [the whole README](https://git.example.org/lab).\n"
    )
    report = json.loads(done.stdout)
    assert (report["shortened"], report["sent"], report["characters"]) == (True, True, len(text))
    # Others have no such limit.
    assert pushrm(project, "--provider=harbor2", **LOGIN).returncode == 0
    assert hubs.requests[-1].json() == {"description": README + chapters}


def test_short_description(project: Path, hubs: Server) -> None:
    assert pushrm(project, "--provider=dockerhub", "--short", "word " * 40, **LOGIN).returncode == 0
    short = hubs.requests[-1].json()["description"]
    assert short == "word " * 18 + "word…"
    done = pushrm(project, "--provider=harbor2", "--short", "x", **LOGIN)
    assert "has no short descriptions; left out" in done.stderr
    assert hubs.requests[-1].json() == {"description": README}


def test_readme_of_the_images_comes_first(project: Path, hubs: Server) -> None:
    (project / "README-containers.md").write_bytes(b"\xef\xbb\xbf# Images\r\n")
    assert pushrm(project, "--provider=harbor2", **LOGIN).returncode == 0
    assert hubs.requests[-1].json() == {"description": "# Images\n"}
    assert pushrm(project, "--provider=harbor2", "--readme=README.md", **LOGIN).returncode == 0
    assert hubs.requests[-1].json() == {"description": README}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no README: neither README-containers.md nor README.md beside the configuration"),
        (b"", "README.md: is empty"),
        (b"# One\n\xff\n", "README.md:2: is not UTF-8"),
    ],
)
def test_readme_that_nobody_could_show(project: Path, hubs: Server, content: bytes | None, message: str) -> None:
    (project / "README.md").unlink()
    if content is not None:
        (project / "README.md").write_bytes(content)
    done = pushrm(project, "--provider=quay", DOCKER_APIKEY=KEY)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert hubs.requests == []


def test_login_of_dockers_own_file(project: Path, hubs: Server) -> None:
    kept = {"auths": {f"https://{hubs.address}": {"auth": PAIR}}}
    (project / "docker/config.json").write_text(json.dumps(kept))
    assert pushrm(project, "--provider=harbor2").returncode == 0


def test_key_of_the_plugin(project: Path, hubs: Server) -> None:
    kept = {"plugins": {"docker-pushrm": {f"apikey_{hubs.address}": KEY}}}
    (project / "docker/config.json").write_text(json.dumps(kept))
    assert pushrm(project, "--provider=quay").returncode == 0
    host = hubs.address.replace(".", "_").replace(":", "_")
    (project / "docker/config.json").unlink()
    assert pushrm(project, "--provider=quay", **{f"APIKEY__{host}": KEY}).returncode == 0


HELPER = """#!/bin/sh
read -r server
[ "$1" = get ] || exit 9
case "$server" in
  {server}) printf '{{"ServerURL": "%s", "Username": "{user}", "Secret": "{secret}"}}' "$server" ;;
  *) echo "credentials not found in native keychain"; exit 1 ;;
esac
"""


@pytest.mark.parametrize("way", ["credsStore", "credHelpers"])
def test_login_of_a_helper(project: Path, hubs: Server, way: str) -> None:
    helper(project, HELPER.format(server=hubs.address, user=USER, secret=PASSWORD))
    named = "tested" if way == "credsStore" else {hubs.address: "tested"}
    (project / "docker/config.json").write_text(json.dumps({way: named}))
    assert pushrm(project, "--provider=harbor2", PATH=f"{project}:{os.environ['PATH']}").returncode == 0


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "docker-credential-tested, which Docker's config.json names, cannot be run or does not answer"),
        (
            f"#!/bin/sh\necho {PASSWORD} >&2\nexit 1\n",
            "docker-credential-tested ended with 1; is the key store locked?",
        ),
        (f"#!/bin/sh\necho {PASSWORD}\n", "docker-credential-tested answered something else than a user and a secret"),
        (HELPER.format(server="*", user="<token>", secret=PASSWORD), "set DOCKER_USER and DOCKER_PASS to an access"),
        (HELPER.format(server="none", user=USER, secret=PASSWORD), "no login for 127.0.0.1:"),
    ],
    ids=["missing", "locked", "nonsense", "token", "unknown"],
)
def test_helper_that_does_not_help(project: Path, hubs: Server, script: str | None, message: str) -> None:
    if script:
        helper(project, script)
    (project / "docker/config.json").write_text(json.dumps({"credsStore": "tested"}))
    done = pushrm(project, "--provider=harbor2", PATH=f"{project}:{os.environ['PATH']}")
    assert (done.returncode, done.stdout) == (4, "")
    assert message in done.stderr
    assert hubs.requests == []


def helper(project: Path, script: str) -> None:
    program = project / "docker-credential-tested"
    program.write_text(script)
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("repo", "arguments", "message"),
    [
        ("course/lab", (), "no login for Docker Hub; 'docker login', or set DOCKER_USER and DOCKER_PASS"),
        ("quay.io/course/lab", (), "no API key for quay.io; make one there, and set DOCKER_APIKEY to it"),
        ("hub.example.org/course/lab", ("--provider=harbor2",), "no login for hub.example.org; 'docker login hub."),
    ],
)
def test_nobody_is_logged_in(project: Path, repo: str, arguments: tuple[str, ...], message: str) -> None:
    configure(project, repo)
    done = pushrm(project, *arguments)
    assert (done.returncode, done.stdout) == (4, "")
    assert message in done.stderr


@pytest.mark.parametrize(
    ("repo", "arguments", "status", "message"),
    [
        ("hub.example.org/course/lab", (), 2, "say it with --provider dockerhub|quay|harbor2"),
        ("quay.io/course/lab", ("--provider=harbor2",), 2, "--provider harbor2: quay.io is quay"),
        ("ghcr.io/course/lab", (), 2, "ghcr.io shows the README of the linked repository itself"),
        ("lab", (), 2, "docker.repo: 'lab' has no namespace"),
        ("course/lab", ("nothing-*",), 3, "no target matches 'nothing-*'"),
    ],
)
def test_wrong_usage(project: Path, repo: str, arguments: tuple[str, ...], status: int, message: str) -> None:
    configure(project, repo)
    done = pushrm(project, *arguments, **LOGIN)
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr
