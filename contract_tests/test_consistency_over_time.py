"""The usage metrics of one key agree with those of its earlier responses."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from contract_tests.metrics.view import Stated, UsageMetrics, by_key, check_several, with_members
from contract_tests.support.facts import having
from contract_tests.support.findings import Findings, member_finding
from contract_tests.support.gate import Gate
from contract_tests.support.rules import TOP_DOMAINS, USAGE, advisory, documented

COUNTERS = ("total", "success", "fail", "bytes_transferred")
LARGEST_INTEGERS = {2**bits - 1 for bits in (31, 32, 63, 64)}


@documented(f'{USAGE}.total: "Total requests across all protocols"')
def test_counters_do_not_stick(usage_metrics: list[UsageMetrics]) -> Findings:
    """`total`, `success`, `fail` and `bytes_transferred` MUST NOT remain at the largest value of an integer type."""
    check_several(usage_metrics)
    for name in COUNTERS:
        for of_key in by_key(usage_metrics).values():
            values = {getattr(metrics, name) for metrics in of_key}
            if len(of_key) > 1 and len(values) == 1 and values <= LARGEST_INTEGERS:
                expected = "another count in one of several responses"
                problem = f"{name} is the largest value of an integer type"
                yield member_finding(of_key[-1], name, problem, expected, *values)


@advisory(f"{USAGE}: counts of one key; the document does not state that they are for all time", reads=["time"])
def test_counters_do_not_decrease(usage_metrics: list[UsageMetrics]) -> Findings:
    """`total`, `success`, `fail` and `bytes_transferred` SHOULD NOT decrease from one response to the next."""
    check_several(usage_metrics)
    for name in COUNTERS:
        for (before, earlier), (after, later) in _successive(usage_metrics, name):
            if later < earlier:
                problem, expected = f"{name} has decreased", f"at least {earlier}"
                yield member_finding(after, name, problem, expected, later, before.exchange)


def _successive(usage_metrics: list[UsageMetrics], name: str) -> Iterator[tuple[Stated, Stated]]:
    """Yield each two successive responses to a key that state a member, each with its value.

    The request of the later one was sent after the earlier response: concurrent requests have no order.
    """
    for of_key in by_key(usage_metrics).values():
        for before, after in pairwise(with_members(of_key, name)):
            if before[0].exchange.ended <= after[0].exchange.started:
                yield before, after


@advisory(f"{TOP_DOMAINS}; counts of one key", repeats=["consistency/counters-do-not-decrease"], reads=["time"])
def test_domains_do_not_decrease_alone(usage_metrics: list[UsageMetrics]) -> Findings:
    """The requests of a domain SHOULD NOT decrease while no other count of the key does."""
    for (before, earlier), (after, later) in _successive_domains(usage_metrics):
        requests = dict(earlier)
        for index, (domain, count) in enumerate(later):
            if count < (least := requests.get(domain, count)):
                member, problem = f"top_domains/{index}/requests", "the requests of a domain have decreased"
                yield member_finding(after, member, problem, f"at least {least}", count, before.exchange)


def _successive_domains(usage_metrics: list[UsageMetrics]) -> Iterator[tuple[Stated, Stated]]:
    check_several(usage_metrics)
    listing = [metrics for metrics, _ in having(usage_metrics, "top_domains")]
    return _successive(listing, "top_domains")


@advisory(f"{USAGE}: usage metrics of one key", reads=["one run"])
def test_first_metrics_are_not_zero(gate: Gate, usage_metrics: list[UsageMetrics]) -> Findings:
    """The first `total` of a key SHOULD NOT be 0 if later ones exceed the number of requests of the run."""
    check_several(usage_metrics)
    own = gate.most_counted
    counting = [metrics for metrics, _ in having(usage_metrics, "total")]
    for first, *later in by_key(counting).values():
        totals = [total for _, total in with_members(later, "total")]
        if first.total == 0 and totals and min(totals) > own:
            problem, expected = "only the first total is 0", f"about {min(totals)}, as in later responses"
            yield member_finding(first, "total", problem, expected, 0, later[0].exchange)


@advisory(f"{TOP_DOMAINS}; clients show the order", reads=["time"])
def test_equal_counts_keep_their_order(usage_metrics: list[UsageMetrics]) -> Findings:
    """Domains of `top_domains` with equal counts SHOULD have the same order in the next response."""
    for (before, earlier), (after, later) in _successive_domains(usage_metrics):
        place = {row: index for index, row in enumerate(earlier)}
        kept = [row for row in later if row in place]
        for (domain, count), (following, other) in pairwise(kept):
            if count == other and place[domain, count] > place[following, other]:
                member = f"top_domains/{later.index((following, other))}"
                problem = "domains with equal counts change places"
                yield member_finding(after, member, problem, domain, following, before.exchange)
                return
