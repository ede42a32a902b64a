"""The shipped documents are unchanged and valid, state their sources, and define each level."""

from __future__ import annotations

import builtins
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from tools import contract_examples
from usage_contract import LEVELS, Contract, ContractError, SourceError, load, read, read_document
from usage_contract.contract import shipped_documents
from usage_contract.levels import Level

SOURCES = ("document:", "authentication guide:", "errors guide:", "good practice:", "RFC ", "mock:")
# Names of classes that a generated client already has.
TAKEN = {*dir(builtins), "Error", "Request", "Response", "Headers", "Client", "Map", "Object", "Date", "Promise"}
# A path that every JSONPath library understands: no union, no filter and no descendants.
ONE_TARGET = r"\$(\.\w+|\['[^',]+'\]|\.\*)+"
OVERLAYS = ("documented", "advisory")
# The schemas of Overlay 1.0 and 1.1, reduced to the members that our overlays may use, so that other tools read them.
OVERLAY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["overlay", "info", "actions"],
    "additionalProperties": False,
    "properties": {
        "overlay": {"pattern": r"^1\.[01]\.\d+$"},
        "info": {
            "required": ["title", "version"],
            "additionalProperties": False,
            "properties": {"title": {}, "version": {}},
        },
        "extends": {"const": "openapi.yaml"},
        "actions": {
            "minItems": 1,
            "uniqueItems": True,
            "items": {
                "required": ["target", "description"],
                "oneOf": [{"required": ["update"]}, {"required": ["remove"]}],
                "additionalProperties": False,
                "properties": {
                    "target": {"pattern": r"^\$"},
                    "description": {"type": "string"},
                    "update": {},
                    "remove": {},
                },
            },
        },
    },
}


def test_the_vendors_document_is_unchanged() -> None:
    digest = hashlib.sha256((shipped_documents() / "openapi.yaml").read_bytes()).hexdigest()
    assert digest in (shipped_documents() / "README.md").read_text()
    assert load("specified").document["info"]["version"] == "2.2.0"


def test_wrong_arguments_are_rejected_with_a_hint() -> None:
    with pytest.raises(ValueError, match="level: 'specifid' is not a level; did you mean 'specified'"):
        load("specifid")  # type: ignore[arg-type]
    with pytest.raises(SourceError, match=r"/nowhere/openapi\.yaml: cannot be read"):
        load("specified", "/nowhere")


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_is_valid_openapi(level: Level) -> None:
    validate(load(level).document)


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlays_are_valid_for_other_tools(name: str) -> None:
    Draft202012Validator(OVERLAY_SCHEMA).validate(read(shipped_documents() / f"{name}.overlay.yaml").data)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_action_states_its_source(name: str) -> None:
    for action in read(shipped_documents() / f"{name}.overlay.yaml").data["actions"]:
        assert action["description"].startswith(SOURCES), action["description"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_action_has_one_target(name: str) -> None:
    for action in read_document(shipped_documents() / f"{name}.overlay.yaml").data["actions"]:
        assert re.fullmatch(ONE_TARGET, action["target"]), action["target"]


def schemas(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a document, which includes all of its schemas."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from schemas(part)


@pytest.mark.parametrize("level", LEVELS)
def test_generators_support_the_schemas(level: Level) -> None:
    document = load(level).document
    for schema in schemas(document):
        assert not ({"anyOf", "oneOf"} & schema.keys() and "properties" in schema)
        assert not {"minimum", "exclusiveMinimum"} <= schema.keys()
        assert not {"maximum", "exclusiveMaximum"} <= schema.keys()
    assert not TAKEN & document["components"]["schemas"].keys()


@pytest.mark.parametrize("level", LEVELS)
def test_every_operation_has_a_description_and_a_body(level: Level) -> None:
    contract = load(level)
    for path in contract.document["paths"].values():
        for operation in path.values():
            assert operation["summary"] and operation["description"] and operation["operationId"]
    assert all(operation.responses["200"].content for operation in contract.operations.values())


EXAMPLES = ("200", "401", "403", "429")


@pytest.mark.parametrize("level", LEVELS[1:])
def test_the_examples_are_valid(level: Level) -> None:
    document = load(level).document
    responses = document["paths"]["/usage"]["get"]["responses"]
    limited = document["components"]["responses"]["RateLimited"]
    for status in EXAMPLES:
        described = limited if status == "429" else responses[status]
        schema = load(level).operations["get_usage"].responses[status].schema
        Draft202012Validator(schema or False).validate(described["content"]["application/json"]["example"])
    for header in limited["headers"].values():
        Draft202012Validator(header["schema"]).validate(header["example"])
    assert responses["200"]["content"]["application/json"]["example"].keys() == (
        document["components"]["schemas"]["UsageResponse"]["properties"].keys()
    )


def test_the_examples_are_the_responses_of_the_shipped_deployment() -> None:
    assert contract_examples.OVERLAY.read_text() == contract_examples.overlay(), "run python -m tools.contract_examples"


def test_an_operation_has_the_members_of_the_document() -> None:
    operation = load("documented").operations["get_usage"]
    assert (str(operation), operation.key_header) == ("GET /usage", "X-API-Key")
    assert operation.responses["200"].media_type == "application/json"
    assert set(operation.responses["429"].headers) == {"Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining"}


CONTENT = load("documented").document["paths"]["/usage"]["get"]["responses"]["200"]["content"]
EXAMPLE: dict[str, Any] = CONTENT["application/json"]["example"]
BODIES: list[tuple[dict[str, Any], Level | None]] = [
    ({"total": "many"}, "specified"),
    ({}, "documented"),
    ({"detail": "no"}, "documented"),
    ({"success_rate": 101}, "documented"),
    ({"total": -1}, "documented"),
    ({"rate_limit": {"remaining": -0.1}}, "documented"),
    ({"by_protocol": {"ws": -1}}, "documented"),
    ({"top_domains": [{"domain": "d", "requests": 1}] * 21}, "documented"),
    ({"top_domains": [{"domain": "", "requests": 1}]}, "documented"),
    ({"top_domains": [{}]}, "documented"),
    ({"top_domains": [{"count": 1}]}, "documented"),
    ({"rate_limit": {"rps": -1}}, "documented"),
    ({"rate_limit": {"rps": 0}}, "advisory"),
    *(({name: value}, "advisory") for name, value in EXAMPLE.items()),
    *(({"top_domains": [{name: value}]}, "advisory") for name, value in EXAMPLE["top_domains"][0].items()),
    (EXAMPLE, None),
]


@pytest.mark.parametrize(("body", "refused_at"), BODIES, ids=range(len(BODIES)))
def test_a_level_rejects_bodies_that_lower_levels_accept(body: dict[str, Any], refused_at: Level | None) -> None:
    for level in LEVELS:
        schema = load(level).operations["get_usage"].responses["200"].schema
        valid = Draft202012Validator(schema or False).is_valid(body)
        assert valid == (refused_at is None or LEVELS.index(level) < LEVELS.index(refused_at))


def test_another_security_scheme_is_rejected() -> None:
    document = json.loads(json.dumps(load("specified").document))
    document["components"]["securitySchemes"]["ApiKeyHeader"]["in"] = "query"
    with pytest.raises(ContractError, match="only one API key in a header"):
        _ = Contract("specified", document).operations


def test_a_file_that_is_read_twice_has_equal_values_and_lines_that_are_not_shared(tmp_path: Path) -> None:
    path = tmp_path / "merged.yaml"
    path.write_text("a: &a {x: [1], y: 2}\nb:\n  <<: *a\n  y: 3\n")
    first, second = read(path), read(path)
    assert first.data == second.data == {"a": {"x": [1], "y": 2}, "b": {"x": [1], "y": 3}}
    assert first.line("/b/y") == second.line("/b/y") == 4
    first.data["a"]["x"].append(0)
    assert second.data == read(path).data


FILES = {
    b"a: 1\na: 2\n": (2, "repeats the name of line 1"),
    b"a:\n  - [\n": (3, "is not valid YAML"),
    b"a: caf\xe9\n": (1, "is not UTF-8 text"),
    b"": (1, "is empty"),
    b"- *x\n": (1, "is not valid YAML"),
}


@pytest.mark.parametrize("content", FILES, ids=range(len(FILES)))
def test_an_unreadable_file_is_reported_with_its_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    line, problem = FILES[content]
    with pytest.raises(SourceError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}:{line}")
    assert problem in str(error.value)


def test_a_missing_file_is_reported() -> None:
    with pytest.raises(SourceError, match="/nowhere: cannot be read: No such file or directory"):
        read(Path("/nowhere"))


def test_a_path_may_be_a_text(contract: Contract) -> None:
    assert load("documented", str(shipped_documents())).document == contract.document


def test_an_unknown_level_is_rejected_with_a_suggestion() -> None:
    with pytest.raises(ValueError, match=r"^level: 'documentd' is not a level; did you mean 'documented'\?$"):
        load("documentd")  # type: ignore[arg-type]  # the error under test
