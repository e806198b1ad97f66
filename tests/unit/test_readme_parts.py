"""The generated parts of a README, between their markers, and all the rest as it was."""

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter import packages, readme
from orbiter.errors import UsageError
from orbiter.readme import Built
from tests.conftest import Run

OPEN, CLOSE = "<!-- orbiter:images -->", "<!-- /orbiter:images -->"
CONFIG = {
    "version": "1",
    "docker": {"repo": "course/lab"},
    "build": {
        "debian": {
            "core": {"image": "debian:trixie-slim", "builder": "pip_core", "apt": ["git", "curl=8.1"]},
            "base": {
                "image": "core",
                "builder": "pip_deploy",
                "tags": ["latest"],
                "labels": {"org.opencontainers.image.description": "a|b & <!-- /orbiter:images -->"},
                "build": {"image": "core", "builder": "pip_builder", "apt": ["g++"], "pip": ["numpy>=2", "Foo.Bar"]},
            },
            "maps": {
                "image": "core",
                "builder": "pip_deploy",
                "build": {"image": "base-build", "builder": "pip_builder", "pip": ["shapely"], "npm": ["@a/b@^1"]},
            },
        }
    },
}
NOTE = "<!-- Written by orbiter readme; do not edit. -->"
TABLE = f"""\
{NOTE}

| image | description | built on | tags | adds |
| --- | --- | --- | --- | --- |
| `debian-core` |  | `debian:trixie-slim` | `debian-core-1` | 2 apt |
| `debian-base` | a\\|b &amp; &lt;!-- /orbiter:images --> | `debian-core` | `debian-base-1` `latest` | 2 pip |
| `debian-maps` |  | `debian-core` | `debian-maps-1` | 3 pip, 1 npm |

"""
PACKAGES = f"""\
{NOTE}

**debian-core**: all of `debian:trixie-slim`, and

- apt: `git`, `curl=8.1`

**debian-base**: all of `debian-core`, and

- pip: `numpy>=2`, `Foo.Bar`

**debian-maps**: all of `debian-core`, and

- pip: `numpy>=2`, `Foo.Bar`, `shapely`
- npm: `@a/b@^1`

"""
TAGS = f"""\
{NOTE}

```text
course/lab:debian-core-1
course/lab:debian-base-1
course/lab:latest
course/lab:debian-maps-1
```

"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "orbiter.yaml").write_text(json.dumps(CONFIG))
    return tmp_path


def test_sections_are_what_the_configuration_gives(project: Path, orbiter: Run) -> None:
    order = ("tags", "images", "packages")
    markers = "".join(f"<!-- orbiter:{name} -->\n<!-- /orbiter:{name} -->\n" for name in order)
    (project / "README.md").write_text(markers)
    done = orbiter("readme")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "README.md: written (tags, images, packages)\n")
    assert (project / "README.md").read_text() == "".join(
        f"<!-- orbiter:{name} -->\n{text}<!-- /orbiter:{name} -->\n"
        for name, text in zip(order, (TAGS, TABLE, PACKAGES), strict=True)
    )
    again = orbiter("readme")
    assert (again.returncode, again.stderr) == (0, "README.md: up to date (tags, images, packages)\n")


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_nothing_else_is_touched(project: Path, orbiter: Run, newline: bytes) -> None:
    before = b"\xef\xbb\xbf# T \xff\n\r\nmixed\r\n" + f"  {OPEN}  ".encode()
    after = CLOSE.encode() + b"\r\n\xfe tail\t \n\n\nno end of line"
    (project / "README.md").write_bytes(before + newline + b"old" + newline + after)
    assert orbiter("readme").returncode == 0
    written = (project / "README.md").read_bytes()
    assert written == before + newline + TABLE.encode().replace(b"\n", newline) + after


def test_mode_and_link_are_kept(project: Path, orbiter: Run) -> None:
    (project / "docs").mkdir()
    place = project / "docs/index.md"
    place.write_text(f"{OPEN}\n{CLOSE}\n")
    place.chmod(0o640)
    (project / "README.md").symlink_to("docs/index.md")
    assert orbiter("readme").returncode == 0
    assert stat.S_IMODE(place.stat().st_mode) == 0o640
    assert os.readlink(project / "README.md") == "docs/index.md"  # noqa: PTH115
    assert place.read_text() == f"{OPEN}\n{TABLE}{CLOSE}\n"
    assert {path.name for path in project.rglob("*")} == {"orbiter.yaml", "docs", "index.md", "README.md"}


def test_check_and_diff_write_nothing(project: Path, orbiter: Run) -> None:
    stale = f"{OPEN}\n{CLOSE}\n"
    (project / "README.md").write_text(stale)
    check = orbiter("readme", "--check")
    assert (check.returncode, check.stdout, check.stderr) == (
        1,
        "",
        "orbiter: README.md is stale; run 'orbiter readme'\n",
    )
    diff = orbiter("readme", "--diff")
    assert diff.returncode == 0
    assert "\n+| `debian-core` |" in diff.stdout
    assert (project / "README.md").read_text() == stale
    orbiter("readme")
    assert orbiter("readme", "--check").returncode == 0
    assert orbiter("readme", "--diff").stdout == ""


def test_init_adds_markers_once(project: Path, orbiter: Run) -> None:
    (project / "README.md").write_text("# Lab")
    assert orbiter("readme", "--init").returncode == 0
    assert (project / "README.md").read_text() == f"# Lab\n\n## Images\n\n{OPEN}\n{TABLE}{CLOSE}\n"
    assert orbiter("readme", "--init").stderr == "README.md: up to date (images)\n"


def test_init_makes_the_file(project: Path, orbiter: Run) -> None:
    assert orbiter("readme", "--init").returncode == 0
    assert (project / "README.md").read_text() == f"# lab\n\n## Images\n\n{OPEN}\n{TABLE}{CLOSE}\n"


def test_way_out_is_said(project: Path, orbiter: Run) -> None:
    done = orbiter("readme")
    assert (done.returncode, done.stderr) == (
        2,
        "orbiter: README.md: does not exist; 'orbiter readme --init' makes it\n",
    )
    (project / "README.md").write_text(f"# Lab\n\n```html\n{OPEN}\n{CLOSE}\n```\n\nUse `{OPEN}`.\n")
    done = orbiter("readme", "--check")
    assert done.returncode == 2
    assert done.stderr == (
        "orbiter: README.md: no markers; 'orbiter readme --init' adds them at the end, or put them where they belong:\n"
        f"{OPEN}\n{CLOSE}\n"
    )
    (project / "README.md").unlink()
    (project / "README.md").mkdir()
    assert orbiter("readme").stderr == "orbiter: README.md: cannot be read: Is a directory\n"


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (f"a\n{OPEN}\n", [f"F:2: '{OPEN}' has no '{CLOSE}' after it"]),
        (f"{CLOSE}\n", [f"F:1: '{CLOSE}' has no '{OPEN}' before it"]),
        (f"{OPEN}\n{OPEN}\n{CLOSE}\n", [f"F:2: '{OPEN}' is inside of '{OPEN}' of line 1"]),
        (f"{OPEN}\n{CLOSE}\n{OPEN}\n{CLOSE}\n", ["F:3: a second 'images'; the first one is in line 1"]),
        (
            "<!-- orbiter:image -->\n<!-- /orbiter:image -->\n",
            ["F:1: no section 'image'; there are images, packages, tags"],
        ),
        (
            f"{OPEN}\n<!-- /orbiter:tags -->\n",
            [
                "F:2: '<!-- /orbiter:tags -->' has no '<!-- orbiter:tags -->' before it",
                f"F:1: '{OPEN}' has no '{CLOSE}' after it",
            ],
        ),
    ],
)
def test_markers_that_are_wrong_have_a_place(text: str, messages: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        readme.find(text, "F")
    assert str(error.value).splitlines() == messages


LINES = st.lists(st.sampled_from([OPEN, CLOSE, "text", "```", "~~~", "", f"    {OPEN}"]).map(lambda line: line + "\n"))


@given(LINES.map("".join))
def test_written_twice_is_written_once(text: str) -> None:
    try:
        sections = readme.find(text, "F")
    except UsageError:
        return
    once = readme.update(text, sections, {"images": f"{NOTE}\n\n| x |\n\n"})
    assert readme.update(once, readme.find(once, "F"), {"images": f"{NOTE}\n\n| x |\n\n"}) == once


PROBED = """\
apt git 1:2.47.3-0+deb13u1
apt curl 8.1
pip numpy 2.3.1
pip foo_bar 0.1
npm @a/b 1.4.0
bash: something that no probe says
"""


@pytest.mark.parametrize(
    ("ecosystem", "spec", "shown"),
    [
        ("apt", "git", "`git` 1:2.47.3-0+deb13u1"),
        ("apt", "curl=8.1", "`curl` 8.1"),
        ("pip", "numpy>=2,<3", "`numpy` 2.3.1"),
        ("pip", "Foo.Bar[all]", "`Foo.Bar` 0.1"),
        ("npm", "@a/b@^1", "`@a/b` 1.4.0"),
        ("pip", "git>1", "`git>1`"),
    ],
)
def test_versions_are_those_of_the_image(ecosystem: str, spec: str, shown: str) -> None:
    inspected = json.dumps([{"Size": 1, "Descriptor": {"digest": "sha256:1"}}])
    assert readme._with_version(ecosystem, spec, readme.built(inspected, PROBED)) == shown


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("libstdc++", "libstdc++"),
        ("conda-forge/linux-64::gdal=3.9", "gdal"),
        ("gdal~1.2", "gdal"),
        ("nodejs@edge", "nodejs"),
        ("pkg @ git+https://example.org/pkg", "pkg"),
        ("@scope/na.me@1", "@scope/na.me"),
        ("a", "a"),
    ],
)
def test_name_of_a_spec(spec: str, name: str) -> None:
    assert packages.name_in(spec) == name


def test_sizes_say_what_they_are() -> None:
    packed = readme.built('[{"Size": 44694525, "Descriptor": {"digest": "sha256:1"}}]', "")
    unpacked = readme.built('[{"Size": 1234567890}]', "")
    assert (packed, unpacked) == (Built(size=44694525, packed=True), Built(size=1234567890, packed=False))
    assert [readme._bytes(size) for size in (1, 44694525, 1234567890)] == ["1 MB", "45 MB", "1.23 GB"]
