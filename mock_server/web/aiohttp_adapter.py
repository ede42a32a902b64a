"""All uses of private names of aiohttp (version 3.14), and workarounds for its defects.

No other module of the mock uses a private name of aiohttp. An upgrade of aiohttp starts by reading this one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError, HttpVersion11
from aiohttp.http_exceptions import InvalidURLError
from multidict import MutableMultiMapping

# The text of the BadHttpMessage for more than `max_headers` header fields, which has no class of its own.
TOO_MANY_FIELDS = "Too many headers received"

# The parser's words for the usual causes of a BadHttpMessage, and plain ones.
_CAUSES = {
    "Missing 'Host' header in request.": "Host is missing",
    "Received HTTPS traffic on an HTTP port": "the client begins a TLS handshake on a port without TLS; use http://",
    "Pause on PRI/Upgrade": "the client speaks HTTP/2, and the mock HTTP/1.1",
    "Unexpected whitespace after header value": "a header field continues in the next line",
    "Unexpected space after start line": "the first header field begins with a space",
    "Invalid header token": "a line has no valid name of a header field before a colon",
    "Invalid header value char": "the value of a header field contains a control character",
    "Expected CRLF after version": "the request line does not end with CRLF",
    "Missing expected CR after header value": "a header field ends with LF instead of CRLF",
    "Missing expected LF after header value": "a header field contains CR without LF",
    "Transfer-Encoding can't be present with Content-Length": "Content-Length and Transfer-Encoding exclude each other",
    "Content-Length can't be present with Transfer-Encoding": "Content-Length and Transfer-Encoding exclude each other",
    "Request has invalid `Transfer-Encoding`": "Transfer-Encoding does not end with chunked",
    "Duplicate Content-Length": "Content-Length is repeated",
    "Invalid character in Content-Length": "Content-Length is not a whole number",
    "Invalid character in chunk size": "the size of a chunk is not a hexadecimal number",
    "Invalid method encountered": "the method is not registered",
    "Invalid HTTP version": "the version is not HTTP/1.0 or HTTP/1.1",
    "Expected HTTP/, RTSP/ or ICE/": "the request target contains a space, or no version follows it",
}

# Texts that contain a name or a number, and nothing else of the request.
_SAFE_TEXT = re.compile(r"Duplicate '(?P<name>[\w-]+)' header found\.|HTTP/\d\.\d is not supported", re.ASCII)

# The method of a request that aiohttp cannot parse, in the error that it passes on.
UNPARSED = "UNKNOWN"

# After the grace period, a connection has this many seconds to end by itself.
CLOSE_TIMEOUT = 0.02


class ServerConnection(web.RequestHandler):
    """A connection of aiohttp's server, with public names for what the mock needs of it."""

    def __init__(self, server: web.Server, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._serving: asyncio.Task[None] | None = None
        self._last_message: tuple[Any, Any] | None = None
        self._server = server
        #: Whether the client has closed its side of the connection.
        self.is_half_closed = False
        #: Whether the last received bytes are a part of a request, and not its end.
        self.has_partial_request = False

    @property
    def is_client_gone(self) -> bool:
        """Whether the client has closed the connection, or its side of it."""
        return self.is_half_closed or self.transport is None or self.transport.is_closing()

    @property
    def is_beside_partial_request(self) -> bool:
        """Whether another connection has received a part of a request."""
        others = (connection for connection in self._server.connections if connection is not self)
        return any(isinstance(other, ServerConnection) and other.has_partial_request for other in others)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes.

        Uses `_messages`, the parsed requests that wait for a response: aiohttp does not report the last request.
        """
        requests, last = self._request_count, self._last_message
        is_body = last is not None and not last[1].is_eof()
        super().data_received(data)
        self.has_partial_request = self._request_count == requests and not is_body
        if self._messages:
            self._last_message = self._messages[-1]

    @property
    def last_target(self) -> str | None:
        """The target of the last request, empty for a malformed one; None while its body is incomplete."""
        if self._last_message is None or not self._last_message[1].is_eof():
            return None
        return getattr(self._last_message[0], "path", "")

    def forget_last_message(self) -> None:
        """Forget the last request, once no request waits for a response."""
        if not self._messages:
            self._last_message = None

    @property
    def has_waiting_requests(self) -> bool:
        """Whether parsed requests wait for a response; uses `_messages`."""
        return bool(self._messages)

    @property
    def requests_received(self) -> int:
        """The number of requests that the parser has completed.

        Uses `RequestHandler._request_count`: aiohttp does not report when a request is parsed.
        """
        return self._request_count

    def restart_keepalive(self) -> None:
        """Restart the keep-alive time, as after a response.

        Uses `_loop`, `_next_keepalive_close_time` and `_keepalive_timeout`: aiohttp restarts the time for its own
        responses only.
        """
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    async def start(self) -> None:
        """Handle the requests of the connection, one after the other.

        aiohttp 3.14 raises AttributeError for a CONNECT request without a target, and the connection would hang.
        No issue describes this; https://github.com/aio-libs/aiohttp/issues/4571 is about CONNECT in general.
        """
        self._serving = asyncio.current_task()
        try:
            await super().start()
        except AttributeError:
            self.force_close()

    def log_exception(self, *text: Any, exc_info: BaseException | None = None, **more: Any) -> None:
        """Log an exception.

        aiohttp 3.14 completes a waiter twice when a handler ends in the tick in which the shutdown gives up on it.
        This InvalidStateError is not logged; https://github.com/aio-libs/aiohttp/issues/6978 describes a similar race.
        """
        if not isinstance(exc_info, asyncio.InvalidStateError):
            super().log_exception(*text, exc_info=exc_info, **more)

    async def finish_and_close(self, timeout: float | None, *, wait: bool) -> None:  # noqa: ASYNC109 - as shutdown
        """Close the connection; with `wait` the response in flight has `timeout` seconds to be finished.

        `RequestHandler.shutdown` also waits for a client that has gone (https://github.com/aio-libs/aiohttp/pull/7718).
        It is therefore replaced by `_request_in_progress` and `_handler_waiter`.
        It also forgets the task of a client that has gone, so the task is cancelled here.
        """
        transport = self.transport
        if wait and self._request_in_progress and transport is not None:
            self._handler_waiter = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._handler_waiter], timeout=timeout)
        await super().shutdown(CLOSE_TIMEOUT)
        if self._serving is not None and not self._serving.done():
            self._serving.cancel()
            await asyncio.wait([self._serving])
        if transport is not None and (transport.get_write_buffer_size() or transport.get_extra_info("sslcontext")):
            transport.abort()  # closing would wait for a client that does not read, or that sends no TLS close


def force_version(request: web.BaseRequest) -> None:
    """Let the response to a request have the version HTTP/1.1.

    aiohttp 3.14 repeats the version of the request in the status line, even HTTP/0.9.
    `Request._cache` holds the values of its cached properties. No issue describes this.
    """
    request._cache["version"] = HttpVersion11


def cause_of(error: Exception) -> str:
    """Return why the parser has rejected a request, without the bytes that it quotes: they can contain a key.

    Returns an empty text for an error whose text cannot be separated from such bytes.
    """
    if isinstance(error, InvalidURLError):
        return "the request target is not valid"
    text = error.message.removeprefix("Bad status line:\n  ") if isinstance(error, HttpProcessingError) else ""
    if safe := _SAFE_TEXT.fullmatch(text):
        return f"{safe['name']} is repeated" if safe["name"] else text
    cause, has_quote, _ = text.partition(":\n\n")
    return _CAUSES.get(cause, cause if has_quote else "")


class StrippedResponse(web.Response):
    """A response without some header fields, also where aiohttp would add them: Date, Server and Content-Type.

    Extends `StreamResponse._prepare_headers`, where aiohttp adds them: it has no option for this.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, *, removed: Iterable[str]) -> None:
        super().__init__(status=status, headers=headers, body=body)
        self._removed = tuple(removed)

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.strip(self.headers)

    def strip(self, headers: MutableMultiMapping[str]) -> None:
        """Remove the fields from the header fields of a message."""
        for name in self._removed:
            headers.popall(name, None)


class BareResponse(web.StreamResponse):
    """A response that writes itself, without the state that `StreamResponse.__init__` builds.

    aiohttp's server reads only `_keep_alive` of such a response.
    The rest costs as much as all other handling of a request (https://github.com/aio-libs/aiohttp/issues/2779).
    """

    def __init__(self) -> None:
        self._keep_alive = True

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: `prepare` has sent the response."""
