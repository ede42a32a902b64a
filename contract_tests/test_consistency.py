"""The figures: what each one says, and that they do not contradict each other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from functools import partial
from itertools import pairwise

import pytest

from contract_tests.metrics.view import UsageMetrics
from contract_tests.run.facts import having
from contract_tests.run.gate import Gate
from contract_tests.run.rules import DOCUMENT, holds
from contract_tests.wire.messages import Credential, Exchange
from contract_tests.wire.not_tested import NotTested

USAGE = f"{DOCUMENT}, UsageResponse"
MANY = 1000
TOP = f'{USAGE}.top_domains: "Top 20 domains by request count"'


@pytest.fixture(scope="session")
def slack(figures: list[UsageMetrics]) -> int:
    """How far figures read a moment apart may differ: nothing while they stand still, else by a few steps."""
    steps = [0]
    for key in {each.exchange.request.credential for each in figures}:
        totals = [each.total for each in figures if each.exchange.request.credential == key and each.total is not None]
        steps += [abs(later - earlier) for earlier, later in pairwise(totals)]
    return 3 * max(steps)


@pytest.mark.rule(
    level="documented",
    source=f'{USAGE}: "Total requests across all protocols", "Successful requests", "Failed requests"',
)
def test_success_and_fail_do_not_exceed_total(figures: list[UsageMetrics], slack: int) -> None:
    """`success` and `fail` together MUST NOT exceed `total`; less is possible while requests are in flight."""
    holds(
        each.label(f"success {each.success} and fail {each.fail} are more than total {each.total}")
        for each in having(figures, "total", "success", "fail")
        if (each.success or 0) + (each.fail or 0) > (each.total or 0) + slack
    )


@pytest.mark.rule(level="advisory", source=f"{USAGE}: total, success, fail; what is in flight has passed the limit")
def test_few_requests_are_in_flight(figures: list[UsageMetrics]) -> None:
    """Requests in `total` without an outcome SHOULD be explicable: a minute's fetches, and open sessions."""
    for each in having(figures, "total", "success", "fail", "by_protocol", "rps", "burst"):
        sessions = sum(count for name, count in (each.by_protocol or {}).items() if name != "fetch")
        most = (each.burst or 0) + 60 * (each.rps or 0) + sessions
        flying = (each.total or 0) - (each.success or 0) - (each.fail or 0)
        assert flying <= most, each.label(f"{flying} requests have no outcome, and at most {most} can be in flight")


@pytest.mark.rule(level="advisory", source=f"{USAGE}: total, success, fail; requests in flight are few")
def test_total_is_success_plus_fail(figures: list[UsageMetrics], slack: int) -> None:
    """`success` and `fail` together SHOULD be `total`, but for the few requests that are in flight."""
    holds(
        each.label(f"success {each.success} and fail {each.fail} are far less than total {each.total}")
        for each in having(figures, "total", "success", "fail")
        if (each.total or 0) - (each.success or 0) - (each.fail or 0) > max(slack, 20, (each.total or 0) // 50)
    )


@pytest.mark.rule(level="documented", source=f'{USAGE}.total: "Total requests across all protocols"')
def test_protocols_add_up_to_total(gate: Gate, figures: list[UsageMetrics], slack: int) -> None:
    """The counts of `by_protocol` MUST add up to `total`; less is possible where a protocol is left out."""
    readable = having(figures, "total", "by_protocol")
    if _counts_itself(readable):
        raise NotTested("total grows with each request to this operation, which belongs to no protocol")
    for each in readable:
        missing = (each.total or 0) - _sum(each)
        is_whole = _protocols(gate) <= (each.by_protocol or {}).keys()
        assert -slack <= missing and (missing <= slack or not is_whole), each.label(
            f"by_protocol adds up to {_sum(each)}, total is {each.total}"
        )


def _protocols(gate: Gate) -> frozenset[str]:
    schema = gate.operation.responses["200"].schema or {}
    return frozenset(schema.get("properties", {}).get("by_protocol", {}).get("properties", ()))


def _sum(figures: UsageMetrics) -> int:
    return sum((figures.by_protocol or {}).values())


def _counts_itself(figures: list[UsageMetrics]) -> bool:
    """Whether total moved while the protocols did not: this operation may count in total alone."""
    for key in {each.exchange.request.credential for each in figures}:
        ours = [each for each in figures if each.exchange.request.credential == key]
        grows = all(a.total is not None and b.total is not None and a.total < b.total for a, b in pairwise(ours))
        if len(ours) > 1 and grows and len({_sum(each) for each in ours}) == 1:
            return True
    return False


@pytest.mark.rule(level="documented", source=f'{USAGE}.success_rate: "Success percentage (0-100)"')
def test_success_rate_is_the_percentage_of_success(figures: list[UsageMetrics], slack: int) -> None:
    """`success_rate` MUST be what `success` is of all requests, or of those that ended, in per cent and rounded."""
    known = [each for each in having(figures, "success_rate", "success") if (each.total, each.fail) != (None, None)]
    if not known:
        raise NotTested("neither total nor fail is stated")
    for each in known:
        success, rate = each.success or 0, each.success_rate or Decimal(0)
        wholes = [whole for whole in (each.total, success + each.fail if each.fail is not None else None) if whole]
        rates = [Decimal(100) * success / whole for whole in wholes]
        if not wholes:
            assert rate in {0, 100}, each.label(f"success_rate is {rate} of no request; 0 or 100 would make sense")
        tolerance = _rounding(rate) + (Decimal(100) * slack / min(wholes) if wholes else 0)
        assert not rates or any(abs(rate - expected) <= tolerance for expected in rates), each.label(
            f"success_rate is {rate}, but success is {rates[0]:.4f} per cent"
        )


def _rounding(rate: Decimal) -> Decimal:
    exponent = rate.normalize().as_tuple().exponent
    return Decimal(1).scaleb(max(-6, min(exponent, 0))) if isinstance(exponent, int) else Decimal(1)


@pytest.mark.rule(level="documented", source=f'{USAGE}.bytes_transferred: "Total response bytes (HTTP fetch only)"')
def test_no_bytes_without_a_fetch(figures: list[UsageMetrics]) -> None:
    """Without a request by fetch, `bytes_transferred` MUST be 0."""
    holds(
        each.label(f"{each.bytes_transferred} bytes without a fetch")
        for each in having(figures, "bytes_transferred", "by_protocol")
        if (each.by_protocol or {}).get("fetch") == 0 and each.bytes_transferred
    )


@pytest.mark.rule(level="advisory", source=f'{USAGE}.bytes_transferred: "Total bytes transferred (HTTP fetch only)"')
def test_fetches_transfer_bytes(figures: list[UsageMetrics]) -> None:
    """A thousand successful fetches SHOULD have transferred a byte each."""
    for each in having(figures, "bytes_transferred", "by_protocol", "success"):
        others = sum(count for name, count in (each.by_protocol or {}).items() if name != "fetch")
        fetched = (each.success or 0) - others  # at least as many
        assert fetched < MANY or (each.bytes_transferred or 0) >= fetched, each.label(
            f"{each.bytes_transferred} bytes after {fetched} successful fetches or more"
        )


@pytest.mark.rule(level="documented", source=f'{USAGE}.total: "Total requests across all protocols"')
def test_zero_total_means_zero_counts(figures: list[UsageMetrics]) -> None:
    """Where `total` is 0, every other count MUST be 0 and no domain is listed."""
    for each in having(figures, "total"):
        if each.total == 0:
            counts = {
                "success": each.success,
                "fail": each.fail,
                "bytes_transferred": each.bytes_transferred,
                "top_domains": each.top_domains,
            }
            holds(each.label(f"total is 0, but {name} is {value}") for name, value in counts.items() if value)


@pytest.mark.rule(level="documented", source=TOP)
def test_top_domains_are_sorted(figures: list[UsageMetrics]) -> None:
    """`top_domains` MUST be in falling order of requests."""
    for each in having(figures, "top_domains"):
        counts = [count for _, count in each.top_domains or ()]
        assert counts == sorted(counts, reverse=True), each.label(f"the order is {counts}")


@pytest.mark.rule(level="documented", source=TOP)
def test_top_domains_are_distinct(figures: list[UsageMetrics]) -> None:
    """`top_domains` MUST name each domain once."""
    for each in having(figures, "top_domains"):
        names = [_spelt_alike(domain) for domain, _ in each.top_domains or ()]
        repeated = sorted({name for name in names if names.count(name) > 1})
        assert not repeated, each.label(f"listed more than once: {', '.join(repeated)}")


def _spelt_alike(domain: str) -> str:
    """Return a domain as DNS compares it: without case, final dot and white space, and in ASCII."""
    name = domain.strip().lower().rstrip(".")
    try:
        return name.encode("idna").decode()
    except UnicodeError:  # it is no name that DNS knows
        return name


@pytest.mark.rule(level="documented", source=f"{USAGE}.top_domains[].domain")
def test_top_domains_are_not_urls(figures: list[UsageMetrics]) -> None:
    """A `domain` MUST NOT be a page's address: it would tell paths, queries, passwords and what is secret in them."""
    holds(
        each.label(f"{domain!r} is listed as a domain")
        for each in having(figures, "top_domains")
        for domain, _ in each.top_domains or ()
        if "://" in domain or "?" in domain or "@" in domain
    )


@pytest.mark.rule(level="documented", source=f"{TOP}; {USAGE}.total")
def test_top_domains_do_not_exceed_total(figures: list[UsageMetrics], slack: int) -> None:
    """The requests of `top_domains` together MUST NOT exceed `total`."""
    holds(
        each.label(f"top_domains adds up to {sum(count for _, count in each.top_domains or ())}, total is {each.total}")
        for each in having(figures, "top_domains", "total")
        if sum(count for _, count in each.top_domains or ()) > (each.total or 0) + slack
    )


@pytest.mark.rule(level="documented", source=TOP)
def test_top_domains_are_not_empty_after_a_fetch(gate: Gate, figures: list[UsageMetrics]) -> None:
    """A key that has fetched something MUST have a domain in `top_domains`; what the gate asks may count as well."""
    own = len(gate.transport.journal)
    holds(
        each.label(f"no domain after {(each.by_protocol or {}).get('fetch')} fetches")
        for each in having(figures, "top_domains", "by_protocol")
        if (each.by_protocol or {}).get("fetch", 0) > own and not each.top_domains
    )


@pytest.mark.rule(level="advisory", source=f"{USAGE}: counts of one key; nobody promised that they are for all time")
def test_counters_do_not_decrease(figures: list[UsageMetrics]) -> None:
    """`total`, `success`, `fail` and `bytes_transferred` SHOULD NOT fall from one answer to the next."""
    for name in ("total", "success", "fail", "bytes_transferred"):
        last: dict[Credential | None, int] = {}
        for each in figures:
            value, key = getattr(each, name), each.exchange.request.credential
            if value is not None:
                assert value >= last.get(key, value), each.label(f"{name} fell from {last[key]} to {value}")
                last[key] = value


@pytest.mark.needs(
    "schema/other-responses-are-usage-metrics",
    "consistency/success-and-fail-do-not-exceed-total",
    "consistency/protocols-add-up-to-total",
    "consistency/success-rate-is-the-percentage-of-success",
    "consistency/top-domains-are-sorted",
    "consistency/top-domains-are-distinct",
    "consistency/top-domains-do-not-exceed-total",
)
@pytest.mark.rule(level="documented", source=f"{USAGE}: the figures of one key, whatever was asked before or beside it")
def test_other_metrics_are_consistent(
    gate: Gate, figures: list[UsageMetrics], later: list[Exchange], slack: int
) -> None:
    """The figures of any other 200 to a valid key MUST agree with each other in the same ways."""
    others = [UsageMetrics(exchange) for exchange in later]
    if not others:
        raise NotTested("no other request was answered 200")
    checks: list[Callable[[], None]] = [
        partial(test_success_and_fail_do_not_exceed_total, others, slack),
        partial(test_success_rate_is_the_percentage_of_success, others, slack),
        partial(test_top_domains_are_sorted, others),
        partial(test_top_domains_are_distinct, others),
        partial(test_top_domains_do_not_exceed_total, others, slack),
    ]
    if not _counts_itself(figures):
        checks.append(partial(test_protocols_add_up_to_total, gate, others, slack))
    for check in checks:
        with suppress(NotTested):  # a member that is not there was told by the rule itself
            check()
