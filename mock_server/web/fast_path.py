"""The fast path: responses without aiohttp's parser, request, task and response objects.

Most clients repeat one request on a connection. `python -m benchmarks.mock` measures the gain: a factor of 2.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from email.utils import formatdate
from functools import cached_property, lru_cache

from aiohttp import web
from aiohttp.http import HttpVersion11

from mock_server.journal.entry import ClientConnection, Message
from mock_server.web.aiohttp_adapter import BareResponse
from mock_server.web.responses import SERVER, PreparedResponse, decode
from mock_server.web.usage import Usage

# A longer request is never repeated by its bytes: joining the pieces must not cost more than parsing them.
MAX_REPEAT_BYTES = 16 * 1024

# Any such key in the place of another leaves the rest of a request unchanged.
_KEY = re.compile(rb"[!-~]{1,1000}")

SERVER_FIELD = f"Server: {SERVER}\r\n".encode("ascii")


def is_plain(request: web.Request, usage: Usage) -> bool:
    """Return whether a request is a GET of the operation in HTTP/1.1, without a body, a preference or an option.

    The response to a request without a key depends on Authorization, which can contain the key.
    """
    headers = request.headers
    return (
        request.raw_path == usage.path
        and request.method == "GET"
        and "GET" in usage.methods
        and request.version == HttpVersion11
        and request.keep_alive
        and not request.body_exists
        and "Prefer" not in headers
        and "Expect" not in headers
        and "Upgrade" not in headers
        and ("Authorization" not in headers or usage.key_header in headers)
    )


class PreserializedResponse(BareResponse):
    """The response to a plain request, with its keys and the operation that has responded."""

    def __init__(self, prepared: PreparedResponse, api_keys: Sequence[str], usage: Usage) -> None:
        super().__init__()
        self._prepared, self.api_keys, self.usage = prepared, api_keys, usage
        #: The bytes of the response.
        self.data = serialize(prepared)

    @property
    def status(self) -> int:
        """The status code."""
        return self._prepared.status

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send the response."""
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has closed the connection")
        transport.write(self.data)
        if request.protocol.writing_paused:
            await request.writer.drain()


class RequestTemplate:
    """The bytes of a plain request, which recognize the next plain request of its connection."""

    def __init__(self, data: bytes, response: PreserializedResponse, connection: ClientConnection) -> None:
        self._data, self._api_keys, self.usage = data, response.api_keys, response.usage
        self.connection = connection

    def match(self, data: bytes) -> Sequence[str] | None:
        """Return the keys of a request that has the same bytes except for its key, or None for other bytes."""
        if data == self._data:
            return self._api_keys
        before, after = self._parts
        if not before or not data.startswith(before) or not data.endswith(after):
            return None
        key = data[len(before) : len(data) - len(after)]
        return (key.decode(),) if _KEY.fullmatch(key) else None

    def message(self, keys: Sequence[str]) -> Message:
        """Return a request that `match` has recognized, with its keys."""
        name = self.usage.key_header.lower()
        own = head_fields(self._data.partition(b"\r\n\r\n")[0])
        if keys == self._api_keys:
            return Message(own)
        return Message(tuple((field, keys[0] if field.lower() == name else value) for field, value in own))

    @cached_property
    def _parts(self) -> tuple[bytes, bytes]:
        """The bytes before and after the key."""
        field = rb"\r\n(?i:%b):[ \t]*([!-~]+)[ \t]*\r\n" % re.escape(self.usage.key_header.encode())
        found = re.search(field, self._data) if len(self._api_keys) == 1 else None
        return (self._data[: found.start(1)], self._data[found.end(1) :]) if found else (b"", b"")


class FastPath:
    """Responds to repeated requests of one connection.

    Invariant: a response of the fast path has the same bytes as that of the ordinary path.
    The fast path responds only under three conditions. The received bytes are, except for the key, those of a request
    that the ordinary path has found to be plain. The client has waited for every response. No override is in force:
    `answer` returns None if one is.
    """

    __slots__ = ("_answer", "_connection", "_received", "_template")

    def __init__(self, answer: Callable[[RequestTemplate, bytes], bytes | None], connection: ClientConnection) -> None:
        self._answer, self._connection = answer, connection
        self._received: bytes | None = b""  # since the last response; None for too many bytes or a pipelined request
        self._template: RequestTemplate | None = None

    def respond(self, data: bytes) -> bytes | None:
        """Return the response to received bytes, or None for bytes that the ordinary path has to handle."""
        return self._answer(self._template, data) if self._template is not None else None

    def observe(self, data: bytes, *, is_idle: bool) -> None:
        """Note bytes that the ordinary path handles.

        Args:
            data: The received bytes.
            is_idle: Every request before was answered, and no fault changes the bytes.
        """
        self._template = None
        if not is_idle or self._received is None or len(self._received) >= MAX_REPEAT_BYTES:
            self._received = None
        else:
            self._received += data

    def learn(self, response: web.StreamResponse) -> None:
        """Note a response of the ordinary path."""
        data, self._received = self._received, b""
        is_one_request = data is not None and data.startswith(b"GET ") and data.find(b"\r\n\r\n") == len(data) - 4
        if data is not None and is_one_request and isinstance(response, PreserializedResponse):
            self._template = RequestTemplate(data, response, self._connection)


def head_fields(head: bytes) -> tuple[tuple[str, str], ...]:
    """Return the names and the values of the header fields below the first line of a message."""
    lines = (line.partition(b":") for line in head.splitlines()[1:] if line)
    return tuple((decode(name), decode(value.strip(b" \t"))) for name, _, value in lines)


def serialize(prepared: PreparedResponse) -> bytes:
    """Return the bytes of a response on a connection that stays open."""
    date = _date(int(time.time()))
    return b"%b%bContent-Length: %d\r\n%b%b" % (prepared.head, SERVER_FIELD, len(prepared.body), date, prepared.body)


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return f"Date: {formatdate(second, usegmt=True)}\r\n\r\n".encode("ascii")
