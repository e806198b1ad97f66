"""`orbiter init`: a first configuration, new or from a Binder repository."""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orbiter.commands import console, options
from orbiter.errors import UsageError

if TYPE_CHECKING:
    from orbiter.convert import Remark
    from orbiter.starter import Package

Problem = Callable[[str], str | None]
"""What is wrong with an answer, as a sentence."""

_DEBIAN = "debian:trixie-slim"


@click.command(
    epilog=options.EXAMPLES + "  orbiter init                             asks a few questions\n"
    "  orbiter init course --yes                a new folder, without a question\n"
    "  orbiter init --builder micromamba --packages 'xarray dask'\n"
    "  orbiter init --base alpine:3.23 --repo ghcr.io/example/course\n"
    "  orbiter init --from .                    from the Binder repository here"
)
@options.file
@click.argument("folder", required=False, metavar="[DIR]")
@click.option("--from", "source", metavar="REPOSITORY", help="Convert the Binder repository in this folder.")
@click.option("--family", metavar="NAME", help="Name of the family  [default: as the base or the builder].")
@click.option(
    "--builder", type=click.Choice(["pip", "micromamba"]), help="Packages of PyPI or of conda  [default: pip]."
)
@click.option("--base", metavar="IMAGE", help=f"Image to start from  [default: {_DEBIAN}].")
@click.option("--repo", metavar="REPOSITORY", help="Where the images are pushed to  [default: localhost/<folder>].")
@click.option("--python", metavar="VERSION", help="Version of Python, such as 3.13.")
@click.option("--packages", metavar="NAMES", help="What JupyterLab is to have beside it, with blanks between.")
@click.option("--schema", "own_schema", is_flag=True, help="Write orbiter.schema.json beside it, for editors offline.")
@click.option("--yes", is_flag=True, help="Ask nothing; take the defaults.")
@options.form("text", "json")
def init(
    file: str | None,
    folder: str | None,
    source: str | None,
    family: str | None,
    builder: str | None,
    base: str | None,
    repo: str | None,
    python: str | None,
    packages: str | None,
    own_schema: bool,
    yes: bool,
    form: str,
) -> None:
    """Write a first orbiter.yaml, into DIR or here.

    On a terminal it asks what is not given. With --from it reads environment.yml, requirements.txt, apt.txt,
    postBuild and the like of a Binder repository, and says line by line what it could not carry over. It never
    writes over a configuration.
    """
    from orbiter import grammar, pipeline, starter

    config = pipeline.first_place(options.given(file), folder)
    convert = source is not None
    if convert and (builder or python is not None or packages is not None):
        raise UsageError("the repository of --from says what --builder, --python and --packages say; leave them out")
    asks = not yes and not convert and sys.stdin.isatty() and sys.stderr.isatty()

    def decide(option: str, given: str | None, question: str, default: str, problem: Problem) -> str:
        if given is not None:
            return _checked(option, given, problem)
        return _ask(question, default, problem) if asks else default

    repo = decide(
        "--repo", repo, "Repository of the images", starter.repository(config.resolve().parent.name), grammar.repository
    )
    builder = decide("--builder", builder, "Packages of PyPI (pip) or conda (micromamba)", "pip", _builder_problem)
    kind: Package = "micromamba" if builder == "micromamba" else "pip"
    base = decide("--base", base, "Image to start from", _DEBIAN, _base_problem(kind, convert))
    names = decide(
        "--packages",
        packages,
        "Packages beside JupyterLab ('-': none)",
        " ".join(starter.PACKAGES),
        _packages_problem(kind),
    )
    settings = starter.Settings(
        schema=pipeline.SCHEMA_FILE if own_schema else starter.SCHEMA,
        family=_checked("--family", family, starter.family_problem) if family is not None else None,
        base=base,
        repo=repo,
        builder=kind,
        python=_checked("--python", python, starter.python_problem) if python is not None else None,
        packages=starter.specs(kind, _entries(names)),
    )
    text, remarks = pipeline.first_configuration(settings, config, Path(source) if source is not None else None)
    written = pipeline.write_first(config, text, with_schema=own_schema)
    _report(written, remarks, form)


def _checked(option: str, given: str, problem: Problem) -> str:
    found = problem(given)
    if found:
        raise UsageError(f"{option}: {found}")
    return given


def _ask(question: str, default: str, problem: Problem) -> str:
    while True:
        answer: str = click.prompt(question, default=default, err=True)
        found = problem(answer.strip())
        if not found:
            return answer.strip()
        console.say(f"  {found}", colour="red")


def _builder_problem(answer: str) -> str | None:
    return None if answer in ("pip", "micromamba") else f"'{answer}' is neither pip nor micromamba"


def _base_problem(builder: "Package", convert: bool) -> Problem:
    def problem(answer: str) -> str | None:
        from orbiter.starter import base_problem

        if "alpine" in answer and convert:
            return "a Binder repository has packages of Debian (apt.txt) and of glibc; take a Debian"
        if "alpine" in answer and builder == "micromamba":
            return "conda packages need glibc, which Alpine lacks; take a Debian, or --builder pip"
        return base_problem(answer)

    return problem


def _packages_problem(builder: "Package") -> Problem:
    def problem(answer: str) -> str | None:
        from orbiter.packages import BadPackage
        from orbiter.starter import specs

        try:
            specs(builder, _entries(answer))
        except BadPackage as bad:
            return str(bad)
        return None

    return problem


def _entries(answer: str) -> tuple[str, ...]:
    return (answer,) if answer.strip(" -") else ()


def _report(written: Sequence[Path], remarks: Sequence["Remark"], form: str) -> None:
    if form == "json":
        console.print_json(
            {
                "written": [str(path) for path in written],
                "remarks": [{"file": each.file, "line": each.line or None, "text": each.text} for each in remarks],
            }
        )
    else:
        for path in written:
            click.echo(f"+ {path}")
    for remark in remarks:
        console.say(str(remark), colour="yellow")
    if remarks:
        console.say(f"{len(remarks)} remark{'s' * (len(remarks) > 1)}; the file has them at its top")
    config = written[0]
    inside = f"cd {shlex.quote(str(config.parent))} && " if config.parent != Path() else ""
    name = "" if config.name in ("orbiter.yaml", "orbiter.yml") else f" -f {shlex.quote(config.name)}"
    console.say("Next: read it, then")
    for command, does in (
        ("plan", "what will be built"),
        ("build --load", "build it (Docker with Buildx)"),
        ("test", "ask the images"),
    ):
        console.say(f"  {inside}orbiter{name} {command:14}{does}")
