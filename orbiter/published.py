"""Asks a registry for the labels of many images at once, over its own interface: a process each would take minutes.

The interface: https://github.com/opencontainers/distribution-spec/blob/main/spec.md. An image is two or three answers:
an index or a manifest, the manifest, and the configuration with the labels. Nothing is written.
"""

import base64
import hashlib
import json
import re
import ssl
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from orbiter import __version__
from orbiter.changes import Made
from orbiter.credentials import Login
from orbiter.errors import EngineError
from orbiter.images import TARGET
from orbiter.plan import host_and_path

AT_ONCE = 16
TIMEOUT = 20.0
"""Seconds for one answer."""

_KINDS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_PASSING = {408, 429, 500, 502, 503, 504}
_ATTEMPTS = 3
_LONGEST = 10.0
_PAGES = 50


class Registry:
    """The registry of a repository (`ghcr.io/a/b`). `ca` is a file with certificates to trust beside those of the
    system. All methods may be called by several threads, and raise EngineError."""

    def __init__(self, repo: str, login: Login | None, ca: Path | None = None) -> None:
        self.host, self._path = host_and_path(repo)
        self._repo = repo
        # https://docs.docker.com/docker-hub/: the registry of Docker Hub has another name than its images.
        self._server = "registry-1.docker.io" if self.host == "docker.io" else self.host
        self._login = login
        self._context = _context(ca)
        # Docker, too, takes a registry on this machine without TLS.
        self._schemes = ["https", "http"] if _is_here(self._server) else ["https"]
        self._authorization: str | None = None
        self._lock = threading.Lock()
        self._own = threading.local()

    def reference(self, tag: str) -> str:
        """The full reference of a tag."""
        return f"{self._repo}:{tag}"

    def made(self, tag: str) -> Made | None:
        """The image under a tag, None if there is none."""
        found = self._manifest(tag)
        if found is None:
            return None
        digest, manifest = found
        platforms: tuple[str, ...] = ()
        if "manifests" in manifest:
            images = [each for each in manifest["manifests"] if each.get("platform", {}).get("os") != "unknown"]
            platforms = tuple(_platform(each["platform"]) for each in images if "platform" in each)
            first = self._manifest(images[0]["digest"]) if images else None
            if first is None:
                return None
            manifest = first[1]
        status, _, body = self._get(f"/v2/{self._path}/blobs/{manifest['config']['digest']}")
        if status == 404:
            return None
        configuration = _json(body, self._repo)
        return Made(
            reference=self.reference(tag),
            digest=digest,
            labels=_own_labels(configuration),
            platforms=platforms or (_platform(configuration),),
        )

    def all_made(self, tags: Iterable[str]) -> Mapping[str, Made]:
        """The images under those tags that there are, many at once."""
        wanted = list(dict.fromkeys(tags))
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            found = list(pool.map(self.made, wanted))
        return {tag: made for tag, made in zip(wanted, found, strict=True) if made}

    def tags(self) -> Sequence[str]:
        """The tags of the repository, nothing if there is no such repository or it may not be listed."""
        found: list[str] = []
        address: str | None = f"/v2/{self._path}/tags/list?n=1000"
        for _ in range(_PAGES):
            if address is None:
                break
            status, headers, body = self._get(address, fatal=False)
            if status != 200:
                break
            found += _json(body, self._repo).get("tags") or ()
            more = re.search(r'<([^>]+)>; *rel="?next', headers.get("link", ""))
            address = urljoin(address, more[1]) if more else None
        return found

    def _manifest(self, reference: str) -> tuple[str, Any] | None:
        status, headers, body = self._get(f"/v2/{self._path}/manifests/{reference}")
        if status == 404:
            return None
        digest = headers.get("docker-content-digest") or f"sha256:{hashlib.sha256(body).hexdigest()}"
        return digest, _json(body, self._repo)

    def _get(self, address: str, *, fatal: bool = True) -> tuple[int, Mapping[str, str], bytes]:
        """Status (200 or 404), headers and body. Any other status raises EngineError if it is `fatal`."""
        for attempt in range(1, _ATTEMPTS + 1):
            last = attempt == _ATTEMPTS
            try:
                status, headers, body = self._ask(address)
            except (OSError, HTTPException) as error:
                self._forget()
                if last or isinstance(error, ssl.SSLCertVerificationError):
                    raise EngineError(f"the registry {self.host} does not answer: {_words(error)}") from error
                continue
            if status in (200, 404) or not (status in _PASSING and not last):
                break
            pause = headers.get("retry-after", "")
            time.sleep(min(float(pause) if pause.isdigit() else attempt, _LONGEST))
        if fatal and status in (401, 403):
            login = "" if self.host == "docker.io" else f" {self.host}"
            raise EngineError(f"{self.host} does not show {self._repo}: log in with 'docker login{login}' ({status})")
        if fatal and status not in (200, 404):
            raise EngineError(f"the registry {self.host} answers with {status}")
        return status, headers, body

    def _ask(self, address: str) -> tuple[int, Mapping[str, str], bytes]:
        before = self._authorization
        status, headers, body = self._send(address, before)
        if status == 401:
            with self._lock:
                if self._authorization == before:  # nobody else has got another one meanwhile
                    self._authorization = self._authorize(headers.get("www-authenticate", ""))
            status, headers, body = self._send(address, self._authorization)
        if status in (301, 302, 303, 307, 308) and "location" in headers:
            # To a store of blobs, as a rule: the login is not for that one.
            base = f"{self._schemes[0]}://{self._server}{address}"
            return self._elsewhere(urljoin(base, headers["location"]), {})
        return status, headers, body

    def _send(self, address: str, authorization: str | None) -> tuple[int, Mapping[str, str], bytes]:
        connection = self._connection()
        headers = {"Accept": _KINDS, "User-Agent": f"orbiter/{__version__}"}
        if authorization:
            headers["Authorization"] = authorization
        return _exchange(connection, address, headers)

    def _connection(self) -> HTTPConnection:
        """The connection of this thread, which stays open."""
        found: HTTPConnection | None = getattr(self._own, "connection", None)
        if found is None:
            with self._lock:
                if len(self._schemes) > 1:
                    self._schemes = [self._scheme()]
            found = self._own.connection = self._open(self._schemes[0], self._server)
        return found

    def _scheme(self) -> str:
        connection = self._open("https", self._server)
        try:
            connection.connect()
        except OSError:
            return "http"
        finally:
            connection.close()
        return "https"

    def _open(self, scheme: str, host: str) -> HTTPConnection:
        proxy = getproxies().get(scheme) if not (_is_here(host) or proxy_bypass(host)) else None
        through = urlsplit(proxy if "//" in proxy else f"http://{proxy}") if proxy else None
        if scheme == "http":
            return HTTPConnection(host, timeout=TIMEOUT)
        if not through or not through.hostname:
            return HTTPSConnection(host, timeout=TIMEOUT, context=self._context)
        connection = HTTPSConnection(through.hostname, through.port or 80, timeout=TIMEOUT, context=self._context)
        headers = {"Proxy-Authorization": _basic(through.username, through.password or "")} if through.username else {}
        connection.set_tunnel(host, headers=headers)
        return connection

    def _forget(self) -> None:
        connection: HTTPConnection | None = getattr(self._own, "connection", None)
        if connection:
            connection.close()
            self._own.connection = None

    def _elsewhere(self, url: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        for _ in range(4):
            place = urlsplit(url)
            connection = self._open(place.scheme, place.netloc.rpartition("@")[2])
            try:
                path = f"{place.path or '/'}?{place.query}" if place.query else place.path or "/"
                status, found, body = _exchange(connection, path, headers)
            finally:
                connection.close()
            if status not in (301, 302, 303, 307, 308) or "location" not in found:
                break
            url, headers = urljoin(url, found["location"]), {}
        return status, found, body

    def _authorize(self, challenge: str) -> str | None:
        """What the registry wants to see: https://distribution.github.io/distribution/spec/auth/token/."""
        scheme, _, rest = challenge.partition(" ")
        basic = _basic(self._login.user, self._login.secret) if self._login else None
        if scheme.lower() == "basic":
            return basic
        fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if scheme.lower() != "bearer" or "realm" not in fields:
            return None
        asked = {"scope": f"repository:{self._path}:pull"}
        if "service" in fields:
            asked["service"] = fields["service"]
        realm = urlsplit(fields["realm"])
        if realm.scheme != "https" and not _is_here(realm.netloc):
            raise EngineError(f"{self.host} wants the login sent to {realm.netloc} without encryption")
        status, _, body = self._elsewhere(
            f"{fields['realm']}{'&' if realm.query else '?'}{urlencode(asked)}",
            {"Authorization": basic} if basic else {},
        )
        token = _json(body, self._repo) if status == 200 else {}
        value = token.get("token") or token.get("access_token")
        return f"Bearer {value}" if value else None


def _own_labels(configuration: Mapping[str, Any]) -> Mapping[str, str]:
    """The labels of an image that Orbiter's Dockerfile made; none of one that somebody built on it (see removal.py)."""
    labels: Mapping[str, str] = (configuration.get("config") or {}).get("Labels") or {}
    steps = [step.get("created_by", "") for step in configuration.get("history") or ()]
    return labels if steps and steps[-1] == f"LABEL {TARGET}={labels.get(TARGET)}" else {}


def _exchange(
    connection: HTTPConnection, path: str, headers: Mapping[str, str]
) -> tuple[int, Mapping[str, str], bytes]:
    connection.request("GET", path, headers=dict(headers))
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def _context(ca: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca is not None:
        try:
            context.load_verify_locations(cafile=ca)
        except (OSError, ssl.SSLError) as error:
            raise EngineError(f"{ca}: cannot be read as certificates: {error}") from error
    return context


def _is_here(host: str) -> bool:
    name = re.sub(r":\d+$", "", host)
    return name in ("localhost", "[::1]") or name.startswith("127.")


def _basic(user: str, secret: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"


def _platform(data: Mapping[str, Any]) -> str:
    """`linux/amd64`, `linux/arm/v7`. What arm64 has as variant is its only one."""
    parts = [data.get("os", ""), data.get("architecture", "")]
    variant = data.get("variant", "")
    if variant and not (parts[1] == "arm64" and variant == "v8"):
        parts.append(variant)
    return "/".join(parts)


def _json(body: bytes, repo: str) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise EngineError(f"the registry of {repo} answers with something that is no JSON") from error


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:.0f} s"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
