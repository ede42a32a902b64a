"""The journal: what was asked and answered of late, for whoever wants to look, search or verify."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from typing import Any, NamedTuple

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
        self.counts: Counter[tuple[str, int, str]] = Counter()  # by method, status and reason
        self.seconds = 0.0
        self.number = 0
        self._written: deque[tuple[Any, ...]] = deque(maxlen=capacity)

    @property
    def entries(self) -> list[Entry]:
        """What is still there, oldest first."""
        return [_entry(written) for written in tuple(self._written)]

    @property
    def capacity(self) -> int:
        """The number of requests that it holds at most."""
        return self._written.maxlen or 0

    @property
    def kept(self) -> int:
        """The number of requests that it holds."""
        return len(self._written)

    def add(
        self,
        at: float,
        method: str,
        target: str,
        keys: Sequence[str],
        status: int,
        seconds: float,
        reason: str,
        applied: object,
    ) -> None:
        """Write down one request; see Entry. It costs little: what is to be told is worked out when somebody looks."""
        self.number += 1
        self.counts[method, status, reason] += 1
        self.seconds += seconds
        self._written.append((self.number, at, method, target, keys, status, seconds, reason, applied))

    def since(self, number: int, most: int | None = None) -> list[Entry]:
        """Return what was written after the entry of that number, oldest first, as far as it is still there.

        With `most` only the oldest so many.
        """
        last = islice(reversed(self._written), max(0, self.number - number))
        found = [written for written in last if written[0] > number]
        return [_entry(written) for written in islice(reversed(found), most)]

    def clear(self, key: str | None = None) -> None:
        """Forget the requests with one key, or all of them (None); the counts stay."""
        kept = (
            []
            if key is None
            else [each for each, entry in zip(self._written, self.entries, strict=True) if entry.key != key]
        )
        self._written.clear()
        self._written.extend(kept)


def _entry(written: tuple[Any, ...]) -> Entry:
    number, at, method, target, keys, status, seconds, reason, applied = written
    return Entry(number, at, method, target, ", ".join(keys), status, seconds, reason, str(applied))


@lru_cache(maxsize=256)
def masked(key: str) -> str:
    """Return a name for a key that does not tell it: its first third, at most 4 characters, and a hash."""
    if not key:
        return ""
    digest = sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:6]
    shown = key[: min(4, len(key) // 3)].encode("utf-8", "replace").decode()  # any byte may have been sent
    return f"{shown}…{digest}"
