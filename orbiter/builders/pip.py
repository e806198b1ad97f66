"""The pip family: the distribution's Python, and packages from PyPI and npm in a virtual environment by uv."""

from orbiter.builders.environment import Builder, Environment

VENV = Environment(
    family="pip",
    prefix="/opt/venv",
    env=(("VIRTUAL_ENV", "/opt/venv"),),
    tool=("UV_IMAGE", "ghcr.io/astral-sh/uv:0.13.9"),
)

_CORE = ("bash", "ca-certificates", "python3", "tini")

BUILDERS = (
    Builder(name="pip_core", role="core", environment=VENV, system={"alpine": _CORE, "debian": _CORE}),
    Builder(name="pip_builder", role="builder", environment=VENV, node=("npm",)),
    Builder(name="pip_deploy", role="deploy", environment=VENV, node=("nodejs",)),
)
