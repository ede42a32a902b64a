"""Raw messages: responses of which a fault determines every byte, and how they are sent."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate

from aiohttp import web
from aiohttp.http import HttpVersion10
from multidict import CIMultiDict

from mock_server.fixtures.edits import Edit, End, Framing, edited
from mock_server.journal.entry import Outcome
from mock_server.simulation.clock import Sleep
from mock_server.web.aiohttp_adapter import StrippedResponse
from mock_server.web.responses import SERVER

Headers = tuple[tuple[str, str], ...]

CHUNK = 100  # bytes
HANG_POLL_INTERVAL = 0.05  # seconds; aiohttp does not report to a response that its client has closed the connection
DRIP_RATE = 10  # pieces a second, of at least one byte

# The last chunk, with its extensions and its trailer fields, at the end of a body (RFC 9112, section 7.1).
LAST_CHUNK = re.compile(rb"(?:\A|\n)0+[ \t]*(?:;[^\n]*)?\r?\n(?:[^\r\n]+\r?\n)*\r?\n\Z")


@dataclass(frozen=True)
class RawMessage:
    """A response that a fault can change in any way.

    Attributes:
        status: The status code.
        reason: The reason phrase.
        headers: The headers, in order.
        body: The body.
        head: Edits of the bytes of status line and headers.
        message: Edits of the bytes of the whole message.
        framing: How the end of the body is marked.
        drip: The rate at which the bytes are sent, in bytes a second; 0 sends them at once.
        drip_body: The rate of the body; 0 for that of the whole message.
        end: The end of the response: the connection stays open, is closed or reset, or hangs.
    """

    status: int
    reason: str
    headers: Headers
    body: bytes
    head: tuple[Edit, ...] = ()
    message: tuple[Edit, ...] = ()
    framing: Framing = "length"
    drip: float = 0.0
    drip_body: float = 0.0
    end: End = "keep"

    @classmethod
    def of(cls, response: web.Response, more: Mapping[str, str]) -> RawMessage:
        """Return the message of an unmodified response, with the headers that aiohttp adds and further ones."""
        headers = CIMultiDict(response.headers)
        headers.update(more)
        headers.setdefault("Date", formatdate(time.time(), usegmt=True))
        headers.setdefault("Server", SERVER)
        if isinstance(response, StrippedResponse):
            response.strip(headers)
        body = response.body if isinstance(response.body, bytes) else b""
        return cls(response.status, response.reason or "", tuple(headers.items()), body)

    @property
    def may_have_body(self) -> bool:
        """Whether a response with this status code may have a body."""
        return self.status not in {204, 304} and self.status >= 200

    def has(self, name: str) -> bool:
        """Return whether the message has a header."""
        return any(header.lower() == name.lower() for header, _ in self.headers)


def serialize_message(message: RawMessage, request: web.Request) -> tuple[bytes, bytes]:
    """Return the head of a message, and all its bytes, with the edits.

    Raises:
        EditError: An edit cannot be applied to these bytes.
    """
    has_length = message.has("Content-Length") or message.has("Transfer-Encoding")
    headers = [*message.headers]
    if message.framing == "chunked":
        headers.append(("Transfer-Encoding", "chunked"))
    elif message.framing == "length" and message.may_have_body and not has_length:
        headers.append(("Content-Length", str(len(message.body))))
    if not message.has("Connection"):
        if message.framing == "close" or not request.keep_alive:
            headers.append(("Connection", "close"))
        elif request.version <= HttpVersion10:
            headers.append(("Connection", "keep-alive"))
    version = f"HTTP/{request.version.major}.{request.version.minor}"
    lines = [f"{version} {message.status} {message.reason}", *(f"{name}: {value}" for name, value in headers)]
    head = edited(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape"), message.head)
    has_body = message.may_have_body and request.method != "HEAD"
    body = message.body if has_body else b""
    if message.framing == "chunked" and has_body:
        pieces = [body[start : start + CHUNK] for start in range(0, len(body), CHUNK)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return head, edited(head + body, message.message)


class RawResponse(web.StreamResponse):
    """Sends a raw message past aiohttp's response.

    Args:
        message: The message.
        request: The request that it responds to.
        sleep: Waits for a number of seconds.
        stop: Stops the server.

    Raises:
        EditError: An edit cannot be applied to the message.
    """

    def __init__(self, message: RawMessage, request: web.Request, *, sleep: Sleep, stop: Callable[[], None]) -> None:
        super().__init__(status=message.status, reason=message.reason, headers=CIMultiDict(message.headers))
        if message.framing == "chunked" and request.version <= HttpVersion10:
            message = replace(message, framing="close")  # HTTP/1.0 has no chunks
        head, self._data = serialize_message(message, request)
        self._message_body = self._data[len(head) :]
        self._message, self._sleep, self._stop = message, sleep, stop
        self._has_body = message.may_have_body and request.method != "HEAD"
        self._stays_open = False
        #: Whether the response lasts until the client closes the connection.
        self.is_unending = message.end in {"hang", "endless"}

    @property
    def sent(self) -> tuple[bytes, bytes]:
        """The bytes of the head, and the body without its transfer coding unless an edit has changed the message."""
        head, body = self._data[: -len(self._message_body) or None], self._message_body
        is_coded = self._message.framing == "chunked" and not self._message.message
        return head, self._message.body if is_coded and body else body

    @property
    def outcome(self) -> Outcome:
        """Whether the client can receive the whole response, as its header fields frame it."""
        head, *rest = re.split(rb"\r?\n\r?\n", self._data, maxsplit=1)
        if not head:
            return "not-sent"
        has_end, body = bool(rest), b"".join(rest)
        lengths = re.findall(rb"\r?\ncontent-length:[ \t]*([0-9]+)", head, re.IGNORECASE)
        if not self._has_body:
            is_whole = has_end
        elif self._message.framing == "chunked":
            is_whole = LAST_CHUNK.search(body) is not None
        elif lengths:
            is_whole = len(body) >= int(lengths[0])
        else:
            is_whole = has_end and self._message.end in {"keep", "close"}
        return "sent" if is_whole else "cut"

    @property
    def keep_alive(self) -> bool:
        """Whether aiohttp may receive another request on this connection."""
        return self._stays_open

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send the response; nothing remains for aiohttp."""
        assert isinstance(request, web.Request)
        drip, drip_body = self._message.drip, self._message.drip_body or self._message.drip
        if drip_body == drip:
            await self._write(request, self._data, drip)
        else:
            await self._write(request, self._data[: -len(self._message_body) or None], drip)
            await self._write(request, self._message_body, drip_body)
        end = self._message.end
        while end == "endless" and self._message_body:
            await self._write(request, self._message_body, drip_body)
            await asyncio.sleep(0)  # other clients have their turn
        while end == "hang" and request.transport is not None:  # noqa: ASYNC110 - see HANG_POLL_INTERVAL
            await asyncio.sleep(HANG_POLL_INTERVAL)
        if end == "stop":
            self._stop()
        if end in {"reset", "stop"} and request.transport is not None:  # RST instead of FIN discards unsent bytes
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.transport.abort()
        self._stays_open = end == "keep" and self._message.framing != "close" and request.keep_alive

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: `prepare` has sent the response."""

    async def _write(self, request: web.Request, data: bytes, drip: float) -> None:
        size = max(1, int(drip / DRIP_RATE)) if drip else max(1, len(data))
        for start in range(0, len(data), size):
            if request.transport is None or request.transport.is_closing():
                raise ConnectionResetError("the client has closed the connection")
            piece = data[start : start + size]
            request.transport.write(piece)
            await request.writer.drain()
            if drip:
                await self._sleep(len(piece) / drip)
