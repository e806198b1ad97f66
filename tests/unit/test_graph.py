"""The graph of a family and how it is shown: levels, edges, tree, Mermaid, DOT, a picture with clear boxes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from orbiter import pipeline
from orbiter.drawing import as_svg
from orbiter.graph import Graph, as_data, as_dot, as_mermaid, as_text, graph, marked
from orbiter.images import LocalImage, Row, State
from orbiter.plan import restrict
from tests.conftest import ROOT, SEED, Run

CONFIG = """\
docker: {repo: localhost/lab}
version: "1"
build:
  debian:
    core: {image: "debian:trixie-slim", builder: pip_core}
    base: {image: core, builder: pip_deploy, build: {image: core, builder: pip_builder, pip: [jupyterlab]}}
    geo: {image: base, builder: pip_deploy, build: {image: base-build, builder: pip_builder, pip: [shapely]}}
  other:
    web: {image: debian-base, builder: pip_deploy}
"""
TREE = """\
debian                        level
debian:trixie-slim                0
└── debian-core                   1
    ├── debian-base-build         2  built only
    │   └── debian-geo-build      3  built only
    └── debian-base               3  + environment of its build
        └── debian-geo            4  + what its build adds

other
debian-base                       3  another family
└── other-web                     4"""
SVG = "{http://www.w3.org/2000/svg}"


def graph_of(tmp_path: Path, text: str, *patterns: str) -> Graph:
    config = tmp_path / "orbiter.yaml"
    config.write_text(text)
    plan = pipeline.make_plan(config).plan
    return graph(restrict(plan, patterns) if patterns else plan)


def large() -> str:
    """100 images with a nested build each: some stand on each other, some on another family."""
    families: dict[str, dict[str, object]] = {}
    for family in ("one", "two"):
        images: dict[str, object] = {"core": {"image": "debian:trixie-slim", "builder": "pip_core"}}
        for number in range(49):
            parent = f"i{number - 5}" if number % 7 > 4 else f"i{number - 1}" if number % 3 == 2 else "core"
            nested = parent if parent == "core" else f"{parent}-build"
            build = {"image": nested, "builder": "pip_builder", "pip": ["numpy"]}
            images[f"i{number}"] = {"image": parent, "builder": "pip_deploy", "build": build}
        families[family] = images
    families["three"] = {f"web{n}": {"image": f"{f}-i{n}", "builder": "pip_deploy"} for n in (3, 8) for f in ("one",)}
    return json.dumps({"build": families})


def test_levels_are_the_order_of_the_build(tmp_path: Path) -> None:
    levels = {node.name: (node.level, node.kind) for node in graph_of(tmp_path, CONFIG).nodes}
    assert levels == {
        "debian:trixie-slim": (0, "external"),
        "debian-core": (1, "image"),
        "debian-base-build": (2, "build"),
        "debian-base": (3, "image"),
        "debian-geo-build": (3, "build"),
        "debian-geo": (4, "image"),
        "other-web": (4, "image"),
    }


def test_edges_say_what_is_taken(tmp_path: Path) -> None:
    edges = {(edge.source, edge.target): edge.kind for edge in graph_of(tmp_path, CONFIG).edges}
    assert edges == {
        ("debian:trixie-slim", "debian-core"): "parent",
        ("debian-core", "debian-base-build"): "parent",
        ("debian-core", "debian-base"): "parent",
        ("debian-base-build", "debian-base"): "environment",
        ("debian-base-build", "debian-geo-build"): "parent",
        ("debian-base", "debian-geo"): "parent",
        ("debian-geo-build", "debian-geo"): "addition",
        ("debian-base", "other-web"): "parent",
    }


def test_text_is_a_tree_of_each_family(tmp_path: Path) -> None:
    assert as_text(graph_of(tmp_path, CONFIG)) == TREE


def test_selection_keeps_what_is_needed(tmp_path: Path) -> None:
    names = [node.name for node in graph_of(tmp_path, CONFIG, "debian-base").nodes]
    assert names == ["debian:trixie-slim", "debian-core", "debian-base-build", "debian-base"]


def test_parent_of_a_family_that_is_left_out_is_shown(tmp_path: Path) -> None:
    *_, parent, child = as_text(graph_of(tmp_path, CONFIG, "other-web")).splitlines()
    assert (parent.split(maxsplit=2), child.split()) == (
        ["debian-base", "3", "another family"],
        ["└──", "other-web", "4"],
    )


def test_mermaid(tmp_path: Path) -> None:
    # Real mermaid 11 parses and draws it, also with the words of its own language as names.
    assert as_mermaid(graph_of(tmp_path, CONFIG, "debian-base")) == (
        "flowchart LR\n"
        '  debian_trixie_slim(["debian:trixie-slim"])\n'
        '  subgraph family_debian["debian"]\n'
        '    debian_core["debian-core"]\n'
        '    debian_base_build[["debian-base-build"]]\n'
        '    debian_base["debian-base"]\n'
        "  end\n"
        "  debian_trixie_slim --> debian_core\n"
        "  debian_core --> debian_base_build\n"
        "  debian_core --> debian_base\n"
        "  debian_base_build -.-> debian_base\n"
        "  classDef build stroke-dasharray: 4 3\n"
        "  class debian_base_build build"
    )


def test_names_that_differ_in_signs_only_stay_apart_in_mermaid(tmp_path: Path) -> None:
    core = {"image": "debian:trixie-slim", "builder": "pip_core"}
    text = as_mermaid(graph_of(tmp_path, json.dumps({"build": {"f": {"a-b": core, "a_b": core}}})))
    assert 'f_a_b["f-a-b"]' in text
    assert 'f_a_b_2["f-a_b"]' in text


def test_dot(tmp_path: Path) -> None:
    text = as_dot(graph_of(tmp_path, CONFIG, "debian-base"))
    assert text.startswith('digraph "localhost/lab 1" {\n')
    assert '  subgraph "cluster_debian" {\n    label="debian"\n' in text
    assert '  "debian-core" -> "debian-base"\n  "debian-base-build" -> "debian-base" [style=dashed]\n}' in text


def test_data_has_nodes_and_edges(tmp_path: Path) -> None:
    data = as_data(graph_of(tmp_path, CONFIG))
    assert {edge["target"] for edge in data["edges"]} | {edge["source"] for edge in data["edges"]} == {
        node["name"] for node in data["nodes"]
    }
    assert data["nodes"][1]["about"] == "pip_core on debian:trixie-slim"


@pytest.mark.parametrize("asked", [False, True], ids=["", "local"])
@pytest.mark.parametrize("text", [CONFIG, (ROOT / "orbiter.yaml").read_text(), SEED.read_text(), large()])
def test_picture_has_every_node_and_no_line_crosses_a_box(tmp_path: Path, text: str, asked: bool) -> None:
    shown = local(graph_of(tmp_path, text)) if asked else graph_of(tmp_path, text)
    picture = ElementTree.fromstring(as_svg(shown))
    boxes = {}
    for group in picture.iter(f"{SVG}g"):
        box, label, title = group.find(f"{SVG}rect"), group.find(f"{SVG}text"), group.find(f"{SVG}title")
        assert box is not None
        assert label is not None
        assert title is not None
        assert title.text
        x, y, width, height = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
        boxes[(label.text or "").partition(" · ")[0]] = (x, y, x + width, y + height)
    assert set(boxes) == {node.name for node in shown.nodes}
    lines = [line for path in picture.iter(f"{SVG}path") if "tip" not in path.attrib["class"] for line in pieces(path)]
    assert len(lines) >= len(shown.edges)
    places = list(boxes.values())
    for number, (left, top, right, bottom) in enumerate(places):
        assert not any(left < x2 and x1 < right and top < y2 and y1 < bottom for x1, y1, x2, y2 in places[:number])
        for x1, y1, x2, y2 in lines:
            assert not (x1 < right - 0.5 and left < x2 and y1 < bottom and top < y2), (left, top)
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    assert all(left > 0 and right < width and top > 0 and bottom < height for left, top, right, bottom in places)


def pieces(path: ElementTree.Element) -> Iterator[tuple[float, float, float, float]]:
    """The straight pieces of a path, left to right and top to bottom; its corners are rounded within 6 pixels."""
    x = y = 0.0
    for command, numbers in re.findall(r"([MHVQ]) ([^MHVQ]+)", path.attrib["d"]):
        values = [float(number) for number in numbers.split()]
        a, b = {"M": values[-2:], "Q": values[-2:], "H": [values[0], y], "V": [x, values[0]]}[command]
        if command in "HV":
            yield min(x, a), min(y, b), max(x, a), max(y, b)
        x, y = a, b


def test_picture_follows_the_screen_and_needs_nothing_else(tmp_path: Path) -> None:
    text = as_svg(graph_of(tmp_path, CONFIG))
    assert "prefers-color-scheme: dark" in text
    assert re.findall(r"https?://[^\"]+|url\(", text) == ["http://www.w3.org/2000/svg"]


def local(shown: Graph) -> Graph:
    """The graph, of whose images one is up to date, one stale, and the others not built."""
    states: dict[str, State] = {"debian-core": "up to date", "debian-base": "stale"}
    image = LocalImage(id="1", references=(), digests=(), labels={}, size=214_000_000, created=0.0)

    def row(name: str, reference: str) -> Row:
        state = states.get(name, "not built")
        return Row(target=name, reference=reference, state=state, image=image if name in states else None)

    names = [node.name for node in shown.nodes if node.kind == "image"]
    return marked(shown, [row(name, f"x:{name}-{tag}") for name in names for tag in ("1", "latest")])


def test_text_says_what_the_engine_has(tmp_path: Path) -> None:
    lines = as_text(local(graph_of(tmp_path, CONFIG, "debian-geo"))).splitlines()
    assert {re.split(r"  +\d  ", line)[0].split()[-1]: re.split(r"  +\d  ", line)[1] for line in lines[2:]} == {
        "debian-core": "up to date, 214 MB",
        "debian-base-build": "built only",
        "debian-geo-build": "built only",
        "debian-base": "stale, 214 MB; + environment of its build",
        "debian-geo": "not built; + what its build adds",
    }


def test_pictures_mark_what_the_engine_has(tmp_path: Path) -> None:
    shown = local(graph_of(tmp_path, CONFIG, "debian-geo"))
    mermaid = as_mermaid(shown)
    assert '    debian_core["debian-core<br>up to date, 214 MB"]\n' in mermaid
    for name, target in (("current", "debian_core"), ("stale", "debian_base"), ("absent", "debian_geo")):
        assert f"  class {target} {name}\n" in mermaid
    dot = as_dot(shown)
    assert 'label="debian-base\\nstale, 214 MB" fillcolor="#fff8c5"]' in dot
    picture = ElementTree.fromstring(as_svg(shown))
    labels = {
        "".join(group.itertext()).split("\n")[-2].strip(): group.attrib["class"] for group in picture.iter(f"{SVG}g")
    }
    assert labels["debian-core · up to date, 214 MB"] == "image current"
    assert labels["debian-base · stale, 214 MB"] == "image stale"
    assert labels["debian-geo · not built"] == "image absent"
    assert labels["debian-base-build"] == "build"
    assert [(node["state"], node["size"]) for node in as_data(shown)["nodes"]][:3] == [
        (None, None),
        ("up to date", 214_000_000),
        (None, None),
    ]


def test_local_without_an_engine_is_4(tmp_path: Path, orbiter: Run) -> None:
    (tmp_path / "orbiter.yaml").write_text(CONFIG)
    done = orbiter("graph", "--local", PATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("orbiter: docker is not installed")


def test_format_comes_from_the_ending_of_the_file(tmp_path: Path, orbiter: Run) -> None:
    (tmp_path / "orbiter.yaml").write_text(CONFIG)
    begins = {"a.svg": "<svg", "a.mmd": "flowchart LR", "a.gv": "digraph", "a.json": "{", "a.txt": "debian "}
    for name, start in begins.items():
        done = orbiter("graph", "-o", name)
        assert (done.returncode, done.stdout) == (0, "")
        assert (tmp_path / name).read_text().startswith(start)
    assert orbiter("graph", "debian-geo", "--format=text").stdout.startswith("debian ")


def test_file_that_cannot_be_written_is_2(tmp_path: Path, orbiter: Run) -> None:
    (tmp_path / "orbiter.yaml").write_text(CONFIG)
    done = orbiter("graph", "-o", "no/such/folder.svg")
    assert (done.returncode, done.stderr) == (
        2,
        "orbiter: no/such/folder.svg: cannot be written: No such file or directory\n",
    )
    done = orbiter("graph", "-o", "orbiter.yaml")
    assert (done.returncode, done.stderr) == (2, "orbiter: orbiter.yaml: is the configuration\n")
    assert (tmp_path / "orbiter.yaml").read_text() == CONFIG


def test_no_such_target_is_3(tmp_path: Path, orbiter: Run) -> None:
    (tmp_path / "orbiter.yaml").write_text(CONFIG)
    assert orbiter("graph", "debian-bas").returncode == 3
