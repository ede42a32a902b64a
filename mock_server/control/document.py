"""The control API's own OpenAPI document, against which every request is validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from referencing import Registry
from referencing.jsonschema import DRAFT202012

from mock_server.fixtures.validation import VALIDATOR, describe
from usage_contract import read_document
from usage_contract.sources import pointer

PATH = Path(__file__).with_name("openapi.yaml")

# The identifier of the document, to which the schemas of the operations refer.
URI = "urn:control"

SHOWN = 10


@dataclass(frozen=True)
class Operation:
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
    """Return the document."""
    data: dict[str, Any] = read_document(PATH).data
    return data


@cache
def _registry() -> Registry[Any]:
    registry: Registry[Any] = Registry().with_resource(URI, DRAFT202012.create_resource(document()))
    return registry


@cache
def operations() -> Mapping[str, Mapping[str, Operation]]:
    """Return the operations by path and method."""
    return {
        path: {method.upper(): _operation(path, method) for method in methods}
        for path, methods in document()["paths"].items()
    }


def problems(data: Any, schema: Mapping[str, Any], name: str) -> list[str]:
    """Return the problems of a body or a query as sentences, whose subject is its name."""
    errors = VALIDATOR(schema, registry=_registry()).iter_errors(data)
    found = [problem for error in errors for problem in describe(error)]
    return [f"{name} {pointer(*place)} {text}" if place else f"{name} {text}" for place, text in found[:SHOWN]]


def _operation(path: str, method: str) -> Operation:
    definition, place = document()["paths"][path][method], pointer("paths", path, method)
    body = definition.get("requestBody", {})
    parameters = {}
    for index, parameter in enumerate(definition.get("parameters", ())):
        at = parameter["$ref"].removeprefix("#") if "$ref" in parameter else place + pointer("parameters", index)
        parameters[at] = _registry().resolver(URI).lookup(f"{URI}#{at}").contents
    return Operation(
        id=definition["operationId"],
        query={
            "type": "object",
            "additionalProperties": False,
            "properties": {parameter["name"]: _ref(f"{at}/schema") for at, parameter in parameters.items()},
        },
        body=_ref(place + pointer("requestBody", "content", "application/json", "schema")) if body else None,
        needs_body=body.get("required", False),
        is_public=definition.get("security") == [],
        integers=frozenset(
            parameter["name"] for parameter in parameters.values() if _type(parameter["schema"]) == "integer"
        ),
    )


def _type(schema: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        schema = _registry().resolver(URI).lookup(URI + schema["$ref"]).contents
    return schema.get("type")


def _ref(place: str) -> dict[str, Any]:
    return {"$ref": f"{URI}#{quote(place)}"}
