"""The commands, one module each, read when they are called. SECTIONS is the table of contents of `orbiter --help`."""

from collections.abc import Mapping

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Describe": ("validate", "compile", "schema", "completion"),
    "Build": ("plan", "graph", "build", "test"),
    "Use": ("run", "bash", "r2d"),
}
"""Heading → names of commands. The module of a command has its name with `_` for `-`, and so has its function."""

ALIASES: Mapping[str, str] = {}
"""Further names of commands, which the original tool or Docker have: they work, and help does not list them."""
