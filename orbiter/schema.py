"""Checks a Document against the JSON schema and says what is wrong in sentences."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from orbiter.diagnostics import Finding, Path, dotted
from orbiter.errors import UsageError
from orbiter.source import Document

Schema = dict[str, Any]

_ARTICLES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping (key: value)",
    "null": "empty",
}


def parse(text: str, options: Mapping[str, Schema]) -> Schema:
    """The schema, with a closed branch for each of the project's own builders.

    `options` maps the name of such a builder to the JSON schema of its options: `properties` and, if it
    likes, `required`. The keys that every image has are always allowed beside them.
    """
    schema: Schema = json.loads(text)
    image = schema["definitions"]["image"]
    closed = (
        schema["definitions"]["pip_builder"]["properties"] | schema["definitions"]["micromamba_builder"]["properties"]
    )
    for name, own in options.items():
        branch = {
            **own,
            "type": "object",
            "properties": closed | own.get("properties", {}),
            "additionalProperties": False,
        }
        schema["definitions"][name] = branch
        condition = {"required": ["builder"], "properties": {"builder": {"const": name}}}
        image["allOf"].append({"if": condition, "then": {"$ref": f"#/definitions/{name}"}})
    return schema


def options(text: str, builder: str) -> Schema:
    """The option schema of a project's own builder. Raises UsageError if it is none."""
    place = f"templates/{builder}/schema.json"
    try:
        schema = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{place}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    if not isinstance(schema, dict) or not isinstance(schema.get("properties", {}), dict):
        raise UsageError(f'{place}: a JSON schema of an object: {{"properties": {{"option": {{"type": "string"}}}}}}')
    if '"$ref"' in text:
        raise UsageError(f"{place}: '$ref' is not followed there; write the rule out")
    from jsonschema_rs import ValidationError, meta

    try:
        meta.validate({"$schema": "http://json-schema.org/draft-07/schema#", **schema})
    except ValidationError as error:
        where = dotted(tuple(error.instance_path)) or "the whole"
        raise UsageError(f"{place}: {where}: not a JSON schema (draft 7): {error.message}") from error
    return schema


def builders(schema: Schema) -> tuple[str, ...]:
    """Names of the builders that the schema has a branch for, in its order."""
    branches = schema["definitions"]["image"]["allOf"]
    return tuple(b["if"]["properties"]["builder"]["const"] for b in branches if "properties" in b["if"])


def check(document: Document, schema: Schema) -> tuple[Finding, ...]:
    """All findings of the document, in no particular order; none if it is valid."""
    # A compiled validator in Rust: 1,000 images take 2 ms, where the Python one takes 200 (docs/adr/0004).
    from jsonschema_rs import Draft7Validator

    found: list[Finding] = []
    for error in Draft7Validator(schema).iter_errors(document.data):
        found += _explain(document, schema, tuple(error.instance_path), error.kind, tuple(error.schema_path))
    found += _unknown_builders(document, builders(schema))
    found += _misspelt_lists(document, schema)
    return _without_echoes(found)


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be, or None."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint: the closest known word, else all of them."""
    known = list(known)
    match = closest(word, known)
    return f"did you mean '{match}'?" if match else f"known: {', '.join(known)}"


def _explain(document: Document, schema: Schema, path: Path, kind: Any, where: Path) -> Iterator[Finding]:
    rule = _at(schema, where[:-1])
    value = document.value(path)
    match kind.name:
        case "additionalProperties":
            for key in kind.unexpected:
                yield _unknown_key(document, path, key, list(rule["properties"]))
        case "propertyNames":
            names, key = _at(schema, where[: where.index("propertyNames") + 1]), kind.error.instance
            if "enum" in names:
                yield _unknown_key(document, path, key, names["enum"])
            else:
                yield Finding(
                    span=document.span((*path, key), key=True),
                    path=(*path, key),
                    message=f"bad name '{_short(key)}'",
                    hint=names.get("patternErrorMessage"),
                )
        case "required":
            yield _finding(
                document, path, f"missing key '{kind.property}'", _example(schema, where[:-1], path, kind.property)
            )
        case "type" if where[0] == "additionalProperties":
            yield _unknown_key(document, (), str(path[0]), list(schema["properties"]))
        case "type":
            yield _wrong_type(document, path, value, kind.types, _example(schema, where[:-1], path))
        case "pattern":
            yield _finding(document, path, f"bad value '{_short(value)}'", rule.get("patternErrorMessage"))
        case "minimum" | "maximum":
            bound = "less" if kind.name == "minimum" else "more"
            yield _finding(document, path, f"{value} is {bound} than {kind.limit}, the {kind.name}")
        case "minLength" | "minItems" | "minProperties":
            yield _finding(document, path, "is empty", _example(schema, where[:-1], path))
        case "maxLength":
            yield _finding(document, path, f"is longer than {kind.limit} characters")
        case "enum" | "const":
            allowed = kind.options if kind.name == "enum" else [kind.expected_value]
            yield _finding(document, path, f"must be {' or '.join(map(json.dumps, allowed))}, not {json.dumps(value)}")
        case _:
            # Only a project's own builder has such a rule; Orbiter's schema has a sentence for each of its own.
            limit = json.dumps(rule[where[-1]])
            yield _finding(
                document, path, f"breaks the rule '{where[-1]}: {_short(limit)}' of the builder's schema.json"
            )


def _finding(document: Document, path: Path, message: str, hint: str | None = None) -> Finding:
    return Finding(span=document.span(path), path=path, message=message, hint=hint, defined=document.defined(path))


def _unknown_key(document: Document, path: Path, key: str, known: Sequence[str]) -> Finding:
    moved = _elsewhere(document, path, key)
    return Finding(
        span=document.span((*path, key), key=True),
        path=path,
        message=f"unknown key '{_short(key)}'",
        hint=moved or did_you_mean(key, known),
        defined=document.defined((*path, key)),
    )


def _elsewhere(document: Document, path: Path, key: str) -> str | None:
    """Where a package section belongs that this builder does not take."""
    image = document.value(path)
    builder = image.get("builder") if isinstance(image, dict) else None
    if key not in ("pip", "npm", "conda") or not isinstance(builder, str):
        return None
    family, _, role = builder.rpartition("_")
    if role in ("core", "deploy") and family in ("pip", "micromamba"):
        return f"{builder} installs operating system packages only; '{key}' goes into an image of {family}_builder"
    if builder == "pip_builder":
        return "pip_builder installs from pip and npm; conda packages need micromamba_builder"
    if builder == "micromamba_builder" and key == "pip":
        return "write it into conda.dependencies, as 'pip: [...]'"
    return None


def _wrong_type(document: Document, path: Path, value: Any, types: Sequence[str], example: str | None) -> Finding:
    wanted = " or ".join(_ARTICLES[name] for name in types if name != "null" or len(types) == 1)
    text = document.text(path) if isinstance(value, bool | int | float) else None
    if text is not None and "string" in types:
        kind = "true or false" if isinstance(value, bool) else "a number"
        return _finding(document, path, f"{text} is {kind} here, not text", f'quote it: "{text}"')
    got = "nothing" if value is None else _ARTICLES[_kind(value)]
    return _finding(document, path, f"must be {wanted}, not {got}", example)


def _unknown_builders(document: Document, known: Sequence[str]) -> Iterator[Finding]:
    for path, image in _images(document.data):
        builder = image.get("builder")
        if isinstance(builder, str) and builder not in known:
            where = (*path, "builder")
            yield _finding(document, where, f"unknown builder '{_short(builder)}'", did_you_mean(builder, known))


def _images(data: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    build = data.get("build") if isinstance(data, dict) else None
    for family, images in build.items() if isinstance(build, dict) else ():
        for name, image in images.items() if isinstance(images, dict) else ():
            path: Path = ("build", family, name)
            while isinstance(image, dict):
                yield path, image
                path, image = (*path, "build"), image.get("build")


def _misspelt_lists(document: Document, schema: Schema) -> Iterator[Finding]:
    """A list at the top level may have any name, so only a near miss of a key of ours is suspicious."""
    sections = ("apk", "apt", "conda", "npm", "pip", "postbuild", "cmd", "tags", "env")
    for key, value in document.data.items() if isinstance(document.data, dict) else ():
        if isinstance(value, list) and key not in schema["properties"] and key not in sections:
            match = difflib.get_close_matches(key, schema["properties"], n=1, cutoff=0.8)
            if match:
                yield _unknown_key(document, (), key, match)


def _without_echoes(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """Without 'missing key' where a misspelt key of the same mapping is already reported as that key."""
    meant = {(f.path, f.hint) for f in found if f.message.startswith("unknown key")}
    kept = dict.fromkeys(
        f
        for f in found
        if not (
            f.message.startswith("missing key")
            and (f.path, f"did you mean {f.message.removeprefix('missing key ')}?") in meant
        )
    )
    return tuple(kept)


def _example(schema: Schema, where: Path, path: Path, key: str | None = None) -> str | None:
    """An example of the value that the rule at `where` is about, from the schema.

    `path` is the place of that value, or of the mapping that lacks `key`.
    """
    rule = _at(schema, where)
    if key is not None:
        rule = rule.get("properties", {}).get(key) or _property(schema, key)
    while "examples" not in rule and "$ref" in rule:
        rule = _at(schema, tuple(rule["$ref"].removeprefix("#/").split("/")))
    if "examples" not in rule:
        return None
    name = key or (path[-1] if path else None)
    prefix = f"{name}: " if isinstance(name, str) else ""
    return f"for example {prefix}{json.dumps(rule['examples'][0], ensure_ascii=False)}"


def _property(schema: Schema, key: str) -> Schema:
    found: Schema = schema["properties"].get(key, {})
    return found


def _at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    kinds = {str: "string", int: "integer", float: "number", list: "array", dict: "object"}
    return kinds[type(value)]


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
