"""Where a login is kept: variables of the environment, as the docker-pushrm plugin has them, and Docker's own file.

The file: https://docs.docker.com/reference/cli/docker/login/#credential-stores. Nothing here is ever printed.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orbiter.errors import UsageError

DOCKER_HUB = "https://index.docker.io/v1/"
"""What Docker calls Docker Hub where it keeps logins."""


TOKEN_USER = "<token>"
"""Of a login whose secret is a token that gets tokens, as Docker and its helpers name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user and a password or access token."""

    user: str
    secret: str = field(repr=False)


def from_environment(variables: Mapping[str, str], host: str) -> Login | None:
    """DOCKER_USER and DOCKER_PASS, else those of the host: DOCKER_USER__QUAY_IO and DOCKER_PASS__QUAY_IO."""
    for end in ("", f"__{_suffix(host)}"):
        user, secret = variables.get(f"DOCKER_USER{end}"), variables.get(f"DOCKER_PASS{end}")
        if user and secret:
            return Login(user=user, secret=secret)
    return None


def api_key(variables: Mapping[str, str], config: Mapping[str, Any], host: str) -> str | None:
    """DOCKER_APIKEY, else APIKEY__QUAY_IO, else `apikey_quay.io` of the plugin docker-pushrm in Docker's file."""
    of_plugin = _section(_section(config, "plugins"), "docker-pushrm")
    found = (
        variables.get("DOCKER_APIKEY")
        or variables.get(f"APIKEY__{_suffix(host)}")
        or of_plugin.get(f"apikey_{host}")
        or None
    )
    return str(found) if found else None


def parse(text: bytes, name: str) -> Mapping[str, Any]:
    """Docker's file. Raises UsageError."""
    try:
        config = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{name}: is no JSON; 'docker login' writes it") from error
    return config if isinstance(config, dict) else {}


def servers(host: str) -> tuple[str, ...]:
    """The names under which the login of a host may be kept."""
    if host == "docker.io":
        return (DOCKER_HUB,)
    return (host, f"https://{host}", f"https://{host}/", f"http://{host}", f"http://{host}/")


def helper(config: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The name of the program that Docker would ask, without its `docker-credential-`."""
    own = _section(config, "credHelpers")
    found = next((own[name] for name in names if name in own), config.get("credsStore"))
    return str(found) if found else None


def from_config(config: Mapping[str, Any], names: Sequence[str], file: str) -> Login | None:
    """The login in the file itself. Raises UsageError if it cannot be read."""
    kept = _section(config, "auths")
    for name in names:
        encoded = _section(kept, name).get("auth")
        if encoded:
            try:
                user, colon, secret = base64.b64decode(str(encoded), validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                colon = ""
            if not colon:
                raise UsageError(f"{file}: the login of {name} cannot be read; 'docker login' again")
            return Login(user=user, secret=secret.rstrip("\0"))
    return None


def identity(config: Mapping[str, Any], names: Sequence[str]) -> Login | None:
    """The token that 'docker login' in a browser leaves in the file."""
    kept = _section(config, "auths")
    tokens = (_section(kept, name).get("identitytoken") for name in names)
    return next((Login(user=TOKEN_USER, secret=str(token)) for token in tokens if token), None)


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _suffix(host: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in host).upper()
