"""An answer as bytes that are ours to the last one, and how they reach the client, if they do."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate

from aiohttp import web
from aiohttp.http import SERVER_SOFTWARE, HttpVersion10

from mock_server.fixtures.edits import Edit, End, Framing, edited

Fields = tuple[tuple[str, str], ...]

CHUNK = 100  # bytes
PATIENCE = 0.05  # seconds between two looks whether a client that is left hanging has gone
TICKS = 10  # pieces a second, where there are as many bytes


@dataclass(frozen=True)
class Reply:
    """An answer that a fault may change in any way, with how it is framed and sent.

    `head` and `message` are byte edits for the time when there are such bytes; `drip` is in bytes a
    second, 0 for all at once.
    """

    status: int
    reason: str
    fields: Fields
    body: bytes
    head: tuple[Edit, ...] = ()
    message: tuple[Edit, ...] = ()
    framing: Framing = "length"
    drip: float = 0.0
    end: End = "keep"

    @classmethod
    def of(cls, response: web.Response) -> Reply:
        """Take over a sound answer, with the fields that aiohttp adds to each."""
        fields = dict(response.headers)
        fields.setdefault("Date", formatdate(time.time(), usegmt=True))
        fields.setdefault("Server", SERVER_SOFTWARE)
        body = response.body if isinstance(response.body, bytes) else b""
        return cls(response.status, response.reason or "", tuple(fields.items()), body)

    def has(self, name: str) -> bool:
        """Whether there is a field of that name."""
        return any(field.lower() == name.lower() for field, _ in self.fields)


def message(reply: Reply, request: web.Request) -> tuple[bytes, bytes]:
    """Return the head and all that follows it, as HTTP has them, and then with the reply's edits."""
    old = request.version <= HttpVersion10
    framing = "close" if reply.framing == "chunked" and old else reply.framing
    has_body = request.method != "HEAD" and reply.status not in {204, 304} and reply.status >= 200
    fields = [*reply.fields, *_framing_fields(reply, framing), *_connection_fields(reply, request, framing)]
    version = f"HTTP/{request.version.major}.{request.version.minor}"
    lines = [f"{version} {reply.status} {reply.reason}", *(f"{name}: {value}" for name, value in fields)]
    head = edited(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape"), reply.head)
    payload = (_chunks(reply.body) if framing == "chunked" else reply.body) if has_body else b""
    whole = edited(head + payload, reply.message)
    return whole[: len(head)], whole[len(head) :]


def _framing_fields(reply: Reply, framing: Framing) -> Fields:
    if framing == "chunked":
        return (("Transfer-Encoding", "chunked"),)
    bodiless = reply.status in {204, 304} or reply.status < 200
    if framing == "close" or bodiless or reply.has("Content-Length") or reply.has("Transfer-Encoding"):
        return ()
    return (("Content-Length", str(len(reply.body))),)


def _connection_fields(reply: Reply, request: web.Request, framing: Framing) -> Fields:
    if reply.has("Connection"):
        return ()
    if framing == "close" or not request.keep_alive:
        return (("Connection", "close"),)
    return (("Connection", "keep-alive"),) if request.version <= HttpVersion10 else ()


def _chunks(body: bytes) -> bytes:
    pieces = [body[start : start + CHUNK] for start in range(0, len(body), CHUNK)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


class RawResponse(web.StreamResponse):
    """Writes a reply to one request past aiohttp; `sleep` takes seconds, `stop` ends the server.

    Raises EditError for an edit that does not fit.
    """

    def __init__(
        self,
        reply: Reply,
        request: web.Request,
        sleep: Callable[[float], Awaitable[None]],
        stop: Callable[[web.Request], None],
    ) -> None:
        super().__init__(status=reply.status, reason=reply.reason)
        self._head, self._rest = message(reply, request)
        self._reply, self._sleep, self._stop = reply, sleep, stop
        self._alive = False

    @property
    def keep_alive(self) -> bool:
        """Whether aiohttp may take another request from this connection."""
        return self._alive

    @property
    def is_unending(self) -> bool:
        """Whether the client is to wait until it gives up."""
        return self._reply.end in {"hang", "endless"}

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send everything: there is nothing left that aiohttp could do."""
        assert isinstance(request, web.Request)
        for piece in self._pieces(self._head + self._rest):
            await self._write(request, piece)
        await self._end(request)

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: it is over."""

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        size = max(1, int(self._reply.drip / TICKS)) if self._reply.drip else max(1, len(data))
        return (data[start : start + size] for start in range(0, len(data), size))

    async def _write(self, request: web.Request, piece: bytes) -> None:
        if request.transport is None or request.transport.is_closing():
            raise ConnectionResetError("the client has gone")
        request.transport.write(piece)
        await request.writer.drain()
        if self._reply.drip:
            await self._sleep(len(piece) / self._reply.drip)

    async def _end(self, request: web.Request) -> None:
        end = self._reply.end
        while end == "endless" and self._rest:
            for piece in self._pieces(self._rest):
                await self._write(request, piece)
            await asyncio.sleep(0)  # the loop has other clients
        while end == "hang" and request.transport is not None:  # noqa: ASYNC110 - aiohttp tells nobody that a client went
            await asyncio.sleep(PATIENCE)
        if end == "stop":
            self._stop(request)
        if end in {"reset", "stop"}:
            _reset(request)
        self._alive = end == "keep" and self._reply.framing != "close" and request.keep_alive


def _reset(request: web.Request) -> None:
    """Close with RST instead of FIN: what was not sent yet is thrown away."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
