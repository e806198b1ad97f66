"""YAML text → Document: plain data, and the place of every key and value.

YAML is read as 1.2 (core schema, https://yaml.org/spec/1.2.2/#103-core-schema): `on` is text, `010` is ten, there are
no dates. Places are looked up only when somebody asks: the way to a valid document is one pass of the C parser.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from orbiter.diagnostics import Finding, Path, Span
from orbiter.errors import ConfigError

MAX_BYTES = 10_000_000
MAX_DEPTH = 64
MAX_NODES = 1_000_000
"""Limits far above any real configuration: what passes them is an accident or an attack."""

_PLAIN, _QUOTED, _SEQUENCE, _MAPPING = "plain", "quoted", "sequence", "mapping"
_CORE_TAG = "tag:yaml.org,2002:"


class _Resolver:
    """Leaves plain scalars to the constructor below; all that PyYAML's parsers ask of a resolver."""

    def resolve(self, kind: type, value: str | None, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _QUOTED
        return _SEQUENCE if kind is yaml.SequenceNode else _MAPPING

    def descend_resolver(self, *_: Any) -> None: ...
    def ascend_resolver(self) -> None: ...
    def check_resolver_prefix(self, *_: Any) -> bool:
        return True


class _PythonParser(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser, yaml.composer.Composer, _Resolver):
    def __init__(self, text: str) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)
        yaml.composer.Composer.__init__(self)


Parser: Callable[[str], Any] = _PythonParser
if yaml.__with_libyaml__:
    from yaml._yaml import CParser

    class _CParser(CParser, _Resolver):
        pass

    Parser = _CParser


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A YAML file. `data` is made of dict, list, str, int, float, bool and None; keys are text."""

    name: str
    data: Any
    source: str = field(repr=False)
    _tree: list["_Node"] = field(default_factory=list, repr=False)

    def span(self, path: Path, *, key: bool = False) -> Span:
        """Where the value of a path stands, or its key; through an alias, where the alias is used.

        For a path that does not exist, the nearest one above it that does.
        """
        found = self._find(path)
        return found.key if key and found.key else found.used

    def defined(self, path: Path) -> Span | None:
        """Where a value that came through an alias is defined; None for one that stands in its place."""
        found = self._find(path)
        return found.defined if found.aliased else None

    def text(self, path: Path) -> str:
        """A scalar as it is written, without quotes."""
        return self._find(path).text

    def _find(self, path: Path) -> "_Place":
        if not self._tree:
            self._tree.append(_tree(self.source, self.name))
        return _locate(self._tree[0], path)


def load(text: bytes, name: str, parser: Callable[[str], Any] | None = None) -> Document:
    """Reads YAML. Raises ConfigError with all that is wrong with it as YAML."""
    source = _decode(text, name)
    parse = parser or Parser
    _limit_depth(source, name, parse)
    try:
        loader = parse(source)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        raise ConfigError([_syntax_error(error, source, name)]) from error
    builder = _Builder(name)
    data = builder.build(root) if root is not None else None
    if builder.findings:
        raise ConfigError(builder.findings)
    if not isinstance(data, dict):
        start = _span(name, root) if root is not None else _point(name, 0, 0)
        what = "the file is empty" if data is None else "the file must be a mapping (key: value)"
        raise ConfigError([Finding(span=start, path=(), message=what, hint="it needs at least build:")])
    return Document(name=name, data=data, source=source)


# -- text


def _decode(text: bytes, name: str) -> str:
    if len(text) > MAX_BYTES:
        raise _error(name, 0, 0, f"the file has {len(text)} bytes, more than {MAX_BYTES}", "is it the right file?")
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _error(name, 0, 0, "the file is UTF-16", "save it as UTF-8")
    try:
        source = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = text[: error.start].decode("utf-8-sig")
        message = f"byte 0x{text[error.start]:02x} is not UTF-8"
        raise _error(name, *_position(before, len(before)), message, "save the file as UTF-8") from error
    bad = re.search("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", source)
    if bad:
        message = f"character U+{ord(bad[0]):04X} may not stand in YAML"
        raise _error(name, *_position(source, bad.start()), message, "remove it")
    return source


def _position(source: str, index: int) -> tuple[int, int]:
    """Line and column, from 0, of a character."""
    lines = re.split("\r\n|[\r\n\x85\u2028\u2029]", source[:index])
    return len(lines) - 1, len(lines[-1])


def _limit_depth(source: str, name: str, parse: Callable[[str], Any]) -> None:
    """PyYAML composes by recursion, in C without a limit, so the depth has to be known before.

    Brackets and indentation bound it from above; the events tell exactly, but take time.
    """
    depth = deepest = 0
    for match in re.finditer(r"[\[\]{}]", source):
        depth = depth + 1 if match[0] in "[{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    indent = max((len(match[0]) for match in re.finditer(r"^[ \t?:-]{20,}", source, re.MULTILINE)), default=20)
    if deepest + 2 * indent <= 4 * MAX_DEPTH:
        return
    depth, loader = 0, parse(source)
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    mark: Any = event.start_mark
                    raise _error(
                        name,
                        mark.line,
                        mark.column,
                        f"nested more than {MAX_DEPTH} levels deep",
                        "flatten it",
                    )
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.YAMLError:
        return  # reported, with its place, when it is composed


def _syntax_error(error: yaml.YAMLError, source: str, name: str) -> Finding:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return Finding(span=_point(name, 0, 0), path=(), message=f"not YAML: {error}")
    problem = str(getattr(error, "problem", "") or "")
    line, column = mark.line, mark.column
    here = source.splitlines()[line][column : column + 1] if line < len(source.splitlines()) else ""
    context = getattr(error, "context_mark", None)
    began = f", which began in line {context.line + 1}" if context is not None and context.line != line else ""
    message, hint = problem, "see the lines around it"
    if here == "\t" or (
        here and "\t" in source.splitlines()[line][:column] and not source.splitlines()[line][:column].strip()
    ):
        message, hint = "a tab", "YAML indents with spaces"
    elif "cannot start any token" in problem:
        message, hint = f"'{here}' cannot start a value", "put the value in quotes"
    elif "unexpected end of stream" in problem:
        message, hint = f"the file ends inside quotes{began}", "close the quotes"
    elif "mapping values are not allowed" in problem:
        message, hint = "a second ':' in one line, or wrong indentation", "put a text with ': ' in quotes"
    elif "undefined alias" in problem:
        alias = re.match(r"\*[^\s,\]}]*", source.splitlines()[line][column:])
        message = f"no anchor for the alias '{alias[0] if alias else '*'}'"
        hint = "define it above its use, with '&name'"
    elif "another document" in problem:
        message, hint = "a second document ('---')", "a configuration is one document"
    elif "expected '-' indicator" in problem or "expected <block end>" in problem or "expected key" in problem:
        message, hint = (
            f"wrong indentation, or an entry of another kind{began}",
            "keep the entries of a block in one column",
        )
    elif "expected ',' or" in problem:
        message, hint = f"a ',' or the closing bracket is missing{began}", "close the bracket"
    elif "duplicate anchor" in problem:
        message, hint = "an anchor of this name exists already", "rename it"
    return Finding(span=_point(name, line, column), path=(), message=message, hint=hint)


def _error(name: str, line: int, column: int, message: str, hint: str) -> ConfigError:
    return ConfigError([Finding(span=_point(name, line, column), path=(), message=message, hint=hint)])


def _point(name: str, line: int, column: int) -> Span:
    return Span(file=name, line=line + 1, column=column + 1, end_line=line + 1, end_column=column + 2)


def _span(name: str, marked: Any) -> Span:
    start, end = marked.start_mark, marked.end_mark
    return Span(
        file=name,
        line=start.line + 1,
        column=start.column + 1,
        end_line=end.line + 1,
        end_column=end.column + 1,
    )


# -- data

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_WORDS = {"": None, "~": None} | dict.fromkeys(("null", "Null", "NULL"))
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_NUMERIC = frozenset("0123456789+-.")


def _scalar(text: str) -> Any:
    """The value of a plain scalar. Raises ValueError for a number that is too long."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in _NUMERIC:
        if _INT.fullmatch(text):
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        if _FLOAT.fullmatch(text):
            return float(
                text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").lower().replace(".nan", "nan")
            )
    return text


class _Builder:
    """Nodes → data. A node that is used many times is built once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.findings: list[Finding] = []
        self.path: list[str | int] = []
        self.built: dict[int, tuple[Any, int]] = {}
        self.open: set[int] = set()
        self.nodes = 0

    def build(self, node: Any) -> Any:
        kind = node.tag
        if kind in (_PLAIN, _QUOTED):
            self.nodes += 1
            if kind == _QUOTED:
                return node.value
            try:
                return _scalar(node.value)
            except ValueError:
                self._say(node, "a number with too many digits", "put it in quotes")
                return None
        if type(node) is yaml.ScalarNode:
            return self._tagged(node)
        identity = id(node)
        known = self.built.get(identity)
        if known is not None:
            self.nodes += known[1]
            if self.nodes > MAX_NODES:
                self._say(
                    node,
                    f"aliases expand to more than {MAX_NODES} values",
                    "do not nest aliases so deep",
                    stop=True,
                )
            return known[0]
        if identity in self.open:
            self._say(node, "an anchor that contains its own alias", "remove the alias inside", stop=True)
        if len(self.path) > MAX_DEPTH:
            self._say(node, f"nested more than {MAX_DEPTH} levels deep", "flatten it", stop=True)
        self.open.add(identity)
        before = self.nodes
        self.nodes += 1
        data = self._sequence(node) if type(node) is yaml.SequenceNode else self._mapping(node)
        self.open.discard(identity)
        self.built[identity] = (data, self.nodes - before)
        return data

    def _tagged(self, node: Any) -> Any:
        name = node.tag.removeprefix(_CORE_TAG)
        kinds: dict[str, type | tuple[type, ...]] = {
            "str": str,
            "int": int,
            "float": (int, float),
            "bool": bool,
            "null": type(None),
        }
        if node.tag == "!" or (node.tag.startswith(_CORE_TAG) and name == "str"):
            return node.value
        if not node.tag.startswith(_CORE_TAG) or name not in kinds:
            return self._unknown_tag(node)
        value = _scalar(node.value)
        if not isinstance(value, kinds[name]) or (name != "bool" and isinstance(value, bool)):
            self._say(node, f"'{node.value}' is no value for the tag '!!{name}'", "remove the tag")
        return float(value) if name == "float" and isinstance(value, int) else value

    def _unknown_tag(self, node: Any) -> None:
        shown = node.tag.replace(_CORE_TAG, "!!")
        self._say(node, f"the tag '{shown}' has no meaning here", "remove it")

    def _sequence(self, node: Any) -> list[Any]:
        if node.tag not in (_SEQUENCE, _CORE_TAG + "seq"):
            self._unknown_tag(node)
        data = []
        for index, child in enumerate(node.value):
            self.path.append(index)
            data.append(self.build(child))
            self.path.pop()
        return data

    def _mapping(self, node: Any) -> dict[str, Any]:
        if node.tag not in (_MAPPING, _CORE_TAG + "map"):
            self._unknown_tag(node)
        data: dict[str, Any] = {}
        places: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, child in node.value:
            key = self.build(key_node) if type(key_node) is yaml.ScalarNode else None
            if key == "<<" and key_node.tag == _PLAIN:
                merged |= self._merge(child)
                continue
            if not isinstance(key, str):
                shown = f"'{key_node.value}'" if type(key_node) is yaml.ScalarNode else "a list or mapping"
                self._say(key_node, f"the key {shown} is not text", "put it in quotes")
                continue
            if key in places:
                self._say(
                    key_node,
                    f"duplicate key '{key}'",
                    f"the first is in line {places[key].start_mark.line + 1}",
                )
                continue
            places[key] = key_node
            self.path.append(key)
            data[key] = self.build(child)
            self.path.pop()
        return {**merged, **data} if merged else data

    def _merge(self, node: Any) -> dict[str, Any]:
        """`<<: *a` or `<<: [*a, *b]`, of which the first wins."""
        parts = node.value if type(node) is yaml.SequenceNode else [node]
        merged: dict[str, Any] = {}
        for part in parts:
            data = self.build(part)
            if isinstance(data, dict):
                merged = {**data, **merged}
            else:
                self._say(part, "'<<' merges mappings only", "give it the alias of a mapping")
        return merged

    def _say(self, node: Any, message: str, hint: str, *, stop: bool = False) -> None:
        self.findings.append(Finding(span=_span(self.name, node), path=tuple(self.path), message=message, hint=hint))
        if stop:
            raise ConfigError(self.findings)


# -- places


@dataclass(slots=True)
class _Node:
    """A node as it is written: an alias keeps its own place beside the node that it stands for."""

    span: Span
    text: str = ""
    entries: dict[str | int, tuple[Span | None, "_Node"]] = field(default_factory=dict)
    merged: list["_Node"] = field(default_factory=list)
    target: "_Node | None" = None


@dataclass(slots=True)
class _Place:
    used: Span
    defined: Span
    key: Span | None
    aliased: bool
    text: str


def _tree(source: str, name: str) -> _Node:
    loader = Parser(source)
    anchors: dict[str, _Node] = {}
    events = iter(loader.get_event, None)
    root = _Node(_point(name, 0, 0))
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            root = _read(next(events), events, anchors, name)
            break
    return root


def _read(event: Any, events: Iterator[Any], anchors: dict[str, _Node], name: str) -> _Node:
    node = _Node(_span(name, event))
    if isinstance(event, yaml.AliasEvent):
        node.target = anchors[str(event.anchor)]
        return node
    if event.anchor:
        anchors[event.anchor] = node
    if isinstance(event, yaml.ScalarEvent):
        node.text = event.value
    elif isinstance(event, yaml.SequenceStartEvent):
        for index, child in enumerate(iter(lambda: next(events), None)):
            if isinstance(child, yaml.SequenceEndEvent):
                break
            node.entries[index] = (None, _read(child, events, anchors, name))
    else:
        for child in events:
            if isinstance(child, yaml.MappingEndEvent):
                break
            key = _read(child, events, anchors, name)
            value = _read(next(events), events, anchors, name)
            if key.text == "<<":
                parts = [each for _, each in value.entries.values()] if value.entries and not value.target else [value]
                node.merged += parts
            else:
                node.entries.setdefault(key.text, (key.span, value))
    return node


def _locate(root: _Node, path: Path) -> _Place:
    node, place = root, _Place(root.span, root.span, None, False, root.text)
    for part in path:
        found = _entry(node, part)
        if found is None:
            break
        key, child, through = found
        used = place.used if place.aliased else through or child.span
        aliased = place.aliased or through is not None or child.target is not None
        node = child.target or child
        place = _Place(used, node.span, used if place.aliased or through else key, aliased, node.text)
    return place


def _entry(node: _Node, part: str | int) -> tuple[Span | None, _Node, Span | None] | None:
    """Key, value and, for one that `<<` brought, the place of the alias."""
    if part in node.entries:
        key, child = node.entries[part]
        return key, child, None
    for merged in node.merged:
        found = _entry(merged.target or merged, part)
        if found:
            return found[0], found[1], merged.span
    return None
