"""The memory that the exchanges of a run share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from threading import Lock

from contract_tests.wire.limits import KEPT, LARGEST_BODY
from contract_tests.wire.messages import Abridged, Exchange

KEPT_IN_ALL = 16 * 1024 * 1024  # bytes
FIELD = 200  # bytes: Python's overhead for a field
KEPT_OF_A_HEAD = 16 * 1024  # bytes
KEPT_OF_AN_EXTRA = 1024  # bytes


@dataclass
class Retention:
    """Keeps responses whole while the budget lasts; then their beginnings, and the digests of their bodies."""

    left: int = KEPT_IN_ALL
    _lock: Lock = field(default_factory=Lock, repr=False)

    def room(self, responses: int = 1) -> int:
        """Return how many bytes of each body are kept."""
        return max(KEPT, min(LARGEST_BODY, self.left // responses))

    def kept(self, exchange: Exchange) -> Exchange:
        """Charge a response to the budget, and return the part that is kept."""
        with self._lock:
            self.left -= len(exchange.payload) + len(exchange.extra) + _size_of_head(exchange)
            return exchange if self.left > 0 else _without_large_head(exchange)


def _size_of_head(exchange: Exchange) -> int:
    return len(exchange.head) + sum(len(name) + len(value) + FIELD for name, value in exchange.fields)


def _without_large_head(exchange: Exchange) -> Exchange:
    """Return a response with only the beginnings of a large head and of the bytes that followed it."""
    if _size_of_head(exchange) <= KEPT_OF_A_HEAD and len(exchange.extra) <= KEPT_OF_AN_EXTRA:
        return exchange
    fields, size = [], 0
    for name, value in exchange.fields:
        size += len(name) + len(value) + FIELD
        if size > KEPT_OF_A_HEAD:
            break
        fields.append((name, value))
    return replace(
        exchange,
        fields=tuple(fields),
        head=exchange.head[:KEPT_OF_A_HEAD],
        extra=exchange.extra[:KEPT_OF_AN_EXTRA],
        abridged=Abridged(exchange.size, exchange.sha256, head=True, extra=len(exchange.extra)),
    )
