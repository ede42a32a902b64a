"""The bytes and the connection of a response that a fault has changed."""

from __future__ import annotations

import contextlib
import json
import socket

import pytest

from mock_server import UsageMock
from tests.support.wire import TIMEOUT, address, send_request

from .served import MODEST_TOTAL, REQUEST, Serve, raw_response, read_all


def test_a_response_to_head_has_no_body_with_any_change(serve: Serve) -> None:
    url = serve("status: 203, framing: chunked")
    head, _, rest = raw_response(url, REQUEST.replace(b"GET", b"HEAD")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 203")
    assert rest == b""


def test_a_changed_response_keeps_the_connection_open_unless_the_client_closes_it(serve: Serve) -> None:
    with socket.create_connection(address(serve("status: 203")), TIMEOUT) as connection:
        for _ in range(2):
            connection.sendall(REQUEST)
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 203")
        connection.sendall(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert b"Connection: close" in connection.recv(1 << 16)
        assert connection.recv(1) == b""


def test_a_body_is_sent_in_chunks(serve: Serve) -> None:
    message = raw_response(serve("framing: chunked, body: [{op: set, text: a, times: 101}]"))
    assert message.endswith(b"\r\n\r\n64\r\n" + b"a" * 100 + b"\r\n1\r\na\r\n0\r\n\r\n")
    assert b"Content-Length" not in message


def test_http_1_0_gets_no_chunks(serve: Serve) -> None:
    message = raw_response(
        serve("framing: chunked, body: [{op: set, text: abc}]"), REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0")
    )
    assert message.startswith(b"HTTP/1.0 200")
    assert message.endswith(b"\r\n\r\nabc")


def test_a_body_ends_with_its_connection(serve: Serve) -> None:
    with socket.create_connection(
        address(serve("framing: close, body: [{op: set, text: abc}]")), TIMEOUT
    ) as connection:
        connection.sendall(REQUEST)
        message = read_all(connection)
    assert message.endswith(b"\r\n\r\nabc")
    assert b"Content-Length" not in message
    assert b"Connection: close" in message


def test_a_truncated_message_closes_the_connection(serve: Serve) -> None:
    with socket.create_connection(address(serve("message: [{op: cut, at: 20}], end: close")), TIMEOUT) as connection:
        connection.sendall(REQUEST)
        assert read_all(connection) == b"HTTP/1.1 200 OK\r\nCon"


def test_a_connection_is_reset(serve: Serve) -> None:
    with socket.create_connection(address(serve("message: [{op: cut, at: 0}], end: reset")), TIMEOUT) as connection:
        connection.sendall(REQUEST)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


@pytest.mark.parametrize("key", ["demo-busy", "demo-fresh"])
@pytest.mark.parametrize(
    ("name", "missing", "is_reset"),
    [
        ("connection-closes-without-a-response", None, False),
        ("connection-is-reset-before-the-response", None, True),
        ("connection-is-reset-in-the-body", 100, True),
        ("body-is-shorter-than-content-length", 20, False),
        ("connection-is-reset-after-the-response", 0, True),
    ],
)
def test_a_shipped_fault_truncates_a_short_response_as_its_name_states(
    name: str, missing: int | None, is_reset: bool, key: str
) -> None:
    request = REQUEST.replace(b"demo-modest", key.encode())
    with UsageMock(rate_limit=False) as mock:
        whole = raw_response(mock.url, request)
        mock.fail(name)
        with socket.create_connection(address(mock.url), TIMEOUT) as connection:
            connection.sendall(request)
            received = b""
            with pytest.raises(ConnectionResetError) if is_reset else contextlib.nullcontext():
                while piece := connection.recv(1 << 16):
                    received += piece
    body = whole.partition(b"\r\n\r\n")[2]
    assert received.partition(b"\r\n\r\n")[2] == (b"" if missing is None else body[: len(body) - missing])


def test_a_hanging_response_affects_one_client_only(serve: Serve) -> None:
    url = serve("message: [{op: cut, at: 8}], end: hang")
    with socket.create_connection(address(url), TIMEOUT) as connection:
        connection.sendall(REQUEST)
        assert connection.recv(100) == b"HTTP/1.1"
        assert send_request(url, "/healthz").status == 200
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)


def test_an_endless_body_repeats_until_the_client_disconnects(serve: Serve) -> None:
    url = serve("framing: close, body: [{op: set, text: ab}], end: endless")
    with socket.create_connection(address(url), TIMEOUT) as connection:
        connection.sendall(REQUEST)
        message = b""
        while len(message) < 10_000:
            message += connection.recv(1 << 16)
    assert message.partition(b"\r\n\r\n")[2].startswith(b"ab" * 4000)
    assert send_request(url, "/healthz").status == 200


def test_a_stopped_server_stops_for_all_clients(serve: Serve) -> None:
    url = serve("when: {path: /stop}, end: stop")
    with socket.create_connection(address(url), TIMEOUT) as idle, contextlib.suppress(ConnectionError):
        idle.sendall(REQUEST)
        assert idle.recv(1 << 16).startswith(b"HTTP/1.1 200")
        raw_response(url, REQUEST.replace(b"/usage", b"/stop"))
        idle.sendall(REQUEST)
        assert idle.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address(url), TIMEOUT)


def test_a_drip_of_the_body_sends_the_head_at_once(serve: Serve, slept: list[float]) -> None:
    message = raw_response(serve("drip_body: 200"))
    body = message.partition(b"\r\n\r\n")[2]
    assert json.loads(body)["total"] == MODEST_TOTAL
    assert sum(slept) == pytest.approx(len(body) / 200)


def test_a_wait_precedes_the_response_and_a_drip_slows_its_body(serve: Serve, slept: list[float]) -> None:
    message = raw_response(serve("wait: 0.5, drip: 200"))
    assert json.loads(message.partition(b"\r\n\r\n")[2])["total"] == MODEST_TOTAL
    assert slept[0] == 0.5
    assert sum(slept[1:]) == pytest.approx(len(message) / 200)
    assert set(slept[1:-1]) == {0.1}
