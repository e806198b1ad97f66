"""Reads a Binder repository from disk: the files that count there, and those that they name."""

import codecs
from pathlib import Path, PurePosixPath

from orbiter.convert import FILES, ROOT_FILES, Repository, references
from orbiter.errors import UsageError

_LARGEST = 1_000_000
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read(folder: Path, project: Path) -> Repository:
    """The repository in `folder`, for a configuration in the folder `project`. Raises UsageError."""
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise UsageError(f"{folder}: {what}; --from names the folder of a Binder repository")
    try:
        root = folder.resolve(strict=True)
        entries = tuple(sorted(entry.name for entry in root.iterdir()))
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read: {error.strerror}") from error
    waiting = [*ROOT_FILES, *(f"{place}{name}" for place in ("", "binder/", ".binder/") for name in FILES)]
    files: dict[str, str] = {}
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        text = _text(root, path)
        if text is not None:
            files[path] = text
            found = set(references(path, text)) - seen
            seen |= found
            waiting += sorted(found)
    # A file called `binder` is no folder of Binder's.
    names = tuple(name for name in entries if name not in ("binder", ".binder") or (root / name).is_dir())
    return Repository(name=str(folder), files=files, entries=names, place=_place(root, project.resolve()))


def _text(root: Path, path: str) -> str | None:
    """The text of a file; None if there is none. A link out of the repository leads to none: somebody else made it."""
    place = root.joinpath(*PurePosixPath(path).parts)
    try:
        if not place.is_file() or not place.resolve().is_relative_to(root):
            return None
        content = place.read_bytes()
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{path}: cannot be read: {reason}") from error
    if len(content) > _LARGEST:
        raise UsageError(f"{path}: has {len(content):,} bytes; files of at most {_LARGEST:,} are read")
    # Windows' PowerShell writes UTF-16; what is neither is Latin-1, in which every byte means something.
    encoding = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _place(root: Path, project: Path) -> str | None:
    return root.relative_to(project).as_posix() if root.is_relative_to(project) else None
