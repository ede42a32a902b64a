"""JSON Schema validation of bodies, level by level."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from typing import Any, cast

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator

from contract_tests.wire.messages import Exchange
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.pacing import is_retry_after
from usage_contract import LEVELS, Contract, load
from usage_contract.contract import Level
from usage_contract.sources import pointer

MOST = 200  # items and problems of a body that are looked at: far more than usage metrics have
UNCHECKED = "unchecked"


@cache
def contract(level: Level) -> Contract:
    """Return the shipped contract of a level, loaded once."""
    return load(level)


def _first_items(validator: Validator, items: Any, instance: Any, schema: dict[str, Any]) -> Iterator[ValidationError]:
    """Validate the first items of an array, and mark the array where there are more."""
    if isinstance(instance, list) and len(instance) > MOST:
        yield from _items(validator, items, instance[:MOST], schema)
        yield ValidationError(f"of {len(instance)} items only the first {MOST} are looked at", validator=UNCHECKED)
    else:
        yield from _items(validator, items, instance, schema)


_items = Draft202012Validator.VALIDATORS["items"]
BoundedValidator = cast(
    "type[Validator]",
    validators.extend(  # type: ignore[no-untyped-call]
        Draft202012Validator, {"items": _first_items}
    ),
)


@cache
def validator(operation: str, status: str, level: Level) -> Validator:
    """Return the validator, formats asserted, of the body that a level documents for a status, if any."""
    described = contract(level).operations.get(operation)
    response = described.responses.get(status) if described else None
    schema = response.schema if response else None
    return BoundedValidator(schema or {}, format_checker=Draft202012Validator.FORMAT_CHECKER)


@dataclass(frozen=True)
class Findings:
    """The problems of a body: a sentence for each place and keyword, and why not all of it was checked."""

    sentences: tuple[tuple[tuple[Any, ...], str], ...] = ()
    unchecked: str = ""

    def __bool__(self) -> bool:
        return bool(self.sentences or self.unchecked)


def problems(operation: str, exchange: Exchange, level: Level) -> Iterator[str]:
    """Yield what is wrong with an answer's body at a level and was not already wrong at a lower one.

    Raises NotTested at the end where the body is too large to be checked as a whole.
    """
    known = {
        place for lower in LEVELS[: LEVELS.index(level)] for place, _ in _findings(operation, exchange, lower).sentences
    }
    found = _findings(operation, exchange, level)
    yield from (sentence for place, sentence in found.sentences if place not in known)
    if found.unchecked:
        raise NotTested(found.unchecked)


def invalid_members(operation: str, exchange: Exchange) -> frozenset[str]:
    """Return the members of the body whose values are not valid by the document and by the vendor's prose.

    Where only a part of the body was checked, these are all of its members.
    """
    found = _findings(operation, exchange, "documented")
    if found.unchecked:
        return frozenset(exchange.object)
    return frozenset(str(place[0]) for place, _ in found.sentences if len(place) > 1)


@lru_cache(maxsize=1024)  # several rules look at the same answers
def _findings(operation: str, exchange: Exchange, level: Level) -> Findings:
    higher = LEVELS[LEVELS.index(level) + 1 :][:1]
    if higher and not _findings(operation, exchange, *higher):
        return Findings()  # a higher level only adds to a lower one
    errors = islice(validator(operation, str(exchange.status), level).iter_errors(exchange.json.value), MOST)
    found = [(error.validator, _place(error), _sentence(error, exchange)) for error in errors]
    unchecked = [sentence for keyword, _, sentence in found if keyword == UNCHECKED]
    if len(found) == MOST:
        unchecked.append(f"only the first {MOST} problems of a body are looked at")
    sentences = tuple((place, sentence) for keyword, place, sentence in found if keyword != UNCHECKED)
    return Findings(sentences, next(iter(unchecked), ""))


def _place(error: ValidationError) -> tuple[Any, ...]:
    return (*error.absolute_path, error.validator)


def _sentence(error: ValidationError, exchange: Exchange) -> str:
    where = exchange.excerpt(pointer(*error.absolute_path)) or "the body"
    if error.validator == "anyOf":
        return f"{where} has none of the documented members"
    return f"{where}: {exchange.excerpt(error.message)}"


def header_problems(operation: str, exchange: Exchange) -> Iterator[str]:
    """Yield what is wrong with an answer's header fields, by the headers that its status documents."""
    documented = contract("documented").operations[operation].responses[str(exchange.status)].headers
    for name, described in documented.items():
        text = exchange.header(name)
        if text is None:
            if described.get("required"):
                yield f"{name} is missing"
            continue
        if name == "Retry-After" and not is_retry_after(text):
            shown = exchange.excerpt(text)
            yield f"Retry-After: '{shown}' is neither seconds nor an HTTP date (RFC 9110, section 10.2.3)"
        schema = described["schema"]
        value = _as_number(text) if schema.get("type") in {"number", "integer"} else text
        for error in Draft202012Validator(schema).iter_errors(value):
            yield f"{name}: {exchange.excerpt(error.message)}"


def _as_number(text: str) -> float | str:
    return float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text.strip()) else text
