"""The API of registries: what to ask, who may, and what the answers mean. `web.Registry` sends the requests.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md, and for tokens
https://distribution.github.io/distribution/spec/auth/token/.
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orbiter.credentials import TOKEN_USER, Login
from orbiter.errors import EngineError
from orbiter.pushrm import is_loopback
from orbiter.references import host_and_path

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
"""Media types of what a tag may stand for."""

_PAGE = 1000
_HINTS = {
    405: "this registry deletes nothing over its API; do it where it is administered",
    429: "it is asked too often; try again later",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A repository in a registry. `host` is as in references, with its port if it has one."""

    host: str
    path: str

    @property
    def address(self) -> str:
        """Of the API. Plain HTTP is for this machine only, as Docker has it."""
        if self.host == "docker.io":
            return "https://registry-1.docker.io"
        return f"{'http' if is_loopback(self.host) else 'https'}://{self.host}"

    @property
    def repository(self) -> str:
        return f"{self.host}/{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request; `query` goes into the address, `form` into the body. No message may repeat the `secrets`."""

    method: str
    url: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What a registry wants to see: `scheme` is `basic` or `bearer`; the others say where the token is to be had."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a tag or digest stands for: a manifest, or an index of several."""

    digest: str
    data: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """Media type of its configuration; empty for an index."""
        return str((self.data.get("config") or {}).get("mediaType", ""))

    @property
    def layers(self) -> tuple[Mapping[str, Any], ...]:
        """Descriptors: `digest`, `size` in bytes, `annotations`."""
        return tuple(self.data.get("layers") or ())


def place(repository: str) -> Place:
    """The place that a repository, without a tag, is in."""
    host, path = host_and_path(repository)
    return Place(host=host, path=path)


def base_request(at: Place) -> Request:
    """What `docker login` asks: a registry answers with success to a login that it knows."""
    return Request(method="GET", url=f"{at.address}/v2/")


def tags_request(at: Place) -> Request:
    return Request(method="GET", url=f"{at.address}/v2/{at.path}/tags/list", query={"n": str(_PAGE)})


def manifest_request(at: Place, reference: str, method: str = "GET") -> Request:
    """`reference` is a tag or a digest."""
    accept = {} if method == "DELETE" else {"Accept": ", ".join(MANIFESTS)}
    return Request(method=method, url=f"{at.address}/v2/{at.path}/manifests/{reference}", headers=accept)


def blob_request(at: Place, digest: str, method: str = "HEAD") -> Request:
    """Whether a blob is there; with GET, the blob."""
    return Request(method=method, url=f"{at.address}/v2/{at.path}/blobs/{digest}")


def next_request(at: Place, link: str) -> Request | None:
    """The next page of tags, from the header `Link`; None after the last one. Raises EngineError if it is elsewhere."""
    found = re.search(r'<([^>]+)>\s*;[^,]*rel="?next"?', link)
    if not found:
        return None
    url = at.address + found[1] if found[1].startswith("/") else found[1]
    if not url.startswith(f"{at.address}/"):
        raise EngineError(f"{at.host}: its list goes on at another host, which is not asked: {url}")
    return Request(method="GET", url=url)


def parse_tags(body: bytes) -> tuple[str, ...]:
    return tuple(str(tag) for tag in _data(body).get("tags") or ())


def parse_manifest(body: bytes, digest: str) -> Manifest:
    """Raises EngineError for what is no manifest."""
    data = _data(body)
    if "layers" not in data and "manifests" not in data:
        raise EngineError("the registry's answer is no manifest")
    return Manifest(digest=digest, data=data)


def challenge(headers: Sequence[str]) -> Challenge | None:
    """What the headers `WWW-Authenticate` ask for, Bearer before Basic; None for neither."""
    found: dict[str, Challenge] = {}
    for header in headers:
        scheme, _, rest = header.strip().partition(" ")
        values = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(rest)}
        if scheme.lower() == "bearer" and values.get("realm"):
            known = {name: values.get(name, "") for name in ("realm", "service", "scope")}
            found["bearer"] = Challenge(scheme="bearer", **known)
        elif scheme.lower() == "basic":
            found["basic"] = Challenge(scheme="basic")
    return found.get("bearer") or found.get("basic")


_PARAMETER = re.compile(r'([A-Za-z_-]+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))')


def token_request(at: Place, asked: Challenge, login: Login | None, actions: str) -> Request:
    """What gets a token for `actions` (`pull`, `pull,delete`); without a login it is a token for anybody.

    Without actions it is for what the registry itself asks for. Raises EngineError where a login would go over an open
    line.
    """
    realm = re.match(r"(https?)://([^/?#]+)", asked.realm)
    if not realm or (realm[1] == "http" and not is_loopback(realm[2])):
        raise EngineError(f"{at.host} has its tokens at {asked.realm}, which is not HTTPS; nothing is sent there")
    scope = asked.scope or (f"repository:{at.path}:{actions}" if actions else "")
    values = {name: value for name, value in (("service", asked.service), ("scope", scope)) if value}
    if login and login.user == TOKEN_USER:
        # What 'docker login' in a browser leaves: https://distribution.github.io/distribution/spec/auth/oauth/.
        form = {"grant_type": "refresh_token", "refresh_token": login.secret, "client_id": "orbiter", **values}
        return Request(method="POST", url=asked.realm, form=form, secrets=(login.secret,))
    headers, secrets = _basic(login) if login else ({}, ())
    return Request(method="GET", url=asked.realm, query=values, headers=headers, secrets=secrets)


def authorization(
    asked: Challenge, login: Login | None, token: str | None
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The header that answers a challenge, and the secrets in it; nothing where there is nothing to show."""
    if asked.scheme == "bearer" and token:
        return {"Authorization": f"Bearer {token}"}, (token,)
    if asked.scheme == "basic" and login:
        return _basic(login)
    return {}, ()


def _basic(login: Login) -> tuple[Mapping[str, str], tuple[str, ...]]:
    pair = b64encode(f"{login.user}:{login.secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}, (pair, login.secret)


def parse_token(body: bytes) -> str | None:
    data = _data(body)
    found = data.get("token") or data.get("access_token")
    return str(found) if found else None


def refusal(at: Place, status: int, reason: str, body: bytes, *, login: bool) -> str:
    """What is wrong and the way out, after an answer that is no success."""
    said = _said(body)
    own = f": {said}" if said else ""
    if status == 401:
        way = "does not accept the login" if login else "wants a login"
        return f"{at.host} {way} for {at.path}{own}; {_login_command(at)}"
    if status == 403:
        return f"{at.host} does not let this login do that to {at.path}{own}; {_login_command(at)} with one that may"
    if status in _HINTS:
        return f"{at.host} answered {status} {reason}{own}; {_HINTS[status]}"
    return f"{at.host} answered {status} {reason}{own}"


def hidden(at: Place, body: bytes, *, login: bool) -> str:
    """What is said of a repository that the registry does not show, though the login, if any, is right."""
    said = _said(body)
    told = f"{at.host} shows no repository {at.path} {'to this login' if login else 'without a login'}"
    own = f" ({said})" if said else ""
    reason = "this login may not see it" if login else f"wants one: {_login_command(at)}"
    return f"{told}{own}: it is not there yet, or {reason}"


def _said(body: bytes) -> str:
    """The first error in an answer, in the registry's own words."""
    errors = _data(body).get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    return ", ".join(str(first[key]) for key in ("code", "message") if first.get(key))


def _login_command(at: Place) -> str:
    return "'docker login'" if at.host == "docker.io" else f"'docker login {at.host}'"


def _data(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
