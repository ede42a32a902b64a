"""The mock's time: it passes by itself, and can be frozen, set and advanced."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

# Year 5138: what comes later has no date.
END_OF_TIME = 100_000_000_000

_ANCHOR = time.time() - time.monotonic()


def wall_clock() -> float:
    """Return the seconds since 1970 by a clock that nobody sets back while the mock runs."""
    return _ANCHOR + time.monotonic()


def time_text(seconds: float) -> str:
    """Return seconds since 1970 as RFC 3339 writes them."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class EndOfTimeError(ValueError):
    """Time was to be moved to where there are no dates."""

    def __init__(self) -> None:
        super().__init__(f"the mock's time ends {END_OF_TIME} seconds after 1970")


@dataclass(frozen=True)
class Standing:
    """How a clock differs from the one that it is based on: the seconds that it is ahead, or when it stopped."""

    offset: float = 0.0
    frozen_at: float | None = None


AS_BASE = Standing()


class MockClock:
    """Seconds since 1970, as far as the mock is concerned; token buckets and ageing accounts follow them."""

    def __init__(self, base: Callable[[], float] = wall_clock, standing: Standing = AS_BASE) -> None:
        self.base, self.standing = base, standing

    def __call__(self) -> float:
        """Return the time."""
        standing = self.standing
        return self.base() + standing.offset if standing.frozen_at is None else standing.frozen_at

    @property
    def is_frozen(self) -> bool:
        """Whether time stands still."""
        return self.standing.frozen_at is not None

    def freeze(self, at: float | None = None) -> None:
        """Let time stand still, at some moment or (None) as it is; a second call changes nothing."""
        self.standing = _frozen(self() if at is None else at)

    def resume(self) -> None:
        """Let time pass again, from where it stands."""
        self.set(self())

    def set(self, now: float) -> None:
        """Let time pass from `now`, in seconds since 1970."""
        self.standing = Standing(now - self.base())

    def advance(self, seconds: float) -> None:
        """Move time by some seconds; if it is frozen it stays so."""
        if self.standing.frozen_at is None:
            self.standing = Standing(self.standing.offset + seconds)
        else:
            self.standing = _frozen(self.standing.frozen_at + seconds)


def _frozen(at: float) -> Standing:
    # A whole microsecond, as buckets count: else a tenth of a second on might fill a bucket by a tick less than that.
    return Standing(frozen_at=round(at, 6))
