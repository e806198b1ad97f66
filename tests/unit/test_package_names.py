"""Package names: what each ecosystem's installer may see, and what nobody may."""

import pytest

from orbiter.packages import BadPackage, split

ECOSYSTEMS = ["apk", "apt", "conda", "npm", "pip"]


@pytest.mark.parametrize(
    ("ecosystem", "entry"),
    [
        ("apk", "bash"),
        ("apk", "py3-numpy"),
        ("apk", "g++"),
        ("apk", "so:libz.so.1"),
        ("apk", "cmd:bash"),
        ("apk", "bash=5.2.37-r0"),
        ("apk", "bash~5.2"),
        ("apk", "bash>5"),
        ("apk", "bash<=5.3_rc1"),
        ("apk", "nginx@edge"),
        ("apt", "git"),
        ("apt", "g++"),
        ("apt", "libstdc++6"),
        ("apt", "libgdal-dev"),
        ("apt", "python3.13"),
        ("apt", "git:amd64"),
        ("apt", "git=1:2.47.3-0+deb13u1~x"),
        ("apt", "git/trixie-backports"),
        ("conda", "numpy"),
        ("conda", "7zip"),
        ("conda", "_libgcc_mutex"),
        ("conda", "python=3.13"),
        ("conda", "python=3.13.*=*_cp313"),
        ("conda", "numpy>=1.20,<2"),
        ("conda", "numpy==1.26.4"),
        ("conda", "numpy=1.25|1.26.*"),
        ("conda", "numpy!=1.25"),
        ("conda", "numpy~=1.26"),
        ("conda", "conda-forge::numpy"),
        ("conda", "conda-forge/linux-64::numpy>=2"),
        ("conda", "numpy[version='>=1.2',build=py*]"),
        ("npm", "vega-lite"),
        ("npm", "@jupyterlab/builder"),
        ("npm", "configurable-http-proxy@^5"),
        ("npm", "@scope/name@~1.2.3"),
        ("npm", "a@>=1"),
        ("npm", "a@1.x"),
        ("npm", "a@latest"),
        ("npm", "a@1.0.0-beta.1+build"),
        ("npm", "JSONStream"),
        ("pip", "numpy"),
        ("pip", "zope.interface"),
        ("pip", "numpy>=2,<3"),
        ("pip", "numpy >=1.2, <2"),
        ("pip", "jupyterlab[extra,other]~=4.0"),
        ("pip", 'tomli; python_version < "3.11"'),
        ("pip", "demo @ https://example.org/demo-1.0-py3-none-any.whl"),
        ("pip", "demo @ git+https://github.com/a/b@v1#subdirectory=x"),
        ("pip", "demo @ git+ssh://git@github.com/a/b"),
    ],
)
def test_one_package(ecosystem: str, entry: str) -> None:
    assert split(ecosystem, entry) == (entry,)


@pytest.mark.parametrize(
    ("ecosystem", "entry", "specs"),
    [
        ("apk", "bash  git=2.49-r0", ("bash", "git=2.49-r0")),
        ("apt", "gdal-bin libgdal-dev g++", ("gdal-bin", "libgdal-dev", "g++")),
        ("apt", " git ", ("git",)),
        ("conda", "a b=1.2 c>=3", ("a", "b=1.2", "c>=3")),
        ("npm", "vega @types/node@^22", ("vega", "@types/node@^22")),
        ("pip", "fiona shapely>=2 jupyterlab[x]", ("fiona", "shapely>=2", "jupyterlab[x]")),
        ("pip", "b a b", ("b", "a", "b")),
    ],
)
def test_several_packages_in_one_entry_keep_their_order(ecosystem: str, entry: str, specs: tuple[str, ...]) -> None:
    assert split(ecosystem, entry) == specs


@pytest.mark.parametrize(
    ("entry", "spec"),
    [
        ("numpy >=1.20,<2", "numpy>=1.20,<2"),
        ("numpy 1.26", "numpy=1.26"),
        ("numpy 1.26.* py313_0", "numpy=1.26.*=py313_0"),
        ("python =3.13", "python=3.13"),
        ("conda-forge::numpy   >=2", "conda-forge::numpy>=2"),
    ],
)
def test_blanks_of_a_match_spec_are_closed(entry: str, spec: str) -> None:
    assert split("conda", entry) == (spec,)


def test_blanks_of_a_requirement_are_single() -> None:
    assert split("pip", " numpy   >=1.2,   <2 ") == ("numpy >=1.2, <2",)


@pytest.mark.parametrize("ecosystem", ECOSYSTEMS)
@pytest.mark.parametrize(
    "attempt",
    [
        "; rm -rf /",
        ";rm",
        " && rm",
        " | sh",
        "$(id)",
        " $(id)",
        "${HOME}",
        "`id`",
        " > /etc/passwd",
        "'",
        '"',
        " #x",
        " \\",
        "\n",
        "\nRUN id",
        "\r",
        "\t--yes",
        "\0",
        "\x1b[31m",
        "\u2028x",
        "\xa0x",
        "é",
        " -y",
        " --index-url=https://evil.example.org",
        " -r /etc/passwd",
        " ./wheel",
        " /etc/passwd",
        " ../up",
        " file:///etc/passwd",
        " https://evil.example.org/x.whl",
        " git+https://evil.example.org/x",
        "<<EOF",
    ],
)
def test_nothing_but_packages_reaches_an_installer(ecosystem: str, attempt: str) -> None:
    with pytest.raises(BadPackage):
        split(ecosystem, f"git{attempt}")
    if attempt.strip() not in ("", "\0"):
        with pytest.raises(BadPackage):
            split(ecosystem, attempt.strip(" "))


@pytest.mark.parametrize(
    ("ecosystem", "entry", "why"),
    [
        ("apk", "!bash", "would forbid a package"),
        ("apk", ".build-deps", "virtual packages"),
        ("apk", "--allow-untrusted", "'--allow-untrusted' is no apk package; write name, name=1.2.3-r0"),
        ("apt", "vim-", "would remove a package"),
        ("apt", "git vim-", "'vim-' would remove a package"),
        ("apt", "Git", "small letters"),
        ("apt", "python3*", "is no Debian package; write name, name=version"),
        ("apt", "task^", "is no Debian package"),
        ("apt", "./local.deb", "is no Debian package"),
        ("conda", ">=2", "has no package before it; write name>=2"),
        ("conda", "https://example.org/x.conda", "only packages of a channel"),
        ("conda", "./x.conda", "is no conda package"),
        ("conda", "numpy -c evil", "'-c' is no conda package"),
        ("npm", "user/repo", "is an address or path"),
        ("npm", "../evil", "is an address or path"),
        ("npm", "a@file:x", "is no npm package"),
        ("npm", "a@npm:b", "is no npm package"),
        ("npm", "a@git+https://x", "is an address or path"),
        ("npm", "@scope", "is no npm package"),
        ("pip", "scipy=1.2", "did you mean 'scipy==1.2'?"),
        ("pip", "--index-url https://evil.example.org", "'--index-url' is an option of pip"),
        ("pip", "numpy -r x.txt", "'-r' is an option of pip"),
        ("pip", "./wheel", "path of this machine"),
        ("pip", "/srv/wheel", "path of this machine"),
        ("pip", "git+https://github.com/a/b", "address without a name"),
        ("pip", "numpy pandas >= 2 <3", "has no package before it"),
        ("pip", "numpy==", "is no requirement"),
    ],
)
def test_refusal_says_what_is_wrong(ecosystem: str, entry: str, why: str) -> None:
    with pytest.raises(BadPackage) as refused:
        split(ecosystem, entry)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file:///srv/demo.whl", "files of this machine"),
        ("ftp://example.org/demo.whl", "not https://"),
        ("git+file:///srv/demo", "files of this machine"),
        ("hg+https://example.org/demo", "not https://"),
        ("https://me:secret@example.org/demo.whl", "user or password"),
        ("git+https://token@example.org/demo", "user or password"),
        ("git+ssh://me@example.org/demo", "not https://"),
        ("https://example.org/$TOKEN/demo.whl", "'$', quotes or blanks"),
        ("https://example.org/`id`", "'$', quotes or blanks"),
        ('https://example.org/"', "'$', quotes or blanks"),
        ("https://example.org/\\", "'$', quotes or blanks"),
    ],
)
def test_address_of_a_requirement_is_public_and_written_out(url: str, why: str) -> None:
    with pytest.raises(BadPackage) as refused:
        split("pip", f"demo @ {url}")
    assert why in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "token" not in str(refused.value)


@pytest.mark.parametrize("ecosystem", ECOSYSTEMS)
def test_an_empty_entry_is_refused(ecosystem: str) -> None:
    for entry in ("", "   "):
        with pytest.raises(BadPackage, match="empty package name"):
            split(ecosystem, entry)


@pytest.mark.parametrize("ecosystem", ECOSYSTEMS)
def test_a_refusal_is_one_short_line(ecosystem: str) -> None:
    for entry in ("é" * 500, "x;" * 500, "a\nb\x1b[2J"):
        with pytest.raises(BadPackage) as refused:
            split(ecosystem, entry)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 200


@pytest.mark.parametrize("entry", ["git:amd64-", "git=1:2.39-", "git/trixie-"])
def test_no_entry_removes_a_debian_package(entry: str) -> None:
    with pytest.raises(BadPackage, match="would remove a package"):
        split("apt", entry)


def test_no_requirement_swallows_the_next_one() -> None:
    with pytest.raises(BadPackage):
        split("pip", "demo===1\\")
