"""The control API's own OpenAPI document, against which every request is validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from referencing import Registry
from referencing.jsonschema import DRAFT202012

from mock_server.fixtures import validation
from mock_server.fixtures.edits import replaced
from mock_server.fixtures.files import schema
from usage_contract import read_document
from usage_contract.sources import as_yaml

PATH = Path(__file__).with_name("openapi.yaml")

# The identifier of the document, to which the schemas of the operations refer.
URI = "urn:control"

SHOWN = 10


@dataclass(frozen=True)
class ControlOperation:
    """One operation.

    Attributes:
        id: The `operationId`.
        query: The JSON Schema of the query, as a mapping.
        body: The JSON Schema of the body; None for an operation without one.
        needs_body: The body is required.
        is_public: The operation needs no token.
        integers: The names of the query parameters that are integers.
    """

    id: str
    query: Mapping[str, Any]
    body: Mapping[str, Any] | None
    needs_body: bool
    is_public: bool
    integers: frozenset[str]


@cache
def document() -> dict[str, Any]:
    """Return the document, with the facts of a key as a deployment file has them."""
    data: dict[str, Any] = read_document(PATH).data
    schemas, facts = data["components"]["schemas"], _as_components(schema("deployment.schema.json").contents["$defs"])
    schemas["NewKey"]["properties"] |= facts.pop("key")["properties"]
    schemas |= facts
    return data


@cache
def document_as_yaml() -> str:
    """Return the document as YAML."""
    return as_yaml(document())


def _as_components(part: Any) -> Any:
    """Return definitions of a JSON Schema as components, without keywords that JSON Schema does not define."""
    if isinstance(part, dict):
        return {name: _as_components(value) for name, value in part.items() if not name.startswith("x-")}
    return part.replace("#/$defs/", "#/components/schemas/") if isinstance(part, str) else part


@cache
def _absolute() -> Any:
    """Return the document with absolute references: its parts can be used on their own."""
    return replaced(document(), lambda text, member: URI + text if member == "$ref" else text)


@cache
def _registry() -> Registry[Any]:
    registry: Registry[Any] = Registry().with_resource(URI, DRAFT202012.create_resource(_absolute()))
    return registry


@cache
def operations() -> Mapping[str, Mapping[str, ControlOperation]]:
    """Return the operations by path and method."""
    return {
        path: {method.upper(): _operation(definition) for method, definition in methods.items()}
        for path, methods in _absolute()["paths"].items()
    }


def problem_lines(data: Any, schema: Mapping[str, Any], name: str) -> list[str]:
    """Return the problems of a body or a query as lines that begin with its name."""
    return validation.lines(validation.problems(data, schema, _registry())[:SHOWN], name)


def _operation(definition: Mapping[str, Any]) -> ControlOperation:
    """Return the operation of a definition whose references are absolute."""
    body = definition.get("requestBody", {})
    parameters = {parameter["name"]: parameter for parameter in map(_resolved, definition.get("parameters", ()))}
    return ControlOperation(
        id=definition["operationId"],
        query={
            "type": "object",
            "additionalProperties": False,
            "properties": {name: parameter["schema"] for name, parameter in parameters.items()},
        },
        body=body["content"]["application/json"]["schema"] if body else None,
        needs_body=body.get("required", False),
        is_public=definition.get("security") == [],
        integers=frozenset(
            name for name, parameter in parameters.items() if _resolved(parameter["schema"]).get("type") == "integer"
        ),
    )


def _resolved(part: Any) -> Any:
    return _registry().resolver().lookup(part["$ref"]).contents if "$ref" in part else part
