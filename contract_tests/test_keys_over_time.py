"""Several requests: the usage metrics of a key count its own requests, and no others."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from operator import itemgetter

from contract_tests.metrics.attribution import is_implausible_jump
from contract_tests.metrics.view import UsageMetrics, by_key, with_members
from contract_tests.support.facts import NO_SECOND_KEY, TWO_KEYS
from contract_tests.support.findings import Findings, member_finding
from contract_tests.support.gate import Gate
from contract_tests.support.rules import DOCUMENT, USAGE, advisory, documented
from contract_tests.wire.messages import Exchanges, kept_whole
from contract_tests.wire.not_tested import NotTested


@documented(f"{DOCUMENT}, 200: usage metrics for the authenticated API key", reads=["one run"])
def test_requests_count_for_their_own_key(gate: Gate, usage_metrics: list[UsageMetrics]) -> Findings:
    """A request with one key MUST NOT count in the `total` of another key.

    Two keys or more are reported if each grows by the number of requests with all keys between any two responses.
    """
    if len(gate.keys) < 2:
        raise NotTested(NO_SECOND_KEY, wanted=TWO_KEYS)
    in_order = sorted(with_members(usage_metrics, "total"), key=lambda stated: stated[0].exchange.started)
    findings = []
    for key in gate.keys:
        of_key = [(place, *stated) for place, stated in enumerate(in_order) if stated[0].key == key]
        steps = [(later - place, now - then, after) for (place, _, then), (later, after, now) in pairwise(of_key)]
        requests, growth, metrics = max(steps, key=itemgetter(0), default=(0, 0, None))
        if metrics and requests > 1 and all(grown == sent for sent, grown, _ in steps):
            problem = f"/total of {key.label} grows by the number of requests with all keys"
            findings.append(member_finding(metrics, "total", problem, "growth by one request", growth))
    if len(findings) > 1:
        yield from findings


@advisory(
    f"{USAGE}: the usage metrics of one key; a query such as all=1 is not described",
    repeats=["keys/unusual-requests-are-not-mixed-up", "keys/only-the-header-selects-the-key"],
    reads=["one run"],
)
def test_query_does_not_widen_the_metrics(all_ok_responses: Exchanges) -> Findings:
    """A response to a request with a query SHOULD NOT report a far larger `total` than all responses to the same key.

    Responses without a query before and after it show that the counter itself has not changed.
    """
    stated = with_members(map(UsageMetrics, kept_whole(all_ok_responses)), "total")
    for of_key in by_key(metrics for metrics, _ in stated).values():
        usual = [metrics for metrics in of_key if not _has_query(metrics)]
        largest = max((metrics.total or 0 for metrics in usual), default=0)
        between = of_key[of_key.index(usual[0]) : of_key.index(usual[-1])] if usual else []
        for metrics in filter(_has_query, between):
            total = metrics.total or 0
            if total > largest and is_implausible_jump(Decimal(largest), Decimal(total)):
                problem = "/total is far larger than in all responses to requests without a query"
                yield member_finding(metrics, "total", problem, f"about {largest}", total, between[0].exchange)


def _has_query(metrics: UsageMetrics) -> bool:
    return b"?" in metrics.exchange.request.target
