"""The commands, one module each, read when they are called. SECTIONS is the table of contents of `orbiter --help`."""

from collections.abc import Mapping

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Describe": ("init", "validate", "compile", "lock", "diff", "sbom", "schema"),
    "Build": ("plan", "explain", "graph", "build", "cache", "builder", "test", "verify"),
    "Use": ("run", "bash", "r2d", "images"),
    "Publish": ("ci", "docker-push", "docker-pushrm", "readme", "export"),
    "Tidy": ("clean", "docker-rmi", "docker-clean", "docker-prune"),
    "Help": ("doctor", "completion"),
}
"""Heading → names of commands. The module of a command has its name with `_` for `-`, and so has its function."""

ALIASES: Mapping[str, str] = {"push": "docker-push", "pushrm": "docker-pushrm"}
"""Further names of commands, which the original tool or Docker have: they work, and help does not list them."""
