"""What must be one truth however many processes serve: tokens, counts, traffic and settings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from mock_server.fixtures.deployments import Traffic
from mock_server.simulation.bucket import TokenBucket
from mock_server.simulation.overrides import Settings


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """A token bucket by name: its rate (tokens a second), its capacity, and what is in it at first (None: all)."""

    name: str
    rps: float
    burst: int
    tokens: float | None = None
    key: str = ""  # whose it is; empty for a fault's own, which may be several keys'


# The version of an account of which nothing was read, or of which there is nothing.
UNREAD = "unread"


class Known(NamedTuple):
    """What a process knows of an account that others may change: its name, its key, and the version it has read."""

    name: str
    key: str
    version: str = UNREAD


class Recorded(NamedTuple):
    """What all processes did to an account: since when it is there (seconds), and the traffic that was recorded."""

    version: str
    since: float
    traffic: Traffic


class Taken(NamedTuple):
    """What a bucket gave: the tokens left, or None and the whole seconds after which to ask again.

    `news` is there when the account has changed since the version that is known.
    """

    remaining: float | None
    retry_after: int = 0
    news: Recorded | None = None


class StaleError(Exception):
    """Another process has changed the settings; nothing was done. Ask for the latest ones and try again."""


class StateUnavailableError(ConnectionError):
    """What keeps the state cannot be reached, or refuses; the text tells no password."""


class State(Protocol):
    """Keeps what processes share; every method may have to ask another machine.

    Each may raise StateUnavailableError, and those that say so StaleError.
    """

    async def take(self, bucket: BucketSpec, now: float, tokens: int, account: Known) -> Taken:
        """Take tokens from a bucket, which is filled when it is first asked for; may be stale."""

    async def look(self, bucket: BucketSpec, now: float) -> float:
        """Return how many tokens a bucket holds; one that was never asked is not filled by this."""

    async def count(self, name: str) -> int:
        """Count one more of something and return how many there were, this one included."""

    async def counted(self, names: Sequence[str]) -> Sequence[int]:
        """Return how many there were of each of some things."""

    async def forget_counts(self) -> None:
        """Count everything from one again."""

    async def record(self, account: Known, now: float, traffic: Traffic) -> None:
        """Keep traffic of an account."""

    async def recorded(self, account: Known, now: float) -> Recorded | None:
        """Return what was done to an account, if that is not known yet; one that was never asked is not opened."""

    async def latest(self) -> Settings | None:
        """Return the settings that are not known yet, if there are such."""

    async def change(self, settings: Settings, *, anew: bool = False, key: str | None = None) -> None:
        """Make settings those of every process; if `anew`, forget what a key did, or all of them; may be stale."""

    async def close(self) -> None:
        """Let go of what is open."""


class MemoryState:
    """The state of one process, in its memory; accounts keep their traffic themselves."""

    def __init__(self) -> None:
        self._buckets: dict[str, TokenBucket] = {}
        self._names: defaultdict[str, list[str]] = defaultdict(list)  # of buckets, by key
        self._counts: Counter[str] = Counter()

    async def take(self, bucket: BucketSpec, now: float, tokens: int, account: Known) -> Taken:  # noqa: ARG002 - nobody else changes it
        """Take tokens from a bucket."""
        return self.take_now(bucket, now, tokens)

    def take_now(self, bucket: BucketSpec, now: float, tokens: int) -> Taken:
        """Do what `take` does, for which nobody has to wait here."""
        found = self._buckets.get(bucket.name) or self._filled(bucket, now)
        remaining = found.take(now, tokens)
        return Taken(remaining) if remaining is not None else Taken(None, found.retry_after(now))

    async def look(self, bucket: BucketSpec, now: float) -> float:
        """Return how many tokens a bucket holds."""
        unfilled = TokenBucket(bucket.rps, bucket.burst, now, bucket.tokens)
        return self._buckets.get(bucket.name, unfilled).look(now)

    async def count(self, name: str) -> int:
        """Count one more of something."""
        self._counts[name] += 1
        return self._counts[name]

    async def counted(self, names: Sequence[str]) -> Sequence[int]:
        """Return how many there were of each of some things."""
        return [self._counts[name] for name in names]

    async def forget_counts(self) -> None:
        """Count everything from one again."""
        self._counts.clear()

    async def record(self, account: Known, now: float, traffic: Traffic) -> None:
        """Do nothing: there is nobody else to tell."""

    async def recorded(self, account: Known, now: float) -> Recorded | None:
        """Return nothing: there is nobody else to change it."""

    async def latest(self) -> Settings | None:
        """Return nothing: there is nobody else to change them."""

    async def change(self, settings: Settings, *, anew: bool = False, key: str | None = None) -> None:  # noqa: ARG002 - the simulator keeps them
        """Forget the buckets of a key, or all of them."""
        if anew:
            for owner in tuple(self._names) if key is None else (key,):
                for name in self._names.pop(owner, ()):
                    del self._buckets[name]

    async def close(self) -> None:
        """Do nothing."""

    def _filled(self, spec: BucketSpec, now: float) -> TokenBucket:
        self._names[spec.key].append(spec.name)
        self._buckets[spec.name] = bucket = TokenBucket(spec.rps, spec.burst, now, spec.tokens)
        return bucket
