"""The verdict on a client: whether it follows the vendor's guides on rate limits and on keys.

Source: the errors guide (wait for Retry-After, back off 1, 2, 4 s) and the authentication guide (the key in a header).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cache, partial
from typing import Literal, NamedTuple

from mock_server.masking import has_key_in_target, mask_key
from mock_server.simulation.journal import Entry, Journal

Lapse = Literal["key-in-url", "retried-auth-error", "too-early", "no-backoff"]

# The difference between two times that rounding can cause, in seconds.
ROUNDING = 0.001

# An HTTP date has whole seconds: a client that waits for one can come this much earlier than the seconds after `Date`.
DATE_RESOLUTION = 1.0


class Evidence(NamedTuple):
    """A request that a well-behaved client would not have sent.

    Attributes:
        number: The number of the request in the journal.
        key: The API key of the request.
        lapse: The kind of lapse.
        is_warning: The client has waited long enough, but did not back off.
        problem: A sentence without the key.
    """

    number: int
    key: str
    lapse: Lapse
    is_warning: bool
    problem: str

    def __str__(self) -> str:
        sender = f"with {mask_key(self.key)}" if self.key else "without a key"
        return f"#{self.number} {sender}: {'warning: ' if self.is_warning else ''}{self.problem}"


class ClientVerdict(NamedTuple):
    """The verdict on the requests of a journal, with one key or with any.

    Attributes:
        evidence: The lapses, in the order of the requests.
        judged: The number of requests that were judged.
        dropped: The number of such requests that the journal no longer has.
    """

    evidence: Sequence[Evidence]
    judged: int
    dropped: int

    @property
    def is_well_behaved(self) -> bool:
        """Whether requests were judged, all of them, and none is a lapse; warnings are allowed."""
        return bool(self.judged and not self.dropped) and all(each.is_warning for each in self.evidence)

    @property
    def text(self) -> str:
        """The verdict in words, without keys."""
        lapses = sum(not each.is_warning for each in self.evidence)
        lines = [f"Requests judged: {self.judged}; lapses: {lapses}; warnings: {len(self.evidence) - lapses}."]
        if not self.judged:
            lines = ["The journal has no request to judge."]
        if self.dropped:
            lines.append(f"The journal has dropped {self.dropped} requests, which cannot be judged; raise --journal.")
        return "\n".join([*lines, *map(str, self.evidence)])


@dataclass
class _Client:
    """The responses to a client with one key, from one path, as far as they matter for its next request."""

    refused: Entry | None = None
    blocked: Entry | None = None
    blocked_until: float = 0.0
    throttled: Entry | None = None
    waits: list[tuple[float, bool]] = field(default_factory=list)  # seconds, and whether they reached Retry-After


def judge_client(journal: Journal, keys: Iterable[str], key: str | None = None) -> ClientVerdict:
    """Judge the requests of a journal.

    Args:
        journal: The journal.
        keys: The keys of the mock, which a URL must not contain.
        key: The key of the requests to judge, or its id; None for all requests, each key as a client of its own.
    """
    entries = [entry for entry in journal.entries if key in (None, entry.key, mask_key(entry.key))]
    clients = defaultdict[tuple[str, str], _Client](_Client)
    has_key = cache(partial(has_key_in_target, keys=tuple(keys)))  # most targets are equal
    evidence = [
        each
        for entry in entries
        for each in _lapses(entry, clients[entry.key, entry.target.partition("?")[0]], has_key(entry.target))
    ]
    return ClientVerdict(evidence, len(entries), journal.dropped(key))


def _lapses(entry: Entry, client: _Client, has_key_in_url: bool) -> Iterator[Evidence]:
    """Yield the lapses of a request, and note its response."""

    def evidence(lapse: Lapse, problem: str, *, is_warning: bool = False) -> Evidence:
        return Evidence(entry.number, entry.key, lapse, is_warning, problem)

    if has_key_in_url:
        yield evidence("key-in-url", "The URL contains an API key, which logs and proxies record.")
    if client.refused and _is_reaction(entry, client.refused):
        number, status = client.refused.number, client.refused.status
        sender = "with the same key" if entry.key else "without a key"
        yield evidence("retried-auth-error", f"#{number} received {status}, and the client tries again {sender}.")
    if client.blocked and _is_reaction(entry, client.blocked) and entry.received < client.blocked_until - ROUNDING:
        waited, early = entry.received - client.blocked.at, client.blocked_until - entry.received
        problem = f"{waited:.3f} s after #{client.blocked.number}, {early:.3f} s before its Retry-After is over."
        yield evidence("too-early", problem)
    if client.throttled and _is_reaction(entry, client.throttled):
        has_waited = client.blocked is not None and entry.received >= client.blocked_until - ROUNDING
        client.waits.append((entry.received - client.throttled.at, has_waited))
        waits = [wait for wait, _ in client.waits]
        if len(waits) > 1 and waits[-1] <= waits[-2] + ROUNDING:
            problem = f"The wait does not grow: {waits[-2]:.3f} s, then {waits[-1]:.3f} s, between consecutive 429s."
            yield evidence("no-backoff", problem, is_warning=all(reached for _, reached in client.waits))
    _note(entry, client)


def _is_reaction(entry: Entry, earlier: Entry) -> bool:
    """Return whether a request was received after an earlier response: a concurrent request is not a retry."""
    return entry.received >= earlier.at


def _note(entry: Entry, client: _Client) -> None:
    if entry.status in (401, 403):
        client.refused = entry
    if entry.status < 400:
        client.refused, client.throttled, client.waits = None, None, []
    elif entry.status == 429:
        client.throttled = entry
    until = _end_of_retry_after(entry) if entry.status >= 400 else None
    if until is not None and (client.blocked is None or until >= client.blocked_until):
        client.blocked, client.blocked_until = entry, until


def _end_of_retry_after(entry: Entry) -> float | None:
    """Return the mock's time at which Retry-After is over (RFC 9110, section 10.2.3); None without a valid one.

    A date counts from the `Date` of its response, because both can differ from the mock's clock.
    """
    values = entry.response.values("Retry-After")
    if len(values) != 1:
        return None
    if re.fullmatch("[0-9]{1,9}", values[0]):
        return entry.at + float(values[0])
    dates = entry.response.values("Date")
    try:
        end, date = (parsedate_to_datetime(text).timestamp() for text in (values[0], dates[0] if dates else ""))
    except (ValueError, OverflowError):
        return None
    return entry.received + end - date - DATE_RESOLUTION
