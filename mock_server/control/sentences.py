"""What is wrong with a body or a query, as plain sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jsonschema import ValidationError

from mock_server.fixtures.validation import KINDS, SENTENCES, VALIDATOR
from usage_contract.sources import pointer

SHOWN = 10

Sentence = Callable[[ValidationError], str]


def wrong(data: Any, schema: Mapping[str, Any], where: str) -> list[str]:
    """Return one sentence for each thing that is wrong; `where` says what the data is."""
    return [sentence for error in VALIDATOR(schema).iter_errors(data) for sentence in _sentences(error, where)][:SHOWN]


def _sentences(error: ValidationError, where: str) -> Iterator[str]:
    keyword = str(error.validator)
    if keyword == "oneOf":
        yield from _of_nearest(error, where)
    elif keyword in OURS:
        yield f"{_named(where, pointer(*error.absolute_path))} {OURS[keyword](error)}"
    else:
        for place, problem, advice in SENTENCES[keyword](error):
            yield f"{_named(where, pointer(*place))} {problem}" + (f"; {advice}" if advice else "")


def _named(where: str, place: str) -> str:
    return f"{where} {place}" if place else where


def _of_nearest(error: ValidationError, where: str) -> Iterator[str]:
    """Yield what keeps the data from being the one of several things that has its type."""
    others = {each.schema_path[0] for each in error.context or () if each.validator == "type" and not each.path}
    found = [each for each in error.context or () if each.schema_path[0] not in others]
    if not found:
        yield f"{where} must be a mapping or a list of them"
    for each in found:
        yield from _sentences(each, where)


def _type(error: ValidationError) -> str:
    value: Any = error.validator_value
    kinds = [KINDS[kind] for kind in ([value] if isinstance(value, str) else value)]
    return f"must be {' or '.join(kinds)}"


def _depends(error: ValidationError) -> str:
    wanted: Any = error.validator_value
    given = [name for name in wanted if isinstance(error.instance, dict) and name in error.instance]
    return f"has {given[0]}, which is only for {wanted[given[0]][0]}"


OURS: Mapping[str, Sentence] = {
    "type": _type,
    "maxLength": lambda error: f"must have at most {error.validator_value} characters",
    "maxItems": lambda error: f"must have at most {error.validator_value} entries",
    "dependentRequired": _depends,
}
