"""The transport: its request budget, its connections and its time-outs, with a manual clock."""

from __future__ import annotations

import select
import socket
import socketserver
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from contract_tests.wire.clock import Clock, Timeouts
from contract_tests.wire.connection import Connection, UnreachableError
from contract_tests.wire.messages import Request
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.target import Target
from contract_tests.wire.transport import Transport
from tests.support.gate import http_response, serving, serving_with
from tests.support.transport import Bench, ManualClock, settings

KEPT_OPEN = http_response(b"{}").replace(b"Connection: close", b"X-Odd: 1")


def test_no_request_is_sent_beyond_the_budget(bench: Callable[..., Bench]) -> None:
    setup = bench(http_response(b"{}"), max_requests=2)
    setup.send()
    setup.send()
    with pytest.raises(NotTested, match=r"the request budget \(--max-requests 2\) has no request left"):
        setup.send()
    assert len(setup.heads) == 2


def test_only_sent_requests_are_counted(bench: Callable[..., Bench]) -> None:
    setup = bench(http_response(b"{}"), max_time=0.25)
    assert [setup.send().status for _ in range(3)] == [200, 200, 200]
    with pytest.raises(NotTested, match="max-time"):
        setup.send()
    assert setup.transport.sent == len(setup.heads)


def test_a_request_that_is_sent_again_must_fit_into_the_budget() -> None:
    with serving_with(ClosesOnSecondRequest) as url:
        clock = ManualClock()
        transport = Transport(settings(url, max_requests=2), Clock(clock.now, clock.sleep))
        transport.send(Request("GET", b"/usage", ()))
        with pytest.raises(NotTested, match="has no request left"):
            transport.send(Request("GET", b"/usage", ()))
    assert [each.status for each in transport.journal] == [200, None]


class ClosesOnSecondRequest(socketserver.StreamRequestHandler):
    """A server that reads the second request on a connection, and then closes it without a response."""

    def handle(self) -> None:
        for response in (KEPT_OPEN, b""):
            while self.rfile.readline() not in {b"\r\n", b""}:
                pass
            self.wfile.write(response)


def test_a_request_is_not_lost_on_an_idle_connection_that_the_server_has_closed() -> None:
    here, there = socket.socketpair()
    connection = Connection(here)
    there.sendall(KEPT_OPEN)
    request = Request("GET", b"/usage", ())
    assert connection.exchange(request, Timeouts.of(30.0)).status == 200
    assert not connection.is_closed()
    there.sendall(KEPT_OPEN)  # a response that arrives too early is not lost either
    assert not connection.is_closed()
    assert connection.exchange(request, Timeouts.of(30.0)).status == 200
    there.close()
    assert connection.is_closed()
    connection.close()


def test_a_closed_idle_connection_costs_no_request(bench: Callable[..., Bench]) -> None:
    setup = bench(KEPT_OPEN)
    for _ in range(5):
        setup.send()
        (kept, _), *_ = setup.transport._idle.values()
        assert select.select([kept.sock], [], [], 60.0)[0]  # the server closes it after each response
    assert (setup.transport.sent, len(setup.heads), len(setup.transport.journal)) == (5, 5, 5)
    assert [each.status for each in setup.transport.closed_unannounced] == [200] * 4


def test_concurrent_requests_must_fit_into_the_budget(bench: Callable[..., Bench]) -> None:
    setup = bench(http_response(b"{}"), max_requests=4)
    setup.send()
    with pytest.raises(NotTested, match="has 3 requests left"):
        setup.transport.send_concurrently([Request("GET", b"/", ())] * 4)
    with pytest.raises(NotTested, match="has 3 requests left"):
        setup.transport.send_pipelined([Request("GET", b"/", ())] * 4)
    setup.transport.send_concurrently([Request("GET", b"/", ())] * 3)
    assert len(setup.heads) == 4


def test_a_server_that_accepts_few_connections_stays_usable(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = bench(http_response(b"{}"))
    setup.send()
    with monkeypatch.context() as full:
        full.setattr("contract_tests.wire.transport.connect", Mock(side_effect=UnreachableError("it did not answer")))
        with pytest.raises(NotTested, match="6 connections cannot be open at once: it did not answer"):
            setup.transport.send_concurrently([Request("GET", b"/", ())] * 6)
    assert setup.send().status == 200


def test_a_closed_idle_connection_is_replaced(bench: Callable[..., Bench]) -> None:
    setup = bench(KEPT_OPEN)
    assert [setup.send().status for _ in range(3)] == [200, 200, 200]


def test_an_unreachable_deployment_is_not_tested_further() -> None:
    with serving(lambda _: http_response(b"{}")) as url:
        clock = ManualClock()
        transport = Transport(settings(url), Clock(clock.now, clock.sleep))
        transport.send(Request("GET", b"/", ((b"Host", b"here"),)))
    for _ in range(2):
        with pytest.raises(NotTested, match="the deployment is not reachable any more"):
            transport.send(Request("GET", b"/", ((b"Host", b"here"),)))


def test_time_outs_are_shorter_after_each_hang() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        clock = ManualClock()
        transport = Transport(
            settings(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.1), Clock(clock.now, clock.sleep)
        )
        assert transport.send(Request("GET", b"/", ())).ending == "timeout"
        transport.settings = replace(transport.settings, timeout=60.0)
        read = []
        for _ in range(6):
            transport._learn(transport.journal[-1])
            read.append(transport.timeouts.read)
        assert read == [1.5, 1.0, 0.75, 0.6, 0.5, 0.5]


def test_a_slow_deployment_keeps_its_time_after_a_hang(bench: Callable[..., Bench]) -> None:
    setup = bench(http_response(b"{}"), timeout=60.0)
    setup.send()
    (slow,) = setup.transport.journal = [replace(setup.transport.journal[0], seconds=4.0)]
    setup.transport._learn(replace(slow, status=None, ending="timeout"))
    assert setup.transport.timeouts.read == 8.0


def test_concurrent_requests_use_separate_connections(bench: Callable[..., Bench]) -> None:
    setup = bench(http_response(b"{}"))
    exchanges = setup.transport.send_concurrently(
        [Request("GET", b"/%d" % number, ((b"Host", b"here"),)) for number in range(6)]
    )
    assert [each.request.target for each in exchanges] == [b"/%d" % number for number in range(6)]
    assert {head.split(b" ")[1] for head in setup.heads} == {b"/%d" % number for number in range(6)}


def test_a_proxy_receives_absolute_targets_and_its_refusal_is_reported(tmp_path: Path) -> None:
    heads: list[bytes] = []

    def proxy(head: bytes) -> bytes:
        heads.append(head)
        return http_response(b"{}", "403 Forbidden" if head.startswith(b"CONNECT") else "200 OK")

    with serving(proxy) as url:
        through = Target.parse("--proxy", url)
        plain = Transport(settings("http://there.example", proxy=through))
        assert plain.send(Request("GET", b"/usage", ((b"Host", b"there.example"),))).status == 200
        assert heads[0].startswith(b"GET http://there.example/usage HTTP/1.1\r\n")
        secure = Transport(settings("https://there.example", proxy=through))
        with pytest.raises(Exception, match=r"the proxy answered 'HTTP/1\.1 403 Forbidden'"):
            secure.send(Request("GET", b"/usage", ()))
        assert heads[1].startswith(b"CONNECT there.example:443 HTTP/1.1\r\n")
