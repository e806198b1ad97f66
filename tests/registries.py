"""Stand-ins that a test can make fail: a proxy before a real registry, and the web interfaces of three hubs."""

import base64
import http.client
import json
import re
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOP = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer", "upgrade"}

ERRORS = {
    401: ("UNAUTHORIZED", "authentication required"),
    403: ("DENIED", "requested access to the resource is denied"),
    404: ("NAME_UNKNOWN", "repository name not known to registry"),
    429: ("TOOMANYREQUESTS", "too many requests"),
}
"""Of https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes."""


@dataclass(kw_only=True)
class Fault:
    """An answer instead of the real one: a status, or `drop` or `hang`, for the next `times` requests that match.

    `one`: only for the path that is the first to match.
    """

    kind: int | str
    times: int = 1_000_000
    method: str = ".*"
    path: str = ".*"
    one: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    def matches(self, method: str, path: str) -> bool:
        return self.times > 0 and bool(re.fullmatch(self.method, method) and re.search(self.path, path))


@dataclass(kw_only=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int | str = 0

    def json(self) -> Any:
        return json.loads(self.body)


class Server(ThreadingHTTPServer):
    """Notes the requests, and answers some of them with a fault."""

    daemon_threads = True

    def __init__(self, handler: type["Handler"], host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        super().__init__((host, 0), handler)
        if tls:  # the handshake belongs into the thread of its connection
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.address = f"{host}:{self.server_port}"
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.lock = threading.Lock()

    def fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            found = next((fault for fault in self.faults if fault.matches(method, path)), None)
            if found:
                found.times -= 1
                found.path = re.escape(path) if found.one else found.path
            return found

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to talk about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # dockerd tries TLS first, and takes to HTTP only if the answer to that begins with HTTP/, as that of 0.9 does not.
    default_request_version = "HTTP/1.0"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Not on the stderr of the tests."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.handle_any
        raise AttributeError(name)

    def handle_any(self) -> None:
        fault = self.server.fault(self.command, self.path)
        request = Request(
            method=self.command,
            path=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=b"" if fault and fault.kind == "drop" else b"".join(self.pieces()),
        )
        with self.server.lock:
            self.server.requests.append(request)
        if fault is None:
            request.status = self.answer(request)
            return
        request.status = fault.kind
        if fault.kind == "hang":
            time.sleep(5)
        if isinstance(fault.kind, str):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        code, message = ERRORS.get(fault.kind, ("UNKNOWN", "unknown error"))
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self.reply(fault.kind, {"Content-Type": "application/json", **fault.headers}, body)

    def answer(self, request: Request) -> int:
        raise NotImplementedError

    def pieces(self) -> Iterator[bytes]:
        """The body of the request."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        elif length := int(self.headers.get("Content-Length") or 0):
            yield self.rfile.read(length)

    def reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Forward(Handler):
    """Asks the real registry. The name of the host is passed on, so that its `Location` leads back here."""

    upstream = ""

    def answer(self, request: Request) -> int:
        upstream = http.client.HTTPConnection(self.upstream, timeout=120)
        try:
            kept = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            if request.body:
                kept["Content-Length"] = str(len(request.body))
            upstream.request(self.command, self.path, request.body or None, kept)
            answer = upstream.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in HOP}
            self.reply(answer.status, headers, answer.read())
            return answer.status
        finally:
            upstream.close()


@contextmanager
def serving(handler: type[Handler], host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(handler, host, tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def before(registry: str) -> Iterator[Server]:
    """A proxy before a real registry, which Docker takes for the registry itself."""
    with serving(type("Before", (Forward,), {"upstream": registry})) as server:
        yield server


USER, PASSWORD, KEY, TOKEN = "somebody", "s3cret/of=nobody+else", "k3y-of-quay", "t0ken.of.the.hub"


class Hubs(Handler):
    """What Docker Hub, Quay and Harbor answer to those who change the README of the repository `course/lab`."""

    def answer(self, request: Request) -> int:
        status, answer = self.decide(request)
        body = b"" if answer is None else json.dumps(answer).encode()
        self.reply(status, {"Content-Type": "application/json"}, body)
        return status

    def decide(self, request: Request) -> tuple[int, Any]:
        if request.headers.get("content-type") != "application/json":
            return 415, None
        asked, may = f"{request.method} {request.path}", request.headers.get("authorization")
        match asked.split("/course", 1)[0]:
            case "POST /v2/auth/token":
                if request.json() != {"identifier": USER, "secret": PASSWORD}:
                    return 401, {"detail": "Incorrect authentication credentials"}
                return 200, {"access_token": TOKEN}
            case "PATCH /v2/repositories":
                if may != f"Bearer {TOKEN}":
                    return 401, {"detail": f"bad token {may}"}
                if request.path != "/v2/repositories/course/lab/":
                    return 404, {"message": "object not found", "errinfo": {}}
                if len(request.json()["full_description"].encode()) > 25_000:
                    return 400, {"message": "full_description: Exceeded max number of characters"}
                return 200, {"user": "course", "name": "lab", **request.json()}
            case "PUT /api/v1/repository":
                if may != f"Bearer {KEY}":
                    return 401, {"error_message": f"Invalid bearer token format: {may}", "error_type": "invalid_token"}
                if request.path != "/api/v1/repository/course/lab":
                    return 404, {"detail": "Not Found", "error_message": "Not Found", "status": 404}
                return 200, {"success": True}
            case "PUT /api/v2.0/projects":
                pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
                if may != f"Basic {pair}":
                    return 401, {"errors": [{"code": "UNAUTHORIZED", "message": f"unauthorized: {may}"}]}
                if request.path != "/api/v2.0/projects/course/repositories/lab":
                    return 404, {"errors": [{"code": "NOT_FOUND", "message": "repository course/other not found"}]}
                return 200, None
        return 404, {"detail": f"no such address: {asked}"}


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a registry speaks of a repository that is not there, or not for this login.

    `base` is the scope that it wants to see of a login at `/v2/`. What is refused: a wrong login, a repository at the
    token server, a repository itself; each status, code and message, None where nothing is refused there.
    """

    basic: bool = False
    base: str = ""
    wrong: tuple[int, str, str] = (401, "UNAUTHORIZED", "authentication required")
    token: tuple[int, str, str] | None = None
    hidden: tuple[int, str, str] | None = None
    again: str = ""
    """The challenge that comes with `hidden`, if it is another one than before."""


FORMS = {
    # https://github.com/distribution/distribution/issues/1291, /4354
    "hub": Form(hidden=(401, "UNAUTHORIZED", "authentication required")),
    # https://github.com/coollabsio/coolify/issues/5575, https://github.com/mcuadros/ofelia/pull/202
    "ghcr": Form(
        base="repository:user/image:pull",
        wrong=(403, "DENIED", "denied"),
        token=(403, "DENIED", "requested access to the resource is denied"),
    ),
    # https://github.com/canonical/microk8s/issues/4754
    "gitlab": Form(wrong=(403, "", ""), token=(403, "DENIED", "access forbidden")),
    # https://github.com/quay/quay/pull/1054, https://github.com/helm/helm/issues/31567
    "quay": Form(hidden=(401, "UNAUTHORIZED", "access to the requested resource is not authorized")),
    # https://github.com/goharbor/harbor/blob/main/src/server/middleware/v2auth/auth.go
    "harbor": Form(
        hidden=(401, "UNAUTHORIZED", "unauthorized to access repository: course/lab, action: pull"),
        again='Basic realm="harbor"',
    ),
    # https://github.com/bottlerocket-os/bottlerocket-update-operator/issues/157
    "ecr": Form(
        basic=True,
        wrong=(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again."),
        hidden=(403, "DENIED", "User: somebody is not authorized to perform: ecr:BatchGetImage"),
    ),
    "plain": Form(hidden=(404, "NAME_UNKNOWN", "repository name not known to registry")),
}


class Tokens(Handler):
    """A registry with logins, in one of these forms, that has `course/there` and nothing else."""

    form: Form

    def answer(self, request: Request) -> int:
        status, headers, data = self.decide(request)
        self.reply(status, headers, json.dumps(data).encode())
        return status

    def decide(self, request: Request) -> tuple[int, dict[str, str], object]:
        path, _, query = request.path.partition("?")
        shown = request.headers.get("authorization", "")
        login = {"": None, f"Basic {PAIR}": True}.get(shown, False)
        if path == "/token":
            scope = urllib.parse.parse_qs(query).get("scope", [""])[0]
            if login is False:
                return refused(*self.form.wrong)
            if self.form.token and not scope.startswith("repository:course/there:") and scope != self.form.base:
                return refused(*self.form.token)
            return 200, {}, {"token": f"{'owner' if login else 'anybody'} {scope}"}
        if self.form.basic:
            challenge = 'Basic realm="registry"'
            known = bool(login)
            if login is False:
                return refused(*self.form.wrong)
        else:
            scope = self.form.base if path == "/v2/" else f"repository:{path[4:].split('/manifests/')[0]}:pull"
            wants = f',scope="{scope}"' if scope else ""
            challenge = f'Bearer realm="http://{self.server.address}/token",service="here"{wants}'
            known = shown.startswith("Bearer owner" if path == "/v2/" else "Bearer ")
        if not known:
            return refused(401, "UNAUTHORIZED", "authentication required", challenge)
        if path == "/v2/":
            return 200, {}, {}
        if path.startswith("/v2/course/there/"):
            return refused(404, "MANIFEST_UNKNOWN", "manifest unknown")
        status, *told = self.form.hidden or (404, "NAME_UNKNOWN", "not known")
        return refused(status, *told, (self.form.again or challenge) if status == 401 else "")


PAIR = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def refused(status: int, code: str, message: str, challenge: str = "") -> tuple[int, dict[str, str], object]:
    headers = {"WWW-Authenticate": challenge} if challenge else {}
    return status, headers, {"errors": [{"code": code, "message": message}]} if code else {}
