"""The verification of how often and at which intervals a mock has received a request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, TypedDict

from mock_server.journal.criteria import Criteria, differences
from mock_server.journal.entry import ROUNDING, Entry
from mock_server.journal.journal import Journal
from mock_server.masking import mask_field, mask_key, mask_text, printable_target
from mock_server.simulation.clock import time_text

CLOSEST = 5


class Expectation(TypedDict, total=False):
    """The expected number of requests, and the seconds from one of them to the next; None for any.

    Attributes:
        exactly: The number of requests.
        at_least: The lowest number of requests.
        at_most: The highest number of requests.
        min_gap: The lowest number of seconds between two consecutive requests, by the mock's clock.
    """

    exactly: int | None
    at_least: int | None
    at_most: int | None
    min_gap: float | None


class BoundsError(ValueError):
    """No number of requests meets the bounds of an expectation."""


class Verification(NamedTuple):
    """The result of a verification.

    Attributes:
        is_ok: The requests are as expected.
        matched: The number of requests that meet the criteria.
        closest: The requests that explain the result, where they are not as expected.
        detail: The result in words, without keys.
    """

    is_ok: bool
    matched: int
    closest: Sequence[Entry]
    detail: str


def verify(journal: Journal, keys: Sequence[str], criteria: Criteria, expectation: Expectation) -> Verification:
    """Compare the requests of a journal that meet some criteria with an expectation.

    Args:
        journal: The journal.
        keys: The keys of the mock, which the text must not contain.
        criteria: The criteria.
        expectation: The expected number and intervals; without a number, at least one request.

    Raises:
        BoundsError: No number of requests meets the bounds.
    """
    low, high, expected = _expected_count(expectation)
    if high is not None and low > high:
        raise BoundsError(f"{expected}: no number of requests meets these bounds")
    entries = journal.entries
    matches = [entry for entry in entries if not differences(entry, criteria)]
    label = ", ".join(_described(criteria, keys))
    detail = f"{f'Requests with {label}' if label else 'Requests'}: expected {expected}, found {len(matches)}."
    dropped = journal.dropped(criteria.get("key"))
    if dropped.number:
        detail += f" The journal has dropped {dropped.text('earlier request')}."
    gaps = _short_gaps(matches, expectation.get("min_gap") or 0.0)
    is_below = high is None or (len(matches) <= high and not dropped.number)  # a dropped request can be one too many
    if not gaps and low <= len(matches) and is_below:
        return Verification(True, len(matches), (), detail)
    closest = matches[-CLOSEST:]
    if len(matches) < low:  # the latest requests with the fewest differences
        ranked = sorted(entries, key=lambda entry: (len(differences(entry, criteria)), -entry.number))
        closest = sorted(ranked[:CLOSEST], key=lambda entry: entry.number)
    lines = [detail, *gaps[:CLOSEST]]
    if closest:
        lines += ["The closest requests:", *entry_lines(closest, keys, criteria)]
    return Verification(False, len(matches), closest, "\n".join(lines))


def entry_lines(entries: Iterable[Entry], keys: Iterable[str], criteria: Criteria | None = None) -> Iterator[str]:
    """Yield a line for each entry, with the criteria that it does not meet, and with identifiers instead of keys."""
    shown = printable_target(keys)
    for entry in entries:
        key = f" with {mask_key(entry.key)}" if entry.key else " without a key"
        status = f"{entry.status} {entry.reason}" if entry.reason else f"{entry.status}"
        names = differences(entry, criteria or {})
        different = f" (different {', '.join(names)})" if names else ""
        yield f"#{entry.number} {entry.method} {shown(entry.target, entry.key)}{key}: status {status}{different}"


def timed_lines(entries: Iterable[Entry], keys: Iterable[str]) -> Iterator[str]:
    """Yield a line for each entry, which begins with the time of day at which the request was received."""
    entries = list(entries)
    for entry, line in zip(entries, entry_lines(entries, keys), strict=True):
        yield f"{time_text(entry.received)[11:23]} {line}"


def _short_gaps(entries: Sequence[Entry], min_gap: float) -> list[str]:
    return [
        f"#{later.number} was received {later.received - earlier.received:.3f} s after #{earlier.number}; "
        f"expected at least {min_gap:g} s."
        for earlier, later in pairwise(entries)
        if later.received - earlier.received < min_gap - ROUNDING
    ]


def _described(criteria: Criteria, keys: Sequence[str]) -> Iterator[str]:
    """Yield the criteria in words, with identifiers instead of keys."""
    for name, value in criteria.items():
        if name == "key":
            yield f"key {value if '…' in str(value) else mask_key(str(value))}"
        elif isinstance(value, Mapping) and name in ("headers", "query"):
            kind = "header" if name == "headers" else "parameter"
            for each, text in value.items():
                shown = "" if text is None else mask_field(each, text, keys)
                yield f"no {kind} {each}" if text is None else f"{kind} {each}: {shown}"
        else:
            yield f"no {name}" if value is None else f"{name} {mask_text(str(value), keys)}"


def _expected_count(expectation: Expectation) -> tuple[int, int | None, str]:
    """Return the lowest and the highest (None: any) expected number, and both in words."""
    exactly, low, high = expectation.get("exactly"), expectation.get("at_least"), expectation.get("at_most")
    if exactly is low is high is None:
        low = 1
    bounds = {"exactly": exactly, "at least": low, "at most": high}
    words = " and ".join(f"{name} {int(number)}" for name, number in bounds.items() if number is not None)
    lowest = max(number for number in (exactly, low, 0) if number is not None)
    highest = min((number for number in (exactly, high) if number is not None), default=None)
    if gap := expectation.get("min_gap"):
        words += f" at intervals of at least {gap:g} s"
    return lowest, highest, words
