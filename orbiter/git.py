"""Git, as far as Orbiter asks it."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from orbiter.errors import EngineError, UsageError
from orbiter.processes import said


class Git:
    """The repository that a folder lies in; paths are relative to the folder, with `/` between.

    All methods raise EngineError where there is no git.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def problem(self) -> str | None:
        """Why there is no repository, in git's words; None if there is one."""
        done = self._run("rev-parse", "--git-dir")
        return said(done).removeprefix("fatal: ").splitlines()[0] if done.returncode else None

    def place(self) -> str | None:
        """Where the folder is in its repository (`images`, empty for the top); None if it is in none."""
        done = self._run("rev-parse", "--show-prefix")
        return done.stdout.decode(errors="surrogateescape").strip("\n/") if done.returncode == 0 else None

    def find(self, revision: str) -> str | None:
        """The id of the commit that a revision names; None if it names none."""
        # The option ends the options: a revision may begin with a dash.
        done = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def commit(self, revision: str) -> str:
        """The id of the commit that a revision names. Raises UsageError if there is none, or no repository."""
        found = self.find(revision)
        if found:
            return found
        inside = self._run("rev-parse", "--is-shallow-repository")
        if inside.returncode != 0:
            raise UsageError(f"{self._folder}: {said(inside).removeprefix('fatal: ')}")
        shallow = inside.stdout.strip() == b"true"
        hint = "this clone has only part of the history: git fetch --unshallow, or in a workflow fetch-depth: 0"
        raise UsageError(f"'{revision}' is no revision of this repository{f'; {hint}' if shallow else ''}")

    def state(self) -> str | None:
        """The commit that is checked out, with `-dirty` if tracked files differ from it; None without one."""
        head = self.find("HEAD")
        changed = self._run("status", "--porcelain", "--untracked-files=no").stdout if head else b""
        return f"{head}-dirty" if changed else head

    def show(self, commit: str, name: str) -> str | None:
        """The text that a file of the folder had in a commit; None if it was not there."""
        done = self._run("show", f"{commit}:./{name}")
        return done.stdout.decode(errors="replace") if done.returncode == 0 else None

    def commits(self, name: str, limit: int) -> tuple[str, ...]:
        """The commits that changed a file of the folder, the newest first, `limit` at most."""
        done = self._run("log", f"--max-count={limit}", "--format=%H", "--", name)
        return tuple(done.stdout.decode().split()) if done.returncode == 0 else ()

    def files(self, commit: str, paths: Sequence[str]) -> Mapping[str, bytes]:
        """The files that a commit has at the paths and below them, without links and submodules."""
        listed = self._ask("ls-tree", "-r", "-z", commit, "--", *paths)
        found: dict[str, str] = {}
        for entry in listed.split(b"\0")[:-1]:
            about, _, path = entry.partition(b"\t")
            mode, _, identity = about.decode().split()
            if mode in ("100644", "100755"):
                found[path.decode(errors="surrogateescape")] = identity
        contents = self._ask("cat-file", "--batch", stdin="".join(f"{each}\n" for each in found.values()))
        return dict(zip(found, _blobs(contents), strict=True))

    def changed(self, commit: str) -> tuple[str, ...]:
        """What differs between a commit and the folder as it is now, new files too, unless Git ignores them."""
        tracked = self._ask("diff", "--name-only", "--no-renames", "--no-ext-diff", "--relative", "-z", commit)
        new = self._ask("ls-files", "--others", "--exclude-standard", "-z")
        return tuple(
            dict.fromkeys(path for path in (tracked + new).decode(errors="surrogateescape").split("\0") if path)
        )

    def _ask(self, *arguments: str, stdin: str = "") -> bytes:
        done = self._run(*arguments, stdin=stdin)
        if done.returncode != 0:
            raise EngineError(f"git {arguments[0]}: {said(done).removeprefix('fatal: ')}")
        return done.stdout

    def _run(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[bytes]":
        # A pathspec is a path, whatever characters are in it; and a question is no reason to write the index.
        command = ["git", "--literal-pathspecs", "--no-optional-locks", *arguments]
        try:
            return subprocess.run(command, cwd=self._folder, input=stdin.encode(), capture_output=True, check=False)
        except OSError as error:
            raise EngineError("git is not installed, or not on PATH; get it: https://git-scm.com") from error


def _blobs(batch: bytes) -> Iterator[bytes]:
    """The contents in what `git cat-file --batch` prints: `ID blob SIZE`, a line break, the content, a line break."""
    while batch:
        head, _, batch = batch.partition(b"\n")
        size = int(head.rpartition(b" ")[2])
        yield batch[:size]
        batch = batch[size + 1 :]
