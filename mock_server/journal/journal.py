"""The journal: the bounded list of exchanges between clients and the mock."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

from mock_server.journal.entry import Entry
from mock_server.masking import mask_key
from mock_server.wording import counted

# The most keys of which the journal counts the dropped requests; all other keys share a count.
MAX_DROPPED_KEYS = 1_000


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
        self._entries: deque[Entry] = deque(maxlen=capacity)
        self._dropped: Counter[str | None] = Counter()  # by key; None for the keys beyond MAX_DROPPED_KEYS

    @property
    def entries(self) -> list[Entry]:
        """The entries that are still in the journal, oldest first."""
        return list(self._entries)

    @property
    def kept(self) -> int:
        """The number of entries."""
        return len(self._entries)

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

    def add(self, entry: Entry) -> None:
        """Record an exchange."""
        self.number += 1
        entry.number, entry.known_keys = self.number, self._known_keys
        self.counts[entry.method, entry.status, entry.reason] += 1
        self.seconds += entry.seconds
        entries = self._entries
        if len(entries) == self.capacity:
            keys, dropped = entries[0].keys, self._dropped  # the property costs more
            key = keys[0] if len(keys) == 1 else ", ".join(keys)
            if key in dropped:
                dropped[key] += 1
            else:  # once keys share a count, no other key has its own: it can be one of them
                dropped[None if None in dropped or len(dropped) >= MAX_DROPPED_KEYS else key] += 1
        entries.append(entry)

    def has(self, key: str) -> bool:
        """Return whether the journal has a request with a key, or with the key of an id."""
        return any(_is_of(key, entry.key) for entry in tuple(self._entries))

    def since(self, number: int, limit: int | None = None) -> list[Entry]:
        """Return the entries after the entry with a number, oldest first, and at most `limit` of them."""
        last = islice(reversed(self._entries), max(0, self.number - number))
        newer = [entry for entry in last if entry.number > number]
        return list(islice(reversed(newer), limit))

    def clear(self, key: str | None = None) -> None:
        """Remove the entries of one key, or its id, or all entries (None); the counts remain."""
        kept: list[Entry] = []
        if key is None:
            self._dropped.clear()
        else:
            kept += (entry for entry in self._entries if not _is_of(key, entry.key))
            for each in [each for each in self._dropped if each is not None and _is_of(key, each)]:
                del self._dropped[each]
        self._entries.clear()
        self._entries.extend(kept)


def _is_of(key: str, sent: str) -> bool:
    """Return whether a key, or an id, is that of a request with the key `sent`."""
    return key == sent or key == mask_key(sent)
