"""FileSet → disk. One comparison serves writing, `--check` and `--diff`.

Orbiter knows its files by their place (`docker-bake.hcl`, `build/`, `dockerfiles/`) and by MARK; anything else is
foreign, and is never changed or removed. No link below the root is followed.

Writing first stages every text beside its place, then renames. A kill at any moment leaves whole files and at most
temporaries, which the next write removes. This holds for a dead process, not for a power cut: nothing is fsynced,
as a compile can be repeated.
"""

import fcntl
import io
import os
import re
import signal
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path

from orbiter.errors import ForeignFile, UsageError
from orbiter.model import FileSet, is_marked

HEAD = 300
BAKE_FILE = "docker-bake.hcl"
FOLDERS = ("build", "dockerfiles")

_TEMPORARY = re.compile(r"\.orbiter-[0-9a-f]{16}\.tmp")
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What separates the disk from a FileSet: sorted POSIX paths below the root, and the bytes that go with them.

    True if there is anything to do. `old` has what was updated or removed, `new` what is to be written; `leftovers`
    are the temporaries of killed compiles, which no check minds and the next write removes.
    """

    created: tuple[str, ...]
    updated: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: int
    old: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    new: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    leftovers: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.created or self.updated or self.removed)


def compare(files: FileSet, root: Path) -> Changes:
    """Reads the tree below `root`, which need not exist, and changes nothing.

    Raises ForeignFile, with all the paths, if the FileSet wants a place where something else stands; UsageError for
    what cannot be read; ValueError for a path that is not in Orbiter's places.
    """
    folders = _folders_of(files)
    top = f"{root}/"
    found = _scan(top)
    foreign = {path: found[path] for path in folders if found.get(path, "folder") != "folder"}
    old: dict[str, bytes] = {}
    new: dict[str, bytes] = {}
    for path, text in files.items():
        wanted = text.encode()
        present = None
        kind = found.pop(path, None)
        if kind == "file":
            present = _read(top + path)
        elif kind:
            foreign[path] = kind
        if present is None:
            new[path] = wanted
        elif present != wanted:
            old[path], new[path] = present, wanted
            if not is_marked(present):
                foreign[path] = "file"
    if foreign:
        raise ForeignFile((f"{top}{path}", kind) for path, kind in sorted(foreign.items()))

    removed: list[str] = []
    leftovers: list[str] = []
    for path, kind in found.items():
        if kind != "file" or path in FOLDERS:
            continue
        with suppress(UsageError):  # what cannot be read is not known to be Orbiter's
            present = _read(top + path, marked_only=True)
            if _TEMPORARY.fullmatch(path.rpartition("/")[2]):
                if present is not None and (not present or is_marked(present)):
                    leftovers.append(path)
            elif present:
                old[path] = present
                removed.append(path)
    return Changes(
        created=tuple(sorted(new.keys() - old.keys())),
        updated=tuple(sorted(new.keys() & old.keys())),
        removed=tuple(sorted(removed)),
        unchanged=len(files) - len(new),
        old=old,
        new=new,
        leftovers=tuple(leftovers),
    )


def write(changes: Changes, root: Path) -> None:
    """Makes the tree below `root` what the FileSet of `changes` says; call it right after `compare`.

    Raises UsageError with the path and the reason if the system refuses. When that or an interrupt comes while texts
    are staged, nothing has changed; once the renames have begun, interrupts wait for the end.
    """
    if not changes and not changes.leftovers:
        return
    top = f"{root}/"
    staged: list[tuple[str, str]] = []  # temporary, place
    made: list[str] = []  # folders, parents first
    try:
        with _in_use(top, made, changes.leftovers):
            # The bake file comes last: until then, bake builds what it did before.
            for path in sorted(changes.new, key=lambda path: (path == BAKE_FILE, path)):
                _stage(top + path, changes.new[path], staged, made)
            with _undisturbed():
                for temporary, place in staged:
                    with _explained(place):
                        os.replace(temporary, place)  # noqa: PTH105
                staged.clear()
                made.clear()
                _remove(top, changes.removed)
    except BaseException:
        with _undisturbed():
            for temporary, _ in staged:
                with suppress(OSError):
                    os.unlink(temporary)  # noqa: PTH108
            for folder in reversed(made):
                with suppress(OSError):
                    os.rmdir(folder)  # noqa: PTH106
        raise


def replace(path: Path, data: bytes) -> None:
    """Writes one file that is not Orbiter's alone, whole or not at all; it keeps its mode, and a link stays a link.

    Raises UsageError.
    """
    staged: list[tuple[str, str]] = []
    with _explained(str(path)):
        place = os.path.realpath(path)
    try:
        _stage(place, data, staged, [])
        with _explained(place):
            os.replace(*staged[0])  # noqa: PTH105
    except BaseException:
        for temporary, _ in staged:
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
        raise


@contextmanager
def alone(file: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Lets one process at a time into the block, by a lock on a file that is there; the others wait, and say so."""
    with _explained(str(file)):
        opened = os.open(file, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def check_replaceable(path: Path) -> None:
    """Raises UsageError if `replace` could not write the file: before the work of a minute, rather than after it."""
    folder = os.path.dirname(os.path.realpath(path))  # noqa: PTH120
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise UsageError(f"{path}: cannot be written: the folder {folder} is read-only")


def one_file(path: str, old: bytes | None, new: bytes) -> Changes:
    """The changes of one file, for `diff`; `old` is None if it is not there."""
    return Changes(
        created=(path,) if old is None else (),
        updated=() if old is None else (path,),
        removed=(),
        unchanged=0,
        old={} if old is None else {path: old},
        new={path: new},
    )


def summary(changes: Changes, *, wrote: bool) -> str:
    """`2 new, 1 changed, 7 unchanged`, and whether it was written."""
    if not changes:
        return f"{changes.unchanged} files, nothing to do"
    counted = (
        (len(changes.created), "new"),
        (len(changes.updated), "changed"),
        (len(changes.removed), "removed"),
        (changes.unchanged, "unchanged"),
    )
    text = ", ".join(f"{number} {kind}" for number, kind in counted if number)
    return text if wrote else f"{text} (nothing written)"


def diff(changes: Changes) -> Iterator[str]:
    """The lines, each with its end, of a patch that `git apply` reads. Bytes that are not UTF-8 show as U+FFFD."""
    for path in sorted((*changes.new, *changes.removed)):
        old, new = changes.old.get(path), changes.new.get(path)
        yield f"diff --git a/{path} b/{path}\n"
        if old is None:
            yield "new file mode 100644\n"
        elif new is None:
            yield "deleted file mode 100644\n"
        end = "\t" if " " in path else ""  # how git ends a name that has spaces
        source = f"a/{path}{end}" if old is not None else "/dev/null"
        target = f"b/{path}{end}" if new is not None else "/dev/null"
        for line in unified_diff(_lines(old), _lines(new), source, target):
            yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(data: bytes | None) -> list[str]:
    # Not splitlines(), which also splits at form feeds and U+2028, where git sees no line.
    return list(io.StringIO((data or b"").decode(errors="replace"), newline="\n"))


def _folders_of(files: FileSet) -> set[str]:
    """All the folders that the paths need. Raises ValueError for paths that no renderer should give."""
    folders: set[str] = set()
    for path in files:
        parts = path.split("/")
        if not {"", ".", ".."}.isdisjoint(parts) or (path != BAKE_FILE and parts[0] not in FOLDERS):
            raise ValueError(f"{path!r} is not a path of Orbiter's")
        while (path := path.rpartition("/")[0]) and path not in folders:
            folders.add(path)
    if both := sorted((folders | set(FOLDERS)) & files.keys()):
        raise ValueError(f"{both[0]!r} cannot be both a file and a folder")
    return folders


def _scan(top: str) -> dict[str, str]:
    """What is in Orbiter's places, and temporaries beside them: path → kind. Links are not followed."""
    found: dict[str, str] = {}
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with _explained(top + folder), os.scandir(top + folder) as entries:
                for entry in entries:
                    if folder or entry.name in (BAKE_FILE, *FOLDERS) or _TEMPORARY.fullmatch(entry.name):
                        kind = found[folder + entry.name] = _kind(entry)
                        if kind == "folder" and (folder or entry.name in FOLDERS):
                            folders.append(f"{folder}{entry.name}/")
        except UsageError as error:
            if isinstance(error.__cause__, PermissionError) and folder:
                found[folder[:-1]] = "unreadable folder"  # somebody else's; in the way only if it is wanted
            elif not isinstance(error.__cause__, FileNotFoundError):
                raise
    return found


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if entry.is_file(follow_symlinks=False) else "special file"


def _read(path: str, marked_only: bool = False) -> bytes | None:
    """The bytes of a file, None if it went away; with `marked_only`, None also for text without MARK."""
    with _explained(path), suppress(FileNotFoundError), open(path, "rb", buffering=0) as file:  # noqa: PTH123
        head = file.read(HEAD) if marked_only else b""
        if not marked_only or not head or is_marked(head):
            return head + file.readall()
    return None


@contextmanager
def _in_use(top: str, made: list[str], leftovers: Iterable[str]) -> Iterator[None]:
    """Makes the root and holds a shared lock on it, so that no other compile takes our temporaries for left-overs.

    A process that gets the lock for itself alone knows that the left-overs it saw before are nobody's.
    """
    with _explained(top):
        if not os.path.isdir(top):  # noqa: PTH112
            _make_folder(top.rstrip("/") or "/", made)
        folder = os.open(top, os.O_RDONLY)
    try:
        with suppress(OSError):  # in use, or a file system without locks: left-overs stay
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(top, leftovers)
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_SH)
        yield
    finally:
        os.close(folder)


def _stage(place: str, data: bytes, staged: list[tuple[str, str]], made: list[str]) -> None:
    """Writes a temporary beside `place`, with the mode of the file that it is to replace."""
    folder = place.rpartition("/")[0]
    temporary = f"{folder}/.orbiter-{os.urandom(8).hex()}.tmp"
    with _explained(place):
        staged.append((temporary, place))  # before it exists: an interrupt may come between the two
        file = _create(temporary, folder, made)
        try:
            with suppress(FileNotFoundError):
                os.fchmod(file, stat.S_IMODE(os.stat(place).st_mode))  # noqa: PTH116
            while data:
                data = data[os.write(file, data) :]
        finally:
            os.close(file)


def _create(path: str, folder: str, made: list[str]) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    for _ in range(100):  # a compile beside this one may remove the folder as empty before the file is in it
        with suppress(FileNotFoundError):
            return os.open(path, flags, 0o666)
        with suppress(FileNotFoundError):
            _make_folder(folder, made)
    return os.open(path, flags, 0o666)


def _make_folder(folder: str, made: list[str]) -> None:
    """Makes a folder and those above it; the new ones go into `made`, parents first."""
    missing = []
    while folder and not os.path.isdir(folder):  # noqa: PTH112
        missing.append(folder)
        folder = folder.rpartition("/")[0]
    for each in reversed(missing):
        made.append(each)  # before it exists, as above
        try:
            os.mkdir(each)  # noqa: PTH102
        except FileExistsError:  # another compile was quicker
            made.pop()


def _remove(top: str, paths: Iterable[str]) -> None:
    """Removes files, and the folders that this leaves empty."""
    for path in paths:
        with _explained(top + path), suppress(FileNotFoundError):
            os.unlink(top + path)  # noqa: PTH108
        while path := path.rpartition("/")[0]:
            try:
                os.rmdir(top + path)  # noqa: PTH106
            except OSError:
                break  # not empty


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """An error of the system becomes one of Orbiter's, with the path."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{error.filename or path}: {error.strerror or error}") from error


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Interrupts wait until the block is done."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        # Inside of the try: it may block, and still raise for an interrupt that came just before.
        signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
