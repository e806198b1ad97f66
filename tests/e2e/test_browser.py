"""JupyterLab of a built image in a real browser: headless Chromium makes a notebook and runs a cell.

Chromium's own chromedriver drives it by WebDriver, which is JSON over HTTP: https://www.w3.org/TR/webdriver2.
The variable ORBITER_ARTEFACTS names a folder that keeps the screenshot.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run_orbiter, unavailable

pytestmark = pytest.mark.engine

REPO = "localhost/orbiter-browser"
IMAGE = f"{REPO}:debian-base-0.2.0"
TOKEN = "a-token-of-the-browser"
SOURCE, RESULT = "print(6 * 7 * 1001)", "42042"

# As root Chromium runs only without its sandbox; /dev/shm of a container is small; a proxy knows no local address.
SWITCHES = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server", "--window-size=1280,800"]
# What WebDriver calls the id of an element, and two keys.
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
SHIFT, ENTER = "\ue008", "\ue007"

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Refused(Exception):
    """What the browser says no with: there is no such element, or something covers it."""


def ask(method: str, url: str, /, **parameters: Any) -> Any:
    body = json.dumps(parameters).encode() if method == "POST" else None
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
    try:
        with OPENER.open(request, timeout=120) as response:
            return json.load(response)["value"]
    except urllib.error.HTTPError as error:
        raise Refused(json.load(error)["value"]["message"].splitlines()[0]) from None


def wait_for(what: str, question: Callable[[], Any], seconds: float = 180) -> Any:
    """The first answer with something in it."""
    until = time.monotonic() + seconds
    while True:
        refused = None
        try:
            if answer := question():
                return answer
        except Refused as error:
            refused = error
        assert time.monotonic() < until, f"waited {seconds:g} s for {what}; the last refusal: {refused}"
        time.sleep(0.2)


@dataclass(frozen=True)
class Browser:
    """A browser with one page, by the address of its WebDriver session."""

    address: str

    def open(self, url: str) -> None:
        ask("POST", f"{self.address}/url", url=url)

    def texts(self, selector: str) -> list[str]:
        """What is to be read in the elements that a CSS selector finds."""
        script = "return [...document.querySelectorAll(arguments[0])].map(element => element.innerText.trim())"
        found: list[str] = ask("POST", f"{self.address}/execute/sync", script=script, args=[selector])
        return found

    def click(self, selector: str) -> None:
        """Clicks as a person does: not on what is hidden or covered, so it is tried until it is not."""

        def clicked() -> bool:
            found = ask("POST", f"{self.address}/element", using="css selector", value=selector)
            ask("POST", f"{self.address}/element/{found[ELEMENT]}/click")
            return True

        wait_for(f"a click on {selector}", clicked)

    def type(self, text: str) -> None:
        for key in text:
            self.press(key)

    def press(self, *keys: str) -> None:
        """Presses keys together."""
        strokes = [{"type": "keyDown", "value": key} for key in keys]
        strokes += [{"type": "keyUp", "value": key} for key in reversed(keys)]
        ask("POST", f"{self.address}/actions", actions=[{"type": "key", "id": "keyboard", "actions": strokes}])

    def screenshot(self) -> bytes:
        return base64.b64decode(ask("GET", f"{self.address}/screenshot"))


def programs() -> tuple[str, str] | None:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    return (chromium, driver) if chromium and driver else None


def install() -> str:
    """Installs Chromium from Debian's packages where that is possible; what went wrong."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "as root on Debian the tests install them; else: apt-get install chromium chromium-driver"
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium", "chromium-driver"]):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        options = ["--quiet", "-o", "DPkg::Lock::Timeout=300"]
        done = subprocess.run(["apt-get", *options, *command], env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            return done.stderr.strip()
    return "apt-get installed them, but they are not on the PATH"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = programs()
    if not found:
        problem = install()
        found = programs()
    if not found:
        unavailable(f"no chromium and chromedriver: {problem}")
    chromium, driver = found

    folder = tmp_path_factory.mktemp("browser")
    log = folder / "chromedriver.log"
    with log.open("w") as output:
        # Chromium writes to the home, too.
        environment = os.environ | {"HOME": str(folder)}
        process = subprocess.Popen([driver, "--port=0"], env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        port = wait_for("chromedriver", lambda: re.search(r"started successfully on port (\d+)", log.read_text()))[1]
        options = {"goog:chromeOptions": {"binary": chromium, "args": SWITCHES}}
        server = f"http://127.0.0.1:{port}"
        session = ask("POST", f"{server}/session", capabilities={"alwaysMatch": options})["sessionId"]
        yield Browser(f"{server}/session/{session}")
        ask("DELETE", f"{server}/session/{session}")
    finally:
        process.terminate()
        process.wait()


def docker(engine: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], env=engine, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def container(root: Path, tmp_path_factory: pytest.TempPathFactory, engine: Mapping[str, str]) -> Iterator[str]:
    """A container of debian-base, which was built from the repository's own orbiter.yaml."""
    folder = tmp_path_factory.mktemp("project")
    text, count = re.subn(r"^  repo: .*$", f"  repo: {REPO}", (root / "orbiter.yaml").read_text(), flags=re.MULTILINE)
    assert count == 1
    (folder / "orbiter.yaml").write_text(text)
    done = run_orbiter(folder, engine, "build", "debian-base", "--load", "--progress=plain")
    assert done.returncode == 0, done.stderr[-5000:]
    name = docker(engine, "run", "--detach", "--publish", "127.0.0.1::8888", "--env", f"JUPYTER_TOKEN={TOKEN}", IMAGE)
    try:
        yield name
    finally:
        docker(engine, "rm", "--force", name)
        docker(engine, "rmi", IMAGE)


@pytest.fixture
def address(container: str, engine: Mapping[str, str]) -> str:
    """Where its JupyterLab answers."""
    address = f"http://{docker(engine, 'port', container, '8888').splitlines()[0]}"

    def answers() -> bool:
        try:
            with OPENER.open(f"{address}/api", timeout=10) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    wait_for("JupyterLab", answers, seconds=90)
    return address


def test_a_person_makes_a_notebook_and_runs_a_cell(
    browser: Browser, container: str, address: str, engine: Mapping[str, str], tmp_path: Path
) -> None:
    browser.open(f"{address}/lab?token={TOKEN}")
    try:
        browser.click('.jp-LauncherCard[data-category="Notebook"][title^="Python 3"]')
        browser.click(".jp-Notebook .jp-CodeCell .cm-content")
        browser.type(SOURCE)
        wait_for("the source in the cell", lambda: browser.texts(".jp-CodeCell .cm-content") == [SOURCE])
        # A cell that is run before the kernel is there may be forgotten.
        idle = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'
        wait_for("the kernel", lambda: browser.texts(idle))
        browser.press(SHIFT, ENTER)
        wait_for("the output", lambda: browser.texts(".jp-CodeCell .jp-OutputArea-output"))
        # JupyterLab asks a new user whether it may show news.
        if "No" in browser.texts(".jp-toast-button"):
            browser.click('.jp-toast-button[title="No"]')
            wait_for("the end of the question", lambda: not browser.texts(".Toastify__toast"))
    finally:
        keep(browser.screenshot(), tmp_path)

    assert browser.texts(".jp-CodeCell .jp-OutputArea-output") == [RESULT]
    assert browser.texts(".jp-CodeCell .jp-InputPrompt") == ["[1]:", "[ ]:"]
    assert browser.texts(".jp-Dialog, .Toastify__toast--error") == []
    assert docker(engine, "exec", container, "stat", "--format=%U", "Untitled.ipynb") == "jovyan"


def keep(screenshot: bytes, folder: Path) -> None:
    (folder / "jupyterlab.png").write_bytes(screenshot)
    if artefacts := os.environ.get("ORBITER_ARTEFACTS"):
        Path(artefacts).mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "jupyterlab.png", artefacts)
