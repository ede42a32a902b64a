"""The pace of requests, and how long a 429 asks to wait."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from contract_tests.wire.messages import Exchange

VENDOR_RATE = 10.0  # requests a second: the authentication guide's default
OVERALL_RATE = 20.0  # requests a second: those without a valid key take no tokens of a customer
SHARE = 0.9  # of a key's rate; the rest is for other users of the deployment
RECOVERY = 1.2  # times as fast after each response other than 429, up to the usual pace


@dataclass(frozen=True)
class RetryPolicy:
    """How often a request with status 429 is sent again, and how long a caller without a valid key waits.

    `valid_key` and `other_callers` are attempts. A longer Retry-After than `longest_wait`, in seconds, to a caller
    without a valid key is meant for callers that guess keys.
    """

    valid_key: int = 9
    other_callers: int = 3
    longest_wait: float = 2.0


@dataclass
class Pacer:
    """Reserves send times: at most `rate` a second, and none before `next_time`."""

    rate: float
    next_time: float = 0.0

    def __post_init__(self) -> None:
        self._usual = self.rate

    def state(self, rate: float) -> None:
        """Use another rate from now on."""
        self.rate = self._usual = rate

    def slow_down(self) -> None:
        """Halve the rate after a 429."""
        self.rate = max(min(self.rate, VENDOR_RATE) / 2, 0.1)

    def speed_up(self) -> None:
        """Return towards the usual rate."""
        self.rate = min(self.rate * RECOVERY, self._usual)

    def reserve(self, now: float) -> float:
        """Reserve the send time of the next request, and return it."""
        at = max(now, self.next_time)
        self.next_time = at + 1 / self.rate
        return at


def retry_after(exchange: Exchange) -> float:
    """Return the seconds to wait after a 429: at least one, also without Retry-After."""
    return max(1.0, stated_wait(exchange))


def stated_wait(exchange: Exchange) -> float:
    """Return the seconds of Retry-After; a date counts from the response's Date. Without Retry-After it is 1."""
    text = (exchange.header("Retry-After") or "").strip()
    if not is_retry_after(text):
        return 1.0
    if text.isdecimal():
        return float(text)
    return max(0.0, parsedate_to_datetime(text).timestamp() - made_at(exchange))


def made_at(exchange: Exchange) -> float:
    """Return the time of a response's Date, or the current time without one, in seconds since the Unix epoch."""
    text = (exchange.header("Date") or "").strip()
    return parsedate_to_datetime(text).timestamp() if is_date(text) else time.time()


def is_retry_after(text: str) -> bool:
    """Whether the text is a number of seconds or an HTTP date (RFC 9110, section 10.2.3)."""
    return len(text) < 11 if text.isdecimal() and text.isascii() else is_date(text)


def is_date(text: str) -> bool:
    """Whether the text is an HTTP date (RFC 9110, section 5.6.7)."""
    try:
        parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return False
    return True
