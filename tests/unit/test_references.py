"""Which registry a reference names, by the rule of distribution/reference."""

import pytest

from orbiter.references import full_name, host, host_and_path


@pytest.mark.parametrize(
    ("reference", "named", "path"),
    [
        ("debian:trixie-slim", None, "library/debian:trixie-slim"),
        ("jupyter/base:1", None, "jupyter/base:1"),
        ("ghcr.io/a/b", "ghcr.io", "a/b"),
        ("localhost/a", "localhost", "a"),
        ("registry:5000/a", "registry:5000", "a"),
        ("debian:5000", None, "library/debian:5000"),
    ],
)
def test_what_is_before_the_first_slash_may_be_a_registry(reference: str, named: str | None, path: str) -> None:
    assert host(reference) == named
    assert host_and_path(reference) == (named or "docker.io", path)


def test_the_old_name_of_docker_hub_is_docker_hub() -> None:
    assert host_and_path("index.docker.io/debian") == ("docker.io", "library/debian")


def test_the_full_name_has_no_digest() -> None:
    assert full_name(f"debian:sid@sha256:{'0' * 64}") == "docker.io/library/debian:sid"
