"""Validation of bodies and header fields: formats are asserted, and problems are data."""

from __future__ import annotations

import json

import pytest

from contract_tests.metrics.schema import Problem, header_problems, problems, validator
from contract_tests.wire.messages import Exchange, Request
from usage_contract.levels import Level

WS = ("/by_protocol/ws is not valid", "/by_protocol/ws")


@pytest.mark.parametrize(
    ("format_", "wrong"),
    [
        ("date-time", "yesterday"),
        ("uri", "no uri"),
        ("hostname", "-"),
        ("ipv4", "1.2.3"),
        ("uuid", "17"),
        ("duration", "an hour"),
        ("uri-template", "{"),
        ("json-pointer", "a"),
    ],
)
def test_a_text_of_another_format_is_not_valid(format_: str, wrong: str) -> None:
    asserting = validator("get_usage", "200", "documented").evolve(schema={"type": "string", "format": format_})
    assert not asserting.is_valid(wrong)


@pytest.mark.parametrize(
    ("body", "level", "problem"),
    [
        ({"total": "12"}, "specified", Problem("/total is not valid", "/total", "an integer", '"12"')),
        ({"total": -1}, "documented", Problem("/total is not valid", "/total", "at least 0", "-1")),
        ({"by_protocol": {"ws": []}}, "specified", Problem(*WS, "an integer", "an array of length 0")),
        ([], "specified", Problem("the body is not valid", None, "an object", "an array of length 0")),
        ({}, "documented", Problem("the body is not valid", None, "one of the documented members", "an empty object")),
    ],
)
def test_problem_of_a_body_names_the_member_and_both_values(body: object, level: Level, problem: Problem) -> None:
    exchange = Exchange(Request("GET", b"/usage", ()), 200, payload=json.dumps(body).encode())
    assert list(problems("get_usage", exchange, level)) == [problem]


def test_array_that_equals_a_valid_one_only_in_python_is_validated() -> None:
    def pointers(requests: str) -> list[str | None]:
        body = b'{"top_domains": [{"domain": "a.example", "requests": %b}]}' % requests.encode()
        exchange = Exchange(Request("GET", b"/usage", ()), 200, payload=body)
        return [problem.pointer for problem in problems("get_usage", exchange, "specified")]

    assert [pointers(requests) for requests in ("1", "1", "true", "1.5", "true")] == [
        [],
        [],
        *[["/top_domains/0/requests"]] * 3,
    ]


def test_missing_members_of_one_object_are_one_problem() -> None:
    body = b'{"rate_limit": {"rps": 1}, "by_protocol": {"fetch": 1, "ws": 0, "amqp": 0}, "top_domains": []}'
    exchange = Exchange(Request("GET", b"/usage", ()), 200, payload=body)
    found = {problem.pointer: problem.problem for problem in problems("get_usage", exchange, "advisory")}
    assert found["/rate_limit"] == "/rate_limit lacks burst, remaining"
    assert found[None] == "the body lacks api_key, total, success, fail, success_rate, bytes_transferred"
    assert len(found) == 2


def test_problem_of_a_header_field_has_both_values() -> None:
    fields = (("Retry-After", b"soon"), ("X-RateLimit-Limit", b"10"))
    found = list(header_problems("get_usage", Exchange(Request("GET", b"/usage", ()), 429, fields=fields)))
    assert found == [
        Problem("Retry-After is not valid (RFC 9110, section 10.2.3)", None, "seconds or an HTTP date", "'soon'"),
        Problem("X-RateLimit-Remaining is missing"),
    ]
