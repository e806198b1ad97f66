"""The builders: one module a family, and a mapping that names them all."""

from collections.abc import Iterable

from orbiter.builders import micromamba, pip
from orbiter.builders.environment import Builder, Builders, problems, stage

__all__ = ["BUILDERS", "TOOLS", "Builder", "Builders", "problems", "stage", "with_own"]

BUILDERS: Builders = {builder.name: builder for builder in (*micromamba.BUILDERS, *pip.BUILDERS)}
"""Orbiter's own builders."""

TOOLS: tuple[tuple[str, str], ...] = (micromamba.CONDA.tool, pip.VENV.tool)
"""Bake variable and public reference of each image that lends a binary."""


def with_own(names: Iterable[str]) -> Builders:
    """Orbiter's builders and those of a project's templates folder; one of the same name keeps Orbiter's role."""
    return {**{name: Builder(name=name, role="custom") for name in names}, **BUILDERS}
