"""README → what Docker Hub, Quay or Harbor are asked to show, and what their answers mean.

The protocol is that of the plugin docker-pushrm: https://github.com/christian-korneck/docker-pushrm.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from orbiter.credentials import Login
from orbiter.errors import UsageError
from orbiter.references import host_and_path

Provider = Literal["dockerhub", "quay", "harbor2"]

PROVIDERS: tuple[Provider, ...] = ("dockerhub", "quay", "harbor2")

LIMIT = 25_000
"""Of a README at Docker Hub. Its error speaks of characters, others found bytes: bytes of UTF-8 satisfy both."""

SHORT_LIMIT = 100
"""Of a short description at Docker Hub, in bytes for the same reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository as its hub knows it. `host` may have a port; `name` may have slashes at Harbor and Quay."""

    provider: Provider
    host: str
    namespace: str
    name: str

    @property
    def path(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def address(self) -> str:
        """Of the web interface. Plain HTTP is for this machine only: what is sent has the login in it."""
        if self.host == "docker.io":
            return "https://hub.docker.com"
        return f"{'http' if is_loopback(self.host) else 'https'}://{self.host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request with a JSON body. `secrets` are the strings that no message may repeat."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


def repository(repo: str, provider: str | None) -> Repository:
    """The repository that `docker.repo` names. Raises UsageError if it is not known who shows its README."""
    host, path = host_and_path(repo)
    namespace, slash, name = path.partition("/")
    if not slash or "/" not in repo:
        raise UsageError(f"docker.repo: '{repo}' has no namespace; a hub knows it as <namespace>/<name>")
    return Repository(provider=_provider(host, provider), host=host, namespace=namespace, name=name)


def _provider(host: str, given: str | None) -> Provider:
    known: dict[str, Provider] = {"docker.io": "dockerhub", "quay.io": "quay"}
    provider = known.get(host) or next((each for each in PROVIDERS if each == given), None)
    if provider is None and host == "ghcr.io":
        raise UsageError(
            "ghcr.io shows the README of the linked repository itself; "
            "the label org.opencontainers.image.source links it, there is nothing to push"
        )
    if provider is None:
        raise UsageError(f"{host}: cannot tell what kind of hub it is; say it with --provider {'|'.join(PROVIDERS)}")
    if given and provider != given:
        raise UsageError(f"--provider {given}: {host} is {provider}")
    return provider


def is_loopback(host: str) -> bool:
    """Whether a host, with or without a port, is this machine."""
    return bool(re.fullmatch(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?", host))


def token_request(repository: Repository, login: Login) -> Request:
    """Docker Hub's login, which answers with a token for what follows.

    https://docs.docker.com/reference/api/hub/latest/#tag/authentication-api
    """
    return Request(
        method="POST",
        url=f"{repository.address}/v2/auth/token",
        headers={},
        body={"identifier": login.user, "secret": login.secret},
        secrets=(login.secret,),
    )


def update_request(repository: Repository, key: str | Login, text: str, short: str | None) -> Request:
    """What changes the README. `key` is Docker Hub's token, Quay's API key or the login at Harbor.

    https://docs.redhat.com/en/documentation/red_hat_quay/3/html/red_hat_quay_api_reference/updaterepo,
    https://github.com/goharbor/harbor/blob/main/api/v2.0/swagger.yaml (updateRepository).
    """
    secrets: tuple[str, ...]
    if isinstance(key, Login):
        pair = b64encode(f"{key.user}:{key.secret}".encode()).decode()
        authorization, secrets = f"Basic {pair}", (pair, key.secret)
    else:
        authorization, secrets = f"Bearer {key}", (key,)
    body = {"full_description" if repository.provider == "dockerhub" else "description": text}
    if repository.provider == "dockerhub" and short is not None:
        body["description"] = short
    return Request(
        method=method(repository),
        url=url(repository),
        headers={"Authorization": authorization},
        body=body,
        secrets=secrets,
    )


def method(repository: Repository) -> str:
    return "PATCH" if repository.provider == "dockerhub" else "PUT"


def url(repository: Repository) -> str:
    """Where the README is changed."""
    if repository.provider == "dockerhub":
        return f"{repository.address}/v2/repositories/{repository.path}/"
    if repository.provider == "quay":
        return f"{repository.address}/api/v1/repository/{repository.path}"
    # Harbor decodes the path twice, and so wants a slash of the name to be encoded twice.
    name = repository.name.replace("/", "%252F")
    return f"{repository.address}/api/v2.0/projects/{repository.namespace}/repositories/{name}"


def token(answer: bytes) -> str | None:
    """The token in Docker Hub's answer to the login."""
    found = _data(answer).get("access_token")
    return str(found) if found else None


def is_shown(repository: Repository, answer: bytes, text: str) -> bool:
    """Whether the answer has the README: Docker Hub was seen to ignore one without an error. Others say nothing."""
    return repository.provider != "dockerhub" or _data(answer).get("full_description", text) == text


def refusal(repository: Repository, status: int, reason: str, answer: bytes) -> str:
    """What is wrong and the way out, after an answer that is no success."""
    host = "Docker Hub" if repository.host == "docker.io" else repository.host
    said = _said(_data(answer))
    own = f": {said}" if said else ""
    again = "'docker login'" if repository.host == "docker.io" else f"'docker login {repository.host}'"
    if status == 401 and repository.provider == "quay":
        return f"{host} does not accept the API key{own}; set DOCKER_APIKEY to one that may write to the repository"
    if status == 401:
        return f"{host} does not accept the login{own}; {again} again, or set DOCKER_USER and DOCKER_PASS"
    if status == 403:
        need = {
            "dockerhub": "an access token needs the scope 'Read, Write, Delete'",
            "quay": "the API key needs 'Read/Write to any accessible repositories'",
            "harbor2": "a robot account needs the right to update repositories",
        }[repository.provider]
        return f"{host} does not let this login change {repository.path}{own}; {need}"
    if status == 404:
        return f"{host} has no repository {repository.path}{own}; the first 'orbiter push' makes it"
    if 300 <= status < 400:
        return (
            f"{host} answers with a redirection ({status}), which is not followed with a login; is docker.repo right?"
        )
    return f"{host} answered {status} {reason}{own}"


def _data(answer: bytes) -> dict[str, Any]:
    try:
        data = json.loads(answer)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _said(data: Mapping[str, Any]) -> str:
    """The hub's own words, in whichever way it says them."""
    errors = data.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return ", ".join(str(errors[0][key]) for key in ("code", "message") if errors[0].get(key))
    named = (data.get(key) for key in ("detail", "error_message", "message"))
    return next((str(each) for each in named if each), "")


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """The text without the secrets in it."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def shorten(text: str, limit: int = SHORT_LIMIT) -> str:
    """One line that fits into `limit` bytes, cut after a word if it has to be."""
    line = " ".join(text.split())
    if _size(line) <= limit:
        return line
    whole = line.encode()[: limit - _size("…") + 1].decode(errors="ignore")
    word, space, _ = whole.rpartition(" ")
    return f"{(word if space else _head(line, limit - _size('…'))).rstrip(' ,;:.')}…"


def fit(text: str, source: str | None, limit: int = LIMIT) -> str:
    """A README that fits into `limit` bytes: cut before a heading, else between paragraphs, with a link to the whole.

    A heading counts only in the second half of what fits. Nothing is cut in a block of code or a comment, unless it
    alone does not fit.
    """
    if _size(text) <= limit:
        return text
    where = f"[the whole README]({source})" if source else "the README of the project"
    end = f"\n\n---\n\nThis is a part only; the rest is in {where}.\n"
    room = limit - _size(end)
    headings: list[int] = []
    paragraphs: list[int] = []
    for place, heading in _seams(text):
        if _size(text[:place]) > room:
            break
        (headings if heading else paragraphs).append(place)
    late = [place for place in headings if _size(text[:place]) > room // 2]
    place = max(late or headings + paragraphs, default=0)
    return (text[:place].rstrip() if place else _head(text, room)) + end


def _seams(text: str) -> Iterator[tuple[int, bool]]:
    """Where a Markdown text can be cut: offsets of headings (True) and of what follows an empty line."""
    place, fence, comment, empty, bare = 0, "", False, False, False
    for line in text.splitlines(keepends=True):
        mark = re.match(r" {0,3}(`{3,}|~{3,})", line)
        heading = bool(re.match(r" {0,3}#{1,6}\s", line))
        if not fence and not comment and place:
            if heading:
                yield place, True
            elif empty and not bare and line.strip():
                yield place, False
        if not comment and mark:
            fence = "" if fence and line.strip().startswith(fence) else fence or mark[1]
        elif not fence:
            comment = line.rfind("<!--") > line.rfind("-->") or (comment and "-->" not in line)
        # A cut right after a heading would leave it alone.
        bare = heading or (bare and not line.strip())
        empty = not line.strip()
        place += len(line)


def _head(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore")


def _size(text: str) -> int:
    return len(text.encode())
