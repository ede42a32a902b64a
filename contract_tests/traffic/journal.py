"""Entries of the mock's journal, as recorded exchanges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from contract_tests.traffic.recording import Recorded
from contract_tests.wire.messages import Abridged, Aspect, Exchange, Request

# The journal keeps the fields of a head, but not its bytes, and a body without its framing.
LACKS = frozenset[Aspect]({"head", "framing"})

# The mock that has received a request; the entries do not name it.
MOCK = "http://localhost"


class Message(Protocol):
    """The header fields and the body of a request or a response."""

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The header fields, in order."""

    @property
    def body(self) -> bytes:
        """The body, without its framing."""

    @property
    def is_complete(self) -> bool:
        """Whether all of the message is kept."""


class Entry(Protocol):
    """The read members of an entry of `UsageMock.requests`; the gate does not import the mock."""

    @property
    def method(self) -> str:
        """The method of the request."""

    @property
    def target(self) -> str:
        """The target of the request, as it was sent."""

    @property
    def status(self) -> int:
        """The status of the response."""

    @property
    def received(self) -> float:
        """The mock's time of the request, in seconds since the Unix epoch."""

    @property
    def at(self) -> float:
        """The mock's time of the response, in seconds since the Unix epoch."""

    @property
    def request(self) -> Message:
        """The request."""

    @property
    def response(self) -> Message:
        """The response, without header fields if a fault has prevented it."""


def from_journal(entries: Iterable[Entry]) -> list[Recorded]:
    """Return the exchanges of entries of the mock's journal, such as `usage_mock.requests`.

    A request that the mock could not parse has no target, and is left out.
    """
    return [_recorded(entry) for entry in entries if entry.target]


def _recorded(entry: Entry) -> Recorded:
    sent, response = entry.request, entry.response
    fields = tuple((_received_bytes(name), _received_bytes(value)) for name, value in sent.headers)
    request = Request(entry.method, _received_bytes(entry.target), fields, sent.body, version="")
    url = entry.target if entry.target.startswith("http") else MOCK + entry.target
    if not response.headers:  # a fault has closed the connection without a response
        return Recorded(url, Exchange(request))
    lost = Abridged(len(response.body), "", reason="the journal lacks a part of a response")
    exchange = Exchange(
        request,
        entry.status,
        fields=tuple((name, _received_bytes(value)) for name, value in response.headers),
        payload=response.body,
        received=len(response.body),
        started=entry.received,
        seconds=entry.at - entry.received,
        abridged=None if response.is_complete else lost,
        lacks=LACKS,
    )
    return Recorded(url, exchange)


def _received_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
