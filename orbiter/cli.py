"""The command line: finds the command, runs it, and turns how it ended into words and an exit code."""

import importlib
import os
import sys
from typing import Any, NoReturn

import click

from orbiter import __version__
from orbiter.commands import ALIASES, SECTIONS, console, options
from orbiter.errors import ConfigError, OrbiterError

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
        console.say("interrupted")
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
            console.say(str(finding), colour="red")
        console.say(console.count(error.findings))
    else:
        console.say(console.fitted(f"orbiter: {error}", talk=True), colour="red")


class Commands(click.Group):
    """Reads the module of a command when the command is called, and lists them all under headings."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for names in SECTIONS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in self.list_commands(ctx):
            return None
        function = name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"orbiter.commands.{function}"), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.list_commands(ctx)))
        for heading, names in SECTIONS.items():
            with formatter.section(heading):
                commands = ((name, self.get_command(ctx, name)) for name in names)
                rows = [(name.ljust(width), command.get_short_help_str(70)) for name, command in commands if command]
                formatter.write_dl(rows)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with 'orbiter validate', then 'orbiter plan' and 'orbiter build'. "
    "'orbiter COMMAND --help' has examples.",
)
@options.file
@click.version_option(__version__, "--version", message="orbiter %(version)s")
def cli(file: str | None) -> Any:
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
