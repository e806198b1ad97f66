"""A certificate authority that nobody knows, and what it says of a server."""

import subprocess
from pathlib import Path


def make(folder: Path, host: str) -> None:
    """An authority, `ca.crt`, and what it says of the server: `server.crt`, `server.key`."""

    def openssl(*arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    said = (f"subjectAltName=DNS:{host}", "extendedKeyUsage=serverAuth", "authorityKeyIdentifier=keyid")
    (folder / "server.ext").write_text("\n".join(said))
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    authority = ("-x509", "-days", "2", "-subj", "/CN=A Company", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl(*new, "-keyout", "ca.key", "-out", "ca.crt", *authority)
    openssl(*new, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=Its Server")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "server.ext")
    openssl("x509", "-req", "-in", "server.csr", *signed, "-out", "server.crt")
