"""A finding: one problem that a rule found, with the exchange that shows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from contract_tests.wire.messages import Exchange


@dataclass(frozen=True)
class Finding:
    """One problem, as data: reports render it, and nothing parses their text.

    `problem` is a sentence without a final period. `related` are further exchanges that the problem needs to be seen.
    `pointer` is the JSON Pointer (RFC 6901) of the member of the body that is wrong. `expected` and `actual` are the
    two values that differ.
    """

    problem: str
    exchange: Exchange
    related: tuple[Exchange, ...] = ()
    pointer: str | None = None
    expected: str | None = None
    actual: str | None = None


class BrokenPromiseError(AssertionError):
    """A rule has findings: the deployment breaks the promise."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(finding.problem for finding in self.findings))


def status_finding(exchange: Exchange, expected: str) -> Finding:
    """Return the finding for a response with another status than expected."""
    return Finding("the status is not the expected one", exchange, expected=expected, actual=exchange.outcome)
