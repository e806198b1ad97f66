"""`orbiter lock` with uv and an index on this machine: what it locks, what it refuses, and that the old lock stays.

Images are pinned already, so no engine is asked. With an engine and the public indexes: tests/e2e/test_lock.py.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

from orbiter import builders, cli, lock
from orbiter.locking import update  # noqa: F401 - nobody may not be able to import it later
from tests.conftest import ROOT, Run
from tests.indexes import IndexServer, index, source, wheel
from tests.registries import Fault

CONFIG = """\
mirrors: {{pip: "{index}"}}
python: {{version: "3.13"}}
build:
  debian:
    core: {{image: "debian:trixie-slim", builder: pip_core}}
    base:
      image: core
      builder: pip_deploy
      build:
        image: core
        builder: pip_builder
        pip:
          - {base}
    top:
      image: base
      builder: pip_deploy
      build:
        image: base-build
        builder: pip_builder
        pip:
          - {top}
"""
PINNED = lock.dump(
    lock.Lock(images=dict.fromkeys(("debian:trixie-slim", *dict(builders.TOOLS).values()), f"sha256:{'0' * 64}"))
)


@pytest.fixture
def packages() -> Iterator[IndexServer]:
    with index(wheel("a", "1.0"), wheel("a", "2.0"), wheel("b", "1.0", "a"), wheel("c", "1.0")) as server:
        yield server


@pytest.fixture
def orbiter(orbiter: Run, tmp_path: Path) -> Run:
    """Without this machine's own settings of uv; a request is not repeated."""
    for folder in ("cache", "home", "tmp"):
        (tmp_path / folder).mkdir()

    def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        return orbiter(*arguments, **settings(tmp_path), **variables)

    return run


def settings(folder: Path) -> dict[str, str]:
    return {
        "UV_CACHE_DIR": str(folder / "cache"),
        "UV_HTTP_RETRIES": "0",
        "UV_NO_CONFIG": "1",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "NETRC": str(folder / "home/.netrc"),
    }


def write(folder: Path, packages: IndexServer, base: str = "a", top: str = "b", text: str = CONFIG) -> None:
    (folder / "orbiter.yaml").write_text(text.format(index=packages.url, base=base, top=top))
    if not (folder / "orbiter.lock").exists():
        (folder / "orbiter.lock").write_text(PINNED)


def locked(folder: Path) -> dict[str, dict[str, str]]:
    """Target → packages and versions, without pip itself."""
    read = lock.parse((folder / "orbiter.lock").read_text())
    return {
        target: {package.name: package.version for package in entry.pip if package.name != "pip"}
        for target, entry in read.targets.items()
    }


def test_a_stacked_image_has_its_parents_version(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    write(tmp_path, packages, "a<2")
    done = orbiter("lock")
    assert done.returncode == 0, done.stderr
    assert locked(tmp_path) == {"debian-base-build": {"a": "1.0"}, "debian-top-build": {"a": "1.0", "b": "1.0"}}
    assert "debian-base-build: 2 pip, " in done.stderr
    assert orbiter("lock").stderr == "orbiter.lock: nothing to do\n"


def test_newer_versions_are_taken_only_if_asked_for(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    write(tmp_path, packages)
    orbiter("lock")
    packages.files += [wheel("a", "3.0"), wheel("b", "3.0", "a")]
    write(tmp_path, packages, top="b>0")
    orbiter("lock")
    assert locked(tmp_path)["debian-top-build"] == {"a": "2.0", "b": "1.0"}
    done = orbiter("lock", "--upgrade", "B")
    assert locked(tmp_path) == {"debian-base-build": {"a": "2.0"}, "debian-top-build": {"a": "2.0", "b": "3.0"}}
    assert done.stdout == "debian-top-build\n  ~ b 1.0 → 3.0\n"
    orbiter("lock", "--upgrade", "a")
    assert locked(tmp_path) == {"debian-base-build": {"a": "3.0"}, "debian-top-build": {"a": "3.0", "b": "3.0"}}


def test_only_the_named_image_and_what_stands_on_it_are_upgraded(
    tmp_path: Path, packages: IndexServer, orbiter: Run
) -> None:
    write(tmp_path, packages)
    orbiter("lock")
    before = (tmp_path / "orbiter.lock").read_text()
    packages.files += [wheel("a", "3.0"), wheel("b", "3.0", "a")]
    # The name of a published image stands for the build that its environment comes from.
    assert orbiter("lock", "--upgrade", "--image", "debian-top").returncode == 0
    assert locked(tmp_path) == {"debian-base-build": {"a": "2.0"}, "debian-top-build": {"a": "2.0", "b": "3.0"}}
    (tmp_path / "orbiter.lock").write_text(before)
    assert orbiter("lock", "--upgrade", "--image", "debian-base").returncode == 0
    assert locked(tmp_path) == {"debian-base-build": {"a": "3.0"}, "debian-top-build": {"a": "3.0", "b": "3.0"}}


def test_a_changed_image_is_resolved_alone(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    write(tmp_path, packages)
    orbiter("lock")
    write(tmp_path, packages, top="c")
    data = json.loads(orbiter("lock", "--format", "json").stdout)
    assert data["resolved"] == ["debian-top-build"]
    packages.requests.clear()
    assert orbiter("lock").returncode == 0
    assert packages.requests == []


def test_what_a_stacked_image_needs_is_fetched_while_its_parent_is_resolved(
    tmp_path: Path, packages: IndexServer, orbiter: Run
) -> None:
    write(tmp_path, packages, top="c")
    packages.held = frozenset({"a"})
    with start(tmp_path) as process:
        assert packages.asked.wait(60)
        until = time.monotonic() + 60
        while "/simple/c/" not in [request.path for request in packages.requests] and time.monotonic() < until:
            time.sleep(0.05)
        assert "/simple/c/" in [request.path for request in packages.requests]
        packages.go.set()
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said.count("debian-top-build")) == (0, 1), said


def test_what_is_fetched_ahead_neither_counts_nor_delays(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    packages.files += [wheel("d", "1.0"), wheel("d", "2.0", "slow")]
    packages.held = frozenset({"slow"})
    write(tmp_path, packages, "d<2", "d")
    done = orbiter("lock")
    assert done.returncode == 0, done.stderr
    assert locked(tmp_path)["debian-top-build"] == {"d": "1.0"}
    assert list((tmp_path / "tmp").iterdir()) == []
    assert [link for link in Path("/proc").glob("[0-9]*/cwd") if str(tmp_path) in _target(link)] == []


@pytest.mark.parametrize(
    ("text", "arguments", "calls"),
    [(CONFIG, (), 3), (CONFIG, ("--offline",), 2), (CONFIG[: CONFIG.index("    top:")], (), 1)],
    ids=["stacked", "offline", "alone"],
)
def test_only_stacked_images_are_fetched_ahead(
    tmp_path: Path, packages: IndexServer, orbiter: Run, text: str, arguments: tuple[str, ...], calls: int
) -> None:
    write(tmp_path, packages, text=text)
    assert orbiter("lock").returncode == 0  # --offline needs a cache
    (tmp_path / "orbiter.lock").write_text(PINNED)
    program = tmp_path / "without/uv.py"
    program.parent.mkdir()
    program.write_text("raise ImportError\n")
    tool = tmp_path / "tools/uv"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nexec {find_uv_bin()} "$@"\n')
    tool.chmod(0o755)
    done = orbiter(
        "lock", *arguments, PATH=f"{tool.parent}:{os.environ['PATH']}", PYTHONPATH=f"{program.parent}:{ROOT}"
    )
    assert done.returncode == 0, done.stderr
    told = (tmp_path / "calls").read_text().splitlines()
    assert (len(told), sum("--no-build" in line for line in told)) == (calls, calls == 3)
    assert all("--constraints" not in line for line in told if "--no-build" in line)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--upgrade", "nump"), 3, "nothing in orbiter.lock is called 'nump'; "),
        (("numpy",), 2, "numpy: names of packages go with --upgrade"),
        (("--check", "--upgrade"), 2, "--check only looks"),
        (("--image", "debian-core"), 3, "debian-core: installs no Python, conda or Node packages"),
        (("--image", "debian-bas"), 3, "did you mean 'debian-base'?"),
        (("--platform", "arm64"), 2, "'arm64' is no platform"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, packages: IndexServer, orbiter: Run, arguments: tuple[str, ...], status: int, message: str
) -> None:
    write(tmp_path, packages)
    done = orbiter("lock", *arguments)
    assert (done.returncode, message in done.stderr) == (status, True), done.stderr
    assert (tmp_path / "orbiter.lock").read_text() == PINNED


def test_a_range_without_a_version_is_told_with_its_line(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    write(tmp_path, packages, top="b>=4")
    done = orbiter("lock")
    assert done.returncode == 2
    assert "orbiter.yaml:21:13: build.debian.top.build.pip[0]: 'debian-top-build' cannot be locked:\n" in done.stderr
    assert "only b==1.0 is available and you require b>=4" in " ".join(done.stderr.split())
    assert (tmp_path / "orbiter.lock").read_text() == PINNED


def test_a_conflict_with_what_is_below_names_both_lines(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    packages.files.append(wheel("d", "1.0", "a>=2"))
    write(tmp_path, packages, "a<2", "d")
    done = orbiter("lock")
    assert done.returncode == 2
    assert "orbiter.yaml:21:13: build.debian.top.build.pip[0]: 'debian-top-build' cannot be locked:\n" in done.stderr
    assert "all versions of d depend on a>=2" in " ".join(done.stderr.split())
    assert "below it, 'debian-base-build' has a 1.0 (orbiter.yaml:13:13): the two have to agree" in done.stderr
    assert "no version suits both: change what one of them asks for" in done.stderr


def test_a_conflict_with_an_old_version_below_says_what_would_suit_both(
    tmp_path: Path, packages: IndexServer, orbiter: Run
) -> None:
    write(tmp_path, packages, "a<2")
    orbiter("lock", "--image", "debian-base")
    packages.files += [wheel("a", "1.5"), wheel("d", "1.0", "a>=1.5")]
    write(tmp_path, packages, "a<2", "d")
    done = orbiter("lock")
    assert done.returncode == 2
    assert "a 1.5 would suit both: try 'orbiter lock --upgrade a', or ask for that version there" in done.stderr
    assert orbiter("lock", "--upgrade", "a").returncode == 0
    assert locked(tmp_path)["debian-top-build"] == {"a": "1.5", "d": "1.0"}


@pytest.mark.parametrize("kind", ["drop", 503])
def test_an_index_that_fails_on_the_way_leaves_the_lock(
    tmp_path: Path, packages: IndexServer, orbiter: Run, kind: str | int
) -> None:
    write(tmp_path, packages)
    packages.faults.append(Fault(kind=kind, path="/simple/b/"))
    done = orbiter("lock")
    assert done.returncode == 4, done.stderr
    assert f"{packages.address}/simple/b/" in done.stderr
    assert (tmp_path / "orbiter.lock").read_text() == PINNED


def test_a_yanked_version_is_taken_only_where_it_is_pinned(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    write(tmp_path, packages)
    orbiter("lock")
    packages.files[2].yanked = "broken"
    assert orbiter("lock", "--upgrade", "a").returncode == 0
    assert locked(tmp_path)["debian-base-build"] == {"a": "1.0"}
    write(tmp_path, packages, "a==2.0")
    done = orbiter("lock")
    assert (done.returncode, "debian-base-build: yanked by its authors: a 2.0 (broken)" in done.stderr) == (0, True)
    assert locked(tmp_path)["debian-base-build"] == {"a": "2.0"}


def test_a_version_that_is_yanked_later_stays_with_a_warning(
    tmp_path: Path, packages: IndexServer, orbiter: Run
) -> None:
    write(tmp_path, packages)
    orbiter("lock")
    packages.files[2].yanked = ""
    write(tmp_path, packages, "a>1")
    done = orbiter("lock")
    assert "debian-base-build: yanked by its authors: a 2.0\n" in done.stderr
    assert locked(tmp_path)["debian-base-build"] == {"a": "2.0"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"orbiter-lock": 2}\n',
            "orbiter.lock: written by a newer Orbiter (format 2, this one reads 1); update Orbiter",
        ),
        ("{\n<<<<<<< HEAD\n", "orbiter.lock:2: a merge left its conflict here; take either side"),
    ],
)
@pytest.mark.parametrize("command", ["lock", "compile", "validate"])
def test_a_lock_that_cannot_be_read_stays(
    tmp_path: Path, packages: IndexServer, orbiter: Run, text: str, message: str, command: str
) -> None:
    (tmp_path / "orbiter.lock").write_text(text)
    write(tmp_path, packages)
    done = orbiter(command)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert (tmp_path / "orbiter.lock").read_text() == text


def test_a_package_for_other_platforms_only_is_refused(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    packages.files.append(wheel("native", "1.0", tag="cp313-cp313-win_amd64"))
    write(tmp_path, packages, "native")
    done = orbiter("lock")
    assert done.returncode == 2
    assert "orbiter.yaml:13:13: build.debian.base.build.pip[0]: 'debian-base-build' cannot be locked:\n" in done.stderr
    assert (tmp_path / "orbiter.lock").read_text() == PINNED


def test_without_platforms_arm64_is_locked_as_far_as_there_are_files(
    tmp_path: Path, packages: IndexServer, orbiter: Run
) -> None:
    tags = ("cp313-cp313-manylinux_2_28_x86_64", "cp313-cp313-manylinux_2_28_aarch64")
    both, one = [wheel("both", "1.0", tag=tag) for tag in tags], wheel("one", "1.0", tag=tags[0])
    packages.files += [*both, one]
    write(tmp_path, packages, "both", "one")
    assert orbiter("lock").returncode == 0
    targets = lock.parse((tmp_path / "orbiter.lock").read_text()).targets
    files = {package.name: set(package.files) for entry in targets.values() for package in entry.pip}
    assert files["both"] == {file.name for file in both}
    assert files["one"] == {one.name}
    before = (tmp_path / "orbiter.lock").read_text()
    asked = orbiter("lock", "--platform", "linux/amd64,linux/arm64")
    assert asked.returncode == 2
    assert "one 1.0 has neither a wheel for linux/arm64 with Python 3.13 nor its source" in asked.stderr
    assert (tmp_path / "orbiter.lock").read_text() == before


def test_platforms_of_the_lock_stay(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    write(tmp_path, packages)
    assert orbiter("lock", "--platform", "linux/arm64").returncode == 0
    assert lock.parse((tmp_path / "orbiter.lock").read_text()).platforms == ("linux/arm64",)
    assert orbiter("lock", "--check").returncode == 0
    assert orbiter("lock").stderr == "orbiter.lock: nothing to do\n"


def test_an_index_without_hashes_is_hashed_by_uv(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    packages.files.append(wheel("bare", "1.0"))
    packages.files[-1].hashed = False
    write(tmp_path, packages, "bare")
    assert orbiter("lock").returncode == 0
    (bare, _) = lock.parse((tmp_path / "orbiter.lock").read_text()).targets["debian-base-build"].pip
    assert bare.files == {packages.files[-1].name: f"sha256:{packages.files[-1].hash}"}


def needing(*requirements: str) -> dict[str, str]:
    """The files of a source with these build requirements, which cannot be built here: nobody may try."""
    return {"pyproject.toml": f"[build-system]\nrequires = {json.dumps(requirements)}\nbuild-backend = 'nowhere'\n"}


def builds(folder: Path) -> dict[str, str]:
    (entry,) = lock.parse((folder / "orbiter.lock").read_text()).targets.values()
    return {package.name: package.version for package in entry.build}


ONE = CONFIG.partition("    top:")[0]


def test_what_a_source_is_built_with_is_locked(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    packages.files += [source("own", "1.0", needing("back>=1")), wheel("back", "1.0", "a<2")]
    write(tmp_path, packages, "own", text=ONE)
    done = orbiter("lock")
    assert done.returncode == 0, done.stderr
    assert locked(tmp_path) == {"debian-base-build": {"own": "1.0"}}
    assert builds(tmp_path) == {"a": "1.0", "back": "1.0"}
    assert "debian-base-build: 2 pip, 2 to build, " in done.stderr
    compiled = "debian-base-build: no wheel, so compiled in every build: own 1.0 (linux/amd64)"
    assert compiled in done.stderr.splitlines()
    packages.files.append(wheel("back", "2.0"))
    before = (tmp_path / "orbiter.lock").read_text()
    assert orbiter("lock").stderr == "orbiter.lock: nothing to do\n"
    packages.files.append(wheel("own", "0.9"))
    assert orbiter("lock", "--upgrade", "own").returncode == 0
    assert (tmp_path / "orbiter.lock").read_text() == before
    upgraded = orbiter("lock", "--upgrade", "back")
    assert upgraded.stdout.splitlines() == [
        "debian-base-build",
        "  - a (to build) 1.0",
        "  ~ back (to build) 1.0 → 2.0",
    ]
    assert orbiter("lock", "--upgrade", "back", "--offline").returncode == 0
    assert builds(tmp_path) == {"back": "2.0"}


def test_without_an_index_a_source_is_not_read(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    packages.files.append(source("own", "1.0", needing("a")))
    write(tmp_path, packages, "own", text=ONE)
    assert orbiter("lock").returncode == 0
    before = (tmp_path / "orbiter.lock").read_text()
    elsewhere = str(tmp_path / "elsewhere")
    done = orbiter("lock", "--upgrade", "a", "--offline", XDG_CACHE_HOME=elsewhere)
    assert done.returncode == 4
    assert "debian-base-build: what own 1.0 needs to be built is not cached: --offline reads none" in done.stderr
    assert (tmp_path / "orbiter.lock").read_text() == before


def test_what_builds_a_source_may_be_a_source(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    packages.files += [source("own", "1.0", needing("back")), source("back", "1.0", needing("a<2", "back"))]
    write(tmp_path, packages, "own", text=ONE)
    assert orbiter("lock").returncode == 0
    assert builds(tmp_path) == {"a": "1.0", "back": "1.0"}


def test_sources_that_cannot_be_built_alike_are_told(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    packages.files += [source("old", "1.0", needing("a<2")), source("new", "1.0", needing("a>=2"))]
    write(tmp_path, packages, "old\n          - new", text=ONE)
    done = orbiter("lock")
    assert done.returncode == 2
    assert "build.debian.base.build.pip" in done.stderr
    assert "'debian-base-build' cannot be locked:\n  it cannot be built:\n" in done.stderr
    assert "new 1.0 needs a>=2\n" in done.stderr
    assert "old 1.0 needs a<2\n" in done.stderr
    assert "ask for versions that have wheels or whose builds agree, or install them in different images" in done.stderr
    assert (tmp_path / "orbiter.lock").read_text() == PINNED


def test_a_source_that_is_no_package_is_told(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    files = {"pyproject.toml": "[build-system]\nrequires = ['--index-url=https://example.org']\n"}
    packages.files.append(source("own", "1.0", files))
    write(tmp_path, packages, "own", text=ONE)
    done = orbiter("lock")
    assert done.returncode == 2
    assert "'--index-url=https://example.org' in its build-system.requires is no requirement" in done.stderr


def test_a_tampered_source_is_not_read(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    packages.files.append(source("own", "1.0", needing("a<2")))
    packages.files[-1].served = source("own", "1.0", needing("a>=2")).data
    write(tmp_path, packages, "own", text=ONE)
    done = orbiter("lock")
    assert done.returncode == 2
    assert "Hash mismatch for `own" in done.stderr
    assert (tmp_path / "orbiter.lock").read_text() == PINNED


@pytest.mark.parametrize("way", ["netrc", "environment"])
def test_a_source_is_fetched_with_a_password(tmp_path: Path, packages: IndexServer, orbiter: Run, way: str) -> None:
    packages.files.append(source("own", "1.0", needing("a<2")))
    write(tmp_path, packages, "own", text=ONE)
    packages.login = "reader:s3cr3t-of-nobody"
    variables = {"UV_DEFAULT_INDEX": packages.url.replace("//", f"//{packages.login}@")}
    if way == "netrc":
        netrc = tmp_path / "home/.netrc"
        netrc.write_text("machine 127.0.0.1 login reader password s3cr3t-of-nobody\n")
        netrc.chmod(0o600)
        variables = {}
    done = orbiter("lock", **variables)
    assert done.returncode == 0, done.stderr
    assert builds(tmp_path) == {"a": "1.0"}
    assert "s3cr3t" not in done.stdout + done.stderr + (tmp_path / "orbiter.lock").read_text()


def test_an_address_is_a_source_and_a_repository_is_not(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    packages.files.append(source("own", "1.0", needing("a<2")))
    address = f"own @ http://{packages.address}/files/own-1.0.tar.gz"
    write(tmp_path, packages, f"'{address}'", text=ONE)
    done = orbiter("lock")
    assert done.returncode == 0, done.stderr
    assert builds(tmp_path) == {"a": "1.0"}
    (tmp_path / "its").mkdir()
    (tmp_path / "its/pyproject.toml").write_text("[project]\nname = 'its'\nversion = '1'\ndependencies = []\n")
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    for words in (("init", "--quiet"), ("add", "."), (*identity, "commit", "--quiet", "--message=x")):
        subprocess.run(["git", *words], cwd=tmp_path / "its", check=True)
    write(tmp_path, packages, "own\n          - 'its @ git+https://git.invalid/its'", text=ONE)
    instead = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.file://{tmp_path}/its.insteadOf"}
    done = orbiter("lock", **instead, GIT_CONFIG_VALUE_0="https://git.invalid/its")
    assert done.returncode == 0, done.stderr
    assert builds(tmp_path) == {}  # an installer could not be held to it: a commit has no hash
    assert "own 1.0 (linux/amd64); what they are built with is not locked\n" in done.stderr


CONDA = """\
build:
  conda:
    core: {image: "debian:trixie-slim", builder: micromamba_core}
    base:
      image: core
      builder: micromamba_deploy
      build: {image: core, builder: micromamba_builder, conda: {dependencies: [python]}}
"""
NPM = """\
build:
  debian:
    core: {image: "debian:trixie-slim", builder: pip_core}
    base:
      image: core
      builder: pip_deploy
      build: {image: core, builder: pip_builder, npm: [vega]}
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CONFIG, "debian-base-build: uv is missing; install it: pip install 'orbiter[lock]'"),
        (
            CONDA,
            "conda-base-build: locking conda environments needs py-rattler; install it: pip install 'orbiter[lock]'",
        ),
        (NPM, "debian-base-build: npm is missing; install Node.js: https://nodejs.org"),
    ],
    ids=["uv", "py-rattler", "npm"],
)
def test_a_missing_tool_is_4_with_a_way_to_get_it(
    tmp_path: Path, packages: IndexServer, orbiter: Run, text: str, message: str
) -> None:
    write(tmp_path, packages, text=text if text == CONFIG else text.replace("{", "{{").replace("}", "}}"))
    (tmp_path / "without").mkdir()
    for name in ("uv", "rattler"):
        (tmp_path / f"without/{name}.py").write_text("raise ImportError\n")
    path = f"{tmp_path}/without:{os.environ.get('PYTHONPATH', '')}"
    done = orbiter("lock", PATH=str(tmp_path / "without"), PYTHONPATH=path)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (4, f"orbiter: {message}")
    assert (tmp_path / "orbiter.lock").read_text() == PINNED


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "orbiter", "lock", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, env={**os.environ, **settings(folder)}, stdout=pipe, stderr=pipe, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("text", [CONFIG, CONDA], ids=["uv", "rattler"])
def test_an_interrupt_ends_all_and_leaves_the_lock(
    tmp_path: Path, packages: IndexServer, orbiter: Run, text: str, number: signal.Signals
) -> None:
    if text == CONDA:
        channels = f'mirrors: {{conda: "http://{packages.address}"}}\n'
        text = (channels + CONDA).replace("{", "{{").replace("}", "}}")
    write(tmp_path, packages, text=text)
    packages.held = frozenset({"a", "linux-64"})
    with start(tmp_path) as process:
        assert packages.asked.wait(60)
        began = time.monotonic()
        process.send_signal(number)
        out, said = process.communicate(timeout=60)
        took = time.monotonic() - began
    assert (process.returncode, out, said.splitlines()[-1]) == (130, "", "interrupted")
    assert took < 10  # 0.2 s on an idle machine; the index would have kept it for ever
    assert (tmp_path / "orbiter.lock").read_text() == PINNED
    assert list((tmp_path / "tmp").iterdir()) == []
    assert [link for link in Path("/proc").glob("[0-9]*/cwd") if str(tmp_path) in _target(link)] == []


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def test_two_at_once_follow_each_other(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    write(tmp_path, packages)
    packages.held = frozenset({"a"})
    with start(tmp_path) as first:
        assert packages.asked.wait(60)
        with start(tmp_path) as second:
            assert second.stderr is not None
            assert second.stderr.readline() == "another 'orbiter lock' is at work here; waiting for it\n"
            packages.go.set()
            assert first.communicate(timeout=60)[1].endswith("orbiter.lock: written\n")
            assert second.communicate(timeout=60)[1] == "orbiter.lock: nothing to do\n"


def test_a_read_only_folder_is_refused_before_any_work(
    tmp_path: Path, packages: IndexServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, packages)
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(0o755)
    tmp_path.chmod(0o555)
    monkeypatch.chdir(tmp_path)
    assert cli.run(["lock", "--check"]) == 1  # imports what nobody could not
    capsys.readouterr()
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # root may write everywhere
    try:
        status = cli.run(["lock"])
    finally:
        if root:
            os.seteuid(0)
    assert (status, capsys.readouterr().err) == (
        2,
        f"orbiter: orbiter.lock: cannot be written: the folder {tmp_path} is read-only\n",
    )
    assert packages.requests == []


def test_a_full_disk_leaves_the_lock(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    """A limit on the size of files stands for the full disk: both refuse the write."""
    write(tmp_path, packages)
    orbiter("lock")
    before = (tmp_path / "orbiter.lock").read_text()
    text = CONFIG[: CONFIG.index("    top:")]
    (tmp_path / "orbiter.yaml").write_text(text.format(index=packages.url, base="a"))
    command = f"ulimit -f 0 && exec {sys.executable} -m orbiter lock"
    environment = {**os.environ, **settings(tmp_path)}
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "orbiter.lock: File too large" in done.stderr
    assert (tmp_path / "orbiter.lock").read_text() == before
    assert not list(tmp_path.glob(".orbiter*"))


def test_a_password_comes_from_netrc_and_goes_nowhere(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    write(tmp_path, packages)
    packages.login = "reader:s3cr3t-of-nobody"
    refused = orbiter("lock")
    assert refused.returncode == 2
    assert "401" in refused.stderr
    netrc = tmp_path / "home/.netrc"
    netrc.write_text("machine 127.0.0.1 login reader password s3cr3t-of-nobody\n")
    netrc.chmod(0o600)
    done = orbiter("lock")
    assert done.returncode == 0, done.stderr
    netrc.unlink()
    assert orbiter("compile").returncode == 0
    written = [
        path for path in tmp_path.rglob("*") if path.is_file() and path.relative_to(tmp_path).parts[0] != "cache"
    ]
    assert "s3cr3t" not in done.stdout + done.stderr
    assert [path for path in written if b"s3cr3t" in path.read_bytes()] == []


def test_the_index_of_the_environment_counts_more(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    write(tmp_path, packages)
    (tmp_path / "orbiter.yaml").write_text(
        (tmp_path / "orbiter.yaml").read_text().replace(packages.url, "https://pypi.invalid/simple")
    )
    packages.login = "reader:s3cr3t-of-nobody"
    address = packages.url.replace("//", f"//{packages.login}@")
    done = orbiter("lock", UV_DEFAULT_INDEX=address)
    assert done.returncode == 0, done.stderr
    assert "s3cr3t" not in done.stdout + done.stderr + (tmp_path / "orbiter.lock").read_text()


@pytest.mark.parametrize("command", [("compile", "--locked"), ("validate", "--locked"), ("build", "--locked")])
def test_locked_wants_a_lock_that_fits(
    tmp_path: Path, packages: IndexServer, orbiter: Run, command: tuple[str, ...]
) -> None:
    def last() -> Any:
        done = orbiter(*command, PATH=str(tmp_path))
        assert not (tmp_path / "docker-bake.hcl").exists()
        return done.returncode, done.stderr.splitlines()[-1]

    write(tmp_path, packages)
    (tmp_path / "orbiter.lock").unlink()
    assert last() == (1, "orbiter: there is no orbiter.lock; run 'orbiter lock'")
    (tmp_path / "orbiter.lock").write_text(PINNED)
    assert last() == (1, "orbiter: orbiter.lock is stale: debian-base-build, debian-top-build; run 'orbiter lock'")
    orbiter("lock")
    text = (tmp_path / "orbiter.yaml").read_text()
    (tmp_path / "orbiter.yaml").write_text(text.replace("trixie-slim", "trixie"))
    assert last() == (
        1,
        "orbiter: orbiter.lock is stale: debian-base-build, debian-top-build, debian:trixie; run 'orbiter lock'",
    )


def test_a_lock_that_fits_is_enough(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    write(tmp_path, packages)
    orbiter("lock")
    assert orbiter("validate", "--locked").returncode == 0
    assert orbiter("compile", "--locked").returncode == 0
    assert orbiter("compile", "--check").returncode == 0
    assert (tmp_path / "build/debian/base/build/requirements.txt").read_text().splitlines()[1:3] == [
        "a==2.0 \\",
        f"    --hash=sha256:{packages.files[2].hash}",
    ]


def test_compile_check_minds_a_stale_lock(tmp_path: Path, packages: IndexServer, orbiter: Run) -> None:
    write(tmp_path, packages)
    orbiter("lock")
    write(tmp_path, packages, "a<2", "c")
    orbiter("compile")
    done = orbiter("compile", "--check")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "orbiter: orbiter.lock is stale: debian-base-build, debian-top-build; run 'orbiter lock'"
    )
    assert "whose versions are therefore not pinned: it has a 2.0, not '<2'; run 'orbiter lock'" in done.stderr
    assert "whose versions are therefore not pinned: it lacks c; run 'orbiter lock'" in done.stderr
