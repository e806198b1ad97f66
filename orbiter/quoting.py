"""Literals of HCL, Dockerfiles, shell and YAML. The only way for a value into a generated file."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

Value = str | bool | int | Sequence["Value"] | Mapping[str, "Value"]

# https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md#template-expressions: no \b, no \f.
_HCL_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
# What a block of YAML cannot show, or its readers disagree about.
_UNWRITTEN = re.compile("[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_BLOCK_WORD = re.compile(r"[!-\"$-~][!-~]*(?<!:)")
_HCL_SPECIAL = re.compile(r'["\\\x00-\x1f\x7f\ufeff\u2028\u2029]|\$(?=\$*\{)|%(?=%*\{)')


def hcl(value: Value) -> str:
    """An HCL literal. `${` and `%{`, which would start an expression, are doubled."""
    if isinstance(value, str):
        return f'"{_HCL_SPECIAL.sub(_hcl_escape, value)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{hcl(key)} = {hcl(each)}" for key, each in value.items()) + " }"
    return "[" + ", ".join(map(hcl, value)) + "]"


def _hcl_escape(match: re.Match[str]) -> str:
    character = match[0]
    if character in "$%":
        # Only the sign right before the brace starts a template, and doubling that one keeps those before it.
        return character * 2 if match.string[match.end()] == "{" else character
    return _HCL_ESCAPES.get(character) or f"\\u{ord(character):04x}"


def dockerfile_value(value: str) -> str:
    r"""The value of ENV or LABEL, in double quotes, where `\`, `"` and `$` mean themselves.

    Raises ValueError for a line break: a Dockerfile has no way to write one there.
    """
    _one_line(value)
    return '"' + re.sub(r'([\\"$])', r"\\\1", value) + '"'


def dockerfile_json(words: Iterable[str]) -> str:
    """The exec form of CMD and ENTRYPOINT, in which nothing is expanded."""
    return json.dumps(list(words))


def dockerfile_copy(source: str, destination: str) -> str:
    r"""Source and destination of COPY, in the exec form: variables and quotes mean themselves.

    The source has no wildcards, see `grammar.project_path`.
    """
    _one_line(source + destination)
    return json.dumps([_unexpanded(source), _unexpanded(destination)], ensure_ascii=False)


def _unexpanded(path: str) -> str:
    return re.sub(r"""([\\$'"])""", r"\\\1", path)


def shell(value: str) -> str:
    """One word of a shell line."""
    _one_line(value)
    return shlex.quote(value)


def heredoc(lines: Iterable[str], silent: Iterable[str] = ()) -> str:
    """A RUN with shell lines that stops at the first error, and after `silent` ones shows what it reads.

    BuildKit hands them to the shell as they are. As a file, with its `#!`: dash and busybox do not show the lines
    of `sh -c`. They show them as they stand, nothing expanded. The delimiter is one that no line equals, so that
    nothing can leave the script.
    """
    body = "\n".join(["#!/bin/sh -e", *silent, "set -v # a line is in the log before it runs", *lines])
    taken = {line.strip() for line in body.splitlines()}
    delimiter = "EOF"
    while delimiter in taken:
        delimiter += "_"
    return f'<<"{delimiter}"\n{body}\n{delimiter}'


def yaml(value: str) -> str:
    """A YAML scalar: plain if every reader takes it for this very text, else in double quotes."""
    plain = re.fullmatch(r"[A-Za-z_@/][A-Za-z0-9_.:/=<>!~^+*,\[\]-]*", value) is not None
    risky = value.lower() in ("true", "false", "yes", "no", "on", "off", "y", "n", "null") or value.endswith(":")
    if plain and not risky and value[0] != "@":
        return value
    # Raw beyond ASCII: JSON would write 😀 as two escapes, which YAML does not join.
    return re.sub(
        r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]|[\u2028\u2029]",
        _escape,
        json.dumps(value, ensure_ascii=False),
    )


def github(value: str) -> str:
    """A YAML scalar in a workflow of GitHub, where `${{` begins an expression."""
    return yaml(value.replace("${{", "${{ '${{' }}"))


def gitlab(value: str) -> str:
    """A YAML scalar among the variables of GitLab, where `$` begins a variable."""
    return yaml(value.replace("$", "$$"))


def toml(value: str) -> str:
    """A basic string of TOML: https://toml.io/en/v1.0.0#string. All that JSON escapes, TOML reads."""
    return json.dumps(value).replace("\x7f", "\\u007f")


def yaml_entry(value: str, indent: str) -> str:
    """The entry of a block list at `indent`: one line without quotes, several as a literal block, where YAML can."""
    lines = value.split("\n")
    words = value.split(" ")
    # In a block list, brackets, quotes and commas mean themselves; `: ` and ` #` do not.
    if len(words) > 1 and all(map(_BLOCK_WORD.fullmatch, words)) and re.match(r"[A-Za-z_/]", value):
        return value
    # The first line tells the indentation; blank lines at the ends, which a block would drop, are escaped.
    if (
        len(lines) == 1
        or not lines[0].strip()
        or lines[0][0] in " \t"
        or not lines[-1].strip()
        or _UNWRITTEN.search(value)
    ):
        return yaml(value)
    return "\n".join(("|-", *(f"{indent}  {line}" if line else "" for line in lines)))


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def json_file(data: Mapping[str, Value], first: str) -> str:
    """A JSON file for people. JSON has no comments: `first` is the value of a member `//`, which npm ignores."""
    return json.dumps({"//": first, **data}, indent=2, ensure_ascii=False)


def comment(text: object) -> str:
    """Text in a comment: without line breaks, and without what no YAML file may have."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]+", " ", str(text))


def _one_line(value: str) -> None:
    if re.search(r"[\x00-\x1f\x7f]", value):
        raise ValueError(f"control character in {value!r}")
