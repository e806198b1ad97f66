"""Where the scripts that measure put their figures: between two marks of a page."""

import os
import platform
from pathlib import Path


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def put(page: Path, begin: str, end: str, text: str) -> None:
    """Replaces what stands between the lines `begin` and `end`, and leaves the rest of the page."""
    before, _, rest = page.read_text().partition(begin)
    page.write_text(f"{before}{begin}{text}{end}{rest.partition(end)[2]}")
