"""JSON Schema validation of bodies, level by level."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator

from contract_tests.message import Answer
from contract_tests.transport import is_retry_after
from usage_contract import LEVELS, Contract, load
from usage_contract.contract import Level
from usage_contract.sources import pointer


@cache
def contract(level: Level) -> Contract:
    """Return the shipped contract of a level, loaded once."""
    return load(level)


@cache
def validator(operation: str, status: str, level: Level) -> Validator:
    """Return the validator, formats asserted, of the body that a level documents for a status, if any."""
    described = contract(level).operations.get(operation)
    response = described.responses.get(status) if described else None
    schema = response.schema if response else None
    return Draft202012Validator(schema or {}, format_checker=Draft202012Validator.FORMAT_CHECKER)


def problems(operation: str, answer: Answer, level: Level) -> Iterator[str]:
    """Yield what is wrong with an answer's body at a level and was not already wrong at a lower one."""
    known = {_place(e) for lower in LEVELS[: LEVELS.index(level)] for e in _errors(operation, answer, lower)}
    yield from (_sentence(error, answer) for error in _errors(operation, answer, level) if _place(error) not in known)


def invalid_members(operation: str, answer: Answer) -> frozenset[str]:
    """Return the members of the body whose values are not valid by the document and by the vendor's prose."""
    return frozenset(str(error.absolute_path[0]) for error in _errors(operation, answer, "documented") if error.path)


@lru_cache(maxsize=1024)  # several rules look at the same answers
def _errors(operation: str, answer: Answer, level: Level) -> tuple[ValidationError, ...]:
    higher = LEVELS[LEVELS.index(level) + 1 :][:1]
    if higher and not _errors(operation, answer, *higher):
        return ()  # a higher level only adds to a lower one
    return tuple(validator(operation, str(answer.status), level).iter_errors(answer.json.value))


def _place(error: ValidationError) -> tuple[Any, ...]:
    return (*error.absolute_path, error.validator)


def _sentence(error: ValidationError, answer: Answer) -> str:
    where = answer.excerpt(pointer(*error.absolute_path)) or "the body"
    if error.validator == "anyOf":
        return f"{where} has none of the documented members"
    return f"{where}: {answer.excerpt(error.message)}"


def header_problems(operation: str, answer: Answer) -> Iterator[str]:
    """Yield what is wrong with an answer's header fields, by the headers that its status documents."""
    documented = contract("documented").operations[operation].responses[str(answer.status)].headers
    for name, described in documented.items():
        text = answer.header(name)
        if text is None:
            if described.get("required"):
                yield f"{name} is missing"
            continue
        if name == "Retry-After" and not is_retry_after(text):
            shown = answer.excerpt(text)
            yield f"Retry-After: '{shown}' is neither seconds nor an HTTP date (RFC 9110, section 10.2.3)"
        schema = described["schema"]
        value = _as_number(text) if schema.get("type") in {"number", "integer"} else text
        for error in Draft202012Validator(schema).iter_errors(value):
            yield f"{name}: {answer.excerpt(error.message)}"


def _as_number(text: str) -> float | str:
    return float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text.strip()) else text
