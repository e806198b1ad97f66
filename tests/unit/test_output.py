"""Writing the generated files: what is touched, what never is, and what a kill or a refusal leaves behind."""

import fcntl
import inspect
import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.errors import ForeignFile, UsageError
from orbiter.model import MARK
from orbiter.output import Changes, compare, diff, write

LEFTOVER = ".orbiter-0123456789abcdef.tmp"
BAKE = "docker-bake.hcl"
CORE = "build/alpine/core/Dockerfile"
BASE = "build/alpine/base/Dockerfile"
BINDER = "dockerfiles/alpine/base/Dockerfile"


def text(body: str = "") -> str:
    return f"# {MARK} from orbiter.yaml; do not edit.\n{body}"


FILES = {BAKE: text("group {}\n"), CORE: text("FROM a\n"), BASE: text("FROM b\n"), BINDER: text("FROM c\n")}


def compile_into(root: Path, files: Mapping[str, str]) -> Changes:
    changes = compare(files, root)
    write(changes, root)
    return changes


def put(root: Path, path: str, content: str | bytes) -> Path:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content if isinstance(content, bytes) else content.encode())
    return place


def tree(root: Path) -> dict[str, bytes | str]:
    """Everything below the root: files with their bytes, links with their target, folders with "/"."""
    found: dict[str, bytes | str] = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            place = Path(folder, name)
            path = str(place.relative_to(root))
            if place.is_symlink():
                found[path] = f"-> {place.readlink()}"
            elif place.is_dir():
                found[path] = "/"
            else:
                found[path] = place.read_bytes() if place.is_file() else "special"
    return found


def files_of(root: Path) -> dict[str, str]:
    return {path: what.decode() for path, what in tree(root).items() if isinstance(what, bytes)}


def state(root: Path) -> dict[str, tuple[int, int, int, bytes | str]]:
    """The tree with what shows that something was touched: inode, time of change and mode."""
    state = {}
    for path, what in {**tree(root), "": "/"}.items():
        status = (root / path).lstat()
        state[path] = (status.st_ino, status.st_mtime_ns, status.st_mode, what)
    return state


# --- what is written, and what is not touched


def test_first_compile_creates_everything_and_the_root(tmp_path: Path) -> None:
    root = tmp_path / "not" / "there"
    changes = compile_into(root, FILES)
    assert changes
    assert (changes.created, changes.updated, changes.removed) == (tuple(sorted(FILES)), (), ())
    assert files_of(root) == FILES


def test_second_compile_touches_nothing(tmp_path: Path) -> None:
    compile_into(tmp_path, FILES)
    before = state(tmp_path)
    changes = compile_into(tmp_path, FILES)
    assert not changes
    assert changes.unchanged == len(FILES)
    assert state(tmp_path) == before


def test_only_files_that_differ_are_touched(tmp_path: Path) -> None:
    compile_into(tmp_path, FILES)
    before = state(tmp_path)
    changes = compile_into(tmp_path, FILES | {CORE: text("FROM new\n")})
    after = state(tmp_path)
    assert (changes.created, changes.updated, changes.removed, changes.unchanged) == ((), (CORE,), (), 3)
    assert files_of(tmp_path) == FILES | {CORE: text("FROM new\n")}
    assert {path for path in after if after[path] != before[path]} == {CORE, str(Path(CORE).parent)}


def test_comparing_changes_nothing(tmp_path: Path) -> None:
    compile_into(tmp_path, FILES)
    put(tmp_path, f"build/{LEFTOVER}", "")
    before = state(tmp_path)
    changes = compare({BAKE: text("new")}, tmp_path)
    assert (changes.updated, changes.removed) == ((BAKE,), (BASE, CORE, BINDER))
    assert state(tmp_path) == before


def test_comparing_does_not_make_a_missing_root(tmp_path: Path) -> None:
    assert compare(FILES, tmp_path / "new").created == tuple(sorted(FILES))
    assert tree(tmp_path) == {}


def test_stale_files_go_with_the_folders_that_they_leave_empty(tmp_path: Path) -> None:
    compile_into(tmp_path, FILES)
    changes = compile_into(tmp_path, {BAKE: FILES[BAKE], CORE: FILES[CORE]})
    assert changes.removed == (BASE, BINDER)
    assert set(tree(tmp_path)) == {BAKE, "build", "build/alpine", "build/alpine/core", CORE}


def test_root_stays_when_everything_is_removed(tmp_path: Path) -> None:
    compile_into(tmp_path, FILES)
    compile_into(tmp_path, {})
    assert tmp_path.is_dir()
    assert tree(tmp_path) == {}


def test_folder_that_was_empty_before_stays(tmp_path: Path) -> None:
    (tmp_path / "build/alpine/mine").mkdir(parents=True)
    compile_into(tmp_path, FILES)
    compile_into(tmp_path, {})
    assert set(tree(tmp_path)) == {"build", "build/alpine", "build/alpine/mine"}


def test_mode_of_a_new_file_follows_the_umask_and_of_an_old_one_is_kept(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        compile_into(tmp_path, FILES)
    finally:
        os.umask(mask)
    (tmp_path / CORE).chmod(0o444)
    compile_into(tmp_path, FILES | {CORE: text("new"), BASE: text("new")})
    modes = {path: stat.S_IMODE((tmp_path / path).stat().st_mode) for path in FILES}
    assert modes == {BAKE: 0o640, BASE: 0o640, CORE: 0o444, BINDER: 0o640}


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x", "build/../x", "build//x", "build/./x", "build/", "build", "README.md", "buildx/a", ""],
)
def test_path_outside_of_orbiters_places_is_a_bug(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match=r"path of Orbiter's|both a file and a folder"):
        compare({path: text()}, tmp_path)


def test_path_that_is_both_file_and_folder_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'build/a' cannot be both"):
        compare({"build/a/b": text(), "build/a": text()}, tmp_path)


# --- what Orbiter did not write


def refused(root: Path, files: Mapping[str, str] = FILES) -> ForeignFile:
    before = state(root)
    with pytest.raises(ForeignFile) as caught:
        compile_into(root, files)
    assert state(root) == before
    assert caught.value.exit_code == 2
    return caught.value


def test_foreign_files_are_never_touched(tmp_path: Path) -> None:
    compile_into(tmp_path, FILES)
    mine = ["build/alpine/core/notes.md", "dockerfiles/README.md", "orbiter.yaml", "build/empty"]
    for path in mine:
        put(tmp_path, path, "" if path == "build/empty" else "mine\n")
    before = state(tmp_path)
    compile_into(tmp_path, {})
    after = state(tmp_path)
    assert {path: after[path] for path in mine} == {path: before[path] for path in mine}
    assert files_of(tmp_path).keys() == set(mine)


def test_generated_looking_file_outside_of_orbiters_places_stays(tmp_path: Path) -> None:
    others = {path: text() for path in ("Dockerfile", "src/build/Dockerfile", "mybuild/Dockerfile", "build.hcl")}
    for path, content in others.items():
        put(tmp_path, path, content)
    assert not compile_into(tmp_path, {})
    assert files_of(tmp_path) == others


def test_every_foreign_file_in_the_way_is_named_with_the_way_out(tmp_path: Path) -> None:
    put(tmp_path, BAKE, "mine")
    put(tmp_path, CORE, "mine")
    error = refused(tmp_path)
    assert [path for path, _ in error.found] == [f"{tmp_path}/{CORE}", f"{tmp_path}/{BAKE}"]
    assert f"{tmp_path}/{CORE}" in str(error)
    assert f"{tmp_path}/{BAKE}" in str(error)
    assert "-o DIR" in str(error)


def test_foreign_file_with_the_wanted_bytes_is_no_obstacle(tmp_path: Path) -> None:
    put(tmp_path, BAKE, "no mark\n")
    assert not compile_into(tmp_path, {BAKE: "no mark\n"})


@pytest.mark.parametrize(
    ("content", "own"),
    [
        (text(), True),
        (f"#!/bin/sh\n# x\n# {MARK}", True),
        (f"1\n2\n3\n# {MARK}", False),
        (f"{'x' * 300}{MARK}", False),
        (b"\xff\xfe\n# " + MARK.encode(), True),
        ("", False),
    ],
)
def test_mark_counts_within_the_first_three_lines(tmp_path: Path, content: str | bytes, own: bool) -> None:
    place = put(tmp_path, CORE, content)
    assert compare({}, tmp_path).removed == ((CORE,) if own else ())
    if own:
        compile_into(tmp_path, {CORE: text("new")})
        assert place.read_text() == text("new")
    else:
        refused(tmp_path, {CORE: text("new")})


def test_folder_where_a_file_belongs_is_foreign(tmp_path: Path) -> None:
    (tmp_path / BAKE).mkdir()
    put(tmp_path, f"{BAKE}/inner", text())
    assert refused(tmp_path).found == ((f"{tmp_path}/{BAKE}", "folder"),)
    assert not compare({}, tmp_path)


@pytest.mark.parametrize("path", ["build", "build/alpine", "build/alpine/core"])
def test_file_where_a_folder_belongs_is_foreign(tmp_path: Path, path: str) -> None:
    put(tmp_path, path, "mine")
    assert refused(tmp_path).found == ((f"{tmp_path}/{path}", "file"),)


def test_file_called_build_is_left_alone_when_no_folder_of_that_name_is_needed(tmp_path: Path) -> None:
    put(tmp_path, "build", text())
    compile_into(tmp_path, {BAKE: text()})
    assert files_of(tmp_path) == {"build": text(), BAKE: text()}


@pytest.mark.parametrize("path", [BAKE, CORE, "build", "build/alpine"])
@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_link_in_the_way_is_foreign_and_not_followed(tmp_path: Path, path: str, target: str) -> None:
    outside = tmp_path / "elsewhere"
    put(outside, "alpine/core/Dockerfile", text("outside"))
    root = tmp_path / "root"
    (root / path).parent.mkdir(parents=True)
    (root / path).symlink_to(tmp_path / target)
    before = state(outside)
    assert [found for found, _ in refused(root).found] == [f"{root}/{path}"]
    assert not compile_into(root, {})
    assert state(outside) == before
    assert (root / path).is_symlink()


def test_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to("real")
    compile_into(tmp_path / "root", FILES)
    assert files_of(tmp_path / "real") == FILES


@pytest.mark.parametrize("files", [FILES, {}])
def test_pipe_is_not_opened(tmp_path: Path, files: Mapping[str, str]) -> None:
    (tmp_path / "build/alpine/core").mkdir(parents=True)
    os.mkfifo(tmp_path / CORE)
    if files:
        refused(tmp_path)
    else:
        assert not compare(files, tmp_path)


# --- what the system refuses


@contextmanager
def without_privileges(*roots: Path) -> Iterator[None]:
    """Root ignores permissions, so become nobody for the block."""
    if os.geteuid() != 0:
        yield
        return
    for root in roots:
        for folder, folders, files in os.walk(root):
            for name in (".", *folders, *files):
                os.lchown(Path(folder, name), 65534, 65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder below one that everybody may enter, unlike tmp_path."""
    top = Path(tempfile.mkdtemp())
    top.chmod(0o755)
    root = top / "root"
    root.mkdir()
    yield root
    for folder, folders, _ in os.walk(top):
        for name in folders:
            Path(folder, name).chmod(0o755)
    shutil.rmtree(top)


def test_read_only_folder_is_an_error_with_path_and_reason(open_path: Path) -> None:
    compile_into(open_path, FILES)
    (open_path / "dockerfiles/alpine/base").chmod(0o555)
    with without_privileges(open_path):
        before = state(open_path)
        changes = compare({path: text("new") for path in FILES}, open_path)
        with pytest.raises(UsageError, match=r"dockerfiles/alpine/base.*: Permission denied"):
            write(changes, open_path)
        assert files_of(open_path) == FILES
        assert state(open_path).keys() == before.keys()


def test_unreadable_things_of_others_are_left_alone(open_path: Path) -> None:
    put(open_path, "build/theirs/data", "x")
    put(open_path, "build/secret", text())
    with without_privileges(open_path):
        (open_path / "build/theirs").chmod(0)
        (open_path / "build/secret").chmod(0)
        compile_into(open_path, FILES)
        assert not compare(FILES, open_path)
        with pytest.raises(ForeignFile, match="build/theirs"):
            compare({"build/theirs/data": text()}, open_path)
        with pytest.raises(UsageError, match="build/secret: Permission denied"):
            compare({"build/secret": text()}, open_path)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc here")
def test_root_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    root = Path("/proc/orbiter")
    with pytest.raises(UsageError, match="/proc/orbiter"):
        compile_into(root, FILES)


def test_root_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "root", "x")
    for root in (tmp_path / "root", tmp_path / "root/inner"):
        with pytest.raises(UsageError, match=r"root.*: Not a directory"):
            compile_into(root, FILES)
    assert tree(tmp_path) == {"root": b"x"}


def test_root_that_is_a_dangling_link_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "root").symlink_to("nowhere")
    with pytest.raises(UsageError, match=r"root.*: (No such file|File exists)"):
        compile_into(tmp_path / "root", FILES)
    assert tree(tmp_path) == {"root": "-> nowhere"}


def test_full_disk_changes_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: both refuse a write half way."""
    compile_into(tmp_path, FILES)
    before = tree(tmp_path)
    changes = compare(FILES | {CORE: text("new"), "build/z/new/Dockerfile": text("x" * 100_000)}, tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(UsageError, match="build/z/new/Dockerfile: File too large"):
            write(changes, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert tree(tmp_path) == before


def test_refusal_while_staging_takes_back_the_root_too(tmp_path: Path) -> None:
    changes = compare({f"build/{'x' * 300}/Dockerfile": text(), BAKE: text()}, tmp_path)
    with pytest.raises(UsageError, match="File name too long"):
        write(changes, tmp_path / "new/root")
    assert tree(tmp_path) == {}


# --- interrupts, kills and company


class InterruptedAfter(dict[str, bytes]):
    """Texts of which the n-th is not reached: the interrupt comes before."""

    def __init__(self, texts: Mapping[str, bytes], reads: int) -> None:
        super().__init__(texts)
        self.reads = reads

    def __getitem__(self, path: str) -> bytes:
        if self.reads == 0:
            raise KeyboardInterrupt
        self.reads -= 1
        return super().__getitem__(path)


@pytest.mark.parametrize("reads", range(4))
def test_interrupt_while_staging_changes_nothing(tmp_path: Path, reads: int) -> None:
    compile_into(tmp_path, {BAKE: FILES[BAKE], BASE: FILES[BASE]})
    (tmp_path / "build/mine").mkdir()
    before = tree(tmp_path)
    wanted = {BAKE: text("new"), "build/mine/a/b/Dockerfile": text(), CORE: text(), BINDER: text()}
    changes = compare(wanted, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write(replace(changes, new=InterruptedAfter(changes.new, reads)), tmp_path)
    assert tree(tmp_path) == before
    compile_into(tmp_path, wanted)
    assert files_of(tmp_path) == wanted


def versions(number: int, count: int = 500) -> dict[str, str]:
    """Files of which each version changes some, adds some and drops some."""
    body = f"# version {number}\n" * 100
    files = {f"build/f{number % 3}/i{n}/Dockerfile": text(body) for n in range(count // 2)}
    return files | {f"build/kept/i{n}/Dockerfile": text(body) for n in range(count // 2)} | {BAKE: text(body)}


def test_interrupt_at_any_moment_leaves_the_old_tree_or_the_new(tmp_path: Path) -> None:
    old, main = versions(0, 200), threading.get_ident()
    compile_into(tmp_path, old)
    started = time.perf_counter()
    compile_into(tmp_path, versions(1, 200))
    took = time.perf_counter() - started
    rand = random.Random(0)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for number in range(2, 22):
            before = tree(tmp_path)
            files = versions(number, 200)
            changes = compare(files, tmp_path)
            timer = threading.Timer(rand.uniform(0, took), signal.pthread_kill, (main, signal.SIGINT))
            with suppress(KeyboardInterrupt):
                timer.start()
                write(changes, tmp_path)
                timer.join()
                time.sleep(0.01)  # an interrupt that is on its way
            timer.join()
            assert tree(tmp_path) == before or files_of(tmp_path) == files
            assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.signal(signal.SIGINT, handler)


IMPORTS = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from orbiter.model import MARK
from orbiter.output import BAKE_FILE as BAKE, compare, write
"""

PRUNER = """
root, step = Path(sys.argv[2]), int(sys.argv[3])
for n in range(200):
    folder = f"build/f{n * step % 3}"
    write(compare({f"{folder}/i{i}/Dockerfile": f"# {MARK}" for i in range(3)}, root), root)
"""


def test_compiles_at_once_may_remove_folders_that_another_is_about_to_fill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", IMPORTS + PRUNER, str(Path(__file__).parent.parent.parent), str(tmp_path)]
    processes = [subprocess.Popen([*command, str(step)], stderr=subprocess.PIPE, text=True) for step in (1, 2, 4)]
    assert [process.communicate()[1] for process in processes] == [""] * 3
    assert not list(tmp_path.rglob(".orbiter-*"))


WRITER = """
root, numbers = Path(sys.argv[2]), map(int, sys.argv[3:])
print("ready", flush=True)
for number in numbers:
    write(compare(versions(number), root), root)
print("done", flush=True)
"""


def writer(root: Path, *numbers: int) -> "subprocess.Popen[str]":
    """Another process that compiles these versions; it has said "ready" when this returns."""
    # Not an import of this module, which would load pytest and hypothesis each time.
    script = "\n".join((IMPORTS, inspect.getsource(text), inspect.getsource(versions), WRITER))
    command = [sys.executable, "-c", script, str(Path(__file__).parent.parent.parent), str(root), *map(str, numbers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def test_kill_at_any_moment_leaves_whole_files_and_the_next_compile_finishes(tmp_path: Path) -> None:
    started = time.perf_counter()
    compile_into(tmp_path, versions(0))
    compile_into(tmp_path, versions(1))
    took = (time.perf_counter() - started) / 2
    rand = random.Random(0)
    staging = renaming = 0
    for number in range(2, 26):
        old, new = versions(number - 1), versions(number)
        first = tmp_path / min(new.keys() - old.keys())
        with writer(tmp_path, number) as process:
            if number % 2:
                time.sleep(rand.uniform(0, took))
            else:  # the renames are over in milliseconds, so wait for the first
                while not first.exists() and process.poll() is None:
                    pass
                time.sleep(rand.uniform(0, 0.005))
            process.kill()
        present = files_of(tmp_path)
        found = {path: what for path, what in present.items() if ".orbiter-" not in path}
        assert all(what in (old.get(path), new.get(path)) for path, what in found.items())
        assert found.keys() >= old.keys() & new.keys()
        staging += found == old and present != old
        renaming += found not in (old, new)
        compile_into(tmp_path, new)
        assert files_of(tmp_path) == new
    assert staging
    assert renaming


def test_two_compiles_at_once_leave_whole_files(tmp_path: Path) -> None:
    numbers = range(8)
    processes = [writer(tmp_path, *numbers), writer(tmp_path, *reversed(numbers)), writer(tmp_path, *numbers)]
    assert [process.communicate()[0] for process in processes] == ["done\n"] * 3
    whole = {what for number in numbers for what in versions(number).values()}
    found = files_of(tmp_path)
    assert set(found.values()) <= whole
    assert not [path for path in found if ".orbiter-" in path]


@pytest.mark.parametrize("content", ["", text("half of a te")])
@pytest.mark.parametrize("folder", ["", "build/alpine/core/", "build/gone/"])
def test_leftovers_of_a_kill_are_removed_even_if_nothing_else_is_to_do(
    tmp_path: Path, content: str, folder: str
) -> None:
    compile_into(tmp_path, FILES)
    put(tmp_path, folder + LEFTOVER, content)
    changes = compare(FILES, tmp_path)
    assert not changes
    write(changes, tmp_path)
    assert files_of(tmp_path) == FILES
    assert not (tmp_path / "build/gone").exists()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (f"build/{LEFTOVER}", "mine"),
        ("build/.orbiter-notes.tmp", ""),
        (f"src/{LEFTOVER}", ""),
    ],
)
def test_file_that_only_resembles_a_leftover_stays(tmp_path: Path, path: str, content: str) -> None:
    put(tmp_path, path, content)
    compile_into(tmp_path, FILES)
    assert files_of(tmp_path) == FILES | {path: content}


def test_temporaries_of_a_compile_that_still_runs_stay(tmp_path: Path) -> None:
    put(tmp_path, f"build/{LEFTOVER}", "")
    other = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_SH)
        compile_into(tmp_path, FILES)
        assert files_of(tmp_path) == FILES | {f"build/{LEFTOVER}": ""}
    finally:
        os.close(other)
    compile_into(tmp_path, FILES)
    assert files_of(tmp_path) == FILES


# --- the diff


def patch(old: Mapping[str, str], new: Mapping[str, str], folder: Path) -> str:
    """The diff between two compiles, proven: git makes the second tree from the first with it."""
    root = folder / "root"
    root.mkdir()
    # A repository of its own: inside of another one, git apply would skip the files without a word.
    subprocess.run(["git", "init", "-q", folder], check=True)
    compile_into(root, old)
    found = "".join(diff(compare(new, root)))
    if found:  # git refuses an empty patch
        command = ["git", "apply", "--directory=root", "--whitespace=nowarn", "-"]
        done = subprocess.run(command, cwd=folder, input=found.encode(), capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
    assert files_of(root) == new
    return found


def test_diff_applies_with_git(tmp_path: Path) -> None:
    old = FILES | {"build/a b/Dockerfile": text("spaced"), CORE: text("\n".join(map(str, range(50))))}
    new = {
        BAKE: text("form\ffeed\u2028and\rmore\nä\n"),
        CORE: old[CORE].replace("25", "twenty-five").replace("3\n", ""),
        "build/a b/Dockerfile": text("spaced\n"),
        "build/new one/Dockerfile": text("no end of line"),
        "build/ä/Dockerfile": text(),
    }
    found = patch(old, new, tmp_path)
    assert f"--- a/{BINDER}\n+++ /dev/null\n" in found
    assert "--- /dev/null\n+++ b/build/ä/Dockerfile\n" in found
    assert "\\ No newline at end of file\n" in found


def test_diff_of_no_changes_is_empty(tmp_path: Path) -> None:
    compile_into(tmp_path, FILES)
    assert list(diff(compare(FILES, tmp_path))) == []


def test_diff_shows_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    put(tmp_path, CORE, text().encode() + b"\xff\n")
    lines = list(diff(compare({}, tmp_path)))
    assert lines[-1] == "-\ufffd\n"
    "".join(lines).encode()  # a terminal takes it


# --- anything with anything

parts = st.sampled_from(["a", "b", "c d", "Dockerfile"])
folders = st.sampled_from(["build", "dockerfiles"])
places = st.one_of(
    st.just(BAKE), st.builds(lambda top, rest: "/".join([top, *rest]), folders, st.lists(parts, min_size=1, max_size=3))
)
bodies = st.sampled_from(["", "x", "x\n", "\f\n\u2028y", "1\n2\n3\n"])


def without_clashes(files: dict[str, str]) -> dict[str, str]:
    return {path: body for path, body in files.items() if not any(other.startswith(f"{path}/") for other in files)}


filesets = st.dictionaries(places, bodies.map(text), max_size=6).map(without_clashes)
foreigners = st.dictionaries(
    st.one_of(places, st.sampled_from(["README.md", "build", "src/build/a"])),
    st.sampled_from(["file", "folder", "link"]),
    max_size=3,
)


def add_foreign(root: Path, path: str, kind: str) -> bool:
    """Puts it there if it can be there; a file also in place of what Orbiter wrote."""
    place = root / path
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind == "file":
            place.write_text("mine\n")
        elif kind == "folder":
            place.mkdir()
        else:
            place.symlink_to("nowhere")
    except OSError:
        return False
    return True


def in_the_way(root: Path, path: str, wanted: str) -> bool:
    """Whether something else stands where the file or one of its folders belongs."""
    place = root
    for part in path.split("/")[:-1]:
        place /= part
        if place.is_symlink() or place.is_file():
            return True
    place = root / path
    if place.is_symlink() or place.is_dir():
        return True
    return place.is_file() and place.read_text() != wanted and MARK not in place.read_text()


def empty_folders(tree: Mapping[str, bytes | str]) -> set[str]:
    used = {str(parent) for path in tree for parent in Path(path).parents}
    return {path for path, what in tree.items() if what == "/"} - used


@settings(max_examples=300, deadline=None)
@given(old=filesets, new=filesets, foreign=foreigners)
def test_tree_becomes_new_and_foreign_or_nothing_changes(
    old: dict[str, str], new: dict[str, str], foreign: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        compile_into(root, old)
        mine = {path for path, kind in foreign.items() if add_foreign(root, path, kind)}
        before = tree(root)
        untouched = state(root)
        if any(in_the_way(root, path, wanted) for path, wanted in new.items()):
            refused(root, new)
            return
        changes = compile_into(root, new)
        after = tree(root)
        assert {path: what for path, what in after.items() if what != "/"} == {
            **{path: before[path] for path in mine if before[path] != "/"},
            **{path: body.encode() for path, body in new.items()},
        }
        assert {path for path in after if path in mine} == mine
        assert all(state(root)[path] == untouched[path] for path in mine if before[path] != "/")
        needed = {str(parent) for path in new for parent in Path(path).parents}
        assert empty_folders(after) == empty_folders(before) - needed
        assert not compare(new, root)
        assert changes.unchanged + len(changes.created) + len(changes.updated) == len(new)


@settings(max_examples=40, deadline=None)
@given(old=filesets, new=filesets)
def test_diff_of_anything_applies_with_git(old: dict[str, str], new: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        try:
            found = patch(old, new, Path(name))
        except ForeignFile:
            return  # a file where there is now a folder
        assert bool(found) == (old != new)
