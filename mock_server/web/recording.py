"""The requests and responses from which the journal builds messages."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

from aiohttp import web

from mock_server.journal.entry import MAX_MESSAGE, ClientConnection, Message, Outcome
from mock_server.simulation.clock import Sleep
from mock_server.web.fast_path import PreserializedResponse, head_fields
from mock_server.web.raw_response import RawResponse
from mock_server.web.responses import decode

# The seconds that a response waits for the body of its request.
BODY_TIMEOUT = 1.0


class ReceivedRequest(NamedTuple):
    """The header fields and the body of a request, up to MAX_MESSAGE bytes, and its connection."""

    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    is_complete: bool
    connection: ClientConnection | None

    def message(self, _: Sequence[str]) -> Message:
        """Return the request."""
        fields = tuple((decode(name), decode(value)) for name, value in self.fields)
        return Message(fields, self.body, self.is_complete)


@dataclass(slots=True)
class SentResponse:
    """The bytes of the head of a response, or its header fields as aiohttp completes them; and its body.

    The outcome can change until the response is sent.
    """

    head: bytes | Mapping[str, str]
    body: bytes
    is_complete: bool
    outcome: Outcome = "sent"

    def message(self) -> Message:
        """Return the response."""
        fields = head_fields(self.head) if isinstance(self.head, bytes) else tuple(self.head.items())
        return Message(fields, self.body, self.is_complete)


class SentBytes:
    """The bytes of a response on the fast path."""

    __slots__ = ("_data",)

    outcome: Outcome = "sent"

    def __init__(self, data: bytes) -> None:
        self._data = data

    def message(self) -> Message:
        """Return the response."""
        head, body = _split(self._data)
        return Message(head_fields(head), body)


# The response to a request, as the journal has it.
SENT = web.RequestKey("sent", SentResponse)


async def received_request(request: web.Request, sleep: Sleep) -> ReceivedRequest:
    """Return a request for the journal, once its body has arrived, or after BODY_TIMEOUT."""
    sizes = [len(name) + len(value) for name, value in request.raw_headers]
    kept = sum(size <= MAX_MESSAGE for size in accumulate(sizes))
    body, is_whole = b"", True
    if request.body_exists:
        body, is_whole = await _received_body(request, MAX_MESSAGE - sum(sizes[:kept]), sleep)
    return ReceivedRequest(request.raw_headers[:kept], body, is_whole and kept == len(sizes), connection_of(request))


def connection_of(request: web.BaseRequest) -> ClientConnection | None:
    """Return the connection of a request; None for a request of aiohttp's own test client."""
    return getattr(request.protocol, "client", None)


async def _received_body(request: web.Request, room: int, sleep: Sleep) -> tuple[bytes, bool]:
    """Return the body of a request up to `room` bytes, and whether that is all of it."""
    if request.content.at_eof():  # a fault has read it
        body = await request.read()
        return body[:room], len(body) <= room
    received = bytearray()

    async def receive() -> bool:
        while len(received) <= room:
            piece = await request.content.readany()
            if not piece:
                return True
            received.extend(piece)
        return False

    # A client that sends Expect can wait for this response before it sends the body.
    seconds = 0 if "Expect" in request.headers else BODY_TIMEOUT
    receiving, waiting = asyncio.ensure_future(receive()), asyncio.ensure_future(sleep(seconds))
    try:
        await asyncio.wait((receiving, waiting), return_when=asyncio.FIRST_COMPLETED)
        has_ended = receiving.done() and receiving.result()
    except (ConnectionError, web.RequestPayloadError):
        has_ended = False  # the rest of the body does not arrive
    finally:
        receiving.cancel()
        waiting.cancel()
    return bytes(received[:room]), has_ended and len(received) <= room


def sent_response(request: web.BaseRequest, response: web.StreamResponse) -> SentResponse:
    """Return a response for the journal."""
    if isinstance(response, PreserializedResponse):
        return _cut(*_split(response.data))
    if isinstance(response, RawResponse):
        return replace(_cut(*response.sent), outcome=response.outcome)
    body = response.body if isinstance(response, web.Response) and request.method != "HEAD" else None
    return _cut(response.headers, body if isinstance(body, bytes) else b"")


def _split(data: bytes) -> tuple[bytes, bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    return head, body


def _cut(head: bytes | Mapping[str, str], body: bytes) -> SentResponse:
    size = len(head) if isinstance(head, bytes) else sum(map(len, head.values()))
    if size > MAX_MESSAGE:
        return SentResponse(b"", b"", is_complete=False)
    return SentResponse(head, body[: MAX_MESSAGE - size], size + len(body) <= MAX_MESSAGE)
