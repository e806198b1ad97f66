"""Document → Project: names every image, links it to its parents, fills in defaults, flattens and checks the lists."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from posixpath import basename, normpath
from typing import Any

from orbiter import builders, grammar, packages
from orbiter.builders import Builders
from orbiter.diagnostics import Finding, Path, Severity, dotted
from orbiter.errors import ConfigError
from orbiter.model import (
    Account,
    Cache,
    Command,
    Conda,
    Distribution,
    Expectations,
    Family,
    Image,
    Mirrors,
    Pairs,
    ParentRef,
    Project,
)
from orbiter.schema import closest
from orbiter.source import Document

_SECTIONS = ("apk", "apt", "conda", "npm", "pip", "postbuild")
_COMMON = frozenset(
    ("image", "builder", "build", "env", "labels", "copy", "tags", "platforms", "cmd", "test", *_SECTIONS)
)

_LONGEST_TAG = 128  # https://github.com/distribution/reference/blob/main/regexp.go


def resolve(document: Document, known: Builders) -> tuple[Project, tuple[Finding, ...]]:
    """The project that a valid document describes, and warnings. Raises ConfigError with all that is wrong."""
    resolver = _Resolver(document, known)
    project = resolver.project()
    errors = [finding for finding in resolver.findings if finding.severity == "error"]
    if errors:
        raise ConfigError(errors)
    return project, tuple(resolver.findings)


@dataclass(frozen=True, slots=True)
class _Raw:
    """An image as it is written. `outer` is the target whose nested build it is."""

    path: Path
    target: str
    outer: str | None
    data: Mapping[str, Any]


class _Resolver:
    def __init__(self, document: Document, known: Builders) -> None:
        self.document = document
        self.data: Mapping[str, Any] = document.data
        self.known = known
        self.defaults: Mapping[str, Any] = self.data.get("defaults", {})
        self.findings: list[Finding] = []
        self.account = Account(
            name=self.data.get("user", "jovyan"),
            uid=int(self.data.get("uid", 1000)),
            gid=int(self.data.get("gid", 100)),
        )
        self.version: str = self.data.get("version", "latest")
        self.repo: str = self.data.get("docker", {}).get("repo", "orbiter")
        self.raws: dict[str, _Raw] = {}

    def project(self) -> Project:
        data = self.data
        self._check_globals()
        families = tuple(self._family(name, images) for name, images in data["build"].items())
        parents = {target: self._parent(raw) for target, raw in self.raws.items()}
        order = self._order(parents)
        distributions = self._distributions(order, parents)
        platforms = self._platforms(order, parents)
        images = {
            target: self._image(raw, parents[target], distributions[target], platforms[target])
            for target, raw in self.raws.items()
        }
        python = data.get("python", {})
        project = Project(
            source=basename(self.document.name),
            version=self.version,
            maintainer=data.get("maintainer"),
            account=self.account,
            repo=self.repo,
            mount=data.get("docker", {}).get("mount"),
            python=python.get("version"),
            python_range=python.get("required"),
            mirrors=self._mirrors(),
            cache=self._cache(),
            families=families,
            images=images,
        )
        self._check_tags(project)
        self._check_builders(project, parents)
        return project

    # -- findings

    def _say(
        self,
        path: Path,
        message: str,
        hint: str | None = None,
        severity: Severity = "error",
        *,
        key: bool = False,
    ) -> None:
        span = self.document.span(path, key=key)
        defined = self.document.defined(path)
        self.findings.append(
            Finding(span=span, path=path, message=message, hint=hint, severity=severity, defined=defined)
        )

    # -- the whole

    def _check_globals(self) -> None:
        ignored = [key for key in ("debug", "run") if key in self.data]
        if ignored:
            what = f"settings of the original tool are ignored: {', '.join(ignored)}"
            self._say((ignored[0],), what, severity="warning", key=True)
        problem = grammar.repository(self.repo)
        if problem:
            self._say(("docker", "repo"), problem)
        python: Mapping[str, str] = self.data.get("python", {})
        for key, value in python.items():
            problem = (
                grammar.python_version(value)
                if key == "version"
                else grammar.python_range(value, python.get("version"))
            )
            if problem:
                self._say(("python", key), problem)

    def _mirrors(self) -> Mirrors:
        given: dict[str, str] = dict(self.data.get("mirrors", {}))
        named = {key: given.pop(key, None) for key in ("pip", "npm", "apt", "apk", "conda", "python", "ca")}
        for key, value in named.items():
            problem = value is not None and (grammar.project_path(value) if key == "ca" else grammar.address(value))
            if problem:
                self._say(("mirrors", key), problem)
        for host, replacement in given.items():
            problem = grammar.repository(f"{replacement}/x")
            if problem:
                self._say(("mirrors", host), problem, "write host[:port][/path], for example hub.example.org/proxy")
        return Mirrors(registries=tuple(given.items()), **named)

    def _cache(self) -> Cache:
        given: dict[str, Any] = self.data.get("cache", {})
        if "registry" in given and (problem := grammar.repository(given["registry"])):
            self._say(("cache", "registry"), problem)
        if "local" in given and (problem := grammar.project_path(given["local"])):
            self._say(("cache", "local"), problem)
        compression, _, level = given.get("compression", "").partition(":")
        return Cache(
            registry=given.get("registry"),
            main=given.get("main", "main"),
            read_only=given.get("read-only", False),
            mode=given.get("mode", "max"),
            compression=compression or None,
            level=int(level) if level else None,
            local=given.get("local"),
            gha=given.get("gha", False),
        )

    # -- names

    def _family(self, family: str, images: Mapping[str, Any]) -> Family:
        if family == "default":
            self._say(("build", family), "'default' is the group of all images", "rename the family", key=True)
        targets: list[str] = []
        for name, data in images.items():
            chain: list[_Raw] = []
            path: Path = ("build", family, name)
            target, outer = f"{family}-{name}", None
            while data is not None:
                chain.append(_Raw(path, target, outer, data))
                path, target, outer, data = (*path, "build"), f"{target}-build", target, data.get("build")
            for raw in reversed(chain):
                self._name(raw)
                targets.append(raw.target)
        return Family(name=family, targets=tuple(targets))

    def _name(self, raw: _Raw) -> None:
        other = self.raws.get(raw.target)
        if other is not None:
            self._say(
                raw.path,
                f"the target '{raw.target}' exists already: {dotted(other.path)}",
                f"rename one of the two (the other: {self.document.span(other.path, key=True)})",
                key=True,
            )
        elif raw.target in self.data["build"] or raw.target == "default":
            self._say(raw.path, f"the target '{raw.target}' has the name of a group", "rename the image", key=True)
        self.raws[raw.target] = raw

    def _parent(self, raw: _Raw) -> ParentRef:
        name: str = raw.data["image"]
        if any(mark in name for mark in ":@/"):
            problem = grammar.reference(name)
            if problem:
                self._say((*raw.path, "image"), problem)
            return ParentRef(reference=name, target=self._own(name))
        family = raw.path[1]
        for target in (f"{family}-{name}", name):
            if target in self.raws:
                return ParentRef(reference=self._reference(target), target=target)
        self._unknown_parent(raw, name)
        return ParentRef(reference=name, target=None)

    def _own(self, reference: str) -> str | None:
        """The target of this project that the reference names, for people who write it out."""
        repo, _, tag = reference.rpartition(":")
        target = tag.removesuffix(f"-{self.version}")
        return target if repo == self.repo and target != tag and target in self.raws else None

    def _reference(self, target: str) -> str:
        return f"{self.repo}:{target}-{self.version}"

    def _unknown_parent(self, raw: _Raw, name: str) -> None:
        family = f"{raw.path[1]}-"
        siblings = [
            target.removeprefix(family) for target in self.raws if target.startswith(family) and target != raw.target
        ]
        match = closest(name, siblings) or closest(name, self.raws)
        hint = f"did you mean '{match}'? " if match else ""
        if not match and siblings:
            hint = f"known here: {', '.join(siblings)}; "
        self._say(
            (*raw.path, "image"),
            f"no image '{name}' in family '{raw.path[1]}'",
            f"{hint}(an image from elsewhere has a tag: '{name}:latest')",
        )

    # -- the graph

    def _order(self, parents: Mapping[str, ParentRef]) -> tuple[str, ...]:
        """Targets, each after all that it needs; empty if there is a cycle, which is then reported."""
        graph: dict[str, list[str]] = {}
        for target, raw in self.raws.items():
            parent = parents[target].target
            graph[target] = [parent] if parent else []
            if "build" in raw.data:
                graph[target].append(f"{target}-build")
        try:
            return tuple(TopologicalSorter(graph).static_order())
        except CycleError as error:
            cycle: list[str] = error.args[1][::-1]
            first = min(range(len(cycle) - 1), key=lambda index: list(self.raws).index(cycle[index]))
            turned = [*cycle[first:-1], *cycle[:first], cycle[first]]
            self._say(
                (*self.raws[turned[0]].path, "image"),
                f"the images need each other: {' → '.join(turned)}",
                "let one of them start from another parent",
            )
            raise ConfigError(f for f in self.findings if f.severity == "error") from error

    def _distributions(self, order: tuple[str, ...], parents: Mapping[str, ParentRef]) -> dict[str, Distribution]:
        found: dict[str, Distribution] = {}
        for target in order:
            raw, parent = self.raws[target], parents[target]
            inherited = found[parent.target] if parent.target else None
            sections: list[tuple[str, Distribution]] = [("apk", "alpine"), ("apt", "debian")]
            own = [(key, distribution) for key, distribution in sections if raw.data.get(key)]
            if len(own) == 2:
                self._say(
                    (*raw.path, "apk"),
                    "an image has apk (Alpine) or apt (Debian) packages, not both",
                    key=True,
                )
            for key, distribution in own:
                if inherited and distribution != inherited:
                    hint = f"its parent '{parent.target}' is {inherited.capitalize()}"
                    self._say((*raw.path, key), f"'{key}' packages in {_article(inherited)} image", hint, key=True)
            named: Distribution = "alpine" if "alpine" in parent.reference else "debian"
            found[target] = inherited or (own[0][1] if own else named)
        return found

    def _platforms(self, order: tuple[str, ...], parents: Mapping[str, ParentRef]) -> dict[str, tuple[str, ...]]:
        """Its own, else those of its published parent, else the defaults; a nested build has those of its image."""
        found: dict[str, tuple[str, ...]] = {}
        default = tuple(self.defaults.get("platforms", ()))
        for target in order:
            raw, parent = self.raws[target], parents[target].target
            if raw.outer is None:
                inherited = found[parent] if parent and self.raws[parent].outer is None else default
                found[target] = tuple(dict.fromkeys(raw.data.get("platforms", inherited)))
        for target, raw in self.raws.items():
            outermost = raw
            while outermost.outer:
                outermost = self.raws[outermost.outer]
            found[target] = found[outermost.target]
        for target, raw in self.raws.items():
            parent = parents[target].target
            missing = [platform for platform in found[target] if parent and platform not in found[parent]]
            if missing:
                where = (*raw.path, "platforms") if "platforms" in raw.data else (*raw.path, "image")
                self._say(
                    where,
                    f"'{target}' is built for {', '.join(missing)}, its parent '{parent}' is not",
                    f"add it to the platforms of '{parent}' or to 'defaults'",
                )
        return found

    # -- an image

    def _image(self, raw: _Raw, parent: ParentRef, distribution: Distribution, platforms: tuple[str, ...]) -> Image:
        data, path, deployable = raw.data, raw.path, raw.outer is None
        ecosystem = "apk" if distribution == "alpine" else "apt"
        if not deployable:
            for key in ("tags", "labels", "cmd", "platforms", "test"):
                if key in data:
                    self._say(
                        (*path, key),
                        f"'{key}' of a nested build, which is never published",
                        f"write it at {dotted(path[:3])}",
                        key=True,
                    )
        defaults = self.defaults if deployable else {}
        return Image(
            family=str(path[1]),
            name=str(path[2]),
            target=raw.target,
            path=path,
            builder=data["builder"],
            parent=parent,
            nested=f"{raw.target}-build" if "build" in data else None,
            deployable=deployable,
            distribution=distribution,
            system=self._packages(ecosystem, (*path, ecosystem), data.get(ecosystem)),
            pip=self._packages("pip", (*path, "pip"), data.get("pip")),
            npm=self._packages("npm", (*path, "npm"), data.get("npm")),
            conda=self._conda((*path, "conda"), data["conda"]) if "conda" in data else None,
            postbuild=tuple(self._postbuild((*path, "postbuild"), data.get("postbuild"))),
            env=tuple({**defaults.get("env", {}), **data.get("env", {})}.items()),
            labels=tuple({**defaults.get("labels", {}), **data.get("labels", {})}.items()),
            copy=self._copy(raw, {**defaults.get("copy", {}), **data.get("copy", {})}),
            tags=tuple(dict.fromkeys(data.get("tags", defaults.get("tags", ())))),
            platforms=platforms,
            cmd=tuple(data.get("cmd", defaults.get("cmd", ()))),
            test=self._test((*path, "test"), data.get("test", {})),
            options={key: value for key, value in data.items() if key not in _COMMON},
        )

    def _test(self, path: Path, data: Mapping[str, Any]) -> Expectations:
        for number, notebook in enumerate(data.get("notebooks", ())):
            problem = grammar.project_path(notebook)
            if problem:
                self._say((*path, "notebooks", number), problem)
        return Expectations(
            imports=tuple(data.get("imports", ())),
            commands=tuple(
                Command(run=tuple(each["run"]), output=each.get("output")) for each in data.get("commands", ())
            ),
            notebooks=tuple(data.get("notebooks", ())),
            http=tuple(data.get("http", ())),
        )

    def _packages(self, ecosystem: str, path: Path, entries: list[Any] | None) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for where, entry in _flat(path, entries):
            found |= dict.fromkeys(self._split(ecosystem, where, entry))
        return tuple(found)

    def _split(self, ecosystem: str, path: Path, entry: str) -> tuple[str, ...]:
        try:
            return packages.split(ecosystem, entry)
        except packages.BadPackage as problem:
            self._say(path, str(problem))
            return ()

    def _conda(self, path: Path, data: Mapping[str, Any]) -> Conda:
        specs: list[Any] = []
        requirements: dict[str, None] = {}
        for where, entry in _flat((*path, "dependencies"), data["dependencies"]):
            if isinstance(entry, dict):
                requirements |= dict.fromkeys(self._packages("pip", (*where, "pip"), entry["pip"]))
            else:
                specs += self._split("conda", where, entry)
        return Conda(
            name=data.get("name", "base"),
            channels=tuple(dict.fromkeys(data.get("channels", ["conda-forge"]))),
            dependencies=tuple(dict.fromkeys(specs)),
            pip=tuple(requirements),
        )

    def _postbuild(self, path: Path, lines: list[Any] | None) -> Iterator[str]:
        for where, line in _flat(path, lines):
            if "\0" in line:
                self._say(where, "a NUL character in a shell line")
            yield line.rstrip("\n")

    def _copy(self, raw: _Raw, copies: Mapping[str, str]) -> Pairs:
        pairs = []
        for source, destination in copies.items():
            path = (*raw.path, "copy", source) if source in raw.data.get("copy", {}) else ("defaults", "copy", source)
            problem = grammar.project_path(source)
            if problem:
                self._say(path, problem, key=True)
            problem = grammar.image_path(destination)
            if problem:
                self._say(path, problem)
            absolute = destination if destination.startswith("/") else f"{self.account.home}/{destination}"
            # The slash at the end tells COPY that the destination is a folder.
            pairs.append((normpath(source), normpath(absolute) + ("/" if destination.endswith("/") else "")))
        return tuple(pairs)

    # -- checks of the whole

    def _check_tags(self, project: Project) -> None:
        taken: dict[str, Image] = {}
        for image in project.images.values():
            if not image.deployable:
                continue
            own = f"{image.target}-{project.version}"
            if len(own) > _LONGEST_TAG:
                self._say(image.path, f"its tag '{own}' is longer than {_LONGEST_TAG} characters", key=True)
            taken[own] = image
        for image in project.images.values():
            for index, tag in enumerate(image.tags):
                other = taken.setdefault(tag, image)
                if other is not image:
                    raw = self.raws[image.target]
                    path = (*raw.path, "tags", index) if "tags" in raw.data else ("defaults", "tags", index)
                    self._say(
                        path,
                        f"the tag '{tag}' of '{image.target}' belongs to '{other.target}' already",
                        "a tag names one image",
                    )

    def _check_builders(self, project: Project, parents: Mapping[str, ParentRef]) -> None:
        if any(finding.severity == "error" for finding in self.findings):
            return
        used = {parent.target for parent in parents.values()}
        for image in project.images.values():
            for key, message, hint in builders.problems(project, image, self.known):
                self._say((*image.path, key), message, hint)
            role = self.known[image.builder].role
            if image.nested and image.nested not in used and role in ("core", "builder"):
                self._say(
                    (*image.path, "build"),
                    f"'{image.nested}' is built, but {image.builder} copies nothing from it",
                    f"remove it, or use it as parent ('image: {image.name}-build')",
                    "warning",
                    key=True,
                )


def _flat(path: Path, entries: list[Any] | None) -> Iterator[tuple[Path, Any]]:
    """Entries of nested lists in order, each with its path."""
    for index, entry in enumerate(entries or ()):
        if isinstance(entry, list):
            yield from _flat((*path, index), entry)
        else:
            yield (*path, index), entry


def _article(distribution: Distribution) -> str:
    return "an Alpine" if distribution == "alpine" else "a Debian"
