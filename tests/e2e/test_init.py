"""`orbiter init`: a repository of Binder's becomes an image that has and does what it says."""

import subprocess
from collections.abc import Iterator, Mapping

import pytest

from tests.conftest import run_orbiter

pytestmark = pytest.mark.engine

REPOSITORY = {
    "requirements.txt": "# small packages\nsix==1.16.0  # old and stable\n-r more.txt\n-e .\n",
    "more.txt": "tomli>=2\n",
    "runtime.txt": "python-3.13\n",
    "apt.txt": "tree\n",
    "postBuild": '#!/bin/bash\nset -e\nif [[ -n "$HOME" ]]; then\n    python scripts/prepare.py > prepared.txt\nfi\n',
    "scripts/prepare.py": "import six\nprint('prepared with six', six.__version__)\n",
    "start": '#!/bin/bash\nexport GREETING="hello"\nexec "$@"\n',
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("repository")
    for path, text in REPOSITORY.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    done = run_orbiter(folder, engine, "init", "--from", ".", "--repo", "localhost/orbiter-init")
    assert (done.returncode, done.stdout) == (0, "+ orbiter.yaml\n"), done.stderr
    assert "requirements.txt:4: left out: -e .; " in done.stderr
    done = run_orbiter(folder, engine, "build", "debian-base", "--load", "--progress=plain")
    assert done.returncode == 0, done.stderr[-5000:]
    reference = "localhost/orbiter-init:debian-base-0.1.0"
    yield reference
    subprocess.run(["docker", "rmi", "--force", reference], env=engine, capture_output=True)


def ask(engine: Mapping[str, str], image: str, *command: str) -> str:
    done = subprocess.run(["docker", "run", "--rm", image, *command], env=engine, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_has_the_packages_and_the_python_of_the_repository(image: str, engine: Mapping[str, str]) -> None:
    program = "import six, sys, tomli; print(six.__version__, *sys.version_info[:2])"
    assert ask(engine, image, "python", "-c", program) == "1.16.0 3 13"
    assert ask(engine, image, "tree", "--version").startswith("tree v")


def test_a_cell_runs(image: str, engine: Mapping[str, str]) -> None:
    script = "cat > cell.ipynb && jupyter nbconvert --to notebook --execute --stdout cell.ipynb"
    cell = (
        '{"cells": [{"cell_type": "code", "id": "a", "metadata": {}, "execution_count": null, "outputs": [],'
        ' "source": "import six; print(six.__version__ + \\"!\\")"}], "metadata": {"kernelspec": {"name": "python3",'
        ' "display_name": "Python", "language": "python"}}, "nbformat": 4, "nbformat_minor": 5}'
    )
    command = ["docker", "run", "--rm", "--interactive", image, "sh", "-ec", script]
    done = subprocess.run(command, env=engine, input=cell, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1.16.0!" in done.stdout


def test_post_build_ran_in_the_home_with_the_files_that_it_uses(image: str, engine: Mapping[str, str]) -> None:
    assert ask(engine, image, "cat", "prepared.txt") == "prepared with six 1.16.0"
    # As in Binder, the notebook user may go on with all of it.
    assert ask(engine, image, "sh", "-c", 'find "$HOME" ! -user "$(id -u)"; echo end') == "end"
    assert ask(engine, image, "sh", "-c", "ls /tmp/postBuild 2> /dev/null; echo end") == "end"


def test_start_set_its_variable(image: str, engine: Mapping[str, str]) -> None:
    assert ask(engine, image, "printenv", "GREETING") == "hello"
