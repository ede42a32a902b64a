"""The journal, and the verification of its requests."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from mock_server import UsageMock
from mock_server.masking import mask_key
from tests.support.control_api import Api
from tests.support.wire import KEY, send, send_request, usage

BUSY, MODEST, UNKNOWN = "demo-busy", "demo-modest", "a-strangers-key"


@pytest.fixture
def recorded(api: Api, limited: UsageMock) -> Api:
    """The control API of a mock that has received five requests."""
    usage(limited.url, BUSY)
    usage(limited.url, BUSY, "HEAD")
    usage(limited.url, MODEST)
    usage(limited.url, UNKNOWN)
    send_request(limited.url, f"/usage?api_key={BUSY}&page=2")
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
    assert len(api.get("/journal")["entries"]) <= 1  # aiohttp rejects some of them before the mock receives them


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
def test_the_journal_is_filtered(recorded: Api, query: str, found: list[int]) -> None:
    assert numbers(recorded, query) == found


def test_the_journal_discloses_no_key(recorded: Api, limited: UsageMock) -> None:
    made = limited.make_key()
    usage(limited.url, made)
    shown = recorded.request("GET", "/journal").body
    assert not any(key.encode() in shown for key in (made, UNKNOWN))
    assert mask_key(UNKNOWN).encode() in shown


def test_the_control_api_is_not_in_the_journal(recorded: Api) -> None:
    recorded.get("/state")
    recorded.request("GET", "/nowhere")
    assert recorded.get("/journal")["number"] == 5


def test_the_journal_is_cleared_for_one_key_or_for_all(recorded: Api) -> None:
    recorded.do("DELETE", f"/journal?key={BUSY}")
    assert numbers(recorded, "") == [3, 4, 5]
    recorded.do("DELETE", "/journal")
    assert numbers(recorded, "") == []


def test_a_key_in_the_target_is_masked(recorded: Api) -> None:
    assert recorded.get("/journal?limit=1")["entries"][0]["target"] == f"/usage?api_key={mask_key(BUSY)}&page=2"


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
def test_sent_requests_are_verified(recorded: Api, expectation: dict[str, object]) -> None:
    assert recorded.do("POST", "/verify", expectation)["ok"] is True


@pytest.mark.parametrize(
    "expectation",
    [
        {"path": "/nowhere"},
        {"key": BUSY, "exactly": 3},
        {"key": BUSY, "at_most": 1},
        {"status": 429, "at_least": 1},
    ],
)
def test_missing_requests_are_a_conflict(recorded: Api, expectation: dict[str, object]) -> None:
    response = recorded.request("POST", "/verify", expectation)
    assert (response.status, response.json["ok"]) == (409, False)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"at_least": 3, "at_most": 2}, "at least 3 and at most 2"),
        ({"exactly": 3, "at_most": 2}, "exactly 3 and at most 2"),
        ({"exactly": 0, "at_least": 1}, "exactly 0 and at least 1"),
    ],
)
def test_bounds_that_contradict_each_other_are_no_result(recorded: Api, bounds: dict[str, int], words: str) -> None:
    response = recorded.request("POST", "/verify", bounds)
    assert (response.status, response.headers["Mock-Reason"]) == (409, "contradictory-bounds")
    assert response.json == {"detail": f"{words}: no number of requests meets these bounds"}


def test_too_few_requests_are_explained_by_the_nearest(recorded: Api) -> None:
    detail = recorded.request("POST", "/verify", {"key": BUSY, "method": "GET", "exactly": 3}).json["detail"]
    key = mask_key(BUSY)
    assert detail.splitlines() == [
        f"Requests with key {key}, method GET: expected exactly 3, found 1.",
        "The closest requests:",
        f"#1 GET /usage with {key}: status 200",
        f"#2 HEAD /usage with {key}: status 200 (different method)",
        f"#3 GET /usage with {mask_key(MODEST)}: status 200 (different key)",
        f"#4 GET /usage with {mask_key(UNKNOWN)}: status 403 unknown-key (different key)",
        f"#5 GET /usage?api_key={key}&page=2 without a key: status 401 key-in-query (different key)",
    ]


def test_too_many_requests_are_listed(recorded: Api) -> None:
    refused = recorded.request("POST", "/verify", {"status": 200, "at_most": 1}).json
    assert [entry["number"] for entry in refused["nearest"]] == [1, 2, 3]


def test_a_full_journal_reports_the_number_of_dropped_requests(recorded: Api) -> None:
    recorded.do("DELETE", f"/journal?key={BUSY}")
    assert "dropped" not in recorded.do("POST", "/verify", {"exactly": 3})["detail"]
    with UsageMock(journal=2) as mock:
        for _ in range(5):
            usage(mock.url, BUSY)
        detail = Api(mock.url).request("POST", "/verify", {"exactly": 2}).json["detail"].splitlines()[0]
    assert detail == "Requests: expected exactly 2, found 2. The journal has dropped 3 earlier requests."


def test_clearing_a_key_whose_requests_were_all_dropped_forgets_them() -> None:
    with UsageMock(journal=2) as mock:
        for key in (BUSY, BUSY, MODEST, MODEST):
            usage(mock.url, key)
        api = Api(mock.url)
        assert api.get(f"/verdict?key={BUSY}")["dropped"] == 2
        api.do("DELETE", f"/journal?key={quote(mask_key(BUSY))}")
        assert [api.get(f"/verdict{query}")["dropped"] for query in ("", f"?key={BUSY}")] == [0, 0]


def test_one_request_matches_once(api: Api, limited: UsageMock) -> None:
    send_request(limited.url, headers=[(KEY, BUSY)])
    assert api.do("POST", "/verify")["matched"] == 1
