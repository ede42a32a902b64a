"""`requests_of` and `POST verify` reject criteria that no request can meet: an empty result would pass by mistake."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest

from mock_server import UsageMock
from mock_server.simulation.simulator import UnknownKeyError
from tests.support.control_api import Api
from tests.support.wire import KEY, send_request


@pytest.mark.parametrize(
    ("criteria", "problem"),
    [
        ({"status": "200"}, "status: '200' is not a whole number"),
        ({"status": True}, "status: True is not a whole number"),
        ({"status": 200.0}, "status: 200.0 is not a whole number"),
        ({"method": 1}, "method: 1 is not a text"),
        ({"path": None}, "path: None is not a text"),
        ({"path": b"/usage"}, "path: b'/usage' is not a text"),
        ({"reason": 403}, "reason: 403 is not a text"),
        ({"key": 1}, "key: 1 is not a text"),
        ({"query": {"page": 2}}, "query 'page': 2 is not a text; expected '2', or None for a parameter that"),
        ({"query": {"page": ["2"]}}, r"query 'page': \['2'\] is not a text"),
        ({"query": "page=2"}, "query: 'page=2' is not a mapping"),
        ({"headers": {"X-Trace": 17}}, "headers 'X-Trace': 17 is not a text; expected '17', or None for a field that"),
        ({"headers": [("X-Trace", "t")]}, "headers: .* is not a mapping"),
        ({"headers": {1: "a"}}, "headers: the name 1 is not a text"),
        ({"body": b"text"}, "body: b'text' is not a text, a mapping or a list"),
        ({"body": 1}, "body: 1 is not a text, a mapping or a list"),
    ],
    ids=str,
)
def test_a_criterion_of_another_type_is_rejected_with_the_type(
    unlimited: UsageMock, criteria: dict[str, Any], problem: str
) -> None:
    with pytest.raises(TypeError, match=problem):
        unlimited.requests_of(**criteria)


@pytest.mark.parametrize(
    ("criteria", "problem"),
    [
        ({"path": "usage"}, "path: 'usage' does not begin with a slash"),
        ({"path": ""}, "path: '' does not begin with a slash"),
        ({"path": "/usage?page=2"}, r"path: '/usage\?page=2' has a query; use the criterion query"),
        ({"method": "get"}, "method: 'get' is not in capital letters; expected 'GET'"),
        ({"method": ""}, "method: '' is empty"),
        ({"status": 20}, "status: 20 is not a status code"),
        ({"status": 1000}, "status: 1000 is not a status code"),
        ({"headers": {"": "a"}}, "headers: '' is not the name of a field"),
        ({"headers": {"X Trace": "a"}}, "headers: 'X Trace' is not the name of a field"),
        ({"headers": {"X-Trace:": None}}, "headers: 'X-Trace:' is not the name of a field"),
    ],
    ids=str,
)
def test_a_criterion_that_no_request_can_meet_is_rejected(
    unlimited: UsageMock, criteria: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        unlimited.requests_of(**criteria)


@pytest.mark.parametrize("path", ["/", "/usage", "*", "http://127.0.0.1/usage", "127.0.0.1:80"])
def test_the_path_of_any_request_target_is_accepted(unlimited: UsageMock, path: str) -> None:
    unlimited.requests_of(path=path)


def test_a_status_may_be_a_member_of_an_enumeration(limited: UsageMock) -> None:
    send_request(limited.url)
    assert len(limited.requests_of(status=HTTPStatus.UNAUTHORIZED)) == 1


def test_a_misspelled_key_is_rejected_with_a_suggestion(limited: UsageMock) -> None:
    send_request(limited.url, headers=[(KEY, "demo-busy")])
    with pytest.raises(UnknownKeyError, match=r"the mock does not have this key; did you mean demo-busy\?$"):
        limited.requests_of("demo-bussy")
    with pytest.raises(UnknownKeyError, match=r"this key; it has demo-busy, .*; select .* by headers=…$"):
        limited.requests_of("entirely different")


def test_a_key_is_accepted_if_the_mock_has_it_or_has_received_it(limited: UsageMock) -> None:
    made = limited.make_key()
    send_request(limited.url, headers=[(KEY, "mistyped")])
    send_request(limited.url, headers=[(KEY, "one"), (KEY, "two")])
    send_request(limited.url)
    found = [limited.requests_of(key) for key in ("demo-busy", "dem…0fd2c2", made, "mistyped", "one, two", "")]
    assert [len(entries) for entries in found] == [0, 0, 0, 1, 1, 1]


def test_verify_rejects_a_key_that_the_mock_neither_has_nor_has_received(limited: UsageMock) -> None:
    api = Api(limited.url)
    status, detail = api.refused("POST", "/verify", {"key": "demo-bussy", "exactly": 0})
    assert (status, detail) == (404, "the mock does not have this key; did you mean demo-busy?")
    send_request(limited.url, headers=[(KEY, "demo-bussy")])
    assert api.do("POST", "/verify", {"key": "demo-bussy", "exactly": 1})["ok"]
