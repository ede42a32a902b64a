"""The journal: the bounded list of exchanges between clients and the mock."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

from mock_server.journal.exchange import ClientConnection, Exchange, Message, Outcome
from mock_server.masking import mask_key, mask_target, printable
from mock_server.wording import counted

# The most keys of which the journal counts the dropped requests; all other keys share a count.
MAX_DROPPED_KEYS = 1_000


class Entry(NamedTuple):
    """One request and its response.

    Attributes:
        number: The number of the request, from 1.
        at: The mock's time of the response, in seconds since the Unix epoch.
        method: The request method.
        target: The request target.
        key: The API key as the client sent it; mask it before it is shown.
        status: The status code of the response.
        seconds: The real time from the request to the response, with its delay also if the client gives up before.
        reason: The value of `Mock-Reason`, empty for a success.
        applied: The overrides that acted on the exchange, in words.
        received: The mock's time at which the request was received, in seconds since the Unix epoch.
        exchange: The exchange as it was recorded.
        known_keys: Returns the API keys of the mock.
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
    received: float
    exchange: Exchange
    known_keys: Callable[[], Iterable[str]] = tuple

    def __repr__(self) -> str:
        """Return the request and the status without a key, which must not be in the output of a test."""
        path = mask_target(self.target.partition("?")[0], (*self.known_keys(), self.key))
        words = (f"#{self.number}", self.method, printable(path), str(self.status), self.reason)
        return f"Entry({' '.join(filter(None, words))})"

    @property
    def outcome(self) -> Outcome:
        """Whether the response was sent; a delayed response counts as sent while the client waits for it."""
        return self.exchange.response.outcome

    @property
    def connection(self) -> ClientConnection | None:
        """The connection of the request."""
        return self.exchange.request.connection

    @property
    def request(self) -> Message:
        """The request."""
        return self.exchange.request.message(self.exchange.keys)

    @property
    def response(self) -> Message:
        """The response as the mock has prepared it."""
        return self.exchange.response.message()


class Dropped(NamedTuple):
    """The number of entries that newer ones have displaced; if it is not exact, it is the highest possible one."""

    number: int
    is_exact: bool = True

    def text(self, thing: str) -> str:
        """Return `1 request`, or `up to 2 requests`."""
        return ("" if self.is_exact else "up to ") + counted(self.number, thing)


class Journal:
    """The latest requests, and the number of requests of each kind.

    Args:
        capacity: The highest number of requests.
        known_keys: Returns the API keys of the mock, which the text of an entry must not contain.
    """

    def __init__(self, capacity: int = 1000, known_keys: Callable[[], Iterable[str]] = tuple) -> None:
        self.capacity, self._known_keys = capacity, known_keys
        #: The number of requests by method, status code and reason.
        self.counts: Counter[tuple[str, int, str]] = Counter()
        self.seconds = 0.0
        self.number = 0
        self._records: deque[tuple[int, Exchange]] = deque(maxlen=capacity)  # with their numbers
        self._dropped: Counter[str | None] = Counter()  # by key; None for the keys beyond MAX_DROPPED_KEYS

    @property
    def entries(self) -> list[Entry]:
        """The entries that are still in the journal, oldest first."""
        return [self._entry(record) for record in tuple(self._records)]

    @property
    def kept(self) -> int:
        """The number of entries."""
        return len(self._records)

    def dropped(self, key: str | None = None) -> Dropped:
        """Return how many entries of a key, or its id, newer ones have displaced since they were cleared.

        With None, it is the number for all keys.
        """
        if key is None:
            return Dropped(self._dropped.total())
        dropped = dict(self._dropped)  # at once: the thread of the mock adds to it
        own = sum(number for each, number in dropped.items() if each is not None and _is_of(key, each))
        shared = dropped.get(None, 0)
        return Dropped(own) if own or not shared else Dropped(shared, is_exact=False)

    def add(self, exchange: Exchange) -> None:
        """Record an exchange; its entry is built when it is read, so that recording costs little."""
        self.number += 1
        self.counts[exchange.method, exchange.status, exchange.reason] += 1
        self.seconds += exchange.seconds
        records = self._records
        if len(records) == self.capacity:
            keys, dropped = records[0][1].keys, self._dropped  # the property costs more
            key = keys[0] if len(keys) == 1 else ", ".join(keys)
            if key in dropped:
                dropped[key] += 1
            else:  # once keys share a count, no other key has its own: it can be one of them
                dropped[None if None in dropped or len(dropped) >= MAX_DROPPED_KEYS else key] += 1
        records.append((self.number, exchange))

    def has(self, key: str) -> bool:
        """Return whether the journal has a request with a key, or with the key of an id."""
        return any(_is_of(key, exchange.key) for _, exchange in tuple(self._records))

    def since(self, number: int, limit: int | None = None) -> list[Entry]:
        """Return the entries after the entry with a number, oldest first, and at most `limit` of them."""
        last = islice(reversed(self._records), max(0, self.number - number))
        newer = [record for record in last if record[0] > number]
        return [self._entry(record) for record in islice(reversed(newer), limit)]

    def clear(self, key: str | None = None) -> None:
        """Remove the entries of one key, or its id, or all entries (None); the counts remain."""
        kept: list[tuple[int, Exchange]] = []
        if key is None:
            self._dropped.clear()
        else:
            kept += (record for record in self._records if not _is_of(key, record[1].key))
            for each in [each for each in self._dropped if each is not None and _is_of(key, each)]:
                del self._dropped[each]
        self._records.clear()
        self._records.extend(kept)

    def _entry(self, record: tuple[int, Exchange]) -> Entry:
        number, exchange = record
        return Entry(
            number=number,
            at=exchange.at,
            method=exchange.method,
            target=exchange.target,
            key=exchange.key,
            status=exchange.status,
            seconds=exchange.seconds,
            reason=exchange.reason,
            applied=str(exchange.override),
            received=exchange.received,
            exchange=exchange,
            known_keys=self._known_keys,
        )


def _is_of(key: str, sent: str) -> bool:
    """Return whether a key, or an id, is that of a request with the key `sent`."""
    return key == sent or key == mask_key(sent)
