"""The running figures of a key equal those that are counted from scratch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mock_server.fixtures import PROTOCOLS, Calls, Traffic
from mock_server.tally import TOP_DOMAINS, Tally

CALLS = st.integers(0, 30).flatmap(lambda requests: st.builds(Calls, st.just(requests), st.integers(0, requests)))
DOMAINS = st.integers(0, 40).map("d{}.example".format)
TRAFFIC = st.dictionaries(DOMAINS, st.dictionaries(st.sampled_from(PROTOCOLS), CALLS, min_size=1), max_size=30)


def all_calls(pieces: list[Traffic]) -> list[tuple[str, str, Calls]]:
    return [
        (domain, protocol, calls)
        for traffic in pieces
        for domain, each in traffic.items()
        for protocol, calls in each.items()
    ]


@given(TRAFFIC, st.lists(TRAFFIC, max_size=8))
def test_the_top_domains_are_those_of_sorting_from_scratch(first: Traffic, later: list[Traffic]) -> None:
    tally = Tally(first)
    for traffic in later:
        tally.record(traffic)
    requests: dict[str, int] = {}
    for domain, _, calls in all_calls([first, *later]):
        requests[domain] = requests.get(domain, 0) + calls.requests
    ranked = sorted(((domain, count) for domain, count in requests.items() if count), key=lambda one: (-one[1], one[0]))
    assert tally.top_domains == ranked[:TOP_DOMAINS]


@given(TRAFFIC, st.lists(TRAFFIC, max_size=8))
def test_the_totals_are_those_of_all_calls(first: Traffic, later: list[Traffic]) -> None:
    tally = Tally(first)
    for traffic in later:
        tally.record(traffic)
    calls = all_calls([first, *later])
    assert tally.success + tally.fail == sum(each.requests for _, _, each in calls)
    assert tally.fail == sum(each.failures for _, _, each in calls)
    assert sum(tally.by_protocol.values()) == tally.success + tally.fail
