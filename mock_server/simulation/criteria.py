"""Criteria by which exchanges of the journal are selected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypedDict
from urllib.parse import parse_qs

from mock_server.masking import mask_key
from mock_server.simulation.journal import Entry
from mock_server.suggestions import suggest


class OtherCriteria(TypedDict, total=False):
    """Criteria that a request must meet, all of them, except its key.

    Attributes:
        method: The request method.
        path: The path without the query.
        status: The status code of the response.
        reason: The value of `Mock-Reason`.
        headers: The value of each header field by name; None for a field that the request must not have.
        query: The value of each parameter by name; None for a parameter that the request must not have.
        body: The body as a text; a mapping or a list for a body in JSON; None for a request without a body.
    """

    method: str
    path: str
    status: int
    reason: str
    headers: Mapping[str, str | None]
    query: Mapping[str, str | None]
    body: str | Mapping[str, Any] | list[Any] | None


class Criteria(OtherCriteria, total=False):
    """Criteria that a request must meet, all of them; `key` is the API key or its id."""

    key: str


NAMES = ("key", *OtherCriteria.__annotations__)


def criteria_from(values: Mapping[str, Any]) -> Criteria:
    """Return the criteria among some values."""
    return {name: values[name] for name in NAMES if name in values}  # type: ignore[return-value]


def check_names(values: Mapping[str, Any]) -> None:
    """Raise TypeError for a name that is not a criterion."""
    for name in values:
        if name not in NAMES:
            raise TypeError(f"{name!r} is not a criterion; {suggest(name, NAMES)}")


def differences(entry: Entry, criteria: Criteria) -> list[str]:
    """Return the names of the criteria that an exchange does not meet."""
    values = {
        "key": (entry.key, mask_key(entry.key)),
        "method": (entry.method,),
        "path": (entry.target.partition("?")[0],),
        "status": (entry.status,),
        "reason": (entry.reason,),
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
