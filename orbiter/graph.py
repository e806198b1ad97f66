"""BuildPlan → Graph: what each image is made from, and its text, Mermaid, DOT and JSON forms. The SVG: drawing.py."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from orbiter.model import BuildPlan
from orbiter.tables import size

if TYPE_CHECKING:
    from orbiter.images import Row, State

Kind = Literal["image", "build", "external"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A target, or a parent from elsewhere. `level` counts from 0: what is of one level can be built at the same time.

    `name` is the target or the reference, `family` None for what is from elsewhere. `state` and `size` (bytes) are
    those of the image in the engine, None where nobody asked, or where there is no image.
    """

    name: str
    kind: Kind
    family: str | None
    level: int
    about: str
    state: "State | None" = None
    size: int | None = None

    @property
    def mark(self) -> str:
        """`up to date, 214 MB`; empty where nobody asked."""
        return ", ".join(part for part in (self.state, size(self.size) if self.size is not None else "") if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What `target` takes from `source`: all of it (`parent`), its environment, or what it added to the parent's."""

    source: str
    target: str
    kind: Literal["parent", "environment", "addition"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Nodes in the order of the configuration, those from elsewhere first. No edge leads back."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def families(self) -> Mapping[str, tuple[Node, ...]]:
        """The nodes of each family, in the order of the configuration."""
        names = dict.fromkeys(node.family for node in self.nodes if node.family is not None)
        return {name: tuple(node for node in self.nodes if node.family == name) for name in names}

    def external(self) -> tuple[Node, ...]:
        """The parents from elsewhere."""
        return tuple(node for node in self.nodes if node.family is None)

    def parents(self) -> Mapping[str, str]:
        """Target → what its Dockerfile begins with."""
        return {edge.target: edge.source for edge in self.edges if edge.kind == "parent"}

    def sources(self) -> Mapping[str, Edge]:
        """Target → the edge from the nested build that it copies from, for targets that do."""
        return {edge.target: edge for edge in self.edges if edge.kind != "parent"}


def graph(plan: BuildPlan) -> Graph:
    """The graph of a plan, whole or restricted."""
    edges = tuple(_edges(plan))
    names = {target.name for target in plan.targets}
    external = dict.fromkeys(edge.source for edge in edges if edge.source not in names)
    levels = _levels([*external, *names], edges)
    nodes = [Node(name=name, kind="external", family=None, level=0, about="from elsewhere") for name in external]
    nodes += (
        Node(
            name=target.name,
            kind="image" if target.image.deployable else "build",
            family=target.image.family,
            level=levels[target.name],
            about=target.description,
        )
        for target in plan.targets
    )
    return Graph(title=f"{plan.project.repo} {plan.project.version}", nodes=tuple(nodes), edges=edges)


def marked(graph: Graph, rows: "Iterable[Row]") -> Graph:
    """The graph with what the engine has of each image: the first row of a target is that of its own tag."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.target, row)

    def mark(node: Node) -> Node:
        row = first.get(node.name)
        return replace(node, state=row.state, size=row.image.size if row.image else None) if row else node

    return replace(graph, nodes=tuple(map(mark, graph.nodes)))


def _edges(plan: BuildPlan) -> Iterator[Edge]:
    for target in plan.targets:
        image = target.image
        yield Edge(source=image.parent.target or image.parent.reference, target=target.name, kind="parent")
        if target.stage.source and image.nested:
            kind: Literal["addition", "environment"] = "addition" if target.stage.stacked else "environment"
            yield Edge(source=image.nested, target=target.name, kind=kind)


def _levels(names: Sequence[str], edges: Sequence[Edge]) -> Mapping[str, int]:
    """The longest way to each node from one that needs nothing."""
    needs: dict[str, list[str]] = {name: [] for name in names}
    for edge in edges:
        needs[edge.target].append(edge.source)
    levels: dict[str, int] = {}
    waiting = list(names)
    while waiting:
        missing = [name for name in needs[waiting[-1]] if name not in levels]
        if missing:
            waiting += missing
        else:
            name = waiting.pop()
            levels[name] = max((levels[need] + 1 for need in needs[name]), default=0)
    return levels


# Text --------------------------------------------------------------------------------------------------------------

_COPIES = {"environment": "+ environment of its build", "addition": "+ what its build adds"}


def as_text(graph: Graph) -> str:
    """A tree for each family: what stands below an image begins with it (`FROM`)."""
    parents, sources = graph.parents(), graph.sources()
    levels = {node.name: node.level for node in graph.nodes}
    blocks: list[list[tuple[str, str, str]]] = []
    for family, nodes in graph.families().items():
        own = {node.name: node for node in nodes}
        children: dict[str, list[str]] = {}
        for node in nodes:
            children.setdefault(parents[node.name], []).append(node.name)
        rows = [(family, "", "")]
        for root in (name for name in children if name not in own):
            rows.append(
                (root, str(levels[root]), "" if ":" in root or "/" in root or "@" in root else "another family")
            )
            rows += (
                (f"{lines}{name}", str(levels[name]), _note(own[name], sources.get(name)))
                for lines, name in _tree(children, root)
            )
        blocks.append(rows)
    width = max((len(name) for rows in blocks for name, _, _ in rows), default=0)
    digits = len("level")
    texts = []
    for number, rows in enumerate(blocks):
        (family, _, _), *rest = rows
        heading = f"{family:{width}}  {'level':>{digits}}" if number == 0 else family
        lines = (f"{name:{width}}  {level:>{digits}}  {note}".rstrip() for name, level, note in rest)
        texts.append("\n".join((heading, *lines)))
    return "\n\n".join(texts)


def _note(node: Node, source: Edge | None) -> str:
    note = _COPIES[source.kind] if source else "built only" if node.kind == "build" else ""
    return "; ".join(part for part in (node.mark, note) if part)


def _tree(children: Mapping[str, Sequence[str]], root: str) -> Iterator[tuple[str, str]]:
    """Lines and name of everything below the root, from top to bottom."""
    waiting = [("", name, name == children[root][-1]) for name in reversed(children[root])]
    while waiting:
        indent, name, last = waiting.pop()
        yield f"{indent}{'└── ' if last else '├── '}", name
        below = children.get(name, ())
        deeper = f"{indent}{'    ' if last else '│   '}"
        waiting += ((deeper, child, child == below[-1]) for child in reversed(below))


# Mermaid -----------------------------------------------------------------------------------------------------------

_LOOKS = {
    "current": "fill:#dafbe1,stroke:#1a7f37,color:#1f2328",
    "stale": "fill:#fff8c5,stroke:#bf8700,color:#1f2328",
    "absent": "fill:#ffffff,stroke:#8c959f,color:#59636e",
}
_SHAPES = {"image": '["{}"]', "build": '[["{}"]]', "external": '(["{}"])'}


def as_mermaid(graph: Graph) -> str:
    """A flowchart for https://mermaid.js.org, which GitHub, GitLab and JupyterLab draw from Markdown."""
    names = _identifiers([*(node.name for node in graph.nodes), *(f"family {name}" for name in graph.families())])
    lines = ["flowchart LR"]
    lines += (f"  {_mermaid_node(names, node)}" for node in graph.external())
    for family, nodes in graph.families().items():
        lines.append(f'  subgraph {names[f"family {family}"]}["{family}"]')
        lines += (f"    {_mermaid_node(names, node)}" for node in nodes)
        lines.append("  end")
    for edge in graph.edges:
        arrow = "-->" if edge.kind == "parent" else "-.->"
        lines.append(f"  {names[edge.source]} {arrow} {names[edge.target]}")
    for name, style in _LOOKS.items():
        own = ",".join(names[node.name] for node in graph.nodes if look(node) == name)
        if own:
            lines += [f"  classDef {name} {style}", f"  class {own} {name}"]
    builds = ",".join(names[node.name] for node in graph.nodes if node.kind == "build")
    if builds:
        lines += ["  classDef build stroke-dasharray: 4 3", f"  class {builds} build"]
    return "\n".join(lines)


def _mermaid_node(names: Mapping[str, str], node: Node) -> str:
    mark = f"<br>{node.mark}" if node.mark else ""
    return names[node.name] + _SHAPES[node.kind].format(node.name.replace('"', "#quot;") + mark)


def look(node: Node) -> Literal["current", "stale", "absent"] | None:
    """How a picture shows the state of a node; None where nobody asked, or where it cannot be told."""
    if node.state == "up to date":
        return "current"
    if node.state == "stale":
        return "stale"
    return "absent" if node.state == "not built" else None


def _identifiers(names: Sequence[str]) -> Mapping[str, str]:
    """Names → identifiers of letters, digits and `_`, one each."""
    found: dict[str, str] = {}
    for name in names:
        plain = identifier = re.sub(r"\W", "_", name, flags=re.ASCII)
        number = 2
        while identifier in found.values():
            identifier, number = f"{plain}_{number}", number + 1
        found[name] = identifier
    return found


# DOT ---------------------------------------------------------------------------------------------------------------

_FILLS = {"current": "#dafbe1", "stale": "#fff8c5", "absent": "#ffffff"}
_STYLES = {"image": "filled", "build": "dashed", "external": "rounded"}


def as_dot(graph: Graph) -> str:
    """The graph for Graphviz: https://graphviz.org/doc/info/lang.html."""
    lines = [
        f"digraph {_dot(graph.title)} {{",
        "  rankdir=LR",
        '  node [shape=box fontname="monospace" fontsize=11 fillcolor="#eef4fb"]',
        '  edge [color="#57606a" arrowsize=0.7]',
    ]
    lines += (f"  {_dot_node(node)}" for node in graph.external())
    for family, nodes in graph.families().items():
        lines += [f"  subgraph {_dot(f'cluster_{family}')} {{", f"    label={_dot(family)}", '    color="#d0d7de"']
        lines += (f"    {_dot_node(node)}" for node in nodes)
        lines.append("  }")
    for edge in graph.edges:
        style = "" if edge.kind == "parent" else " [style=dashed]"
        lines.append(f"  {_dot(edge.source)} -> {_dot(edge.target)}{style}")
    return "\n".join((*lines, "}"))


def _dot_node(node: Node) -> str:
    shown = look(node)
    mark = f' label="{_dot(node.name)[1:-1]}\\n{node.mark}"' if node.mark else ""
    colour = f" fillcolor={_dot(_FILLS[shown])}" if shown else ""
    return f"{_dot(node.name)} [style={_STYLES[node.kind]} tooltip={_dot(node.about)}{mark}{colour}]"


def _dot(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# JSON --------------------------------------------------------------------------------------------------------------


def as_data(graph: Graph) -> dict[str, Any]:
    """The graph as plain data, for `--format json`."""
    return {
        "title": graph.title,
        "nodes": [
            {
                "name": node.name,
                "kind": node.kind,
                "family": node.family,
                "level": node.level,
                "about": node.about,
                "state": node.state,
                "size": node.size,
            }
            for node in graph.nodes
        ],
        "edges": [{"source": edge.source, "target": edge.target, "kind": edge.kind} for edge in graph.edges],
    }
