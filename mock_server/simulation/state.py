"""State that several processes can share: tokens, counts, traffic and overrides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from mock_server.fixtures.deployments import Traffic
from mock_server.simulation.bucket import TokenBucket
from mock_server.simulation.overrides import Overrides


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """The definition of a token bucket.

    Attributes:
        name: The name of the bucket in the state.
        rps: The rate, in tokens a second.
        burst: The capacity, in tokens.
        tokens: The number of tokens at the start; None for a full bucket.
        key: The key that owns the bucket, empty for the bucket of a fault, which several keys can share.
        interval: The seconds from one refill to the next; 0 for a bucket that refills continuously.
    """

    name: str
    rps: float
    burst: int
    tokens: float | None = None
    key: str = ""
    interval: float = 0.0

    def refilled_at(self, now: float) -> float:
        """Return the time of the last refill."""
        return now // self.interval * self.interval if self.interval else now


# The version of an account that was not read yet, or that the state does not contain.
UNREAD = "unread"


class AccountRef(NamedTuple):
    """An account in the state: its name, its key, and the version that this process has read."""

    name: str
    key: str
    version: str = UNREAD


class AccountSnapshot(NamedTuple):
    """An account as all processes have changed it: its version, its beginning (seconds) and its recorded traffic."""

    version: str
    since: float
    traffic: Traffic


@dataclass(slots=True)  # a named tuple, or a frozen object, costs more
class TakeResult:
    """The result of taking tokens from a bucket.

    Attributes:
        remaining: The remaining tokens; None where the bucket holds too few.
        retry_after: The whole seconds until the bucket holds enough.
        snapshot: The account, where its version differs from the one that the process has read.
    """

    remaining: float | None
    retry_after: int = 0
    snapshot: AccountSnapshot | None = None


class StaleError(Exception):
    """Another process has changed the overrides; nothing was done. Read the latest ones and try again."""


class StateUnavailableError(ConnectionError):
    """The shared state cannot be reached or refuses a command; the text contains no password."""


class UnreadableStateError(StateUnavailableError):
    """This version cannot read a record in the shared state; the text discloses nothing of its content."""

    def __init__(self, record: str, error: Exception) -> None:
        problem = f"{record} in the shared state cannot be read ({type(error).__name__})"
        super().__init__(f"{problem}; POST /__mock__/reset resets everything")


class State(Protocol):
    """State that processes can share.

    Every method can raise StateUnavailableError; `take` and `change` can raise StaleError.
    """

    @property
    def version(self) -> str:
        """The version of the overrides that this process has read; empty where no other process exists."""

    async def take(
        self, bucket: BucketSpec, now: float, *, tokens: int, account: AccountRef, required: str | None = None
    ) -> TakeResult:
        """Take tokens from a bucket; the first use fills the bucket.

        Args:
            bucket: The bucket.
            now: The mock's time, in seconds.
            tokens: The number of tokens.
            account: The account that sends the request.
            required: The version that the latest overrides must have, otherwise StaleError; None for any.
        """

    async def look(self, bucket: BucketSpec, now: float) -> float:
        """Return the tokens of a bucket, without filling an unused one."""

    async def count(self, name: str) -> int:
        """Increase a counter and return its value."""

    async def counts(self, names: Sequence[str]) -> Sequence[int]:
        """Return the values of counters."""

    async def forget_counts(self) -> None:
        """Reset all counters."""

    async def record(self, account: AccountRef, now: float, traffic: Traffic) -> None:
        """Record traffic of an account."""

    async def snapshot(self, account: AccountRef, now: float) -> AccountSnapshot | None:
        """Return an account, unless the process has read this version or the account was never used."""

    async def latest(self) -> Overrides | None:
        """Return the latest overrides, unless this process has read them."""

    async def change(
        self, overrides: Overrides, *, restart: bool = False, key: str | None = None, force: bool = False
    ) -> None:
        """Set the overrides of every process.

        Args:
            overrides: The new overrides.
            restart: Forget the account of the key, or all accounts.
            key: The key; None for all.
            force: Do not raise StaleError, because the new overrides do not depend on the old ones.
        """

    async def close(self) -> None:
        """Close the connection to the state."""


class MemoryState:
    """The state of a single process. Accounts keep their traffic themselves."""

    version = ""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], TokenBucket] = {}  # by key and name
        self._counts: Counter[str] = Counter()

    async def take(
        self,
        bucket: BucketSpec,
        now: float,
        *,
        tokens: int,
        account: AccountRef,  # noqa: ARG002 - no other process changes it
        required: str | None = None,  # noqa: ARG002 - no other process changes the overrides
    ) -> TakeResult:
        """Take tokens from a bucket."""
        return self.take_sync(bucket, now, tokens)

    def take_sync(self, bucket: BucketSpec, now: float, tokens: int) -> TakeResult:
        """Do what `take` does, without a coroutine."""
        place = bucket.key, bucket.name
        found = self._buckets.get(place)
        if found is None:
            found = self._buckets[place] = TokenBucket(bucket.rps, bucket.burst, now=now, tokens=bucket.tokens)
        remaining = found.take(bucket.refilled_at(now), tokens)
        return TakeResult(remaining) if remaining is not None else TakeResult(None, found.retry_after(now))

    async def look(self, bucket: BucketSpec, now: float) -> float:
        """Return the tokens of a bucket."""
        unfilled = TokenBucket(bucket.rps, bucket.burst, now=now, tokens=bucket.tokens)
        return self._buckets.get((bucket.key, bucket.name), unfilled).look(bucket.refilled_at(now))

    async def count(self, name: str) -> int:
        """Increase a counter and return its value."""
        self._counts[name] += 1
        return self._counts[name]

    async def counts(self, names: Sequence[str]) -> Sequence[int]:
        """Return the values of counters."""
        return [self._counts[name] for name in names]

    async def forget_counts(self) -> None:
        """Reset all counters."""
        self._counts.clear()

    async def record(self, account: AccountRef, now: float, traffic: Traffic) -> None:
        """Do nothing: the account has recorded the traffic."""

    async def snapshot(self, account: AccountRef, now: float) -> AccountSnapshot | None:
        """Return nothing: no other process changes an account."""

    async def latest(self) -> Overrides | None:
        """Return nothing: no other process changes the overrides."""

    async def change(
        self,
        overrides: Overrides,  # noqa: ARG002 - the simulator keeps them
        *,
        restart: bool = False,
        key: str | None = None,
        force: bool = False,  # noqa: ARG002 - no other process changes them
    ) -> None:
        """Forget the buckets of a key, or of all keys (None), if accounts restart."""
        if restart:
            kept = {} if key is None else self._buckets
            self._buckets = {place: bucket for place, bucket in kept.items() if place[0] != key}

    async def close(self) -> None:
        """Do nothing."""
