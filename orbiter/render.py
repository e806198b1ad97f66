"""BuildPlan + templates → FileSet. Templates place text; every decision was made before."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from jinja2 import BytecodeCache, Environment, FunctionLoader, StrictUndefined, Template, TemplateSyntaxError
from jinja2 import TemplateError as JinjaError

from orbiter import parts, quoting
from orbiter.ci import MARK as CI_MARK
from orbiter.ci import Workflow, is_generated
from orbiter.content import hashes
from orbiter.diagnostics import dotted
from orbiter.errors import OrbiterError
from orbiter.model import MARK, BuildPlan, Cache, Context, FileSet, Mirrors, Target, is_marked
from orbiter.plan import INDEXES
from orbiter.starter import Starter

BAKE_FILE = "docker-bake.hcl"

_SUFFIX = ".j2"
_FOLDER = "templates/"


class TemplateError(OrbiterError):
    """A template of the project does not work."""

    exit_code = 2


def render(plan: BuildPlan, templates: Mapping[str, str], compiled: BytecodeCache | None = None) -> FileSet:
    """All generated files. `templates` maps names (`pip_core/Dockerfile.j2`) to texts; `compiled` remembers
    what Jinja makes of a text.

    Every template in the folder of a builder becomes a file in the build context of its images, unless its text
    is empty for one. Raises TemplateError for a template that has an error or asks for what there is not.
    """
    environment = _environment(templates, compiled)
    try:
        files = dict(_files(plan, environment, templates))
        contents = hashes(plan, files)
        return files | {BAKE_FILE: _bake_file(plan, environment, contents, parts.parts(plan, contents))}
    except (JinjaError, TypeError, ValueError) as error:
        raise TemplateError(_explain(error)) from error


def configuration(starter: Starter, templates: Mapping[str, str], compiled: BytecodeCache | None = None) -> str:
    """The text of a first configuration. `templates` are Orbiter's own."""
    template = _environment(templates, compiled).get_template(f"init/orbiter.yaml{_SUFFIX}")
    return template.render(starter=starter).rstrip("\n") + "\n"


def workflow(
    service: str, planned: Workflow, templates: Mapping[str, str], compiled: BytecodeCache | None = None
) -> str:
    """The text of a CI workflow. Raises TemplateError, as `render` does."""
    environment = _environment(templates, compiled)
    try:
        text = environment.get_template(f"ci/{service}.yml{_SUFFIX}").render(ci=planned)
    except (JinjaError, TypeError, ValueError) as error:
        raise TemplateError(_explain(error)) from error
    if not is_generated(text):
        raise TemplateError(f"{_FOLDER}ci/{service}.yml{_SUFFIX}: its first line has to be a comment with '{CI_MARK}'")
    return text.rstrip("\n") + "\n"


def binder(
    plan: BuildPlan,
    target: Target,
    reference: str,
    templates: Mapping[str, str],
    compiled: BytecodeCache | None = None,
) -> str:
    """The Dockerfile for Binder of a published image, which it takes by `reference`. Raises TemplateError, as `render`
    does."""
    environment = _environment(templates, compiled)
    try:
        return _binder(environment, plan, target, reference)
    except (JinjaError, TypeError, ValueError) as error:
        raise TemplateError(_explain(error)) from error


def _files(plan: BuildPlan, environment: Environment, templates: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """All but the bake file, which has hashes of these."""
    project = plan.project
    used = {target.image.builder for target in plan.targets}
    contexts = {builder: _of_builder(builder, environment, templates) for builder in used}
    for target in plan.targets:
        image, texts = target.image, dict[str, str]()
        for name, template in contexts[image.builder]:
            text = template.render(project=project, image=image, stage=target.stage, files=list(texts))
            if text.strip():
                texts[name] = _ended(text, f"{image.builder}/{name}")
        for name in sorted(texts):
            yield f"{image.directory}/{name}", texts[name]
        if image.deployable:
            text = _binder(environment, plan, target, project.reference(target.name))
            yield f"dockerfiles/{image.family}/{image.name}/Dockerfile", text
    if any(_mounts_indexes(target) for target in plan.targets):
        text = environment.get_template(f"mirrors.env{_SUFFIX}").render(
            project=project, addresses=_index_variables(project.mirrors)
        )
        yield INDEXES, _ended(text, "mirrors.env")


def _binder(environment: Environment, plan: BuildPlan, target: Target, reference: str) -> str:
    template = environment.get_template(f"binder/Dockerfile{_SUFFIX}")
    text = template.render(project=plan.project, image=target.image, reference=reference)
    return _ended(text, "binder/Dockerfile")


def _bake_file(
    plan: BuildPlan, environment: Environment, contents: Mapping[str, str], made_of: Mapping[str, parts.Parts]
) -> str:
    template = environment.get_template(f"{BAKE_FILE}{_SUFFIX}")
    labels = {
        target.name: ((parts.LABEL, parts.label(made_of[target.name])), *target.labels) for target in plan.targets
    }
    return _ended(template.render(project=plan.project, plan=plan, contents=contents, labels=labels), BAKE_FILE)


def _environment(templates: Mapping[str, str], compiled: BytecodeCache | None) -> Environment:
    def source(name: str) -> tuple[str, str, None] | None:
        return (templates[name], f"{_FOLDER}{name}", None) if name in templates else None

    environment = Environment(
        loader=FunctionLoader(source), undefined=StrictUndefined, auto_reload=False, bytecode_cache=compiled
    )
    environment.filters |= {
        "cache": _cache_options,
        "column": _column,
        "comment": quoting.comment,
        "context": _context,
        "dockerfile_copy": quoting.dockerfile_copy,
        "dockerfile_json": quoting.dockerfile_json,
        "dockerfile_value": quoting.dockerfile_value,
        "dotted": dotted,
        "github": quoting.github,
        "gitlab": quoting.gitlab,
        "hcl": quoting.hcl,
        "heredoc": quoting.heredoc,
        "json_file": quoting.json_file,
        "shell": quoting.shell,
        "yaml": quoting.yaml,
        "yaml_entry": quoting.yaml_entry,
    }
    return environment


def _of_builder(builder: str, environment: Environment, templates: Mapping[str, str]) -> list[tuple[str, Template]]:
    """The templates in the builder's folder, with the names of the files they make; the Dockerfile, which takes the
    others, comes last."""
    folder = f"{builder}/"
    dockerfile = f"{folder}Dockerfile{_SUFFIX}"
    own = (path for path in templates if path.startswith(folder) and path.endswith(_SUFFIX))
    paths = sorted(own, key=lambda path: (path == dockerfile, path))
    return [(path.removeprefix(folder).removesuffix(_SUFFIX), environment.get_template(path)) for path in paths]


def _column(literal: str, names: Iterable[str]) -> str:
    """A key of a block, as wide as the widest of its names: equals signs stand below each other."""
    return literal.ljust(max(len(quoting.hcl(name)) for name in names))


def _cache_options(cache: Cache) -> str:
    """What a cache is written with: words and numbers, which need no quotes."""
    options = [f"mode={cache.mode}"]
    if cache.compression:
        options.append(f"compression={cache.compression}")
    if cache.level is not None:
        options.append(f"compression-level={cache.level}")
    return ",".join((*options, "ignore-error=true"))


def _context(context: Context) -> str:
    """The value of a named context, as HCL."""
    match context.kind:
        case "target":
            return quoting.hcl(f"target:{context.value}")
        case "folder":
            return quoting.hcl(context.value)
        case "image":
            rest = quoting.hcl(context.value)[1:]
            return f'"docker-image://${{{context.variable}}}{rest}' if context.variable else f'"docker-image://{rest}'


def _mounts_indexes(target: Target) -> bool:
    return any(file == INDEXES for _, file in target.secrets)


def _index_variables(mirrors: Mirrors) -> tuple[tuple[str, str], ...]:
    """The variables through which installers take an index, and its address.

    uv: https://docs.astral.sh/uv/reference/environment/, pip: https://pip.pypa.io/en/stable/topics/configuration/,
    npm: https://docs.npmjs.com/cli/using-npm/config, mamba: MAMBA_CHANNEL_ALIAS. apt and apk have none: the
    Dockerfile puts APT_MIRROR and APK_MIRROR into a copy of their sources.
    """
    listed = mirrors.python is not None and mirrors.python.endswith(".json")
    variables = {
        "pip": ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"),
        "npm": ("NPM_CONFIG_REGISTRY",),
        "apt": ("APT_MIRROR",),
        "apk": ("APK_MIRROR",),
        "conda": ("MAMBA_CHANNEL_ALIAS", "CONDA_CHANNEL_ALIAS"),
        "python": ("UV_PYTHON_DOWNLOADS_JSON_URL",) if listed else ("UV_PYTHON_INSTALL_MIRROR",),
    }
    if mirrors.apt and mirrors.snapshot:
        # The day is no secret, and has to be in the Dockerfile: another one runs the step again.
        mirrors = replace(mirrors, apt=mirrors.apt.rpartition("/debian/")[0])
    indexes = tuple((name, address) for ecosystem, address in mirrors.indexes for name in variables[ecosystem])
    certificates = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "PIP_CERT")
    rest = ("REQUESTS_CA_BUNDLE", "MAMBA_SSL_VERIFY")  # micromamba 2 looks at none but the last
    return indexes + tuple((name, "/run/secrets/ca") for name in (*certificates, *rest) if mirrors.ca)


def _ended(text: str, name: str) -> str:
    if not is_marked(text[:300].encode()):
        raise TemplateError(
            f"{_FOLDER}{name}{_SUFFIX}: its text lacks the line by which Orbiter knows its own files; "
            f"begin it with '# {MARK}.'"
        )
    return text.rstrip("\n") + "\n"


def _explain(error: Exception) -> str:
    """The error with the place in the template, which Jinja puts into the traceback."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith(_FOLDER):
            place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}: "
        trace = trace.tb_next
    if not place and isinstance(error, TemplateSyntaxError):
        place = f"{error.filename}:{error.lineno}: "
    return f"{place}{error}"
