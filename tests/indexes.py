"""A Python index on this machine, with packages that a test makes up."""

import base64
import hashlib
import html
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.registries import Handler, Request, Server, serving


@dataclass(kw_only=True)
class File:
    """A file of the index. `served` is what is sent instead of `data`; `hashed`: the index tells its hash."""

    name: str
    data: bytes
    yanked: str | None = None
    hashed: bool = True
    served: bytes | None = None

    @property
    def project(self) -> str:
        return self.name.split("-")[0].replace("_", "-")

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def wheel(name: str, version: str, *requires: str, tag: str = "py3-none-any", text: str = "") -> File:
    """A wheel whose only module has its version."""
    module, info = name.replace("-", "_"), f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{module}.py": f"version = {version!r}\n{text}",
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {each}\n" for each in requires),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path), content)
        record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), record)
    return File(name=f"{module}-{version}-{tag}.whl", data=buffer.getvalue())


def source(name: str, version: str, files: Mapping[str, str]) -> File:
    """The source of a package, whose metadata tell enough for nobody to have to run it."""
    folder = f"{name}-{version}"
    metadata = f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in {"PKG-INFO": metadata, **files}.items():
            entry = tarfile.TarInfo(f"{folder}/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return File(name=f"{folder}.tar.gz", data=buffer.getvalue())


class Index(Handler):
    """The simple repository of https://peps.python.org/pep-0503/, below `/simple/`."""

    def answer(self, request: Request) -> int:
        index = self.server
        assert isinstance(index, IndexServer)
        if index.login and request.headers.get("authorization") != index.expected:
            self.reply(401, {"WWW-Authenticate": 'Basic realm="index"'}, b"")
            return 401
        kind, _, name = request.path.strip("/").partition("/")
        if name.split("/")[0] in index.held:
            index.asked.set()
            index.go.wait()
        for file in index.files:
            if (kind, name) == ("files", file.name):
                data = file.data if file.served is None else file.served
                self.reply(200, {"Content-Type": "application/octet-stream"}, data)
                return 200
        links = [_link(file) for file in index.files if (kind, name) == ("simple", file.project)]
        self.reply(200 if links else 404, {"Content-Type": "text/html"}, "\n".join(links).encode())
        return 200 if links else 404


def _link(file: File) -> str:
    fragment = f"#sha256={file.hash}" if file.hashed else ""
    yanked = f' data-yanked="{html.escape(file.yanked)}"' if file.yanked is not None else ""
    return f'<a href="/files/{file.name}{fragment}"{yanked}>{file.name}</a><br>'


class IndexServer(Server):
    """`held` names packages whose answers wait for `go`; `asked` tells that one was asked for. `login` is
    `user:password`."""

    files: list[File]
    held: frozenset[str] = frozenset()
    login: str | None = None
    asked: threading.Event
    go: threading.Event

    @property
    def url(self) -> str:
        return f"http://{self.address}/simple"

    @property
    def expected(self) -> str:
        return "Basic " + base64.b64encode((self.login or "").encode()).decode()


@contextmanager
def index(*files: File, host: str = "127.0.0.1") -> Iterator[IndexServer]:
    """An index with these files; pip is among them, as every virtual environment asks for it."""
    with serving(Index, host) as server:
        server.__class__ = IndexServer
        assert isinstance(server, IndexServer)
        server.files = [wheel("pip", "26.0"), *files]
        server.asked, server.go = threading.Event(), threading.Event()
        try:
            yield server
        finally:
            server.go.set()
