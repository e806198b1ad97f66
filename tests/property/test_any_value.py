"""Whatever a value is, its reader gets it back: a shell, YAML's and JSON's readers, a rule-by-rule reader of HCL."""

import json
import re
import subprocess

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from orbiter import quoting

# No surrogates (no file has them) and no NUL (no argument has it).
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(characters)
lines = st.text(st.characters(exclude_categories=["Cs", "Cc"]))
# What is special somewhere, far more often than chance would have it.
nasty = st.text(st.sampled_from("${}%\"'\\`!# \t\n:-[]&*~\u2028é😀a1"))


def read_hcl(literal: str) -> str:
    """The value of a quoted template without interpolation, by HCL's specification; fails where one would start."""
    token = re.compile(r'\\u([0-9a-f]{4})|\\(["\\nrt])|(\$\$|%%)(?=\{)|([$%])(?!\{)|([^"\\\n$%])', re.DOTALL)
    body, found, at = literal[1:-1], [], 0
    while at < len(body):
        match = token.match(body, at)
        assert match, f"{body[at:]!r} is not text"
        code, escape, doubled, sign, plain = match.groups()
        if code:
            found.append(chr(int(code, 16)))
        elif escape:
            found.append({"n": "\n", "r": "\r", "t": "\t"}.get(escape, escape))
        else:
            found.append((doubled or sign or plain)[0])
        at = match.end()
    return "".join(found)


@given(st.one_of(texts, nasty))
@example("${VERSION}")
@example("$${a}$$$%%{b}")
def test_hcl(value: str) -> None:
    literal = quoting.hcl(value)
    assert (literal[0], literal[-1]) == ('"', '"')
    assert read_hcl(literal) == value


@given(st.lists(st.one_of(lines, nasty.map(lambda text: re.sub(r"[\t\n]", "", text))), max_size=5))
def test_shell(values: list[str]) -> None:
    script = "printf '%s\\0' " + " ".join(map(quoting.shell, values))
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == (values or [""])


@given(st.lists(st.one_of(lines, nasty.map(lambda text: re.sub(r"[\t\n]", "", text)))))
def test_heredoc(body: list[str]) -> None:
    first, *rest = quoting.heredoc(body).split("\n")
    delimiter = re.fullmatch(r'<<"(EOF_*)"', first)
    assert delimiter
    assert rest[-1] == delimiter[1]
    # BuildKit ends it at the first line that equals the delimiter, without tabs before it for <<-.
    assert delimiter[1] not in [line.strip() for line in rest[:-1]]
    assert "\n".join(rest[:-1]) == "\n".join(["#!/bin/sh -e", "set -v # a line is in the log before it runs", *body])


@given(st.one_of(texts, nasty))
@example("yes")
@example("1.0")
@example("a: b")
@example("a #b")
@example("\ufeff")
def test_yaml(value: str) -> None:
    literal = quoting.yaml(value)
    assert yaml.safe_load(f"- {literal}\n") == [value]
    assert "\n" not in literal


@given(st.lists(texts))
def test_dockerfile_json(words: list[str]) -> None:
    literal = quoting.dockerfile_json(words)
    assert json.loads(literal) == words
    assert "\n" not in literal


@given(st.one_of(lines, nasty.map(lambda text: re.sub(r"[\t\n]", "", text))))
def test_dockerfile_value(value: str) -> None:
    # In double quotes, a backslash takes the meaning of the next character, and a bare $ starts a variable:
    # https://docs.docker.com/reference/dockerfile/#environment-replacement.
    literal = quoting.dockerfile_value(value)
    body = literal[1:-1]
    assert re.fullmatch(r'(?:\\[\\"$]|[^\\"$])*', body, re.DOTALL)
    assert re.sub(r"\\(.)", r"\1", body) == value


@given(texts)
def test_comment(value: str) -> None:
    assert quoting.comment(value).splitlines() in ([], [quoting.comment(value)])
