"""The files of `copy`, as one hash a target: what `orbiter.content` cannot cover, since no generated file has them.

`orbiter build` puts it on the image as a label; plain bake does not, so what bake alone built counts as stale where
files are copied. It covers names, bytes, links and permissions, as BuildKit's own cache does, and the files of all
targets that an image is built from. What a .dockerignore excludes counts nevertheless.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from orbiter.errors import UsageError
from orbiter.model import BuildPlan

_DIGITS = 16


def hashes(plan: BuildPlan, folder: Path) -> Mapping[str, str]:
    """The hash of each target that has copied files, or that is built from one which has. Raises UsageError.

    Each source is read once. `folder` is that of the project.
    """
    known: dict[str, str] = {}
    targets = {target.name: target for target in plan.targets}
    found: dict[str, str] = {}
    done: set[str] = set()
    waiting = list(targets)
    while waiting:
        name = waiting[-1]
        missing = [need for need in targets[name].needs if need in targets and need not in done]
        waiting += missing
        if missing:
            continue
        waiting.pop()
        done.add(name)
        sources = [source for source, _ in targets[name].image.copy]
        for source in sources:
            if source not in known:
                known[source] = _source(folder / source)
        pieces = [known[source] for source in sources]
        pieces += [found[need] for need in targets[name].needs if need in found]
        if pieces:
            found[name] = hashlib.sha256(" ".join(pieces).encode()).hexdigest()[:_DIGITS]
    return found


def _source(path: Path) -> str:
    """A hash of a file, or of a folder with all that is in it."""
    digest = hashlib.sha256()
    try:
        for each in _below(path):
            mode = each.lstat().st_mode
            name = each.relative_to(path).as_posix()
            digest.update(f"{len(name)}:{name}{mode:o}".encode())
            if stat.S_ISLNK(mode):
                digest.update(os.fsencode(each.readlink()))
            elif stat.S_ISREG(mode):
                with each.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise UsageError(f"{error.filename or path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def _below(path: Path) -> Iterator[Path]:
    """The path itself, and what is below it, in an order that no file system decides."""
    yield path
    if path.is_dir() and not path.is_symlink():
        for each in sorted(path.iterdir()):
            yield from _below(each)
