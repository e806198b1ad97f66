"""Which proxy an address is asked through, and what is said of one that does not work."""

import pytest

from orbiter import proxies
from orbiter.credentials import Login
from orbiter.errors import EngineError

PROXY = "http://proxy.example.org:3128"


@pytest.mark.parametrize(
    ("no", "host", "direct"),
    [
        ("", "hub.example.org", False),
        ("*", "hub.example.org", True),
        ("example.org", "hub.example.org", True),
        ("example.org", "example.org", True),
        ("example.org", "badexample.org", False),
        (".example.org", "hub.example.org", True),
        (".example.org", "example.org", False),
        ("*.example.org", "hub.example.org", True),
        ("other.org, HUB.example.org ", "hub.Example.org", True),
        ("hub.example.org:443", "hub.example.org", True),
        ("hub.example.org:5000", "hub.example.org", False),
        ("hub.example.org:5000", "hub.example.org:5000", True),
        ("10.0.0.0/8", "10.1.2.3:5000", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "hub.example.org", False),
        ("10.1.2.3", "10.1.2.3:5000", True),
        ("10.1.2.3:80", "10.1.2.3:5000", False),
        ("fd00::/8", "[fd00::1]:5000", True),
        ("fd00::1", "[fd00::1]:5000", True),
        ("[fd00::1]:5000", "[fd00::1]:5000", True),
        ("10.0.0.0/99,/", "10.1.2.3", False),
        ("", "localhost:5000", True),
        ("", "127.0.0.2", True),
        ("", "[::1]:5000", True),
    ],
)
def test_what_goes_without_a_proxy_is_as_docker_has_it(no: str, host: str, direct: bool) -> None:
    assert (proxies.chosen(f"https://{host}/v2/", {"https": PROXY, "no": no}) is None) == direct


def test_each_scheme_has_its_proxy() -> None:
    named = {"https": "http://a:1", "http": "b"}
    https, http = (proxies.chosen(f"{scheme}://hub.example.org/v2/", named) for scheme in ("https", "http"))
    assert https is not None
    assert (https.address, https.variable, https.login) == ("a:1", "HTTPS_PROXY", None)
    assert http is not None
    assert (http.address, http.variable) == ("b:80", "HTTP_PROXY")
    assert proxies.chosen("https://hub.example.org", {"http": "b"}) is None


def test_a_login_is_decoded_and_never_shown() -> None:
    found = proxies.chosen("https://hub.example.org", {"https": "http://u%40x:p%3Aw%2F@[fd00::2]:3128/"})
    assert found is not None
    assert (found.address, found.login) == ("[fd00::2]:3128", Login(user="u@x", secret="p:w/"))
    assert "p:w/" not in repr(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("socks5://u:s3cret@proxy:1", "HTTPS_PROXY names a proxy of socks5://"),
        ("https://u:s3cret@proxy:1", "HTTPS_PROXY names a proxy of https://"),
        ("http://u:s3cret/x@proxy:y", "HTTPS_PROXY is no address of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_spoken_to_is_told_without_its_password(text: str, said: str) -> None:
    with pytest.raises(EngineError) as refused:
        proxies.chosen("https://hub.example.org", {"https": text})
    assert str(refused.value).startswith(said)
    assert "s3cret" not in str(refused.value)
