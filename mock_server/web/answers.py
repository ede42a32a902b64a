"""Responses with a status code that an override demands: their body and their header fields."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from multidict import CIMultiDict

from mock_server.simulation.criteria import FIELD_NAME
from mock_server.simulation.overrides import Answer
from mock_server.web.preferences import parse_code
from mock_server.web.responses import PreparedResponse
from usage_contract.sources import SURROGATE

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# The fields that state where a body ends.
_FRAMING = ("content-length", "transfer-encoding")

Body = str | Mapping[str, Any] | Sequence[Any] | None
Fields = Mapping[str, str | None] | None


class ResponseError(ValueError):
    """A body or header fields that cannot be sent."""


def answer_of(
    code: str,
    documented: Sequence[int],
    *,
    after: int = 0,
    times: int | None = None,
    body: Body = None,
    headers: Fields = None,
) -> Answer:
    """Return the override of a status code.

    Args:
        code: The status code.
        documented: The documented status codes.
        after: The number of requests that pass first.
        times: The number of requests that then receive the status code; None for all.
        body: A text, or a mapping or a list that is sent as JSON; None for the body of the status code.
        headers: Header fields that replace those of the same name; None for a field to remove.

    Raises:
        CodeError: The status code is neither documented nor 400 to 599.
        ResponseError: The body or a header field cannot be sent.
        TypeError: A value has another type.
    """
    return Answer(parse_code(code, documented), _text(body), _checked(headers or {}), after=after, times=times)


def changed(response: PreparedResponse, answer: Answer | None) -> PreparedResponse:
    """Return a response with the body and the header fields of an answer, if it has its status code."""
    if answer is None or answer.code != response.status or (answer.body is None and not answer.headers):
        return response
    headers = CIMultiDict(response.headers)
    for name, value in answer.headers.items():
        headers.popall(name, None)
        if value is not None:
            headers[name] = value
    body = response.body if answer.body is None else answer.body.encode()
    return PreparedResponse(response.status, headers, body)


def _text(body: object) -> str | None:
    if body is not None and not isinstance(body, str | Mapping | list | tuple):
        raise TypeError(f"body: {body!r} is not a text, a mapping or a list; a fault file can have any bytes")
    if isinstance(body, Mapping | list | tuple):
        value = dict(body) if isinstance(body, Mapping) else body
        try:
            body = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except (ValueError, TypeError, RecursionError) as error:
            kind = TypeError if isinstance(error, TypeError) else ResponseError
            raise kind(f"body: is not JSON: {error}") from None
    if body is not None and SURROGATE.search(body):
        raise ResponseError("body: is not valid Unicode")
    return body


def _checked(headers: Mapping[str, str | None]) -> Mapping[str, str | None]:
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers: {headers!r} is not a mapping from names to values")
    seen: set[str] = set()
    for name, value in headers.items():
        if not isinstance(name, str):
            raise TypeError(f"headers: the name {name!r} is not a text")
        if value is not None and not isinstance(value, str):
            raise TypeError(f"headers: the value of {name} is {value!r}, not a text; expected {str(value)!r}")
        if problem := _problem(name, value or "", seen):
            raise ResponseError(f"headers: {problem}")
        seen.add(name.lower())
    return dict(headers)


def _problem(name: str, value: str, seen: set[str]) -> str:
    if not FIELD_NAME.fullmatch(name):
        return f"{name!r} is not the name of a field"
    if name.lower() in _FRAMING:
        return f"{name} follows from the body; a fault file can contradict it"
    if name.lower() in seen:
        return f"{name} is given twice"
    if _CONTROL.search(value):
        return f"the value of {name} has a control character"
    return f"the value of {name} is not valid Unicode" if SURROGATE.search(value) else ""
