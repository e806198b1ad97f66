"""The login that Docker keeps for a registry: in its file, or with a helper program."""

import os
from pathlib import Path

from orbiter import credentials
from orbiter.credentials import Login
from orbiter.engine import Buildx


def configuration() -> Path:
    """Docker's file of settings and logins."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path("~/.docker").expanduser()) / "config.json"


def kept(host: str) -> Login | None:
    """The login for a registry, a token of a browser login among them (user `credentials.TOKEN_USER`).

    Raises UsageError for a file that cannot be read, EngineError for a helper that does not answer.
    """
    path = configuration()
    try:
        config = credentials.parse(path.read_bytes(), str(path))
    except OSError:
        return None
    names = credentials.servers(host)
    helper = credentials.helper(config, names)
    for server in names if helper else ():
        found = Buildx().credential(helper, server) if helper else None
        if found:
            return Login(user=found[0], secret=found[1])
    return credentials.identity(config, names) or credentials.from_config(config, names, str(path))
