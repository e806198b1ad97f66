"""What changed between two locks, for people, release notes and programs."""

from orbiter.lock import CondaPackage, Entry, Lock, PipPackage
from orbiter.lockdiff import as_data, as_markdown, as_text, difference


def conda(name: str, version: str) -> CondaPackage:
    return CondaPackage(name=name, version=version, build="0", url=f"https://x/{name}.conda", sha256=version)


def pip(name: str, version: str, hash: str = "sha256:0") -> PipPackage:
    return PipPackage(name=name, version=version, files={f"{name}.whl": hash})


OLD = Lock(
    images={"debian:trixie-slim": "sha256:" + "a" * 64, "gone:1": "sha256:" + "b" * 64},
    targets={
        "base-build": Entry(
            inputs="1", python="3.12", pip=(pip("numpy", "2.4.0"), pip("six", "1.16"), pip("same", "1"))
        ),
        "conda-build": Entry(
            inputs="1", conda={"linux-64": (conda("gdal", "3.9"),), "linux-aarch64": (conda("gdal", "3.9"),)}
        ),
        "untouched": Entry(inputs="1", pip=(pip("a", "1"),)),
    },
)
NEW = Lock(
    images={"debian:trixie-slim": "sha256:" + "c" * 64},
    targets={
        "base-build": Entry(
            inputs="2",
            python="3.13",
            pip=(pip("numpy", "2.5.5"), pip("polars", "1.9"), pip("same", "1", "sha256:1")),
            npm={
                "": {},
                "node_modules/vega": {"version": "6.0.0"},
                "node_modules/vega/node_modules/d3": {"version": "7"},
            },
        ),
        "conda-build": Entry(
            inputs="1", conda={"linux-64": (conda("gdal", "3.10"),), "linux-aarch64": (conda("gdal", "3.9"),)}
        ),
        "new-build": Entry(inputs="1", python="3.13", pip=(pip("a", "1"), pip("b", "1"))),
        "untouched": Entry(inputs="9", pip=(pip("a", "1"),)),
    },
)


def test_text_names_what_is_added_removed_and_changed() -> None:
    assert as_text(difference(OLD, NEW)).splitlines() == [
        "images from elsewhere",
        "  ~ debian:trixie-slim sha256:aaaaaaaaaaaa → sha256:cccccccccccc",
        "  - gone:1 sha256:bbbbbbbbbbbb",
        "base-build",
        "  ~ python 3.12 → 3.13",
        "  ~ numpy 2.4.0 → 2.5.5",
        "  + polars 1.9",
        "  ~ same 1 (other files)",
        "  - six 1.16",
        "  + vega 6.0.0",
        "conda-build",
        "  ~ gdal (linux-64) 3.9 → 3.10",
        "new-build: new, 2 pip",
    ]


def test_what_is_only_built_with_is_told_apart() -> None:
    def lock(version: str) -> Lock:
        entry = Entry(inputs="1", pip=(pip("setuptools", "80"),), build=(pip("setuptools", version),))
        return Lock(targets={"base-build": entry})

    found = difference(lock("80"), lock("81"))
    assert as_text(found).splitlines() == ["base-build", "  ~ setuptools (to build) 80 → 81"]
    assert as_data(found)["targets"]["base-build"][0]["kind"] == "build"


def test_markdown_is_a_table_a_target() -> None:
    assert as_markdown(difference(OLD, NEW)).split("\n\n")[2:4] == [
        "### base-build",
        "| package | from | to |\n| --- | --- | --- |\n| python | 3.12 | 3.13 |\n| numpy | 2.4.0 | 2.5.5 |\n"
        "| polars | – | 1.9 |\n| same | 1 | 1 (other files) |\n| six | 1.16 | – |\n| vega | – | 6.0.0 |",
    ]


def test_data_has_whole_digests() -> None:
    data = as_data(difference(OLD, NEW))
    assert data["images"][0] == {
        "kind": "image",
        "name": "debian:trixie-slim",
        "old": "sha256:" + "a" * 64,
        "new": "sha256:" + "c" * 64,
        "files": False,
    }
    assert list(data["targets"]) == ["base-build", "conda-build", "new-build"]


def test_nothing_changed_is_nothing() -> None:
    assert difference(OLD, OLD) == {}
    assert as_text({}) == ""
