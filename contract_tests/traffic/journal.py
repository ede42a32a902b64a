"""Entries of the mock's journal, as recorded exchanges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from contract_tests.traffic.recording import Recorded
from contract_tests.wire.messages import Abridged, Aspect, Exchange, Request

if TYPE_CHECKING:  # at run time the gate does not import the mock for this
    from mock_server import Entry

# The journal keeps the fields of a head, but not its bytes, and a body without its framing.
LACKS = frozenset[Aspect]({"head", "framing"})

# The mock that has received a request; the entries do not name it.
MOCK = "http://localhost"


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
