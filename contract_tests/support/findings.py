"""A finding: one problem that a rule found, with the exchange that shows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace

from contract_tests.metrics.schema import Problem, header_problems, problems
from contract_tests.metrics.view import UsageMetrics
from contract_tests.wire.messages import Exchange, Exchanges
from usage_contract.levels import Level

TRIES = 3  # times a problem must occur that other users of the deployment could explain
STATUS_CODES = re.compile(r"\d{3}(, \d{3})*( or \d{3})?")  # as `one_of` writes them


@dataclass(frozen=True)
class Finding:
    """One problem, as data: reports render it, and nothing parses their text.

    `problem` is a sentence without a final period. `related` are further exchanges that the problem needs to be seen.
    `pointer` is the JSON Pointer (RFC 6901) of the member of the body that is wrong. `expected` and `actual` are the
    two values that differ; reports shorten them. `earlier` are the exchanges before it on the same connection, without
    which the problem may not show: the curl command repeats them first.
    """

    problem: str
    exchange: Exchange
    related: tuple[Exchange, ...] = ()
    pointer: str | None = None
    expected: str | None = None
    actual: str | bytes | None = None
    earlier: Exchanges = ()


Findings = Iterator[Finding]


class BrokenPromiseError(AssertionError):
    """A rule has findings: the deployment breaks the promise."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(finding.problem for finding in self.findings))


def status_finding(exchange: Exchange, expected: str) -> Finding:
    """Return the finding for a response with another status than expected, or for a missing response."""
    relation = " instead of" if STATUS_CODES.fullmatch(expected) else ", expected"
    problem = f"the status is {exchange.status}{relation} {expected}"
    if exchange.status is None:
        problem = "the request has no response"
    return Finding(problem, exchange, expected=expected, actual=exchange.outcome)


def one_of(statuses: Iterable[int]) -> str:
    """Return status codes as `401`, or as `401, 403 or 404`."""
    *others, last = map(str, sorted(statuses))
    return f"{', '.join(others)} or {last}" if others else last


def unless_200(exchanges: Iterable[Exchange]) -> Findings:
    """Yield a finding for each exchange that must have status 200, and has another one."""
    return (status_finding(exchange, "200") for exchange in exchanges if exchange.status != 200)


def after(earlier: Exchanges, findings: Iterable[Finding]) -> Findings:
    """Yield findings that may show only after earlier exchanges of the same connection."""
    return (replace(finding, earlier=earlier) for finding in findings)


def report(findings: Iterable[Finding]) -> Generator[Finding, None, bool]:
    """Yield findings, and return whether there are any."""
    is_any = False
    for finding in findings:
        is_any = True
        yield finding
    return is_any


def confirm(check: Callable[[int], Finding | None]) -> Generator[Finding, None, bool]:
    """Yield a finding only if every try has one: other users of the deployment may explain a single one.

    `check` receives the number of the try, from 0, and returns its finding, or None where the promise is kept.
    Returns whether the finding is confirmed.
    """
    finding = check(0)
    for attempt in range(1, TRIES):
        finding = finding and check(attempt)
    if finding:
        yield finding
    return finding is not None


def field_finding(exchange: Exchange, name: str, problem: str, expected: str | None = None) -> Finding:
    """Return the finding for one header field of a response, or for its absence."""
    return Finding(problem, exchange, expected=expected, actual=exchange.header(name) or f"no {name}")


def incomplete_finding(exchange: Exchange) -> Finding:
    """Return the finding for a response that ended too early, or that is not valid HTTP."""
    return Finding(f"the response is not complete ({exchange.ending}: {exchange.excerpt(exchange.problem)})", exchange)


def member_finding(
    metrics: UsageMetrics, member: str, problem: str, expected: object, actual: object, *related: Exchange
) -> Finding:
    """Return the finding for one member of usage metrics."""
    return Finding(problem, metrics.exchange, related, f"/{member}", str(expected), str(actual))


def body_findings(operation: str, exchange: Exchange, level: Level) -> Findings:
    """Yield what is wrong with a response body at a level, and was not already wrong at a lower one."""
    return (_finding(problem, exchange) for problem in problems(operation, exchange, level))


def json_findings(operation: str, exchange: Exchange, level: Level) -> Findings:
    """Yield what is wrong with a response that must be JSON in UTF-8, and valid at a level."""
    if not (exchange.is_json and exchange.has_true_charset):
        yield field_finding(exchange, "Content-Type", "the media type is not JSON in UTF-8", "application/json")
    elif exchange.json.problem:
        yield Finding(f"the body {exchange.json.problem}", exchange)
    else:
        yield from body_findings(operation, exchange, level)


def header_findings(operation: str, exchange: Exchange) -> Findings:
    """Yield what is wrong with the header fields that the document describes for the status."""
    return (_finding(problem, exchange) for problem in header_problems(operation, exchange))


def _finding(problem: Problem, exchange: Exchange) -> Finding:
    return Finding(problem.problem, exchange, pointer=problem.pointer, expected=problem.expected, actual=problem.actual)
