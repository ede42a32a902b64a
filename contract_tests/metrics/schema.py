"""JSON Schema validation of bodies, level by level."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, lru_cache
from hashlib import sha256
from itertools import islice
from typing import Any, cast

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator

from contract_tests.wire.messages import Exchange
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.pacing import is_retry_after
from usage_contract import LEVELS, Contract, load
from usage_contract.levels import Level
from usage_contract.pointers import pointer

MOST_CHECKED = 200  # items and problems of a body that are checked: far more than usage metrics have
SHOWN_MEMBERS = 10  # names: more do not make a finding clearer
UNCHECKED = "unchecked"
TYPES = {
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "boolean": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
EXPECTED = {
    "const": "{}",
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "a string whose length is at least {}",
    "maxItems": "an array whose length is at most {}",
    "pattern": "a string that matches {}",
    "format": "a string of the format {}",
}


@cache
def contract(level: Level) -> Contract:
    """Return the shipped contract of a level, loaded once."""
    return load(level)


def _first_items(validator: Validator, items: Any, instance: Any, schema: dict[str, Any]) -> Iterator[ValidationError]:
    """Validate the first items of an array, and mark an array that has more.

    Most responses repeat an array of an earlier one: an array that was valid is not validated again.
    """
    if not isinstance(instance, list):
        return
    first = instance[:MOST_CHECKED]
    array = id(items), sha256(repr(first).encode("utf-8", "surrogatepass")).digest()
    if array not in _valid_arrays:
        is_valid = True
        for error in _items(validator, items, first, schema):
            is_valid = False
            yield error
        if is_valid:
            _valid_arrays.add(array)
    if len(instance) > MOST_CHECKED:
        message = f"of {len(instance)} items only the first {MOST_CHECKED} are checked"
        yield ValidationError(message, validator=UNCHECKED)


_valid_arrays: set[tuple[int, bytes]] = set()  # the schema of the items, which is never freed, and the array's digest
_items = Draft202012Validator.VALIDATORS["items"]
_extended = validators.extend(Draft202012Validator, {"items": _first_items})  # type: ignore[no-untyped-call]
BoundedValidator = cast("type[Validator]", _extended)


@cache
def validator(operation: str, status: str, level: Level) -> Validator:
    """Return the validator, formats asserted, of the body that a level documents for a status, if any."""
    described = contract(level).operations.get(operation)
    response = described.responses.get(status) if described else None
    schema = response.schema if response else None
    return BoundedValidator(schema or {}, format_checker=Draft202012Validator.FORMAT_CHECKER)


@dataclass(frozen=True)
class Problem:
    """One difference between a body, or a header field, and the document.

    `problem` is a sentence without a final period. `pointer` is the JSON Pointer of the body's member; None stands for
    the body as a whole, or for a header field. `expected` and `actual` are the two values that differ. Received text
    is shortened and redacted.
    """

    problem: str
    pointer: str | None = None
    expected: str | None = None
    actual: str | None = None


@dataclass(frozen=True)
class Validation:
    """The problems of a body by place and keyword, and the reason if not all of the body was checked."""

    problems: dict[tuple[Any, ...], Problem] = field(default_factory=dict)
    unchecked: str = ""

    def __bool__(self) -> bool:
        return bool(self.problems or self.unchecked)


def problems(operation: str, exchange: Exchange, level: Level) -> Iterator[Problem]:
    """Yield the problems of a response's body at a level that it does not have at a lower one.

    Raises:
        NotTested: At the end, where the body is too large to be checked as a whole.
    """
    lower_levels = LEVELS[: LEVELS.index(level)]
    known = {place for lower in lower_levels for place in _validation(operation, exchange, lower).problems}
    validation = _validation(operation, exchange, level)
    yield from (problem for place, problem in validation.problems.items() if place not in known)
    if validation.unchecked:
        raise NotTested(validation.unchecked)


def invalid_members(operation: str, exchange: Exchange) -> frozenset[str]:
    """Return the members of the body whose values are not valid at the level `documented`.

    Where only a part of the body was checked, these are all of its members.
    """
    validation = _validation(operation, exchange, "documented")
    if validation.unchecked:
        return frozenset(exchange.object)
    return frozenset(str(place[0]) for place in validation.problems if len(place) > 1)


def inexact_integers(operation: str, exchange: Exchange) -> Iterator[str]:
    """Yield the JSON Pointers of integers in a 200 body that are written with a decimal point or an exponent."""
    for error in validator(operation, "200", "specified").iter_errors(exchange.exact):
        value = error.instance
        if error.validator == "type" and isinstance(value, Decimal) and value == value.to_integral_value():
            yield exchange.excerpt(pointer(*error.absolute_path))


@lru_cache(maxsize=4096)  # several rules check the same responses
def _validation(operation: str, exchange: Exchange, level: Level) -> Validation:
    higher = LEVELS[LEVELS.index(level) + 1 :][:1]
    if higher and not _validation(operation, exchange, *higher):
        return Validation()  # a higher level only adds to a lower one
    found_errors = validator(operation, str(exchange.status), level).iter_errors(exchange.json.value)
    errors = list(islice(found_errors, MOST_CHECKED))
    unchecked = [error.message for error in errors if error.validator == UNCHECKED]
    if len(errors) == MOST_CHECKED:
        unchecked.append(f"only the first {MOST_CHECKED} problems of a body are checked")
    found = {
        (*error.absolute_path, error.validator): _problem(error, exchange)
        for error in errors
        if error.validator != UNCHECKED
    }
    return Validation(found, next(iter(unchecked), ""))


def _problem(error: ValidationError, exchange: Exchange) -> Problem:
    place = exchange.excerpt(pointer(*error.absolute_path)) or None
    subject = place or "the body"
    keyword, value, instance = str(error.validator), cast("Any", error.validator_value), cast("Any", error.instance)
    if keyword == "required":
        return Problem(f"{subject} lacks {', '.join(name for name in value if name not in instance)}", place)
    if keyword == "not" and _requires_any(value):
        expected = "one of the documented members"
    elif keyword == "type":
        expected = " or ".join(TYPES[name] for name in ([value] if isinstance(value, str) else value))
    elif keyword in EXPECTED:
        expected = EXPECTED[keyword].format(value if isinstance(value, str) else _described(value))
    else:
        return Problem(f"{subject}: {exchange.excerpt(error.message)}", place)
    return Problem(f"{subject} is not valid", place, expected, exchange.excerpt(_described(instance)))


def _requires_any(schema: Any) -> bool:
    """Whether the negation of a schema requires one of several members; see openapi/documented.overlay.yaml."""
    members = schema.get("allOf", ()) if isinstance(schema, dict) else ()
    return bool(members) and all(member.keys() == {"not"} and "required" in member["not"] for member in members)


def _described(value: Any) -> str:
    """Return a JSON value as its text, an object by its first members, and an array by its length."""
    if isinstance(value, dict):
        return f"an object with the members {', '.join(islice(value, SHOWN_MEMBERS))}" if value else "an empty object"
    return f"an array of length {len(value)}" if isinstance(value, list) else json.dumps(value, ensure_ascii=False)


def header_problems(operation: str, exchange: Exchange) -> Iterator[Problem]:
    """Yield the problems of a response's header fields that its status documents."""
    documented = contract("documented").operations[operation].responses[str(exchange.status)].headers
    for name, described in documented.items():
        text = exchange.header(name)
        if not exchange.values(name):
            if described.get("required"):
                yield Problem(f"{name} is missing")
            continue
        shown = f"'{exchange.excerpt(text)}'"
        if name == "Retry-After" and not is_retry_after(text):
            yield Problem("Retry-After is not valid (RFC 9110, section 10.2.3)", None, "seconds or an HTTP date", shown)
        schema = described["schema"]
        is_number = schema.get("type") in {"number", "integer"} and re.fullmatch(r"[0-9]+(\.[0-9]+)?", text.strip())
        value = float(text) if is_number else text
        for error in Draft202012Validator(schema).iter_errors(value):
            problem = _problem(error, exchange)
            yield Problem(f"{name} is not valid", None, problem.expected, shown)
