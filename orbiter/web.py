"""Asks a hub to show a README. Beside the engine, the only module that uses the network."""

import json
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, ProxyHandler, build_opener
from urllib.request import Request as HTTPRequest

from orbiter import __version__, pushrm
from orbiter.credentials import Login
from orbiter.errors import EngineError
from orbiter.pushrm import Repository, Request

PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers that another attempt may turn into a success; what is asked may be asked twice."""

LONGEST = 60
"""Seconds that are waited before an attempt, at most, whatever a server asks for."""


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
        self._opener = _opener(repository, ca)

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
            status, wait = None, ""
            try:
                with self._opener.open(_http(request), timeout=self._timeout) as answer:
                    return bytes(answer.read())
            except HTTPError as error:
                status, wait = error.code, error.headers.get("Retry-After", "")
                problem = pushrm.refusal(self._repository, error.code, error.reason, _read(error))
            except (URLError, HTTPException, OSError) as error:
                problem = f"{self._repository.address}: {_reason(error, self._timeout)}"
            problem = pushrm.redact(problem, request.secrets)
            passing = status in PASSING if status else "certificate" not in problem
            if not passing or attempt > self._retries:
                raise EngineError(problem + (f" ({attempt} attempts)" if attempt > 1 else "")) from None
            pause = _pause(wait, attempt)
            self._say(f"{problem}; again in {pause:.0f} s ({attempt} of {self._retries})")
            time.sleep(pause)


class _NoRedirect(HTTPRedirectHandler):
    """A redirection would take the login to another host."""

    def redirect_request(
        self, req: HTTPRequest, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def _opener(repository: Repository, ca: Path | None) -> OpenerDirector:
    context = ssl.create_default_context()
    if ca is not None:
        try:
            context.load_verify_locations(cafile=ca)
        except (OSError, ssl.SSLError) as error:
            raise EngineError(f"{ca}: cannot be read as certificates: {error}") from error
    # A proxy of the environment cannot reach this machine.
    proxies = ProxyHandler({} if pushrm.is_loopback(repository.host) else None)
    return build_opener(_NoRedirect, proxies, HTTPSHandler(context=context))


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
