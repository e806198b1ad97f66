"""Grammars of package names and versions, each ecosystem's own: nothing else may reach an installer."""

import re
from collections.abc import Callable

_CONTROL = re.compile(r"[^\x20-\x7e]")


class BadPackage(ValueError):
    """An entry of a package list that no installer may see; the text says why, and the way out."""


def split(ecosystem: str, entry: str) -> tuple[str, ...]:
    """The specs of one entry of a package list (`gdal-dev gdal-tools` are two), in order. Raises BadPackage.

    `ecosystem` is apk, apt, conda, npm or pip.
    """
    if _PLAIN[ecosystem].fullmatch(entry):
        return (entry,)
    if _CONTROL.search(entry):
        raise BadPackage(f"'{_shown(entry)}' has a character that no package name has")
    if not entry.strip():
        raise BadPackage("an empty package name; remove the entry")
    return _SPLITTERS[ecosystem](entry.strip())


# Names without a version, by far the most: one match, and nothing more is looked at.
_PLAIN = {
    "apk": re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._+-]*"),
    "apt": re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.]"),
    "conda": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*"),
    "npm": re.compile(r"(?:@[a-z0-9~][a-z0-9._~-]*/)?[A-Za-z0-9~][A-Za-z0-9._~-]*"),
    "pip": re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"),
}

# apk: https://wiki.alpinelinux.org/wiki/Alpine_Package_Keeper, also providers: so:libz.so.1, cmd:bash.
_APK = re.compile(
    r"(?:[a-z][a-z0-9.]*:)?[a-zA-Z0-9][a-zA-Z0-9._+-]*(?:@[a-zA-Z0-9_-]+)?(?:(?:[<>]=?|=|~|=~)[0-9][a-zA-Z0-9._~+-]*)?"
)

# apt: https://www.debian.org/doc/debian-policy/ch-controlfields.html#source, versions of the same.
_APT = re.compile(
    r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.](?::[a-z0-9-]+)?(?:=(?:[0-9]+:)?[0-9][A-Za-z0-9.+~-]*|/[a-z][a-z0-9-]*)?(?<!-)"
)

# npm: https://docs.npmjs.com/cli/using-npm/package-spec; names of https://github.com/npm/validate-npm-package-name.
_NPM = re.compile(
    r"(?:@[a-z0-9~][a-z0-9._~-]*/)?[A-Za-z0-9~][A-Za-z0-9._~-]{0,213}(?:@(?:[\^~]|[<>]=?|=)?[A-Za-z0-9*][A-Za-z0-9.*+-]*)?"
)

# conda: https://docs.conda.io/projects/conda/en/stable/user-guide/concepts/pkg-specs.html#package-match-specifications
_CONDA_NAME = r"(?:[A-Za-z0-9_][A-Za-z0-9_./-]*::)?[A-Za-z0-9_][A-Za-z0-9_.-]*"
_CONDA_VERSION = r"(?:[<>!=~]=?|==)?[0-9*][A-Za-z0-9_.*+!~-]*"
_CONDA_VERSIONS = rf"{_CONDA_VERSION}(?:[,|]{_CONDA_VERSION})*"
_CONDA_BUILD = r"[A-Za-z0-9_.*+-]+"
_CONDA = re.compile(
    rf"{_CONDA_NAME}"
    rf"(?:=?{_CONDA_VERSIONS}(?:={_CONDA_BUILD})?)?"
    rf"(?:\[[a-z_]+=(?:'[^'\[\]\"]*'|[A-Za-z0-9_.*<>=!-]+)(?:,[a-z_]+=(?:'[^'\[\]\"]*'|[A-Za-z0-9_.*<>=!-]+))*\])?"
)
_CONDA_SPACED = re.compile(rf"(?P<name>{_CONDA_NAME}) +(?P<versions>[<>!=~0-9*][^ ]*)(?: +(?P<build>{_CONDA_BUILD}))?")


def name_in(spec: str) -> str:
    """The name in a spec of any ecosystem: `pandas>=2`, `conda-forge::gdal=3.9`, `@scope/name@^1`, `git=1:2.47`."""
    found = re.match(r"(?:[\w./-]+::)?((?:@[\w.~-]+/)?[\w.+-]*[\w+])", spec)
    return found[1] if found else spec


def folded(name: str) -> str:
    """One form of a name: https://packaging.python.org/en/latest/specifications/name-normalization/."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _words(pattern: re.Pattern[str], explain: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    def splitter(entry: str) -> tuple[str, ...]:
        words = tuple(entry.split())
        for word in words:
            if not pattern.fullmatch(word):
                raise BadPackage(explain(word))
        return words

    return splitter


def _explain_apk(word: str) -> str:
    if word.startswith("!"):
        return f"'{_shown(word)}' would forbid a package; only packages to install belong here"
    if word.startswith("."):
        return f"'{_shown(word)}' is a name of virtual packages; name the packages themselves"
    return f"'{_shown(word)}' is no apk package; write name, name=1.2.3-r0, name~1.2 or name>1"


def _explain_apt(word: str) -> str:
    if word.endswith("-"):
        return f"'{_shown(word)}' would remove a package (apt's trailing '-'); only packages to install belong here"
    if word != word.lower():
        return f"'{_shown(word)}' is no Debian package: names have small letters only"
    return f"'{_shown(word)}' is no Debian package; write name, name=version or name/suite"


def _explain_npm(word: str) -> str:
    if "://" in word or word.startswith((".", "/", "git+")) or ("/" in word and not word.startswith("@")):
        return f"'{_shown(word)}' is an address or path; only packages of the registry can be installed"
    return f"'{_shown(word)}' is no npm package; write name, @scope/name or name@^1.2"


def _conda(entry: str) -> tuple[str, ...]:
    spaced = _CONDA_SPACED.fullmatch(entry)
    if spaced:
        operator = "" if spaced["versions"][0] in "<>!=~" else "="
        joined = f"{spaced['name']}{operator}{spaced['versions']}" + (f"={spaced['build']}" if spaced["build"] else "")
        if _CONDA.fullmatch(joined):
            return (joined,)
    words = tuple(entry.split())
    for word in words:
        if not _CONDA.fullmatch(word) or word[0] in "<>=!~":
            raise BadPackage(_explain_conda(word))
    return words


def _explain_conda(word: str) -> str:
    if word[0] in "<>=!~0123456789*":
        return f"'{_shown(word)}' has no package before it; write name{_shown(word)} without blanks"
    if "://" in word:
        return f"'{_shown(word)}' is an address; only packages of a channel can be installed"
    return f"'{_shown(word)}' is no conda package; write name, name=1.2, name>=1.2,<2 or channel::name"


def _pip(entry: str) -> tuple[str, ...]:
    # A requirement may itself have blanks (`numpy >=1.2, <2`), so the whole comes first.
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirements: tuple[Requirement, ...] = (Requirement(entry),)
        texts: tuple[str, ...] = (entry,)
    except InvalidRequirement as error:
        texts = tuple(entry.split())
        if len(texts) == 1:
            raise BadPackage(_explain_pip(entry)) from error
        try:
            requirements = tuple(map(Requirement, texts))
        except InvalidRequirement:
            bad = next(text for text in texts if not _is_requirement(text))
            raise BadPackage(_explain_pip(bad)) from error
    for requirement in requirements:
        if requirement.url:
            _check_url(requirement.url)
    # In a requirements file `\` joins the next line, and `${NAME}` is an environment variable.
    for text in texts:
        if "\\" in text or "$" in text:
            raise BadPackage(_explain_pip(text))
    return tuple(" ".join(text.split()) for text in texts)


def _is_requirement(text: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        Requirement(text)
    except InvalidRequirement:
        return False
    return True


def _check_url(url: str) -> None:
    # uv and pip put environment variables into the addresses of a requirements file.
    if "$" in url or not re.fullmatch(r"[A-Za-z0-9._~:/?#@!&'()*+,;=%\[\]-]+", url):
        raise BadPackage("a package address with '$', quotes or blanks; write it out")
    if not re.match(r"(?:git\+)?https?://|git\+ssh://git@", url):
        raise BadPackage(
            "a package address that is not https:// or git+https://; files of this machine are not in the build"
        )
    if "@" in url.split("/")[2] and not url.startswith("git+ssh://git@"):
        raise BadPackage("a package address with a user or password, which would stand in generated files and layers")


def _explain_pip(word: str) -> str:
    shown = _shown(word)
    if word.startswith("-"):
        return f"'{shown}' is an option of pip; only packages belong here ('mirrors.pip' is the place of an index)"
    if word.startswith(("git+", "http://", "https://")):
        return f"'{shown}' is an address without a name; write 'name @ address'"
    if word.startswith((".", "/")):
        return f"'{shown}' is a path of this machine, which is not in the build; use 'copy' and 'postbuild'"
    single = re.fullmatch(r"([A-Za-z0-9._-]+)=([^=].*)", word)
    if single:
        return f"'{shown}' is a conda spec; did you mean '{single[1]}=={single[2]}'?"
    if word[0] in "<>=!~":
        return f"'{shown}' has no package before it; write each package with its version, one an entry"
    return f"'{shown}' is no requirement (PEP 508); write name, name>=1.2 or name[extra]"


_SPLITTERS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "apk": _words(_APK, _explain_apk),
    "apt": _words(_APT, _explain_apt),
    "conda": _conda,
    "npm": _words(_NPM, _explain_npm),
    "pip": _pip,
}


def _shown(text: str) -> str:
    plain = text.encode("unicode_escape").decode("ascii")
    return plain if len(plain) <= 60 else f"{plain[:57]}..."
