"""Runs the checks of images in the engine, several images at a time, each in a container of its own."""

import re
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orbiter.checks import Check, Outcome, Suite
from orbiter.engine import Answer, Engine
from orbiter.errors import EngineError

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def run(
    suites: Sequence[Suite], engine: Engine, folder: Path, jobs: int, say: Callable[[Outcome], None]
) -> tuple[Outcome, ...]:
    """The outcomes, in the order of the suites; `say` hears of each as it comes, from any thread.

    `folder` has the notebooks. An image that is not in the engine is an EngineError: images whose turn has not come
    are not begun then, those that are being asked are asked to the end.
    """
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        waiting = [pool.submit(_run, suite, engine, folder, say) for suite in suites]
        try:
            return tuple(outcome for each in waiting for outcome in each.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _run(suite: Suite, engine: Engine, folder: Path, say: Callable[[Outcome], None]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    container = engine.start(suite.reference, serves=suite.serves, token=secrets.token_hex(16))
    try:
        for check in suite.checks:
            began = time.monotonic()
            stdin = (folder / check.stdin).read_bytes() if check.stdin else b""
            answer = engine.execute(container, check.command, stdin, check.timeout)
            problem = _problem(check, answer)
            if problem and "is not running" in answer.output:
                raise EngineError(f"{suite.reference} ended by itself; it printed:\n{engine.logs(container)}")
            outcome = Outcome(target=suite.target, check=check.name, seconds=time.monotonic() - began, problem=problem)
            say(outcome)
            outcomes.append(outcome)
    finally:
        engine.remove(container)
    return outcomes


def _problem(check: Check, answer: Answer) -> str:
    output = _COLOURS.sub("", answer.output).strip()
    if answer.status is None:
        return f"{output}\nnot done within {check.timeout} s".strip()
    if answer.status != 0:
        return output or f"ended with {answer.status} and printed nothing"
    if check.output is not None and check.output not in output:
        return f"{output}\ndoes not contain: {check.output}".strip()
    return ""
