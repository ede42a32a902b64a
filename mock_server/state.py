"""What must be one truth however many processes serve: tokens, counts and settings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from mock_server.bucket import TokenBucket
from mock_server.fixtures import Traffic
from mock_server.settings import Settings


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """A token bucket by name: its rate (tokens a second), its capacity, and what is in it at first (None: all)."""

    name: str
    rps: float
    burst: int
    tokens: float | None = None


class Taken(NamedTuple):
    """What a bucket gave: the tokens left, or None and the whole seconds after which to ask again."""

    remaining: float | None
    retry_after: int = 0


class State(Protocol):
    """Keeps what processes share; every method may have to ask another machine."""

    async def take(self, bucket: BucketSpec, now: float, tokens: int) -> Taken:
        """Take tokens from a bucket, which is filled when it is first asked for."""

    async def look(self, bucket: BucketSpec, now: float) -> float:
        """Return how many tokens a bucket holds."""

    async def count(self, name: str) -> int:
        """Count one more of something and return how many there were, this one included."""

    async def record(self, account: str, traffic: Traffic) -> None:
        """Keep traffic of an account."""

    async def forget(self, *names: str) -> None:
        """Forget buckets, counts and traffic by name."""

    async def clear(self) -> None:
        """Forget everything."""

    async def change(self, settings: Settings) -> None:
        """Make settings those of every process."""


class MemoryState:
    """The state of one process, in its memory; accounts keep their traffic themselves."""

    def __init__(self) -> None:
        self._buckets: dict[str, TokenBucket] = {}
        self._counts: Counter[str] = Counter()

    async def take(self, bucket: BucketSpec, now: float, tokens: int) -> Taken:
        """Take tokens from a bucket."""
        found = self._buckets.get(bucket.name) or self._filled(bucket, now)
        remaining = found.take(now, tokens)
        return Taken(remaining) if remaining is not None else Taken(None, found.retry_after(now))

    async def look(self, bucket: BucketSpec, now: float) -> float:
        """Return how many tokens a bucket holds."""
        remaining = (self._buckets.get(bucket.name) or self._filled(bucket, now)).take(now, 0)
        assert remaining is not None  # no tokens were asked for
        return remaining

    async def count(self, name: str) -> int:
        """Count one more of something."""
        self._counts[name] += 1
        return self._counts[name]

    async def record(self, account: str, traffic: Traffic) -> None:
        """Do nothing: there is nobody else to tell."""

    async def forget(self, *names: str) -> None:
        """Forget buckets and counts by name."""
        for name in names:
            self._buckets.pop(name, None)
            self._counts.pop(name, None)

    async def clear(self) -> None:
        """Forget everything."""
        self._buckets.clear()
        self._counts.clear()

    async def change(self, settings: Settings) -> None:
        """Do nothing: there is nobody else to tell."""

    def _filled(self, bucket: BucketSpec, now: float) -> TokenBucket:
        return self._buckets.setdefault(bucket.name, TokenBucket(bucket.rps, bucket.burst, now, bucket.tokens))
