"""The variant `fastapi-like`, as compared with FastAPI 0.165 and uvicorn 0.54."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from mock_server import UsageMock
from tests.support.wire import KEY, Response, send, send_request

MODEST = (KEY, "demo-modest")


@pytest.fixture(scope="module")
def mock() -> Iterator[UsageMock]:
    with UsageMock(fault="fastapi-like") as mock:
        yield mock


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "DELETE"])
@pytest.mark.parametrize("headers", [[], [MODEST], [("Origin", "http://a"), ("Access-Control-Request-Method", "GET")]])
def test_only_get_is_allowed(mock: UsageMock, method: str, headers: list[tuple[str, str]]) -> None:
    response = send_request(mock.url, "/usage", headers, method)
    assert (response.status, response.headers["Allow"]) == (405, "GET")
    assert response.body == (b"" if method == "HEAD" else b'{"detail":"Method Not Allowed"}')


def test_options_of_the_whole_server_are_not_found(mock: UsageMock) -> None:
    response = send(mock.url, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (response.status, response.json, response.headers.get("Allow")) == (404, {"detail": "Not Found"}, None)
    assert response.headers["Content-Type"] == "application/json"


def test_a_trailing_slash_is_redirected_with_its_query(mock: UsageMock) -> None:
    response = send_request(mock.url, "/usage/?a=b", [MODEST])
    host = mock.url.removeprefix("http://")
    assert (response.status, response.headers["Location"], response.body) == (307, f"http://{host}/usage?a=b", b"")


@pytest.mark.parametrize(("headers", "status"), [([], 401), ([(KEY, "unknown")], 403)])
def test_an_error_has_the_text_of_the_guide_and_no_challenge(
    mock: UsageMock, headers: list[tuple[str, str]], status: int
) -> None:
    response = send_request(mock.url, "/usage", headers)
    assert (response.status, response.json) == (status, {"detail": "Invalid or missing API key"})
    assert "WWW-Authenticate" not in response.headers


def test_the_first_of_two_key_headers_is_used(mock: UsageMock) -> None:
    assert send_request(mock.url, "/usage", [MODEST, (KEY, "unknown")]).json["api_key"] == "demo-modest"
    assert send_request(mock.url, "/usage", [(KEY, "unknown"), MODEST]).status == 403


def test_the_document_of_the_framework_is_served(mock: UsageMock) -> None:
    response = send_request(mock.url, "/openapi.json")
    assert (response.status, list(json.loads(response.body)["paths"])) == (200, ["/usage"])


@pytest.mark.parametrize("path", ["/usage", "/usage/", "/nowhere", "/openapi.json"])
@pytest.mark.parametrize("prefer", [b"", b"X-API-Key: demo-modest\r\nPrefer: scenario=throttled\r\n"])
def test_every_header_name_is_in_lower_case(mock: UsageMock, path: str, prefer: bytes) -> None:
    response = names(mock, path, prefer)
    assert [name for name in response if name != name.lower()] == []
    assert "server" in response
    assert {"access-control-allow-origin", "cache-control"}.isdisjoint(response)


def test_lower_case_fields_has_no_exception() -> None:
    with UsageMock(fault="lower-case-fields") as mock:
        for path in ("/usage", "/", "/nowhere"):
            assert [name for name in names(mock, path, b"") if name != name.lower()] == []
        found = names(mock, "/usage", b"Prefer: code=429\r\nX-API-Key: demo-busy\r\n")
        assert [name for name in found if name != name.lower()] == []
        assert {"retry-after", "x-ratelimit-limit", "access-control-allow-origin"} <= set(found)


def names(mock: UsageMock, path: str, more: bytes) -> list[str]:
    """Return the header names of a response, as received."""
    request = b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%b\r\n" % (path.encode(), more)
    response: Response = send(mock.url, request)
    return list(response.headers)
