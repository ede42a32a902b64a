"""The journal: what was asked and answered of late, for whoever wants to look, search or verify."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

CAPACITY = 1000


class Entry(NamedTuple):
    """One request and its answer. The key is the one that was sent: mask it before it is shown."""

    number: int
    at: float  # the mock's time, in seconds since 1970
    method: str
    target: str
    key: str
    status: int
    seconds: float
    reason: str  # why it was refused, empty where it was not
    applied: str  # what of scenario, code, fault and delay was at work


class Journal:
    """The last requests, at most `capacity` of them, and how many there were of each kind."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.entries: deque[Entry] = deque(maxlen=capacity)
        self.counts: Counter[tuple[str, int, str]] = Counter()  # by method, status and reason
        self.seconds = 0.0
        self.number = 0

    def add(
        self, at: float, method: str, target: str, key: str, status: int, seconds: float, reason: str, applied: str
    ) -> None:
        """Write down one request; see Entry."""
        self.number += 1
        self.counts[method, status, reason] += 1
        self.seconds += seconds
        self.entries.append(Entry(self.number, at, method, target, key, status, seconds, reason, applied))

    def since(self, number: int) -> Iterator[Entry]:
        """Yield what was written after the entry of that number, oldest first, as far as it is still there."""
        missing = self.number - number
        if missing <= 0:
            return iter(())
        if missing >= len(self.entries):
            return iter(tuple(self.entries))
        return iter(tuple(self.entries)[-missing:])

    def clear(self, key: str | None = None) -> None:
        """Forget the requests with one key, or all of them (None); the counts stay."""
        kept = () if key is None else tuple(entry for entry in self.entries if entry.key != key)
        self.entries.clear()
        self.entries.extend(kept)


def masked(key: str) -> str:
    """Return a name for a key that does not tell it: its first third, at most 4 characters, and a hash."""
    if not key:
        return ""
    digest = sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:6]
    return f"{key[: min(4, len(key) // 3)]}…{digest}"
