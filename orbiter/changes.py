"""What an image is now against what was made of it before: up to date, to be tagged or to be built, and why.

A published image is as the configuration gives it if its content hash is (`content.py`), its copied files are
(`copied.py`), and it is there for all wanted platforms. A nested build has no image of its own: the content of its
image covers it, and it is built where an image is built that needs it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from orbiter import content, parts
from orbiter.lock import Entry, Lock
from orbiter.lockdiff import Change, difference
from orbiter.model import BuildPlan, Target
from orbiter.packages import folded, name_in
from orbiter.parts import Parts, Reason
from orbiter.pins import pins
from orbiter.tables import columns

State = Literal["up to date", "to tag", "to build", "not needed"]
"""`to tag`: an image of this content is there under another tag. `not needed`: a nested build of which nothing is."""

_SHOWN = 6
"""Packages that a reason names before it only counts them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An image that was made of a target: its tag, its digest and what its labels say.

    `platforms` are empty where nobody knows them.
    """

    reference: str
    digest: str
    labels: Mapping[str, str]
    platforms: tuple[str, ...] = ()

    @property
    def pinned(self) -> str:
        """The reference that always means this image."""
        return f"{self.reference.rpartition(':')[0]}@{self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the images are to be, each a mapping of targets: hashes, parts, all references, platforms.

    No platforms: those that the builder has of itself.
    """

    contents: Mapping[str, str]
    copied: Mapping[str, str]
    parts: Mapping[str, Parts]
    references: Mapping[str, tuple[str, ...]]
    platforms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be done for a target. `made` is the image that is as it should be, `tags` what it is not yet called.

    `needed` are the images for whose sake a nested build is built.
    """

    target: str
    state: State
    reasons: tuple[Reason, ...] = ()
    made: Made | None = None
    tags: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()


Verdicts = Mapping[str, Verdict]


def references(plan: BuildPlan, variables: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
    """All references of every published target, with what the environment says of REPO and VERSION, as bake has it."""
    repo = variables.get("REPO", plan.project.repo)
    version = variables.get("VERSION", plan.project.version)
    return {
        target.name: (f"{repo}:{target.name}-{version}", *(f"{repo}:{tag}" for tag in target.image.tags))
        for target in plan.targets
        if target.image.deployable
    }


def judge(plan: BuildPlan, wanted: Wanted, found: Mapping[str, Sequence[Made]], where: str) -> Verdicts:
    """A verdict for every target of the plan, in its order.

    `found` has what was made of each: under its own references, then under other tags, the likeliest first. `where`
    that was: `registry` or `engine`.
    """
    verdicts = {
        target.name: _judge(plan, target, wanted, found.get(target.name, ()), where)
        for target in plan.targets
        if target.image.deployable
    }
    users = _users(plan, verdicts)
    for target in plan.targets:
        if not target.image.deployable:
            needed = tuple(users.get(target.name, ()))
            verdicts[target.name] = Verdict(
                target=target.name, state="to build" if needed else "not needed", needed=needed
            )
    return {target.name: verdicts[target.name] for target in plan.targets}


def _judge(plan: BuildPlan, target: Target, wanted: Wanted, found: Sequence[Made], where: str) -> Verdict:
    names = wanted.references[target.name]
    here = {made.reference: made for made in reversed(found)}
    flaws = [tuple(_flaws(plan, target, wanted, made)) for made in found]
    good = [made for made, wrong in zip(found, flaws, strict=True) if not wrong]
    if not good:
        reasons = flaws[0] if flaws else (Reason(part="", text=f"not in the {where}"),)
        return Verdict(target=target.name, state="to build", reasons=reasons)
    chosen = next((made for made in good if made.reference == names[0]), good[0])
    tags = tuple(name for name in names if name not in here or here[name].digest != chosen.digest)
    return Verdict(target=target.name, state="to tag" if tags else "up to date", made=chosen, tags=tags)


def _flaws(plan: BuildPlan, target: Target, wanted: Wanted, made: Made) -> Iterator[Reason]:
    name = target.name
    missing = [each for each in wanted.platforms.get(name, ()) if made.platforms and each not in made.platforms]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        yield Reason(part="platforms", text=f"{', '.join(missing)} {are} missing")
    if content.LABEL not in made.labels:
        yield Reason(part="", text="has no label of its content: built by something else")
    elif made.labels[content.LABEL] != wanted.contents[name]:
        told = made.labels.get(parts.LABEL)
        known = parts.reasons(parts.parse(told), wanted.parts[name]) if told else ()
        yield from known or (Reason(part="files", text="it is not said what: built by an older Orbiter"),)
    if made.labels.get(content.COPIED) != wanted.copied.get(name):
        yield _copied(plan, target, known=content.COPIED in made.labels)


def _copied(plan: BuildPlan, target: Target, *, known: bool) -> Reason:
    owners = [each.name for each in _lineage(plan, target) if each.image.copy]
    whose = f" of {', '.join(owners)}" if owners and owners != [target.name] else ""
    if not known:
        return Reason(part="copy", text=f"copied files{whose} are not known: not built by 'orbiter build'")
    return Reason(part="copy", text=f"copied files{whose} changed")


def _lineage(plan: BuildPlan, target: Target) -> Iterator[Target]:
    """The target and all that it is built from."""
    targets = {each.name: each for each in plan.targets}
    names = [target.name]
    for name in names:
        yield targets[name]
        names += [need for need in targets[name].needs if need in targets and need not in names]


def _users(plan: BuildPlan, verdicts: Verdicts) -> Mapping[str, Sequence[str]]:
    """Nested build → the images to build that need it, themselves or for a nested build of theirs."""
    targets = {target.name: target for target in plan.targets}
    users: dict[str, list[str]] = {}
    for name, verdict in verdicts.items():
        waiting = [name] if verdict.state == "to build" else []
        for each in waiting:
            for need in targets[each].needs:
                if need in targets and not targets[need].image.deployable and need not in waiting:
                    waiting.append(need)
                    users.setdefault(need, []).append(name)
    return users


def remaining(
    plan: BuildPlan, wanted: Iterable[str], verdicts: Verdicts, *, published: bool
) -> tuple[BuildPlan, tuple[str, ...]]:
    """The plan of the wanted targets and all that has to be built for them, and overrides of the bake file.

    If the images are `published`, those that are as they should be are taken from the registry by their digests;
    else the builder has them in its cache.
    """
    targets = {target.name: target for target in plan.targets}
    ready = {name: verdict.made.pinned for name, verdict in verdicts.items() if verdict.made} if published else {}
    kept_names = set(wanted)
    ready = {name: reference for name, reference in ready.items() if name not in kept_names}
    waiting = list(kept_names)
    while waiting:
        more = {need for need in targets[waiting.pop()].needs if need not in ready} - kept_names
        kept_names |= more
        waiting += more
    kept = tuple(
        replace(target, needs=tuple(need for need in target.needs if need not in ready))
        for target in plan.targets
        if target.name in kept_names
    )
    overrides = tuple(
        f"{target.name}.contexts.{context.reference}=docker-image://{ready[context.value]}"
        for target in kept
        for context in target.contexts
        if context.kind == "target" and context.value in ready
    )
    return replace(plan, targets=kept, groups=()), overrides


# -- words


def with_versions(plan: BuildPlan, verdicts: Verdicts, lock: Lock | None, earlier: Iterable[Lock]) -> Verdicts:
    """The same with the versions that the lock has for new packages, and what moved in it.

    `earlier` are former states of the lock, the newest first; the one that an image was built with is known by the
    hash in its label, so no other is mistaken for it.
    """
    if lock is None:
        return verdicts
    locks = tuple(earlier) if any(_is_lock(each) for verdict in verdicts.values() for each in verdict.reasons) else ()
    targets = {target.name: target for target in plan.targets}
    return {
        name: replace(verdict, reasons=tuple(_detailed(targets, targets[name], verdict, lock, locks)))
        for name, verdict in verdicts.items()
    }


def _is_lock(reason: Reason) -> bool:
    return reason.part.rpartition(parts.NESTED)[2] == "lock"


def _detailed(
    targets: Mapping[str, Target], target: Target, verdict: Verdict, lock: Lock, earlier: Sequence[Lock]
) -> Iterator[Reason]:
    for reason in verdict.reasons:
        nested, plain = reason.part.count(parts.NESTED), reason.part.rpartition(parts.NESTED)[2]
        owner = _nested(targets, target, nested)
        entry = lock.targets.get(owner)
        if plain in parts.PACKAGES and entry:
            known = _versions(entry, plain)
            words = [
                f"+ {name_in(spec)} {known[_key(spec)]}" if _key(spec) in known else f"+ {spec}" for spec in reason.new
            ]
            words += [f"- {spec}" for spec in reason.gone]
            yield replace(reason, text=f"{plain}: {' '.join(words)}") if words else reason
        elif plain == "lock":
            sections = {f"{parts.NESTED * nested}{section}" for section in parts.PACKAGES}
            said = [each for each in verdict.reasons if each.part in sections]
            new = {_key(spec) for each in said for spec in each.new}
            gone = {_key(spec) for each in said for spec in each.gone}
            moved = [
                change
                for change in _moved(owner, lock, earlier, reason.old)
                if not (change.old is None and _key(change.name) in new)
                and not (change.new is None and _key(change.name) in gone)
            ]
            if moved:
                yield replace(reason, text=f"locked versions: {_few([_words(change) for change in moved])}")
            elif not said:
                yield reason
        else:
            yield reason


def _moved(target: str, lock: Lock, earlier: Iterable[Lock], old: str) -> Sequence[Change]:
    """What the lock has other than in the former state whose hash is `old`; nothing if that is none of them."""
    for each in earlier:
        entry = each.targets.get(target)
        if entry and parts.locked(pins(entry)) == old:
            found = difference(Lock(targets={target: entry}), Lock(targets={target: lock.targets[target]}))
            return found.get(target, ())
    return ()


def _words(change: Change) -> str:
    if change.files:
        return f"~ {change.name} {change.new} (other files)"
    sign = "+" if change.old is None else "-" if change.new is None else "~"
    return f"{sign} {change.name} " + " → ".join(version for version in (change.old, change.new) if version)


def _few(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def _versions(entry: Entry, section: str) -> Mapping[str, str]:
    if section == "pip":
        return {_key(package.name): package.version for package in entry.pip}
    if section == "conda":
        packages = [package for each in entry.conda.values() for package in each]
        return {**{_key(package.name): package.version for package in packages}, **_versions(entry, "pip")}
    if section == "npm":
        return {_key(path.rpartition("node_modules/")[2]): str(node.get("version")) for path, node in entry.npm.items()}
    return {}


def _key(spec: str) -> str:
    return folded(name_in(spec))


def _nested(targets: Mapping[str, Target], target: Target, depth: int) -> str:
    for _ in range(depth):
        if target.image.nested and target.image.nested in targets:
            target = targets[target.image.nested]
    return target.name


def undone(verdicts: Verdicts) -> Mapping[str, tuple[str, ...]]:
    """What is to be built or tagged: target → why."""
    return {name: tuple(why(each)) for name, each in verdicts.items() if each.state in ("to build", "to tag")}


def summary(verdicts: Verdicts) -> str:
    """`2 to build, 1 to tag, 5 up to date`."""
    states: tuple[State, ...] = ("to build", "to tag", "up to date")
    found = [verdict.state for verdict in verdicts.values()]
    return ", ".join(f"{found.count(state)} {state}" for state in states if state in found)


def as_text(verdicts: Verdicts) -> str:
    """A table: target, state, and the reasons below each other."""
    rows: list[tuple[str, str, str]] = [("target", "state", "why")]
    for verdict in verdicts.values():
        first, *others = why(verdict) or [""]
        rows.append((verdict.target, verdict.state, first))
        rows += [("", "", other) for other in others]
    return "\n".join([*columns(rows), "", summary(verdicts)])


def why(verdict: Verdict) -> list[str]:
    """The reasons as sentences, each once; nothing for what is as it should be."""
    if verdict.needed:
        return [f"for {', '.join(verdict.needed[:3])}" + (" …" if len(verdict.needed) > 3 else "")]
    if verdict.state == "to tag" and verdict.made:
        tags = ", ".join(tag.rpartition(":")[2] for tag in verdict.tags)
        return [f"is there as {verdict.made.reference.rpartition(':')[2]}, not as {tags}"]
    # An image and its nested build often have the same parent.
    return list(dict.fromkeys(reason.text for reason in verdict.reasons))


def as_data(verdicts: Verdicts) -> list[dict[str, Any]]:
    """The verdicts as plain data, for `--format json`."""
    return [
        {
            "name": verdict.target,
            "state": verdict.state,
            "reasons": [{"part": reason.part or None, "text": reason.text} for reason in verdict.reasons],
            "needed_by": list(verdict.needed),
            "reference": verdict.made.reference if verdict.made else None,
            "digest": verdict.made.digest if verdict.made else None,
            "tags": list(verdict.tags),
        }
        for verdict in verdicts.values()
    ]
