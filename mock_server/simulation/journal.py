"""The journal: the bounded list of requests that the mock received."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

# An exchange, as the dispatcher records it: method, target, API keys, status code, reason and override.
# A plain tuple costs a third of a named one, and most entries are never read.
Exchange = tuple[str, str, Sequence[str], int, str, object]


class Entry(NamedTuple):
    """One request and its response.

    Attributes:
        number: The number of the request, from 1.
        at: The mock's time, in seconds since the Unix epoch.
        method: The request method.
        target: The request target.
        key: The API key as the client sent it; mask it before it is shown.
        status: The status code of the response.
        seconds: The real time from the request to the response.
        reason: The value of `Mock-Reason`, empty for a success.
        applied: The overrides that acted on the exchange.
    """

    number: int
    at: float
    method: str
    target: str
    key: str
    status: int
    seconds: float
    reason: str
    applied: str


class Journal:
    """The latest requests, at most `capacity`, and the number of requests of each kind."""

    def __init__(self, capacity: int = 1000) -> None:
        self.capacity = capacity
        #: The number of requests by method, status code and reason.
        self.counts: Counter[tuple[str, int, str]] = Counter()
        self.seconds = 0.0
        self.number = 0
        self._records: deque[tuple[int, float, Exchange, float]] = deque(maxlen=capacity)

    @property
    def entries(self) -> list[Entry]:
        """The entries that are still in the journal, oldest first."""
        return [_entry(record) for record in tuple(self._records)]

    @property
    def kept(self) -> int:
        """The number of entries."""
        return len(self._records)

    def add(self, exchange: Exchange, *, at: float, seconds: float) -> None:
        """Record an exchange; the entry itself is built when it is read, so that recording costs little.

        Args:
            exchange: The exchange.
            at: The mock's time, in seconds since the Unix epoch.
            seconds: The real time from the request to the response.
        """
        method, _, _, status, reason, _ = exchange
        self.number += 1
        self.counts[method, status, reason] += 1
        self.seconds += seconds
        self._records.append((self.number, at, exchange, seconds))

    def since(self, number: int, limit: int | None = None) -> list[Entry]:
        """Return the entries after the entry with a number, oldest first, and at most `limit` of them."""
        last = islice(reversed(self._records), max(0, self.number - number))
        newer = [record for record in last if record[0] > number]
        return [_entry(record) for record in islice(reversed(newer), limit)]

    def clear(self, key: str | None = None) -> None:
        """Remove the entries of one key, or all entries (None); the counts remain."""
        kept = [] if key is None else [record for record in self._records if _entry(record).key != key]
        self._records.clear()
        self._records.extend(kept)


def _entry(record: tuple[int, float, Exchange, float]) -> Entry:
    number, at, exchange, seconds = record
    method, target, keys, status, reason, applied = exchange
    return Entry(number, at, method, target, ", ".join(keys), status, seconds, reason, str(applied))
