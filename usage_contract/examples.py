"""The examples of a document: each must be valid against the schema beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

from usage_contract.contract import Contract, DocumentError
from usage_contract.operations import MAPS, Problem, Reader
from usage_contract.sources import pointer


def check_examples(contract: Contract) -> None:
    """Raise DocumentError for an example that is not valid against its schema."""
    problems = list(_problems(contract.document, contract.document, ""))
    if problems:
        raise DocumentError(map(contract.located, problems))


def _problems(document: Any, value: Any, at: str, *, is_map: bool = False) -> Iterator[Problem]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if isinstance(value, dict) and not is_map and "schema" in value:
        validator = Draft202012Validator(Reader(document).own_schema(value["schema"], at + "/schema"))
        for place, example in _examples(value):
            for error in validator.iter_errors(example):
                where = at + place + pointer(*error.absolute_path)
                yield Problem(where, f"is not valid against its schema: {error.message}", "correct the example")
        return
    for token, member in members:
        if is_map or not (isinstance(token, str) and token.startswith("x-")):
            yield from _problems(document, member, at + pointer(token), is_map=not is_map and token in MAPS)


def _examples(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if "example" in value:
        yield "/example", value["example"]
    named = value.get("examples")
    for name, example in named.items() if isinstance(named, dict) else ():
        if isinstance(example, dict) and "value" in example:
            yield pointer("examples", name, "value"), example["value"]
