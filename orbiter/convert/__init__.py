"""A Binder repository → the configuration of one image, and what could not be carried over, line by line."""

from orbiter.convert.carried import Remark
from orbiter.convert.conversion import FILES, ROOT_FILES, Repository, convert
from orbiter.convert.requirements import references

__all__ = ["FILES", "ROOT_FILES", "Remark", "Repository", "convert", "references"]
