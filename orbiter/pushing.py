"""Pushes images of the engine, a few at a time, tries again what fails for the moment, and asks the registry after."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event

from orbiter import push
from orbiter.engine import Engine
from orbiter.errors import EngineError
from orbiter.push import Local, Pushed, Wanted

LONGEST = 30
"""Seconds that are waited before an attempt, at most."""


class AnotherImage(EngineError):
    """The tag in the registry is not the image that was pushed. To push again would hide it."""


def find(wanted: Sequence[Wanted], engine: Engine) -> tuple[Local, ...]:
    """The images as they are in the engine. Raises EngineError with all that is missing, or is not one image."""
    found: dict[str, Local] = {}
    missing = []
    for each in wanted:
        for reference in each.references:
            try:
                found[reference] = push.local(each, engine.ask("image", "inspect", reference))
            except EngineError as error:
                if "No such image" not in str(error):
                    raise
                missing.append(reference)
    if missing:
        names = " ".join(dict.fromkeys(each.target for each in wanted if set(each.references) & set(missing)))
        raise EngineError(
            f"not in the engine: {', '.join(missing)}; nothing was pushed\n'orbiter build --load {names}' puts it there"
        )
    if other := push.unlike(found):
        raise EngineError(
            f"another image than the first tag of its target: {', '.join(other)}; nothing was pushed\n"
            "'orbiter build --load' gives an image all its tags"
        )
    return tuple(found[each.references[0]] for each in wanted)


def untried(images: Sequence[Local]) -> tuple[Pushed, ...]:
    """A row for each tag that would be pushed."""
    return tuple(row for image in images for row in _left_out(image, image.references, ""))


def run(
    images: Sequence[Local], engine: Engine, jobs: int, retries: int, say: Callable[[str], None]
) -> tuple[Pushed, ...]:
    """How each tag ended, in the order of the images; `say` hears what happens, from any thread.

    An image waits for the one that it shares the most layers with, and is not tried if that one fails.
    """
    stop = Event()
    order = push.waits(images)
    by_target = {image.target: image for image in images}
    rows: dict[str, tuple[Pushed, ...]] = {}
    running: dict[Future[tuple[Pushed, ...]], str] = {}
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        try:
            while order or running:
                for target in [name for name, first in order.items() if first is None or first in rows]:
                    first, image = order.pop(target), by_target[target]
                    if first and any(row.result != "pushed" for row in rows[first]):
                        rows[target] = _left_out(image, image.references, f"{first} failed")
                    else:
                        running[pool.submit(_push, image, engine, retries, say, stop)] = target
                for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                    rows[running.pop(future)] = future.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return tuple(row for image in images for row in rows[image.target])


def _push(image: Local, engine: Engine, retries: int, say: Callable[[str], None], stop: Event) -> tuple[Pushed, ...]:
    rows: list[Pushed] = []
    for at, reference in enumerate(image.references):
        rows.append(_push_tag(image, reference, engine, retries, say, stop))
        if rows[-1].result != "pushed":
            return (*rows, *_left_out(image, image.references[at + 1 :], f"{reference} failed"))
    return tuple(rows)


def _push_tag(
    image: Local, reference: str, engine: Engine, retries: int, say: Callable[[str], None], stop: Event
) -> Pushed:
    tag = reference.rpartition(":")[2]
    say(f"{tag}: pushing")
    problem, attempt = "", 0
    while attempt <= retries:
        attempt += 1
        try:
            engine.ask("image", "push", "--quiet", reference)
            digest = _ask_registry(image, reference, engine)
        except EngineError as error:
            problem = push.redact(str(error))
            pause = min(2 ** (attempt - 1), LONGEST)
            if attempt > retries or isinstance(error, AnotherImage) or push.is_final(problem):
                break
            say(f"{tag}: {problem.splitlines()[-1]}; again in {pause} s ({attempt} of {retries})")
            if stop.wait(pause):
                break
        else:
            say(f"{tag}: pushed")
            return Pushed(target=image.target, reference=reference, digest=digest, result="pushed", attempts=attempt)
    say(f"{tag}: failed")
    return Pushed(
        target=image.target,
        reference=reference,
        digest=image.digest,
        result="failed",
        attempts=attempt,
        problem=problem + push.advice(problem, reference),
    )


def _ask_registry(image: Local, reference: str, engine: Engine) -> str:
    """The digest that the registry has under the tag. Raises AnotherImage, and EngineError if it does not say."""
    inspect = ("buildx", "imagetools", "inspect", reference)
    digest = push.digest(engine.ask(*inspect, "--format", "{{json .Manifest}}"))
    has = digest if image.indexed else push.config_digest(engine.ask(*inspect, "--raw"))
    if has != image.digest:
        raise AnotherImage(
            f"the registry has {has} under this tag, the engine had {image.digest}; "
            "somebody else pushed, or built it, at the same time"
        )
    return digest


def _left_out(image: Local, references: Sequence[str], problem: str) -> tuple[Pushed, ...]:
    return tuple(
        Pushed(target=image.target, reference=reference, digest=image.digest, result="not tried", problem=problem)
        for reference in references
    )
