"""Load on one connection does not affect other clients, and no request causes a server error."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mock_server import UsageMock, make_app
from mock_server.control.broadcast import Broadcast, StateEvent
from mock_server.options import MockOptions
from mock_server.web.connection import Connection
from mock_server.web.fast_path import MAX_REPEAT_BYTES
from mock_server.web.mock import MOCK
from mock_server.web.server import Listener
from tests.support.control_api import Api
from tests.support.wire import KEY, TIMEOUT, Response, address, send_request, usage
from usage_contract import Contract

MIB = 1 << 20


@pytest.fixture
def mock(contract: Contract) -> Iterator[UsageMock]:
    with UsageMock(make_app(contract, MockOptions(rate_limit=False))) as mock:
        yield mock


def connections(mock: UsageMock) -> list[Connection]:
    """Return the open connections of a mock."""
    [listener] = mock._mock._app[MOCK]._listeners
    assert isinstance(listener, Listener)
    return [each for each in listener.server.connections if isinstance(each, Connection)]


@pytest.mark.parametrize("framing", ["Content-Length: 8388608", "Transfer-Encoding: chunked"])
def test_a_long_body_is_not_joined_in_memory(contract: Contract, framing: str) -> None:
    async def sleep(_: float) -> None:
        """Let a response wait no longer for the body of its request."""

    app = make_app(contract, MockOptions(rate_limit=False), sleep=sleep)
    with UsageMock(app) as mock, socket.create_connection(address(mock.url), TIMEOUT) as client:
        client.sendall(f"GET /usage HTTP/1.1\r\nHost: x\r\n{KEY}: demo-busy\r\n{framing}\r\n\r\n".encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        client.sendall((b"100000\r\n" if "chunked" in framing else b"") + bytes(MIB))
        [connection] = connections(mock)
        for _ in range(100):  # the event loop reads a part of the body between them
            assert send_request(mock.url, "/healthz").status == 200
        assert len(connection._fast_path._received or b"") <= MAX_REPEAT_BYTES


def test_an_incomplete_head_is_not_joined_in_memory(mock: UsageMock) -> None:
    with socket.create_connection(address(mock.url), TIMEOUT) as client:
        client.sendall(b"GET /usage HTTP/1.1\r\nHost: x\r\n")
        for number in range(20):
            client.sendall(b"X-%d: %b\r\n" % (number, b"x" * 2000))
        assert send_request(mock.url, "/healthz").status == 200
        assert all(len(each._fast_path._received or b"") <= MAX_REPEAT_BYTES + MIB for each in connections(mock))
        client.sendall(b"\r\n")
        assert client.recv(12) == b"HTTP/1.1 401"


@pytest.mark.parametrize("depth", [11, 100, 500, 1000, 10_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deeply_nested_json_to_the_control_api_is_a_client_error(
    mock: UsageMock, depth: int, opening: str, closing: str
) -> None:
    body = (opening * depth + "1" + closing * depth).encode()
    response = Api(mock.url).request("POST", "/verify", raw=body, headers={"Content-Type": "application/json"})
    assert response.status in (400, 422)
    assert response.json["detail"]


def test_all_streams_of_events_share_one_state() -> None:
    computed = 0

    async def compute() -> tuple[object, bytes]:
        nonlocal computed
        computed += 1
        return computed, b"event"

    async def listen() -> list[StateEvent]:
        broadcast = Broadcast()
        first = await asyncio.gather(*(broadcast.state(compute) for _ in range(200)))
        return [*first, await broadcast.state(compute)]

    events = asyncio.run(listen())
    assert events == [StateEvent(1, b"event")] * 200 + [StateEvent(2, b"event")]


def test_a_state_that_does_not_change_keeps_its_version() -> None:
    async def listen() -> list[int]:
        broadcast, lasting = Broadcast(), iter("aab")

        async def compute() -> tuple[object, bytes]:
            return next(lasting), b"event"

        return [(await broadcast.state(compute)).version for _ in range(3)]

    assert asyncio.run(listen()) == [1, 1, 2]


def test_a_failed_computation_of_the_state_fails_all_waiting_streams_and_no_later_one() -> None:
    async def fail() -> tuple[object, bytes]:
        raise ConnectionError

    async def succeed() -> tuple[object, bytes]:
        return "a", b"event"

    async def listen() -> tuple[list[StateEvent | BaseException], StateEvent]:
        broadcast = Broadcast()
        waiting = (broadcast.state(fail) for _ in range(3))
        return await asyncio.gather(*waiting, return_exceptions=True), await broadcast.state(succeed)

    failed, later = asyncio.run(listen())
    assert [type(each) for each in failed] == [ConnectionError] * 3
    assert later.version == 1


def test_clients_that_do_not_read_their_events_occupy_bounded_buffers(mock: UsageMock) -> None:
    for number in range(300):
        send_request(mock.url, f"/usage?{number:04000}")
    with ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(socket.create_connection(address(mock.url), TIMEOUT))
            client.sendall(b"GET /__mock__/events?since=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
        with Api(mock.url).events("?since=0") as events:
            numbers = [data["number"] for name, data in (next(events) for _ in range(300)) if name == "request"]
        waiting = [each.transport.get_write_buffer_size() for each in connections(mock) if each.transport]
        assert numbers == list(range(1, len(numbers) + 1))
        assert max(waiting) < 2 * MIB
    response: Response = usage(mock.url, "demo-busy")
    assert response.status == 200
