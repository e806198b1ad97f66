"""postBuild and start: scripts, as shell lines of `postbuild` and as environment variables.

repo2docker runs postBuild as the notebook user in the folder of the repository, which is the home; here it runs as
root in the home, before the files of the project are copied.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from orbiter.convert.carried import Remark, comment_of, has_secret, left_out
from orbiter.model import Pairs
from orbiter.starter import Entry, Package

_SHELL = re.compile(r"#!\s*(?:/usr)?/bin/(?:env\s+(?:-S\s+)?)?(?P<shell>sh|bash|dash)(?:\s+-[a-z]+)*\s*")
_CONTROL = re.compile(
    r"(?:if|for|while|until|case|select|function|\{|\()(?:\s|$)|[A-Za-z_][\w-]*\s*\(\)|(?:trap|exit|return)\b"
)
# What bash has and a plain sh, as Debian's dash is one, has not.
_BASH = re.compile(
    r"\[\[|[<>]\(|&>|\|&|<<<|\$'|\+=|=\(|\$\{[^}]*[/^,]|\{[^}\s]*(?:,|\.\.)[^}\s]*\}"
    r"|(?:^|[;&|]\s*)(?:source|pushd|popd|declare|shopt|let|mapfile|readarray)\b|pipefail|\$(?:RANDOM|BASH|PIPESTATUS)"
)
_PACKAGE_MANAGER = re.compile(r"(?:sudo\s+)?(?:\S*/)?(conda|mamba|micromamba)\b")
_EXPORT = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(\S*|\"[^\"]*\"|'[^']*')")
_NOTHING = re.compile(r"set\s+-[eux]+|exec\s+\"\$@\"|:")

PLACES = {"pip": "/opt/venv", "micromamba": "/opt/conda"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a script came to: shell lines, the variables they need, and the files of the repository they use."""

    lines: tuple[Entry, ...] = ()
    env: Pairs = ()
    uses: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()


def post_build(path: str, text: str, entries: Iterable[str], builder: Package) -> Script:
    """postBuild. `entries` are the names in the root of the repository.

    Plain shell lines are taken one by one; a script with loops and conditions, or for another interpreter, as a
    whole, which a first entry writes to a file.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    if not text.strip():
        return Script()
    if has_secret(text):
        return Script(remarks=(left_out(path, 0, "the whole file", "it has an address with a password or token"),))
    commands = _commands(text)
    remarks: list[Remark] = []
    if commands is None:
        lines = _whole(text)
        used = list(_used(((1, text),), entries))
    else:
        lines, kept = _lines(path, commands, remarks)
        used = list(_used(kept, entries))
        text = "\n".join(line for _, line in kept)
        if kept and not re.search(r"^\s*set\s+-[a-z]*e|^#!.*\s-[a-z]*e", "\n".join(line for _, line in commands)):
            remarks.append(Remark(file=path, line=1, text="stops at the first error here, as with 'set -e'"))
    return Script(lines=lines, env=_variables(text, builder), uses=tuple(dict.fromkeys(used)), remarks=tuple(remarks))


def start(path: str, text: str) -> Script:
    """start, which Binder runs before Jupyter: variables that it sets to plain values; nothing else."""
    env: dict[str, str] = {}
    remarks: list[Remark] = []
    for number, written in enumerate(text.splitlines(), 1):
        line = written.strip()
        found = _EXPORT.fullmatch(line)
        value = found[2] if found else ""
        quote = value[:1] if value[:1] in ("'", '"') else ""
        bare = value.strip(quote) if quote else value
        plain = not re.search(r"[\x00-\x1f\x7f]", bare) and (quote == "'" or not re.search(r"[$`\\\"';&|<>*?~(]", bare))
        if found and plain and not has_secret(value):
            env[found[1]] = bare
        elif line and not line.startswith("#") and not _NOTHING.fullmatch(line):
            reason = "scripts for the start belong into /usr/local/bin/before-notebook.d, as *.sh without 'exec'"
            remarks.append(left_out(path, number, line, reason))
    return Script(env=tuple(env.items()), remarks=tuple(remarks))


def _commands(text: str) -> list[tuple[int, str]] | None:
    """Commands and comments of plain shell, with the number of their first lines; None for any other script."""
    head, _, _ = text.partition("\n")
    if head.startswith("#!") and not _SHELL.fullmatch(head.strip()):
        return None
    found: list[tuple[int, str]] = []
    joined, first = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        first = first if joined else number
        joined += ("\n" if joined else "") + line.rstrip()
        if joined.endswith(("\\", "&&", "||", "|")) or _is_open(joined):
            continue
        command = joined.strip()
        if "<<" in command or (not command.startswith("#") and (_CONTROL.match(command) or _BASH.search(command))):
            return None
        if command:
            found.append((first, command))
        joined = ""
    return None if joined else found


def _is_open(command: str) -> bool:
    """Whether a quotation goes on in the next line."""
    if command.lstrip().startswith("#"):
        return False
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return False


def _lines(
    path: str, commands: Sequence[tuple[int, str]], remarks: list[Remark]
) -> tuple[tuple[Entry, ...], list[tuple[int, str]]]:
    """The entries of `postbuild`, and those of the commands that they are."""
    entries: list[Entry] = []
    kept: list[tuple[int, str]] = []
    for number, command in commands:
        manager = _PACKAGE_MANAGER.match(command)
        if command.startswith("#!") or re.fullmatch(r"set\s+-e[ux]*", command):
            continue
        if command.startswith("#"):
            if comment := comment_of(command):
                entries.append(Entry(text=None, comment=comment))
        elif manager:
            reason = f"an image has no {manager[1]}; packages belong into 'conda.dependencies'"
            remarks.append(left_out(path, number, command, reason))
        else:
            entries.append(Entry(text=command))
            kept.append((number, command))
    return (tuple(entries) if kept else ()), kept


def _whole(text: str) -> tuple[Entry, ...]:
    """Entries that write the script into a file, run it with its own interpreter, and remove it."""
    body = text.rstrip("\n")
    taken = {line.strip() for line in body.split("\n")}
    end = "POSTBUILD"
    while end in taken:
        end += "_"
    script = f'cat > /tmp/postBuild <<"{end}"\n{body}\n{end}'
    return (Entry(text=script), *(Entry(text=f"{verb} /tmp/postBuild".strip()) for verb in ("chmod +x", "", "rm")))


def _variables(text: str, builder: Package) -> Pairs:
    """The variables of repo2docker that the script reads."""
    place = PLACES[builder]
    known = {
        "REPO_DIR": "/home/jovyan",
        "NB_PYTHON_PREFIX": place,
        "KERNEL_PYTHON_PREFIX": place,
        "CONDA_DIR": place,
    }
    return tuple((name, value) for name, value in known.items() if re.search(rf"\$\{{?{name}\b", text))


def _used(lines: Iterable[tuple[int, str]], entries: Iterable[str]) -> Iterator[str]:
    """The files and folders in the root of the repository that shell lines name."""
    names = sorted(entries)
    for _, line in lines:
        for word in re.split(r"[\s\"'`();&|<>=,]+", re.sub(r"(?m)^\s*#.*$", "", line)):
            path = re.sub(r"^(?:\$\{?(?:REPO_DIR|HOME|PWD)\}?/|~/|\./)+", "", word)
            first = path.split("/")[0]
            if first and first.strip("*.?"):
                yield from (name for name in names if fnmatchcase(name, first))
