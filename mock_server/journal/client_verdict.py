"""The verdict on a client: whether it follows the vendor's guides on rate limits and on keys.

Source: the errors guide (wait for Retry-After, back off 1, 2, 4 s) and the authentication guide (the key in a header).
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cache, partial
from typing import Literal, NamedTuple

from mock_server.journal.entry import ROUNDING, ClientConnection, Entry
from mock_server.journal.journal import Dropped, Journal
from mock_server.masking import has_key_in_target, mask_key

Lapse = Literal["key-in-url", "retried-auth-error", "too-early", "no-backoff"]

# An HTTP date has whole seconds: a client that waits for one can come this much earlier than the seconds after `Date`.
DATE_RESOLUTION = 1.0

# The number of pieces of evidence in the text of a verdict.
LISTED = 10

# The number of latest responses to a client that are compared with a request.
MAX_CONCURRENT = 32


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
    dropped: Dropped

    @property
    def is_well_behaved(self) -> bool:
        """Whether requests were judged, all of them, and none is a lapse; warnings are allowed."""
        return bool(self.judged and not self.dropped.number) and all(each.is_warning for each in self.evidence)

    @property
    def text(self) -> str:
        """The verdict in words, without keys."""
        lapses = sum(not each.is_warning for each in self.evidence)
        lines = [f"Requests judged: {self.judged}; lapses: {lapses}; warnings: {len(self.evidence) - lapses}."]
        if not self.judged:
            lines = ["The journal has no request to judge."]
        if self.dropped.number:
            dropped = self.dropped.text("request")
            lines.append(f"The journal has dropped {dropped}, which cannot be judged; raise --journal.")
        more = len(self.evidence) - LISTED
        return "\n".join([*lines, *map(str, self.evidence[:LISTED]), *([f"… and {more} more"] if more > 0 else [])])


@dataclass
class _Client:
    """The responses to a client with one key, from one path, as far as they matter for its next request."""

    refused: deque[Entry] = field(default_factory=lambda: deque(maxlen=MAX_CONCURRENT))
    # Each with the end of its Retry-After.
    blocked: deque[tuple[float, Entry]] = field(default_factory=lambda: deque(maxlen=MAX_CONCURRENT))
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
    last: dict[ClientConnection | None, int] = {}  # the number of the latest request of each connection
    evidence: list[Evidence] = []
    for entry in entries:
        client = clients[entry.key, entry.target.partition("?")[0]]
        evidence += _lapses(entry, client, last.get(entry.connection), has_key(entry.target))
        last[entry.connection] = entry.number
    return ClientVerdict(evidence, len(entries), journal.dropped(key))


def _lapses(entry: Entry, client: _Client, previous: int | None, has_key_in_url: bool) -> Iterator[Evidence]:
    """Yield the lapses of a request, and note its response.

    Args:
        entry: The request.
        client: The earlier responses.
        previous: The number of the request before it on the same connection; None for the first one.
        has_key_in_url: Its URL contains a key.
    """
    connection = entry.connection
    # The client has received the response to the request with this number before it has sent this request.
    known = entry.number if connection is None else connection.opened if previous is None else previous

    def is_reaction(earlier: Entry) -> bool:
        """Return whether the client can have received an earlier response: a concurrent request is not a retry."""
        return known >= earlier.number and entry.received >= earlier.at

    def evidence(lapse: Lapse, problem: str, *, is_warning: bool = False) -> Evidence:
        return Evidence(entry.number, entry.key, lapse, is_warning, problem)

    if has_key_in_url:
        yield evidence("key-in-url", "The URL contains an API key, which logs and proxies record.")
    if refused := next(filter(is_reaction, reversed(client.refused)), None):
        number, status = refused.number, refused.status
        sender = "with the same key" if entry.key else "without a key"
        yield evidence("retried-auth-error", f"#{number} received {status}, and the client tries again {sender}.")
    until, blocked = max(
        ((until, earlier) for until, earlier in client.blocked if is_reaction(earlier)),
        key=lambda each: (each[0], each[1].number),
        default=(0.0, None),
    )
    if blocked and entry.received < until - ROUNDING:
        waited, early = entry.received - blocked.at, until - entry.received
        problem = f"{waited:.3f} s after #{blocked.number}, {early:.3f} s before its Retry-After is over."
        yield evidence("too-early", problem)
    if client.throttled and is_reaction(client.throttled):
        has_waited = blocked is not None and entry.received >= until - ROUNDING
        client.waits.append((entry.received - client.throttled.at, has_waited))
        waits = [wait for wait, _ in client.waits]
        if len(waits) > 1 and waits[-1] <= waits[-2] + ROUNDING:
            problem = f"The wait does not grow: {waits[-2]:.3f} s, then {waits[-1]:.3f} s, between consecutive 429s."
            yield evidence("no-backoff", problem, is_warning=all(reached for _, reached in client.waits))
    _note(entry, client)


def _note(entry: Entry, client: _Client) -> None:
    if entry.status in (401, 403):
        client.refused.append(entry)
    if entry.status < 400:
        client.refused.clear()
        client.throttled, client.waits = None, []
    elif entry.status == 429:
        client.throttled = entry
    until = _end_of_retry_after(entry) if entry.status >= 400 else None
    if until is not None:
        client.blocked.append((until, entry))


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
