"""`orbiter cache`: whether the registry cache does what it is for, what is in it, and what may go."""

import re
import time
from dataclasses import replace

import click

from orbiter.commands import console, options
from orbiter.errors import CheckFailed, EngineError, UsageError

_LENGTHS = {"h": 3600, "d": 86400, "w": 7 * 86400}


@click.group(
    epilog=options.EXAMPLES + "  orbiter cache check\n  orbiter cache ls\n  orbiter cache prune --older-than 30d"
)
def cache() -> None:
    """The registry cache: prove it, list it, prune it.

    It is the repository of 'cache.registry' or the variable CACHE_REPO, which has a tag for every target, and one for
    every target and branch (CACHE_BRANCH) beside the main one.
    """


@cache.command(
    epilog=options.EXAMPLES + "  orbiter cache check\n"
    "  orbiter cache check debian-base               and what it needs\n"
    "  orbiter cache check --builder empty           a builder of your own without a cache\n"
    "  CACHE_BRANCH=fix orbiter cache check          as a build of the branch 'fix' would have it\n"
    "  orbiter cache check --format json | jq '.ran[] | [.target, .step, .reason]'"
)
@options.file
@options.selection
@click.option(
    "--builder", metavar="NAME", help="An empty Buildx builder  [default: one is made (docker-container) and removed]."
)
@options.form("text", "json")
def check(
    file: str | None, targets: tuple[str, ...], family: str | None, image: str | None, builder: str | None, form: str
) -> None:
    """Build on an empty builder from the registry cache, and say which steps ran.

    Compiles first, as 'build' does. No step should run: ends with 1 if one did, or if the registry has lost a layer,
    and names the likely reason. Steps that ran are not written to the cache, and no image is made; of layers
    only those are fetched that such steps need.
    """
    from orbiter import buildkit, cachecheck, cached, output, pipeline
    from orbiter.engine import Buildx
    from orbiter.plan import restrict, select

    planned = options.planned(file)
    chosen = select(planned.plan, options.patterns(planned, targets, family, image))
    plan = restrict(planned.plan, chosen)
    repository = cached.settings(plan).repository
    changes = output.compare(pipeline.render(planned), planned.config.parent)
    output.write(changes, planned.config.parent)
    if changes:
        console.say(output.summary(changes, wrote=True))
    engine = Buildx()
    project = replace(plan.project, cache=replace(plan.project.cache, registry=repository))
    told = buildkit.configuration(project, str(planned.config.parent.absolute()))
    with cached.empty_builder(engine, builder, told, console.say) as name:
        checked = cached.check(planned, plan, chosen, name, engine, console.say)
    if form == "json":
        console.print_json(cachecheck.as_data(checked))
    else:
        for line in cachecheck.as_text(checked):
            click.echo(line)
    if checked.rows:
        raise CheckFailed(f"{checked.repository}: {cachecheck.verdict(checked)}")


@cache.command(
    epilog=options.EXAMPLES + "  orbiter cache ls\n"
    "  orbiter cache ls 'debian-*'\n"
    "  orbiter cache ls --format json | jq '.refs[] | [.tag, .size]'"
)
@options.file
@options.selection
@options.form("text", "json")
def ls(file: str | None, targets: tuple[str, ...], family: str | None, image: str | None, form: str) -> None:
    """List the caches of the project's targets in the registry.

    The age is that of a cache's newest layer: a build that runs nothing leaves it as it is. Other tags are counted.
    """
    from orbiter import cached, caching
    from orbiter.plan import restrict

    planned = options.planned(file)
    plan = restrict(planned.plan, options.patterns(planned, targets, family, image))
    settings = cached.settings(plan)
    asked = cached.connect(settings.repository, plan, planned.config.parent)
    refs, digests = cached.listed(asked, [target.name for target in plan.targets])
    others = len(digests) - len(refs)
    if form == "json":
        console.print_json({"repository": settings.repository, "refs": caching.as_data(refs), "others": others})
    else:
        for line in caching.as_text(refs, plan.project.cache.main, time.time()):
            click.echo(line)
        missing = sorted({target.name for target in plan.targets} - {ref.target for ref in refs})
        if missing:
            console.say(f"{settings.repository} has no cache of {', '.join(missing)}")
        if others:
            console.say(f"{settings.repository} has {others} other tag{'s' * (others > 1)}")


@cache.command(
    epilog=options.EXAMPLES + "  orbiter cache prune --branch fix-typo --dry-run\n"
    "  orbiter cache prune --keep-branches 'next docs' --yes    all but those, and the main one\n"
    "  orbiter cache prune --older-than 30d"
)
@options.file
@options.selection
@click.option("--older-than", metavar="AGE", help="Whose newest layer is older: 12h, 30d, 8w.")
@click.option("--branch", "branches", multiple=True, metavar="NAME", help="Of this branch; several are possible.")
@click.option(
    "--keep-branches", metavar="NAMES", help="Of all branches but these and the main one; blanks or commas between."
)
@options.consent
@options.form("text", "json")
def prune(
    file: str | None,
    targets: tuple[str, ...],
    family: str | None,
    image: str | None,
    older_than: str | None,
    branches: tuple[str, ...],
    keep_branches: str | None,
    dry_run: bool,
    yes: bool,
    form: str,
) -> None:
    """Remove caches from the registry, for all of the conditions that are given.

    Only what BuildKit wrote as a cache, under a tag that a target of this project has for it. A registry removes a
    manifest with all its tags, so one that a cache that stays has as well stays, too. The registry's own
    garbage collection frees the room.
    """
    from orbiter import cached, caching
    from orbiter.plan import restrict
    from orbiter.tables import size

    if older_than is None and not branches and keep_branches is None:
        raise UsageError("say what is to go: --older-than AGE, --branch NAME or --keep-branches NAMES")
    before = time.time() - _length(older_than) if older_than is not None else None
    planned = options.planned(file)
    plan = restrict(planned.plan, options.patterns(planned, targets, family, image))
    settings = cached.settings(plan)
    main = plan.project.cache.main
    asked = cached.connect(settings.repository, plan, planned.config.parent)
    # Not of the chosen targets alone: their manifests may have other tags.
    refs, digests = cached.listed(asked, [target.name for target in planned.plan.targets])
    names = {target.name for target in plan.targets}
    wish = caching.Wish(
        made_before=before,
        branches=branches or None,
        kept=None if keep_branches is None else re.split(r"[\s,]+", keep_branches.strip()),
    )
    found = caching.prune([ref for ref in refs if ref.target in names], digests, wish, main)
    lines = caching.as_text(found.doomed, main, time.time())
    lines += [f"kept: {tag} {reason}" for tag, reason in found.kept]
    agreed = False
    if form == "json":
        for line in lines:
            console.say(line)
        lines = []
    if found.doomed:
        what = f"{len(found.doomed)} cache{'s' * (len(found.doomed) > 1)}"
        agreed = console.confirm(lines, f"Remove {what} from {settings.repository}?", yes=yes, dry_run=dry_run)
    else:
        for line in lines:
            click.echo(line)
        console.say("nothing to remove")
    refused = cached.remove(asked, found.doomed) if agreed else ()
    if form == "json":
        kept = [{"tag": tag, "reason": reason} for tag, reason in found.kept]
        console.print_json(
            {
                "repository": settings.repository,
                "removed": agreed and not refused,
                "refs": caching.as_data(found.doomed),
                "kept": kept,
            }
        )
    if refused:
        raise EngineError("not everything was removed:\n" + "\n".join(f"  {each}" for each in refused))
    if agreed:
        console.say(f"removed: {what}, {size(sum(ref.size for ref in found.doomed))} with what they share")


def _length(text: str) -> float:
    """Seconds of `30d`. Raises UsageError."""
    found = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if not found:
        raise UsageError(f"--older-than {text}: write a number and h, d or w: 30d")
    return float(found[1]) * _LENGTHS[found[2]]
