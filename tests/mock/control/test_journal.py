"""The journal, and the verification of the requests in it."""

from __future__ import annotations

import pytest

from mock_server import UsageMock
from mock_server.masking import mask_key
from tests.support.control_api import Api
from tests.support.wire import KEY, ask, send, usage

BUSY, MODEST, UNKNOWN = "demo-busy", "demo-modest", "a-strangers-key"


@pytest.fixture
def asked(api: Api, limited: UsageMock) -> Api:
    """A mock that was asked five times."""
    usage(limited.url, BUSY)
    usage(limited.url, BUSY, "HEAD")
    usage(limited.url, MODEST)
    usage(limited.url, UNKNOWN)
    ask(limited.url, f"/usage?api_key={BUSY}&page=2")
    return api


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /usage HTTP/1.1\r\nX-API-Key: \xff\xfe\xfd\xfc\xfb\xfa",
        b"GET /usage?\xff=1 HTTP/1.1",
        b"GET http://[ HTTP/1.1",
    ],
)
def test_the_journal_is_readable_after_any_received_bytes(api: Api, limited: UsageMock, request_head: bytes) -> None:
    send(limited.url, request_head + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert len(api.get("/journal")["entries"]) <= 1  # aiohttp refuses some of them before anybody sees them


def numbers(api: Api, query: str) -> list[int]:
    return [entry["number"] for entry in api.get(f"/journal?{query}")["entries"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [1, 2, 3, 4, 5]),
        (f"key={BUSY}", [1, 2]),
        (f"key={mask_key(MODEST).replace('…', '%E2%80%A6')}", [3]),
        (f"key={UNKNOWN}", [4]),
        ("method=HEAD", [2]),
        ("path=/usage", [1, 2, 3, 4, 5]),
        ("path=/usage/", []),
        ("status=403", [4]),
        ("reason=key-in-query", [5]),
        ("number=3", [3]),
        ("number=9", []),
        ("since=3", [4, 5]),
        ("limit=2", [4, 5]),
        (f"key={BUSY}&status=200&limit=1", [2]),
    ],
)
def test_the_journal_is_searched(asked: Api, query: str, found: list[int]) -> None:
    assert numbers(asked, query) == found


def test_no_key_is_shown(asked: Api, limited: UsageMock) -> None:
    made = limited.make_key()
    usage(limited.url, made)
    shown = asked.ask("GET", "/journal").body
    assert not any(key.encode() in shown for key in (made, UNKNOWN))
    assert mask_key(UNKNOWN).encode() in shown


def test_the_control_api_is_not_in_the_journal(asked: Api) -> None:
    asked.get("/state")
    asked.ask("GET", "/nowhere")
    assert asked.get("/journal")["number"] == 5


def test_the_journal_is_cleared_of_one_key_or_of_all(asked: Api) -> None:
    asked.do("DELETE", f"/journal?key={BUSY}")
    assert numbers(asked, "") == [3, 4, 5]
    asked.do("DELETE", "/journal")
    assert numbers(asked, "") == []


def test_a_key_in_the_target_is_masked(asked: Api) -> None:
    assert asked.get("/journal?limit=1")["entries"][0]["target"] == f"/usage?api_key={mask_key(BUSY)}&page=2"


@pytest.mark.parametrize(
    "expectation",
    [
        {},
        {"exactly": 5},
        {"key": BUSY, "exactly": 2},
        {"key": mask_key(BUSY), "exactly": 2},
        {"key": BUSY, "method": "GET", "exactly": 1},
        {"path": "/usage", "at_least": 5},
        {"status": 403, "at_most": 1},
        {"status": 200, "at_least": 1, "at_most": 3},
        {"path": "/nowhere", "exactly": 0},
    ],
)
def test_sent_requests_are_verified(asked: Api, expectation: dict[str, object]) -> None:
    assert asked.do("POST", "/verify", expectation)["ok"] is True


@pytest.mark.parametrize(
    "expectation",
    [
        {"path": "/nowhere"},
        {"key": BUSY, "exactly": 3},
        {"key": BUSY, "at_most": 1},
        {"status": 429, "at_least": 1},
        {"key": BUSY, "status": 200, "at_least": 3, "at_most": 2},
    ],
)
def test_missing_requests_are_a_conflict(asked: Api, expectation: dict[str, object]) -> None:
    reply = asked.ask("POST", "/verify", expectation)
    assert (reply.status, reply.json["ok"]) == (409, False)


def test_too_few_requests_are_explained_by_the_nearest(asked: Api) -> None:
    detail = asked.ask("POST", "/verify", {"key": BUSY, "method": "GET", "exactly": 3}).json["detail"]
    key = mask_key(BUSY)
    assert detail.splitlines() == [
        f"Requests with key {key}, method GET: expected exactly 3, found 1.",
        "The closest requests:",
        f"#1 GET /usage with {key}: status 200",
        f"#2 HEAD /usage with {key}: status 200 (different method)",
        f"#3 GET /usage with {mask_key(MODEST)}: status 200 (different key)",
        f"#4 GET /usage with {mask_key(UNKNOWN)}: status 403 (different key)",
        f"#5 GET /usage?api_key={key}&page=2 without a key: status 401 (different key)",
    ]


def test_too_many_requests_are_listed(asked: Api) -> None:
    refused = asked.ask("POST", "/verify", {"status": 200, "at_most": 1}).json
    assert [entry["number"] for entry in refused["nearest"]] == [1, 2, 3]


def test_a_full_journal_reports_the_number_of_dropped_requests(asked: Api) -> None:
    asked.do("DELETE", f"/journal?key={BUSY}")
    assert "The journal holds 3 of 5 requests." in asked.do("POST", "/verify", {"exactly": 3})["detail"]


def test_one_request_is_one(api: Api, limited: UsageMock) -> None:
    ask(limited.url, headers=[(KEY, BUSY)])
    assert api.do("POST", "/verify")["matched"] == 1
