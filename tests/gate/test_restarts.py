"""A deployment that is not reachable for some time, or not at one of its addresses."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from contract_tests.wire.clock import Clock
from contract_tests.wire.messages import Exchange, Request
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.transport import Transport
from tests.support.gate import http_response
from tests.support.transport import KEY, ManualClock, settings

CLOSED = http_response(b"{}")
KEPT_OPEN = CLOSED.replace(b"Connection: close", b"X-Odd: 1")
DOWN = 1.0  # seconds


class Listener(socketserver.ThreadingTCPServer):
    """One start of a server."""

    allow_reuse_address = daemon_threads = True
    block_on_close = False


class RestartedServer:
    """A server that exits when it receives some of its requests, and listens again a second later."""

    def __init__(self, clock: ManualClock, response: bytes, exits_at: range) -> None:
        self.clock, self.response, self.exits_at = clock, response, exits_at
        self.received = 0
        self.back_at: float | None = None
        self.port = 0
        self.start()

    def start(self) -> None:
        owner = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while owner.serve_one(self):
                    pass

        self.listener = Listener(("127.0.0.1", self.port), Handler)
        self.port = self.listener.server_address[1]
        threading.Thread(target=self.listener.serve_forever, args=(0.01,), daemon=True).start()

    def serve_one(self, connection: socketserver.StreamRequestHandler) -> bool:
        head = b""
        while (line := connection.rfile.readline()) not in {b"\r\n", b""}:
            head += line
        if not head:
            return False
        self.received += 1
        if self.received in self.exits_at:
            self.stop()
            self.back_at = self.clock.time + DOWN
            return False
        connection.wfile.write(self.response)
        return b"Connection: close" not in self.response

    def sleep(self, seconds: float) -> None:
        """Let the client's clock advance, and start again when it is time."""
        self.clock.sleep(seconds)
        if self.back_at is not None and self.clock.time >= self.back_at:
            self.back_at = None
            self.start()

    def stop(self) -> None:
        self.listener.shutdown()
        self.listener.server_close()


Start = Callable[..., tuple[Transport, RestartedServer]]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def start(response: bytes, *exits_at: int) -> tuple[Transport, RestartedServer]:
            clock = ManualClock()
            server = RestartedServer(clock, response, range(exits_at[0], exits_at[-1] + 1) if exits_at else range(0))
            stack.callback(server.stop)
            transport = Transport(settings(f"http://127.0.0.1:{server.port}"), Clock(clock.now, server.sleep))
            stack.callback(transport.close)
            return transport, server

        yield start


def send(transport: Transport) -> Exchange:
    return transport.send(Request("GET", b"/usage", ((b"Host", b"here"),), credential=KEY))


@pytest.mark.parametrize("response", [KEPT_OPEN, CLOSED])
def test_a_restart_is_waited_for_and_the_lost_request_is_sent_again(response: bytes, start: Start) -> None:
    transport, server = start(response, 3)
    assert [send(transport).status for _ in range(5)] == [200] * 5
    assert (server.received, transport.sent) == (6, 6)
    assert transport.problems == ["the deployment was not reachable for 1.5 s after request 3"]
    assert not transport.crashes
    assert not transport.unreachable_reason


@pytest.mark.parametrize("response", [KEPT_OPEN, CLOSED])
def test_a_request_that_stops_the_server_twice_is_the_cause(response: bytes, start: Start) -> None:
    transport, _ = start(response, 3, 4)
    assert [send(transport).outcome for _ in range(4)] == ["200", "200", "no response (closed)", "200"]
    assert transport.crashes == [transport.journal[2]]
    assert len(transport.problems) == 2


@pytest.mark.parametrize("response", [KEPT_OPEN, CLOSED])
def test_a_server_that_does_not_return_is_not_reachable_any_more(
    response: bytes, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.DOWN", 3600.0)
    transport, server = start(response, 2)
    send(transport)
    if response == CLOSED:
        assert send(transport).outcome == "no response (closed)"
    for _ in range(2):
        with pytest.raises(NotTested, match="the deployment is not reachable any more"):
            send(transport)
    assert 5.0 <= server.clock.time - 1000 < 6.0
    assert [each.status for each in transport.journal] == [200, None]
    assert not transport.problems


def test_a_restart_beyond_the_end_of_the_run_is_not_waited_for(start: Start) -> None:
    transport, server = start(KEPT_OPEN, 2)
    send(transport)
    transport.ends = server.clock.time + 0.5
    with pytest.raises(NotTested, match="--max-time"):
        send(transport)
    assert server.clock.time <= transport.ends


@pytest.mark.parametrize(
    ("error", "tries", "problems"),
    [
        (TimeoutError, 1, ["192.0.2.1, an address of 127.0.0.1, did not answer; another address was used"]),
        (ConnectionRefusedError, 3, []),  # as ::1 of a localhost whose server listens at 127.0.0.1 only
    ],
)
def test_a_silent_address_is_tried_once_and_reported(
    error: type[OSError], tries: int, problems: list[str], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, server = start(CLOSED)
    tried: list[str] = []
    connect = socket.create_connection

    def create_connection(address: tuple[str, int], seconds: float) -> socket.socket:
        tried.append(address[0])
        if address[0] == "192.0.2.1":
            raise error
        return connect(address, seconds)

    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, server.port)) for host in ("192.0.2.1", "127.0.0.1")]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr("socket.create_connection", create_connection)
    assert [send(transport).status for _ in range(3)] == [200] * 3
    assert tried.count("192.0.2.1") == tries
    assert transport.problems == problems
