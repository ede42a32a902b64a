"""Cross-origin requests as browsers send them, and the CORS headers of the responses."""

from __future__ import annotations

from pathlib import Path

import pytest

from mock_server import UsageMock, make_app
from mock_server.options import MockOptions
from tests.support.wire import KEY, Headers, Response, send_request
from usage_contract import Contract

ORIGIN = ("Origin", "http://page.example")
PREFLIGHT = [ORIGIN, ("Access-Control-Request-Method", "GET")]
READABLE = (
    "Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, Preference-Applied, Mock-Reason, Mock-Ignored, Mock-Reload"
)


def preflight(url: str, *more: tuple[str, str], path: str = "/usage") -> Response:
    return send_request(url, path, [*PREFLIGHT, *more], "OPTIONS")


def test_a_preflight_needs_no_key(unlimited: UsageMock) -> None:
    response = preflight(unlimited.url, ("Access-Control-Request-Headers", "x-api-key,prefer,x-own"))
    assert (response.status, response.body) == (204, b"")
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["Access-Control-Allow-Methods"] == "GET"
    assert response.headers["Access-Control-Allow-Headers"] == "x-api-key,prefer,x-own"
    assert response.headers["Access-Control-Allow-Private-Network"] is None


def test_a_preflight_takes_no_token_and_is_not_changed_by_a_fault(limited: UsageMock) -> None:
    limited.fail("connection-is-reset-in-the-body")
    for _ in range(20):
        assert preflight(limited.url, (KEY, "demo-busy")).status == 204
    limited.fail("none")
    assert send_request(limited.url, headers=[(KEY, "demo-busy")]).json["rate_limit"]["remaining"] == 9.0


def test_a_preflight_without_headers_gets_the_default_ones(unlimited: UsageMock) -> None:
    assert preflight(unlimited.url).headers["Access-Control-Allow-Headers"] == "X-API-Key, Prefer"


def test_a_public_page_may_reach_a_private_network(unlimited: UsageMock) -> None:
    response = preflight(unlimited.url, ("Access-Control-Request-Private-Network", "true"))
    assert response.headers["Access-Control-Allow-Private-Network"] == "true"


@pytest.mark.parametrize("headers", [[], [ORIGIN], PREFLIGHT[1:]], ids=["no headers", "origin only", "method only"])
def test_another_options_request_returns_the_allowed_methods(unlimited: UsageMock, headers: Headers) -> None:
    response = send_request(unlimited.url, "/usage", headers, "OPTIONS")
    assert (response.status, response.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
    assert response.headers["Access-Control-Allow-Methods"] is None


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
    response = send_request(unlimited.url, path, [ORIGIN, *headers], method)
    assert response.status == status
    assert response.headers.get_all("Access-Control-Allow-Origin") == ["*"]
    assert response.headers.get_all("Access-Control-Expose-Headers") == [READABLE]


def test_any_page_may_read_that_a_fault_cannot_be_applied(tmp_path: Path) -> None:
    (tmp_path / "faults").mkdir()
    text = "description: d\nbreaks: []\ndo: [{patch: [{op: remove, path: /none-such}]}]\n"
    (tmp_path / "faults" / "does-not-fit.yaml").write_text(text)
    with UsageMock(fixtures=tmp_path, fault="does-not-fit") as mock:
        response = send_request(mock.url, headers=[(KEY, "demo-busy")])
    assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (500, "*")


def test_a_fault_keeps_the_cors_headers(unlimited: UsageMock) -> None:
    response = send_request(unlimited.url, headers=[(KEY, "demo-modest"), ("Prefer", "fault=content-type-is-text")])
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers.get_all("Access-Control-Allow-Origin") == ["*"]


@pytest.mark.parametrize("path", ["/__mock__/", "/__mock__/health", "/__mock__/nothing"])
def test_the_control_api_sends_no_cors_headers(unlimited: UsageMock, path: str) -> None:
    for response in (preflight(unlimited.url, path=path), send_request(unlimited.url, path, [ORIGIN])):
        assert [name for name in response.headers if name.startswith("Access-Control")] == []


def test_cors_can_be_switched_off(contract: Contract) -> None:
    with UsageMock(make_app(contract, MockOptions(cors=False))) as mock:
        preflighted = preflight(mock.url)
        assert (preflighted.status, preflighted.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
        for response in (
            preflighted,
            send_request(mock.url),
            send_request(mock.url, "/elsewhere"),
            send_request(mock.url, headers=[("Prefer", "code=7")]),
        ):
            assert [name for name in response.headers if name.startswith("Access-Control")] == []
