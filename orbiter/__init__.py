"""Orbiter compiles one YAML description of a family of Jupyter images into Dockerfiles and a bake file."""

__version__ = "0.2.0.dev0"
