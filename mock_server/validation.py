"""A fixture held against its JSON Schema: every problem as one plain sentence with file, line and pointer."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from referencing import Registry

from mock_server.masking import printable
from mock_server.names import advice
from usage_contract import Source, SourceError
from usage_contract.sources import pointer

SHOWN = 20

KINDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}

# Half of a character outside the Basic Multilingual Plane: no encoding of JSON has it.
SURROGATE = re.compile("[\\ud800-\\udfff]")

Tokens = tuple[str | int, ...]
Problem = tuple[Tokens, str, str]


class FixtureError(Exception):
    """A fixture that cannot be used; `errors` holds all of its problems, in the file's order."""

    def __init__(self, errors: Iterable[SourceError]) -> None:
        self.errors = sorted(errors, key=lambda error: (error.line, error.pointer))
        super().__init__(*self.errors)

    def __str__(self) -> str:
        lines = [printable(str(error)) for error in self.errors[:SHOWN]]  # a name in a fixture may hold anything
        if len(self.errors) > SHOWN:
            lines.append(f"... and {len(self.errors) - SHOWN} more")
        return "\n".join(lines)


def problems(source: Source, schema: Mapping[str, Any], schemas: Registry[Any]) -> list[SourceError]:
    """Return everything that is wrong with a parsed fixture, one error for each problem."""
    try:
        # Only what YAML has beyond JSON comes first: JSON Schema does not speak of such values.
        found = list(_not_json(source.data)) or list(_violations(source.data, schema, schemas))
    except RecursionError:
        found = [((), "is nested too deeply", "")]
    return [source.error(pointer(*tokens), problem, advice) for tokens, problem, advice in found]


def _not_json(value: Any, at: Tokens = ()) -> Iterator[Problem]:
    if isinstance(value, float) and not math.isfinite(value):
        yield at, "must be a finite number", ""
    if isinstance(value, str) and SURROGATE.search(value):
        yield at, "contains half of a surrogate pair", ""
    for token, child in _children(value):
        if isinstance(value, dict) and not isinstance(token, str):
            yield (*at, str(token)), f"is a name that YAML reads as {_kind(token)}", "put quotes around it"
        elif isinstance(token, str) and SURROGATE.search(token):
            yield (*at, token), "is a name with half of a surrogate pair", ""
        yield from _not_json(child, (*at, token if isinstance(token, int | str) else str(token)))


def _children(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def _violations(data: Any, schema: Mapping[str, Any], schemas: Registry[Any]) -> Iterator[Problem]:
    for error in VALIDATOR(schema, registry=schemas).iter_errors(data):
        yield from SENTENCES[str(error.validator)](error)


def _type(error: ValidationError) -> Iterator[Problem]:
    yield _place(error), f"must be {KINDS[str(error.validator_value)]}, not {_kind(error.instance)}", ""


def _required(error: ValidationError) -> Iterator[Problem]:
    # jsonschema yields one error for each missing name and tells the name only in its message.
    yield _place(error), f"{error.message.removesuffix(' is a required property')} is missing", ""


def _additional(error: ValidationError) -> Iterator[Problem]:
    names = list(_schema(error)["properties"])
    instance: Any = error.instance
    for name in instance:
        if name not in names:
            yield (*error.absolute_path, name), "is not a name that is known here", advice(name, names)


def _minimum(error: ValidationError) -> Iterator[Problem]:
    yield _place(error), f"must be at least {error.validator_value}, not {error.instance}", ""


def _maximum(error: ValidationError) -> Iterator[Problem]:
    yield _place(error), f"must be at most {error.validator_value}", ""


def _empty(error: ValidationError) -> Iterator[Problem]:
    yield _place(error), "must not be empty", ""


def _pattern(error: ValidationError) -> Iterator[Problem]:
    described = _schema(error)["description"]
    yield _place(error), "cannot be used as a name", f"it is {described[0].lower()}{described[1:].rstrip('.')}"


def _enum(error: ValidationError) -> Iterator[Problem]:
    names: Any = error.validator_value
    yield _place(error), f"must not be {error.instance!r}", advice(str(error.instance), names)


def _is(error: ValidationError) -> Iterator[Problem]:
    yield _place(error), f"is no {error.validator_value}: {error.message}", ""


def _not_above(error: ValidationError) -> Iterator[Problem]:
    yield _place(error), error.message, ""


def _schema(error: ValidationError) -> Mapping[str, Any]:
    assert isinstance(error.schema, Mapping)  # only `true` and `false` are not, and neither has a keyword
    return error.schema


def _place(error: ValidationError) -> Tokens:
    """Return where an error is; a name that breaks `propertyNames` is the place itself."""
    place = tuple(error.absolute_path)
    return (*place, str(error.instance)) if "propertyNames" in error.absolute_schema_path else place


def _kind(value: Any) -> str:
    if isinstance(value, float):
        return "a number with a fraction" if value % 1 else "a number"
    for name, kind in KINDS.items():
        if VALIDATOR({}).is_type(value, name):
            return kind
    return f"a {type(value).__name__}"


def _check_not_above(_: Any, limits: Mapping[str, str], instance: Any, __: Any) -> Iterator[ValidationError]:
    """Check the one thing that JSON Schema cannot say: one member is at most another."""
    for low, high in limits.items():
        lower, higher = (instance.get(name) if isinstance(instance, dict) else None for name in (low, high))
        if isinstance(lower, int | float) and isinstance(higher, int | float) and lower > higher:
            yield ValidationError(f"must not be above {high!r}: {lower} is more than {higher}", path=[low])


def _check_is(_: Any, form: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    """Check what JSON Schema leaves to formats, which are optional, and to nobody."""
    try:
        if isinstance(instance, str):
            FORMS[form](instance)
    except (ValueError, LookupError, re.error) as error:
        yield ValidationError(str(error))


FORMS: Mapping[str, Callable[[str], object]] = {
    "regular expression": re.compile,
    "base64 text": lambda text: base64.b64decode(text, validate=True),
    "character encoding": "".encode,  # Python has also codecs for what is no text
}

VALIDATOR = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"x-not-above": _check_not_above, "x-is": _check_is}
)

# A keyword of a schema in `fixtures/` that is missing here fails a test.
SENTENCES: Mapping[str, Callable[[ValidationError], Iterator[Problem]]] = {
    "type": _type,
    "required": _required,
    "additionalProperties": _additional,
    "minimum": _minimum,
    "maximum": _maximum,
    "minLength": _empty,
    "minItems": _empty,
    "minProperties": _empty,
    "enum": _enum,
    "pattern": _pattern,
    "x-is": _is,
    "x-not-above": _not_above,
}
