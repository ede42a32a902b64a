"""The mock's clock, which can be frozen, set and advanced."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

# Year 5138: Python has no dates for much later times.
END_OF_TIME = 100_000_000_000

# Waits for a number of real seconds.
Sleep = Callable[[float], Awaitable[None]]

# Libraries that freeze the clock of a test process replace the other functions.
if hasattr(time, "clock_gettime"):
    real_seconds: Callable[[], float] = partial(time.clock_gettime, time.CLOCK_MONOTONIC)
    _anchor = time.clock_gettime(time.CLOCK_REALTIME) - real_seconds()
else:
    real_seconds = time.perf_counter
    _anchor = time.time() - real_seconds()


def wall_clock() -> float:
    """Return the seconds since the Unix epoch, by a clock that is never set back while the mock runs."""
    return _anchor + real_seconds()


def time_text(seconds: float) -> str:
    """Return seconds since the Unix epoch in the format of RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class ClockRangeError(ValueError):
    """The clock cannot be set to a time without dates."""


@dataclass(frozen=True)
class ClockOffset:
    """The difference between a clock and its base, in seconds, or the time at which the clock was frozen."""

    seconds: float = 0.0
    frozen_at: float | None = None


NO_OFFSET = ClockOffset()


class MockClock:
    """The mock's clock, in seconds since the Unix epoch; token buckets and the growth of accounts follow it."""

    def __init__(self, base: Callable[[], float] = wall_clock, offset: ClockOffset = NO_OFFSET) -> None:
        self.base, self.offset = base, offset

    def __call__(self) -> float:
        """Return the time."""
        offset = self.offset
        return self.base() + offset.seconds if offset.frozen_at is None else offset.frozen_at

    def after(self, seconds: float) -> float:
        """Return the time after some real seconds; a frozen clock does not advance."""
        return self() if self.is_frozen else self() + seconds

    @property
    def is_frozen(self) -> bool:
        """Whether the clock is frozen."""
        return self.offset.frozen_at is not None

    def freeze(self, at: float | None = None) -> None:
        """Freeze the clock at a time, or (None) at the present time."""
        # Whole microseconds, the unit of the buckets: otherwise 0.1 s can fill a bucket by one tick too few.
        self.offset = ClockOffset(frozen_at=round(self() if at is None else at, 6))

    def resume(self) -> None:
        """Let the clock run again from the time at which it was frozen."""
        self.set(self())

    def set(self, now: float) -> None:
        """Let the clock run from `now`, in seconds since the Unix epoch."""
        self.offset = ClockOffset(now - self.base())

    def advance(self, seconds: float) -> None:
        """Move the clock forward; a frozen clock stays frozen."""
        if self.is_frozen:
            self.freeze(self() + seconds)
        else:
            self.offset = ClockOffset(self.offset.seconds + seconds)
