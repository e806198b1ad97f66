"""What resolvers are told, and what becomes of their answers. The resolvers themselves: tests/e2e/test_lock.py."""

import json
import threading
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from orbiter import builders, pins, source
from orbiter.errors import EngineError, LockError
from orbiter.lock import CondaPackage, Entry, Lock, PipPackage
from orbiter.locking import npm, pip, update
from orbiter.locking.bases import Base, base
from orbiter.locking.pip import Environment, Unusable
from orbiter.resolve import resolve

CONFIG = """
python: {version: "3.13"}
build:
  debian:
    core: {image: "debian:trixie-slim", builder: pip_core}
    base: {image: core, builder: pip_deploy, build: {image: core, builder: pip_builder, pip: [nothing]}}
"""

BOTH = Environment(python="3.13", platforms=("linux/amd64", "linux/arm64"), required=("linux/amd64",), glibc=41)
ALPINE = Environment(python="3.12", platforms=("linux/amd64",), required=("linux/amd64",), glibc=None)


def file(name: str, day: int = 1) -> str:
    return (
        f'{{ url = "https://example.org/{name}", upload-time = 2026-01-{day:02}T00:00:00Z, '
        f'hashes = {{ sha256 = "{name}" }} }}'
    )


def pylock(wheels: tuple[str, ...] = (), source: str | None = None, more: str = "") -> str:
    lines = ['[[packages]]\nname = "x"\nversion = "1"', more]
    lines += [f"sdist = {file(source, 2)}"] if source else []
    lines += [f"wheels = [{', '.join(map(file, wheels))}]"] if wheels else []
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("reference", "distribution", "expected"),
    [
        ("debian:trixie-slim", "debian", Base(python="3.13", glibc=41)),
        ("docker.io/library/debian:12", "debian", Base(python="3.11", glibc=36)),
        ("ubuntu:24.04", "debian", Base(python="3.12", glibc=39)),
        ("alpine:3.23", "alpine", Base(python="3.12", glibc=None)),
        ("alpine:3.23.1", "alpine", Base(python="3.12", glibc=None)),
        ("alpine:20210212", "alpine", Base(python=None, glibc=None)),
        ("quay.io/jupyter/minimal-notebook:2025-10-20", "debian", Base(python=None, glibc=28)),
        ("my-debian:trixie", "debian", Base(python=None, glibc=28)),
    ],
)
def test_bases_are_known_by_their_names(reference: str, distribution: str, expected: Base) -> None:
    assert base(reference, distribution) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("environment", "wheels", "kept"),
    [
        (BOTH, ("x-1-py3-none-any.whl",), ["x-1-py3-none-any.whl"]),
        (
            BOTH,
            (
                "x-1-cp312-cp312-manylinux_2_28_x86_64.whl",
                "x-1-cp313-cp313-manylinux_2_28_x86_64.whl",
                "x-1-cp313-cp313-manylinux_2_28_aarch64.whl",
                "x-1-cp313-cp313-musllinux_1_2_x86_64.whl",
                "x-1-cp313-cp313-win_amd64.whl",
                "x-1-cp313-cp313t-manylinux_2_28_x86_64.whl",
                "not a wheel.whl",
            ),
            ["x-1-cp313-cp313-manylinux_2_28_aarch64.whl", "x-1-cp313-cp313-manylinux_2_28_x86_64.whl"],
        ),
        (
            ALPINE,
            ("x-1-cp39-abi3-musllinux_1_1_x86_64.whl", "x-1-cp39-abi3-manylinux2014_x86_64.whl"),
            ["x-1-cp39-abi3-musllinux_1_1_x86_64.whl"],
        ),
        (
            Environment(python="3.11", platforms=("linux/amd64",), required=("linux/amd64",), glibc=28),
            ("x-1-cp311-cp311-manylinux_2_34_x86_64.whl", "x-1-cp311-cp311-manylinux2014_x86_64.whl"),
            ["x-1-cp311-cp311-manylinux2014_x86_64.whl"],
        ),
    ],
    ids=["any", "platforms of the image only", "musl", "older glibc"],
)
def test_files_that_fit_are_kept(environment: Environment, wheels: tuple[str, ...], kept: list[str]) -> None:
    found = pip.read(pylock(wheels), environment)
    assert found.packages == (PipPackage(name="x", version="1", files={name: f"sha256:{name}" for name in kept}),)
    assert found.newest == "2026-01-01T00:00:00Z"
    assert found.compiled == ()


def test_a_package_without_a_wheel_is_its_source_and_is_named() -> None:
    found = pip.read(pylock((), "x-1.tar.gz"), ALPINE)
    assert found.packages[0].files == {"x-1.tar.gz": "sha256:x-1.tar.gz"}
    assert found.compiled == (("x", "1", ("linux/amd64",)),)
    assert found.newest == "2026-01-02T00:00:00Z"


def test_a_package_for_other_platforms_only_is_refused() -> None:
    with pytest.raises(Unusable, match=r"^x 1 has neither a wheel for linux/amd64 with Python 3.12 nor its source$"):
        pip.read(pylock(("x-1-cp312-cp312-win_amd64.whl",)), ALPINE)


def test_a_platform_that_nobody_asked_for_may_lack_it() -> None:
    found = pip.read(pylock(("x-1-cp313-cp313-manylinux_2_28_x86_64.whl",)), BOTH)
    assert list(found.packages[0].files) == ["x-1-cp313-cp313-manylinux_2_28_x86_64.whl"]


def test_markers_say_which_platforms_a_package_is_for() -> None:
    only = "marker = \"platform_machine == 'aarch64'\""
    found = pip.read(pylock(("x-1-py3-none-any.whl",), more=only), BOTH).packages[0]
    assert found.platforms == ("linux/arm64",)
    assert pins.pins(Entry(inputs="", pip=(found,))).requirements == (
        "x==1 ; platform_machine == 'aarch64' \\\n    --hash=sha256:x-1-py3-none-any.whl",
    )
    elsewhere = "marker = \"sys_platform == 'win32'\""
    assert pip.read(pylock(("x-1-py3-none-any.whl",), more=elsewhere), BOTH).packages == ()


def test_addresses_are_kept_with_their_commit_or_hash() -> None:
    git = (
        '[[packages]]\nname = "x"\nversion = "1"\n'
        'vcs = { type = "git", url = "https://example.org/x", commit-id = "0a1b", subdirectory = "y" }\n'
    )
    found = pip.read(git, BOTH).packages
    assert found[0].url == "git+https://example.org/x@0a1b#subdirectory=y"
    pinned = pins.pins(Entry(inputs="", pip=found))
    assert (pinned.requirements, pinned.hashed) == (("x @ git+https://example.org/x@0a1b#subdirectory=y",), False)
    archive = f'[[packages]]\nname = "x"\nversion = "1"\narchive = {file("x-1.zip")}\n'
    found = pip.read(archive, BOTH).packages
    assert pins.pins(Entry(inputs="", pip=found)).requirements == (
        "x @ https://example.org/x-1.zip \\\n    --hash=sha256:x-1.zip",
    )


def test_uv_is_told_what_counts() -> None:
    words = pip.command(BOTH, interpreter="python", constrained=True, upgrade=("numpy",), offline=True)
    assert words[:2] == ["pip", "compile"]
    assert words[words.index("--python-version") + 1] == "3.13"
    # uv would download a Python 3.13, a minute's work, only to run setup.py of old packages.
    assert words[words.index("--python") + 1] == "python"
    assert "--no-python-downloads" in words
    assert words[words.index("--constraints") + 1] == "constraints.txt"
    assert words[words.index("--upgrade-package") + 1] == "numpy"
    assert words[-2:] == ["--offline", "requirements.in"]
    assert "--upgrade" in pip.command(BOTH, interpreter="python", constrained=False, upgrade=(), offline=False)
    assert not {"--upgrade", "--offline", "--constraints", "--no-build"} & set(
        pip.command(BOTH, interpreter="python", constrained=False, upgrade=None, offline=False)
    )
    assert pip.pyproject(ALPINE).startswith(
        "[tool.uv]\nenvironments = [\n  \"sys_platform == 'linux' and platform_machine == 'x86_64' "
        "and python_version == '3.12' and implementation_name == 'cpython'\",\n]\n"
    )


def test_no_index_is_named_to_uv_but_an_explicit_one() -> None:
    """Another one would take the place of that of uv's own settings."""
    (index,) = tomllib.loads(pip.pyproject(BOTH))["tool"]["uv"]["index"]
    assert (index["url"], index["explicit"], "default" in index) == ("https://pypi.org/simple", True, False)


def test_builds_are_pinned_by_hashes_and_what_is_compiled_is_named() -> None:
    def package(name: str, *files: str) -> PipPackage:
        return PipPackage(name=name, version="1", files=dict.fromkeys(files, "sha256:0"))

    installed = package("six", "six-1-py3-none-any.whl"), package("some", "some-1-cp313-x.whl", "some-1.tar.gz")
    built = package("flit-core", "flit_core-1-py3-none-any.whl"), package("own", "own-1.zip")
    pinned = pins.pins(Entry(inputs="", pip=installed, build=built))
    assert pinned.build == ("flit-core==1 \\\n    --hash=sha256:0", "own==1 \\\n    --hash=sha256:0")
    assert pinned.sources == ("some", "own")
    older = pins.pins(Entry(inputs="", pip=installed))
    assert (older.build, older.sources) == ((), ())


def test_conda_packages_become_explicit_addresses() -> None:
    package = CondaPackage(name="z", version="1", build="0", url="https://example.org/z-1-0.conda", sha256="0a")
    pinned = pins.pins(Entry(inputs="", conda={"linux-64": (package,), "linux-aarch64": ()}))
    assert pinned.explicit == {"amd64": ("https://example.org/z-1-0.conda#sha256:0a",), "arm64": ()}


def test_npm_specs_become_a_package_json() -> None:
    assert pins.package(("vega", "canvas@^3", "@jupyterlab/builder@4", "@scope/name")) == {
        "private": True,
        "dependencies": {"@jupyterlab/builder": "4", "@scope/name": "*", "canvas": "^3", "vega": "*"},
    }
    assert pins.names(("vega@6", "@scope/name")) == {"vega", "@scope/name"}


def test_npm_addresses_are_the_public_ones() -> None:
    packages = {
        "": {"dependencies": {"a": "*"}},
        "node_modules/a": {"version": "1.0.0", "resolved": "https://mirror.example.org/npm/a/-/a-1.0.0.tgz"},
        "node_modules/a/node_modules/@s/b": {
            "version": "2.0.0",
            "resolved": "https://registry.npmjs.org/@s/b/-/b-2.0.0.tgz",
        },
    }
    text = json.dumps({"packages": packages})
    read = npm.read(text, "https://mirror.example.org/npm")
    assert read["node_modules/a"]["resolved"] == "https://registry.npmjs.org/a/-/a-1.0.0.tgz"
    assert read["node_modules/a/node_modules/@s/b"]["resolved"] == "https://registry.npmjs.org/@s/b/-/b-2.0.0.tgz"
    assert "resolved" not in npm.read(text, None)["node_modules/a"]
    assert npm.versions(read) == {"a": "1.0.0"}


def test_what_conda_installs_is_known_by_pypis_name() -> None:
    def package(name: str, version: str) -> CondaPackage:
        return CondaPackage(name=name, version=version, build="0", url="", sha256="")

    installed = (package("python", "3.13.2"), package("matplotlib-base", "3.10"), package("tzdata", "2025b"))
    there = pip.provided((*installed, package("ruamel.yaml", "0.18"), package("jpeg", "9e")))
    assert there == {"matplotlib": "3.10", "tzdata": "2025b0", "ruamel-yaml": "0.18"}
    own = PipPackage(name="x", version="1", url="git+https://example.org/x@0a1b")
    assert pip.constraints((own,), {"x": "2", "six": "1.17"}) == "x @ git+https://example.org/x@0a1b\nsix==1.17\n"
    found = pip.read(pylock((), "x-1.tar.gz"), ALPINE)
    assert pip.without(found, {"x": "1"}).packages == ()
    assert pip.without(found, {"x": "1"}).compiled == ()


def test_an_old_pip_of_conda_is_not_held_to_what_builds_need() -> None:
    def versions(*several: str) -> list[CondaPackage]:
        return [CondaPackage(name="pip", version=each, build="0", url="", sha256="") for each in several]

    assert pip.takes_constraints(versions("25.3", "26.1"))
    assert not pip.takes_constraints(versions("26.1", "25.2"))
    assert not pip.takes_constraints([])


def test_an_index_of_the_environment_stays() -> None:
    assert pip.variables("https://a.example.org", {}) == {"UV_DEFAULT_INDEX": "https://a.example.org"}
    assert pip.variables("https://a.example.org", {"UV_DEFAULT_INDEX": "https://u:p@a.example.org"}) == {}
    assert pip.variables(None, {}) == {}


def test_yanked_packages_are_read_from_warnings() -> None:
    said = 'Resolved 2\nwarning: `a==1.0` is yanked (reason: "broken")\nwarning: `b==2` is yanked\nwarning: else\n'
    assert pip.yanked(said) == ("a 1.0 (broken)", "b 2")


def test_only_the_named_node_packages_are_upgraded() -> None:
    paths = ("", "node_modules/a", "node_modules/a/node_modules/b", "node_modules/b", "node_modules/@s/b")
    packages = {path: {"version": "1"} for path in paths}
    assert npm.kept(packages, None) == packages
    assert npm.kept(packages, ()) == {}
    assert list(npm.kept(packages, ("b",))) == ["", "node_modules/a", "node_modules/@s/b"]
    assert list(npm.kept(packages, ("a",))) == ["", "node_modules/b", "node_modules/@s/b"]
    assert npm.every(packages) == {"a", "b", "@s/b"}


def test_what_has_no_solution_is_told_also_if_a_registry_fails_then(tmp_path: Path) -> None:
    said: list[str] = []
    unsolved = threading.Event()

    class Tools:
        def uv(self, arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> str:
            raise LockError("there is no such package")

        def npm(self, arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None: ...

        def digest(self, reference: str) -> str:
            assert unsolved.wait(20)
            raise EngineError("the registry is down")

        def stop(self) -> None: ...

    def say(line: str) -> None:
        said.append(line)
        if "no solution" in line:
            unsolved.set()

    document = source.load(CONFIG.encode(), "orbiter.yaml")
    project, images = resolve(document, builders.BUILDERS)[0], {"debian:trixie-slim": "debian:trixie-slim"}
    with pytest.raises(update.Failed) as failed:
        update.update(project, Lock(), update.Wish(), Tools(), images, tmp_path, say)
    assert [problem.reason for problem in failed.value.problems] == ["there is no such package"]
    assert said[-1] == "the registry is down"
