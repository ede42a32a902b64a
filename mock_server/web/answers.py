"""Responses with a status code that an override demands: their body and their header fields."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from mock_server.fixtures.library import Library
from mock_server.journal.criteria import FIELD_NAME
from mock_server.options import seconds_text
from mock_server.simulation.overrides import Answer, ForcedResponse
from mock_server.suggestions import UnknownNameError
from mock_server.web.aiohttp_adapter import StrippedResponse
from mock_server.web.preferences import parse_code
from mock_server.web.responses import PreparedResponse
from usage_contract.sources import SURROGATE
from usage_contract.suggestions import suggest

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# The fields that state where a body ends.
_FRAMING = ("content-length", "transfer-encoding")

Body = str | Mapping[str, Any] | Sequence[Any] | None
Fields = Mapping[str, str | None] | None

# A status code, the name of a fault, or a mapping with the members of a response.
SequenceItem = int | str | Mapping[str, Any]
MEMBERS = ("code", "body", "headers", "fault", "delay")


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
    response = ForcedResponse(parse_code(code, documented), _text(body), _checked(headers))
    return Answer((response,), after=after, times=times)


def sequence_of(
    items: Sequence[SequenceItem], documented: Sequence[int], library: Library, *, after: int = 0
) -> Answer:
    """Return the override of a sequence of responses, each for one request.

    Args:
        items: The responses.
        documented: The documented status codes.
        library: The faults.
        after: The number of requests that pass first.

    Raises:
        CodeError: A status code is neither documented nor 400 to 599.
        ResponseError: A response cannot be sent, or a fault would act on every request.
        UnknownNameError: The fixture folder does not have a fault.
        FixtureError: The file of a fault cannot be used.
        DelayError: A delay is not valid.
        TypeError: A value has another type.
    """
    if not items:
        raise ResponseError("code: the sequence is empty")
    responses = tuple(_item(number, item, documented, library) for number, item in enumerate(items, 1))
    return Answer(responses, after=after, times=len(items))


def _item(number: int, item: SequenceItem, documented: Sequence[int], library: Library) -> ForcedResponse:
    if isinstance(item, bool) or not isinstance(item, int | float | str | Mapping):
        raise TypeError(f"response {number}: {item!r} is not a status code, the name of a fault or a mapping")
    members: Mapping[str, Any]
    members = {"fault": item} if isinstance(item, str) else item if isinstance(item, Mapping) else {"code": item}
    for name in members:
        if name not in MEMBERS:
            raise TypeError(f"response {number}: {name!r} is not a member; {suggest(str(name), MEMBERS)}")
    code, fault, delay = (members.get(name) for name in ("code", "fault", "delay"))
    has_content = members.get("body") is not None or members.get("headers")
    if code is None and (has_content or fault is delay is None):
        lacks = "status code" if has_content else "code, fault or delay"
        raise ResponseError(f"response {number}: {item!r} has no {lacks}")
    if code is not None and (not isinstance(code, int | float) or isinstance(code, bool)):
        raise TypeError(f"response {number}: code: {code!r} is not a status code")
    names = [fault] if isinstance(fault, str) else fault or []
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"response {number}: fault: {fault!r} is not a name or a list of names")
    if fault is not None and not " ".join(names).strip():
        raise ResponseError(f"response {number}: fault: {fault!r} is empty")
    if delay is not None and (not isinstance(delay, int | float | str) or isinstance(delay, bool)):
        raise TypeError(f"response {number}: delay: {delay!r} is not a number of seconds")
    try:
        response = ForcedResponse(
            None if code is None else parse_code(str(code) if isinstance(code, int) else f"{code:g}", documented),
            _text(members.get("body")),
            _checked(members.get("headers")),
            None if fault is None else " ".join(names),
            None if delay is None else seconds_text(delay),
        )
        _check(response, library)
    except (ValueError, TypeError, UnknownNameError) as error:
        error.args = (f"response {number}: {error}",)
        raise
    return response


def _check(response: ForcedResponse, library: Library) -> None:
    """Check the faults and the delay of a response of a sequence."""
    override = response.own_override()
    override.check(library)
    for use in override.applied:
        if library.fault(use.name).received:
            raise ResponseError(f"the fault {use.name!r} changes the bytes of every request; switch it on by itself")


def with_answer(response: PreparedResponse, answer: Answer | None) -> web.Response:
    """Return a response with the body and the header fields that an answer demands, if it has its status code."""
    forced = answer.responses[0] if answer else None
    if forced is None or forced.code != response.status or (forced.body is None and not forced.headers):
        return response.response()
    headers = CIMultiDict(response.headers)
    for name, value in forced.headers.items():
        headers.popall(name, None)
        if value is not None:
            headers[name] = value
    body = response.body if forced.body is None else forced.body.encode()
    removed = [name for name, value in forced.headers.items() if value is None]
    return StrippedResponse(response.status, headers, body, removed=removed)


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


def _checked(headers: Fields) -> Mapping[str, str | None]:
    if headers is None:
        return {}
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
