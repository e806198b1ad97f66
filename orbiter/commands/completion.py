"""`orbiter completion`: what makes a shell complete commands, options and the names of targets."""

import click

from orbiter.commands import console, options

SHELLS = {
    "bash": "echo 'eval \"$(orbiter completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(orbiter completion zsh)\"' >> ~/.zshrc    (after compinit)",
    "fish": "orbiter completion fish > ~/.config/fish/completions/orbiter.fish",
}
"""Shell → how to have it in every new one."""


@click.command(
    epilog=options.EXAMPLES
    + '  eval "$(orbiter completion bash)"       now, in this shell\n'
    + "".join(f"  {command}\n" for command in SHELLS.values())
)
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    It completes commands, options, and the targets, families and images of the configuration that is found. bash has
    to be 4.4 or later.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # one of SHELLS, which click has all
    root = click.get_current_context().find_root()
    script = kind(root.command, {}, "orbiter", "_ORBITER_COMPLETE")
    # Not source(), which starts bash to complain about its version on stderr.
    click.echo(script.source_template % script.source_vars())
    console.say(f"to have it in every new {shell}: {SHELLS[shell]}")
