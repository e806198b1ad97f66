"""The micromamba family: packages from conda channels, pip and npm in one conda environment."""

from orbiter.builders.environment import Builder, Environment

CONDA = Environment(
    family="micromamba",
    prefix="/opt/conda",
    env=(("CONDA_PREFIX", "/opt/conda"), ("MAMBA_ROOT_PREFIX", "/opt/conda")),
    tool=("MICROMAMBA_IMAGE", "mambaorg/micromamba:2.9.0"),
)

_CORE = ("bash", "ca-certificates", "tini")

BUILDERS = (
    Builder(name="micromamba_core", role="core", environment=CONDA, system={"alpine": _CORE, "debian": _CORE}),
    Builder(name="micromamba_builder", role="builder", environment=CONDA),
    Builder(name="micromamba_deploy", role="deploy", environment=CONDA),
)
