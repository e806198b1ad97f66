"""Bills of materials, read by those who know the formats: CycloneDX, SPDX and package URLs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from orbiter.lock import CondaPackage, Entry, Lock, PipPackage, System
from orbiter.sbom import bill, cyclonedx, spdx
from tests.conftest import ROOT, Run
from tests.unit.test_lock import project

PROJECT = project(
    """
    docker: {repo: "registry.example.org:5000/team/course"}
    maintainer: Ada Lovelace <ada@example.org>
    build:
      debian:
        core: {image: "debian:trixie-slim", builder: pip_core}
        base:
          image: core
          builder: pip_deploy
          build: {image: core, builder: pip_builder, pip: [six], npm: ["@jupyter/x"]}
        top:
          image: base
          builder: pip_deploy
          build: {image: base-build, builder: pip_builder, pip: [idna]}
      conda:
        core: {image: "debian@sha256:FIVES", builder: micromamba_core}
        base:
          image: core
          builder: micromamba_deploy
          build: {image: core, builder: micromamba_builder, conda: {dependencies: [gdal]}}
    """.replace("FIVES", "5" * 64)
)
GIT = "git+https://example.org/x.git@0a1b"
LOCK = Lock(
    images={"debian:trixie-slim": "sha256:" + "a" * 64},
    targets={
        "debian-base-build": Entry(
            inputs="",
            newest="2026-01-02T03:04:05Z",
            pip=(
                PipPackage(name="six", version="1.17.0", files={"six-1.17.0.whl": "sha256:" + "1" * 64}),
                PipPackage(
                    name="two_files",
                    version="1.0+local.1",
                    files={"two-a.whl": "sha256:" + "2" * 64, "two-b.whl": "sha256:" + "3" * 64},
                    platforms=("linux/amd64",),
                ),
                PipPackage(name="x", version="", url=GIT),
            ),
            npm={
                "": {"dependencies": {"@jupyter/x": "*"}},
                "node_modules/@jupyter/x": {"version": "1.0.0", "integrity": "sha512-" + "A" * 86 + "=="},
                "node_modules/@jupyter/x/node_modules/y": {"version": "2.0.0"},
            },
        ),
        "debian-top-build": Entry(inputs="", pip=(PipPackage(name="idna", version="3.20"),)),
        "conda-base-build": Entry(
            inputs="",
            conda={
                "linux-64": (
                    CondaPackage(
                        name="gdal",
                        version="3.10",
                        build="py313_0",
                        url="https://conda.anaconda.org/conda-forge/linux-64/gdal-3.10-py313_0.conda",
                        sha256="4" * 64,
                    ),
                )
            },
        ),
    },
    system={
        "debian-top": System(
            kind="apt",
            distribution="debian 13",
            platform="linux/amd64",
            packages={"login": "1:4.16.0-2+really2.41.5-0+deb13u1"},
        ),
        "conda-base": System(
            kind="apk", distribution="alpine 3.23.0", platform="linux/amd64", packages={"musl": "1.2.5-r23"}
        ),
    },
)
TARGETS = [name for name, image in PROJECT.images.items() if image.deployable]


def made(target: str, lock: Lock = LOCK) -> dict:  # type: ignore[type-arg]
    return cyclonedx(bill(PROJECT, lock, PROJECT.images[target]))


def purls(target: str) -> list[str]:
    return [each["purl"] for each in made(target)["components"]]


@pytest.mark.parametrize("target", TARGETS)
def test_cyclonedx_accepts_it(target: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(made(target))) is None


@pytest.mark.parametrize("target", TARGETS)
def test_spdx_accepts_it(target: str, tmp_path: Path) -> None:
    written = tmp_path / "a.spdx.json"
    written.write_text(json.dumps(spdx(bill(PROJECT, LOCK, PROJECT.images[target]))))
    assert validate_full_spdx_document(parse_file(str(written))) == []


def test_an_image_has_what_it_stands_on() -> None:
    base = f"pkg:oci/debian@sha256:{'a' * 64}?repository_url=docker.io/library/debian&tag=trixie-slim"
    assert purls("debian-core") == [base]
    assert purls("debian-base") == [
        base,
        "pkg:npm/%40jupyter/x@1.0.0",
        "pkg:npm/y@2.0.0",
        "pkg:pypi/six@1.17.0",
        "pkg:pypi/two-files@1.0%2Blocal.1",
        "pkg:pypi/x?vcs_url=git%2Bhttps://example.org/x.git%400a1b",
    ]
    assert set(purls("debian-top")) == {
        *purls("debian-base"),
        "pkg:pypi/idna@3.20",
        "pkg:deb/debian/login@1:4.16.0-2%2Breally2.41.5-0%2Bdeb13u1?arch=amd64&distro=debian-13",
    }
    assert purls("conda-base") == [
        f"pkg:oci/debian@sha256:{'5' * 64}?repository_url=docker.io/library/debian",
        "pkg:apk/alpine/musl@1.2.5-r23?arch=x86_64&distro=alpine-3.23.0",
        "pkg:conda/gdal@3.10?build=py313_0&channel=conda-forge&subdir=linux-64&type=conda",
    ]


@pytest.mark.parametrize("purl", sorted({purl for target in TARGETS for purl in purls(target)}))
def test_package_urls_are_as_others_write_them(purl: str) -> None:
    assert PackageURL.from_string(purl).to_string() == purl


def test_hashes_are_those_of_the_lock() -> None:
    found = {each["name"]: each for each in made("debian-base")["components"]}
    assert found["six"]["hashes"] == [{"alg": "SHA-256", "content": "1" * 64}]
    assert "hashes" not in found["two-files"]
    assert [(each["url"], each["hashes"][0]["content"][0]) for each in found["two-files"]["externalReferences"]] == [
        ("two-a.whl", "2"),
        ("two-b.whl", "3"),
    ]
    assert found["two-files"]["properties"] == [{"name": "orbiter:platforms", "value": "linux/amd64"}]
    assert found["@jupyter/x"]["hashes"] == [{"alg": "SHA-512", "content": "0" * 128}]


def test_the_root_depends_on_all_and_says_whether_something_is_missing() -> None:
    top, base = made("debian-top"), made("debian-base")
    root = top["metadata"]["component"]
    assert (root["name"], root["version"]) == ("registry.example.org:5000/team/course", "debian-top-latest")
    assert top["dependencies"][0] == {"ref": root["bom-ref"], "dependsOn": sorted(purls("debian-top"))}
    assert (top["compositions"][0]["aggregate"], base["compositions"][0]["aggregate"]) == ("unknown", "incomplete")


def test_the_serial_number_is_of_the_content_and_the_date_of_the_lock() -> None:
    first = made("debian-top")
    assert first == made("debian-top")
    assert first["metadata"]["timestamp"] == "2026-01-02T03:04:05Z"
    entry = Entry(inputs="", pip=(PipPackage(name="idna", version="3.21"),))
    other = made("debian-top", replace(LOCK, targets={**LOCK.targets, "debian-top-build": entry}))
    assert other["serialNumber"] != first["serialNumber"]
    undated = replace(LOCK, targets={**LOCK.targets, "debian-base-build": Entry(inputs="")})
    assert "timestamp" not in made("debian-base", undated)["metadata"]


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    case = ROOT / "tests" / "cases" / "locked"
    (tmp_path / "orbiter.yaml").write_text((case / "config.yaml").read_text())
    (tmp_path / "orbiter.lock").write_text((case / "orbiter.lock").read_text())
    return tmp_path


def test_one_image_goes_to_stdout_and_many_into_a_folder(locked: Path, orbiter: Run) -> None:
    one = orbiter("sbom", "debian-top")
    assert one.returncode == 0, one.stderr
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(one.stdout) is None
    many = orbiter("sbom", "-o", "out")
    assert many.returncode == 0
    assert (locked / "out/debian-top.cdx.json").read_text() == one.stdout
    assert sorted(path.name for path in (locked / "out").iterdir()) == [
        f"{name}.cdx.json" for name in ("conda-base", "conda-core", "debian-base", "debian-core", "debian-top")
    ]
    assert orbiter("sbom", "debian-top", "-o", "new/top.json").returncode == 0
    assert (locked / "new/top.json").read_text() == one.stdout
    assert orbiter("sbom", "debian-top", "--format", "spdx", "-o", "out").stderr == (
        "out/debian-top.spdx.json: written\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "orbiter: 5 images: -o DIR writes a file for each; or name one of debian-core, debian-base"),
        (("debian-base-build",), "orbiter: nested builds are never published; name the image around it"),
        (("-o", "orbiter.lock"), "orbiter: orbiter.lock: is a file, and 5 images need a folder"),
        (("debian-top", "-o", "orbiter.lock/x"), "orbiter: orbiter.lock/x: cannot be written: "),
    ],
)
def test_what_cannot_be_written_is_said(locked: Path, orbiter: Run, arguments: tuple[str, ...], said: str) -> None:
    done = orbiter("sbom", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)


def test_a_lock_that_does_not_fit_is_no_source(locked: Path, orbiter: Run) -> None:
    text = (locked / "orbiter.yaml").read_text()
    (locked / "orbiter.lock").unlink()
    assert orbiter("sbom", "debian-top").stderr.startswith("orbiter: orbiter.lock is not there, and nothing else says")
    (locked / "orbiter.lock").write_text('{"orbiter-lock": 1, "images": {}, "targets": {}}')
    done = orbiter("sbom", "debian-top")
    assert done.returncode == 2
    assert done.stderr == "orbiter: orbiter.lock does not fit debian-top; run 'orbiter lock'\n"
    assert text == (locked / "orbiter.yaml").read_text()
