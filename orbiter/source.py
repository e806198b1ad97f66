"""YAML text → Document(data, spans): reads YAML 1.2 (core schema) and knows where every value stands in the file.

PyYAML only gives the events. Its composed nodes do not know where an alias was used, its constructor reads YAML 1.1,
and both are recursive; one loop over the events does without all three, in less time.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from yaml import error as yaml_error
from yaml import events
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner, ScannerError

from orbiter.diagnostics import Finding, Path, Span
from orbiter.errors import ConfigError

_MAX_BYTES = 10_000_000
_MAX_VALUES = 1_000_000  # with every alias expanded, which is what the code behind this module walks
_MAX_DEPTH = 100  # likewise: keeps that code, which is recursive, far from Python's own limit
_MAX_DIGITS = 500  # Python itself refuses to print more than 4,300 and may be told to stop at 640
_MAX_DIRECTIVES = 100  # libyaml compares each `%TAG` with all before it: 200,000 of them take minutes

_WRONG: Any = object()  # stands for a value that has its finding already

_TAG = "tag:yaml.org,2002:"
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
# What YAML calls not printable, and what its readers disagree about: the line breaks of YAML 1.1 that are none in 1.2
# (NEL, LS, PS), and byte order marks in the middle.
_FORBIDDEN = re.compile("[^\t\n\r -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_PROPERTIES = re.compile(r"(?:[&!]\S*(?:\s|#.*)*)+")
_ESCAPE = re.compile(r"\\[xuU][0-9a-fA-F]*|\\.?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(r"\\(?:u|U0000)[dD][89a-fA-F]")

# https://yaml.org/spec/1.2.2/#1032-tag-resolution
_WORDS: dict[str, Any] = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
    | {sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")}
    | dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan"))
)
_NUMBER_STARTS = frozenset("0123456789+-.")
_NUMBER = re.compile(
    r"([-+]?[0-9]+)|0o([0-7]+)|0x([0-9a-fA-F]+)|([-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)"
)
_BASES = (0, 10, 8, 16)  # of the groups above; the last one is a float


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file that was read: `data` is plain (dict with str keys, list, str, int, float, bool, None).

    A value that came through aliases is one shared object, so nobody may change `data`.
    """

    name: str
    data: Any
    _places: "_Places" = field(repr=False, compare=False)

    def value(self, path: Path) -> Any:
        """What stands at the path, which has to be there."""
        found = self.data
        for part in path:
            found = found[part]
        return found

    def span(self, path: Path, *, key: bool = False) -> Span:
        """Where the value of `path`, or its key, stands: the alias (`*name`) if it came through one.

        The nearest ancestor that exists answers for a path that does not.
        """
        found = self._places.find(path)
        return found.key if key else found.used

    def defined(self, path: Path) -> Span | None:
        """Where a value that came through an alias really stands; else None."""
        return self._places.find(path).defined

    def text(self, path: Path) -> str:
        """The value as it is written in the file: `3.10`, not 3.1; `"a"` with its quotes; no anchor, no tag."""
        return self._places.find(path).text


_Event: TypeAlias = Any  # PyYAML's type stubs say that most of an event may be None


class _Parser(Protocol):
    def __init__(self, stream: str, /) -> None: ...
    def get_event(self) -> _Event: ...


class _PythonParser(Reader, Scanner, Parser):
    """PyYAML's parser without libyaml, made to refuse the escapes that libyaml refuses."""

    def __init__(self, stream: str) -> None:
        Reader.__init__(self, stream)
        Scanner.__init__(self)
        Parser.__init__(self)

    def get_event(self) -> _Event:
        try:
            event: _Event = super().get_event()  # type: ignore[no-untyped-call]
        except (ValueError, OverflowError) as error:  # "\UFFFFFFFF", "%YAML 1.<5,000 digits>"
            line = self.buffer.rfind("\n", 0, self.index) + 1
            context = "directive" if self.buffer[line] == "%" else "escape"
            raise ScannerError(context, None, "out of range", self.get_mark()) from error
        if isinstance(event, events.ScalarEvent) and event.style == '"' and _SURROGATE.search(event.value):
            start: Any = event.start_mark
            found = _SURROGATE_ESCAPE.search(self.buffer, start.index)
            mark = yaml_error.Mark("", found.start() if found else start.index, 0, 0, None, 0)
            raise ScannerError("escape", None, "out of range", mark)
        return event


try:
    from yaml._yaml import CParser

    _FASTEST: type[_Parser] = CParser
except ImportError:  # a PyYAML that was built without libyaml
    _FASTEST = _PythonParser


def load(text: bytes, name: str, *, _parser: type[_Parser] = _FASTEST) -> Document:
    """Reads a YAML file whose root is a mapping. `name` is the file as people are to see it.

    Raises ConfigError with every finding up to the first place where reading cannot go on.
    """
    places = _Places(_Text(_decoded(text, name), name))
    return Document(name=name, data=places.read(_parser), _places=places)


class _Text:
    """A text whose offsets can be told as lines and columns.

    PyYAML's own lines and columns are not used: its two parsers count some characters and the end of file differently.
    """

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name

    @cached_property
    def _lines(self) -> list[int]:
        return [0, *(found.end() for found in _LINE_BREAK.finditer(self.text))]

    def line(self, offset: int) -> int:
        return bisect_right(self._lines, offset)

    def before(self, offset: int) -> str:
        """What stands before the offset in its line."""
        return self.text[self._lines[self.line(offset) - 1] : offset]

    def span(self, start: int, end: int) -> Span:
        end = start + len(self.text[start:end].rstrip())  # a block text ends where the next line begins
        line, end_line = self.line(start), self.line(end)
        column, end_column = start - self._lines[line - 1] + 1, end - self._lines[end_line - 1] + 1
        return Span(file=self.name, line=line, column=column, end_line=end_line, end_column=end_column)

    def error(self, start: int, end: int, message: str, hint: str) -> ConfigError:
        return ConfigError([Finding(span=self.span(start, end), path=(), message=message, hint=hint)])


def _decoded(data: bytes, name: str) -> str:
    if len(data) > _MAX_BYTES:
        problem = f"the file has {len(data) / 1e6:,.1f} MB; Orbiter reads up to {_MAX_BYTES // 1_000_000} MB"
        raise _Text("", name).error(0, 0, problem, "is it the right file?")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _Text("", name).error(0, 0, "the file is UTF-16", "save it as UTF-8")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        good = data[: error.start].decode()
        problem = f"the byte 0x{data[error.start]:02X} is not UTF-8"
        raise _Text(good + "?", name).error(len(good), len(good) + 1, problem, "save the file as UTF-8") from error
    if found := _FORBIDDEN.search(text):
        code = ord(found[0])
        escape = f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
        hint = f"remove it, or write it as {escape} in a text in double quotes"
        raise _Text(text, name).error(*found.span(), f"the character U+{code:04X} may not stand in YAML", hint)
    if text.count("\n%") > _MAX_DIRECTIVES:
        at = text.index("\n%") + 1
        raise _Text(text, name).error(at, at + 1, f"more than {_MAX_DIRECTIVES} lines begin with '%'", "remove them")
    return text


class _Collection:
    """A mapping (places and values: key, value, key, value …), a list, or the document around the root."""

    __slots__ = ("data", "depth", "end", "flow", "kind", "places", "size", "start", "steps", "values")

    def __init__(self, kind: Literal["document", "mapping", "list"], event: _Event, counted: int) -> None:
        self.kind = kind
        self.start: int = event.start_mark.index if event else 0
        self.end = -1  # as long as it is open
        self.flow: bool = event.flow_style if event else False
        self.places: list[_Place] = []
        self.values: list[Any] = []
        self.data: Any = None
        self.size = counted  # while it is open: the values before it; then the values in it, with itself
        self.depth = 1
        self.steps: dict[str | int, _Step] | None = None  # worked out when somebody asks


class _Alias(NamedTuple):
    start: int
    end: int
    target: "_Place"


_Place: TypeAlias = tuple[int, int] | _Alias | _Collection
"""A scalar is only its start and end: objects would be visited by the garbage collector over and over."""


class _Step(NamedTuple):
    """One step down: the places of key and value, and the alias whose `<<` brought them."""

    key: _Place
    value: _Place
    merge: _Alias | None


class _Found(NamedTuple):
    used: Span
    key: Span
    defined: Span | None
    text: str


class _Places:
    """Reads a text into data and remembers, as a tree, where all of it stands."""

    def __init__(self, text: _Text) -> None:
        self.text = text
        self.findings: list[Finding] = []
        self.anchors: dict[str, tuple[_Place, Any]] = {}
        self.open = [_Collection("document", None, 0)]

    # -- reading

    def read(self, parser: type[_Parser]) -> dict[str, Any]:
        try:
            self._build(parser(self.text.text))
        except yaml_error.MarkedYAMLError as error:
            self.findings.append(_syntax(error, self.text))
        top = self.open[0]
        root, data = (top.places[0], top.values[0]) if top.places else ((0, 0), None)
        if not self.findings and not isinstance(data, dict):
            problem = "the file is empty" if data is None else f"the file holds {_what(data)}"
            self._say(root, problem, "it must be a mapping (key: value)")
        if self.findings or not isinstance(data, dict):
            raise ConfigError(self.findings)
        return data

    def _build(self, parser: _Parser) -> None:
        # Every value of every file goes through this loop: what is rare is a method.
        stack = self.open
        top = stack[0]
        places, values = top.places, top.values
        place: _Place
        count = documents = 0
        for event in iter(parser.get_event, None):
            kind = event.__class__
            if kind is events.ScalarEvent:
                count += 1
                value = event.value
                if event.tag is not None:
                    value = self._tagged(event)
                elif not event.style:
                    if value in _WORDS:
                        value = _WORDS[value]
                    elif value[0] in _NUMBER_STARTS:
                        value = self._number(event)
                place = (event.start_mark.index, event.end_mark.index)
                if event.anchor is not None:
                    self._name(event, place, value)
                places.append(place)
                values.append(value)
            elif kind is events.MappingStartEvent or kind is events.SequenceStartEvent:
                mapping = kind is events.MappingStartEvent
                if len(stack) > _MAX_DEPTH:
                    raise self._stopped(event, f"nested more than {_MAX_DEPTH} deep", "flatten it")
                top = _Collection("mapping" if mapping else "list", event, count)
                count += 1
                if event.tag not in (None, "!", _TAG + ("map" if mapping else "seq")):
                    self._bad_tag(event)
                if event.anchor is not None:
                    self._name(event, top, None)
                stack.append(top)
                places, values = top.places, top.values
            elif kind is events.MappingEndEvent or kind is events.SequenceEndEvent:
                done = stack.pop()
                # PyYAML ends a block where the next one begins, comments and all.
                done.end = event.end_mark.index if done.flow or not places else _offsets(places[-1])[1]
                done.size = count - done.size
                done.data = values if done.kind == "list" else self._mapping(done)
                top = stack[-1]
                top.depth = max(top.depth, done.depth + 1)
                places, values = top.places, top.values
                places.append(done)
                values.append(done.data)
            elif kind is events.AliasEvent:
                place, value, size, depth = self._alias(event)
                count += size
                top.depth = max(top.depth, depth + 1)
                if len(stack) + depth > _MAX_DEPTH + 1:
                    problem = f"with this alias, values are nested more than {_MAX_DEPTH} deep"
                    raise self._stopped(event, problem, "flatten them")
                if count > _MAX_VALUES:
                    problem = f"with this alias, the file grows to more than {_MAX_VALUES:,} values"
                    raise self._stopped(event, problem, "use fewer aliases")
                places.append(place)
                values.append(value)
            elif kind is events.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    raise self._stopped(event, "a second document", "keep one, without the '---' between them")
            if count > _MAX_VALUES:
                raise self._stopped(event, f"the file has more than {_MAX_VALUES:,} values", "is it the right file?")

    def _number(self, event: _Event) -> Any:
        text: str = event.value
        found = _NUMBER.fullmatch(text)
        if not found or not found.lastindex:
            return text
        if found.lastindex == 4:
            return float(text)
        if len(text) > _MAX_DIGITS:
            self._say(event, f"a number of {len(text):,} digits", "put it in quotes if it is text", path=self._here())
            return _WRONG
        return int(found[found.lastindex], _BASES[found.lastindex])

    def _tagged(self, event: _Event) -> Any:
        text: str = event.value
        if event.tag in ("!", _TAG + "str"):
            return text
        value = _WORDS[text] if text in _WORDS else self._number(event)
        if event.tag == _TAG + "float" and type(value) is int:
            return float(value)
        kind = "null" if value is None else type(value).__name__
        fits = kind != "str" and event.tag == _TAG + kind
        return value if fits or value is _WRONG else self._bad_tag(event)

    def _bad_tag(self, event: _Event) -> Any:
        tag: str = event.tag.replace(_TAG, "!!")
        known = tag in ("!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq")
        problem = f"the tag '{tag}' does not fit this value" if known else f"unknown tag '{tag}'"
        self._say(event, problem, "remove the tag", path=self._here())
        return _WRONG

    def _name(self, event: _Event, place: _Place, value: Any) -> None:
        first = self.anchors.setdefault(event.anchor, (place, value))[0]
        if first is not place:
            line = self.text.line(_offsets(first)[0])
            problem = f"the anchor '&{event.anchor}' exists already, in line {line}"
            self._say(event, problem, "give it another name", path=self._here())

    def _alias(self, event: _Event) -> tuple[_Place, Any, int, int]:
        """Place and data of an alias; number and depth of the values that it stands for."""
        name: str = event.anchor
        target, value = self.anchors.get(name, (None, _WRONG))
        if target is None:
            problem, hint = f"the alias '*{name}' has no anchor", f"define it above this line, with '&{name}'"
        elif not isinstance(target, _Collection):
            return _Alias(*_offsets(event), target), value, 1, 0
        elif target.end < 0:
            problem, hint = f"the alias '*{name}' stands inside its own anchor", "remove it"
        else:
            return _Alias(*_offsets(event), target), target.data, target.size, target.depth
        self._say(event, problem, hint, path=self._here())
        return _offsets(event), _WRONG, 1, 0

    def _mapping(self, done: _Collection) -> dict[str, Any]:
        keys = done.values[::2]
        try:
            data = dict(zip(keys, done.values[1::2], strict=True))
        except TypeError:  # a list or a mapping as a key
            return self._odd_mapping(done)
        plain = len(data) == len(keys) and "<<" not in data and {*map(type, keys)} <= {str}
        return data if plain else self._odd_mapping(done)

    def _odd_mapping(self, done: _Collection) -> dict[str, Any]:
        """A mapping with `<<`, or with keys that get findings."""
        path = self._here()
        data: dict[str, Any] = {}
        seen: dict[str, _Place] = {}
        merged: list[dict[str, Any]] = []
        for at in range(0, len(done.places), 2):
            place, key, value = done.places[at], done.values[at], done.values[at + 1]
            if key is _WRONG:
                continue
            if not isinstance(key, str):
                hint = "write a text there" if key is None or isinstance(key, list | dict) else "put it in quotes"
                self._say(place, f"a key is a text, and this is {_what(key)}", hint, path=path)
            elif key in seen:
                line = self.text.line(_offsets(seen[key])[0])
                self._say(place, f"the same key as in line {line}", "keep one of them", path=(*path, key))
            else:
                seen[key] = place
                if not self._is_merge(place):
                    data[key] = value
                    continue
                for source in value if isinstance(value, list) else [value]:
                    if isinstance(source, dict):
                        merged.append(source)
                    elif source is not _WRONG:
                        problem = f"'<<' merges mappings, and this is {_what(source)}"
                        self._say(done.places[at + 1], problem, "give it the alias of a mapping", path=(*path, key))
        whole: dict[str, Any] = {}
        for source in reversed(merged):  # the first of several that have a key wins, and the mapping itself over all
            whole |= source
        return whole | data

    def _is_merge(self, place: _Place) -> bool:
        """Whether a key is `<<` as it stands: not in quotes, no alias, no tag."""
        return type(place) is tuple and self.text.text[place[0] : place[1]] == "<<"

    def _here(self) -> Path:
        """The path of what is being read."""
        path: list[str | int] = []
        for collection in self.open[1:]:
            if collection.kind == "list":
                path.append(len(collection.places))
            elif len(collection.places) % 2 and isinstance(collection.values[-1], str):
                path.append(collection.values[-1])
            else:
                break  # inside a key
        return tuple(path)

    def _say(self, at: "_Place | _Event", message: str, hint: str, *, path: Path = ()) -> None:
        self.findings.append(Finding(span=self.text.span(*_offsets(at)), path=path, message=message, hint=hint))

    def _stopped(self, at: _Event, message: str, hint: str) -> ConfigError:
        """The error to raise where reading on makes no sense."""
        self._say(at, message, hint)
        return ConfigError(self.findings)

    # -- finding again

    def find(self, path: Path) -> _Found:
        """The nearest place that exists."""
        key = place = self.open[0].places[0]
        used: _Alias | None = None
        for part in path:
            step = self._steps(place).get(part) if isinstance(place, _Collection) else None
            if step is None:
                break
            used = used or step.merge
            key, place = used or step.key, step.value
            if isinstance(place, _Alias):
                used, place = used or place, place.target
        start, end = _offsets(place)
        real = self.text.span(start, end)
        properties = _PROPERTIES.match(self.text.text, start, end)
        text = self.text.text[properties.end() if properties else start : end].rstrip()
        use = self.text.span(*_offsets(used)) if used else real
        return _Found(use, self.text.span(*_offsets(key)), real if used else None, text)

    def _steps(self, collection: _Collection) -> dict[str | int, _Step]:
        if collection.steps is None:
            places = collection.places
            if collection.kind == "list":
                collection.steps = {index: _Step(place, place, None) for index, place in enumerate(places)}
                return collection.steps
            keys = zip(collection.values[::2], places[::2], places[1::2], strict=True)
            own: dict[str | int, _Step] = {key: _Step(place, value, None) for key, place, value in keys}
            merged: dict[str | int, _Step] = {}
            if "<<" in own and self._is_merge(own["<<"].key):
                for source, use in reversed([*_merged(own.pop("<<").value, None)]):
                    for part, step in self._steps(source).items():
                        merged[part] = step._replace(merge=use or step.merge)
            collection.steps = merged | own
        return collection.steps


def _merged(place: _Place, use: _Alias | None) -> Iterator[tuple[_Collection, _Alias | None]]:
    """The mappings that the value of a `<<` names, each with the alias that it came through."""
    if isinstance(place, _Alias):
        use, place = use or place, place.target
    if isinstance(place, _Collection):
        if place.kind == "mapping":
            yield place, use
        else:
            for part in place.places:
                yield from _merged(part, use)


def _offsets(at: "_Place | _Event") -> tuple[int, int]:
    if isinstance(at, tuple):
        return at[0], at[1]
    if isinstance(at, _Collection):
        return at.start, at.end
    return at.start_mark.index, at.end_mark.index


def _what(value: Any) -> str:
    """The kind of a value, for a sentence."""
    kinds = {bool: "true or false", str: "a text", list: "a list", dict: "a mapping", type(None): "empty"}
    return kinds.get(type(value), "a number")


# What PyYAML's parsers say (`context: problem`, then FIRST in its line, END of the file or neither), what to say
# instead, and the way out; {char} is the character at the place and {line} the line where the context begins.
_SYNTAX = (
    (r"quoted .*(end of stream|document)", "this quote is never closed", "write {char} at its end"),
    (r"quoted |escape", "'{escape}' is no escape of YAML", "write '\\\\' for a backslash, or use single quotes"),
    (r"flow .*',' or .*END", "this '{opening}' is never closed", "write '{closing}' at its end"),
    (
        r"flow .*',' or ",
        "'{char}' where ',' or '{closing}' belongs, for the '{opening}' of line {line}",
        "write the one that is missing",
    ),
    (r"simple key", "a line without ':' where a key belongs", "write 'key: value', or indent it if the text goes on"),
    (
        r"mapping values",
        "this ':' belongs to no key",
        "put a text that holds ': ' in quotes; else check the indentation here and the line before",
    ),
    (r"sequence entries", "no list can begin here", "write '- ' in a line of its own"),
    (r"mapping keys", "no key can begin here", "put a text that begins with '?' in quotes"),
    (r"cannot start", "no value begins with '{char}'", "put the value in quotes"),
    (r"an anchor|an alias", "'{char}' needs a name after it", "put a text that begins with '{char}' in quotes"),
    (r" tag\b", "this is no tag of YAML", "put a text that begins with '!' in quotes"),
    (r"block scalar", "a text after '|' or '>' begins in the next line", "move it there, indented"),
    (r"node content", "'{char}' where a value belongs", "remove it, or put the text in quotes"),
    (r"nesting", f"nested more than {_MAX_DEPTH} deep", "flatten it"),
    (r"directive|incompatible", "a directive (a line with '%') that Orbiter does not know", "remove it"),
    (r"document start", "the document has ended above", "keep one mapping (key: value), in one column"),
    (r"block mapping.*FIRST", "this is no 'key: value' of the mapping of line {line}", "check its indentation"),
    (r"block collection.*FIRST", "this is no '- item' of the list of line {line}", "check its indentation"),
    (r"block ", "'{char}' after the end of the value", "put the whole value in quotes if it is one text"),
)
# The place to show for these is the context, where the trouble begins, not where the parser noticed it.
_AT_CONTEXT = re.compile(r"quoted .*(end of stream|document)|flow .*END|simple key|an anchor|an alias| tag\b")


def _syntax(error: yaml_error.MarkedYAMLError, source: _Text) -> Finding:
    """PyYAML's error in the words of somebody who writes a configuration."""
    text = source.text
    mark: Any = error.problem_mark or error.context_mark
    at: int = mark.index
    context: int = error.context_mark.index if error.context_mark else at
    first = not source.before(at).strip()
    if text[at : at + 1] == "\t":
        hint = "YAML indents with spaces" if first else "write a space"
        return Finding(span=source.span(at, at + 1), path=(), message="a tab", hint=hint)
    said = f"{error.context}: {error.problem} {'END' if not text[at:].strip() else 'FIRST' if first else ''}"
    unknown = ("", error.problem or "this is no YAML", "see the lines around it")
    _, message, hint = next((rule for rule in _SYNTAX if re.search(rule[0], said)), unknown)
    if "{escape}" in message:
        at = text.rfind("\\", 0, at + 1)
    elif _AT_CONTEXT.search(said):
        at = context
    names = {
        "char": text[at : at + 1] or "the end of the file",
        "line": source.line(context),
        "opening": text[context : context + 1],
        "closing": "]" if text[context : context + 1] == "[" else "}",
        "escape": found[0] if (found := _ESCAPE.match(text, max(at, 0))) else "",
    }
    span = source.span(max(at, 0), max(at, 0) + 1)
    return Finding(span=span, path=(), message=message.format_map(names), hint=hint.format_map(names))
