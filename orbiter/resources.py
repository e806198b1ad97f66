"""Finds Orbiter's own schema and templates, in an installed wheel or in a checkout, and those of a project."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from orbiter.errors import UsageError

if TYPE_CHECKING:
    from jinja2 import BytecodeCache
    from jinja2.bccache import Bucket

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


def compiled_templates() -> "BytecodeCache | None":
    """Jinja's memory of compiled templates, in the cache folder of the user; none where that cannot be written.

    An entry is good for its text, its Jinja and its Python only, as bytecode in `__pycache__` is.
    """
    from jinja2 import FileSystemBytecodeCache

    class Compiled(FileSystemBytecodeCache):
        def dump_bytecode(self, bucket: "Bucket") -> None:
            with suppress(OSError):  # a full disk is no reason to stop
                super().dump_bytecode(bucket)

    try:
        folder = cache("templates")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return Compiled(str(folder))


def cache(name: str) -> Path:
    """Orbiter's folder of that name in the cache of the user; it need not exist. Raises RuntimeError without a home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orbiter" / name


def _read(folder: Path, pattern: str) -> dict[str, str]:
    try:
        paths = sorted(path for path in folder.rglob(pattern) if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{folder}: cannot read the templates: {error}") from error
