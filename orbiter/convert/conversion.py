"""Puts together what the readers of single files found: which files count, what Binder adds, the image's pieces.

Which files count, and which of them make others void, is repo2docker's decision:
https://github.com/jupyterhub/repo2docker/tree/main/repo2docker/buildpacks, read in August 2026.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from orbiter import grammar
from orbiter.convert import environment, pyproject, r, requirements, scripts, system
from orbiter.convert.carried import Carried, Remark, left_out
from orbiter.errors import UsageError
from orbiter.model import Pairs
from orbiter.starter import Entry, Package, Settings, Starter, family

FILES = (
    "Dockerfile",
    "default.nix",
    "Project.toml",
    "JuliaProject.toml",
    "REQUIRE",
    "environment.yml",
    "environment.yaml",
    "Pipfile",
    "Pipfile.lock",
    "requirements.txt",
    "runtime.txt",
    "install.R",
    "apt.txt",
    "postBuild",
    "start",
)
"""The files that count in `binder/` or `.binder/` if there is such a folder, else in the root."""

ROOT_FILES = ("pyproject.toml", "setup.py", "DESCRIPTION")
"""Those that count in the root only, and only without such a folder."""

# What repo2docker installs itself (its buildpacks/conda/environment.yml), and what its base image
# buildpack-deps has that people use in a terminal.
_JUPYTER = ("jupyterlab", "notebook", "jupyterhub", "ipywidgets")
_JUPYTER_OF_CONDA = ("jupyterlab", "notebook", "jupyterhub-singleuser", "ipywidgets")
_SYSTEM = ("curl", "git", "less", "unzip")

_ELSEWHERE = {
    "Dockerfile": "Orbiter reads no Dockerfile; 'orbiter init --base IMAGE' starts from the image of its FROM",
    "default.nix": "Orbiter knows no Nix",
    "Project.toml": "Orbiter knows no Julia; add it to the postbuild lines of the core",
    "JuliaProject.toml": "Orbiter knows no Julia; add it to the postbuild lines of the core",
    "REQUIRE": "a file of Julia before 1.0, which Binder does not read either",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """What was read of a repository: its name, the texts of files by path, and the names in its root.

    `place` is the folder of the repository as seen from that of the configuration; None if it is not below that.
    """

    name: str
    files: Mapping[str, str]
    entries: tuple[str, ...] = ()
    place: str | None = None


def convert(repository: Repository, settings: Settings) -> tuple[Starter, tuple[Remark, ...]]:
    """The configuration, and the remarks in the order of the files.

    `settings` give the names; the repository says what is installed. Raises UsageError for a repository in which
    there is nothing to convert, and for files that are no YAML, TOML or JSON (ConfigError).
    """
    conversion = _Conversion(repository, settings)
    starter = conversion.starter()
    return starter, tuple(conversion.remarks)


class _Conversion:
    def __init__(self, repository: Repository, settings: Settings) -> None:
        self.repository = repository
        self.settings = settings
        self.files = repository.files
        self.folder = self._folder()
        self.remarks: list[Remark] = []
        self.paths = {name: f"{self.folder}{name}" for name in FILES if f"{self.folder}{name}" in self.files}
        if not self.folder:
            self.paths |= {name: name for name in ROOT_FILES if name in self.files}

    def _folder(self) -> str:
        folders = [name for name in ("binder", ".binder") if name in self.repository.entries]
        if len(folders) == 2:
            raise UsageError(f"{self.repository.name}: it has both binder/ and .binder/, which Binder refuses too")
        return f"{folders[0]}/" if folders else ""

    def starter(self) -> Starter:
        self._refuse_what_has_nothing()
        for name, reason in _ELSEWHERE.items():
            if name in self.paths:
                ignored = " (Binder would take nothing else)" if name in ("Dockerfile", "default.nix") else ""
                self.remarks.append(left_out(self.paths[name], 0, "the whole file", reason + ignored))
        asked = self._runtime()
        with_r = asked.language == "r" or "DESCRIPTION" in self.paths
        builder: Package = "micromamba" if self._conda or with_r else "pip"
        system_packages = self._take(self._apt())
        channels, packages, pip, env = (
            self._conda_packages(asked, with_r) if builder == "micromamba" else ((), (), (), ())
        )
        python = None
        if builder == "pip":
            packages, python = self._pip_packages(asked)
        post = self._post_build(builder)
        started = scripts.start(self.paths["start"], self.files[self.paths["start"]]) if "start" in self.paths else None
        self.remarks += started.remarks if started else ()
        copied = self._copied(post)
        files = list(dict.fromkeys(remark.file for remark in self.remarks))
        self.remarks.sort(key=lambda remark: (files.index(remark.file), remark.line))
        return Starter(
            schema=self.settings.schema,
            about=tuple(self._about()),
            repo=self.settings.repo,
            family=self.settings.family or family(self.settings.base, builder),
            base=self.settings.base,
            builder=builder,
            python=python,
            system=_with(_SYSTEM, system_packages, "Binder's own image has these"),
            copy=copied,
            env=tuple(dict((*env, *post.env, *(started.env if started else ()))).items()),
            postbuild=post.lines,
            channels=channels,
            packages=packages,
            pip=pip,
        )

    @property
    def _conda(self) -> str | None:
        return self.paths.get("environment.yml") or self.paths.get("environment.yaml")

    def _refuse_what_has_nothing(self) -> None:
        name = self.repository.name
        if all(each in _ELSEWHERE for each in self.paths):
            for each, reason in _ELSEWHERE.items():
                if each in self.paths:
                    raise UsageError(f"{name}: nothing to convert but {self.paths[each]}; {reason}")
            where = f"{name}/{self.folder}".rstrip("/")
            known = "environment.yml, requirements.txt, apt.txt, postBuild, runtime.txt, pyproject.toml"
            raise UsageError(f"{where}: nothing of a Binder repository here, such as {known}")

    def _about(self) -> list[str]:
        lines = [
            "The image of a Binder repository, converted by `orbiter init --from`. The repository itself is",
            "not in it: `copy` of `base` takes what belongs into the home. `orbiter validate` checks this file.",
        ]
        if self.remarks:
            lines += ["", "Not carried over as it was:", *(f"  {remark}" for remark in self.remarks)]
        return lines

    def _take(self, carried: Carried) -> tuple[Entry, ...]:
        self.remarks += carried.remarks
        return carried.entries

    def _text(self, name: str) -> str:
        return self.files[self.paths[name]]

    # -- versions and packages of the distribution

    def _runtime(self) -> system.Runtime:
        if "runtime.txt" not in self.paths:
            return system.Runtime()
        asked = system.runtime(self.paths["runtime.txt"], self._text("runtime.txt"))
        self.remarks += asked.remarks
        return asked

    def _apt(self) -> Carried:
        return system.apt(self.paths["apt.txt"], self._text("apt.txt")) if "apt.txt" in self.paths else Carried()

    # -- packages of conda

    def _conda_packages(
        self, asked: system.Runtime, with_r: bool
    ) -> tuple[tuple[str, ...], tuple[Entry, ...], tuple[Entry, ...], Pairs]:
        """Channels, match specs, requirements and variables."""
        void = ("Pipfile", "Pipfile.lock", "requirements.txt", "pyproject.toml", "setup.py")
        if self._conda:
            found = environment.read(self._conda, self.files)
            self._say_void(void, self._conda)
            if asked.language == "python":
                self._say_void(("runtime.txt",), self._conda)
            pip = self._take(found.pip)
        else:
            found = environment.Environment(channels=("conda-forge",), dependencies=(), pip=Carried(), variables=())
            pip = self._pip_section()
        entries = [*found.dependencies, *self._r_packages(asked, with_r)]
        names = {environment.name(entry.text) for entry in entries if entry.text}
        if any(name.startswith("r-") for name in names):
            entries += (Entry(text=name) for name in ("r-base", "r-irkernel") if name not in names)
        if "python" not in names:
            entries.insert(
                0, Entry(text=f"python={self._default_python(self._conda or self.paths.get('runtime.txt'))}")
            )
        for entry in entries:
            if entry.text and environment.name(entry.text) == "python":
                self.remarks += system.too_old(self._conda or "runtime.txt", entry.text)
        if pip and "pip" not in names:
            entries.append(Entry(text="pip"))
        present = names | {canonicalize_name(_name(entry.text)) for entry in pip if entry.text}
        return found.channels, _with(_missing(_JUPYTER_OF_CONDA, present), entries, _BINDER), pip, found.variables

    def _r_packages(self, asked: system.Runtime, with_r: bool) -> tuple[Entry, ...]:
        if not with_r:
            if "install.R" in self.paths:
                reason = "Binder runs it only where runtime.txt names a version of R"
                self.remarks.append(left_out(self.paths["install.R"], 0, "the whole file", reason))
            return ()
        where = self.paths.get("runtime.txt") or self.paths["DESCRIPTION"]
        self.remarks.append(left_out(where, 0, "RStudio", "R runs in notebooks here, by the kernel of r-irkernel"))
        if "DESCRIPTION" in self.paths:
            reason = "the repository is not in the build; name the packages as r-NAME"
            self.remarks.append(left_out("DESCRIPTION", 0, "the package and what it needs", reason))
        version = asked.version if asked.language == "r" else None
        base = Entry(text=f"r-base={version}" if version else "r-base")
        installed = (
            self._take(r.install(self.paths["install.R"], self._text("install.R"))) if "install.R" in self.paths else ()
        )
        return (base, Entry(text="r-irkernel"), *installed)

    # -- packages of pip

    def _pip_section(self) -> tuple[Entry, ...]:
        entries: tuple[Entry, ...] = ()
        if "requirements.txt" in self.paths:
            entries += self._take(requirements.read(self.paths["requirements.txt"], self.files))
        return entries

    def _pip_packages(self, asked: system.Runtime) -> tuple[tuple[Entry, ...], Entry]:
        """Requirements, and the Python that they are for."""
        version = asked.version if asked.language == "python" else None
        fitting: str | None = None
        entries: tuple[Entry, ...] = ()
        if "Pipfile" in self.paths or "Pipfile.lock" in self.paths:
            place = self.paths.get("Pipfile") or self.paths["Pipfile.lock"]
            self._say_void(("requirements.txt", "pyproject.toml", "setup.py"), place)
            found = pyproject.pipfile(self.paths.get("Pipfile"), self.paths.get("Pipfile.lock"), self.files)
            entries, fitting = self._take(found.carried), found.python
        else:
            entries = self._pip_section()
            if "pyproject.toml" in self.paths:
                found = pyproject.read("pyproject.toml", self.files, version)
                entries += self._take(found.carried)
                fitting = found.python
            if "setup.py" in self.paths:
                self.remarks.append(pyproject.setup("setup.py"))
        version = version or fitting
        if not version:
            version = self._default_python(self.paths.get("runtime.txt") or self.paths.get("requirements.txt"))
        self.remarks += system.too_old(self.paths.get("runtime.txt") or next(iter(self.paths.values())), version)
        present: set[str] = {canonicalize_name(_name(entry.text)) for entry in entries if entry.text}
        python = Entry(text=version, comment=system.lifetime(version))
        return _with(_missing(_JUPYTER, present), entries, _BINDER), python

    def _default_python(self, where: str | None) -> str:
        place = where or next(iter(self.paths.values()))
        text = f"no file names the Python; Binder takes {system.DEFAULT} then, and so does the configuration"
        self.remarks.append(Remark(file=place, line=0, text=text))
        return system.DEFAULT

    def _say_void(self, names: tuple[str, ...], because: str) -> None:
        for name in names:
            if name in self.paths:
                reason = f"Binder does not read it where there is {because}"
                self.remarks.append(left_out(self.paths[name], 0, "the whole file", reason))

    # -- scripts

    def _post_build(self, builder: Package) -> scripts.Script:
        if "postBuild" not in self.paths:
            return scripts.Script()
        own = {*FILES, *ROOT_FILES, "binder", ".binder", ".git", ".github"} - {"requirements.txt", "environment.yml"}
        usable = [name for name in self.repository.entries if name not in own]
        found = scripts.post_build(self.paths["postBuild"], self._text("postBuild"), usable, builder)
        self.remarks += found.remarks
        return found

    def _copied(self, script: scripts.Script) -> Pairs:
        """The files that postBuild uses, for the core: those of the image itself are copied after its postbuild."""
        copied: dict[str, str] = {}
        for name in script.uses:
            place = self.repository.place
            path = None if place is None else name if place == "." else f"{place}/{name}"
            if path is None or grammar.project_path(path) or not re.fullmatch(r"[^\x00-\x1f\x7f\ud800-\udfff]+", name):
                reason = "it is not below the folder of the configuration, or has a name that no build can copy"
                self.remarks.append(left_out(self.paths["postBuild"], 0, f"the file {name}, which it uses", reason))
            else:
                copied[path] = name
        return tuple(copied.items())


_BINDER = "Binder brings these itself"


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return found[0] if found else ""


def _missing(wanted: tuple[str, ...], present: set[str]) -> tuple[str, ...]:
    """The packages of Jupyter that nobody asks for, but Binder would bring."""
    return tuple(name for name in wanted if not {name, name.removesuffix("-singleuser")} & present)


def _with(names: tuple[str, ...], entries: "tuple[Entry, ...] | list[Entry]", why: str) -> tuple[Entry, ...]:
    """The entries, and after them those of Binder's own that are not among them."""
    present = {entry.text for entry in entries}
    added = tuple(Entry(text=name) for name in names if name not in present)
    return (*entries, *((Entry(text=None, comment=why), *added) if added else ()))
