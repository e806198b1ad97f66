"""The names that a shell offers on the command line: targets, families and images, also where there are errors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What can be named, in the order of the configuration. `published` holds target, family and image."""

    published: tuple[tuple[str, str, str], ...] = ()
    nested: tuple[str, ...] = ()

    @property
    def families(self) -> tuple[str, ...]:
        """The names of the families that have images."""
        return tuple(dict.fromkeys(family for _, family, _ in self.published))

    def images(self, family: str | None) -> tuple[str, ...]:
        """The images of a family, or of all."""
        return tuple(dict.fromkeys(image for _, of, image in self.published if family in (None, of)))


def names(data: Any) -> Names:
    """The names in a document, as far as it has the shape of a configuration: nothing else about it need be right."""
    published, nested = [], []
    for family, images in _items(data.get("build") if isinstance(data, dict) else None):
        for image, values in _items(images):
            target = f"{family}-{image}"
            published.append((target, family, image))
            while isinstance(values, dict) and isinstance(values.get("build"), dict):
                target, values = f"{target}-build", values["build"]
                nested.append(target)
    return Names(published=tuple(published), nested=tuple(nested))


def _items(data: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(data, dict):
        yield from ((key, value) for key, value in data.items() if isinstance(key, str))


def offered(names: Names, word: str, given: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Targets, and families as groups, that the word begins or, as a glob, matches; not those given already.

    Nested builds are offered only to who has begun to write one that no image has the name of.
    """
    whole = [(name, f"all of the family {name}") for name in names.families]
    whole += ((name, f"{image} of {family}") for name, family, image in names.published)
    found = [each for each in whole if _fits(each[0], word) and each[0] not in given]
    yield from found or ((name, "built only") for name in names.nested if _fits(name, word) and name not in given)


def _fits(name: str, word: str) -> bool:
    return name.startswith(word) or (any(sign in word for sign in "*?[") and fnmatchcase(name, f"{word}*"))
