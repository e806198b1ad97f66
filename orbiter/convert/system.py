"""apt.txt and runtime.txt: packages of the distribution, and the versions of Python and R."""

import re
from dataclasses import dataclass

from orbiter import packages
from orbiter.convert.carried import Carried, Remark, comment_of, left_out, shown
from orbiter.starter import Entry

SUPPORTED = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
"""The versions of Python that repo2docker has, https://github.com/jupyterhub/repo2docker (2026-08)."""

DEFAULT = "3.10"
"""The Python that repo2docker takes where a repository names none (2026-08)."""

# https://devguide.python.org/versions/
_ENDS = {
    "3.6": "December 2021",
    "3.7": "June 2023",
    "3.8": "October 2024",
    "3.9": "October 2025",
    "3.10": "October 2026",
    "3.11": "October 2027",
    "3.12": "October 2028",
    "3.13": "October 2029",
    "3.14": "October 2030",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What runtime.txt asks for: `python` or `r`, a version, a date of the packages; each None if it is not said."""

    language: str | None = None
    version: str | None = None
    date: str | None = None
    remarks: tuple[Remark, ...] = ()


def runtime(path: str, text: str) -> Runtime:
    """Reads `python-3.11`, `r-4.4-2024-05-01` or `r-2024-05-01`, as repo2docker does."""
    written = text.strip()
    found = re.fullmatch(r"([a-z]+)(?:-([0-9]+(?:\.[0-9]+){0,2}))?(?:-([0-9]{4}-[0-9]{2}-[0-9]{2}))?", written)
    if not found or not (found[2] or found[3]):
        return Runtime(remarks=(left_out(path, 1, written, "write for example python-3.13"),))
    language, version, date = found.groups()
    remarks: list[Remark] = []
    if language not in ("python", "r"):
        return Runtime(language=language, remarks=(left_out(path, 1, written, "Binder knows python and r"),))
    if date:
        reason = "no index of packages is asked for a date; write versions beside the packages"
        remarks.append(left_out(path, 1, f"the date {date}", reason))
    if language == "python" and version and not version.startswith("3"):
        remarks.append(left_out(path, 1, written, "uv has no such Python; the packages are those of a Python 3"))
        version = None
    if language == "python" and version == "3":
        version = None
    return Runtime(language=language, version=version, date=date, remarks=tuple(remarks))


def too_old(path: str, spec: str) -> tuple[Remark, ...]:
    """A remark about a Python (`3.6`, `python=2.7`) that JupyterLab 4 does not run on; Binder has a second one then."""
    found = re.search(r"(\d+)\.(\d+)", spec)
    if not found or (int(found[1]), int(found[2])) >= (3, 8):
        return ()
    text = f"JupyterLab 4 needs Python 3.8; Binder has a second Python beside {found[0]}, the image has not: raise it"
    return (Remark(file=path, line=0, text=text),)


def lifetime(version: str) -> str | None:
    """Until when a version of Python is mended, as a comment."""
    ends = _ENDS.get(".".join(version.split(".")[:2]))
    return f"gets security fixes until {ends}" if ends else None


def apt(path: str, text: str) -> Carried:
    """The packages of apt.txt."""
    entries: list[Entry] = []
    remarks: list[Remark] = []
    for number, line in enumerate(text.splitlines(), 1):
        written, _, comment = line.partition("#")
        beside = comment_of(comment)
        if not written.strip():
            if beside:
                entries.append(Entry(text=None, comment=beside))
            continue
        try:
            entries += (Entry(text=spec, comment=beside) for spec in packages.split("apt", written.strip()))
        except packages.BadPackage as problem:
            remarks.append(Remark(file=path, line=number, text=f"left out: {shown(str(problem))}"))
    return Carried(tuple(entries), tuple(remarks))
