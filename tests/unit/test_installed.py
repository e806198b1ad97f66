"""What an image says of itself."""

import json
import subprocess

from orbiter.installed import PROBE, parse, versions

INSPECTED = json.dumps([{"Os": "linux", "Architecture": "arm64", "Variant": "v8", "Config": {"Labels": {"a": "b"}}}])
PROBED = """\
os debian 13
apt libc6 2.41-12
apt tzdata 2026f-0+deb13u1
pip Jinja2 3.1.6 uv
pip gdal 3.10 conda
pip zlib-ng 1.0
conda zlib-ng 1.0
conda Odd_Name 2
npm @jupyter/x 1.2.3
apt half-removed
"""


def test_answer_is_read() -> None:
    found = parse(INSPECTED, PROBED)
    assert (found.platform, found.distribution, found.labels) == ("linux/arm64", "debian 13", {"a": "b"})
    assert found.of("apt") == {"libc6": "2.41-12", "tzdata": "2026f-0+deb13u1"}
    assert found.of("npm") == {"@jupyter/x": "1.2.3"}
    assert found.of("conda") == {"Odd_Name": "2", "zlib-ng": "1.0"}
    assert found.system is not None
    assert (found.system.kind, found.system.platform) == ("apt", "linux/arm64")


def test_python_packages_that_conda_installed_are_packages_of_conda_only() -> None:
    assert parse(INSPECTED, PROBED).of("pip") == {"jinja2": "3.1.6"}
    assert versions(PROBED)["pip", "gdal"] == "3.10"  # a README names them as the configuration does


def test_an_image_without_a_distribution() -> None:
    found = parse(INSPECTED.replace('{"Labels": {"a": "b"}}', "null"), "os arch\npip six 1 uv\n")
    assert (found.system, found.distribution, found.labels) == (None, "arch", {})


def test_the_question_is_one_that_a_shell_understands() -> None:
    done = subprocess.run(["sh", "-c", PROBE], capture_output=True, text=True)
    assert done.returncode == 0
    assert parse(INSPECTED, done.stdout).of("pip")["pytest"]
