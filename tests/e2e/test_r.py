"""R as an ordinary image: the example of it is built, tested by `orbiter test`, and its kernel computes and draws."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import run_orbiter

pytestmark = pytest.mark.engine

REPO = "localhost/orbiter-r"
IMAGE = f"{REPO}:debian-base-1.0.0"

CODE = """
import json
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="ir")
said = []
for ask in ("6 * 7", "plot(1:3, main = 'a title')", "stop('on purpose')"):
    reply = client.execute_interactive(ask, timeout=60, output_hook=lambda m: said.append(m["content"].get("data", {})))
    said.append(reply["content"]["status"])
manager.shutdown_kernel(now=True)
print(json.dumps([each if isinstance(each, str) else sorted(each.items()) for each in said if each]))
"""


@pytest.fixture(scope="module")
def project(root: Path, tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]) -> Iterator[Path]:
    """The example under a name of its own, built."""
    folder = shutil.copytree(root / "examples" / "r", tmp_path_factory.mktemp("example") / "r")
    config = folder / "orbiter.yaml"
    assert "localhost/r\n" in config.read_text()
    config.write_text(config.read_text().replace("localhost/r\n", f"{REPO}\n"))
    done = run_orbiter(folder, engine, "build", "debian-base", "--load", "--progress=plain")
    assert done.returncode == 0, done.stderr[-5000:]
    yield folder
    subprocess.run(["docker", "rmi", "--force", IMAGE], env=engine, capture_output=True, check=True)


def test_passes_its_tests(project: Path, engine: Mapping[str, str]) -> None:
    done = run_orbiter(project, engine, "test", "debian-base", "--format=json")
    assert done.returncode == 0, done.stdout + done.stderr
    checks = {check["check"] for check in json.loads(done.stdout)["checks"]}
    assert {"kernels", "Rscript -e cat(6 * 7)", "notebooks/first-steps.ipynb"} <= checks


def test_kernel_computes_and_draws(project: Path, engine: Mapping[str, str]) -> None:
    command = ["docker", "run", "--rm", IMAGE, "python", "-c", CODE]
    done = subprocess.run(command, env=engine, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    number, first, plot, second, third = json.loads(done.stdout)
    assert ["text/plain", "[1] 42"] in number
    assert "image/png" in dict(plot)
    assert [first, second, third] == ["ok", "ok", "error"]
