"""Node packages by npm: what it is told, and what becomes of its answer, a package-lock.json."""

import json
from collections.abc import Collection, Mapping
from typing import Any

PUBLIC = "https://registry.npmjs.org"


def command(*, offline: bool) -> list[str]:
    """npm's arguments, in a folder with package.json and perhaps package-lock.json. Nothing is installed or run."""
    flags = ["--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    return ["install", *flags, *["--offline"] * offline]


def read(text: str, mirror: str | None) -> dict[str, Any]:
    """The packages of a package-lock.json by path, `""` being the root, with the addresses of the public registry."""
    packages = {path: dict(each) for path, each in json.loads(text)["packages"].items()}
    for path, each in packages.items():
        resolved = each.get("resolved", "")
        name = _name(path)
        if resolved and not resolved.startswith(f"{PUBLIC}/"):
            if mirror is None:
                # A registry that npm itself was configured for: npm finds the file by name and version anyway.
                del each["resolved"]
            else:
                each["resolved"] = f"{PUBLIC}/{name}/-/{resolved.rpartition('/')[2]}"
    return packages


def versions(packages: Mapping[str, Any]) -> dict[str, str]:
    """Name → version of the packages that are not inside of others."""
    return {
        path.removeprefix("node_modules/"): each["version"]
        for path, each in packages.items()
        if path.count("node_modules/") == 1
    }


def every(packages: Mapping[str, Any]) -> frozenset[str]:
    """The names of all packages."""
    return frozenset(_name(path) for path in packages if path)


def kept(packages: Mapping[str, Any], upgrade: Collection[str] | None) -> dict[str, Any]:
    """The packages whose versions still count after an upgrade of those names (empty: of all; None: of nothing)."""
    if upgrade is not None and not upgrade:
        return {}
    gone = [path for path in packages if _name(path) in (upgrade or ())]
    return {
        path: each
        for path, each in packages.items()
        if not any(path == other or path.startswith(f"{other}/") for other in gone)
    }


def _name(path: str) -> str:
    return path.rpartition("node_modules/")[2]
