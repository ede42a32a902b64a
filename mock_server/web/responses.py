"""Answers: status, headers and body, computed once and turned into a new aiohttp response each time."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from mock_server.simulation.usage_metrics import documented
from usage_contract import ContractError, Operation

JSON = "application/json"

# The field in which the mock says why it refuses.
REASON = "Mock-Reason"


class Answer:
    """A response that can be given any number of times; aiohttp's own objects serve only once.

    `head` is its status line and its fields as bytes, but for those that belong to one sending of it.
    """

    __slots__ = ("body", "head", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, head: bytes = b"") -> None:
        self.status, self.headers, self.body = status, headers, body
        self.head = head or _head(status, headers)

    @property
    def reason(self) -> str:
        """Why it refuses; empty where it does not."""
        return self.headers.get(REASON, "")

    def of(self, body: bytes) -> Answer:
        """Return the same answer with another body."""
        return Answer(self.status, self.headers, body, self.head)

    def response(self) -> web.Response:
        """Return the aiohttp response to one request."""
        return web.Response(status=self.status, headers=self.headers, body=self.body)


def reason_of(status: int) -> str:
    """Return the standard reason phrase of a status, or an empty text."""
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else ""


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    return "\r\n".join(
        [f"HTTP/1.1 {status} {reason_of(status)}", *(f"{name}: {value}" for name, value in headers.items()), ""]
    ).encode()


def documented_answer(
    operation: Operation, status: int, members: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Answer:
    """Build a documented answer: the document gives the media type, the members and their order.

    Raises ContractError for a status or a member that the document and the mock do not share.
    """
    response = operation.responses.get(str(status))
    if response is None:
        known = ", ".join(operation.responses)
        raise ContractError(f"{operation}: the mock would answer {status}, the document gives {known}")
    body = documented(response.schema, members, f"{operation} {status}")
    content_type = {"Content-Type": response.media_type or JSON}
    return Answer(status, {**content_type, **(headers or {})}, orjson.dumps(body))


def refusal(status: int, detail: str, reason: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Build an answer that no operation documents, in the vendor's shape; `reason` is a word for programs.

    Source: the errors guide ("every error body is JSON with a `detail` text"). It is never stored:
    caches may keep a 404 or a 405 that does not forbid it (RFC 9110, section 15.1).
    """
    always = {"Content-Type": JSON, "Cache-Control": "no-store", REASON: reason}
    return Answer(status, {**always, **(headers or {})}, orjson.dumps({"detail": detail}))


def as_json(refused: web.HTTPException) -> web.Response:
    """Return what aiohttp refuses a request with in the vendor's shape."""
    methods = sorted(refused.allowed_methods) if isinstance(refused, web.HTTPMethodNotAllowed) else []
    allow = {"Allow": ", ".join(methods)} if methods else {}
    return refusal(refused.status, refused.reason, refused.reason.lower().replace(" ", "-"), allow).response()
