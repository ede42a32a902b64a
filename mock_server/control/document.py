"""The control API's own OpenAPI document: what it says is what is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from usage_contract import read

PATH = Path(__file__).with_name("openapi.yaml")


@dataclass(frozen=True)
class Operation:
    """One operation: the schemas of its query (as a mapping) and of its body, and whether anybody may see it."""

    id: str
    query: Mapping[str, Any]
    body: Mapping[str, Any] | None
    needs_body: bool
    is_public: bool


@cache
def document() -> dict[str, Any]:
    """Return the document as it is written."""
    data: dict[str, Any] = read(PATH).data
    return data


@cache
def operations() -> Mapping[str, Mapping[str, Operation]]:
    """Return the operations by path and method."""
    whole = _inlined(document(), document())
    return {
        path: {method.upper(): _operation(facts) for method, facts in item.items()}
        for path, item in whole["paths"].items()
    }


def _operation(facts: Mapping[str, Any]) -> Operation:
    body = facts.get("requestBody", {})
    query = {each["name"]: each["schema"] for each in facts.get("parameters", ())}
    return Operation(
        id=facts["operationId"],
        query={"type": "object", "additionalProperties": False, "properties": query},
        body=body["content"]["application/json"]["schema"] if body else None,
        needs_body=body.get("required", False),
        is_public=facts.get("security") == [],
    )


def _inlined(value: Any, whole: Mapping[str, Any]) -> Any:
    """Return a part of the document with its references replaced by what they refer to: none of them is circular."""
    if isinstance(value, list):
        return [_inlined(each, whole) for each in value]
    if not isinstance(value, dict):
        return value
    target: Any = whole
    for name in value["$ref"].removeprefix("#/").split("/") if "$ref" in value else ():
        target = target[name]
    referred = _inlined(target, whole) if "$ref" in value else {}
    return referred | {name: _inlined(each, whole) for name, each in value.items() if name != "$ref"}
