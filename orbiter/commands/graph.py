"""`orbiter graph`: the family as a picture, for people and for documents."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orbiter.commands import console, options
from orbiter.errors import UsageError

if TYPE_CHECKING:
    from orbiter.images import Row
    from orbiter.pipeline import Planned

FORMATS = ("text", "mermaid", "dot", "svg", "json")
SUFFIXES = {".mmd": "mermaid", ".mermaid": "mermaid", ".dot": "dot", ".gv": "dot", ".svg": "svg", ".json": "json"}


@click.command(
    epilog=options.EXAMPLES + "  orbiter graph                           a tree of each family\n"
    "  orbiter graph debian-geospatial         one image and all that it needs\n"
    "  orbiter graph -o family.svg             a picture, without Graphviz\n"
    "  orbiter graph --local                   sizes; up to date or stale\n"
    "  orbiter graph --format mermaid          for Markdown\n"
    "  orbiter graph --format dot | dot -Tpdf -o family.pdf"
)
@options.file
@options.selection
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="How to show it  [default: by the ending of FILE, else text].",
)
@click.option(
    "--local", is_flag=True, help="Ask the engine which images it has, their sizes, and whether they are stale."
)
@click.option("-o", "--output", "out", type=click.Path(), metavar="FILE", help="Write it to FILE.")
def graph(
    file: str | None,
    targets: tuple[str, ...],
    family: str | None,
    image: str | None,
    form: str | None,
    local: bool,
    out: str | None,
) -> None:
    """Show the images, their parents and builds.

    Levels are the order of the build: what is of one level is built at the same time. An image that copies the
    environment of its nested build says so; in pictures that line is dashed. TARGETS are names or globs; without any,
    everything is shown.
    """
    from orbiter import graph as graphs
    from orbiter.drawing import as_svg
    from orbiter.plan import restrict

    planned = options.planned(file)
    patterns = options.patterns(planned, targets, family, image)
    shown = graphs.graph(restrict(planned.plan, patterns) if patterns else planned.plan)
    if local:
        shown = graphs.marked(shown, _rows(planned))
    form = form or (SUFFIXES.get(Path(out).suffix, "text") if out else "text")
    if form == "json":
        text = console.as_json(graphs.as_data(shown))
    else:
        write = {"text": graphs.as_text, "mermaid": graphs.as_mermaid, "dot": graphs.as_dot, "svg": as_svg}[form]
        text = write(shown)
        if form == "text" and out is None:
            text = console.fitted(text)
    if out is None:
        click.echo(text)
        return
    place = Path(out)
    if place.exists() and place.samefile(planned.config):
        raise UsageError(f"{out}: is the configuration")
    try:
        place.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror}") from error
    console.say(f"{out}: written ({form})")


def _rows(planned: "Planned") -> "Sequence[Row]":
    """What the engine has of the project. Raises EngineError."""
    from orbiter import content, images, inventory, pipeline
    from orbiter.engine import Buildx

    local = inventory.local_images(Buildx(), f"reference={images.familiar(planned.plan.project.repo)}")
    contents = content.hashes(planned.plan, pipeline.render(planned))
    return images.rows(planned.plan, contents, None, local, {})
