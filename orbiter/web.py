"""Asks hubs to show a README, and registries what they have. Beside the engine, the only module on the network."""

import hashlib
import json
import os
import re
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urljoin
from urllib.request import (
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    build_opener,
    getproxies,
    getproxies_environment,
    proxy_bypass,
)
from urllib.request import Request as HTTPRequest

from orbiter import __version__, proxies, pushrm, registry
from orbiter.credentials import Login
from orbiter.errors import EngineError
from orbiter.proxies import Proxy
from orbiter.pushrm import Repository, Request
from orbiter.registry import Challenge, Manifest, Place

PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers that another attempt may turn into a success; what is asked may be asked twice."""

LONGEST = 60
"""Seconds that are waited before an attempt, at most, whatever a server asks for."""

_TRUST = (
    "a file with that of its authority is named by 'mirrors.ca' in the configuration, by SSL_CERT_FILE, or laid where "
    "Docker looks for it (/etc/docker/certs.d/HOST/ca.crt)"
)

_REDIRECTING = {301, 302, 303, 307, 308}
_REDIRECTIONS = 4


class Hidden(EngineError):
    """The registry shows no such repository to this login, or to anybody: it is not there, or only for others.

    Many registries do not tell which: https://github.com/distribution/distribution/issues/1291 (Docker Hub),
    https://github.com/quay/quay/pull/1054.
    """

    def __init__(self, text: str, *, login: bool) -> None:
        super().__init__(text)
        self.login = login


class Hub:
    """The web interface of a hub. `ca` is a file with certificates to trust beside those of the system.

    `retries` attempts follow a failure that may pass, after 1, 2, 4 … seconds or what the server says; `timeout` is in
    seconds. All methods raise EngineError.
    """

    def __init__(
        self, repository: Repository, *, ca: Path | None, timeout: float, retries: int, say: Callable[[str], None]
    ) -> None:
        self._repository = repository
        self._timeout = timeout
        self._retries = retries
        self._say = say
        self._opener = _opener(repository.host, ca)

    def update(self, key: str | Login, text: str, short: str | None) -> None:
        """Shows the text. `key` is Quay's API key or a login."""
        if isinstance(key, Login) and self._repository.provider == "dockerhub":
            token = pushrm.token(self._send(pushrm.token_request(self._repository, key)))
            if token is None:
                raise EngineError("Docker Hub accepted the login and gave no token")
            key = token
        answer = self._send(pushrm.update_request(self._repository, key, text, short))
        if not pushrm.is_shown(self._repository, answer, text):
            raise EngineError("Docker Hub took the README and shows another one; look at it in a browser")

    def _send(self, request: Request) -> bytes:
        """The body of the answer, if that is a success."""
        attempt = 0
        while True:
            attempt += 1
            wait = ""
            sent = _http(request)
            proxy = _send_through(sent)
            try:
                with self._opener.open(sent, timeout=self._timeout) as answer:
                    return bytes(answer.read())
            except HTTPError as error:
                passing, wait = error.code in PASSING, error.headers.get("Retry-After", "")
                problem = pushrm.refusal(self._repository, error.code, error.reason, _read(error))
            except (URLError, HTTPException, OSError) as error:
                problem, passing = _problem(self._repository.address, proxy, error, self._timeout)
            problem = pushrm.redact(problem, request.secrets)
            if not passing or attempt > self._retries:
                raise EngineError(problem + (f" ({attempt} attempts)" if attempt > 1 else "")) from None
            pause = _pause(wait, attempt)
            self._say(f"{problem}; again in {pause:.0f} s ({attempt} of {self._retries})")
            time.sleep(pause)


class Registry:
    """A repository in a registry. `ca`, `timeout` and `retries` are as for a Hub; all methods raise EngineError.

    Several threads may ask at a time. A login is shown only where the registry asks for it.
    """

    def __init__(
        self, at: Place, *, login: Login | None, ca: Path | None = None, timeout: float = 30, retries: int = 3
    ) -> None:
        self._at = at
        self._login = login
        self._timeout = timeout
        self._retries = retries
        self._opener = _opener(at.host, ca)
        self._guard = threading.Lock()
        self._challenge: Challenge | None = None
        self._tokens: dict[str, str | None] = {}

    def tags(self) -> tuple[str, ...]:
        """All tags; none if there is no such repository."""
        found: list[str] = []
        request: registry.Request | None = registry.tags_request(self._at)
        while request:
            status, headers, body = self._ask(request, "pull")
            if status == 404:
                break
            found += registry.parse_tags(body)
            request = registry.next_request(self._at, headers.get("Link", ""))
        return tuple(found)

    def manifest(self, reference: str) -> Manifest | None:
        """What a tag or digest stands for; None if there is none."""
        status, headers, body = self._ask(registry.manifest_request(self._at, reference), "pull")
        if status == 404:
            return None
        digest = headers.get("Docker-Content-Digest") or f"sha256:{hashlib.sha256(body).hexdigest()}"
        return registry.parse_manifest(body, digest)

    def has(self, digest: str) -> bool:
        """Whether a blob is there, or would be sent from elsewhere."""
        return self._ask(registry.blob_request(self._at, digest), "pull")[0] != 404

    def blob(self, digest: str) -> bytes | None:
        """What is in a blob; None if it is not there. A store elsewhere that has it sees no login."""
        request = registry.blob_request(self._at, digest, "GET")
        status, headers, body = self._ask(request, "pull")
        for _ in range(_REDIRECTIONS):
            if status not in _REDIRECTING or not headers.get("Location"):
                break
            request = registry.Request(method="GET", url=urljoin(request.url, headers["Location"]))
            if not request.url.startswith(("https://", "http://")):
                break
            status, reason, headers, body = self._send(request)
            if status >= 400:
                raise EngineError(f"{self._at.host}: the store of its blobs answered {status} {reason}")
        if status == 404:
            return None
        if status != 200:
            raise EngineError(f"{self._at.host}: its blobs cannot be had: it answered {status}")
        return body

    def delete(self, digest: str) -> None:
        """Removes a manifest, and with it all tags that stand for it; one that is gone already is no error."""
        self._ask(registry.manifest_request(self._at, digest, "DELETE"), "pull,delete")

    def _ask(self, request: registry.Request, actions: str) -> tuple[int, Message, bytes]:
        """Status, headers and body of an answer that is a success, a redirection or 404."""
        for fresh in (False, True):
            headers, secrets = self._authorization(actions)
            shown = replace(request, headers={**request.headers, **headers}, secrets=secrets)
            status, reason, got, body = self._send(shown)
            if status != 401 or fresh:
                break
            asked = registry.challenge(got.get_all("WWW-Authenticate") or ())
            if asked is None or (headers and asked.scheme == "basic"):
                break
            with self._guard:
                if self._authorization(actions)[0] == headers:  # else another thread has got one meanwhile
                    # A token that was there has expired, or is of no use.
                    self._tokens[actions] = self._token(asked, actions) if asked.scheme == "bearer" else None
                    self._challenge = asked
        if status == 404 or status < 400:
            return status, got, body
        raise self._refusal(status, reason, body, secrets, self._challenge if actions == "pull" else None)

    def _refusal(
        self, status: int, reason: str, body: bytes, secrets: tuple[str, ...], asked: Challenge | None
    ) -> EngineError:
        """What is raised after such an answer. `asked` is what the registry wanted for reading, None for all else."""
        login = self._login is not None
        if status in (401, 403, 404) and asked and self._is_welcome(status, asked):
            return Hidden(pushrm.redact(registry.hidden(self._at, body, login=login), secrets), login=login)
        problem = registry.refusal(self._at, status, reason, body, login=login)
        return EngineError(pushrm.redact(problem, secrets))

    def _is_welcome(self, status: int, asked: Challenge) -> bool:
        """Whether the registry accepts the login as such, as `docker login` finds out.

        Without a login, whether there may be repositories for everybody.
        """
        if self._login is None or (asked.scheme == "basic" and status == 401):
            return asked.scheme == "bearer"
        base = registry.base_request(self._at)
        first, _, got, _ = self._send(base)
        wanted = registry.challenge(got.get_all("WWW-Authenticate") or ())
        if first != 401 or wanted is None:
            return False
        token = None
        if wanted.scheme == "bearer":
            answer, _, _, body = self._send(registry.token_request(self._at, wanted, self._login, ""))
            token = registry.parse_token(body) if answer < 400 else None
        headers, secrets = registry.authorization(wanted, self._login, token)
        return bool(headers) and self._send(replace(base, headers=headers, secrets=secrets))[0] < 400

    def _authorization(self, actions: str) -> tuple[Mapping[str, str], tuple[str, ...]]:
        if self._challenge is None:
            return {}, ()
        if self._challenge.scheme == "bearer" and actions not in self._tokens:
            asked = replace(self._challenge, scope="")
            self._tokens[actions] = self._token(asked, actions)
        return registry.authorization(self._challenge, self._login, self._tokens.get(actions))

    def _token(self, asked: Challenge, actions: str) -> str | None:
        request = registry.token_request(self._at, asked, self._login, actions)
        status, reason, _, body = self._send(request)
        if status >= 400:
            raise self._refusal(status, reason, body, request.secrets, asked if actions == "pull" else None)
        return registry.parse_token(body)

    def _send(self, request: registry.Request) -> tuple[int, str, Message, bytes]:
        form = urlencode(request.form).encode() if request.form is not None else None
        url = request.url
        if request.query:
            url += ("&" if "?" in url else "?") + urlencode(request.query)
        headers = {"User-Agent": f"orbiter/{__version__}", **request.headers}
        attempt = 0
        while True:
            attempt += 1
            sent = HTTPRequest(url, form, headers, method=request.method)
            proxy = _send_through(sent)
            try:
                with self._opener.open(sent, timeout=self._timeout) as answer:
                    return answer.status, answer.reason, answer.headers, answer.read()
            except HTTPError as error:
                if proxy and error.code == 407:
                    raise EngineError(proxies.refusal(self._at.host, proxy, 407, error.reason)) from None
                if error.code not in PASSING or attempt > self._retries:
                    return error.code, error.reason, error.headers, _read(error)
                wait = error.headers.get("Retry-After", "")
            except (URLError, HTTPException, OSError) as error:
                problem, passing = _problem(self._at.host, proxy, error, self._timeout)
                if not passing or attempt > self._retries:
                    raise EngineError(pushrm.redact(problem, request.secrets)) from None
                wait = ""
            time.sleep(_pause(wait, attempt))


class _NoRedirect(HTTPRedirectHandler):
    """A redirection would take the login to another host."""

    def redirect_request(
        self, req: HTTPRequest, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def _opener(host: str, ca: Path | None) -> OpenerDirector:
    """What opens addresses, and trusts what the environment names, and Docker for this host."""
    context = ssl.create_default_context()  # SSL_CERT_FILE and SSL_CERT_DIR are OpenSSL's own
    bundle = os.environ.get("REQUESTS_CA_BUNDLE")
    for named in (ca, Path(bundle) if bundle else None):
        try:
            if named is not None and named.is_dir():
                context.load_verify_locations(capath=named)
            elif named is not None:
                context.load_verify_locations(cafile=named)
        except (OSError, ssl.SSLError) as error:
            raise EngineError(f"{named}: cannot be read as certificates: {error}") from error
    for file in _docker_authorities(host):
        with suppress(OSError):  # may be for the engine's eyes only; an ssl.SSLError is one, too
            context.load_verify_locations(cafile=file)
    return build_opener(_NoRedirect, ProxyHandler({}), HTTPSHandler(context=context))


def _docker_authorities(host: str) -> Iterator[Path]:
    """The certificates that Docker, Docker without root, and Docker Desktop trust for a registry.

    https://docs.docker.com/engine/security/certificates/
    """
    for folder in ("/etc/docker", "~/.config/docker", "~/.docker"):
        yield from sorted((Path(folder).expanduser() / "certs.d" / host).glob("*.crt"))


def _send_through(request: HTTPRequest) -> Proxy | None:
    """Has the request sent through the proxy that the environment names for it, or else the settings of macOS."""
    if not getproxies_environment() and proxy_bypass(request.host):
        return None
    proxy = proxies.chosen(request.full_url, getproxies())
    if proxy:
        request.set_proxy(proxy.address, "http")
        if proxy.login:
            pair = b64encode(f"{proxy.login.user}:{proxy.login.secret}".encode()).decode()
            request.add_unredirected_header("Proxy-authorization", f"Basic {pair}")
    return proxy


def _problem(place: str, proxy: Proxy | None, error: Exception, timeout: float) -> tuple[str, bool]:
    """What is wrong where there was no answer, and whether another attempt may help."""
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"{place}: its certificate is not trusted: {cause.verify_message}; {_TRUST}", False
    reason = _reason(error, timeout)
    if proxy is None:
        return f"{place}: {reason}", "certificate" not in reason
    if refused := re.fullmatch(r"Tunnel connection failed: (\d+) ?(.*)", reason):
        status = int(refused[1])
        return proxies.refusal(place, proxy, status, refused[2]), status in PASSING
    return proxies.silence(place, proxy, reason), "certificate" not in reason


def _http(request: Request) -> HTTPRequest:
    headers = {"Content-Type": "application/json", "User-Agent": f"orbiter/{__version__}", **request.headers}
    return HTTPRequest(request.url, json.dumps(request.body).encode(), headers, method=request.method)


def _read(error: HTTPError) -> bytes:
    try:
        return error.read(100_000)
    except (HTTPException, OSError):
        return b""


def _reason(error: Exception, timeout: float) -> str:
    cause: Any = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer within {timeout:g} s"
    return str(getattr(cause, "strerror", None) or cause) or type(cause).__name__


def _pause(asked: str, attempt: int) -> float:
    """Seconds before the next attempt: what `Retry-After` asks for, a number or a date, else 1, 2, 4 …"""
    pause: float = 2 ** (attempt - 1)
    if asked.strip().isdigit():
        pause = float(asked)
    elif asked:
        with suppress(ValueError):
            pause = parsedate_to_datetime(asked).timestamp() - time.time()
    return min(max(pause, 0.0), LONGEST)
