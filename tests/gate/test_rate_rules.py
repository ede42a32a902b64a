"""The rule about 429 responses while tokens remain, judged with constructed responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract_tests.wire.messages import Exchange
from tests.support.transport import KEY, gate_for

GATE = gate_for()
BURST, RATE = 10, 10.0


@dataclass(frozen=True)
class Sent:
    """A request: its time, and the seconds until the server handles it and until its response has arrived."""

    at: float
    until_handled: float
    until_ended: float


def exchange(sent: Sent, remaining: float, status: int, total: int = 7) -> Exchange:
    """Return the exchange of a request; a 200 states the remaining tokens."""
    body = b'{"total": %d, "rate_limit": {"remaining": %.1f}}' % (total, remaining) if status == 200 else b""
    return Exchange(
        GATE.request(KEY),
        status,
        payload=body,
        started=sent.at,
        seconds=sent.until_ended,
    )


def served(requests: Sequence[Sent]) -> list[Exchange]:
    """Return the exchanges with a correct bucket, in any order of the requests."""
    tokens, last, exchanges = float(BURST), 0.0, []
    for sent in sorted(requests, key=lambda each: each.at + each.until_handled):
        now = sent.at + sent.until_handled
        tokens, last = min(float(BURST), tokens + RATE * (now - last)), now
        is_accepted = tokens >= 1
        tokens -= is_accepted
        exchanges.append(exchange(sent, tokens, 200 if is_accepted else 429))
    return exchanges


def problems(journal: Sequence[Exchange]) -> list[str]:
    rules = import_module("contract_tests.test_rate")
    return [finding.problem for finding in rules.test_429_follows_an_empty_bucket(GATE, tuple(journal))]


def alternating(statuses: Sequence[int], remaining: float = 9, total: int = 0) -> list[Exchange]:
    """Return exchanges in turn, ten a second; `total` grows by a number from one to the next."""
    return [
        exchange(Sent(index / 10, 0, 0.01), remaining, status, index * total) for index, status in enumerate(statuses)
    ]


def test_repeated_429_while_tokens_remain_is_reported() -> None:
    assert problems(alternating([200, 429, 200] * 3)) == ["a 429 while 3 tokens or more remain, 3 times"]


@pytest.mark.parametrize(
    "journal",
    [
        alternating([200, 429, 200] * 2),
        alternating([200, 429, 200] * 3, remaining=2.9),
        alternating([200, 429, 200] * 3, total=4),
        alternating([200, 429, 200] * 3, total=-4),
        alternating([200, *[429] * 8]),
        alternating([200, 200, 200]),
    ],
    ids=["twice", "few tokens", "other users", "a restarted counter", "no later response", "no 429"],
)
def test_an_explained_429_is_not_reported(journal: list[Exchange]) -> None:
    assert problems(journal) == []


@pytest.mark.parametrize(("remaining", "findings"), [(39, 0), (0, 3)])
def test_a_429_while_tokens_remain_may_state_another_limit(remaining: int, findings: int) -> None:
    rate_limit = b'{"total": 7, "rate_limit": {"rps": 40, "burst": 40, "remaining": %d}}' % remaining
    fields = (
        *(("Retry-After", b"1"), ("X-RateLimit-Limit", b"10"), ("X-RateLimit-Remaining", b"0")),
        ("Content-Type", b"application/json"),
    )
    journal = [
        replace(each, payload=rate_limit)
        if each.status == 200
        else replace(each, fields=fields, payload=b'{"detail": "Too many requests."}')
        for each in alternating([200, 429, 200] * 3)
    ]
    found = list(import_module("contract_tests.test_rate").test_429_is_complete(GATE, tuple(journal)))
    assert [finding.problem for finding in found] == ["X-RateLimit-Limit differs from the usage metrics"] * findings


TIMES, DELAYS = (st.integers(0, most).map(lambda hundredths: hundredths / 100) for most in (100, 60))
REQUESTS = st.builds(lambda at, one, other: Sent(at, one, one + other), TIMES, DELAYS, DELAYS)
A_MINUTE = 60.0  # the bucket is full again


@given(st.lists(REQUESTS, min_size=10, max_size=40))
def test_a_correct_bucket_is_not_reported_in_any_order_of_requests(requests: list[Sent]) -> None:
    repeated = [replace(each, at=each.at + number * A_MINUTE) for number in range(3) for each in requests]
    assert problems(served(repeated)) == []
