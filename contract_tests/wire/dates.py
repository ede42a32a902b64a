"""HTTP dates (RFC 9110, section 5.6.7)."""

from __future__ import annotations

import re
import time
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime

from contract_tests.wire.messages import Exchange

IMF_FIXDATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", re.ASCII)
ISO_8601 = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", re.ASCII)
CLOCKS_DIFFER = 60  # seconds: between those of an application and of a proxy or a limiter in front of it


def timestamp(text: str) -> float | None:
    """Return the time of an HTTP date, which is in GMT, in seconds since the Unix epoch; None for any other text."""
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def is_date(text: str) -> bool:
    """Whether the text is an HTTP date."""
    return timestamp(text) is not None


def is_imf_fixdate(text: str) -> bool:
    """Whether the text is a date in the only form that may be sent."""
    text = text.replace(":60 GMT", ":59 GMT")  # a leap second
    at = timestamp(text) if text.endswith(" GMT") else None
    return at is not None and formatdate(at, usegmt=True) == text


def has_obsolete_form(text: str) -> bool:
    """Whether the text is a date in a form that may not be sent; the day of the week is not compared."""
    return not IMF_FIXDATE.fullmatch(text) and (is_date(text) or bool(ISO_8601.match(text)))


def has_time(exchange: Exchange) -> bool:
    """Whether the time of a response is known: by its Date, or because it was recorded."""
    is_recorded_with_time = bool(exchange.lacks) and "time" not in exchange.lacks
    return is_date(exchange.header("Date").strip()) or is_recorded_with_time


def made_at(exchange: Exchange) -> float:
    """Return the time of a response's Date in seconds since the Unix epoch.

    Without Date it is the time of the recorded request, or else the current time.
    """
    at = timestamp(exchange.header("Date").strip())
    return at if at is not None else exchange.started if has_time(exchange) else time.time()
