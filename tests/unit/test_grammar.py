"""Grammars of references, paths, addresses and ranges: what passes, and what is said of the rest."""

import pytest

from orbiter import grammar

DIGEST = f"sha256:{'0a' * 32}"


@pytest.mark.parametrize(
    "text",
    [
        "orbiter",
        "dorgeln/orbiter",
        "ghcr.io/dorgeln/orbiter",
        "localhost:5000/x",
        "127.0.0.1:5000/a/b/c",
        "[::1]:5000/x",
        "EXAMPLE.org/x",
        "a__b/c.d/e--f",
        "a" * 255,
    ],
)
def test_repository(text: str) -> None:
    assert grammar.repository(text) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("debian:trixie", "has a tag or digest"),
        (f"debian@{DIGEST}", "has a tag or digest"),
        ("ghcr.io/Dorgeln/orbiter", "capital letters"),
        ("", "is no repository; write"),
        ("a//b", "is no repository; write"),
        ("/a", "is no repository; write"),
        ("a/", "is no repository; write"),
        ("a_-b", "is no repository; write"),
        ("https://ghcr.io/x", "is no repository; write"),
        ("x;rm", "is no repository; write"),
        ("x\n", "is no repository; write"),
        ("${REPO}", "capital letters"),
    ],
)
def test_no_repository(text: str, problem: str) -> None:
    assert problem in str(grammar.repository(text))


def test_a_repository_has_at_most_255_characters() -> None:
    assert grammar.repository("a" * 256) is not None


@pytest.mark.parametrize(
    "text",
    [
        "debian:trixie-slim",
        "debian",
        f"debian@{DIGEST}",
        f"ghcr.io/x/y:1.0@{DIGEST}",
        "localhost:5000/x:Tag_1.0",
        f"x:{'a' * 128}",
    ],
)
def test_reference(text: str) -> None:
    assert grammar.reference(text) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x@sha256:12", "a digest is 'sha256:' and 64 hexadecimal digits"),
        (f"x@{DIGEST.upper()}", "a digest is"),
        ("x:-a", "bad tag '-a'"),
        ("x:", "bad tag ''"),
        (f"x:{'a' * 129}", "bad tag"),
        ("x:a b", "bad tag 'a b'"),
        ("x:$(id)", "bad tag '$(id)'"),
        ("x:a\nRUN id", "bad tag"),
        ("Debian:trixie", "capital letters"),
        ("localhost:5000/X", "capital letters"),
        ("a b:1", "write [host[:port]/]path[:tag][@digest]"),
        ("a//b:1", "write [host[:port]/]path[:tag][@digest]"),
        (f"{'a/' * 256}b", "write [host[:port]/]path[:tag][@digest]"),
    ],
)
def test_no_reference(text: str, problem: str) -> None:
    assert problem in str(grammar.reference(text))


@pytest.mark.parametrize("text", ["a", "./a", "a/b c", "a..b", "..a/b", ".hidden", "...", ".../..."])
def test_project_path(text: str) -> None:
    assert grammar.project_path(text) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/etc/passwd", "is not inside the project"),
        ("~/x", "is not inside the project"),
        ("..", "leads out"),
        (".", "is the whole project"),
        ("././", "is the whole project"),
        ("a/../../b", "leads out"),
        ("a\\..\\b", "write '/'"),
        ("*.py", "for a pattern"),
        ("a?", "for a pattern"),
        ("[ab]", "for a pattern"),
        ("!a", "for a pattern"),
        ("a ", "for a pattern"),
    ],
)
def test_no_project_path(text: str, problem: str) -> None:
    assert problem in str(grammar.project_path(text))


@pytest.mark.parametrize("text", ["/srv", "course", "a/b/", "/", "."])
def test_image_path(text: str) -> None:
    assert grammar.image_path(text) is None


@pytest.mark.parametrize(
    ("text", "problem"), [("~/x", "leave the '~' out"), ("/a/../b", "has '..'"), ("C:\\x", "write '/'")]
)
def test_no_image_path(text: str, problem: str) -> None:
    assert problem in str(grammar.image_path(text))


@pytest.mark.parametrize(
    "text", ["https://pypi.example.org/simple", "http://10.0.0.1:8080", "https://h/@scope", "https://h/a?b=c%20&d#e"]
)
def test_address(text: str) -> None:
    assert grammar.address(text) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("pypi.example.org", "is no address"),
        ("ftp://h/x", "is no address"),
        ("https://", "is no address"),
        ("https://h/a b", "is no address"),
        ("https://h/$(id)", "is no address"),
        ("https://h/`id`", "is no address"),
        ("https://h/'", "is no address"),
        ("https://h/\nRUN", "is no address"),
        ("https://me:secret@h/x", "user or password"),
        ("https://token@h", "user or password"),
    ],
)
def test_no_address(text: str, problem: str) -> None:
    assert problem in str(grammar.address(text))


def test_a_password_is_not_repeated() -> None:
    assert "secret" not in str(grammar.address("https://me:secret@h/x"))


@pytest.mark.parametrize("text", ["3", "3.13", "3.12.11", "3.6"])
def test_python_version(text: str) -> None:
    assert grammar.python_version(text) is None


@pytest.mark.parametrize("text", ["2", "2.7.18", "3.5", "4.0", "313"])
def test_no_python_version(text: str) -> None:
    assert f"there is no Python {text} for uv" in str(grammar.python_version(text))


@pytest.mark.parametrize(
    ("text", "version"),
    [(">=3.13,<3.14", "3.13"), (">=3.13.2", "3.13"), (">=3.12", None), ("==3.13.*", "3.13.1"), ("", "3.13")],
)
def test_python_range(text: str, version: str | None) -> None:
    assert grammar.python_range(text, version) is None


@pytest.mark.parametrize(
    ("text", "version", "problem"),
    [
        ("3.13", "3.13", "is no range"),
        (">=3.13;rm", None, "is no range"),
        ("newest", None, "is no range"),
        (">=3.14", "3.13", "python.version 3.13 is not in '>=3.14'"),
        ("<3.13", "3.13", "python.version 3.13 is not in"),
    ],
)
def test_no_python_range(text: str, version: str | None, problem: str) -> None:
    assert problem in str(grammar.python_range(text, version))
