"""What is fast, and why: most requests are plain, and most connections ask the same again.

An ordinary aiohttp response costs about as much as all else of a request: header mappings, their
serialisation, a writer. What a plain request needs is none of that: `Written` sends bytes that are ready.

A connection that is asked once more in the same bytes, or in bytes that differ in the key alone, is
known to be asked plainly. A `Repeat` tells so, and parser, request and task are left out altogether.

Whatever is not plain takes aiohttp's own way. `python -m benchmarks.mock` measures what this is worth.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from email.utils import formatdate
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http import SERVER_SOFTWARE, HttpVersion11

from mock_server.web.responses import Answer

if TYPE_CHECKING:
    from mock_server.web.usage import Usage


def is_plain(request: web.Request, path: str | None) -> bool:
    """Whether a request is a GET of just that path, in HTTP/1.1 on a connection that stays open, without extras."""
    fields = request.headers
    return (
        request.raw_path == path
        and request.method == "GET"
        and request.version == HttpVersion11
        and request.keep_alive
        and not request.body_exists
        and "Prefer" not in fields
        and "Expect" not in fields
        and "Upgrade" not in fields
    )


class Written(web.StreamResponse):
    """An answer to a plain request, with the keys that were in it and the usage that was asked."""

    def __init__(self, answer: Answer, api_keys: Sequence[str], usage: Usage) -> None:
        self._answer, self.api_keys, self.usage = answer, api_keys, usage
        self._keep_alive = True  # of what the base class sets up only this is looked at

    @property
    def status(self) -> int:
        """The status."""
        return self._answer.status

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send everything."""
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        transport.write(sendable(self._answer))
        if request.protocol.writing_paused:
            await request.writer.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: it is over."""


def sendable(answer: Answer) -> bytes:
    """Return one sending of an answer on a connection that stays open."""
    return b"%bContent-Length: %d\r\n%b%b" % (answer.head, len(answer.body), _common(), answer.body)


class Repeat:
    """The bytes of a plain request, by which the next one on its connection is known to be plain as well."""

    __slots__ = ("_api_keys", "_around", "_data", "usage")

    def __init__(self, data: bytes, written: Written) -> None:
        self._data, self._api_keys, self.usage = data, written.api_keys, written.usage
        self._around: tuple[bytes, bytes] | None = None  # what stands before and after the key

    @staticmethod
    def is_possible(data: bytes) -> bool:
        """Whether bytes, in which a parser has found a plain request, are that request and nothing else."""
        return data.startswith(b"GET ") and data.find(b"\r\n\r\n") == len(data) - 4

    def api_keys(self, data: bytes) -> Sequence[str] | None:
        """Return the keys of what was received, or None if it may be anything."""
        return self._api_keys if data == self._data else self._other_key(data)

    def _other_key(self, data: bytes) -> Sequence[str] | None:
        if self._around is None:
            self._around = self._split()
        before, after = self._around
        if not before or not data.startswith(before) or not data.endswith(after):
            return None
        key = data[len(before) : len(data) - len(after)]
        return (key.decode(),) if _WORD.fullmatch(key) else None

    def _split(self) -> tuple[bytes, bytes]:
        field = rb"\r\n(?i:%b):[ \t]*([!-~]+)[ \t]*\r\n" % re.escape(self.usage.key_header.encode())
        found = re.search(field, self._data) if len(self._api_keys) == 1 else None
        return (self._data[: found.start(1)], self._data[found.end(1) :]) if found else (b"", b"")


# With one such text in the place of another a request stays what it is, but for its key.
_WORD = re.compile(rb"[!-~]{1,1000}")


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
