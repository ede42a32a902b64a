"""HTTP dates (RFC 9110, section 5.6.7)."""

from __future__ import annotations

import time
from email.utils import formatdate, parsedate_to_datetime

from contract_tests.wire.messages import Exchange


def timestamp(text: str) -> float | None:
    """Return the time of an HTTP date in seconds since the Unix epoch; None for any other text."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def is_date(text: str) -> bool:
    """Whether the text is an HTTP date."""
    return timestamp(text) is not None


def is_imf_fixdate(text: str) -> bool:
    """Whether the text is a date in the only form that may be sent."""
    text = text.replace(":60 GMT", ":59 GMT")  # a leap second
    try:
        return formatdate(parsedate_to_datetime(text).timestamp(), usegmt=True) == text
    except (ValueError, TypeError, OverflowError):
        return False


def made_at(exchange: Exchange) -> float:
    """Return the time of a response's Date, or the current time without one, in seconds since the Unix epoch."""
    at = timestamp(exchange.header("Date").strip())
    return time.time() if at is None else at
