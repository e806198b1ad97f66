"""The command line: options → one call of the pipeline → report and exit code."""

import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from orbiter import __version__
from orbiter.errors import CheckFailed, ConfigError, OrbiterError, UsageError

if TYPE_CHECKING:
    from orbiter.diagnostics import Finding
    from orbiter.output import Changes
    from orbiter.pipeline import Planned

Command = TypeVar("Command", bound=Callable[..., Any])

INTERRUPTED = 130


def main() -> NoReturn:
    """The entry point: runs the command and ends the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs a command line and returns its exit code; all messages are printed."""
    stdout = sys.stdout
    try:
        # Without standalone mode, click returns the code of an Exit instead of raising it.
        status = cli.main(arguments, prog_name="orbiter", standalone_mode=False)
        sys.stdout.flush()
        return status or 0
    except click.ClickException as error:
        error.show()
        return 2
    except OrbiterError as error:
        _report(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        return INTERRUPTED
    except (BrokenPipeError, SystemExit) as error:
        # The reader (`head`, `less`) has enough; click wraps stdout then, and exits.
        if isinstance(error, SystemExit) and sys.stdout is stdout:
            raise
        # Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
    return 0


def _report(error: OrbiterError) -> None:
    if isinstance(error, ConfigError):
        for finding in error.findings:
            _say(str(finding), colour="red")
        _say(_count(error.findings))
    else:
        _say(f"orbiter: {error}", colour="red")


def _count(findings: Iterable["Finding"]) -> str:
    kinds = [finding.severity for finding in findings]
    counted = ((kinds.count(kind), kind) for kind in ("error", "warning"))
    return ", ".join(f"{number} {kind}{'s' * (number > 1)}" for number, kind in counted if number)


def _say(text: str, colour: str | None = None) -> None:
    """Talk, on stderr; with colour on a terminal only."""
    if colour and sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        text = click.style(text, fg=colour)
    click.echo(text, err=True)


def _print_json(data: Any) -> None:
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def _file_option(command: Command) -> Command:
    return click.option(
        "-f",
        "--file",
        envvar="ORBITER_FILE",
        metavar="FILE",
        help="The configuration  [default: $ORBITER_FILE, else orbiter.yaml, orbiter.yml or invoke.yaml here].",
    )(command)


def _format_option(*formats: str) -> Callable[[Command], Command]:
    return click.option(
        "--format",
        "form",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="How to print the result.",
    )


_selection = (
    click.argument("targets", nargs=-1),
    click.option("-b", "--build", "family", metavar="FAMILY", help="Only this family, as in the original tool."),
    click.option("-i", "--image", metavar="IMAGE", help="Only this image of the family."),
)


def _selection_options(command: Command) -> Command:
    for decorate in reversed(_selection):
        command = decorate(command)
    return command


def _patterns(planned: "Planned", targets: tuple[str, ...], family: str | None, image: str | None) -> tuple[str, ...]:
    """Names and globs, or the family and image of the original tool, as patterns of targets."""
    from orbiter.plan import family_patterns

    return targets + family_patterns(planned.plan, family, image)


def _plan(file: str | None, out: str | None = None) -> "Planned":
    from orbiter import pipeline

    given = file or click.get_current_context().find_root().params.get("file")
    planned = pipeline.make_plan(pipeline.find(given, Path()), Path(out) if out else None)
    for warning in planned.warnings:
        _say(str(warning), colour="yellow")
    return planned


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with 'orbiter validate', then 'orbiter plan' and 'orbiter build'. "
    "'orbiter COMMAND --help' has examples.",
)
@_file_option
@click.version_option(__version__, "--version", message="orbiter %(version)s")
def cli(file: str | None) -> None:
    """Compile one YAML file into a family of Jupyter images.

    Orbiter checks orbiter.yaml and writes Dockerfiles and one docker-bake.hcl, which Docker Buildx builds in
    parallel, with cache, here or elsewhere.

    \b
    Exit codes:
      0    done
      1    a check said no (compile --check)
      2    wrong usage or configuration
      3    no target has that name
      4    the engine is missing or failed
      130  interrupted
    """


_EXAMPLES = "\b\nExamples:\n"


@cli.command(
    epilog=_EXAMPLES + "  orbiter validate\n  orbiter validate -f lab.yaml --format json\n"
    "  orbiter validate --format github    annotations in GitHub Actions"
)
@_file_option
@_format_option("text", "json", "github")
def validate(file: str | None, form: str) -> None:
    """Check the configuration.

    Reports everything that is wrong, each with FILE:LINE:COLUMN, and ends with 2 if there is an error.
    """
    from orbiter import pipeline
    from orbiter.diagnostics import as_github, as_json

    given = file or click.get_current_context().find_root().params.get("file")
    config = pipeline.find(given, Path())
    findings: tuple[Finding, ...]
    try:
        findings, valid = pipeline.make_plan(config).warnings, True
    except ConfigError as error:
        findings, valid = error.findings, False
    if form == "json":
        _print_json({"file": str(config), "valid": valid, "findings": [as_json(finding) for finding in findings]})
    else:
        for finding in findings:
            click.echo(as_github(finding) if form == "github" else str(finding))
    if findings:
        _say(_count(findings))
    elif form == "text":
        _say(f"{config}: valid", colour="green")
    if not valid:
        raise click.exceptions.Exit(ConfigError.exit_code)


@cli.command(
    epilog=_EXAMPLES
    + "  orbiter compile\n  orbiter compile --check     in CI: is what is committed what the configuration gives?\n"
    "  orbiter compile --diff      what would change?\n  orbiter compile -o out      somewhere else"
)
@_file_option
@click.option(
    "-o",
    "--output",
    "out",
    metavar="DIR",
    help="Write the tree below DIR  [default: beside the configuration].",
)
@click.option(
    "--check",
    is_flag=True,
    help="Write nothing; end with 1 if the files are not what the configuration gives.",
)
@click.option("--diff", is_flag=True, help="Write nothing; print what would change.")
@_format_option("text", "json")
def compile(file: str | None, out: str | None, check: bool, diff: bool, form: str) -> None:
    """Write the Dockerfiles and docker-bake.hcl.

    Files that are right already are not touched, stale ones are removed, and files that Orbiter did not write
    are left alone.
    """
    from orbiter import output, pipeline

    planned = _plan(file, out)
    changes = pipeline.compare(planned, Path(out) if out else None)
    folder = Path(out) if out else planned.config.parent
    if not check and not diff:
        output.write(changes, folder)
    if diff:
        for line in output.diff(changes):
            click.echo(line, nl=False)
    if form == "json":
        _print_json(_changes_as_data(changes))
    elif not diff:
        _print_changes(changes)
    _say(_summary(changes, wrote=not check and not diff))
    if check and changes:
        raise CheckFailed("the generated files are stale; run 'orbiter compile'")


def _changes_as_data(changes: "Changes") -> dict[str, Any]:
    return {
        "created": changes.created,
        "updated": changes.updated,
        "removed": changes.removed,
        "unchanged": changes.unchanged,
    }


def _print_changes(changes: "Changes") -> None:
    for sign, paths in (("+", changes.created), ("~", changes.updated), ("-", changes.removed)):
        for path in paths:
            click.echo(f"{sign} {path}")


def _summary(changes: "Changes", wrote: bool) -> str:
    if not changes:
        return f"{changes.unchanged} files, nothing to do"
    counted = (
        (len(changes.created), "new"),
        (len(changes.updated), "changed"),
        (len(changes.removed), "removed"),
        (changes.unchanged, "unchanged"),
    )
    text = ", ".join(f"{number} {kind}" for number, kind in counted if number)
    return text if wrote else f"{text} (nothing written)"


@cli.command(
    epilog=_EXAMPLES + "  orbiter plan\n  orbiter plan 'debian-*'\n  orbiter plan --format json | jq '.targets[].name'"
)
@_file_option
@_selection_options
@_format_option("text", "json")
def plan(file: str | None, targets: tuple[str, ...], family: str | None, image: str | None, form: str) -> None:
    """Show what would be built: targets, their parents and packages.

    TARGETS are names or globs; without any, everything is shown. Writes nothing.
    """
    from orbiter.plan import as_data, as_text, restrict

    planned = _plan(file)
    patterns = _patterns(planned, targets, family, image)
    shown = restrict(planned.plan, patterns) if patterns else planned.plan
    if form == "json":
        _print_json(as_data(shown))
    else:
        click.echo(as_text(shown))


@cli.command(
    epilog=_EXAMPLES + "  orbiter build                           everything\n"
    "  orbiter build debian-base 'alpine-*'    by name or glob\n"
    "  orbiter build -b debian -i base         as in the original tool\n"
    "  orbiter build --push                    published images go to the registry\n"
    "  orbiter build --set '*.network=host'    any override that bake knows"
)
@_file_option
@_selection_options
@click.option("--push", is_flag=True, help="Push the published images to the registry.")
@click.option("--load", is_flag=True, help="Load the published images into the engine.")
@click.option("--builder", metavar="NAME", help="Buildx builder to use (docker buildx ls).")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="OS/ARCH",
    help="Build for this platform; several are possible.",
)
@click.option("--no-cache", is_flag=True, help="Run every step again.")
@click.option(
    "--set", "overrides", multiple=True, metavar="TARGET.KEY=VALUE", help="Override a value of the bake file."
)
@click.option("--progress", type=click.Choice(["auto", "plain", "tty", "quiet", "rawjson"]), help="Buildx's progress.")
def build(
    file: str | None,
    targets: tuple[str, ...],
    family: str | None,
    image: str | None,
    push: bool,
    load: bool,
    builder: str | None,
    platforms: tuple[str, ...],
    no_cache: bool,
    overrides: tuple[str, ...],
    progress: str | None,
) -> None:
    """Compile, then build with Docker Buildx.

    TARGETS are names or globs of images; without any, every published image is built. What they need is built
    with them.
    """
    from orbiter import output, pipeline
    from orbiter.blame import blame
    from orbiter.engine import BakeOptions, BuildFailed, Buildx
    from orbiter.plan import select

    if push and load:
        raise UsageError("--push and --load exclude each other: build twice, the second time comes from the cache")
    planned = _plan(file)
    chosen = select(planned.plan, _patterns(planned, targets, family, image))
    files = pipeline.render(planned)
    changes = output.compare(files, planned.config.parent)
    output.write(changes, planned.config.parent)
    if changes:
        _say(_summary(changes, wrote=True))
    options = BakeOptions(
        push=push,
        load=load,
        no_cache=no_cache,
        builder=builder,
        platforms=tuple(name for given in platforms for name in given.split(",") if name),
        set=overrides,
        progress=progress,
    )
    try:
        Buildx().bake(planned.config.parent, chosen, options)
    except BuildFailed as error:
        finding = blame(planned.plan, planned.document, files, error.failures)
        if finding:
            _say(str(finding), colour="red")
        raise


@cli.command(
    epilog=_EXAMPLES + "  orbiter test                            every published image\n"
    "  orbiter test debian-base 'alpine-*'     by name or glob\n"
    "  orbiter test --format junit > report.xml"
)
@_file_option
@_selection_options
@click.option(
    "-j", "--jobs", type=click.IntRange(1), default=2, show_default=True, help="Images that are tested at a time."
)
@_format_option("text", "json", "junit")
def test(
    file: str | None, targets: tuple[str, ...], family: str | None, image: str | None, jobs: int, form: str
) -> None:
    """Check built images in the engine.

    Starts a container of each image and asks it: user, interpreter, the import of every distribution, every kernel,
    JupyterLab with and without its token, and what the 'test' section of the image adds. Images have to be in the
    engine ('orbiter build --load'). Ends with 1 if a check fails.
    """
    from orbiter import checks, testing
    from orbiter.engine import Buildx
    from orbiter.plan import select

    planned = _plan(file)
    chosen = select(planned.plan, _patterns(planned, targets, family, image))
    suites = checks.suites(planned.plan, chosen)
    if not suites:
        raise UsageError(f"{', '.join(chosen)}: a nested build is not published, so there is no image to test")

    def say(outcome: checks.Outcome) -> None:
        _say(f"{outcome.target}: {outcome.check} {'failed' if outcome.problem else 'ok'}")

    outcomes = testing.run(suites, Buildx(), planned.config.parent, jobs, say)
    if form == "json":
        _print_json(checks.as_data(outcomes))
    else:
        click.echo(checks.as_junit(outcomes) if form == "junit" else checks.as_text(outcomes))
    failed = sum(bool(outcome.problem) for outcome in outcomes)
    if failed:
        raise CheckFailed(f"{failed} of {len(outcomes)} checks failed")


@cli.command(
    epilog=_EXAMPLES + "  orbiter schema > orbiter.schema.json\n\n"
    "  Editors with a YAML server read it from the first line of orbiter.yaml:\n"
    "  # yaml-language-server: $schema=orbiter.schema.json"
)
@_file_option
def schema(file: str | None) -> None:
    """Print the JSON schema of the configuration.

    With a project, its own builders (templates/) are part of it.
    """
    from orbiter import pipeline

    given = file or click.get_current_context().find_root().params.get("file")
    _print_json(pipeline.project_schema(Path(given).parent if given else Path()))
