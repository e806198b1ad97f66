"""`orbiter readme`: the generated parts of README.md, written, checked or shown."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orbiter.commands import console, options
from orbiter.errors import CheckFailed, EngineError, UsageError

if TYPE_CHECKING:
    from orbiter.model import BuildPlan
    from orbiter.readme import Built


@click.command(
    epilog=options.EXAMPLES + "  orbiter readme --init       begin: adds markers at the end of README.md\n"
    "  orbiter readme              what the configuration gives\n"
    "  orbiter readme --built      and versions and sizes, from the built images\n"
    "  orbiter readme --check      in CI: is it up to date?\n"
    "\n\b\nMarkers, each pair alone on its lines, in any order:\n"
    "  <!-- orbiter:images -->   <!-- /orbiter:images -->     the published images\n"
    "  <!-- orbiter:packages --> <!-- /orbiter:packages -->   their packages\n"
    "  <!-- orbiter:tags -->     <!-- /orbiter:tags -->       what to pull"
)
@options.file
@click.option("--readme", metavar="FILE", help="The README  [default: README.md beside the configuration].")
@click.option("--built", is_flag=True, help="Ask the built images in the engine for versions and sizes, too.")
@click.option("--init", is_flag=True, help="Add markers if there are none.")
@click.option("--check", is_flag=True, help="Write nothing; end with 1 if the README is stale.")
@click.option("--diff", is_flag=True, help="Write nothing; print what would change.")
def readme(file: str | None, readme: str | None, built: bool, init: bool, check: bool, diff: bool) -> None:
    """Keep the generated parts of README.md up to date.

    Writes what is between markers, and nothing else in the file. Without --built the configuration alone decides, so
    that CI can check it anywhere; what was written with --built is checked with --built.
    """
    from orbiter import output
    from orbiter import readme as parts

    planned = options.planned(file)
    path = Path(readme) if readme else planned.config.parent / "README.md"
    old = _read(path, init)
    # Bytes that are no UTF-8 are somebody's: they pass through.
    text = (old or b"").decode(errors="surrogateescape")
    sections = parts.find(text, str(path))
    if not sections and init:
        text = parts.with_markers(text or f"# {planned.plan.project.repo.rpartition('/')[2]}\n")
        sections = parts.find(text, str(path))
    if not sections:
        raise UsageError(
            f"{path}: no markers; 'orbiter readme --init' adds them at the end, or put them where they belong:\n"
            f"{parts.example()}"
        )
    known = _ask_engine(planned.plan) if built else {}
    new = parts.update(text, sections, parts.contents(planned.plan, known)).encode(errors="surrogateescape")
    name = path.as_posix()
    if diff and new != old:
        for line in output.diff(output.one_file(name, old, new)):
            click.echo(line, nl=False)
    named = ", ".join(section.name for section in sections)
    if new == old:
        console.say(f"{path}: up to date ({named})")
    elif check:
        raise CheckFailed(f"{path} is stale; run 'orbiter readme{' --built' * built}'")
    elif not diff:
        output.replace(path, new)
        console.say(f"{path}: written ({named})")


def _read(path: Path, init: bool) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        if init:
            return None
        raise UsageError(f"{path}: does not exist; 'orbiter readme --init' makes it") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error


def _ask_engine(plan: "BuildPlan") -> "dict[str, Built]":
    """Target → what the engine knows, of the published images that are in it; the others are said."""
    from orbiter import inventory
    from orbiter import readme as parts
    from orbiter.engine import Buildx

    engine, known = Buildx(), {}
    for target in plan.targets:
        reference = plan.project.reference(target.name)
        try:
            if target.image.deployable:
                known[target.name] = parts.built(*inventory.contents(engine, reference))
        except EngineError as error:
            if "No such image" not in str(error):
                raise
            console.say(f"{reference}: not in the engine, so without versions and size", colour="yellow")
    if not known:
        raise EngineError("none of the images is in the engine; 'orbiter build --load' puts them there")
    return known
