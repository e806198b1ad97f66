"""Grammars of the names that the configuration hands on: references, paths, addresses, ranges.

Each function returns what is wrong with a value, as a sentence, or None.
"""

import re
from posixpath import normpath

# https://github.com/distribution/reference/blob/main/regexp.go
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = rf"(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"sha256:[0-9a-f]{64}"

_REPOSITORY = re.compile(_NAME)
_REFERENCE = re.compile(rf"{_NAME}(?::{_TAG})?(?:@{_DIGEST})?")


def repository(text: str) -> str | None:
    """A repository, without a tag: `dorgeln/orbiter`, `ghcr.io/dorgeln/orbiter`."""
    if _REPOSITORY.fullmatch(text) and len(text) <= 255:
        return None
    if _REFERENCE.fullmatch(text):
        return f"'{text}' has a tag or digest; a repository has none: the version makes the tag"
    if text != text.lower():
        return f"'{text}' is no repository: capital letters are not allowed"
    return f"'{text}' is no repository; write [host[:port]/]path, for example ghcr.io/dorgeln/orbiter"


def reference(text: str) -> str | None:
    """A reference of an image: `debian:trixie-slim`, `ghcr.io/x/y@sha256:…`."""
    if _REFERENCE.fullmatch(text) and len(text) <= 512:
        return None
    name, _, digest = text.partition("@")
    if digest and not re.fullmatch(_DIGEST, digest):
        return f"'{text}' is no reference: a digest is 'sha256:' and 64 hexadecimal digits"
    path, _, tag = name.rpartition(":")
    if path and "/" not in tag and not re.fullmatch(_TAG, tag):
        return f"'{text}' is no reference: bad tag '{tag}'"
    if name != name.lower() and _REFERENCE.fullmatch(text.lower()):
        return f"'{text}' is no reference: capital letters are not allowed in a repository"
    return f"'{text}' is no reference; write [host[:port]/]path[:tag][@digest]"


def project_path(text: str) -> str | None:
    """A file or folder of the project: relative, and inside it."""
    if text.startswith(("/", "~")):
        return f"'{text}' is not inside the project; paths are relative to the folder of the configuration"
    if ".." in text.split("/"):
        return f"'{text}' leads out of the project"
    if normpath(text) == ".":
        return f"'{text}' is the whole project, generated files and certificates with it; name files and folders"
    if "\\" in text:
        return f"'{text}': write '/' between folders"
    if re.search(r"[*?[]|^!|\s$", text):
        # BuildKit's local contexts take them for patterns, also where COPY escapes them (tried with 28.5).
        return f"'{text}': BuildKit takes * ? [, a leading ! and a last blank for a pattern; copy the folder"
    return None


def image_path(text: str) -> str | None:
    """A place in the image: absolute, or relative to the home of the notebook user."""
    if text.startswith("~"):
        return f"'{text}': leave the '~' out, a relative path is in the home already"
    if ".." in text.split("/"):
        return f"'{text}' has '..'; write the path out"
    if "\\" in text:
        return f"'{text}': write '/' between folders"
    return None


def address(text: str) -> str | None:
    """The address of a package index. A password in it would end up in generated files."""
    if not re.fullmatch(r"https?://[^\s\"'$`\\]+", text):
        return f"'{text}' is no address; write https://host/path"
    if "@" in text.split("/")[2]:
        return "an address with a user or password, which would stand in generated files; leave it out"
    return None


def python_version(text: str) -> str | None:
    """A version of Python that uv looks for or installs: one to three numbers, as the schema has it."""
    major, *minor = map(int, text.split(".")[:2])
    if major == 3 and (not minor or minor[0] >= 6):
        return None
    # https://github.com/astral-sh/uv/blob/main/crates/uv-python/src/discovery.rs: "Python <3.6 is not supported".
    return f"there is no Python {text} for uv, which makes the environment: write 3.6 or later, below 4"


def python_range(text: str, version: str | None) -> str | None:
    """A range of Python versions (PEP 440) that holds `version`, if that is given."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        specifiers = SpecifierSet(text)
    except InvalidSpecifier:
        return f"'{text}' is no range of versions; write for example '>=3.13,<3.14'"
    if version is None:
        return None
    # "3.13" stands for any 3.13.x, so its last patch release counts as well.
    candidates = (version, f"{version}.99")
    return (
        None
        if any(specifiers.contains(each) for each in candidates)
        else f"python.version {version} is not in '{text}'"
    )
