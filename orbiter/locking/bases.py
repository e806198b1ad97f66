"""What is known of base images by their names: their Python, and the C library that wheels have to fit."""

import re
from dataclasses import dataclass

from orbiter.model import Distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A release of a distribution. `python` is None where the name does not tell; `glibc` is the minor of 2.x, None
    for musl."""

    python: str | None
    glibc: int | None


# https://packages.debian.org, https://packages.ubuntu.com, https://pkgs.alpinelinux.org: packages python3 and libc6.
_RELEASES = {
    ("debian", "bookworm"): ("3.11", 36),
    ("debian", "trixie"): ("3.13", 41),
    ("ubuntu", "jammy"): ("3.10", 35),
    ("ubuntu", "noble"): ("3.12", 39),
    ("alpine", "3.20"): ("3.12", None),
    ("alpine", "3.21"): ("3.12", None),
    ("alpine", "3.22"): ("3.12", None),
    ("alpine", "3.23"): ("3.12", None),
}
_NUMBERS = {"12": "bookworm", "13": "trixie", "22.04": "jammy", "24.04": "noble"}

OLDEST_GLIBC = 28
"""manylinux_2_28, which every distribution that is still maintained can run: for bases that are not known."""


def base(reference: str, distribution: Distribution) -> Base:
    """What the image of that reference brings: by its name, else what holds for every image of the distribution."""
    match = re.search(r"(?:^|/)(debian|ubuntu|alpine):([a-z]+|[0-9]+(?:\.[0-9]+)?)", reference)
    if match:
        release = _RELEASES.get((match[1], _NUMBERS.get(match[2], match[2])))
        if release:
            return Base(python=release[0], glibc=release[1])
    return Base(python=None, glibc=None if distribution == "alpine" else OLDEST_GLIBC)
