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
    def headers(self) -> tuple[tuple[str, str], ...]: ...

    @property
    def body(self) -> bytes: ...

    @property
    def is_complete(self) -> bool: ...


class Entry(Protocol):
    """The read members of an entry of `UsageMock.requests`; the gate does not import the mock."""

    @property
    def method(self) -> str: ...

    @property
    def target(self) -> str: ...

    @property
    def status(self) -> int: ...

    @property
    def received(self) -> float: ...

    @property
    def at(self) -> float: ...

    @property
    def request(self) -> Message: ...

    @property
    def response(self) -> Message: ...


def from_journal(entries: Iterable[Entry]) -> list[Recorded]:
    """Return the exchanges of entries of the mock's journal, such as `usage_mock.requests`."""
    return [_recorded(entry) for entry in entries]


def _recorded(entry: Entry) -> Recorded:
    sent, response = entry.request, entry.response
    fields = tuple((_bytes(name), _bytes(value)) for name, value in sent.headers)
    request = Request(entry.method, _bytes(entry.target), fields, sent.body, version="")
    url = entry.target if entry.target.startswith("http") else MOCK + entry.target
    if not response.headers:  # a fault has closed the connection without a response
        return Recorded(url, Exchange(request))
    lost = Abridged(len(response.body), "", reason="the journal lacks a part of a response")
    exchange = Exchange(
        request,
        entry.status,
        fields=tuple((name, _bytes(value)) for name, value in response.headers),
        payload=response.body,
        received=len(response.body),
        started=entry.received,
        seconds=entry.at - entry.received,
        abridged=None if response.is_complete else lost,
        lacks=LACKS,
    )
    return Recorded(url, exchange)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
