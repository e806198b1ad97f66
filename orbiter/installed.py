"""What is in an image: the question for its shell, and the answer as a value."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from orbiter.lock import System
from orbiter.packages import folded

Package = tuple[str, str]
"""An ecosystem (apk, apt, conda, npm or pip) and the folded name of a package."""

PROBE = r"""
[ ! -e /etc/os-release ] || (. /etc/os-release && echo "os $ID $VERSION_ID")
dpkg-query -W -f='${db:Status-Status} apt ${Package} ${Version}\n' 2> /dev/null | sed -n 's/^installed //p'
[ ! -e /lib/apk/db/installed ] || awk -F: '/^P:/ {name = $2} /^V:/ {print "apk", name, $2}' /lib/apk/db/installed
python=$(command -v python || command -v python3) && "$python" -c '
import glob, importlib.metadata, json, sys
for each in importlib.metadata.distributions():
    print("pip", each.metadata["Name"], each.version, (each.read_text("INSTALLER") or "").strip())
for ecosystem, pattern in (
    ("conda", "/conda-meta/*.json"),
    ("npm", "/lib/node_modules/*/package.json"),
    ("npm", "/lib/node_modules/@*/*/package.json"),
):
    for path in glob.glob(glob.escape(sys.prefix) + pattern):
        with open(path, encoding="utf-8") as file:
            about = json.load(file)
        print(ecosystem, about["name"], about["version"])
'
exit 0
"""
"""A shell script that prints `os ID RELEASE`, and `ecosystem name version` of each package in its container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What an image has. `labels` and `platform` are of its configuration, `distribution` is `debian 13`.

    `names` are those of the packages before they were folded; `by_conda` are pip packages that came as conda packages.
    """

    labels: Mapping[str, str]
    platform: str
    distribution: str
    versions: Mapping[Package, str]
    names: Mapping[Package, str] = field(default_factory=dict)
    by_conda: frozenset[str] = frozenset()

    def of(self, ecosystem: str) -> dict[str, str]:
        """Name → version; a Python package that conda installed is a package of conda only."""
        left_out = self.by_conda if ecosystem == "pip" else ()
        return {
            name if ecosystem == "pip" else self.names[each, name]: version
            for (each, name), version in sorted(self.versions.items())
            if each == ecosystem and name not in left_out
        }

    @property
    def system(self) -> System | None:
        """The packages of the distribution, as a lock records them."""
        for kind in ("apt", "apk"):
            if packages := self.of(kind):
                return System(kind=kind, distribution=self.distribution, platform=self.platform, packages=packages)
        return None


def versions(probed: str) -> dict[Package, str]:
    """The version of each package, from what PROBE prints."""
    return {(kind, folded(name)): version for kind, name, version, _ in _lines(probed)}


def parse(inspected: str, probed: str) -> Installed:
    """What an image has, from what `docker image inspect REFERENCE` and PROBE print."""
    (image,) = json.loads(inspected)
    found = versions(probed)
    by_conda = (
        folded(name)
        for kind, name, version, installer in _lines(probed)
        if kind == "pip" and (installer == "conda" or found.get(("conda", folded(name))) == version)
    )
    system = next((line.split()[1:] for line in probed.splitlines() if line.startswith("os ")), [])
    return Installed(
        labels=(image.get("Config") or {}).get("Labels") or {},
        platform=f"{image['Os']}/{image['Architecture']}",
        distribution=" ".join(system),
        versions=found,
        names={(kind, folded(name)): name for kind, name, _, _ in _lines(probed)},
        by_conda=frozenset(by_conda),
    )


def _lines(probed: str) -> list[tuple[str, str, str, str]]:
    """Ecosystem, name, version and, of Python packages, installer."""
    words = [[*line.split(), ""] for line in probed.splitlines() if not line.startswith("os ")]
    return [(each[0], each[1], each[2], each[3]) for each in words if len(each) >= 4]
