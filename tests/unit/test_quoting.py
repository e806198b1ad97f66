"""Literals: what a value looks like in a generated file, and which values no literal can hold.

Readers of these files have their say in tests/property and tests/contract.
"""

import json

import pytest
import yaml as reader

from orbiter import quoting

SHOW = "set -v # a line is in the log before it runs"
CONTROLS = ["a\nb", "a\rb", "a\tb", "a\0b", "a\x1bb", "a\x7fb"]


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ("plain", '"plain"'),
        ("", '""'),
        ('say "hi"', r'"say \"hi\""'),
        ("back\\slash", r'"back\\slash"'),
        ("line\nfeed\ttab\rreturn", r'"line\nfeed\ttab\rreturn"'),
        ("\0\b\f\x1b\x7f", r'"\u0000\u0008\u000c\u001b\u007f"'),
        ("\u2028\u2029\ufeff", r'"\u2028\u2029\ufeff"'),
        ("Käse 😀", '"Käse 😀"'),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-3, "-3"),
        ([], "[]"),
        (["a", "${b}"], '["a", "$${b}"]'),
        (("a", 1, [True]), '["a", 1, [true]]'),
        ({"a${b}": "%{c}", "d": ["e"]}, '{ "a$${b}" = "%%{c}", "d" = ["e"] }'),
    ],
)
def test_hcl_literal(value: quoting.Value, literal: str) -> None:
    assert quoting.hcl(value) == literal


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ("${CACHE_REPO}", "$${CACHE_REPO}"),
        ("%{ if true }", "%%{ if true }"),
        ("$${x}", "$$${x}"),
        ("$$${x}", "$$$${x}"),
        ("%${x}", "%$${x}"),
        ("$%{x}", "$%%{x}"),
        ("$x 100 % $ {", "$x 100 % $ {"),
        ("$", "$"),
        ("a$", "a$"),
        ("${${", "$${$${"),
    ],
)
def test_hcl_starts_no_template(value: str, literal: str) -> None:
    assert quoting.hcl(value) == f'"{literal}"'


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ("plain", '"plain"'),
        ("", '""'),
        ("two words # no comment", '"two words # no comment"'),
        ("$HOME ${x:-y}", r'"\$HOME \${x:-y}"'),
        ('"\\', r'"\"\\"'),
        ("it's `id` Ä", '"it\'s `id` Ä"'),
    ],
)
def test_dockerfile_value(value: str, literal: str) -> None:
    assert quoting.dockerfile_value(value) == literal


@pytest.mark.parametrize("words", [(), ("sh", "-c", "$x"), ('"', "\\", "'", "a b"), ("Ä", "😀", "\u2028")])
def test_dockerfile_json_is_json_on_one_line(words: tuple[str, ...]) -> None:
    literal = quoting.dockerfile_json(words)
    assert json.loads(literal) == list(words)
    assert literal.splitlines() == [literal]


@pytest.mark.parametrize(
    ("path", "literal"),
    [
        ("a b", '"a b"'),
        ("ä", '"ä"'),
        ("a#b", '"a#b"'),
        ('a"b', r'"a\\\"b"'),
        ("$HOME", r'"\\$HOME"'),
        ("it's", r'"it\\' "'s" '"'),
    ],
)
def test_copy_expands_nothing(path: str, literal: str) -> None:
    assert quoting.dockerfile_copy(path, "/x") == f'[{literal}, "/x"]'
    assert quoting.dockerfile_copy("x", path) == f'["x", {literal}]'


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("numpy", "numpy"),
        ("", "''"),
        ("a b", "'a b'"),
        ("$(id)", "'$(id)'"),
        ("a;b", "'a;b'"),
        ("a>1", "'a>1'"),
        ("it's", "'it'\"'\"'s'"),
    ],
)
def test_shell_word(value: str, word: str) -> None:
    assert quoting.shell(value) == word


@pytest.mark.parametrize("value", CONTROLS)
def test_values_of_one_line_refuse_control_characters(value: str) -> None:
    for quote in (quoting.shell, quoting.dockerfile_value):
        with pytest.raises(ValueError, match="control character"):
            quote(value)
    for source, destination in ((value, "/x"), ("x", value)):
        with pytest.raises(ValueError, match="control character"):
            quoting.dockerfile_copy(source, destination)


def test_heredoc_stops_at_the_first_error_and_ends_with_its_delimiter() -> None:
    assert quoting.heredoc(["echo $HOME", "true"]) == f'<<"EOF"\n#!/bin/sh -e\n{SHOW}\necho $HOME\ntrue\nEOF'


def test_heredoc_does_not_show_its_silent_lines() -> None:
    assert quoting.heredoc(["true"], silent=["a", "EOF"]) == f'<<"EOF_"\n#!/bin/sh -e\na\nEOF\n{SHOW}\ntrue\nEOF_'


@pytest.mark.parametrize(
    ("lines", "delimiter"),
    [
        (["EOF"], "EOF_"),
        (["EOF", "EOF_"], "EOF__"),
        (["cat <<EOF\nx\nEOF"], "EOF_"),
        (["  EOF  "], "EOF_"),
        (["EOF\r"], "EOF_"),
        (["a\r\nEOF\r\nUSER 0"], "EOF_"),
        (["EOF_"], "EOF"),
        (["echo EOF", "EOFEOF"], "EOF"),
    ],
)
def test_no_line_ends_a_heredoc_early(lines: list[str], delimiter: str) -> None:
    first, *body, last = quoting.heredoc(lines).split("\n")
    assert (first, last) == (f'<<"{delimiter}"', delimiter)
    assert body == ["#!/bin/sh -e", SHOW, *"\n".join(lines).split("\n")]


@pytest.mark.parametrize(
    "value", ["numpy", "numpy>=1.2,<2", "conda-forge::numpy=1.2=py_0", "a[version=1.*]", "/srv/channel", "x~=1"]
)
def test_yaml_leaves_plain_text_plain(value: str) -> None:
    assert quoting.yaml(value) == value


@pytest.mark.parametrize(
    "value",
    [
        *("", "true", "No", "ON", "y", "null", "~", "1.2", "0x10", "1e3", "=1", "@a", "*a", "&a", "!a", "- a", "a: b"),
        *("a:", "a #b", "{a}", "[a]", "'a'", '"a"', "a\nb", "a\0b", "%a", "|", ">", "\\", "Ä", "a'b', [c]", "a\x7fb"),
    ],
)
def test_yaml_text_stays_text(value: str) -> None:
    assert reader.safe_load(f"- {quoting.yaml(value)}\n") == [value]


def test_yaml_has_characters_beyond_16_bits() -> None:
    assert reader.safe_load(f"- {quoting.yaml('😀')}\n") == ["😀"]


@pytest.mark.parametrize("value", [*CONTROLS, "a\u2028b", "a\u2029b", "a\r\n\nb"])
def test_comment_stays_a_comment(value: str) -> None:
    assert quoting.comment(value) == "a b"


def test_comment_takes_any_object() -> None:
    assert quoting.comment(3.13) == "3.13"
