"""The usage metrics of one response agree with each other and with the document."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from functools import partial
from ipaddress import IPv6Address
from itertools import pairwise

import pytest

from contract_tests.metrics.members import without_noise
from contract_tests.metrics.view import Stated, UsageMetrics, by_key, with_members
from contract_tests.support.facts import having
from contract_tests.support.findings import Finding, Findings, member_finding, report
from contract_tests.support.gate import Gate
from contract_tests.support.rules import TOP_DOMAINS, USAGE, advisory, documented
from contract_tests.support.token_bucket import remaining_above_burst
from contract_tests.wire.internals import is_internal, is_loopback
from contract_tests.wire.messages import Exchanges, kept_whole
from contract_tests.wire.not_tested import NotTested, or_not_applicable, or_not_tested

# A host name or an IPv4 address such as shop.example, also with other letters than ASCII, without a final dot.
NORMALIZED = re.compile(r"(?=.*\w)[^\s/:?#@%&;\\\"<>\0-\x1f\ufffd]+(?<!\.)")
OUTCOMES = ("total", "success", "fail")
SLACK_STEPS = 3  # times the largest growth between two responses: traffic varies within a run
FEWEST_RESPONSES = 3  # of a key: the growth between fewer is not known; a recording may have one
UNKNOWN_STEP = Fraction(1, 300)  # of a total: it grows less while one response is computed
MANY_RESPONSES = 8  # of a key: counters that are read one after another differ by another number at times
STEP_TIME = 10.0  # seconds: requests of a run are rarely further apart; those of a recording may be
MANY_FETCHES = 1000  # as many successful fetches have a body among them
LONGEST_FETCH = 60  # seconds: clients and proxies rarely wait longer
FEW_IN_FLIGHT = 20  # requests: twice the vendor's default burst
LOST_SHARE = Fraction(1, 50)  # of a large total, may have no outcome: lost clients are never counted as failed
MOST_DECIMALS = 6  # of success_rate: a value with more is not rounded further


@pytest.fixture(scope="session")
def slack(usage_metrics: list[UsageMetrics]) -> int:
    """The tolerance for counters that are not read at the same moment: 0 for counters that do not change.

    Only growth that both `total` and `success + fail` show counts.
    """
    steps = [0]
    for of_key in by_key(usage_metrics).values():
        steps += [min(_steps(one, other), default=0) for one, other in pairwise(of_key)]
        if len(of_key) < FEWEST_RESPONSES:  # which do not show how fast the counters change
            steps += [math.floor(total * UNKNOWN_STEP) for _, total in with_members(of_key, "total")]
    return SLACK_STEPS * max(steps)


def _steps(one: UsageMetrics, other: UsageMetrics) -> Iterator[int]:
    """Yield the change of `total`, and that of `success + fail`, where both responses state them.

    A change over more than `STEP_TIME` seconds counts in proportion.
    """
    seconds = max(other.exchange.started - one.exchange.started, STEP_TIME)
    for names in (("total",), ("success", "fail")):
        before, after = ([getattr(each, name) for name in names] for each in (one, other))
        if None not in (*before, *after):
            yield math.ceil(abs(sum(after) - sum(before)) * STEP_TIME / seconds)


@documented(f'{USAGE}: "Total requests across all protocols", "Successful requests", "Failed requests"')
def test_success_and_fail_do_not_exceed_total(usage_metrics: list[UsageMetrics], slack: int) -> Findings:
    """`success` and `fail` together MUST NOT exceed `total`. They may be less while requests are in flight.

    While counters change, an excess that explains itself by their growth is accepted, unless it is the same in many
    responses to one key.
    """
    stated = having(usage_metrics, *OUTCOMES)
    excesses = {key: [_excess(each) for each in of_key] for key, of_key in by_key(each for each, *_ in stated).items()}
    constant = {key for key, of_key in excesses.items() if len(of_key) >= MANY_RESPONSES and len(set(of_key)) == 1}
    for metrics, total, success, fail in stated:
        if success + fail > total + (0 if metrics.key in constant else slack):
            problem = "success and fail together exceed total"
            yield member_finding(metrics, "total", problem, f"at least {success + fail}", total)


def _excess(metrics: UsageMetrics) -> int:
    return (metrics.success or 0) + (metrics.fail or 0) - (metrics.total or 0)


@advisory(f"{USAGE}: total, success, fail; a request in flight has passed the rate limit")
def test_few_requests_are_in_flight(usage_metrics: list[UsageMetrics]) -> Findings:
    """`total` SHOULD NOT exceed `success` and `fail` by more than the requests that can be in flight.

    These are the fetches of one minute at the rate limit, and all open sessions of other protocols.
    """
    stated = having(usage_metrics, *OUTCOMES, "by_protocol", "rps", "burst")
    for metrics, total, success, fail, by_protocol, rps, burst in stated:
        most = burst + LONGEST_FETCH * rps + _without_fetches(by_protocol)
        if total - success - fail > most:
            problem = "more requests lack an outcome than can be in flight"
            yield member_finding(metrics, "total", problem, f"at most {success + fail + most}", total)


@advisory(f"{USAGE}: total, success, fail; requests in flight are few")
def test_total_is_success_plus_fail(usage_metrics: list[UsageMetrics], slack: int) -> Findings:
    """`total` SHOULD be the sum of `success` and `fail`. The few requests that are in flight may be missing."""
    for metrics, total, success, fail in having(usage_metrics, *OUTCOMES):
        if total - success - fail > max(slack, FEW_IN_FLIGHT, total * LOST_SHARE):
            yield member_finding(metrics, "total", "success and fail are far less than total", success + fail, total)


def _without_fetches(by_protocol: dict[str, int]) -> int:
    return sum(count for name, count in by_protocol.items() if name != "fetch")


@documented(f'{USAGE}.total: "Total requests across all protocols"')
def test_protocols_add_up_to_total(gate: Gate, usage_metrics: list[UsageMetrics], slack: int) -> Findings:
    """The counts of `by_protocol` MUST add up to `total`. They may be less where a documented protocol is missing."""
    stated = having(usage_metrics, "total", "by_protocol")
    readable = [metrics for metrics, *_ in stated]
    if (yield from report(_other_sum_of_protocols(stated, slack, None))):
        return
    if _counts_itself(readable):
        raise NotTested("total grows with each request to this operation, which belongs to no protocol")
    if all(len(of_key) == 1 for of_key in by_key(readable).values()):
        raise NotTested("a single response does not show whether total counts requests to this operation")
    yield from _other_sum_of_protocols(stated, slack, _documented_protocols(gate))


def _other_sum_of_protocols(stated: Iterable[Stated], slack: int, documented: frozenset[str] | None) -> Findings:
    """Yield a finding for each other sum; a smaller one counts if all `documented` protocols are listed."""
    for metrics, total, by_protocol in stated:
        counted = sum(by_protocol.values())
        if counted > total + slack or (
            documented is not None and total > counted + slack and documented <= by_protocol.keys()
        ):
            yield member_finding(metrics, "total", "the counts of by_protocol do not add up to total", counted, total)


def _documented_protocols(gate: Gate) -> frozenset[str]:
    schema = gate.operation.responses["200"].schema or {}
    return frozenset(schema.get("properties", {}).get("by_protocol", {}).get("properties", ()))


def _counts_itself(usage_metrics: list[UsageMetrics]) -> bool:
    """Whether total grew by more than the protocols each time: then it may include requests to this operation."""
    for of_key in by_key(usage_metrics).values():
        beyond = [total - sum((each.by_protocol or {}).values()) for each, total in with_members(of_key, "total")]
        if len(beyond) > 1 and all(before < after for before, after in pairwise(beyond)):
            return True
    return False


@documented(f'{USAGE}.success_rate: "Success percentage (0-100)"')
def test_success_rate_is_the_percentage_of_success(usage_metrics: list[UsageMetrics], slack: int) -> Findings:
    """`success_rate` MUST be the percentage of `success` in all requests, or in those that have ended.

    It may be rounded, and is 0 or 100 without requests.
    """
    stated = having(usage_metrics, "success_rate", "success")
    if all(metrics.total is None and metrics.fail is None for metrics, *_ in stated):
        raise NotTested("neither total nor fail is stated")
    for metrics, rate, success in stated:
        ended = None if metrics.fail is None else success + metrics.fail
        known = [whole for whole in (metrics.total, ended) if whole is not None]
        wholes = [whole for whole in known if whole]
        percentages = [Decimal(100) * success / whole for whole in wholes] or [Decimal(0), Decimal(100)]
        tolerance = _rounding(rate) + Decimal(100) * slack / min(wholes) if wholes else Decimal(0)
        if known and all(abs(rate - percentage) > tolerance for percentage in percentages):
            expected = f"{percentages[0]:.4f}" if wholes else "0 or 100"
            problem = "success_rate is not the percentage of success"
            yield member_finding(metrics, "success_rate", problem, expected, rate)


def _rounding(rate: Decimal) -> Decimal:
    """Return one unit of the last decimal of a percentage, without rounding noise."""
    exponent = without_noise(rate).normalize().as_tuple().exponent
    return Decimal(1).scaleb(max(-MOST_DECIMALS, min(exponent, 0))) if isinstance(exponent, int) else Decimal(1)


@documented(f'{USAGE}.bytes_transferred: "Total response bytes (HTTP fetch only)"')
def test_no_bytes_without_a_fetch(usage_metrics: list[UsageMetrics]) -> Findings:
    """`bytes_transferred` MUST be 0 if `by_protocol.fetch` is 0, and MUST NOT include responses to this operation.

    It includes them if it grows by the size of the response before while `by_protocol.fetch` remains the same, in many
    successive responses to a key.
    """
    stated = having(usage_metrics, "bytes_transferred", "by_protocol")
    for of_key in by_key(metrics for metrics, *_ in stated).values():
        pairs = list(pairwise(of_key))
        if len(pairs) >= MANY_RESPONSES and all(_grows_by_its_response(*pair) for pair in pairs[:MANY_RESPONSES]):
            problem = "bytes_transferred grows by the size of the response before"
            first, second = (each.bytes_transferred for each in of_key[:2])
            yield member_finding(of_key[1], "bytes_transferred", problem, first, second)
            return
    without_a_fetch = ((metrics, size) for metrics, size, counts in stated if counts.get("fetch") == 0)
    for metrics, size in or_not_applicable(without_a_fetch, "no response has a by_protocol.fetch of 0"):
        if size:
            yield member_finding(metrics, "bytes_transferred", "bytes were transferred without a fetch", 0, size)


def _grows_by_its_response(one: UsageMetrics, other: UsageMetrics) -> bool:
    """Whether two successive responses have the same fetches, and the second one counts the bytes of the first."""
    fetches = {(metrics.by_protocol or {}).get("fetch") for metrics in (one, other)}
    growth = (other.bytes_transferred or 0) - (one.bytes_transferred or 0)
    return len(fetches) == 1 and growth == one.exchange.size


@advisory(f'{USAGE}.bytes_transferred: "Total response bytes (HTTP fetch only)"')
def test_fetches_transfer_bytes(usage_metrics: list[UsageMetrics]) -> Findings:
    """`bytes_transferred` SHOULD be at least the number of successful fetches after a thousand of them."""
    stated = having(usage_metrics, "bytes_transferred", "by_protocol", "success")
    fewest = ((metrics, size, success - _without_fetches(counts)) for metrics, size, counts, success in stated)
    many = (each for each in fewest if each[-1] >= MANY_FETCHES)
    missing = f"no response has at least {MANY_FETCHES} successful fetches"
    for metrics, size, fetched in or_not_applicable(many, missing):
        if size < fetched:
            problem = "successful fetches have transferred less than a byte each"
            yield member_finding(metrics, "bytes_transferred", problem, f"at least {fetched}", size)


@documented(f'{USAGE}.total: "Total requests across all protocols"')
def test_zero_total_means_zero_counts(usage_metrics: list[UsageMetrics]) -> Findings:
    """A response with a `total` of 0 MUST have a 0 in every other count, and no entry in `top_domains`."""
    unused = (metrics for metrics, total in having(usage_metrics, "total") if total == 0)
    for metrics in or_not_applicable(unused, "no response has a total of 0"):
        for name in ("success", "fail", "bytes_transferred", "top_domains"):
            if value := getattr(metrics, name):
                expected, actual = ("no domain", f"{len(value)} domains") if isinstance(value, list) else (0, value)
                yield member_finding(metrics, name, f"{name} is not 0 or empty although total is 0", expected, actual)


def _with_domains(usage_metrics: list[UsageMetrics], least: int = 1) -> list[Stated]:
    """Return the usage metrics that list some domains, with these."""
    listing = (each for each in having(usage_metrics, "top_domains") if len(each[1]) >= least)
    return or_not_applicable(listing, f"no response lists {'a domain' if least == 1 else 'several domains'}")


def _listed_domains(usage_metrics: list[UsageMetrics]) -> Iterator[tuple[UsageMetrics, str, str]]:
    """Yield each listed domain, with its usage metrics and the place of its member in these."""
    for metrics, domains in _with_domains(usage_metrics):
        for index, (domain, _) in enumerate(domains):
            yield metrics, f"top_domains/{index}/domain", domain


@documented(TOP_DOMAINS)
def test_top_domains_are_sorted(usage_metrics: list[UsageMetrics]) -> Findings:
    """`top_domains` MUST be in descending order of requests."""
    for metrics, domains in _with_domains(usage_metrics, 2):
        for index, ((_, count), (_, following)) in enumerate(pairwise(domains), 1):
            if count < following:
                member, problem = f"top_domains/{index}/requests", "top_domains is not in descending order of requests"
                yield member_finding(metrics, member, problem, f"at most {count}", following)
                break


@documented(TOP_DOMAINS)
def test_top_domains_are_distinct(usage_metrics: list[UsageMetrics]) -> Findings:
    """`top_domains` MUST contain each domain once."""
    for metrics, domains in _with_domains(usage_metrics, 2):
        names = [domain.strip().lower().rstrip(".") for domain, _ in domains]  # as DNS compares them
        for index, name in enumerate(names):
            if name in names[:index]:
                problem = f"top_domains contains '{metrics.exchange.excerpt(name)}' more than once"
                yield Finding(problem, metrics.exchange, pointer=f"/top_domains/{index}/domain")


@documented(f"{USAGE}.top_domains[].domain")
def test_top_domains_are_not_urls(usage_metrics: list[UsageMetrics]) -> Findings:
    """A `domain` MUST NOT be a URL, because that would disclose paths, queries and the secrets in them."""
    for metrics, member, domain in _listed_domains(usage_metrics):
        if "://" in domain or "?" in domain or "@" in domain:
            yield member_finding(metrics, member, "a URL is listed as a domain", "the name of a host", domain)


@advisory(
    f"{USAGE}.top_domains[].domain; RFC 3986, section 6.2.2.1: a host is the same in upper and lower case",
    repeats=["consistency/top-domains-are-distinct", "consistency/top-domains-are-not-urls"],
)
def test_top_domains_are_normalized(usage_metrics: list[UsageMetrics]) -> Findings:
    """A `domain` SHOULD be a host name in lower case, without a port, a path, a final dot and white space.

    An IPv6 address is accepted, also in brackets.
    """
    for metrics, member, domain in _listed_domains(usage_metrics):
        if not (_is_ipv6_address(domain) or NORMALIZED.fullmatch(domain)) or domain != domain.lower():
            yield member_finding(metrics, member, "a domain is not normalized", "a host name in lower case", domain)


@advisory(
    f"{USAGE}.top_domains[].domain; OWASP Server Side Request Forgery Prevention Cheat Sheet: private and link-local "
    "addresses are blocked",
    repeats=["consistency/top-domains-are-normalized"],
)
def test_top_domains_are_not_internal(gate: Gate, usage_metrics: list[UsageMetrics]) -> Findings:
    """A `domain` SHOULD NOT be a host of an internal network.

    An example is 169.254.169.254, at which a cloud describes a machine. This machine itself is accepted if the
    deployment has a loopback address.
    """
    is_local = is_loopback(gate.settings.target.host)
    for metrics, member, domain in _listed_domains(usage_metrics):
        host = _without_brackets(domain)
        if is_internal(host) and not (is_local and is_loopback(host)):
            problem = "a domain is a host of an internal network"
            yield member_finding(metrics, member, problem, "a host of the Internet", domain)


def _is_ipv6_address(domain: str) -> bool:
    try:
        IPv6Address(_without_brackets(domain))
    except ValueError:
        return False
    return True


def _without_brackets(domain: str) -> str:
    """Return an IPv6 address such as [::1] as ::1, and any other host unchanged."""
    return domain.removeprefix("[").removesuffix("]")


@documented(f"{TOP_DOMAINS}; {USAGE}.total")
def test_top_domains_do_not_exceed_total(usage_metrics: list[UsageMetrics], slack: int) -> Findings:
    """`top_domains` together MUST NOT have more requests than `total`."""
    for metrics, domains, total in having(usage_metrics, "top_domains", "total"):
        counted = sum(count for _, count in domains)
        if counted > total + slack:
            problem = "the requests of top_domains exceed total"
            yield member_finding(metrics, "total", problem, f"at least {counted}", total)


@documented(TOP_DOMAINS)
def test_top_domains_are_not_empty_after_a_fetch(gate: Gate, usage_metrics: list[UsageMetrics]) -> Findings:
    """`top_domains` MUST NOT be empty for a key with fetches. Requests of the gate itself may count as fetches."""
    own = gate.most_counted
    stated = having(usage_metrics, "top_domains", "by_protocol")
    fetches_of = ((metrics, domains, counts.get("fetch", 0)) for metrics, domains, counts in stated)
    many = (each for each in fetches_of if each[-1] > own)
    missing = "no response has more fetches than the gate may have caused"
    for metrics, domains, fetches in or_not_applicable(many, missing):
        if not domains:
            expected = f"a domain after {fetches} fetches"
            yield member_finding(metrics, "top_domains", "top_domains is empty after fetches", expected, "no domain")


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
        "rate/remaining-is-at-most-burst",
    ),
)
def test_other_metrics_are_consistent(
    gate: Gate, usage_metrics: list[UsageMetrics], other_ok_responses: Exchanges, slack: int
) -> Findings:
    """A 200 response to any other request with a valid key MUST have consistent usage metrics as well."""
    responses = or_not_tested(other_ok_responses, "no other request has a 200 response")
    documented = None if _counts_itself(usage_metrics) else _documented_protocols(gate)
    rules_of_one_response: tuple[Callable[[list[UsageMetrics]], Findings], ...] = (
        partial(test_success_and_fail_do_not_exceed_total, slack=slack),
        partial(test_success_rate_is_the_percentage_of_success, slack=slack),
        test_top_domains_are_sorted,
        test_top_domains_are_distinct,
        partial(test_top_domains_do_not_exceed_total, slack=slack),
    )
    for one in ([UsageMetrics(exchange)] for exchange in kept_whole(responses)):
        for rule in rules_of_one_response:
            with suppress(NotTested):  # the response lacks a member that the rule judges
                yield from rule(one)
        yield from remaining_above_burst(with_members(one, "remaining", "burst"))
        yield from _other_sum_of_protocols(with_members(one, "total", "by_protocol"), slack, documented)
