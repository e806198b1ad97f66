"""BuildPlan → what to ask each image in a running container; outcomes → a table, JSON or JUnit XML."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from orbiter.model import BuildPlan, Start, Target
from orbiter.tables import columns

PORT = 8888


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question: a command in the container and what its answer has to be.

    It passes if the command ends with 0 and prints `output` somewhere, if that is given. `stdin` is a file of
    the project that the command reads; `timeout` is in seconds.
    """

    name: str
    command: tuple[str, ...]
    output: str | None = None
    stdin: str | None = None
    timeout: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """The checks of an image. `serves`: its own command runs beside them, else nothing does."""

    target: str
    reference: str
    serves: bool
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a check ended: `problem` is empty if it passed, else what was printed, or what is wrong."""

    target: str
    check: str
    seconds: float
    problem: str = ""


def suites(plan: BuildPlan, names: Sequence[str]) -> tuple[Suite, ...]:
    """The checks of the published images among the named targets and groups, in the order of the plan."""
    groups = {group.name: group.targets for group in plan.groups}
    wanted = {target for name in names for target in groups.get(name, (name,))}
    return tuple(_suite(plan, target) for target in plan.targets if target.name in wanted and target.image.deployable)


def starts(plan: BuildPlan, target: Target) -> Start | None:
    """How the image starts: as it says itself, else as the nearest parent within the project says."""
    by_name = {each.name: each for each in plan.targets}
    while target.stage.start is None and target.image.parent.target:
        target = by_name[target.image.parent.target]
    return target.stage.start


def _suite(plan: BuildPlan, target: Target) -> Suite:
    start = starts(plan, target)
    jupyter = start is not None and start.jupyter
    return Suite(
        target=target.name,
        reference=plan.project.reference(target.name),
        serves=jupyter,
        checks=tuple(_checks(plan, target, jupyter=jupyter)),
    )


def _checks(plan: BuildPlan, target: Target, *, jupyter: bool) -> Iterator[Check]:
    test, uid = target.image.test, plan.project.account.uid
    who = f'[ "$(id -u)" = {uid} ] || {{ echo "runs as user $(id -u) instead of {uid}"; exit 1; }}'
    yield Check(name="user", command=("sh", "-c", who))
    if jupyter:
        yield Check(name="interpreter", command=("python", "--version"), output="Python 3")
    if jupyter or test.imports:
        yield Check(name="imports", command=(*_python(_IMPORTS), *test.imports), timeout=900)
    if jupyter:
        yield Check(name="kernels", command=_python(_KERNELS))
        yield Check(name="http", command=(*_python(_HTTP), *(test.http or ("/lab",))), timeout=120)
        yield Check(name="token", command=_python(_TOKEN), timeout=120)
    for command in test.commands:
        yield Check(name=" ".join(command.run), command=command.run, output=command.output)
    for notebook in test.notebooks:
        yield Check(name=notebook, command=_python(_NOTEBOOK), stdin=notebook, timeout=1800)


def _python(code: str) -> tuple[str, ...]:
    return ("python", "-c", code)


_IMPORTS = """
import importlib, importlib.metadata, os, sys, tempfile, traceback

def named():
    for each in importlib.metadata.distributions():
        here = {file.parts[0].split(".")[0] for file in each.files or ()}
        for name in (each.read_text("top_level.txt") or "").split():
            if name.isidentifier() and name[0] != "_" and name in here and name not in ("test", "tests", "docs"):
                yield name

def start(name):
    said = tempfile.TemporaryFile()
    child = os.fork()
    if child:
        return child, (name, said)
    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    try:
        importlib.import_module(name)
    except BaseException:
        traceback.print_exc(limit=0)
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)

names, running, failed = sorted(set(sys.argv[1:] or named())), {}, 0
while names or running:
    while names and len(running) < (os.cpu_count() or 1):
        child, about = start(names.pop(0))
        running[child] = about
    child, status = os.wait()
    name, said = running.pop(child)
    if status:
        failed += 1
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()
        print(f"import {name}: {lines[-1] if lines else 'signal %d' % (status & 127)}")
sys.exit(failed > 0)
"""

_KERNELS = """
import sys
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import start_new_kernel

names, failed = sorted(KernelSpecManager().find_kernel_specs()), 0
for name in names:
    try:
        manager, client = start_new_kernel(kernel_name=name, startup_timeout=60)
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    except Exception as error:
        failed += 1
        print(f"kernel {name}: {type(error).__name__}: {error}")
if not names:
    print("no kernel is installed; add ipykernel or jupyterlab")
sys.exit(failed > 0 or not names)
"""

_ASK = f"""
import os, sys, time, urllib.error, urllib.request

def ask(path, token):
    request = urllib.request.Request("http://127.0.0.1:{PORT}" + path)
    if token:
        request.add_header("Authorization", "token " + os.environ["JUPYTER_TOKEN"])
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(request, timeout=30) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return error

until = time.monotonic() + 60
while ask("/api", True) != 200:
    if time.monotonic() > until:
        sys.exit("nothing answers on port {PORT} within 60 s")
    time.sleep(0.2)
"""

_HTTP = (
    _ASK
    + """
answers = {path: ask(path, True) for path in sys.argv[1:]}
sys.exit("\\n".join(f"{path}: {answer} instead of 200" for path, answer in answers.items() if answer != 200) or None)
"""
)

_TOKEN = (
    _ASK
    + """
answer = ask("/api/contents", False)
sys.exit(None if answer == 403 else f"/api/contents without the token: {answer} instead of 403")
"""
)

_NOTEBOOK = """
import sys
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

notebook = nbformat.reads(sys.stdin.read(), as_version=4)
try:
    NotebookClient(notebook, timeout=1700).execute()
except CellExecutionError as error:
    sys.exit(str(error).strip())
"""


def as_text(outcomes: Sequence[Outcome]) -> str:
    """A table, and under it what failed with what was printed."""
    lines = columns(_cells(outcomes))
    for outcome in outcomes:
        if outcome.problem:
            lines += ["", f"{outcome.target}: {outcome.check} failed", *_indented(outcome.problem)]
    return "\n".join(lines)


def _cells(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    head = ("image", "check", "result", "time")
    return [head, *((o.target, o.check, "failed" if o.problem else "ok", f"{o.seconds:.1f} s") for o in outcomes)]


def _indented(text: str) -> list[str]:
    return [f"  {line}".rstrip() for line in text.rstrip().splitlines()]


def as_data(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Outcomes as plain data, for `--format json`."""
    return {
        "passed": not any(outcome.problem for outcome in outcomes),
        "checks": [
            {
                "target": outcome.target,
                "check": outcome.check,
                "passed": not outcome.problem,
                "seconds": round(outcome.seconds, 3),
                "problem": outcome.problem or None,
            }
            for outcome in outcomes
        ],
    }


def as_junit(outcomes: Sequence[Outcome]) -> str:
    """JUnit XML, a suite an image: https://github.com/testmoapp/junitxml."""
    root = ElementTree.Element("testsuites")
    for target in dict.fromkeys(outcome.target for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.target == target]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=target,
            tests=str(len(own)),
            failures=str(sum(bool(outcome.problem) for outcome in own)),
            time=f"{sum(outcome.seconds for outcome in own):.3f}",
        )
        for outcome in own:
            case = ElementTree.SubElement(
                suite, "testcase", classname=target, name=outcome.check, time=f"{outcome.seconds:.3f}"
            )
            if outcome.problem:
                plain = "".join(c for c in outcome.problem if c >= " " or c in "\t\n")
                failure = ElementTree.SubElement(case, "failure", message=plain.strip().splitlines()[-1][:200])
                failure.text = plain
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode")
