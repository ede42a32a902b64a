"""Exchanges for a journal, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mock_server.simulation.journal import Exchange, Message


def exchange(
    target: str = "/usage",
    keys: Sequence[str] = ("demo-busy",),
    status: int = 200,
    *,
    at: float = 0.0,
    reason: str = "",
    applied: object = "",
    response: Mapping[str, str] | None = None,
) -> Exchange:
    """Return an exchange as the dispatcher records it; `response` has the header fields of the response."""
    received = Message(tuple((response or {}).items()))
    return "GET", target, keys, status, reason, applied, at, None, None, lambda *_: (Message(), received)
