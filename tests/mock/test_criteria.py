"""The control API and UsageMock select requests by header fields, query and body."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
from typing import Any

import pytest

from mock_server import AsyncUsageMock, UsageMock
from tests.support.control_api import Api
from tests.support.wire import KEY, address, send_request

BUSY = "demo-busy"


@pytest.fixture
def sent(limited: UsageMock) -> UsageMock:
    """A mock that has received four requests."""
    send_request(limited.url, "/usage?page=1&page=2&empty=", [(KEY, BUSY), ("X-Trace", "t-17")])
    send_request(limited.url, headers=[("X-Trace", "t-18"), ("x-trace", "t-19")])
    send_request(limited.url, "/usage?page=%31%30", method="HEAD")
    _post(limited, b'{"a": [1, 2], "b": null}')
    return limited


def _post(mock: UsageMock, body: bytes) -> None:
    with contextlib.closing(http.client.HTTPConnection(*address(mock.url))) as connection:
        connection.request("POST", "/usage", body, {"Content-Type": "application/json"})
        connection.getresponse().read()


CRITERIA: list[tuple[dict[str, Any], list[int]]] = [
    ({"headers": {"X-Trace": "t-17"}}, [1]),
    ({"headers": {"x-TRACE": "t-19"}}, [2]),
    ({"headers": {"X-Trace": "t-18, t-19"}}, [2]),
    ({"headers": {"X-Trace": None}}, [3, 4]),
    ({"headers": {"X-Trace": None, "Content-Type": "application/json"}}, [4]),
    ({"query": {"page": "2"}}, [1]),
    ({"query": {"page": "10"}}, [3]),
    ({"query": {"empty": ""}}, [1]),
    ({"query": {"page": None}}, [2, 4]),
    ({"body": None}, [1, 2, 3]),
    ({"body": '{"a": [1, 2], "b": null}'}, [4]),
    ({"body": {"b": None, "a": [1, 2]}}, [4]),
    ({"body": {"a": [1]}}, []),
    ({"method": "HEAD", "body": ""}, [3]),
    ({"reason": "missing-key"}, [2, 3]),
    ({"key": BUSY, "status": 200, "path": "/usage"}, [1]),
]


@pytest.mark.parametrize(("criteria", "numbers"), CRITERIA, ids=str)
def test_requests_are_selected(sent: UsageMock, criteria: dict[str, Any], numbers: list[int]) -> None:
    assert [entry.number for entry in sent.requests_of(**criteria)] == numbers
    verified = Api(sent.url).request("POST", "/verify", {**criteria, "exactly": len(numbers)})
    assert (verified.status, verified.json["matched"]) == (200, len(numbers)), verified.body


def test_the_async_mock_selects_requests() -> None:
    async def selected() -> list[int]:
        async with AsyncUsageMock() as mock:
            for trace in ("t-17", "t-18"):
                await asyncio.to_thread(send_request, mock.url, "/usage", [("X-Trace", trace)])
            return [entry.number for entry in mock.requests_of(headers={"X-Trace": "t-18"})]

    assert asyncio.run(selected()) == [2]


def test_an_unknown_criterion_is_an_error(limited: UsageMock) -> None:
    with pytest.raises(TypeError, match="'header' is not a criterion; did you mean 'headers'"):
        limited.requests_of(header={})  # type: ignore[call-arg]


def test_the_nearest_requests_name_their_differences(sent: UsageMock) -> None:
    criteria = {"headers": {"X-Trace": "t-20", "Authorization": f"Bearer {BUSY}"}, "query": {"page": "2"}, "body": None}
    refused = Api(sent.url).request("POST", "/verify", criteria)
    lines = refused.json["detail"].splitlines()
    assert refused.status == 409
    assert lines[0] == (
        "Requests with header X-Trace: t-20, header Authorization: Bearer dem…0fd2c2, parameter page: 2, no body: "
        "expected at least 1, found 0."
    )
    assert lines[2].endswith("status 200 (different header X-Trace, header Authorization)")
    assert [entry["number"] for entry in refused.json["nearest"]] == [1, 2, 3, 4]
    assert {"name": "X-Trace", "value": "t-17"} in refused.json["nearest"][0]["request"]["headers"]


@pytest.mark.parametrize("expectation", [{"headers": {"a": 1}}, {"query": "a=1"}, {"body": 1}], ids=str)
def test_a_criterion_of_another_type_is_rejected(limited: UsageMock, expectation: dict[str, Any]) -> None:
    assert Api(limited.url).refused("POST", "/verify", expectation)[0] == 422
