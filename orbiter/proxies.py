"""Address → the proxy that it is asked through, as the environment and Docker have it, and what is wrong with one.

HTTP_PROXY, HTTPS_PROXY and NO_PROXY are read as Docker does: https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from orbiter.credentials import Login
from orbiter.errors import EngineError

_URL = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?(?:(?P<login>.*)@)?(?P<host>\[[^\]@/]+\]|[^:@/]+)(?::(?P<port>\d+))?/?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """`address` is its host and port, `variable` the one that names it; a password is in the login and nowhere else."""

    address: str
    variable: str
    login: Login | None


def chosen(url: str, named: Mapping[str, str]) -> Proxy | None:
    """The proxy for an address, None where it is asked directly.

    `named` has the proxies by scheme (`http`, `https`), and under `no` what goes without one. Raises EngineError for
    one that cannot be spoken to.
    """
    found = re.match(r"(https?)://(\[[^\]]+\]|[^:/?#]+)(?::(\d+))?", url)
    if not found or not named.get(found[1]):
        return None
    host, port = found[2].strip("[]").lower(), found[3] or {"http": "80", "https": "443"}[found[1]]
    if _is_here(host) or any(_covers(entry.strip().lower(), host, port) for entry in named.get("no", "").split(",")):
        return None
    return _parsed(named[found[1]], f"{found[1].upper()}_PROXY")


def _parsed(text: str, variable: str) -> Proxy:
    found = _URL.fullmatch(text)
    if not found:  # what is there may be a password
        raise EngineError(
            f"{variable} is no address of a proxy; write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT"
        )
    scheme = found["scheme"] or "http"
    if scheme != "http":
        raise EngineError(
            f"{variable} names a proxy of {scheme}://, which Orbiter does not speak; it knows http:// only"
        )
    user, colon, secret = (found["login"] or "").partition(":")
    return Proxy(
        address=f"{found['host']}:{found['port'] or 80}",
        variable=variable,
        login=Login(user=_decoded(user), secret=_decoded(secret)) if user or colon else None,
    )


def _decoded(text: str) -> str:
    """Without the `%40` of an address."""
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda each: bytes.fromhex(each[1].decode()), text.encode()).decode(
        errors="replace"
    )


def _is_here(host: str) -> bool:
    """Whether it is this machine, which a proxy cannot reach."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _covers(entry: str, host: str, port: str) -> bool:
    """Whether an entry of NO_PROXY means a host: `*`, a network, an address or a domain, the last two with a port."""
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return ip_address(host) in ip_network(entry, strict=False)
        except ValueError:
            return False
    found = re.fullmatch(r"\[?([^\[\]]+?)\]?(?::(\d+))?", entry)
    if entry.count(":") > 1 and not entry.startswith("["):  # IPv6 without a port
        return entry == host
    if not found or found[2] not in (None, port):
        return False
    name = found[1].removeprefix("*")
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def refusal(host: str, proxy: Proxy, status: int, reason: str) -> str:
    """What is wrong and the way out, if the proxy itself answers."""
    told = f"{host}: the proxy {proxy.address}"
    if status in (401, 407):  # tinyproxy 1.11 answers 401 to a wrong login
        if proxy.login:
            return f"{told} does not accept the login of {proxy.variable}; in there, '@', ':', '/' are %40, %3A, %2F"
        return f"{told} wants a login; write {proxy.variable}=http://USER:PASSWORD@{proxy.address}"
    if status >= 500:
        return f"{told} cannot reach it: {status} {reason}; name it in NO_PROXY if it is asked without a proxy"
    return f"{told} does not let it through: {status} {reason}; name it in NO_PROXY if it is asked without a proxy"


def silence(host: str, proxy: Proxy, reason: str) -> str:
    """The same, if there is no answer."""
    return (
        f"{host}: through the proxy {proxy.address}: {reason}; {proxy.variable} names the proxy, "
        "and NO_PROXY the hosts that are asked without it"
    )
