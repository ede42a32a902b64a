"""Entries of a journal, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mock_server.journal.entry import ClientConnection, Entry, Message, Outcome
from mock_server.simulation.overrides import NO_OVERRIDE, Override


class Request(NamedTuple):
    connection: ClientConnection | None

    def message(self, _: Sequence[str]) -> Message:
        return Message()


@dataclass
class Response:
    headers: Mapping[str, str]
    outcome: Outcome = "sent"

    def message(self) -> Message:
        return Message(tuple(self.headers.items()))


def entry(
    target: str = "/usage",
    keys: Sequence[str] = ("demo-busy",),
    status: int = 200,
    *,
    at: float = 0.0,
    received: float | None = None,
    seconds: float = 0.0,
    reason: str = "",
    override: Override = NO_OVERRIDE,
    response: Mapping[str, str] | None = None,
    connection: ClientConnection | None = None,
) -> Entry:
    """Return an entry as the dispatcher records it; `response` has the header fields of the response."""
    return Entry(
        method="GET",
        target=target,
        keys=keys,
        status=status,
        reason=reason,
        override=override,
        received=at if received is None else received,
        at=at,
        seconds=seconds,
        request_source=Request(connection),
        response_source=Response(response or {}),
    )
