"""Every error that Orbiter raises on purpose, with the exit code it ends in.

OrbiterError
├── CheckFailed           1  a check said no
├── UsageError            2  options or arguments that make no sense
│   ├── ConfigError       2  findings in the configuration
│   ├── ForeignFile       2  a file that Orbiter did not write is in the way
│   └── LockError         2  a lock that cannot be read or made
├── NothingMatched        3  no target has that name
└── EngineError           4  the engine or a tool is missing or failed
"""

from collections.abc import Iterable
from typing import ClassVar

from orbiter.diagnostics import Finding, in_file_order


class OrbiterError(Exception):
    """A message for a person: what is wrong and the way out."""

    exit_code: ClassVar[int] = 1


class CheckFailed(OrbiterError):
    """A check said no; nothing is broken."""


class UsageError(OrbiterError):
    """Options or arguments that make no sense."""

    exit_code = 2


class ConfigError(UsageError):
    """Problems in the configuration, all of one phase, in file order."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings: tuple[Finding, ...] = in_file_order(findings)
        super().__init__("\n".join(map(str, self.findings)))


class ForeignFile(UsageError):
    """Something that Orbiter did not write stands where a generated file belongs: paths, and what is there."""

    def __init__(self, found: Iterable[tuple[str, str]]) -> None:
        self.found = tuple(found)
        listed = "\n".join(f"  {path} ({kind})" for path, kind in self.found)
        super().__init__(f"not written by Orbiter, so not overwritten:\n{listed}\nmove them away, or use '-o DIR'")


class LockError(UsageError):
    """A lock that cannot be read, or that cannot be made of what the configuration asks."""


class NothingMatched(OrbiterError):
    """No target has that name."""

    exit_code = 3


class EngineError(OrbiterError):
    """The engine or a tool is missing or failed."""

    exit_code = 4
