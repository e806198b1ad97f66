"""References of images and repositories: which registry they name, and what it calls them.

The rule is that of https://github.com/distribution/reference/blob/main/normalize.go: what stands before the first slash
is a registry if it has a dot or a colon, or is `localhost`.
"""

HUB = "docker.io"
"""Docker Hub, which a reference without a registry means."""


def host(reference: str) -> str | None:
    """The registry that a reference names itself: `ghcr.io/a/b` → `ghcr.io`; None for `a/b`."""
    first, slash, _ = reference.partition("/")
    return first if slash and (any(mark in first for mark in ".:") or first == "localhost") else None


def host_and_path(reference: str) -> tuple[str, str]:
    """Registry and path of a reference: `debian:trixie-slim` → `docker.io`, `library/debian:trixie-slim`."""
    named = host(reference)
    path = reference.partition("/")[2] if named else reference
    if named and named != "index.docker.io":
        return named, path
    return HUB, path if "/" in path else f"library/{path}"


def full_name(reference: str) -> str:
    """The reference with its registry, without a digest: `debian:sid` → `docker.io/library/debian:sid`."""
    return "/".join(host_and_path(reference.partition("@")[0]))
