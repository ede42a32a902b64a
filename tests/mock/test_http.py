"""HTTP: methods, paths, connections, and malformed requests."""

from __future__ import annotations

import contextlib
import http.client
import logging
import re
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server import UsageMock
from tests.support.wire import KEY, TIMEOUT, address, response_bytes, send, send_request, usage

METHODS = ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE", "QUERY", "PROPFIND"]

WITH_TARGET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"
WITH_FIELD = b"GET /nowhere HTTP/1.1\r\nHost: x\r\n%b: %b\r\n\r\n"
MANY = b"x\r\nX: "

MALFORMED = {
    "no host": b"GET /usage HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /usage HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "unknown method": b"BREW /usage HTTP/1.1\r\nHost: x\r\n\r\n",
    "lower-case method": b"get /usage HTTP/1.1\r\nHost: x\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "target of bytes": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "broken absolute target": b"GET http://[x/usage HTTP/1.1\r\nHost: x\r\n\r\n",
    "port out of range": b"GET http://x:99999/usage HTTP/1.1\r\nHost: x\r\n\r\n",
    "no version": b"GET /usage HTTQ\r\nHost: x\r\n\r\n",
    "bare line feeds": b"GET /usage HTTP/1.1\nHost: x\n\n",
    "space in a field name": b"GET /usage HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n",
    "no field name": b"GET /usage HTTP/1.1\r\nHost: x\r\n: c\r\n\r\n",
    "folded field": b"GET /usage HTTP/1.1\r\nHost: x\r\n c\r\n\r\n",
    "null in a field": b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: a\0b\r\n\r\n",
    "content length of letters": b"GET /usage HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    "expectation of bytes": b"GET /usage HTTP/1.1\r\nHost: x\r\nExpect: \x80\r\n\r\n",
    "negative content length": b"GET /usage HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "endless content length": b"GET /usage HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
    "length, chunks": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk without a size": b"GET /usage HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}

CAUSES = {
    "no host": ["Host is missing"],
    "two hosts": ["Host is repeated"],
    "unknown method": ["the method is not registered"],
    "lower-case method": ["the method is not registered"],
    "no target": ["the request target is not valid"],
    "target of bytes": ["the request target is not valid"],
    "broken absolute target": ["the request target is not valid"],
    "port out of range": ["the request target is not valid"],
    "no version": ["the request target contains a space, or no version follows it"],
    "bare line feeds": ["the request line does not end with CRLF"],
    "space in a field name": ["a line has no valid name of a header field before a colon"],
    "no field name": ["a line has no valid name of a header field before a colon"],
    "folded field": ["a header field continues in the next line"],
    "null in a field": ["the value of a header field contains a control character"],
    "content length of letters": ["Content-Length is not a whole number"],
    "expectation of bytes": [],
    "negative content length": ["Content-Length is not a whole number"],
    "endless content length": ["Content-Length overflow"],
    "length, chunks": ["Content-Length and Transfer-Encoding exclude each other"],
    "chunk without a size": ["the size of a chunk is not a hexadecimal number"],
    "tls": ["the client begins a TLS handshake on a port without TLS; use http://"],
    "http/2": ["the client speaks HTTP/2, and the mock HTTP/1.1"],
}

ODD = {
    "GET *": (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "CONNECT": (b"CONNECT example.com:80 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "CONNECT to a path": (b"CONNECT /usage HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "two slashes": (b"GET //usage HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "escaped bytes": (b"GET /%ff%00%2e HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "unknown expectation": (b"GET /usage HTTP/1.1\r\nHost: x\r\nExpect: pie\r\n\r\n", 417),
}


@pytest.fixture(autouse=True)
def no_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if a request causes a log record."""
    with caplog.at_level(logging.INFO):
        yield
    assert caplog.get_records("call") == []


def test_head_has_the_response_of_get_without_the_body(unlimited: UsageMock) -> None:
    get, head = (usage(unlimited.url, "demo-busy", method) for method in ("GET", "HEAD"))
    assert head.status == get.status
    assert head.body == b""
    assert head.headers["Content-Length"] == str(len(get.body))
    assert head.headers.keys() == get.headers.keys()


@pytest.mark.parametrize("headers", [[], [(KEY, "nobody")]], ids=["missing", "unknown"])
def test_head_is_rejected_like_get(unlimited: UsageMock, headers: list[tuple[str, str]]) -> None:
    get, head = (send_request(unlimited.url, headers=headers, method=method) for method in ("GET", "HEAD"))
    assert (head.status, head.body) == (get.status, b"")


@pytest.mark.parametrize("path", ["/usage", "/healthz", "/"])
def test_options_returns_the_allowed_methods(unlimited: UsageMock, path: str) -> None:
    response = send_request(unlimited.url, path, method="OPTIONS")
    assert (response.status, response.body) == (204, b"")
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ["/usage", "/healthz", "/"])
def test_another_method_is_405_with_the_allowed_methods(unlimited: UsageMock, path: str, method: str) -> None:
    response = send_request(unlimited.url, path, [(KEY, "demo-busy")], method)
    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert response.headers["Content-Type"] == "application/json"
    assert response.json == {"detail": "Method Not Allowed"}


@pytest.mark.parametrize("method", ["GET", *METHODS])
@pytest.mark.parametrize("path", ["/nope", "/usage/", "/usage/x", "/Usage", "/usage;x", "/__mock", "/favicon.ico"])
def test_an_unknown_path_is_404_for_every_method(unlimited: UsageMock, path: str, method: str) -> None:
    response = send_request(unlimited.url, path, method=method)
    assert response.status == 404
    assert response.json == {"detail": "Not Found"}


def test_health_is_ok_without_a_key(unlimited: UsageMock) -> None:
    response = send_request(unlimited.url, "/healthz")
    assert (response.status, response.json) == (200, {"ok": True})


def test_the_overview_lists_the_operations_of_the_api(unlimited: UsageMock) -> None:
    response = send_request(unlimited.url, "/")
    assert response.status == 200
    assert response.json == {
        "title": "55 Tech Scraping API",
        "version": "2.2.0",
        "paths": ["GET /usage", "GET /", "GET /healthz"],
        "console": "/__mock__/",
        "control_api": "/__mock__/openapi.yaml",
    }
    for path in (response.json["console"], response.json["control_api"]):
        assert send_request(unlimited.url, path).status == 200


def test_the_host_of_an_absolute_target_does_not_matter(unlimited: UsageMock) -> None:
    response = send(unlimited.url, b"GET http://a.example/usage HTTP/1.1\r\nHost: x\r\nX-API-Key: demo-busy\r\n\r\n")
    assert response.status == 200


def test_options_of_the_whole_server_allow_all_methods(unlimited: UsageMock) -> None:
    response = send(unlimited.url, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (response.status, response.headers["Allow"], response.body) == (204, "GET, HEAD, OPTIONS", b"")


@pytest.mark.parametrize("name", ODD)
def test_an_odd_request_is_rejected_in_json(unlimited: UsageMock, name: str) -> None:
    request, status = ODD[name]
    response = send(unlimited.url, request)
    assert response.status == status
    assert response.headers["Content-Type"] == "application/json"
    assert response.json["detail"]


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_400_in_json(unlimited: UsageMock, name: str) -> None:
    response = send(unlimited.url, MALFORMED[name])
    assert response.status == 400
    assert response.headers["Content-Type"] == "application/json"
    assert response.json == {"detail": ": ".join(["The request is not valid HTTP", *CAUSES[name]]) + "."}


@pytest.mark.parametrize("place", [b"GET /%b HTTQ\r\n\r\n", b"GET http://[%b HTTP/1.1\r\n\r\n", b"%b\r\n\r\n"])
def test_the_detail_of_a_malformed_request_does_not_quote_it(unlimited: UsageMock, place: bytes) -> None:
    response = send(unlimited.url, place % b"demo-busy")
    assert (response.status, b"demo" in response.body) == (400, False)


@pytest.mark.parametrize(
    ("request_bytes", "status", "detail", "reason"),
    [
        (WITH_TARGET % (b"x" * 70_000), 414, "The request target is longer than 65535 bytes.", "target-is-too-long"),
        (
            WITH_FIELD % (b"X-Long", b"x" * 70_000),
            431,
            "A header field is longer than 65536 bytes.",
            "field-is-too-long",
        ),
        (WITH_FIELD % (b"X" * 70_000, b"x"), 431, "A header field is longer than 65536 bytes.", "field-is-too-long"),
        (
            WITH_FIELD % (b"X", MANY * 1000),
            431,
            "The request has more than 128 header fields.",
            "too-many-fields",
        ),
    ],
    ids=["target", "value", "name", "fields"],
)
def test_a_request_beyond_a_limit_gets_the_limit(
    unlimited: UsageMock, request_bytes: bytes, status: int, detail: str, reason: str
) -> None:
    response = send(unlimited.url, request_bytes)
    assert (response.status, response.json, response.headers["Mock-Reason"]) == (status, {"detail": detail}, reason)


@pytest.mark.parametrize(
    "request_bytes",
    [WITH_TARGET % (b"x" * 65_000), WITH_FIELD % (b"X", b"x" * 65_000), WITH_FIELD % (b"X", MANY * 126)],
    ids=["target", "value", "fields"],
)
def test_a_request_within_the_limits_is_accepted(unlimited: UsageMock, request_bytes: bytes) -> None:
    assert send(unlimited.url, request_bytes).status == 404


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: %b\r\n\r\n" % KEY.encode(),
        b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: %b\r\nPrefer: fault=total-is-a-text\r\n\r\n" % KEY.encode(),
        b"GET /unknown HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /__mock__/state HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS /usage HTTP/1.1\r\nHost: x\r\nOrigin: x\r\nAccess-Control-Request-Method: GET\r\n\r\n",
        MALFORMED["tls"],
    ],
)
def test_every_response_names_the_server_without_a_version(unlimited: UsageMock, request_bytes: bytes) -> None:
    response = send(unlimited.url, request_bytes)
    assert [value for name, value in response.headers.items() if name == "Server"] == ["usage-mock"]


def test_the_stream_of_events_names_the_server_without_a_version(unlimited: UsageMock) -> None:
    assert send_request(unlimited.url, "/__mock__/events", method="HEAD").headers["Server"] == "usage-mock"


def test_a_message_that_aiohttp_cannot_parse_closes_the_connection(unlimited: UsageMock) -> None:
    with socket.create_connection(address(unlimited.url), TIMEOUT) as connection:
        connection.sendall(b"CONNECT \r\n\r\n")
        assert connection.recv(1000) == b""


@pytest.mark.parametrize(
    "encoding", [{}, {"Content-Encoding": "gzip"}, {"Expect": "100-continue"}], ids=["plain", "no gzip", "expected"]
)
def test_a_body_does_not_disturb_the_next_request(unlimited: UsageMock, encoding: dict[str, str]) -> None:
    with contextlib.closing(http.client.HTTPConnection(*address(unlimited.url), timeout=TIMEOUT)) as connection:
        for _ in range(3):
            connection.request("GET", "/usage", b"GET / HTTP/1.1\r\n\r\n" * 100, {KEY: "demo-busy", **encoding})
            response = connection.getresponse()
            assert response.status == 200
            assert response.read().startswith(b'{"api_key":"demo-busy"')


def test_a_chunked_body_does_not_disturb_the_next_request(unlimited: UsageMock) -> None:
    with contextlib.closing(http.client.HTTPConnection(*address(unlimited.url), timeout=TIMEOUT)) as connection:
        for _ in range(3):
            connection.request("GET", "/healthz", iter([b"a", b"b" * 1000]), encode_chunked=True)
            assert connection.getresponse().read() == b'{"ok":true}'


def test_requests_may_be_pipelined(unlimited: UsageMock) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n%s\r\n"
    with socket.create_connection(address(unlimited.url), TIMEOUT) as connection:
        connection.sendall(request % b"" * 99 + request % b"Connection: close\r\n")
        received = connection.makefile("rb").read()
    assert received.count(b'{"ok":true}') == 100


def test_a_client_that_disconnects_within_its_body_causes_no_server_error(unlimited: UsageMock) -> None:
    head = b"PATCH /__mock__/clock HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    assert response_bytes(unlimited.url, head + b"Content-Length: 9\r\n\r\n{") == b""
    assert send_request(unlimited.url, "/healthz").status == 200  # the mock has handled the disconnect by now


@pytest.mark.parametrize(
    "body",
    [b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n", b"Content-Length: 9\r\n\r\nabc"],
    ids=["bad chunk", "short"],
)
def test_an_incomplete_body_affects_only_its_own_connection(unlimited: UsageMock, body: bytes) -> None:
    received = response_bytes(unlimited.url, b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: demo-busy\r\n" + body)
    assert b" 500 " not in received
    assert usage(unlimited.url, "demo-busy").status == 200


METHOD = st.sampled_from([b"GET", b"HEAD", b"OPTIONS", b"POST", b"CONNECT", b"TRACE"])
TARGET = st.sampled_from(
    [
        b"/usage",
        b"/usage?",
        b"/healthz",
        b"/",
        b"//",
        b"///a",
        b"/%",
        b"/%ff",
        b"*",
        b"http://x/usage",
        b"//x:y@z",
        b"x:80",
    ]
)
VERSION = st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9"])
FIELD = st.sampled_from(
    [
        b"X-API-Key: demo-busy",
        b"X-API-Key: \xff\xfe",
        b"X-API-Key:",
        b"Content-Length: 0",
        b"Content-Length: 5",
        b"Content-Length: 4294967296",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Content-Encoding: gzip",
        b"Content-Encoding: br",
        b"Content-Type: multipart/form-data; boundary=",
        b"Content-Type: \xff",
        b"Expect: 100-continue",
        b"Expect: pie",
        b"Expect: \xff",
        b"Connection: close",
        b"Connection: upgrade",
        b"Upgrade: websocket",
        b"Upgrade: h2c",
        b"Sec-WebSocket-Key1: x",
        b"Cookie: a=\xff; b",
        b"Range: bytes=9-1",
        b"If-Modified-Since: yesterday",
        b"Accept-Encoding: gzip;q=x",
    ]
)
BODY = st.sampled_from(
    [b"", b"abcde", b"3\r\nabc\r\n0\r\n\r\n", b"f" * 18 + b"\r\n", b"0\r\nA: b\r\n\r\n", b"5;x\r\nab"]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Draw a request whose parts may contradict each other, with random bytes in at most one place."""
    line = b" ".join([draw(METHOD), draw(TARGET), draw(VERSION)])
    fields = draw(st.lists(FIELD, max_size=2))
    body = draw(BODY) if draw(st.integers(0, 3)) == 0 else b""  # it mostly becomes another malformed message
    request = b"\r\n".join([line, b"Host: x", *fields, b"", body])
    if draw(st.booleans()):
        return request
    start = draw(st.integers(0, len(request)))
    return request[:start] + draw(st.binary(max_size=8)) + request[start + draw(st.integers(0, 3)) :]


@settings(derandomize=True, deadline=None, max_examples=400)
@given(st.lists(requests(), min_size=1, max_size=3).map(b"".join))
def test_no_malformed_request_makes_the_server_fail(unlimited: UsageMock, request: bytes) -> None:
    received = response_bytes(unlimited.url, request)
    assert re.findall(rb"HTTP/\d\.\d 5\d\d", received) == []


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_the_server_fail(unlimited: UsageMock, request: bytes) -> None:
    received = response_bytes(unlimited.url, request)
    assert re.findall(rb"HTTP/\d\.\d 5\d\d", received) == []
