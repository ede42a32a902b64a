"""A status code for some requests, and with a body and header fields: `answer`, and `code` of the control API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from mock_server import AsyncUsageMock, UsageMock
from tests.support.answers import BUSY, MODEST, Answer, both, statuses
from tests.support.control_api import Api
from tests.support.wire import Response, send_request, usage


@pytest.fixture
def mock() -> Iterator[UsageMock]:
    with UsageMock(rate_limit=False) as mock:
        yield mock


def test_a_405_has_allow(mock: UsageMock) -> None:
    mock.answer(405)
    for response in (usage(mock.url, BUSY), send_request(mock.url, method="HEAD")):
        assert (response.status, response.headers["Allow"]) == (405, "OPTIONS")
    assert send_request(mock.url, method="OPTIONS").status == 204
    mock.answer(404)
    assert usage(mock.url, BUSY).headers["Allow"] is None


@both
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"times": 2}, [503, 503, 200, 200, 200]),
        ({"after": 1, "times": 2}, [200, 503, 503, 200, 200]),
        ({"after": 3}, [200, 200, 200, 503, 503]),
        ({"after": 0, "times": None}, [503] * 5),
    ],
)
def test_a_status_code_skips_and_then_affects_the_given_numbers_of_requests(
    mock: UsageMock, answer: Answer, options: dict[str, Any], expected: list[int]
) -> None:
    answer(mock, 503, **options)
    assert statuses(mock) == expected


@both
def test_the_status_code_of_one_key_counts_the_requests_of_this_key(mock: UsageMock, answer: Answer) -> None:
    answer(mock, 503, key=BUSY, times=1)
    assert statuses(mock, 1, MODEST) == [200]
    assert statuses(mock, 2) == [503, 200]


def test_a_second_call_counts_anew_and_a_reset_ends_it(mock: UsageMock) -> None:
    mock.answer(503, times=1)
    assert statuses(mock, 2) == [503, 200]
    mock.answer(503, times=1)
    assert statuses(mock, 2) == [503, 200]
    mock.answer(503, times=3)
    mock.reset()
    assert statuses(mock, 1) == [200]


@both
@pytest.mark.parametrize("options", [{}, {"key": BUSY}])
def test_only_requests_to_the_operation_count(mock: UsageMock, answer: Answer, options: dict[str, Any]) -> None:
    answer(mock, [503, 429], **options)
    for path, method in (("/healthz", "GET"), ("/nowhere", "GET"), ("/usage/", "GET"), ("/usage", "POST")):
        send_request(mock.url, path, [("X-API-Key", BUSY)], method)
    assert send_request(mock.url, "/%75sage?page=1", [("X-API-Key", BUSY)], "HEAD").status == 503
    assert statuses(mock, 2) == [429, 200]
    assert mock.unused_overrides() == []


def test_the_journal_names_a_status_code_only_where_it_was_returned(mock: UsageMock) -> None:
    mock.answer(503, times=1)
    statuses(mock, 2)
    assert [entry.applied for entry in mock.requests] == ["code=503", ""]


def test_a_status_code_that_has_acted_lets_the_account_respond_like_a_fault_that_has_acted() -> None:
    with UsageMock(scenario="down") as mock:
        mock.answer(503, times=1)
        mock.fail("body-is-empty", times=2)
        assert statuses(mock, 3) == [503, 200, 200]


def test_the_preference_of_a_request_takes_precedence_and_does_not_count(mock: UsageMock) -> None:
    mock.answer(503, times=1)
    preferring = send_request(mock.url, headers=[("X-API-Key", BUSY), ("Prefer", "code=500")])
    assert preferring.status == 500
    assert statuses(mock, 2) == [503, 200]


def test_a_code_and_a_fault_of_one_request_have_the_same_counts(mock: UsageMock) -> None:
    Api(mock.url).do("PATCH", "/behaviour", {"code": 503, "fault": "lower-case-fields", "times": 1})
    first, second = usage(mock.url, BUSY), usage(mock.url, BUSY)
    assert (first.status, second.status) == (503, 200)
    assert "content-type" in list(first.headers)
    assert "Content-Type" in list(second.headers)


def test_the_state_contains_the_remaining_number(mock: UsageMock) -> None:
    api = Api(mock.url)
    found = [api.do("PATCH", "/behaviour", {"code": 503, "after": 1, "times": 2})]
    for _ in range(4):
        statuses(mock, 1)
        found.append(api.key()["effective"])
    assert [each["code"] for each in found] == [503] * 5
    assert [each["code_requests"] for each in found] == [{"after": 1, "times": 2, "left": n} for n in (2, 2, 1, 0, 0)]
    assert api.do("PATCH", "/behaviour", {"code": 503})["code_requests"] == {"after": 0, "times": None, "left": None}
    assert api.do("PATCH", "/behaviour", {"code": None})["code_requests"] is None


@both
def test_a_mapping_or_a_list_is_sent_as_json(mock: UsageMock, answer: Answer) -> None:
    for body in ({"total": None, "ä": [1.5, True]}, [], {}, [{"a": "b"}]):
        answer(mock, 200, body=body)
        response = usage(mock.url, BUSY)
        assert (response.status, response.json, response.headers["Content-Type"]) == (200, body, "application/json")
        assert response.headers["Content-Length"] == str(len(response.body))


@both
def test_a_text_is_sent_as_it_is(mock: UsageMock, answer: Answer) -> None:
    for text in ("{broken", "", "ä\r\n"):
        answer(mock, 503, body=text, headers={"content-type": "text/plain"})
        response = usage(mock.url, BUSY)
        assert (response.status, response.body.decode()) == (503, text)
        assert response.headers.get_all("Content-Type") == ["text/plain"]


@both
def test_header_fields_replace_add_and_remove(mock: UsageMock, answer: Answer) -> None:
    answer(mock, 429, headers={"retry-after": "7", "X-Own": "a, b", "X-RateLimit-Remaining": None})
    response = usage(mock.url, BUSY)
    assert (response.status, json.loads(response.body)["detail"]) == (429, "Over the key's rate limit.")
    assert response.headers.get_all("Retry-After") == ["7"]
    assert response.headers["X-Own"] == "a, b"
    assert "X-RateLimit-Remaining" not in response.headers
    assert response.headers["X-RateLimit-Limit"] == "10"


@both
@pytest.mark.parametrize("fault", ["none", "body-is-null"])
@pytest.mark.parametrize("value", ["x", None])
def test_a_header_field_replaces_or_removes_any_field_of_the_response(
    mock: UsageMock, answer: Answer, fault: str, value: str | None
) -> None:
    answer(mock, 429)
    mock.fail(fault)
    names = [name for name in usage(mock.url, BUSY).headers if name != "Content-Length"]
    assert {"Access-Control-Allow-Origin", "Content-Type", "Date", "Server", "Retry-After", "Mock-Reason"} <= {*names}
    for name in names:
        answer(mock, 429, headers={name.lower(): value})
        response = usage(mock.url, BUSY)
        assert response.headers.get_all(name, []) == ([] if value is None else [value])
        others = [each for each in response.headers if each.lower() not in (name.lower(), "content-length")]
        assert others == [each for each in names if each != name]


@both
def test_a_header_field_of_the_dispatcher_can_be_set(mock: UsageMock, answer: Answer) -> None:
    names = ("Preference-Applied", "Mock-Ignored", "Mock-Reload")
    answer(mock, 503, headers=dict.fromkeys(names, "x"))
    response = usage(mock.url, BUSY)
    assert [response.headers.get_all(name) for name in names] == [["x"]] * 3


def test_the_journal_has_no_field_that_an_answer_removes(mock: UsageMock) -> None:
    mock.answer(503, headers=dict.fromkeys(("Date", "Server", "Content-Type")))
    assert usage(mock.url, BUSY).status == 503
    assert {name for name, _ in mock.requests[0].response.headers} & {"Date", "Server", "Content-Type"} == set()


@both
def test_retry_after_and_a_limited_number_act_together(mock: UsageMock, answer: Answer) -> None:
    answer(mock, 503, times=1, headers={"Retry-After": "1"})
    responses = [usage(mock.url, BUSY) for _ in range(2)]
    assert [(each.status, each.headers["Retry-After"]) for each in responses] == [(503, "1"), (200, None)]


def test_a_body_for_200_is_for_valid_keys_only(mock: UsageMock) -> None:
    mock.answer(200, body={"mine": 1})
    assert usage(mock.url, BUSY).json == {"mine": 1}
    assert usage(mock.url, "unknown").status == 403
    assert send_request(mock.url, "/healthz").json == {"ok": True}


def test_a_fault_changes_the_given_body(mock: UsageMock) -> None:
    mock.answer(200, body={"total": 1})
    mock.fail("total-is-a-text")
    assert usage(mock.url, BUSY).json == {"total": "many"}


def test_head_has_the_length_of_the_given_body(mock: UsageMock) -> None:
    mock.answer(503, body="12345")
    response = send_request(mock.url, method="HEAD")
    assert (response.status, response.headers["Content-Length"], response.body) == (503, "5", b"")


@pytest.mark.parametrize(
    ("arguments", "error", "problem"),
    [
        ({"times": 0}, ValueError, "times: 0 is not a whole number from 1 to"),
        ({"times": True}, TypeError, "times: True is not a whole number"),
        ({"after": -1}, ValueError, "after: -1 is not a whole number from 0 to"),
        ({"after": None}, TypeError, "after: None is not a whole number"),
        ({"body": b"x"}, TypeError, "body: b'x' is not a text, a mapping or a list; a fault file can have any bytes"),
        ({"body": 1}, TypeError, "body: 1 is not a text, a mapping or a list"),
        ({"body": {"a": float("nan")}}, ValueError, "body: is not JSON: "),
        ({"body": {"a": {1}}}, TypeError, "body: is not JSON: "),
        ({"body": "\ud800"}, ValueError, "body: is not valid Unicode"),
        ({"body": {"a": "\ud800"}}, ValueError, "body: is not valid Unicode"),
        ({"headers": "X-A: b"}, TypeError, "headers: 'X-A: b' is not a mapping from names to values"),
        ({"headers": []}, TypeError, "headers: [] is not a mapping from names to values"),
        ({"headers": {1: "a"}}, TypeError, "headers: the name 1 is not a text"),
        ({"headers": {"X-A": 7}}, TypeError, "headers: the value of X-A is 7, not a text; expected '7'"),
        ({"headers": {"X A": "b"}}, ValueError, "headers: 'X A' is not the name of a field"),
        ({"headers": {"": "b"}}, ValueError, "headers: '' is not the name of a field"),
        ({"headers": {"X-A": "b\r\nX-B: c"}}, ValueError, "headers: the value of X-A has a control character"),
        ({"headers": {"X-A": "\ud800"}}, ValueError, "headers: the value of X-A is not valid Unicode"),
        ({"headers": {"content-length": "7"}}, ValueError, "headers: content-length follows from the body; a fault"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, ValueError, "headers: Transfer-Encoding follows from the body"),
        ({"headers": {"X-A": "b", "x-a": "c"}}, ValueError, "headers: x-a is given twice"),
    ],
    ids=str,
)
def test_an_answer_that_cannot_be_sent_is_rejected(
    mock: UsageMock, arguments: dict[str, Any], error: type[Exception], problem: str
) -> None:
    with pytest.raises(error) as caught:
        mock.answer(503, **arguments)
    assert str(caught.value).startswith(problem)
    assert statuses(mock, 1) == [200]


@pytest.mark.parametrize("arguments", [{"body": ""}, {"headers": {"X-A": "b"}}, {"times": 1}, {"after": 1}])
def test_no_status_code_has_no_other_arguments(mock: UsageMock, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="answer: None removes the override; it has no"):
        mock.answer(None, **arguments)


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ({"times": 1}, 422, "body: has times, which needs code or fault"),
        ({"after": 1, "delay": 1}, 422, "body: has after, which needs code or fault"),
        ({"fault": None, "times": 3}, 422, "body: has times, which needs code or fault"),
        ({"code": None, "after": 1}, 422, "body: has after, which needs code or fault"),
        ({"fault": None, "file_conditions": True}, 422, "body /fault: must be text or a list, not null"),
        ({"body": "a"}, 422, "body: has body, which needs code"),
        ({"headers": {}, "fault": "body-is-null"}, 422, "body: has headers, which needs code"),
        ({"code": None, "body": "a"}, 422, "body /code: must be a whole number, not null"),
        ({"code": 503, "body": 1}, 422, "body /body: must be text or a mapping or a list or null, not a whole number"),
        ({"code": 503, "headers": {"X-A": 7}}, 422, "body /headers/X-A: must be text or null, not a whole number"),
        ({"code": 503, "headers": {"X A": "b"}}, 422, "body /headers/X A: is not valid; expected the name of a field"),
        ({"code": 503, "headers": {"X-A": "b\n"}}, 422, "body /headers/X-A: is not valid; expected a text without"),
        ({"code": 503, "headers": {"Content-Length": "1"}}, 409, "headers: Content-Length follows from the body"),
        ({"code": 503, "times": 0}, 422, "body /times: must be at least 1, not 0"),
    ],
    ids=str,
)
def test_the_control_api_rejects_an_answer_that_cannot_be_sent(
    mock: UsageMock, body: dict[str, Any], status: int, problem: str
) -> None:
    found, detail = Api(mock.url).refused("PATCH", "/behaviour", body)
    assert (found, detail[: len(problem)]) == (status, problem)


def test_the_async_mock_has_the_same_call() -> None:
    async def get(url: str) -> Response:
        return await asyncio.to_thread(usage, url, BUSY)

    async def run() -> list[tuple[int, bytes]]:
        async with AsyncUsageMock() as mock:
            await mock.answer(503, after=1, times=1, body="down", headers={"Retry-After": "1"})
            return [(response.status, response.body[:4]) for response in [await get(mock.url) for _ in range(3)]]

    assert asyncio.run(run()) == [(200, b'{"ap'), (503, b"down"), (200, b'{"ap')]
