"""Criteria by which exchanges of the journal are selected."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypedDict
from urllib.parse import parse_qs

from mock_server.journal.entry import OUTCOMES, Entry, Outcome
from mock_server.masking import mask_key
from usage_contract.suggestions import suggest


class OtherCriteria(TypedDict, total=False):
    """Criteria that a request must meet, all of them, except its key.

    Attributes:
        method: The request method.
        path: The path without the query.
        status: The status code of the response.
        reason: The value of `Mock-Reason`.
        outcome: Whether the response was sent: `sent`, `cut`, `not-sent` or `client-gone`.
        headers: The value of each header field by name; None for a field that the request must not have.
        query: The value of each parameter by name; None for a parameter that the request must not have.
        body: The body as a text; a mapping or a list for a body in JSON; None for a request without a body.
    """

    method: str
    path: str
    status: int
    reason: str
    outcome: Outcome
    headers: Mapping[str, str | None]
    query: Mapping[str, str | None]
    body: str | Mapping[str, Any] | list[Any] | None


class Criteria(OtherCriteria, total=False):
    """Criteria that a request must meet, all of them; `key` is the API key or its id."""

    key: str


# The name of a header field (RFC 9110, section 5.1).
FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~\w-]+", re.ASCII)

NAMES = ("key", *OtherCriteria.__annotations__)


def criteria_from(values: Mapping[str, Any]) -> Criteria:
    """Return the criteria among some values."""
    return {name: values[name] for name in NAMES if name in values}  # type: ignore[return-value]


def check_criteria(values: Mapping[str, Any]) -> None:
    """Check that a request can meet some criteria; otherwise an empty selection would look like a result.

    Raises:
        TypeError: A name is not a criterion, or a value has another type.
        ValueError: No request can meet a criterion.
    """
    for name, value in values.items():
        if name not in NAMES:
            raise TypeError(f"{name!r} is not a criterion; {suggest(name, NAMES)}")
        _CHECKS[name](name, value)


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name}: {value!r} is not a text")


def _check_method(name: str, value: str) -> None:
    _check_text(name, value)
    if not value:
        raise ValueError(f"{name}: {value!r} is empty")
    if value != value.upper():
        raise ValueError(f"{name}: {value!r} is not in capital letters; expected {value.upper()!r}")


def _check_path(name: str, value: str) -> None:
    _check_text(name, value)
    if "?" in value:
        raise ValueError(f"{name}: {value!r} has a query; use the criterion query for it")
    if not value.startswith("/") and value != "*" and ":" not in value:  # RFC 9112, section 3.2, has other forms
        raise ValueError(f"{name}: {value!r} does not begin with a slash")


def _check_status(name: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}: {value!r} is not a whole number")
    if not 100 <= value <= 999:
        raise ValueError(f"{name}: {value!r} is not a status code")


def _check_outcome(name: str, value: str) -> None:
    _check_text(name, value)
    if value not in OUTCOMES:
        raise ValueError(f"{name}: {value!r} is not an outcome; {suggest(value, OUTCOMES)}")


def _check_mapping(name: str, values: Mapping[str, str | None]) -> None:
    part = "field" if name == "headers" else "parameter"
    if not isinstance(values, Mapping):
        raise TypeError(f"{name}: {values!r} is not a mapping from the name of each {part} to its value")
    for each, value in values.items():
        if not isinstance(each, str):
            raise TypeError(f"{name}: the name {each!r} is not a text")
        if name == "headers" and not FIELD_NAME.fullmatch(each):
            raise ValueError(f"{name}: {each!r} is not the name of a field")
        if value is not None and not isinstance(value, str):
            hint = f"expected {str(value)!r}, or None for a {part} that the request must not have"
            raise TypeError(f"{name} {each!r}: {value!r} is not a text; {hint}")


def _check_body(name: str, value: object) -> None:
    if value is not None and not isinstance(value, str | list | Mapping):
        raise TypeError(f"{name}: {value!r} is not a text, a mapping or a list, or None for a request without a body")


_CHECKS: Mapping[str, Callable[[str, Any], None]] = {
    "key": _check_text,
    "method": _check_method,
    "path": _check_path,
    "status": _check_status,
    "reason": _check_text,
    "outcome": _check_outcome,
    "headers": _check_mapping,
    "query": _check_mapping,
    "body": _check_body,
}


def differences(entry: Entry, criteria: Criteria) -> list[str]:
    """Return the names of the criteria that an exchange does not meet."""
    values = {
        "key": (entry.key, mask_key(entry.key)),
        "method": (entry.method,),
        "path": (entry.target.partition("?")[0],),
        "status": (entry.status,),
        "reason": (entry.reason,),
        "outcome": (entry.outcome,),
    }
    found = [name for name, accepted in values.items() if name in criteria and criteria[name] not in accepted]  # type: ignore[literal-required]
    if headers := criteria.get("headers"):
        request = entry.request
        found += [f"header {name}" for name, value in headers.items() if not _has(request.values(name), value)]
    if query := criteria.get("query"):
        sent = parse_qs(entry.target.partition("?")[2], keep_blank_values=True)
        found += [f"parameter {name}" for name, value in query.items() if not _has(sent.get(name, []), value)]
    if "body" in criteria and not _is_body(entry.request.body, criteria["body"]):
        found.append("body")
    return found


def _has(values: list[str], expected: str | None) -> bool:
    """Return whether one of several values, or all of them in one list, is the expected one."""
    return not values if expected is None else bool(values) and expected in (*values, ", ".join(values))


def _is_body(body: bytes, expected: object) -> bool:
    if expected is None or isinstance(expected, str):
        return body == (expected or "").encode()
    try:
        return bool(json.loads(body) == expected)
    except ValueError:
        return False
