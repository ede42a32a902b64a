"""The usage metrics of one response agree with each other, with the document, and with those of earlier responses."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest

from contract_tests.metrics.view import UsageMetrics, by_key, check_several
from contract_tests.run.facts import having
from contract_tests.run.findings import Finding
from contract_tests.run.gate import Gate
from contract_tests.run.rules import DOCUMENT, advisory, documented
from contract_tests.wire.messages import Credential, Exchange, kept_whole
from contract_tests.wire.not_tested import NotTested, or_not_applicable

USAGE = f"{DOCUMENT}, UsageResponse"
NORMALIZED = re.compile(r"[^\s/:?#@]*[^\s/:?#@.]")
TOP = f'{USAGE}.top_domains: "Top 20 domains by request count"'
SLACK_STEPS = 3  # times the largest growth between two responses: traffic varies within a run
FEWEST_RESPONSES = 3  # of a key: the growth between fewer is not known; a recording may have one
UNKNOWN_STEP = 300  # of a total, a three-hundredth is more than grows while one response is computed
STEP_TIME = 10.0  # seconds: requests of a run are rarely further apart; those of a recording may be
MANY_FETCHES = 1000  # as many successful fetches have a body among them
LONGEST_FETCH = 60  # seconds: clients and proxies rarely wait longer
FEW_IN_FLIGHT = 20  # requests: twice the vendor's default burst
IN_FLIGHT_PART = 50  # of a large total, a fiftieth may have no outcome: lost clients are never counted as failed
MOST_DECIMALS = 6  # of success_rate: a value with more is not rounded further
LARGEST_INTEGERS = {2**bits - 1 for bits in (31, 32, 63, 64)}
SENDS_PER_RESPONSE = 2  # a throttled request is sent again


@pytest.fixture(scope="session")
def slack(usage_metrics: list[UsageMetrics]) -> int:
    """The tolerance for counters that are not read at the same moment: 0 for counters that do not change.

    A step of `total` counts as far as `success` and `fail` have it, too: otherwise it is a contradiction of its own.
    """
    steps = [0]
    for of_key in by_key(usage_metrics).values():
        steps += [min(_steps(one, other), default=0) for one, other in pairwise(of_key)]
        if len(of_key) < FEWEST_RESPONSES:  # which do not show how fast the counters change
            steps += [(metrics.total or 0) // UNKNOWN_STEP for metrics in of_key]
    return SLACK_STEPS * max(steps)


def _steps(one: UsageMetrics, other: UsageMetrics) -> Iterator[int]:
    """Yield the change of `total`, and that of `success` and `fail` together, where both responses state them.

    Where many seconds lie between the responses, it is the change in a few of them.
    """
    seconds = max(other.exchange.started - one.exchange.started, STEP_TIME)
    for names in (("total",), ("success", "fail")):
        before, after = ([getattr(each, name) for name in names] for each in (one, other))
        if None not in (*before, *after):
            yield math.ceil(abs(sum(after) - sum(before)) * STEP_TIME / seconds)


def _wrong(metrics: UsageMetrics, member: str, problem: str, expected: object, actual: object) -> Finding:
    """Return the finding for one member of usage metrics."""
    return Finding(problem, metrics.exchange, pointer=f"/{member}", expected=str(expected), actual=str(actual))


@documented(f'{USAGE}: "Total requests across all protocols", "Successful requests", "Failed requests"')
def test_success_and_fail_do_not_exceed_total(usage_metrics: list[UsageMetrics], slack: int) -> Iterator[Finding]:
    """`success` and `fail` together MUST NOT exceed `total`. They may be less while requests are in flight."""
    for metrics in having(usage_metrics, "total", "success", "fail"):
        yield from _outcomes_above_total(metrics, slack)


def _outcomes_above_total(metrics: UsageMetrics, slack: int) -> Iterator[Finding]:
    if metrics.total is None or metrics.success is None or metrics.fail is None:
        return
    outcomes = metrics.success + metrics.fail
    if outcomes > metrics.total + slack:
        yield _wrong(metrics, "total", "success and fail together exceed total", f"at least {outcomes}", metrics.total)


@advisory(f"{USAGE}: total, success, fail; a request in flight has passed the rate limit")
def test_few_requests_are_in_flight(usage_metrics: list[UsageMetrics]) -> Iterator[Finding]:
    """`total` SHOULD NOT exceed `success` and `fail` by more than the requests that can be in flight.

    These are the fetches of one minute at the rate limit, and all open sessions of other protocols.
    """
    for metrics in having(usage_metrics, "total", "success", "fail", "by_protocol", "rps", "burst"):
        most = (metrics.burst or 0) + LONGEST_FETCH * (metrics.rps or 0) + _without_fetches(metrics)
        in_flight = _in_flight(metrics)
        if in_flight > most:
            expected = f"at most {(metrics.total or 0) - in_flight + most}"
            yield _wrong(
                metrics, "total", "more requests lack an outcome than can be in flight", expected, metrics.total
            )


@advisory(f"{USAGE}: total, success, fail; requests in flight are few")
def test_total_is_success_plus_fail(usage_metrics: list[UsageMetrics], slack: int) -> Iterator[Finding]:
    """`total` SHOULD be the sum of `success` and `fail`. The few requests that are in flight may be missing."""
    for metrics in having(usage_metrics, "total", "success", "fail"):
        total, in_flight = metrics.total or 0, _in_flight(metrics)
        if in_flight > max(slack, FEW_IN_FLIGHT, total // IN_FLIGHT_PART):
            yield _wrong(metrics, "total", "success and fail are far less than total", total - in_flight, total)


def _in_flight(metrics: UsageMetrics) -> int:
    """Return the number of requests without an outcome."""
    return (metrics.total or 0) - (metrics.success or 0) - (metrics.fail or 0)


def _without_fetches(metrics: UsageMetrics) -> int:
    return sum(count for name, count in (metrics.by_protocol or {}).items() if name != "fetch")


@documented(f'{USAGE}.total: "Total requests across all protocols"')
def test_protocols_add_up_to_total(gate: Gate, usage_metrics: list[UsageMetrics], slack: int) -> Iterator[Finding]:
    """The counts of `by_protocol` MUST add up to `total`. They may be less where a documented protocol is missing."""
    readable = having(usage_metrics, "total", "by_protocol")
    if _counts_itself(readable):
        raise NotTested("total grows with each request to this operation, which belongs to no protocol")
    if all(len(of_key) == 1 for of_key in by_key(readable).values()):
        raise NotTested("a single response does not show whether total counts requests to this operation")
    for metrics in readable:
        yield from _other_sum_of_protocols(metrics, slack, _documented_protocols(gate))


def _other_sum_of_protocols(metrics: UsageMetrics, slack: int, documented: frozenset[str]) -> Iterator[Finding]:
    if metrics.total is None or metrics.by_protocol is None:
        return
    counted = sum(metrics.by_protocol.values())
    missing = metrics.total - counted
    if missing < -slack or (missing > slack and documented <= metrics.by_protocol.keys()):
        yield _wrong(metrics, "total", "the counts of by_protocol do not add up to total", counted, metrics.total)


def _documented_protocols(gate: Gate) -> frozenset[str]:
    schema = gate.operation.responses["200"].schema or {}
    return frozenset(schema.get("properties", {}).get("by_protocol", {}).get("properties", ()))


def _counts_itself(usage_metrics: list[UsageMetrics]) -> bool:
    """Whether total grew by more than the protocols each time: then it may include requests to this operation."""
    for of_key in by_key(usage_metrics).values():
        beyond = [each.total - sum((each.by_protocol or {}).values()) for each in of_key if each.total is not None]
        if len(beyond) > 1 and all(before < after for before, after in pairwise(beyond)):
            return True
    return False


@documented(f'{USAGE}.success_rate: "Success percentage (0-100)"')
def test_success_rate_is_the_percentage_of_success(usage_metrics: list[UsageMetrics], slack: int) -> Iterator[Finding]:
    """`success_rate` MUST be the percentage of `success` in all requests, or in those that have ended.

    It may be rounded, and is 0 or 100 without requests.
    """
    stated = having(usage_metrics, "success_rate", "success")
    if all(metrics.total is None and metrics.fail is None for metrics in stated):
        raise NotTested("neither total nor fail is stated")
    for metrics in stated:
        yield from _other_success_rate(metrics, slack)


def _other_success_rate(metrics: UsageMetrics, slack: int) -> Iterator[Finding]:
    rate, success, total, fail = metrics.success_rate, metrics.success, metrics.total, metrics.fail
    if rate is None or success is None or (total is None and fail is None):
        return
    wholes = [whole for whole in (total, success + fail if fail is not None else None) if whole]
    percentages = [Decimal(100) * success / whole for whole in wholes] or [Decimal(0), Decimal(100)]
    tolerance = _rounding(rate) + Decimal(100) * slack / min(wholes) if wholes else Decimal(0)
    if all(abs(rate - percentage) > tolerance for percentage in percentages):
        expected = f"{percentages[0]:.4f}" if wholes else "0 or 100"
        yield _wrong(metrics, "success_rate", "success_rate is not the percentage of success", expected, rate)


def _rounding(rate: Decimal) -> Decimal:
    """Return one unit of the last decimal of a percentage."""
    exponent = rate.normalize().as_tuple().exponent
    return Decimal(1).scaleb(max(-MOST_DECIMALS, min(exponent, 0))) if isinstance(exponent, int) else Decimal(1)


@documented(f'{USAGE}.bytes_transferred: "Total response bytes (HTTP fetch only)"')
def test_no_bytes_without_a_fetch(usage_metrics: list[UsageMetrics]) -> Iterator[Finding]:
    """`bytes_transferred` MUST be 0 if `by_protocol.fetch` is 0."""
    stated = having(usage_metrics, "bytes_transferred", "by_protocol")
    without_a_fetch = (metrics for metrics in stated if (metrics.by_protocol or {}).get("fetch") == 0)
    for metrics in or_not_applicable(without_a_fetch, "no response has a by_protocol.fetch of 0"):
        if metrics.bytes_transferred:
            problem = "bytes were transferred without a fetch"
            yield _wrong(metrics, "bytes_transferred", problem, 0, metrics.bytes_transferred)


@advisory(f'{USAGE}.bytes_transferred: "Total response bytes (HTTP fetch only)"')
def test_fetches_transfer_bytes(usage_metrics: list[UsageMetrics]) -> Iterator[Finding]:
    """`bytes_transferred` SHOULD be at least the number of successful fetches after a thousand of them."""
    stated = having(usage_metrics, "bytes_transferred", "by_protocol", "success")
    fetches = ((metrics, (metrics.success or 0) - _without_fetches(metrics)) for metrics in stated)  # at least as many
    many = (pair for pair in fetches if pair[1] >= MANY_FETCHES)
    for metrics, fetched in or_not_applicable(many, f"no response has at least {MANY_FETCHES} successful fetches"):
        if (metrics.bytes_transferred or 0) < fetched:
            problem = "successful fetches have transferred less than a byte each"
            yield _wrong(metrics, "bytes_transferred", problem, f"at least {fetched}", metrics.bytes_transferred)


@documented(f'{USAGE}.total: "Total requests across all protocols"')
def test_counters_do_not_stick(usage_metrics: list[UsageMetrics]) -> Iterator[Finding]:
    """`total`, `success`, `fail` and `bytes_transferred` MUST NOT remain at the largest value of an integer type."""
    check_several(usage_metrics)
    for name in ("total", "success", "fail", "bytes_transferred"):
        for of_key in by_key(usage_metrics).values():
            values = {getattr(metrics, name) for metrics in of_key}
            if len(of_key) > 1 and len(values) == 1 and values <= LARGEST_INTEGERS:
                expected = "another count in one of several responses"
                yield _wrong(of_key[-1], name, f"{name} is the largest value of an integer type", expected, *values)


@documented(f'{USAGE}.total: "Total requests across all protocols"')
def test_zero_total_means_zero_counts(usage_metrics: list[UsageMetrics]) -> Iterator[Finding]:
    """A response with a `total` of 0 MUST have a 0 in every other count, and no entry in `top_domains`."""
    unused = (metrics for metrics in having(usage_metrics, "total") if metrics.total == 0)
    for metrics in or_not_applicable(unused, "no response has a total of 0"):
        for name in ("success", "fail", "bytes_transferred", "top_domains"):
            if value := getattr(metrics, name):
                expected, actual = ("no domain", f"{len(value)} domains") if isinstance(value, list) else (0, value)
                yield _wrong(metrics, name, f"{name} is not 0 or empty although total is 0", expected, actual)


def _with_domains(usage_metrics: list[UsageMetrics], least: int = 1) -> list[UsageMetrics]:
    """Return the usage metrics that list some domains."""
    listing = (each for each in having(usage_metrics, "top_domains") if len(each.top_domains or ()) >= least)
    return or_not_applicable(
        listing, "no response lists a domain" if least == 1 else "no response lists several domains"
    )


@documented(TOP)
def test_top_domains_are_sorted(usage_metrics: list[UsageMetrics]) -> Iterator[Finding]:
    """`top_domains` MUST be in descending order of requests."""
    for metrics in _with_domains(usage_metrics, 2):
        yield from _unsorted_domains(metrics)


def _unsorted_domains(metrics: UsageMetrics) -> Iterator[Finding]:
    counts = _counts_of_domains(metrics)
    for index, (count, following) in enumerate(pairwise(counts), 1):
        if count < following:
            member, problem = f"top_domains/{index}/requests", "top_domains is not in descending order of requests"
            yield _wrong(metrics, member, problem, f"at most {count}", following)
            return


def _counts_of_domains(metrics: UsageMetrics) -> list[int]:
    return [count for _, count in metrics.top_domains or ()]


@documented(TOP)
def test_top_domains_are_distinct(usage_metrics: list[UsageMetrics]) -> Iterator[Finding]:
    """`top_domains` MUST contain each domain once."""
    for metrics in _with_domains(usage_metrics, 2):
        yield from _repeated_domains(metrics)


def _repeated_domains(metrics: UsageMetrics) -> Iterator[Finding]:
    names = [_normalized(domain) for domain, _ in metrics.top_domains or ()]
    for index, name in enumerate(names):
        if name in names[:index]:
            problem = f"top_domains contains '{metrics.exchange.excerpt(name)}' more than once"
            yield Finding(problem, metrics.exchange, pointer=f"/top_domains/{index}/domain")


def _normalized(domain: str) -> str:
    """Return a domain as DNS compares it: without case, final dot and white space."""
    return domain.strip().lower().rstrip(".")


@documented(f"{USAGE}.top_domains[].domain")
def test_top_domains_are_not_urls(usage_metrics: list[UsageMetrics]) -> Iterator[Finding]:
    """A `domain` MUST NOT be a URL, because that would disclose paths, queries and the secrets in them."""
    for metrics in _with_domains(usage_metrics):
        for index, (domain, _) in enumerate(metrics.top_domains or ()):
            if "://" in domain or "?" in domain or "@" in domain:
                member, actual = f"top_domains/{index}/domain", metrics.exchange.excerpt(domain)
                yield _wrong(metrics, member, "a URL is listed as a domain", "the name of a host", actual)


@advisory(
    f"{USAGE}.top_domains[].domain; RFC 3986, section 6.2.2.1: a host is the same in upper and lower case",
    repeats=["consistency/top-domains-are-distinct", "consistency/top-domains-are-not-urls"],
)
def test_top_domains_are_normalized(usage_metrics: list[UsageMetrics]) -> Iterator[Finding]:
    """A `domain` SHOULD be a host name in lower case, without a port, a path, a final dot and white space."""
    for metrics in _with_domains(usage_metrics):
        for index, (domain, _) in enumerate(metrics.top_domains or ()):
            is_address = domain.startswith("[") and domain.endswith("]")  # of IPv6
            if not (is_address or NORMALIZED.fullmatch(domain)) or domain != domain.lower():
                member, actual = f"top_domains/{index}/domain", metrics.exchange.excerpt(domain)
                yield _wrong(metrics, member, "a domain is not normalized", "a host name in lower case", actual)


@documented(f"{TOP}; {USAGE}.total")
def test_top_domains_do_not_exceed_total(usage_metrics: list[UsageMetrics], slack: int) -> Iterator[Finding]:
    """`top_domains` together MUST NOT have more requests than `total`."""
    for metrics in having(usage_metrics, "top_domains", "total"):
        yield from _domains_above_total(metrics, slack)


def _domains_above_total(metrics: UsageMetrics, slack: int) -> Iterator[Finding]:
    counted = sum(_counts_of_domains(metrics))
    if metrics.total is not None and counted > metrics.total + slack:
        problem = "the requests of top_domains exceed total"
        yield _wrong(metrics, "total", problem, f"at least {counted}", metrics.total)


@documented(TOP)
def test_top_domains_are_not_empty_after_a_fetch(gate: Gate, usage_metrics: list[UsageMetrics]) -> Iterator[Finding]:
    """`top_domains` MUST NOT be empty for a key with fetches. Requests of the gate itself may count as fetches."""
    own = SENDS_PER_RESPONSE * len(gate.baseline_exchanges)
    stated = having(usage_metrics, "top_domains", "by_protocol")
    fetches_of = ((metrics, (metrics.by_protocol or {}).get("fetch", 0)) for metrics in stated)
    many = (pair for pair in fetches_of if pair[1] > own)
    for metrics, fetches in or_not_applicable(many, "no response has more fetches than the gate may have caused"):
        if not metrics.top_domains:
            expected = f"a domain after {fetches} fetches"
            yield _wrong(metrics, "top_domains", "top_domains is empty after fetches", expected, "no domain")


@advisory(f"{USAGE}: counts of one key; the document does not state that they are for all time", reads=["time"])
def test_counters_do_not_decrease(usage_metrics: list[UsageMetrics]) -> Iterator[Finding]:
    """`total`, `success`, `fail` and `bytes_transferred` SHOULD NOT decrease from one response to the next."""
    check_several(usage_metrics)
    for name in ("total", "success", "fail", "bytes_transferred"):
        last: dict[Credential | None, UsageMetrics] = {}
        for metrics in usage_metrics:
            key, value = metrics.key, getattr(metrics, name)
            if value is None:
                continue
            before = last.get(key, metrics)
            last[key] = metrics
            if not _is_later(metrics, before):
                continue
            if value < (value_before := getattr(before, name)):
                finding = _wrong(metrics, name, f"{name} has decreased", f"at least {value_before}", value)
                yield replace(finding, related=(before.exchange,))


def _is_later(metrics: UsageMetrics, before: UsageMetrics) -> bool:
    """Whether a request was sent after the response to another one: concurrent requests have no order."""
    return before.exchange.ended <= metrics.exchange.started


@advisory(f"{TOP}; counts of one key", repeats=["consistency/counters-do-not-decrease"], reads=["time"])
def test_domains_do_not_decrease_alone(usage_metrics: list[UsageMetrics]) -> Iterator[Finding]:
    """The requests of a domain SHOULD NOT decrease while no other count of the key does."""
    check_several(usage_metrics)
    for of_key in by_key(having(usage_metrics, "top_domains")).values():
        for before, after in pairwise(of_key):
            if not _is_later(after, before):
                continue
            earlier = dict(before.top_domains or ())
            for index, (domain, count) in enumerate(after.top_domains or ()):
                if count < (least := earlier.get(domain, count)):
                    member, problem = f"top_domains/{index}/requests", "the requests of a domain have decreased"
                    yield replace(
                        _wrong(after, member, problem, f"at least {least}", count), related=(before.exchange,)
                    )


@advisory(f"{USAGE}: usage metrics of one key", reads=["one run"])
def test_first_metrics_are_not_zero(gate: Gate, usage_metrics: list[UsageMetrics]) -> Iterator[Finding]:
    """The first `total` of a key SHOULD NOT be 0 if later ones exceed the number of requests of the run."""
    check_several(usage_metrics)
    own = SENDS_PER_RESPONSE * len(gate.baseline_exchanges)
    for first, *later in by_key(having(usage_metrics, "total")).values():
        totals = [metrics.total or 0 for metrics in later]
        if first.total == 0 and totals and min(totals) > own:
            problem = "only the first total is 0"
            finding = _wrong(first, "total", problem, f"about {min(totals)}, as in later responses", 0)
            yield replace(finding, related=(later[0].exchange,))


@documented(
    f"{USAGE}: the usage metrics of one key, regardless of the rest of the request",
    repeats=(
        "schema/other-responses-are-usage-metrics",
        "consistency/success-and-fail-do-not-exceed-total",
        "consistency/protocols-add-up-to-total",
        "consistency/success-rate-is-the-percentage-of-success",
        "consistency/top-domains-are-sorted",
        "consistency/top-domains-are-distinct",
        "consistency/top-domains-do-not-exceed-total",
    ),
)
def test_other_metrics_are_consistent(
    gate: Gate, usage_metrics: list[UsageMetrics], other_ok_responses: list[Exchange], slack: int
) -> Iterator[Finding]:
    """A 200 response to any other request with a valid key MUST have consistent usage metrics as well."""
    if not other_ok_responses:
        raise NotTested("no other request has a 200 response")
    counts_itself, documented = _counts_itself(usage_metrics), _documented_protocols(gate)
    for metrics in map(UsageMetrics, kept_whole(other_ok_responses)):
        yield from _outcomes_above_total(metrics, slack)
        yield from _other_success_rate(metrics, slack)
        yield from _unsorted_domains(metrics)
        yield from _repeated_domains(metrics)
        yield from _domains_above_total(metrics, slack)
        if not counts_itself:
            yield from _other_sum_of_protocols(metrics, slack, documented)
