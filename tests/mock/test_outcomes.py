"""The outcome of an exchange: whether its response was sent, was cut, or met a client that had gone."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from mock_server import UsageMock
from tests.support.control_api import Api
from tests.support.wire import send_request, usage

KEY = "demo-busy"
TIMEOUT = 0.3  # seconds; a client gives up
WAIT = 10.0
REQUEST = f"GET /usage HTTP/1.1\r\nHost: mock\r\nX-API-Key: {KEY}\r\n\r\n".encode()


@pytest.fixture
def mock() -> Iterator[UsageMock]:
    with UsageMock(rate_limit=False, grace=0) as mock:
        yield mock


def give_up(mock: UsageMock, method: str = "GET") -> None:
    """Send a request, and close the connection after TIMEOUT or after the response."""
    parts = urlsplit(mock.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
    with suppress(OSError, http.client.HTTPException):
        connection.request(method, "/usage", headers={"X-API-Key": KEY})
        connection.getresponse().read()
    connection.close()


def outcome(mock: UsageMock, expected: str) -> str:
    """Return the outcome of the only request, once it is the expected one."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        entries = mock.requests
        if len(entries) == 1 and entries[0].outcome == expected:
            break
        time.sleep(0.01)
    [entry] = mock.requests
    return entry.outcome


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("response-is-never-sent", "not-sent"),
        ("connection-closes-without-a-response", "not-sent"),
        ("connection-is-reset-in-the-body", "cut"),
        ("body-is-shorter-than-content-length", "cut"),
        ("body-is-empty", "sent"),
        ("body-is-null", "sent"),
        ("responses-are-chunked", "sent"),
        ("chunks-have-extensions", "sent"),
        ("header-lines-end-with-a-bare-lf", "sent"),
        ("body-ends-with-the-connection", "sent"),
    ],
)
def test_a_fault_has_an_outcome(mock: UsageMock, fault: str, expected: str) -> None:
    mock.fail(fault)
    give_up(mock)
    assert outcome(mock, expected) == expected


def test_a_retry_is_the_only_response_that_was_sent(mock: UsageMock) -> None:
    mock.fail("response-is-never-sent", times=1)
    give_up(mock)
    usage(mock.url, KEY)
    assert [entry.number for entry in mock.requests_of(status=200)] == [1, 2]
    assert [entry.number for entry in mock.requests_of(status=200, outcome="sent")] == [2]


def test_a_client_that_leaves_during_a_delay_is_gone(mock: UsageMock) -> None:
    mock.delay(2 * TIMEOUT)
    give_up(mock)
    assert outcome(mock, "client-gone") == "client-gone"


def test_a_client_that_leaves_during_a_slow_body_is_gone(mock: UsageMock) -> None:
    mock.fail("body-is-sent-slowly")
    parts = urlsplit(mock.url)
    with socket.create_connection((parts.hostname, parts.port)) as client:
        client.sendall(REQUEST)
        assert client.recv(1)
    assert outcome(mock, "client-gone") == "client-gone"


def test_a_client_that_resets_its_connection_is_gone(mock: UsageMock) -> None:
    mock.delay(TIMEOUT)
    parts = urlsplit(mock.url)
    with socket.create_connection((parts.hostname, parts.port)) as client:
        client.sendall(REQUEST)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert outcome(mock, "client-gone") == "client-gone"


def test_other_responses_are_sent(mock: UsageMock) -> None:
    for method, path in (("GET", "/usage"), ("HEAD", "/usage"), ("GET", "/usage?x"), ("PUT", "/usage"), ("GET", "/no")):
        send_request(mock.url, path, [("X-API-Key", KEY)], method)
    send_request(mock.url, headers=[("X-API-Key", KEY), ("Prefer", "fault=responses-are-chunked")], method="HEAD")
    give_up(mock)
    assert {entry.outcome for entry in mock.requests} == {"sent"}


def test_the_control_api_has_the_outcome(mock: UsageMock) -> None:
    mock.fail("response-is-never-sent", times=1)
    give_up(mock)
    usage(mock.url, KEY)
    api = Api(mock.url)
    assert [entry["outcome"] for entry in api.get("/journal")["entries"]] == ["not-sent", "sent"]
    assert [entry["number"] for entry in api.get("/journal?outcome=not-sent")["entries"]] == [1]
    assert api.do("POST", "/verify", {"outcome": "sent", "exactly": 1})["ok"]
    assert api.refused("POST", "/verify", {"outcome": "lost"})[0] == 422


def test_an_unknown_outcome_is_not_a_criterion(mock: UsageMock) -> None:
    with pytest.raises(ValueError, match="outcome: 'snt' is not an outcome; did you mean 'sent'"):
        mock.requests_of(outcome="snt")  # type: ignore[arg-type]
