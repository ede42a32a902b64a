"""Pages of other origins: the requests that a browser sends for them, and the responses to these."""

from __future__ import annotations

import pytest

from mock_server import UsageMock, make_app
from mock_server.options import MockOptions
from tests.support.wire import KEY, Headers, Reply, ask
from usage_contract import Contract

ORIGIN = ("Origin", "http://page.example")
PREFLIGHT = [ORIGIN, ("Access-Control-Request-Method", "GET")]
READABLE = (
    "Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, Preference-Applied, Mock-Reason, Mock-Ignored, Mock-Reload"
)


def preflight(url: str, *more: tuple[str, str], path: str = "/usage") -> Reply:
    return ask(url, path, [*PREFLIGHT, *more], "OPTIONS")


def test_a_preflight_needs_no_key(unlimited: UsageMock) -> None:
    answer = preflight(unlimited.url, ("Access-Control-Request-Headers", "x-api-key,prefer,x-own"))
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET"
    assert answer.headers["Access-Control-Allow-Headers"] == "x-api-key,prefer,x-own"
    assert answer.headers["Access-Control-Allow-Private-Network"] is None


def test_a_preflight_takes_no_token_and_meets_no_fault(limited: UsageMock) -> None:
    limited.fail("connection-is-reset-in-the-body")
    for _ in range(20):
        assert preflight(limited.url, (KEY, "demo-busy")).status == 204
    limited.fail("none")
    assert ask(limited.url, headers=[(KEY, "demo-busy")]).json["rate_limit"]["remaining"] == 9.0


def test_a_preflight_without_headers_gets_the_default_ones(unlimited: UsageMock) -> None:
    assert preflight(unlimited.url).headers["Access-Control-Allow-Headers"] == "X-API-Key, Prefer"


def test_a_public_page_may_reach_a_private_network(unlimited: UsageMock) -> None:
    answer = preflight(unlimited.url, ("Access-Control-Request-Private-Network", "true"))
    assert answer.headers["Access-Control-Allow-Private-Network"] == "true"


@pytest.mark.parametrize("headers", [[], [ORIGIN], PREFLIGHT[1:]], ids=["plain", "origin only", "method only"])
def test_any_other_options_request_gets_the_methods(unlimited: UsageMock, headers: Headers) -> None:
    answer = ask(unlimited.url, "/usage", headers, "OPTIONS")
    assert (answer.status, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
    assert answer.headers["Access-Control-Allow-Methods"] is None


@pytest.mark.parametrize(
    ("status", "path", "method", "headers"),
    [
        (200, "/usage", "GET", [(KEY, "demo-busy")]),
        (200, "/usage?fresh", "GET", [(KEY, "demo-busy")]),
        (200, "/usage", "HEAD", [(KEY, "demo-busy")]),
        (200, "/healthz", "GET", []),
        (200, "/", "GET", []),
        (400, "/usage", "GET", [("Prefer", "code=7")]),
        (401, "/usage", "GET", []),
        (403, "/usage", "GET", [(KEY, "nobody")]),
        (404, "/elsewhere", "GET", []),
        (405, "/usage", "POST", []),
        (429, "/usage", "GET", [("Prefer", "code=429")]),
        (503, "/usage", "GET", [("Prefer", "code=503")]),
    ],
)
def test_any_page_may_read_every_response(
    unlimited: UsageMock, status: int, path: str, method: str, headers: list[tuple[str, str]]
) -> None:
    answer = ask(unlimited.url, path, [ORIGIN, *headers], method)
    assert answer.status == status
    assert answer.headers.get_all("Access-Control-Allow-Origin") == ["*"]
    assert answer.headers.get_all("Access-Control-Expose-Headers") == [READABLE]


def test_a_fault_keeps_the_cors_headers(unlimited: UsageMock) -> None:
    answer = ask(unlimited.url, headers=[(KEY, "demo-modest"), ("Prefer", "fault=content-type-is-text")])
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers.get_all("Access-Control-Allow-Origin") == ["*"]


@pytest.mark.parametrize("path", ["/__mock__/", "/__mock__/health", "/__mock__/nothing"])
def test_the_control_api_is_for_no_page_of_another_origin(unlimited: UsageMock, path: str) -> None:
    for answer in (preflight(unlimited.url, path=path), ask(unlimited.url, path, [ORIGIN])):
        assert [name for name in answer.headers if name.startswith("Access-Control")] == []


def test_it_can_be_switched_off(contract: Contract) -> None:
    with UsageMock(make_app(contract, MockOptions(cors=False))) as mock:
        told = preflight(mock.url)
        assert (told.status, told.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
        for answer in (told, ask(mock.url), ask(mock.url, "/elsewhere"), ask(mock.url, headers=[("Prefer", "code=7")])):
            assert [name for name in answer.headers if name.startswith("Access-Control")] == []
