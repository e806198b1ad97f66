"""Finds Orbiter's own schema and templates, in an installed wheel or in a checkout, and those of a project."""

from pathlib import Path

from orbiter.errors import UsageError

_PACKAGE = Path(__file__).parent
_ROOT = _PACKAGE / "_data" if (_PACKAGE / "_data").is_dir() else _PACKAGE.parent


def schema() -> str:
    """The text of the JSON schema of the configuration."""
    return (_ROOT / "schemas" / "orbiter.schema.json").read_text(encoding="utf-8")


def templates() -> dict[str, str]:
    """Orbiter's templates: path below `templates/` → text. The one of the bake file lies beside them."""
    bake = _ROOT / "docker-bake.hcl.j2"
    return {**_read(_ROOT / "templates", "*.j2"), bake.name: bake.read_text(encoding="utf-8")}


def project_templates(folder: Path) -> dict[str, str]:
    """The templates of a project, which come before Orbiter's; none if it has no `templates/`."""
    return _read(folder / "templates", "*.j2")


def project_builders(folder: Path) -> dict[str, str]:
    """A project's own builders: name → text of their `schema.json`, `{}` for one that has no options."""
    found = _read(folder / "templates", "schema.json")
    dockerfiles = _read(folder / "templates", "Dockerfile.j2")
    names = [path.partition("/")[0] for path in dockerfiles if path.count("/") == 1]
    return {name: found.get(f"{name}/schema.json", "{}") for name in names}


def _read(folder: Path, pattern: str) -> dict[str, str]:
    try:
        paths = sorted(path for path in folder.rglob(pattern) if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{folder}: cannot read the templates: {error}") from error
