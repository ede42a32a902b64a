"""The token bucket of one key, in whole numbers: rounding cannot add a token."""

from __future__ import annotations

# A tick is a microsecond and a part is a millionth of a token.
# A rate of one token a second is therefore also a rate of one part a tick.
TICKS_PER_SECOND = 1_000_000
PARTS_PER_TOKEN = 1_000_000

# Clients cannot use much longer waits: timers of JavaScript end at 24 days, and other clients would sleep.
MAX_RETRY_AFTER = 24 * 60 * 60  # seconds


class TokenBucket:
    """A bucket that refills continuously, up to its capacity.

    Every method takes the time in seconds of one clock. A clock that is set back refills nothing.

    Args:
        rate: Tokens a second; 0 for a bucket that never refills.
        capacity: The maximum number of tokens.
        now: The time at which the bucket begins.
        tokens: The number of tokens at the start; None for a full bucket.
    """

    __slots__ = ("_capacity", "_level", "_rate", "_since")

    def __init__(self, rate: float, capacity: int, *, now: float, tokens: float | None = None) -> None:
        self._rate = rate.as_integer_ratio()
        self._capacity = capacity * PARTS_PER_TOKEN
        self._level = self._capacity if tokens is None else min(self._capacity, round(tokens * PARTS_PER_TOKEN))
        self._since = ticks(now)

    def keep(self, level: int, since: int) -> None:
        """Set the parts of the bucket and the tick at which it had them, as a shared state has stored them."""
        self._level, self._since = level, since

    def take(self, now: float, tokens: int = 1) -> float | None:
        """Take tokens and return the remaining ones, rounded down to one decimal.

        Returns None, and takes nothing, while the bucket holds fewer tokens.
        """
        time = max(ticks(now), self._since)
        level = self._level_at(time) - tokens * PARTS_PER_TOKEN
        if level < 0:
            return None
        self._level, self._since = level, time
        return tenths(level)

    def look(self, now: float) -> float:
        """Return the remaining tokens, rounded down to one decimal."""
        return tenths(self._level_at(max(ticks(now), self._since)))

    def retry_after(self, now: float) -> int:
        """Return the whole seconds, at least 1, after which the bucket holds a token if no client takes one.

        Returns 1, as the vendor does, for a bucket without a token within MAX_RETRY_AFTER.
        """
        numerator, denominator = self._rate
        if numerator == 0:
            return 1
        ready = self._since + _ceil_div((PARTS_PER_TOKEN - self._level) * denominator, numerator)
        seconds = _ceil_div(ready - ticks(now), TICKS_PER_SECOND)
        return seconds if 1 <= seconds <= MAX_RETRY_AFTER else 1

    def _level_at(self, time: int) -> int:
        numerator, denominator = self._rate
        return min(self._capacity, self._level + (time - self._since) * numerator // denominator)


def ticks(seconds: float) -> int:
    """Return a time in whole ticks."""
    return round(seconds * TICKS_PER_SECOND)


def tenths(level: int) -> float:
    """Return the tokens in a number of parts, rounded down to one decimal."""
    return level * 10 // PARTS_PER_TOKEN / 10


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
