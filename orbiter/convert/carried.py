"""What the readers of a repository's files hand back: entries, and remarks about what is not among them."""

import re
from dataclasses import dataclass

from orbiter.starter import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A line of a file that was left out, or that means something else here. Line 0 is the file as a whole."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.text}"


@dataclass(frozen=True, slots=True)
class Carried:
    """What one file came to."""

    entries: tuple[Entry, ...] = ()
    remarks: tuple[Remark, ...] = ()


def left_out(file: str, line: int, what: str, why: str) -> Remark:
    """The remark about something that no configuration of Orbiter can say, or should."""
    return Remark(file=file, line=line, text=f"left out: {shown(what)}; {why}")


def shown(text: str) -> str:
    """A line of the repository as people may see it: short, and without the password of an address."""
    plain = " ".join(without_secrets(text).split())
    return plain if len(plain) <= 80 else f"{plain[:79]}…"


def without_secrets(text: str) -> str:
    """The text without the users, passwords and tokens in its addresses."""
    text = re.sub(r"(?<=//)(?!git@)[^/\s]+@", "…@", text)
    return re.sub(r"(?<=/t/)[^/\s]+(?=/)", "…", text)  # https://docs.anaconda.com/psm-cloud/tokens/


def has_secret(text: str) -> bool:
    """Whether an address of the text has a user, password or token."""
    return without_secrets(text) != text


def comment_of(written: str | None) -> str | None:
    """A comment of the repository as a comment of the configuration; None if it says nothing."""
    return without_secrets(written).strip(" \t#") or None if written else None
