"""The way of a request to the control API: who asks, which operation, is it well-formed, do it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from aiohttp import web

from mock_server.control import asked, change, events, look
from mock_server.control.context import ALWAYS, Call, Context, Operate, Reset
from mock_server.control.document import Operation, operations
from mock_server.control.guard import check
from mock_server.control.refusals import Refused
from mock_server.control.sentences import wrong
from mock_server.fixtures.delays import DelayError
from mock_server.fixtures.validation import FixtureError
from mock_server.simulation.clock import EndOfTimeError
from mock_server.simulation.simulator import FullError, RevokedKeyError, Simulator, UnknownKeyError
from mock_server.suggestions import UnknownNameError, advice
from mock_server.web.preferences import CodeError

PREFIX = "/__mock__"

# No body of the document is nested deeper than this; checking a deeper one would exhaust the stack.
MAX_DEPTH = 10

OPERATE: Mapping[str, Operate] = {
    each.__name__: each for each in (*look.OPERATIONS, *change.OPERATIONS, *asked.OPERATIONS, *events.OPERATIONS)
}

# What an operation finds out late, and what it is answered.
ANSWERS: Mapping[type[Exception], tuple[int, str]] = {
    UnknownKeyError: (404, "unknown-key"),
    RevokedKeyError: (409, "revoked-key"),
    FullError: (409, "full"),
    EndOfTimeError: (409, "end-of-time"),
    UnknownNameError: (404, "unknown-name"),
    FixtureError: (409, "broken-file"),
    CodeError: (404, "unknown-code"),
    DelayError: (422, "wrong-body"),
}


class Control:
    """Answers what lies under PREFIX.

    `reset` puts a key, or everything, back to the start, `key_header` is the field that carries a key and
    `codes` are the statuses of the document. With a `token` everything needs it, and the mock can be
    controlled from other machines.
    """

    def __init__(
        self, simulator: Simulator, reset: Reset, key_header: str, codes: Sequence[int], token: str | None = None
    ) -> None:
        self._context = Context(simulator, reset, key_header, codes)
        self._token = token

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        try:
            return await self._answer(request)
        except Refused as refused:
            return _refused(refused)
        except web.HTTPRequestEntityTooLarge:
            return _refused(Refused(413, "too-long", "The body is longer than a mebibyte."))
        except web.RequestPayloadError:
            return _refused(Refused(400, "malformed-request", "The body is not valid HTTP."))
        except tuple(ANSWERS) as error:
            status, reason = next(answer for kind, answer in ANSWERS.items() if isinstance(error, kind))
            return _refused(Refused(status, reason, str(error)))

    @staticmethod
    def owns(path: str) -> bool:
        """Whether a request's path is one of the control API's."""
        return path == PREFIX or path.startswith(f"{PREFIX}/")

    def renew(self, key_header: str, codes: Sequence[int]) -> None:
        """Go on with another document."""
        self._context = replace(self._context, key_header=key_header, codes=codes)

    async def stop(self, _: web.Application) -> None:
        """End what would go on: the streams of events."""
        self._context.stopping.set()
        for listener in self._context.listeners:
            if listener.transport and listener.writing_paused:  # its end would wait for a client that sleeps
                listener.transport.abort()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix(PREFIX)
        methods = operations().get(path)
        operation = methods.get(_method(request)) if methods else None
        check(request, self._token, is_public=operation is not None and operation.is_public)
        if methods is None:
            raise _unknown_path(path)
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={"Allow": _allowed(methods), **ALWAYS})
        if operation is None:
            detail = f"{request.method} is not for this path; {_allowed(methods)} are."
            raise Refused(405, "method-not-allowed", detail, {"Allow": _allowed(methods)})
        call = Call(request, _query(request, operation), await _body(request, operation))
        return await OPERATE[operation.id](self._context, call)


def _refused(refused: Refused) -> web.Response:
    response = refused.response()
    response.headers.update(ALWAYS)
    return response


def _method(request: web.Request) -> str:
    return "GET" if request.method == "HEAD" else request.method


def _allowed(methods: Mapping[str, Operation]) -> str:
    return ", ".join([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])


def _unknown_path(path: str) -> Refused:
    if path == "":
        return Refused(308, "slash-missing", f"It is {PREFIX}/.", {"Location": f"{PREFIX}/"})
    more = f"{PREFIX}/openapi.yaml lists them"
    return Refused(404, "unknown-path", f"{path} is no path of {PREFIX}; {advice(path, operations(), more)}")


def _query(request: web.Request, operation: Operation) -> Mapping[str, Any]:
    given: dict[str, Any] = {}
    for name, value in request.query.items():
        if name in given:
            raise Refused(422, "wrong-query", f"The query is wrong: {name} is there twice.")
        schema = operation.query["properties"].get(name, {})
        is_number = schema.get("type") == "integer" and re.fullmatch(r"-?\d{1,18}", value, re.ASCII)
        given[name] = int(value) if is_number else value
    _check(given, operation.query, "query")
    return given


async def _body(request: web.Request, operation: Operation) -> Any:
    if operation.body is None:
        return None
    if request.headers.get("Expect", "").lower() == "100-continue":  # aiohttp leaves it to its routes
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    has_type = "Content-Type" in request.headers
    if has_type and (request.content_type != "application/json" or "Content-Encoding" in request.headers):
        raise _no_json()
    text = await request.read()
    if text and not has_type:
        raise _no_json()
    if not text and not operation.needs_body:
        return {}
    value = _parsed(text)
    _check(value, operation.body, "body")
    return value


def _no_json() -> Refused:
    detail = "A body must be JSON, not compressed, and say `Content-Type: application/json`."
    return Refused(415, "no-json", detail, {"Accept": "application/json"})


def _parsed(text: bytes) -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "malformed-json", f"The body is not valid JSON: {error}.") from None
    if _is_deeper(value, MAX_DEPTH):
        raise Refused(422, "wrong-body", f"The body is nested more than {MAX_DEPTH} levels deep.")
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(child, levels - 1) for child in children)


def _check(value: Any, schema: Mapping[str, Any], where: str) -> None:
    if problems := wrong(value, schema, where):
        raise Refused(422, f"wrong-{where}", "\n".join(problems))
