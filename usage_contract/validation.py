"""Checks of a document that can be used: its examples are valid, and its required members are described."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

from usage_contract.contract import Contract, DocumentError
from usage_contract.operations import DATA, MAPS, Problem, Reader, schemas
from usage_contract.pointers import parts, pointer

# Keywords whose schemas describe the same value as the schema that contains them.
SAME_VALUE = {"not", "allOf", "anyOf", "oneOf", "if", "then", "else"}


def check(contract: Contract) -> None:
    """Raise DocumentError for an example that is not valid, or a required member that no schema describes."""
    document = contract.document
    problems = [*_invalid_examples(document, document, "")]
    for at, schema in schemas(document):
        problems += _unknown_in(schema, at, None)
    if problems:
        raise DocumentError(map(contract.located, problems))


def _unknown_in(schema: Any, at: str, known: dict[str, Any] | None) -> Iterator[Problem]:
    """Yield the required members that are not described any more, for example after an overlay.

    `known` are the properties of a schema for the same value.
    """
    if not isinstance(schema, dict) or any("$ref" in part for part in (schema, *schema.get("allOf", ()))):
        return  # the referenced schema can describe the members
    known = schema.get("properties", known)
    for index, name in enumerate(schema.get("required", ()) if known is not None else ()):
        if name not in (known or ()):
            problem = f"requires {name!r}, which the properties do not describe"
            yield Problem(at + pointer("required", index), problem, "remove the name, or describe the member")
    for keyword in sorted(SAME_VALUE & schema.keys()):
        part, place = schema[keyword], at + pointer(keyword)
        branches = {pointer(index): item for index, item in enumerate(part)} if isinstance(part, list) else {"": part}
        for token, branch in branches.items():
            yield from _unknown_in(branch, place + token, known)
    members = {pointer("properties", name): member for name, member in schema.get("properties", {}).items()}
    for token, member in {**members, "/items": schema.get("items")}.items():
        yield from _unknown_in(member, at + token, None)


def _invalid_examples(document: Any, value: Any, at: str, *, is_map: bool = False) -> Iterator[Problem]:
    if isinstance(value, dict) and not is_map and "schema" in value:
        validator = Draft202012Validator(Reader(document).own_schema(value["schema"], at + "/schema"))
        for place, example in _examples(value):
            for error in validator.iter_errors(example):
                where = at + place + pointer(*error.absolute_path)
                yield Problem(where, f"is not valid against its schema: {error.message}", "correct the example")
        return
    for token, member in parts(value):
        if is_map or not (isinstance(token, str) and (token in DATA or token.startswith("x-"))):
            yield from _invalid_examples(document, member, at + pointer(token), is_map=not is_map and token in MAPS)


def _examples(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if "example" in value:
        yield "/example", value["example"]
    named = value.get("examples")
    for name, example in named.items() if isinstance(named, dict) else ():
        if isinstance(example, dict) and "value" in example:
            yield pointer("examples", name, "value"), example["value"]
