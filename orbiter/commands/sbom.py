"""`orbiter sbom`: what is in an image, from the lock alone."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orbiter.commands import console, options
from orbiter.errors import LockError, UsageError

if TYPE_CHECKING:
    from orbiter.lock import Lock
    from orbiter.model import Image
    from orbiter.pipeline import Planned


@click.command(
    epilog=options.EXAMPLES + "  orbiter sbom debian-base                  one image, on stdout\n"
    "  orbiter sbom debian-base -o base.json     into a file\n"
    "  orbiter sbom -o sbom                      a file an image, in that folder\n"
    "  orbiter sbom debian-base --format spdx    SPDX instead of CycloneDX"
)
@options.file
@options.selection
@click.option("-o", "--output", "out", metavar="FILE|DIR", help="Where to write; a folder for several images.")
@options.form("cyclonedx", "spdx")
def sbom(
    file: str | None, targets: tuple[str, ...], family: str | None, image: str | None, out: str | None, form: str
) -> None:
    """Write the bill of materials (SBOM) of images, from orbiter.lock.

    Nothing is built and nobody is asked: the same lock gives the same bytes. It has pip, conda and Node packages with
    their hashes, the base image, and the packages of the distribution if 'orbiter lock --record' has noted them.
    'orbiter build --sbom' has the builder look into the images instead.
    """
    from orbiter import images, output
    from orbiter.plan import select
    from orbiter.sbom import FORMATS, bill

    planned = options.planned(file, quiet=True)
    patterns = options.patterns(planned, targets, family, image)
    chosen = [target.image for target in images.selected(planned.plan, select(planned.plan, patterns))]
    if not chosen:
        raise UsageError("nested builds are never published; name the image around it")
    lock = _lock(planned, chosen)
    write, suffix = FORMATS[form]
    texts = {each.target: console.as_json(write(bill(planned.plan.project, lock, each))) + "\n" for each in chosen}
    if out is None:
        if len(texts) > 1:
            raise UsageError(f"{len(texts)} images: -o DIR writes a file for each; or name one of {', '.join(texts)}")
        click.echo("".join(texts.values()), nl=False)
        return
    for place, text in _places(Path(out), out, texts, suffix).items():
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            output.replace(place, text.encode())
        except OSError as error:
            raise UsageError(f"{place}: cannot be written: {error.strerror}") from error
        console.say(f"{place}: written")


def _lock(planned: "Planned", chosen: "list[Image]") -> "Lock":
    """The lock, which has to fit the images. Raises LockError."""
    from orbiter import lock as locks

    place, project = planned.config.parent / locks.FILE, planned.plan.project
    if planned.lock is None:
        raise LockError(f"{place} is not there, and nothing else says what is in an image; run 'orbiter lock'")
    stale = set(locks.stale(project, planned.lock))
    wrong = [image.target for image in chosen if stale & {each.target for each in locks.contents(project, image)}]
    if wrong:
        raise LockError(f"{place} does not fit {', '.join(wrong)}; run 'orbiter lock'")
    return planned.lock


def _places(path: Path, given: str, texts: dict[str, str], suffix: str) -> dict[Path, str]:
    """Where each text is written: FILE for one, else `<target>.<suffix>` in DIR."""
    if path.is_dir() or given.endswith("/") or len(texts) > 1:
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path}: is a file, and {len(texts)} images need a folder")
        return {path / f"{target}.{suffix}": text for target, text in texts.items()}
    (text,) = texts.values()
    return {path: text}
