"""What all that run programs share: interrupts, and the words of what failed."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM, and SIGHUP unless `nohup` has it ignored, are interrupts."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def said(done: "subprocess.CompletedProcess[bytes]") -> str:
    """What a program that failed has to say, or how it ended."""
    return (done.stderr or done.stdout).decode(errors="replace").strip() or f"ended with {done.returncode}"
