"""The wheel and the sdist, as a stranger gets them: built, installed into a new environment, used."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def dist(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", out, root], capture_output=True, text=True
    )  # the wheel is built from the sdist
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_wheel_has_the_data_and_nothing_that_is_not_committed(dist: Path, root: Path) -> None:
    names = set(zipfile.ZipFile(next(dist.glob("*.whl"))).namelist())
    tracked = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    data = {f"orbiter/_data/{path}" for path in tracked if path.startswith(("templates/", "schemas/"))}
    wanted = {path for path in tracked if path.startswith("orbiter/")} | data | {"orbiter/_data/docker-bake.hcl.j2"}
    assert {name for name in names if ".dist-info/" not in name} == wanted


def test_installed_wheel_compiles(dist: Path, root: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    bin = tmp_path / "venv" / "bin"
    subprocess.run([bin / "pip", "install", "--quiet", next(dist.glob("*.whl"))], check=True, capture_output=True)
    (tmp_path / "invoke.yaml").write_bytes((root / "tests/cases/seed-full/config.yaml").read_bytes())
    done = subprocess.run([bin / "orbiter", "compile"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "docker-bake.hcl").is_file()
    assert (tmp_path / "build/alpine/geospatial/build/Dockerfile").is_file()
