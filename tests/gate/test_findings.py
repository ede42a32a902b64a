"""Findings: the problem that a rule reports."""

from __future__ import annotations

from contract_tests.run.findings import status_finding
from contract_tests.wire.messages import Exchange, Request

REQUEST = Request("GET", b"/usage", ())


def test_missing_response_is_not_reported_as_a_wrong_status() -> None:
    finding = status_finding(Exchange(REQUEST, ending="timeout"), "200")
    assert (finding.problem, finding.actual) == ("the request has no response", "no response (timeout)")


def test_wrong_status_is_reported_as_one() -> None:
    finding = status_finding(Exchange(REQUEST, status=401), "200")
    assert (finding.problem, finding.actual) == ("the status is not the expected one", "401")
