"""Exchanges for a journal, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

from mock_server.simulation.journal import ClientConnection, Exchange, Message


def exchange(
    target: str = "/usage",
    keys: Sequence[str] = ("demo-busy",),
    status: int = 200,
    *,
    at: float = 0.0,
    reason: str = "",
    applied: object = "",
    response: Mapping[str, str] | None = None,
    connection: ClientConnection | None = None,
) -> Exchange:
    """Return an exchange as the dispatcher records it; `response` has the header fields of the response."""
    received, source = Message(tuple((response or {}).items())), SimpleNamespace(connection=connection)
    return "GET", target, keys, status, reason, applied, at, source, None, lambda *_: (Message(), received)
