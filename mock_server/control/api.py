"""The way of a request through the control API: access, operation, validation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from mock_server.control import behaviour, clock, console, events, journal, keys, library, state
from mock_server.control.context import SAME_SITE, Call, Context, ControlError, Operate
from mock_server.control.document import ControlOperation, operations, problem_lines
from mock_server.control.guard import check
from mock_server.fixtures.delays import DelayError
from mock_server.fixtures.deployments import FactsError
from mock_server.fixtures.validation import FixtureError
from mock_server.journal.verification import BoundsError
from mock_server.simulation.clock import ClockRangeError
from mock_server.simulation.simulator import RevokedKeyError, TotalRangeError, UnknownKeyError
from mock_server.suggestions import UnknownNameError
from mock_server.web.answers import ResponseError
from mock_server.web.dispatcher import CONTROL_PREFIX
from mock_server.web.mock import Mock
from mock_server.web.preferences import CodeError
from usage_contract.suggestions import suggest

OPERATE: Mapping[str, Operate] = {
    operate.__name__: operate
    for module in (behaviour, clock, console, events, journal, keys, library, state)
    for operate in module.OPERATIONS
}

# The status code and the reason of an error that an operation raises, with a text that replaces that of the error.
ERRORS: Mapping[type[Exception], tuple[int, str] | tuple[int, str, str]] = {
    web.HTTPRequestEntityTooLarge: (413, "body-is-too-long", "The body is longer than a mebibyte."),
    web.RequestPayloadError: (400, "malformed-request", "The body is not valid HTTP."),
    UnknownKeyError: (404, "unknown-key"),
    RevokedKeyError: (409, "revoked-key"),
    TotalRangeError: (409, "total-out-of-range"),
    ClockRangeError: (409, "clock-out-of-range"),
    UnknownNameError: (404, "unknown-name"),
    FixtureError: (409, "invalid-file"),
    CodeError: (404, "unknown-code"),
    ResponseError: (409, "invalid-response"),
    DelayError: (409, "invalid-delay"),
    FactsError: (409, "invalid-facts"),
    BoundsError: (409, "contradictory-bounds"),
}


class Control:
    """The control API of a mock.

    Args:
        mock: The mock.
        token: Required in every request, if it is given; other machines can then use the API.
    """

    def __init__(self, mock: Mock, token: str | None = None) -> None:
        self._context, self._token = Context(mock), token

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Respond to one request."""
        try:
            return await self._respond(request)
        except ControlError as error:
            return error.response()
        except tuple(ERRORS) as error:
            status, reason, *detail = next(response for kind, response in ERRORS.items() if isinstance(error, kind))
            return ControlError(status, reason, detail[0] if detail else str(error)).response()

    async def stop(self, _: web.Application) -> None:
        """End the streams of events."""
        self._context.stopping.set()
        for listener in self._context.listeners:
            if listener.transport and listener.writing_paused:  # closing would wait for a client that does not read
                listener.transport.abort()

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path.removeprefix(CONTROL_PREFIX)
        methods = operations().get(path)
        operation = methods.get("GET" if request.method == "HEAD" else request.method) if methods else None
        check(request, self._token, is_public=operation is not None and operation.is_public)
        if methods is None:
            if path == "":
                raise ControlError(
                    308, "slash-missing", f"The path is {CONTROL_PREFIX}/.", headers={"Location": f"{CONTROL_PREFIX}/"}
                )
            names = f"{CONTROL_PREFIX}/openapi.yaml lists them"
            hint = "did you mean '/journal'?" if path == "/requests" else suggest(path, operations(), names)
            raise ControlError(404, "unknown-path", f"{path} is not a path of {CONTROL_PREFIX}; {hint}")
        allowed = ", ".join([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={"Allow": allowed, **SAME_SITE})
        if operation is None:
            detail = f"{request.method} is not a method of this path; expected {allowed}."
            raise ControlError(405, "method-not-allowed", detail, headers={"Allow": allowed})
        call = Call(request, _query(request, operation), await _body(request, operation))
        return await OPERATE[operation.id](self._context, call)


def _query(request: web.Request, operation: ControlOperation) -> Mapping[str, Any]:
    query: dict[str, Any] = {}
    for name, value in request.query.items():
        if name in query:
            raise ControlError(422, "invalid-query", f"query /{name}: is given twice")
        is_integer = name in operation.integers and re.fullmatch(r"-?\d{1,18}", value, re.ASCII)
        query[name] = int(value) if is_integer else value
    _validate(query, operation.query, "query")
    return query


async def _body(request: web.Request, operation: ControlOperation) -> Any:
    if operation.body is None:
        return None
    if request.headers.get("Expect", "").lower() == "100-continue":  # aiohttp leaves this to its routes
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    has_type = "Content-Type" in request.headers
    is_json = request.content_type == "application/json" and "Content-Encoding" not in request.headers
    text = await request.read() if is_json or not has_type else b""
    if (has_type and not is_json) or (text and not has_type):
        detail = "A body must be uncompressed JSON with `Content-Type: application/json`."
        raise ControlError(415, "unsupported-media-type", detail, headers={"Accept": "application/json"})
    if not text and not operation.needs_body:
        return {}
    if not text:
        raise ControlError(400, "malformed-json", "The body is empty; expected JSON.")
    try:
        value = orjson.loads(text)
        json.loads(text, object_pairs_hook=_check_members)  # of repeated members, orjson returns the last one
    except orjson.JSONDecodeError as error:
        raise ControlError(400, "malformed-json", f"The body is not valid JSON: {error}.") from None
    except RecursionError:
        raise ControlError(400, "malformed-json", "The body is nested too deeply.") from None
    _validate(value, operation.body, "body")
    return value


def _check_members(members: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in members:
        if name in seen:
            raise ControlError(422, "invalid-body", f"body: {name!r} is given twice")
        seen.add(name)


def _validate(value: Any, schema: Mapping[str, Any], name: str) -> None:
    if found := problem_lines(value, schema, name):
        raise ControlError(422, f"invalid-{name}", "\n".join(found))
