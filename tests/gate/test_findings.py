"""Findings: the problem that a rule reports."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from contract_tests.support.findings import one_of, status_finding
from contract_tests.wire.messages import CLIENT_ERRORS, Exchange, Request
from tests.support.transport import gate_for

REQUEST = Request("GET", b"/usage", ())


def test_missing_response_is_not_reported_as_a_wrong_status() -> None:
    finding = status_finding(Exchange(REQUEST, ending="timeout"), "200")
    assert (finding.problem, finding.actual) == ("the request has no response", "no response (timeout)")


@pytest.mark.parametrize(
    ("expected", "problem"),
    [
        ("200", "the status is 401 instead of 200"),
        (one_of({304, 200}), "the status is 401 instead of 200 or 304"),
        (one_of({403, 404, 400}), "the status is 401 instead of 400, 403 or 404"),
        ("200 or 4xx", "the status is 401, expected 200 or 4xx"),
        ("a refusal", "the status is 401, expected a refusal"),
    ],
)
def test_a_wrong_status_is_stated_with_the_expected_one(expected: str, problem: str) -> None:
    finding = status_finding(Exchange(REQUEST, status=401), expected)
    assert (finding.problem, finding.expected, finding.actual) == (problem, expected, "401")


@pytest.mark.parametrize(
    ("status", "refusals", "problem"),
    [
        (200, {401, 403}, "a request without a valid X-API-Key is accepted: the status is 200 instead of 401 or 403"),
        (204, CLIENT_ERRORS, "a request without a valid X-API-Key is accepted: the status is 204, expected a refusal"),
        (302, {401}, "the status is 302 instead of 401"),
    ],
)
def test_an_accepted_request_without_a_valid_key_is_reported_as_that(
    status: int, refusals: Collection[int], problem: str
) -> None:
    (finding,) = gate_for().wrongly_accepted([Exchange(REQUEST, status=status)], refusals)
    assert finding.problem == problem
