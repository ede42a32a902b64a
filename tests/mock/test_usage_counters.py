"""Incremental usage counters equal those that are computed from all calls."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mock_server.fixtures.deployments import PROTOCOLS, Calls, Traffic
from mock_server.simulation.accounts import TOP_DOMAINS, UsageCounters

Call = tuple[int, str, int, int]  # domain, protocol, requests, and failures, of which at most `requests` count
CALLS = st.tuples(st.integers(0, 40), st.sampled_from(PROTOCOLS), st.integers(0, 30), st.integers(0, 30))
PIECES = st.lists(st.lists(CALLS, min_size=20, max_size=60), min_size=1, max_size=6)


def traffic(calls: list[Call]) -> Traffic:
    found: dict[str, dict[str, Calls]] = {}
    for domain, protocol, requests, failures in calls:
        found.setdefault(f"d{domain}.example", {})[protocol] = Calls(requests, min(requests, failures))
    return found


def all_calls(pieces: list[Traffic]) -> list[tuple[str, str, Calls]]:
    return [
        (domain, protocol, calls)
        for piece in pieces
        for domain, each in piece.items()
        for protocol, calls in each.items()
    ]


@given(PIECES)
def test_counters_equal_those_of_all_calls(pieces: list[list[Call]]) -> None:
    first, *later = map(traffic, pieces)
    counters = UsageCounters(first)
    for more in later:
        counters.record(more)
    calls = all_calls([first, *later])
    requests: dict[str, int] = {}
    for domain, _, each in calls:
        requests[domain] = requests.get(domain, 0) + each.requests
    ranked = sorted(((domain, count) for domain, count in requests.items() if count), key=lambda one: (-one[1], one[0]))
    assert counters.top_domains == ranked[:TOP_DOMAINS]
    assert counters.success + counters.fail == sum(each.requests for _, _, each in calls)
    assert counters.fail == sum(each.failures for _, _, each in calls)
    assert sum(counters.by_protocol.values()) == counters.success + counters.fail
