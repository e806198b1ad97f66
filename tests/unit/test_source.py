"""Reading YAML: values, places, and a sentence for whatever is wrong. Everything holds for both of PyYAML's parsers."""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orbiter import source
from orbiter.diagnostics import Path
from orbiter.errors import ConfigError
from orbiter.source import Document

PARSERS = sorted({source._PythonParser, source._FASTEST}, key=lambda parser: parser.__name__)
Load = Callable[[str | bytes], Document]


@pytest.fixture(params=PARSERS, ids=lambda parser: parser.__name__.strip("_"), scope="module")
def load(request: pytest.FixtureRequest) -> Load:
    def load(text: str | bytes) -> Document:
        data = text if isinstance(text, bytes) else text.encode()
        return source.load(data, "o.yaml", _parser=request.param)

    return load


def errors(load: Load, text: str | bytes) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return str(caught.value).splitlines()


def at(document: Document, *path: str | int, key: bool = False) -> str:
    span = document.span(path, key=key)
    return f"{span.line}:{span.column}-{span.end_line}:{span.end_column}"


# -- values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("off", "off"),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        ("null", None),
        ("NULL", None),
        ("~", None),
        ("", None),
        ("nULL", "nULL"),
        ("0", 0),
        ("-7", -7),
        ("+7", 7),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0x1F", "-0x1F"),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-02", "2024-01-02"),
        ("3.10", 3.1),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-2.5E-1", -0.25),
        (".", "."),
        ("-", "-x"),
        ("1.2.3", "1.2.3"),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("+.Inf", math.inf),
        ("٣", "٣"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("'~'", "~"),
        ("'<<'", "<<"),
        ("|\n  1\n", "1\n"),
        (">-\n  null\n", "null"),
        ("! 1", "1"),
        ("!!str 1", "1"),
        ("!!str", ""),
        ("!!int '7'", 7),
        ("!!float 1", 1.0),
        ("!!float .5", 0.5),
        ("!!bool 'true'", True),
        ("!!null ''", None),
        ("!!map {a: 1}", {"a": 1}),
        ("!!seq [1]", [1]),
        ("!!map\n  a: 1", {"a": 1}),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(load: Load, text: str, value: object) -> None:
    text = "-x" if text == "-" else text
    read = load(f"key: {text}").data["key"]
    assert (type(read), read) == (type(value), value)


def test_not_a_number_is_a_float(load: Load) -> None:
    assert [math.isnan(value) for value in load("k: [.nan, .NaN, .NAN]").data["k"]] == [True] * 3


def test_keys_may_look_like_words_of_yaml_1_1(load: Load) -> None:
    assert load("on: 1\ny: 2\n2024-01-02: 3\n").data == {"on": 1, "y": 2, "2024-01-02": 3}


def test_a_key_may_be_an_alias_of_a_text(load: Load) -> None:
    document = load("a: &k name\n*k : 1\n")
    assert document.data == {"a": "name", "name": 1}
    assert at(document, "name", key=True) == "2:1-2:3"


def test_one_marker_of_a_document_is_fine(load: Load) -> None:
    assert load("%YAML 1.2\n---\na: 1\n...\n").data == {"a": 1}


# -- places


def test_spans_of_keys_and_values(load: Load) -> None:
    document = load("a:\n  b: [x, 'y z']  # comment\n  c:\n\n# more\nd: |\n  text\n\n\ne: {f: 1}\n")
    assert at(document, "a", key=True) == "1:1-1:2"
    assert at(document, "a") == "2:3-3:5"
    assert at(document, "a", "b") == "2:6-2:16"
    assert at(document, "a", "b", 1) == "2:10-2:15"
    assert at(document, "a", "c") == "3:5-3:5"
    assert at(document, "d") == "6:4-7:7"
    assert at(document, "e", "f", key=True) == "10:5-10:6"
    assert at(document) == "1:1-10:10"
    assert document.span(("a",)).file == "o.yaml"


def test_an_item_of_a_list_is_its_own_key(load: Load) -> None:
    assert at(load("a:\n  - b\n"), "a", 0, key=True) == "2:5-2:6"


@pytest.mark.parametrize("path", [("a", "x"), ("a", "x", "y", 0), ("a", 0)])
def test_a_path_that_does_not_exist_is_at_its_nearest_ancestor(load: Load, path: Path) -> None:
    document = load("a: {b: 1}\n")
    assert at(document, *path) == "1:4-1:10"
    assert at(document, *path, key=True) == "1:1-1:2"
    assert at(document, "x") == "1:1-1:10"


def test_a_value_through_an_alias_is_used_at_the_alias_and_defined_at_its_anchor(load: Load) -> None:
    document = load("a: &a\n  - x\n  - {y: 1}\nb: [*a, z]\n")
    assert document.data["b"] == [["x", {"y": 1}], "z"]
    for path in [("b", 0), ("b", 0, 0), ("b", 0, 1, "y")]:
        assert at(document, *path) == "4:5-4:7"
    assert at(document, "b", 0, 1, "y", key=True) == "4:5-4:7"
    assert str(document.defined(("b", 0))) == "o.yaml:1:4"
    assert str(document.defined(("b", 0, 0))) == "o.yaml:2:5"
    assert str(document.defined(("b", 0, 1, "y"))) == "o.yaml:3:9"
    assert document.defined(("b",)) is None
    assert document.defined(("b", 1)) is None
    assert document.defined(("a", 0)) is None


def test_of_aliases_in_aliases_the_outermost_is_the_place_of_use(load: Load) -> None:
    document = load("a: &a [x]\nb: &b [*a]\nc: [*b]\n")
    assert document.data["c"] == [[["x"]]]
    assert at(document, "c", 0, 0, 0) == "3:5-3:7"
    assert at(document, "b", 0, 0) == "2:8-2:10"
    assert str(document.defined(("c", 0, 0, 0))) == "o.yaml:1:8"


def test_text_is_what_the_file_says(load: Load) -> None:
    document = load("a: 3.10\nb: '3.10'\nc: &x !!float   3.10 # c\nd: *x\ne:\nf: &n\ng: 0x1F\nh: [1.0]\n")
    written = {key: document.text((key,)) for key in document.data}
    assert written == {
        "a": "3.10",
        "b": "'3.10'",
        "c": "3.10",
        "d": "3.10",
        "e": "",
        "f": "",
        "g": "0x1F",
        "h": "[1.0]",
    }
    assert document.text(("h", 0)) == "1.0"


def test_merge_keys_give_way_to_keys_of_the_mapping_itself(load: Load) -> None:
    document = load("x: &x {a: 1, b: 2}\ny:\n  b: 3\n  <<: *x\n")
    assert document.data["y"] == {"a": 1, "b": 3}
    assert "<<" not in document.data["y"]
    assert at(document, "y", "a") == at(document, "y", "a", key=True) == "4:7-4:9"
    assert str(document.defined(("y", "a"))) == "o.yaml:1:11"
    assert at(document, "y", "b") == "3:6-3:7"
    assert document.defined(("y", "b")) is None


def test_of_several_merged_mappings_the_first_wins(load: Load) -> None:
    document = load("x: &x {a: 1}\ny: &y {a: 2, b: {c: 3}}\nz: {<<: [*x, *y, {d: 4}]}\n")
    assert document.data["z"] == {"a": 1, "b": {"c": 3}, "d": 4}
    assert at(document, "z", "a") == "3:10-3:12"
    assert str(document.defined(("z", "a"))) == "o.yaml:1:11"
    assert at(document, "z", "b", "c") == "3:14-3:16"
    assert str(document.defined(("z", "b", "c"))) == "o.yaml:2:21"
    assert at(document, "z", "d") == "3:22-3:23"
    assert document.defined(("z", "d")) is None


def test_merged_mappings_may_merge_themselves(load: Load) -> None:
    document = load("x: &x {a: 1}\ny: &y\n  <<: *x\nl: &l [*y]\nz:\n  <<: *l\n")
    assert document.data["z"] == {"a": 1}
    assert at(document, "y", "a") == "3:7-3:9"
    assert at(document, "z", "a") == "6:7-6:9"
    assert str(document.defined(("z", "a"))) == "o.yaml:1:11"


def test_a_merge_key_in_quotes_is_a_key(load: Load) -> None:
    document = load('"<<": {a: 1}\n')
    assert document.data == {"<<": {"a": 1}}
    assert at(document, "<<", "a") == "1:11-1:12"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_columns_count_characters_whatever_the_line_ends(load: Load, newline: str, mark: str) -> None:
    document = load(mark + newline.join(["ä: 'ß🚀' # 🚀", "🚀🚀: {é: x}", ""]))
    assert at(document, "ä") == "1:4-1:8"
    assert at(document, "🚀🚀", "é") == "2:9-2:10"


# -- findings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: the file is empty; it must be a mapping (key: value)"),
        ("# only a comment\n", "1:1: the file is empty; it must be a mapping (key: value)"),
        ("- a\n", "1:1: the file holds a list; it must be a mapping (key: value)"),
        ("text\n", "1:1: the file holds a text; it must be a mapping (key: value)"),
        ("a: 1\n---\nb: 1\n", "2:1: a second document; keep one, without the '---' between them"),
        ("a: *x\n", "1:4: a: the alias '*x' has no anchor; define it above this line, with '&x'"),
        ("a: &a [1, *a]\n", "1:11: a[1]: the alias '*a' stands inside its own anchor; remove it"),
        ("a: &a {<<: *a}\n", "1:12: a.<<: the alias '*a' stands inside its own anchor; remove it"),
        ("a: &x 1\nb: &x 2\n", "2:4: b: the anchor '&x' exists already, in line 1; give it another name"),
        ("a: &x [\n  &x 2]\n", "2:3: a[0]: the anchor '&x' exists already, in line 1; give it another name"),
        (
            "a: {<<: 3}\n",
            "1:9: a.<<: '<<' merges mappings, and this is a number; give it the alias of a mapping",
        ),
        (
            "a: &a [x]\nb:\n  <<: *a\n",
            "3:7: b.<<: '<<' merges mappings, and this is a text; give it the alias of a mapping",
        ),
        ("a: !!python/object:os.system x\n", "1:4: a: unknown tag '!!python/object:os.system'; remove the tag"),
        ("a: !foo [1]\n", "1:4: a: unknown tag '!foo'; remove the tag"),
        ("a: !!binary aGk=\n", "1:4: a: unknown tag '!!binary'; remove the tag"),
        ("a: !!set {x}\n", "1:4: a: unknown tag '!!set'; remove the tag"),
        ("a: !!timestamp 2024-01-02\n", "1:4: a: unknown tag '!!timestamp'; remove the tag"),
        ("a: !!int x\n", "1:4: a: the tag '!!int' does not fit this value; remove the tag"),
        ("a: !!int 1.5\n", "1:4: a: the tag '!!int' does not fit this value; remove the tag"),
        ("a: !!bool 1\n", "1:4: a: the tag '!!bool' does not fit this value; remove the tag"),
        ("a: !!null 1\n", "1:4: a: the tag '!!null' does not fit this value; remove the tag"),
        ("a: !!map x\n", "1:4: a: the tag '!!map' does not fit this value; remove the tag"),
        ("a: !!seq {b: c}\n", "1:4: a: the tag '!!seq' does not fit this value; remove the tag"),
        (f"a: [{'9' * 5000}]\n", "1:5: a[0]: a number of 5,000 digits; put it in quotes if it is text"),
        (f"a: 0x{'f' * 5000}\n", "1:4: a: a number of 5,002 digits; put it in quotes if it is text"),
        (f"a: !!int '{'9' * 5000}'\n", "1:4: a: a number of 5,000 digits; put it in quotes if it is text"),
    ],
)
def test_what_orbiter_does_not_read_is_said_in_a_sentence(load: Load, text: str, expected: str) -> None:
    assert errors(load, text) == [f"o.yaml:{expected}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a:\n  b: "x\nc: 1\n', '2:6: this quote is never closed; write " at its end'),
        ("a: 'x\nb: 1\n", "1:4: this quote is never closed; write ' at its end"),
        ("a: 'x\n---\nb: 1\n", "1:4: this quote is never closed; write ' at its end"),
        ("a: [1, 2\n", "1:4: this '[' is never closed; write ']' at its end"),
        ("a: {b: 1", "1:4: this '{' is never closed; write '}' at its end"),
        (
            "a: [1, 2\nb: 1\n",
            "2:2: ':' where ',' or ']' belongs, for the '[' of line 1; write the one that is missing",
        ),
        (
            "a: {x: 1 y: 2}\n",
            "1:11: ':' where ',' or '}' belongs, for the '{' of line 1; write the one that is missing",
        ),
        ("a: ]\n", "1:4: ']' where a value belongs; remove it, or put the text in quotes"),
        ("a: [x, , y]\n", "1:8: ',' where a value belongs; remove it, or put the text in quotes"),
        ("a: [b]]\n", "1:7: ']' after the end of the value; put the whole value in quotes if it is one text"),
        ("a: 'it's'\n", "1:8: 's' after the end of the value; put the whole value in quotes if it is one text"),
        (
            "a:\n  b: 1\n c: 2\n",
            "3:2: this is no 'key: value' of the mapping of line 1; check its indentation",
        ),
        ("a: 1\n- b\n", "2:1: this is no 'key: value' of the mapping of line 1; check its indentation"),
        ("a:\n  - b\n  c: d\n", "3:3: this is no '- item' of the list of line 2; check its indentation"),
        (
            "a: b: c\n",
            "1:5: this ':' belongs to no key; put a text that holds ': ' in quotes; "
            "else check the indentation here and the line before",
        ),
        (
            "a: 1\nb\nc: 2\n",
            "2:1: a line without ':' where a key belongs; write 'key: value', or indent it if the text goes on",
        ),
        ("a: - b\n", "1:4: no list can begin here; write '- ' in a line of its own"),
        ("a: ? b\n", "1:4: no key can begin here; put a text that begins with '?' in quotes"),
        ("a: @x\n", "1:4: no value begins with '@'; put the value in quotes"),
        ("a: `x`\n", "1:4: no value begins with '`'; put the value in quotes"),
        ("a: *.txt\n", "1:4: '*' needs a name after it; put a text that begins with '*' in quotes"),
        ("a: & b\n", "1:4: '&' needs a name after it; put a text that begins with '&' in quotes"),
        ("a: !x!y z\n", "1:4: this is no tag of YAML; put a text that begins with '!' in quotes"),
        ("a: !<x\n", "1:4: this is no tag of YAML; put a text that begins with '!' in quotes"),
        ("a: | x\n  y\n", "1:6: a text after '|' or '>' begins in the next line; move it there, indented"),
        ("%YAML 3.0\n---\na: 1\n", "1:1: a directive (a line with '%') that Orbiter does not know; remove it"),
        ("a: x\n...\nb: 1\n", "3:1: the document has ended above; keep one mapping (key: value), in one column"),
        ('a: "C:\\qt"\n', "1:7: '\\q' is no escape of YAML; write '\\\\' for a backslash, or use single quotes"),
        ('a: "\\xzz"\n', "1:5: '\\x' is no escape of YAML; write '\\\\' for a backslash, or use single quotes"),
        (
            'a: "é\\ud83d\\ude00"\n',
            "1:6: '\\ud83d' is no escape of YAML; write '\\\\' for a backslash, or use single quotes",
        ),
        (
            'a: "\\UFFFFFFFF"\n',
            "1:5: '\\UFFFFFFFF' is no escape of YAML; write '\\\\' for a backslash, or use single quotes",
        ),
    ],
)
def test_syntax_errors_say_where_what_and_the_way_out(load: Load, text: str, expected: str) -> None:
    assert errors(load, text) == [f"o.yaml:{expected}"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a:\n\tb: 1\n", "2:1"),
        ("a:\n  b: 1\n\tc: 2\n", "3:1"),
        ("a:\n  b: 1\n \tc: 2\n", "3:2"),
        ("a:\n  - x\n\t- y\n", "3:1"),
        ("a: |\n\tx\n", "2:1"),
        ("\ta: 1\n", "1:1"),
    ],
)
def test_a_tab_as_indentation_is_called_by_its_name(load: Load, text: str, place: str) -> None:
    assert errors(load, text) == [f"o.yaml:{place}: a tab; YAML indents with spaces"]


def test_tabs_elsewhere_are_fine(load: Load) -> None:
    assert load("a: 1\nb: 'x\ty'\nc: |\n  x\ty\n").data == {"a": 1, "b": "x\ty", "c": "x\ty\n"}


def test_all_duplicate_keys_are_found_at_once(load: Load) -> None:
    assert errors(load, "a: 1\nb:\n  - {c: 1, 'c': 2, c: 3}\na: 3\nx: {<<: {}, <<: {}}\n") == [
        "o.yaml:3:12: b[0].c: the same key as in line 3; keep one of them",
        "o.yaml:3:20: b[0].c: the same key as in line 3; keep one of them",
        "o.yaml:4:1: a: the same key as in line 1; keep one of them",
        "o.yaml:5:13: x.<<: the same key as in line 5; keep one of them",
    ]


def test_all_keys_that_are_no_text_are_found_at_once(load: Load) -> None:
    text = "1: a\nb:\n  true: c\n  1.5: d\n? [e]\n: f\n~: g\n{h: [1]}: i\n"
    assert errors(load, text) == [
        "o.yaml:1:1: a key is a text, and this is a number; put it in quotes",
        "o.yaml:3:3: b: a key is a text, and this is true or false; put it in quotes",
        "o.yaml:4:3: b: a key is a text, and this is a number; put it in quotes",
        "o.yaml:5:3: a key is a text, and this is a list; write a text there",
        "o.yaml:7:1: a key is a text, and this is empty; write a text there",
        "o.yaml:8:1: a key is a text, and this is a mapping; write a text there",
    ]


def test_findings_before_a_syntax_error_are_told_with_it(load: Load) -> None:
    assert errors(load, "a: !foo 1\nb: {c: *nope, *nope : 1, <<: *nope}\nd: 'x\n") == [
        "o.yaml:1:4: a: unknown tag '!foo'; remove the tag",
        "o.yaml:2:8: b.c: the alias '*nope' has no anchor; define it above this line, with '&nope'",
        "o.yaml:2:15: b: the alias '*nope' has no anchor; define it above this line, with '&nope'",
        "o.yaml:2:30: b.<<: the alias '*nope' has no anchor; define it above this line, with '&nope'",
        "o.yaml:3:4: this quote is never closed; write ' at its end",
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a: 1\nb: \xc3\xa4\xe4\n", "2:5: the byte 0xE4 is not UTF-8; save the file as UTF-8"),
        (b"\xef\xbb\xbfa: \xff", "1:4: the byte 0xFF is not UTF-8; save the file as UTF-8"),
        (b"a: \xed\xa0\x80", "1:4: the byte 0xED is not UTF-8; save the file as UTF-8"),
        ("\ufeffa: 1\n".encode("utf-16-le"), "1:1: the file is UTF-16; save it as UTF-8"),
        ("\ufeffa: 1\n".encode("utf-16-be"), "1:1: the file is UTF-16; save it as UTF-8"),
        (
            b"a: 1\r\nb: x\0y\r\n",
            "2:5: the character U+0000 may not stand in YAML; "
            "remove it, or write it as \\x00 in a text in double quotes",
        ),
        (
            "# ä\x1b\n".encode(),
            "1:4: the character U+001B may not stand in YAML; "
            "remove it, or write it as \\x1b in a text in double quotes",
        ),
        (
            "a: 'x\u2028y'\n".encode(),
            "1:6: the character U+2028 may not stand in YAML; "
            "remove it, or write it as \\u2028 in a text in double quotes",
        ),
        (b"a" * 10_000_001, "1:1: the file has 10.0 MB; Orbiter reads up to 10 MB; is it the right file?"),
        (
            b"a: 1\n" + b"%TAG !a! b\n" * 101,
            "2:1: more than 100 lines begin with '%'; remove them",
        ),
    ],
)
def test_files_that_are_no_text_are_refused_with_the_place(load: Load, data: bytes, expected: str) -> None:
    assert errors(load, data) == [f"o.yaml:{expected}"]


def test_control_characters_may_be_written_as_escapes(load: Load) -> None:
    assert load('a: "\\x00\\e\\u2028\\ufeff"\n').data == {"a": "\0\x1b\u2028\ufeff"}


# -- pathological files


def bomb(first: str, layer: Callable[[int], str], layers: int) -> str:
    return first + "".join(layer(number) for number in range(1, layers))


def test_an_alias_bomb_is_refused_at_the_alias_that_passes_the_limit(load: Load) -> None:
    text = bomb("a0: &a0 [x]\n", lambda n: f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n", 30)
    assert errors(load, text) == [
        "o.yaml:7:25: with this alias, the file grows to more than 1,000,000 values; use fewer aliases"
    ]


def test_a_bomb_of_merge_keys_is_refused_too(load: Load) -> None:
    first = "a0: &a0 {" + ", ".join(f"k{n}: 1" for n in range(100)) + "}\n"
    text = bomb(first, lambda n: f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n", 30)
    assert [error.partition(": ")[2] for error in errors(load, text)] == [
        "with this alias, the file grows to more than 1,000,000 values; use fewer aliases"
    ]


def test_a_file_with_too_many_values_is_refused(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_MAX_VALUES", 5)
    assert load("a: [1, 2]\n").data == {"a": [1, 2]}
    assert errors(load, "a: [1, 2, 3]\n") == ["o.yaml:1:11: the file has more than 5 values; is it the right file?"]


def test_aliases_do_not_hide_depth(load: Load) -> None:
    text = bomb("a0: &a0 []\n", lambda n: f"a{n}: &a{n} [*a{n - 1}]\n", 300)
    assert errors(load, text) == ["o.yaml:100:12: with this alias, values are nested more than 100 deep; flatten them"]


def test_a_hundred_levels_are_read(load: Load) -> None:
    data = load("a: " + "[" * 99 + "]" * 99).data["a"]
    depth = 0
    while data:
        data, depth = data[0], depth + 1
    assert depth == 98


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 101,
        "a: " + "[" * 100_000,
        "a: " + "{" * 100_000,
        "a: " + "{a: " * 100_000,
        "- " * 100_000,
        "? " * 100_000,
        "".join(" " * level + "a:\n" for level in range(1500)),
        "".join(" " * level + "-\n" for level in range(1500)),
    ],
    ids=lambda text: f"{text[:9]!r}*{len(text)}",
)
def test_absurd_nesting_is_refused_before_anything_overflows(load: Load, text: str) -> None:
    (error,) = errors(load, text)
    assert error.endswith(": nested more than 100 deep; flatten it")


# -- properties

printable = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Zl", "Zp"], exclude_characters="\ufeff")
keys = st.text(printable, max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(printable),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=15,
)


def walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    yield path, value
    if isinstance(value, dict | list):
        for part, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from walk(child, (*path, part))


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("indent", [None, 2])
@given(data=st.dictionaries(keys, values, max_size=4))
@example(data={"": {"<<": ["\u00a0", "🚀", -0.0, 1e-07, 10**22]}})
def test_json_is_read_as_json_and_every_span_is_its_own_text(parser: Any, indent: int | None, data: Any) -> None:
    text = json.dumps(data, ensure_ascii=False, indent=indent)
    document = source.load(text.encode(), "o.yaml", _parser=parser)
    assert document.data == data
    assert json.dumps(document.data) == json.dumps(data)
    lines = text.split("\n")
    for path, value in walk(data):
        span = document.span(path)
        assert document.defined(path) is None
        assert json.loads(document.text(path)) == value
        here = lines[span.line - 1][span.column - 1 :]
        if span.line == span.end_line:
            here = here[: span.end_column - span.column]
            assert json.loads(here) == value
        assert here.startswith(json.dumps(value, ensure_ascii=False)[:1])
        if path and isinstance(path[-1], str):
            key = document.span(path, key=True)
            assert json.loads(lines[key.line - 1][key.column - 1 : key.end_column - 1]) == path[-1]


SAMPLE = (
    "version: 1.0\npip: &pip\n  - \"a b\"\n  - *x\nx: &x {<<: *pip, a: [1, ~, 'q']}\n? k\n: |+2\n   t\n"
    '--- !!str\n%TAG ! x\n"\\u12\\ud800": >\n \tfoo # c\n- - ? :\n'
)
pieces = st.sampled_from([*SAMPLE.split(" "), *SAMPLE, "\r", "\ufeff", "\x85", "é", "🚀", "\0", "  ", "*pip", "&pip "])


@pytest.mark.parametrize("parser", PARSERS)
@given(
    data=st.binary(max_size=60)
    | st.lists(pieces, max_size=30).map(lambda parts: "".join(parts).encode())
    | st.tuples(st.integers(0, len(SAMPLE)), st.integers(0, len(SAMPLE)), pieces).map(
        lambda cut: (SAMPLE[: cut[0]] + cut[2] + SAMPLE[cut[1] :]).encode()
    )
)
@example(data=b'"\\UFFFFFFFF": 1')
@example(data=b"%YAML 1." + b"1" * 5000 + b"\n---\na: 1")
@example(data=b'a: "\\\\ud800\\ud800"')
def test_whatever_the_bytes_only_a_config_error_escapes(parser: Any, data: bytes) -> None:
    try:
        document = source.load(data, "o.yaml", _parser=parser)
    except ConfigError as error:
        for finding in error.findings:
            span = finding.span
            assert finding.message
            assert (1, 1) <= (span.line, span.column) <= (span.end_line, span.end_column)
    else:
        for path, _ in walk(document.data):
            span = document.span(path)
            assert (1, 1) <= (span.line, span.column) <= (span.end_line, span.end_column)
            assert (document.defined(path) is None) or document.text(path) in data.decode("utf-8-sig")
