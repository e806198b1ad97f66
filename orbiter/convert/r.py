"""install.R: the packages of CRAN that it names, under the names that conda-forge has for them."""

import re

from orbiter import packages
from orbiter.convert.carried import Carried, Remark, left_out
from orbiter.starter import Entry

_INSTALL = re.compile(r"""(?:utils::)?install\.packages\(\s*(?:c\(([^()]*)\)|(["'][^"']*["']))\s*[,)]""")
_NAME = re.compile(r"""["']([A-Za-z][A-Za-z0-9.]*)["']""")
_LIBRARY = re.compile(r"""(?:library|require)\(\s*["']?([A-Za-z][A-Za-z0-9.]*)["']?\s*\)""")


def install(path: str, text: str) -> Carried:
    """`install.packages("ggplot2")` as `r-ggplot2`, the name that conda-forge's rules give it."""
    entries: list[Entry] = []
    remarks: list[Remark] = []
    covered: set[int] = set()
    names: dict[str, None] = {}
    for found in _INSTALL.finditer(text):
        first, last = (text.count("\n", 0, place) + 1 for place in found.span())
        covered |= set(range(first, last + 1))
        names |= dict.fromkeys(_NAME.findall(found[1] or found[2]))
    for name in names:
        spec = packages.split("conda", f"r-{name.lower()}")[0]
        entries.append(Entry(text=spec, comment=f"{path} installs {name} from CRAN"))
    for number, line in enumerate(text.splitlines(), 1):
        code = line.partition("#")[0].strip()
        if code and number not in covered and not _LIBRARY.fullmatch(code):
            reason = 'only install.packages("NAME") is carried over; R packages of conda-forge are called r-NAME'
            remarks.append(left_out(path, number, code, reason))
    return Carried(tuple(entries), tuple(remarks))
