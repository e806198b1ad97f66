"""Project + Lock → what is in an image, as a bill of materials: CycloneDX 1.6 or SPDX 2.3, as plain data for JSON.

The lock alone decides: the same lock gives the same text, whoever makes it and when. What a lock does not know is not
in it: the packages of the distribution unless they were recorded, what the base image has besides, and what
`postbuild` fetches. https://cyclonedx.org/docs/1.6/json/, https://spdx.github.io/spdx-spec/v2.3/,
https://github.com/package-url/purl-spec.
"""

import base64
import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orbiter import lock as locks
from orbiter.lock import CondaPackage, Entry, Lock, PipPackage, System
from orbiter.model import Image, Project
from orbiter.packages import folded
from orbiter.references import full_name

UNKNOWN_DATE = "1970-01-01T00:00:00Z"
"""SPDX has to have one; CycloneDX goes without where the lock knows none."""

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:")
"""What a package URL has as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A package or a base image. `files` are names or addresses of what it is installed from, empty where nobody knows,
    with the algorithm and the hexadecimal digest of each; `platforms` those that it is for where the image has others
    besides."""

    purl: str
    name: str
    version: str
    kind: str = "library"
    files: tuple[tuple[str, str, str], ...] = ()
    platforms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """All that is known of an image. `complete` says that the packages of its distribution are in it."""

    image: Component
    base: Component
    packages: tuple[Component, ...]
    date: str | None
    maintainer: str | None
    complete: bool = field(default=False)


def bill(project: Project, lock: Lock, image: Image) -> Bill:
    """What the lock knows of a published image of the project."""
    reference = project.reference(image.target)
    origin = locks.origin(project, image)
    found: dict[str, Component] = {}
    for target in (each.target for each in locks.contents(project, image)):
        for component in _of_entry(lock.targets[target]):
            found.setdefault(component.purl, component)
    system = lock.system.get(image.target)
    if system:
        found |= {component.purl: component for component in _of_system(system)}
    pinned = lock.images.get(origin, origin.partition("@")[2]) or None
    return Bill(
        image=_image(reference, None),
        base=_image(origin.partition("@")[0], pinned),
        packages=tuple(found[purl] for purl in sorted(found)),
        date=lock.epoch,
        maintainer=project.maintainer,
        complete=system is not None,
    )


def cyclonedx(bill: Bill) -> dict[str, Any]:
    """The bill as CycloneDX 1.6; its serial number is a hash of the rest."""
    components = (bill.base, *bill.packages)
    root = bill.image
    content: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            **({"timestamp": bill.date} if bill.date else {}),
            "lifecycles": [{"phase": "pre-build"}],
            "tools": {"components": [{"type": "application", "name": "orbiter"}]},
            **({"authors": [{"name": bill.maintainer}]} if bill.maintainer else {}),
            "component": _component(root),
        },
        "components": [_component(each) for each in components],
        "dependencies": [
            {"ref": root.purl, "dependsOn": sorted(each.purl for each in components)},
            *({"ref": each.purl} for each in sorted(components, key=lambda each: each.purl)),
        ],
        "compositions": [{"aggregate": "unknown" if bill.complete else "incomplete", "assemblies": [root.purl]}],
    }
    return {**content, "serialNumber": f"urn:uuid:{_identity(content)}"}


def spdx(bill: Bill) -> dict[str, Any]:
    """The bill as SPDX 2.3; the name of the document has a hash of the rest in it."""
    components = (bill.image, bill.base, *bill.packages)
    packages = [_package(each) for each in components]
    root = packages[0]["SPDXID"]
    content: dict[str, Any] = {
        "spdxVersion": "SPDX-2.3",
        "SPDXID": "SPDXRef-DOCUMENT",
        "dataLicense": "CC0-1.0",
        "name": f"{bill.image.name}:{bill.image.version}",
        "creationInfo": {"created": bill.date or UNKNOWN_DATE, "creators": ["Tool: orbiter"]},
        "packages": packages,
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": root},
            {"spdxElementId": root, "relationshipType": "DESCENDANT_OF", "relatedSpdxElement": packages[1]["SPDXID"]},
            *(
                {"spdxElementId": root, "relationshipType": "CONTAINS", "relatedSpdxElement": each["SPDXID"]}
                for each in packages[2:]
            ),
        ],
    }
    return {**content, "documentNamespace": f"urn:uuid:{_identity(content)}"}


FORMATS = {"cyclonedx": (cyclonedx, "cdx.json"), "spdx": (spdx, "spdx.json")}
"""Name of a format → what writes it, and how names of its files end."""


def _of_entry(entry: Entry) -> Iterator[Component]:
    yield from map(_pip, entry.pip)
    for subdir, packages in entry.conda.items():
        yield from (_conda(package, subdir) for package in packages)
    for path, node in entry.npm.items():
        if path and "version" in node:
            yield _npm(node.get("name") or path.rpartition("node_modules/")[2], node)


def _pip(package: PipPackage) -> Component:
    name, qualifiers = folded(package.name), {}
    if package.url:
        qualifiers = {"vcs_url" if package.url.startswith("git+") else "download_url": package.url}
    return Component(
        purl=_purl("pypi", name, package.version, qualifiers),
        name=name,
        version=package.version,
        files=tuple((file, "SHA-256", digest.removeprefix("sha256:")) for file, digest in package.files.items()),
        platforms=package.platforms,
    )


def _conda(package: CondaPackage, subdir: str) -> Component:
    channel = package.url.rsplit("/", 3)[1]
    kind = "conda" if package.url.endswith(".conda") else "tar.bz2"
    qualifiers = {"build": package.build, "channel": channel, "subdir": subdir, "type": kind}
    return Component(
        purl=_purl("conda", package.name, package.version, qualifiers),
        name=package.name,
        version=package.version,
        files=((package.url, "SHA-256", package.sha256),),
    )


def _npm(name: str, node: Mapping[str, Any]) -> Component:
    algorithm, _, digest = str(node.get("integrity", "")).split(" ")[0].partition("-")
    known = {"sha512": "SHA-512", "sha256": "SHA-256", "sha1": "SHA-1"}
    scope, _, rest = name.rpartition("/")
    return Component(
        purl=_purl("npm", rest, node["version"], namespace=scope),
        name=name,
        version=node["version"],
        files=((node.get("resolved", ""), known[algorithm], base64.b64decode(digest).hex()),)
        if algorithm in known
        else (),
    )


def _of_system(system: System) -> Iterator[Component]:
    distribution, _, release = system.distribution.partition(" ")
    architecture = system.platform.partition("/")[2]
    if system.kind == "apk":
        architecture = {"amd64": "x86_64", "arm64": "aarch64"}.get(architecture, architecture)
    qualifiers = {"arch": architecture, "distro": f"{distribution}-{release}" if release else distribution}
    for name, version in system.packages.items():
        kind = "deb" if system.kind == "apt" else "apk"
        yield Component(purl=_purl(kind, name, version, qualifiers, namespace=distribution), name=name, version=version)


def _image(reference: str, digest: str | None) -> Component:
    """https://github.com/package-url/purl-spec/blob/main/types/oci-definition.json: the version is the digest."""
    path, _, last = full_name(reference).rpartition("/")
    name, _, tag = last.partition(":")
    repository = f"{path}/{name}"
    qualifiers = {"repository_url": repository, **({"tag": tag} if tag else {})}
    return Component(
        purl=_purl("oci", name.lower(), digest or "", qualifiers),
        name=repository.removeprefix("docker.io/").removeprefix("library/"),
        version=tag,
        kind="container",
        files=(("", "SHA-256", digest.removeprefix("sha256:")),) if digest else (),
    )


def _purl(
    kind: str, name: str, version: str, qualifiers: Mapping[str, str] | None = None, *, namespace: str = ""
) -> str:
    path = "/".join(_quoted(part) for part in (namespace, name) if part)
    query = "&".join(
        f"{key}={'/'.join(map(_quoted, value.split('/')))}" for key, value in sorted((qualifiers or {}).items())
    )
    return f"pkg:{kind}/{path}" + (f"@{_quoted(version)}" if version else "") + (f"?{query}" if query else "")


def _quoted(text: str) -> str:
    return "".join(
        character if character in _PLAIN else "".join(f"%{byte:02X}" for byte in character.encode())
        for character in text
    )


def _component(component: Component) -> dict[str, Any]:
    files = component.files
    data: dict[str, Any] = {
        "type": component.kind,
        "bom-ref": component.purl,
        "name": component.name,
        "version": component.version,
        "purl": component.purl,
    }
    if not component.version:
        del data["version"]
    if len(files) == 1:
        data["hashes"] = [{"alg": algorithm, "content": digest} for _, algorithm, digest in files]
    references = [
        {"type": "distribution", "url": file, "hashes": [{"alg": algorithm, "content": digest}]}
        for file, algorithm, digest in files
        if file
    ]
    if references:
        data["externalReferences"] = references
    if component.platforms:
        data["properties"] = [{"name": "orbiter:platforms", "value": ",".join(component.platforms)}]
    return data


def _package(component: Component) -> dict[str, Any]:
    data: dict[str, Any] = {
        "SPDXID": f"SPDXRef-{hashlib.sha256(component.purl.encode()).hexdigest()[:16]}",
        "name": component.name,
        "versionInfo": component.version,
        "primaryPackagePurpose": component.kind.upper(),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": component.purl}
        ],
    }
    if len(component.files) == 1:
        ((_, algorithm, digest),) = component.files
        data["checksums"] = [{"algorithm": algorithm.replace("-", ""), "checksumValue": digest}]
    return data


def _identity(content: Mapping[str, Any]) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
