"""Whatever a repository has in it, what comes of it is a valid configuration, or a clear no."""

from hypothesis import example, given
from hypothesis import strategies as st

from orbiter import builders, quoting, resources, schema, source
from orbiter.convert import FILES, ROOT_FILES, Repository, convert
from orbiter.convert.carried import without_secrets
from orbiter.errors import UsageError
from orbiter.render import configuration
from orbiter.resolve import resolve
from orbiter.starter import Settings

TEMPLATES = resources.templates()
RULES = schema.parse(resources.schema(), {})
KNOWN = builders.with_own(schema.builders(RULES))
SETTINGS = Settings(base="debian:trixie-slim", repo="localhost/any")

characters = st.characters(exclude_categories=["Cs"])
pieces = st.sampled_from(
    [
        *(
            "numpy",
            "pandas==2.*",
            "xarray[io]",
            ">=1,<2",
            " ; python_version > '3'",
            " # why",
            "#",
            "\\",
            "\n",
            "\r\n",
            " ",
        ),
        *(
            "-e ",
            "-r ",
            "-c ",
            "--hash=sha256:ab",
            "--index-url ",
            "https://u:p@example.org/x",
            "git+https://example.org/x",
        ),
        *(
            "#egg=name",
            "name @ ",
            "requirements.txt",
            "../",
            "${HOME}",
            "`id`",
            "'",
            '"',
            "\t",
            "\u2028",
            "\ufeff",
            "é😀",
        ),
        *(
            "dependencies:\n",
            "channels:\n",
            "  - ",
            "pip:\n",
            "    - ",
            "prefix: ",
            "- conda-forge::",
            "[",
            "]",
            "{",
            "}",
        ),
        *(
            "#!/bin/bash\n",
            "if true\n",
            "<<EOF\n",
            "EOF\n",
            "conda install x\n",
            "export A=1\n",
            'exec "$@"\n',
            "&&\n",
            "data/x",
        ),
        *(
            "[project]\n",
            "dependencies = ['numpy']\n",
            "[packages]\n",
            'numpy = "*"\n',
            "python-3.11",
            "r-4.4-2024-01-01",
        ),
        *('install.packages("x")\n', "install.packages(c('a', 'b'))\n"),
    ]
)
contents = st.one_of(st.lists(pieces, max_size=12).map("".join), st.text(characters, max_size=40))
names = st.sampled_from([*FILES, *ROOT_FILES, "binder/environment.yml", "binder/requirements.txt"])


def converted(files: dict[str, str], entries: tuple[str, ...] = ()) -> str | None:
    """The text, read and resolved; None after a refusal."""
    roots = tuple(sorted({path.split("/")[0] for path in files} | set(entries)))
    try:
        first, remarks = convert(Repository(name="any", files=files, entries=roots, place="."), SETTINGS)
    except UsageError:
        return None
    text = configuration(first, TEMPLATES)
    document = source.load(text.encode(), "orbiter.yaml")
    assert schema.check(document, RULES) == ()
    project, warnings = resolve(document, KNOWN)
    assert warnings == ()
    assert len(project.images) == 3
    assert all(f"#   {quoting.comment(remark)}".rstrip() in text for remark in remarks)
    return text


@given(st.dictionaries(names, contents, max_size=5))
@example({"requirements.txt": "-r requirements.txt\n\\\n\\"})
@example({"environment.yml": "dependencies: {}\nchannels: 3\nvariables: []\n"})
@example({"postBuild": " \n\\\n'"})
@example({"start": "export A='\x00'\n"})
def test_any_repository(files: dict[str, str]) -> None:
    converted(files, ("data", "a\nb", "*", "binder") if any("/" in path for path in files) else ("data", "a\nb", "*"))


@given(contents)
@example("numpy pandas")
@example("a @ https://example.org/a.whl#x='y'")
def test_any_requirements(text: str) -> None:
    assert converted({"requirements.txt": text})


@given(st.text(st.sampled_from("abz019.-_~"), min_size=1), st.text(st.sampled_from("abz019.-_~"), min_size=1))
def test_no_password_is_carried(user: str, password: str) -> None:
    secret = f"https://{user}x:{password}SECRET@example.org/simple"
    files = {
        "requirements.txt": f"-i {secret}\na @ {secret} # {secret}\n# {secret}\n-e git+{secret}#egg=x\nx=={secret}\n",
        "apt.txt": f"# {secret}\n{secret}\n",
        "postBuild": f"pip install -i {secret} x\n",
        "start": f"export A={secret}\n",
        "runtime.txt": secret,
    }
    text = converted(files)
    assert text
    assert "SECRET" not in text
    assert "SECRET" not in without_secrets(secret)


nasty = st.text(st.sampled_from("${}%\"'\\`!# \t\n:-[]&*~?|>@\u2028é😀a1"))


@given(st.one_of(st.text(characters), nasty))
@example("a\n  b\n\n c")
@example("a: b\nc")
@example("x #y")
@example("\ta\nb")
@example("a\n \n")
def test_entry_of_a_list_is_read_as_it_was(value: str) -> None:
    text = f"x-list:\n  - {quoting.yaml_entry(value, '  ')}\n  - end\n"
    assert source.load(text.encode(), "any.yaml").data == {"x-list": [value, "end"]}
