"""Prepared responses: status, headers and body, computed once and sent any number of times."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import responses as phrases
from typing import Any

import orjson
from aiohttp import web

from usage_contract import ContractError, Operation

JSON = "application/json"

# The Server header: without versions, which RFC 9110, section 10.2.4, discourages.
SERVER = "usage-mock"

# Of every response: no cache stores it, and no browser takes it for another type.
ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

# The header in which the mock gives the reason for an error.
REASON = "Mock-Reason"


class PreparedResponse:
    """A response that can be sent any number of times; aiohttp's own objects can be sent once.

    Args:
        status: The status code.
        headers: The headers, without those that aiohttp adds.
        body: The body.
        head: The status line and the headers as bytes.
    """

    __slots__ = ("body", "head", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, head: bytes = b"") -> None:
        self.status, self.headers, self.body = status, headers, body
        self.head = head or _head(status, headers)

    @property
    def reason(self) -> str:
        """The value of `Mock-Reason`, empty for a success."""
        return self.headers.get(REASON, "")

    def with_body(self, body: bytes) -> PreparedResponse:
        """Return the same response with another body."""
        return PreparedResponse(self.status, self.headers, body, self.head)  # a name of an argument costs more

    def response(self) -> web.Response:
        """Return the aiohttp response to one request."""
        return web.Response(status=self.status, headers=self.headers, body=self.body)


def reason_phrase(status: int) -> str:
    """Return the standard reason phrase of a status code, or an empty text."""
    return phrases.get(status, "")


def decode(data: bytes) -> str:
    """Return bytes of a message as a text; bytes that are not UTF-8 become surrogates."""
    return data.decode("utf-8", "surrogateescape")


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {reason_phrase(status)}", *(f"{name}: {value}" for name, value in headers.items()), ""]
    return "\r\n".join(lines).encode()


def documented_response(
    operation: Operation, status: int, members: Mapping[str, Any], *, headers: Mapping[str, str] | None = None
) -> PreparedResponse:
    """Build a documented response: the document defines the media type, the members and their order.

    Args:
        operation: The operation of the document.
        status: The status code.
        members: The members of the body, by name.
        headers: Further headers.

    Raises:
        ContractError: The document and the mock do not share the status code or a member.
    """
    response = operation.responses.get(str(status))
    if response is None:
        documented = ", ".join(operation.responses)
        raise ContractError(f"{operation}: the mock would send {status}, the document defines {documented}")
    body = documented_members(response.schema, members, f"{operation} {status}")
    content_type = {"Content-Type": response.media_type or JSON}
    return PreparedResponse(status, {**content_type, **ALWAYS, **(headers or {})}, orjson.dumps(body))


def documented_members(schema: Mapping[str, Any] | None, value: Any, where: str) -> Any:
    """Return the members that a JSON Schema names, in its order; all members where it names none."""
    if schema is None:
        return value
    if "items" in schema:
        return [documented_members(schema["items"], item, f"{where}[]") for item in value]
    if "properties" not in schema:
        return value
    for name in schema["properties"]:
        if name not in value:
            raise ContractError(
                f"the document names {where}.{name}, which the mock cannot derive; it derives {', '.join(value)}"
            )
    return {
        name: documented_members(member, value[name], f"{where}.{name}")
        for name, member in schema["properties"].items()
    }


def error_response(
    status: int, detail: str, reason: str, *, headers: Mapping[str, str] | None = None
) -> PreparedResponse:
    """Build an error response that no operation documents, in the vendor's format.

    Source: the errors guide ("every error body is JSON with a `detail` text").
    It is never stored: a cache may keep a 404 or 405 that does not forbid it (RFC 9110, section 15.1).

    Args:
        status: The status code.
        detail: The member `detail` of the body.
        reason: A word for programs, the value of `Mock-Reason`.
        headers: Further headers.
    """
    always = {"Content-Type": JSON, **ALWAYS, REASON: reason}
    return PreparedResponse(status, {**always, **(headers or {})}, orjson.dumps({"detail": detail}))


def render_exception(error: web.HTTPException, headers: Mapping[str, str]) -> web.Response:
    """Return the response for an error of aiohttp, in the vendor's format, with further headers."""
    methods = sorted(error.allowed_methods) if isinstance(error, web.HTTPMethodNotAllowed) else []
    allow = {"Allow": ", ".join(methods)} if methods else {}
    reason = error.reason.lower().replace(" ", "-")
    return error_response(error.status, error.reason, reason, headers={**allow, **headers}).response()
