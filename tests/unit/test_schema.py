"""The JSON schema and its sentences. What is said of a whole configuration is in tests/cases/error-*."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema_rs import Draft7Validator, meta

from orbiter import resources, schema, source
from orbiter.builders import BUILDERS
from orbiter.diagnostics import Path
from orbiter.errors import UsageError
from orbiter.schema import Schema

RULES = schema.parse(resources.schema(), {})
DEFINITIONS: Schema = RULES["definitions"]
BRANCHES = {
    name: rule["then"]["$ref"].rpartition("/")[2]
    for name, rule in zip(schema.builders(RULES), DEFINITIONS["image"]["allOf"], strict=False)
}
OWN = {"properties": {"cran": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}}}}


def properties(rule: Any, path: Path = ()) -> Iterator[tuple[Path, Schema]]:
    """Every property that a schema describes, however deep, with its path; not those that a condition asks for."""
    if isinstance(rule, dict):
        for name, each in rule.get("properties", {}).items() if path[-1:] != ("properties",) else ():
            yield (*path, name), each
        for key, each in rule.items():
            if key not in ("if", "examples"):
                yield from properties(each, (*path, key))
    elif isinstance(rule, list):
        for index, each in enumerate(rule):
            yield from properties(each, (*path, index))


def said(rule: Schema, key: str) -> Any:
    """What the rule, or one that it refers to, has under a key."""
    while key not in rule and "$ref" in rule:
        rule = DEFINITIONS[rule["$ref"].rpartition("/")[2]]
    return rule.get(key)


def findings(text: str, own: dict[str, Schema] | None = None) -> list[str]:
    document = source.load(text.encode(), "o.yaml")
    return sorted(map(str, schema.check(document, schema.parse(resources.schema(), own or {}))))


def image(builder: str, more: str = "") -> str:
    return f"build: {{d: {{core: {{image: 'debian:trixie', builder: {builder}{more}}}}}}}\n"


def test_the_schema_is_valid_draft_07() -> None:
    text = json.loads(resources.schema())
    assert text["$schema"] == "http://json-schema.org/draft-07/schema#"
    meta.validate(text)


@pytest.mark.parametrize(
    ("path", "rule"), [pytest.param(*each, id=".".join(map(str, each[0]))) for each in properties(RULES)]
)
def test_every_property_is_described_with_an_example(path: Path, rule: Schema) -> None:
    assert said(rule, "description")
    if path[-1] not in ("debug", "run"):  # ignored, whatever they hold
        assert said(rule, "examples")


def test_descriptions_are_sentences() -> None:
    texts = {said(rule, "description") for _, rule in properties(RULES)}
    assert [text for text in texts if not text[0].isupper() or text[-1] != "."] == []


def test_examples_and_defaults_are_valid() -> None:
    rules = [*DEFINITIONS.values(), *(rule for _, rule in properties(RULES))]
    for rule in rules:
        validator = Draft7Validator({"allOf": [rule], "definitions": DEFINITIONS})
        values = [*rule.get("examples", ()), *([rule["default"]] if "default" in rule else [])]
        assert [value for value in values if not validator.is_valid(value)] == []


def test_every_builder_has_a_branch_and_every_branch_a_builder() -> None:
    assert set(schema.builders(RULES)) == set(BUILDERS)
    assert set(BRANCHES) == set(BUILDERS)


@pytest.mark.parametrize("builder", BUILDERS)
def test_branches_are_closed(builder: str) -> None:
    assert findings(image(builder)) == []
    (finding,) = findings(image(builder, ", aptt: [git]"))
    assert finding.endswith("build.d.core: unknown key 'aptt'; did you mean 'apt'?")


def test_without_a_builder_every_key_of_a_builder_is_known() -> None:
    every = {key for branch in BRANCHES.values() for key in DEFINITIONS[branch]["properties"]}
    assert set(DEFINITIONS["image"]["allOf"][-1]["then"]["propertyNames"]["enum"]) == every


@pytest.mark.parametrize(
    ("builder", "key", "hint"),
    [
        ("pip_core", "pip", "'pip' goes into an image of pip_builder"),
        ("micromamba_core", "npm", "'npm' goes into an image of micromamba_builder"),
        ("micromamba_deploy", "conda", "'conda' goes into an image of micromamba_builder"),
        ("pip_builder", "conda", "conda packages need micromamba_builder"),
        ("micromamba_builder", "pip", "write it into conda.dependencies, as 'pip: [...]'"),
    ],
)
def test_a_section_of_another_builder_is_sent_there(builder: str, key: str, hint: str) -> None:
    (finding,) = findings(image(builder, f", {key}: []"))
    assert f"unknown key '{key}'" in finding
    assert hint in finding


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("user: jovyan\n", "o.yaml:1:1: missing key 'build'; for example build: {"),
        ("build: {}\n", "build: is empty; for example build: {"),
        ("build: [a]\n", "build: must be a mapping (key: value), not a list"),
        ("build: {d: {core: {builder: pip_core}}}\n", "missing key 'image'; for example image: "),
        ("build: {d: {Core: {image: 'a:1', builder: pip_core}}}\n", "bad name 'Core'; a name has small letters"),
        (f"uid: 0\n{image('pip_core')}", "uid: 0 is less than 1, the minimum"),
        (f"uid: 2147483648\n{image('pip_core')}", "uid: 2147483648 is more than 2147483647, the maximum"),
        (f"uid: '1000'\n{image('pip_core')}", "uid: must be a whole number, not text; for example uid: 1000"),
        (f"version: true\n{image('pip_core')}", 'version: true is true or false here, not text; quote it: "true"'),
        (f"version: 0.20\n{image('pip_core')}", 'version: 0.20 is a number here, not text; quote it: "0.20"'),
        (
            f"python: {{version: 3.x}}\n{image('pip_core')}",
            "o.yaml:1:19: python.version: bad value '3.x'; a Python version is",
        ),
        (f"maintainer:\n{image('pip_core')}", "maintainer: must be text, not nothing"),
        (f"docker: {{mount: ''}}\n{image('pip_core')}", "docker.mount: is empty"),
        (f"notes: hello\n{image('pip_core')}", "unknown key 'notes'"),
        (f"verison: x\n{image('pip_core')}", "unknown key 'verison'; did you mean 'version'?"),
        (f"defautls: [x]\n{image('pip_core')}", "unknown key 'defautls'; did you mean 'defaults'?"),
        (image("pip_builder", ", pip: {}"), "pip: must be a list, not a mapping (key: value); for example pip: ["),
        (image("pip_core", ", platforms: []"), "platforms: is empty; for example platforms: ["),
        (image("pip_core", ", env: {A: null}"), "env.A: must be text, not nothing"),
        (image("pip_cre"), "unknown builder 'pip_cre'; did you mean 'pip_core'?"),
    ],
)
def test_sentence(text: str, problem: str) -> None:
    (finding, *_) = findings(text)
    assert problem in finding


@pytest.mark.parametrize("text", ["apk: &a [bash]\n", "x-any: 3\n", "debug: true\nrun: [x]\n", "apt: [[a], b]\n"])
def test_a_document_may_carry_anchors_and_settings_of_the_original(text: str) -> None:
    assert findings(text + image("pip_core")) == []


def test_a_misspelt_key_is_not_missing_as_well() -> None:
    text = "build: {d: {core: {imgae: 'debian:trixie', builder: pip_core}}}\n"
    assert findings(text) == ["o.yaml:1:20: build.d.core: unknown key 'imgae'; did you mean 'image'?"]


def test_a_long_value_is_cut() -> None:
    (finding,) = findings(f"user: {'A' * 500}\n{image('pip_core')}")
    assert len(finding) < 250


def test_own_builder_adds_a_closed_branch() -> None:
    assert findings(image("r", ", cran: [ggplot], apt: [git]"), {"r": OWN}) == []
    (finding,) = findings(image("r", ", crn: [ggplot]"), {"r": OWN})
    assert "unknown key 'crn'; did you mean 'cran'?" in finding
    (finding,) = findings(image("r", ", cran: [A]"), {"r": OWN})
    assert "build.d.core.cran[0]: bad value 'A'" in finding


def test_own_builder_may_require_its_options() -> None:
    (finding,) = findings(image("r"), {"r": {**OWN, "required": ["cran"]}})
    assert "missing key 'cran'" in finding


def test_own_builder_leaves_the_schema_of_the_others_alone() -> None:
    (finding,) = findings(image("pip_core", ", cran: []"), {"r": OWN})
    assert "unknown key 'cran'" in finding


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "templates/r/schema.json:1:2: not JSON"),
        ("[]", "a JSON schema of an object"),
        ('{"properties": []}', "a JSON schema of an object"),
    ],
)
def test_schema_of_an_own_builder_that_is_none(text: str, problem: str) -> None:
    with pytest.raises(UsageError) as error:
        schema.options(text, "r")
    assert problem in str(error.value)


@pytest.mark.parametrize(
    "rule",
    [{"enum": ["a"]}, {"const": "a"}, {"maxItems": 1}, {"uniqueItems": True}, {"anyOf": [{"type": "string"}]}],
    ids=str,
)
def test_own_builder_may_use_any_keyword_of_json_schema(rule: Schema) -> None:
    (finding,) = findings(image("r", ", cran: [1, 1]"), {"r": {"properties": {"cran": rule}}})
    assert "build.d.core.cran: " in finding


def test_own_builder_with_a_rule_that_is_no_json_schema() -> None:
    with pytest.raises(UsageError, match=r"templates/r/schema\.json"):
        schema.options('{"properties": {"cran": {"type": "strin"}}}', "r")


def test_own_builder_with_a_reference() -> None:
    with pytest.raises(UsageError, match=r"templates/r/schema\.json: '\$ref' is not followed"):
        schema.options('{"properties": {"cran": {"$ref": "#/definitions/x"}}}', "r")


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("cor", ["core", "base"], "did you mean 'core'?"),
        ("python", ["core", "base"], "known: core, base"),
        ("x", [], "known: "),
    ],
)
def test_did_you_mean(word: str, known: list[str], hint: str) -> None:
    assert schema.did_you_mean(word, iter(known)) == hint
