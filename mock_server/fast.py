"""The short way of an answer: its bytes are ready and leave in one write.

An ordinary aiohttp response costs about as much as all else of a request: header mappings, their
serialisation, a writer. What most requests need is none of that, and `is_plain` tells which those are;
everything else takes aiohttp's own way. `python -m benchmarks.mock` measures what it is worth.
"""

from __future__ import annotations

import time
from email.utils import formatdate

from aiohttp import web
from aiohttp.http import SERVER_SOFTWARE, HttpVersion11

from mock_server.answers import Answer


def is_plain(request: web.Request, path: str | None) -> bool:
    """Whether a request is a GET of just that path, in HTTP/1.1 on a connection that stays open, without extras."""
    fields = request.headers
    return (
        request.raw_path == path
        and request.method == "GET"
        and request.version == HttpVersion11
        and request.keep_alive
        and "Prefer" not in fields
        and "Expect" not in fields
        and "Upgrade" not in fields
    )


class Written(web.StreamResponse):
    """An answer to a plain request."""

    def __init__(self, answer: Answer) -> None:  # of what the base class sets up only this is looked at
        self._answer = answer
        self._keep_alive = True

    @property
    def status(self) -> int:
        """The status."""
        return self._answer.status

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send everything."""
        answer, transport = self._answer, request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        transport.write(b"%bContent-Length: %d\r\n%b%b" % (answer.head, len(answer.body), _common(), answer.body))
        if request.protocol.writing_paused:
            await request.writer.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: it is over."""


class _Common:
    """The fields that every answer ends with; the date is made once a second."""

    second = 0
    fields = b""


def _common() -> bytes:
    second = int(time.time())
    if second != _Common.second:
        text = f"Date: {formatdate(second, usegmt=True)}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n"
        _Common.second, _Common.fields = second, text.encode("ascii")
    return _Common.fields
