"""Graph → SVG, drawn here: a column for each level, a band for each family, lines that cross no box.

The levels come with the graph, so its layout needs no search. Every image that is the first below its parent stands
in the parent's row, any other begins a row of its own; a line leaves its box to the right, goes up or down in the
gutter between two columns, in a lane that no other source uses there, and then along the row of its target, which
is empty up to it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from orbiter.graph import Graph, Node, look

# Lengths in pixels. The font is monospaced, with an advance of about 0.6 of its size.
_CHARACTER, _PADDING, _BOX, _ROW = 7.3, 12, 26, 38
_GUTTER, _LANE, _ROUND, _OFFSET = 18, 8, 6, 7
_MARGIN, _HEADER, _BAND = 24, 60, 30

_STYLE = """\
    svg { --paper: #ffffff; --ink: #1f2328; --muted: #59636e; --band: #f6f8fa; --rim: #d1d9e0; --box: #ddf0ff;
          --box-rim: #54aeff; --line: #59636e; --copy: #8250df;
          --current: #dafbe1; --current-rim: #1a7f37; --stale: #fff8c5; --stale-rim: #bf8700; }
    @media (prefers-color-scheme: dark) {
      svg { --paper: #0d1117; --ink: #f0f6fc; --muted: #9198a1; --band: #151b23; --rim: #3d444d; --box: #0c2d4d;
            --box-rim: #1f6feb; --line: #9198a1; --copy: #bc8cff;
            --current: #12361f; --current-rim: #3fb950; --stale: #3b2e0a; --stale-rim: #d29922; }
    }
    text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: var(--ink); }
    .title { font-size: 14px; font-weight: 600; }
    .muted { fill: var(--muted); font-size: 11px; }
    .family { font-weight: 600; }
    .paper { fill: var(--paper); }
    .band { fill: var(--band); stroke: var(--rim); }
    .image rect { fill: var(--box); stroke: var(--box-rim); }
    .current rect { fill: var(--current); stroke: var(--current-rim); }
    .stale rect { fill: var(--stale); stroke: var(--stale-rim); }
    .absent rect { fill: var(--paper); stroke: var(--rim); }
    .build rect { fill: var(--paper); stroke: var(--copy); stroke-dasharray: 4 3; }
    .external rect { fill: var(--paper); stroke: var(--muted); }
    path { fill: none; stroke-width: 1.4; }
    .parent { stroke: var(--line); }
    .copy { stroke: var(--copy); stroke-dasharray: 4 3; }
    .tip { stroke: none; fill: var(--line); }
    .copy.tip { fill: var(--copy); }"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """All edges of one source and kind, which go up and down together, in one lane of the gutter behind its column."""

    source: str
    targets: tuple[str, ...]
    copies: bool
    lane: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Where everything stands: left edges and widths of columns by level, middles of rows by name."""

    left: Sequence[float]
    widths: Sequence[float]
    middle: Mapping[str, float]
    bands: Mapping[str, tuple[float, float]]
    bottom: float


def as_svg(graph: Graph) -> str:
    """A picture that needs nothing else: light or dark as its reader's screen, text as text, a title for each box."""
    rows = _rows(graph)
    lines = tuple(_lines(graph, rows))
    layout = _layout(graph, rows, lines)
    nodes = {node.name: node for node in graph.nodes}
    asked = any(node.state for node in graph.nodes)
    legend = (
        "boxes: green up to date, yellow stale, thin not in the engine, dashed built only, grey from elsewhere"
        if asked
        else "boxes: blue published, dashed built only, grey from elsewhere"
    )
    meaning = "lines: solid FROM, dashed the files of a nested build"
    width = max(
        layout.left[-1] + layout.widths[-1] + _MARGIN + _PADDING,
        *(2 * _MARGIN + len(text) * _CHARACTER for text in (legend, meaning, graph.title)),
    )
    height = layout.bottom + 40 + _MARGIN
    counted = f"{len(graph.nodes) - len(graph.external())} targets in {len(graph.families())} families"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-labelledby="title about">',
        f'  <title id="title">{escape(graph.title)}</title>',
        f'  <desc id="about">{counted}; each stands right of what it is built from.</desc>',
        f"  <style>\n{_STYLE}\n  </style>",
        '  <rect class="paper" width="100%" height="100%"/>',
        _text(_MARGIN, _MARGIN + 8, graph.title, "title"),
        *_bands(layout, width),
        *(_text(left, _HEADER - 8, f"level {level}", "muted") for level, left in enumerate(layout.left)),
        *(part for line in lines for part in _path(layout, nodes, line)),
        *(part for node in graph.nodes for part in _box(layout, node)),
        _text(_MARGIN, layout.bottom + 26, legend, "muted"),
        _text(_MARGIN, layout.bottom + 42, meaning, "muted"),
        "</svg>",
    ]
    return "\n".join(parts)


# Layout ------------------------------------------------------------------------------------------------------------


def _rows(graph: Graph) -> Mapping[str, int]:
    """The row of each node, counted from 0."""
    parents, sources = graph.parents(), graph.sources()
    nodes = {node.name: node for node in graph.nodes}
    rows: dict[str, int] = {}
    ends: dict[int, str] = {}  # the last node of each row
    for node in _in_order(graph):
        parent, source = parents[node.name], sources.get(node.name)
        row = rows.get(parent)
        # The line from the nested build must not begin left of the parent, whose box it would cross.
        clear = source is None or nodes[source.source].level >= nodes[parent].level
        near = nodes[parent].family in (None, node.family)
        if row is None or ends[row] != parent or not clear or not near:
            row = len(ends)
            if nodes[parent].family is None:
                rows.setdefault(parent, row)
        rows[node.name] = row
        ends[row] = node.name
    return rows


def _in_order(graph: Graph) -> Iterator[Node]:
    """Family by family: a nested build, the image that copies from it, and then all that stands on that image."""
    parents, sources = graph.parents(), graph.sources()
    nodes = {node.name: node for node in graph.nodes}
    copied = {edge.source for edge in sources.values()}
    above: dict[str, list[str]] = defaultdict(list)
    for name, parent in parents.items():
        if name not in copied:
            above[parent].append(name)
    for family, members in graph.families().items():
        roots = [node.name for node in members if nodes[parents[node.name]].family != family]
        # All members once more, for those that stand on the very build that they are copied into.
        waiting = [(name, False) for name in (*(node.name for node in reversed(members)), *reversed(roots))]
        begun: set[str] = set()
        while waiting:
            name, ready = waiting.pop()
            if ready:
                yield nodes[name]
            elif name not in begun and nodes[name].family == family:
                begun.add(name)
                waiting += ((child, False) for child in reversed(above[name]))
                waiting.append((name, True))
                if name in sources:
                    waiting.append((sources[name].source, False))


def _lines(graph: Graph, rows: Mapping[str, int]) -> Iterator[_Line]:
    """The lines, short ones first: two share a lane only where their ways up and down do not meet."""
    level = {node.name: node.level for node in graph.nodes}
    ways: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for edge in graph.edges:
        ways[edge.source, edge.kind != "parent"].append(edge.target)

    def span(way: tuple[str, bool]) -> tuple[int, int]:
        touched = [rows[name] for name in (way[0], *ways[way])]
        return min(touched), max(touched)

    taken: dict[int, list[list[tuple[int, int]]]] = defaultdict(list)
    for way in sorted(ways, key=lambda way: (span(way)[1] - span(way)[0], span(way), way)):
        first, last = span(way)
        gutter = taken[level[way[0]]]
        free = (
            lane for lane, spans in enumerate(gutter) if all(last < begins or ends < first for begins, ends in spans)
        )
        lane = next(free, len(gutter))
        if lane == len(gutter):
            gutter.append([])
        gutter[lane].append((first, last))
        yield _Line(source=way[0], targets=tuple(ways[way]), copies=way[1], lane=lane)


def _layout(graph: Graph, rows: Mapping[str, int], lines: Iterable[_Line]) -> _Layout:
    depth = 1 + max((node.level for node in graph.nodes), default=0)
    widths = [0.0] * depth
    for node in graph.nodes:
        widths[node.level] = max(widths[node.level], len(_label(node)) * _CHARACTER + 2 * _PADDING)
    level = {node.name: node.level for node in graph.nodes}
    lanes = [0] * depth
    for line in lines:
        lanes[level[line.source]] = max(lanes[level[line.source]], line.lane)
    left, x = [], float(_MARGIN + _PADDING)
    for number in range(depth):
        left.append(x)
        x += widths[number] + 2 * _GUTTER + lanes[number] * _LANE
    bands, starts, y = {}, {}, float(_HEADER)
    for family, nodes in graph.families().items():
        own = sorted({rows[node.name] for node in nodes})
        for place, row in enumerate(own):
            starts[row] = y + _BAND + place * _ROW + _ROW / 2
        bands[family] = (y, y + _BAND + len(own) * _ROW + 6)
        y = bands[family][1] + 14
    middle = {name: starts[row] for name, row in rows.items()}
    return _Layout(left=left, widths=widths, middle=middle, bands=bands, bottom=y)


# Drawing -----------------------------------------------------------------------------------------------------------


def _label(node: Node) -> str:
    return f"{node.name} · {node.mark}" if node.mark else node.name


def _bands(layout: _Layout, width: float) -> Iterator[str]:
    for family, (top, bottom) in layout.bands.items():
        size = f'width="{width - 2 * _MARGIN:.0f}" height="{bottom - top:.0f}"'
        yield f'  <rect class="band" x="{_MARGIN}" y="{top:.1f}" {size} rx="8"/>'
        yield _text(_MARGIN + _PADDING, top + 20, family, "family")


def _box(layout: _Layout, node: Node) -> Iterator[str]:
    x, y = layout.left[node.level], layout.middle[node.name]
    label = _label(node)
    width = len(label) * _CHARACTER + 2 * _PADDING
    corner = _BOX / 2 if node.kind == "external" else 5
    yield f'  <g class="{" ".join(filter(None, (node.kind, look(node))))}">'
    yield f"    <title>{escape(node.about)}</title>"
    yield f'    <rect x="{x:.1f}" y="{y - _BOX / 2:.1f}" width="{width:.1f}" height="{_BOX}" rx="{corner:g}"/>'
    # The length holds where the reader's font is wider than ours.
    length = f'textLength="{len(label) * _CHARACTER:.1f}" lengthAdjust="spacingAndGlyphs"'
    yield f'    <text x="{x + _PADDING:.1f}" y="{y + 4:.1f}" {length}>{escape(label)}</text>'
    yield "  </g>"


def _path(layout: _Layout, nodes: Mapping[str, Node], line: _Line) -> Iterator[str]:
    """One path for the whole line: where two lay upon each other, they would look thicker."""
    source, down = nodes[line.source], _OFFSET if line.copies else 0
    x1 = layout.left[source.level] + len(_label(source)) * _CHARACTER + 2 * _PADDING
    y1 = layout.middle[source.name] + down
    lane = layout.left[source.level] + layout.widths[source.level] + _GUTTER + line.lane * _LANE
    ways, tips = [], []
    for target in (nodes[name] for name in line.targets):
        x2, y2 = layout.left[target.level] - 1, layout.middle[target.name] + down
        if y1 == y2:
            way = f"H {x2 - 5:.1f}"
        else:
            turn = _ROUND if y2 > y1 else -_ROUND
            way = (
                f"H {lane - _ROUND:.1f} Q {lane:.1f} {y1:.1f} {lane:.1f} {y1 + turn:.1f} V {y2 - turn:.1f}"
                f" Q {lane:.1f} {y2:.1f} {lane + _ROUND:.1f} {y2:.1f} H {x2 - 5:.1f}"
            )
        ways.append(f"M {x1:.1f} {y1:.1f} {way}")
        tips.append(f"M {x2:.1f} {y2:.1f} l -7 -3.5 v 7 z")
    kind = "copy" if line.copies else "parent"
    yield f'  <path class="{kind}" d="{" ".join(ways)}"/>'
    yield f'  <path class="{kind} tip" d="{" ".join(tips)}"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'  <text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
