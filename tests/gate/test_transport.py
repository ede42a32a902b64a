"""The transport: its pace, its request budget, its waits and its connections, with a manual clock."""

from __future__ import annotations

import itertools
import json
import select
import socket
import socketserver
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract_tests.wire.clock import Clock, Timeouts
from contract_tests.wire.connection import Connection, UnreachableError
from contract_tests.wire.messages import Credential, Exchange, Request
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.pacing import Pacer, retry_after
from contract_tests.wire.target import Target
from contract_tests.wire.transport import Transport
from tests.support.gate import http_response, serving, serving_with
from tests.support.transport import KEY, ManualClock, settings

THROTTLED = http_response(
    b'{"detail": "slow down"}', "429 Too Many Requests", "Content-Type: application/json\r\nRetry-After: 7"
)

KEPT_OPEN = http_response(b"{}").replace(b"Connection: close", b"X-Odd: 1")


@dataclass
class Bench:
    """A transport to a scripted server, its clock, and the request heads that the server received."""

    transport: Transport
    clock: ManualClock
    heads: list[bytes]

    def send(self, key: Credential | None = KEY, **how: Any) -> Exchange:
        fields = ((b"Host", b"here"), *(((b"X-API-Key", key.value),) if key else ()))
        return self.transport.send(Request("GET", b"/usage", fields, credential=key), **how)


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    with ExitStack() as stack:

        def make(*script: bytes, **changes: Any) -> Bench:
            heads: list[bytes] = []

            def respond(head: bytes) -> bytes:
                heads.append(head)
                return script[min(len(heads), len(script)) - 1]

            url = stack.enter_context(serving(respond))
            clock = ManualClock()
            transport = Transport(settings(url, **changes), Clock(clock.now, clock.sleep))
            stack.callback(transport.close)
            return Bench(transport, clock, heads)

        yield make


def limit(rps: Any) -> bytes:
    return http_response(json.dumps({"rate_limit": {"rps": rps}}).encode())


def test_the_vendors_rate_applies_until_a_limit_is_known(bench: Callable[..., Bench]) -> None:
    setup = bench(http_response(b"{}"))
    for _ in range(21):
        setup.send()
    assert setup.clock.time - 1000 == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("rps", "seconds"), [(2, 10 / 1.8), (0.05, 100.0), (1000, 10 / 900), ("many", 1.0), (0, 1.0), (-3, 1.0)]
)
def test_the_pace_is_nine_tenths_of_the_limit_of_the_key(rps: Any, seconds: float, bench: Callable[..., Bench]) -> None:
    setup = bench(limit(rps), max_time=1e6)
    setup.send()
    setup.clock.sleep(1000)
    before = setup.clock.time
    for _ in range(11):
        setup.send()
    assert setup.clock.time - before == pytest.approx(seconds)


def test_the_pace_of_a_slow_key_does_not_slow_down_other_keys(bench: Callable[..., Bench]) -> None:
    setup = bench(limit(0.5))
    setup.send()
    before = setup.clock.time
    for _ in range(10):
        setup.send(None)
    assert setup.clock.time - before <= 1.01


def seconds_of(bench: Bench, *clients: Credential | None) -> float:
    """Return the time that one request of each client takes in turn."""
    before = bench.clock.time
    for client in clients:
        bench.send(client)
    return bench.clock.time - before


UNKNOWN, ANOTHER = (Credential(name.encode(), name) for name in ("unknown-key", "another-key"))


@pytest.mark.parametrize(
    ("rps", "max_rate", "seconds"), [(10, None, 1.0), (0.5, None, 1.0), (100, None, 20 / 90), (10, 4.0, 5.0)]
)
def test_clients_without_a_valid_key_send_20_requests_per_second_in_total(
    rps: float, max_rate: float | None, seconds: float, bench: Callable[..., Bench]
) -> None:
    setup = bench(limit(rps), http_response(b"{}", "401 Unauthorized"), max_rate=max_rate)
    setup.send()
    setup.clock.sleep(10)
    assert seconds_of(setup, *[None, UNKNOWN] * 10, ANOTHER) == pytest.approx(seconds)


def test_a_valid_key_keeps_its_pace_among_faster_clients(bench: Callable[..., Bench]) -> None:
    setup = bench(limit(10))
    setup.send()
    setup.clock.sleep(10)
    assert seconds_of(setup, KEY, *[None, KEY] * 9) == pytest.approx(9 / 9)


@pytest.mark.parametrize("status", ["403 Forbidden", "429 Too Many Requests", "503 Service Unavailable"])
def test_a_changed_refusal_slows_down_clients_without_a_valid_key(status: str, bench: Callable[..., Bench]) -> None:
    first, changed = (http_response(b"{}", line, "Retry-After: 1") for line in ("401 Unauthorized", status))
    setup = bench(limit(10), first, first, changed, first, max_time=1000.0)
    setup.send()
    setup.clock.sleep(10)
    assert seconds_of(setup, None, None) == pytest.approx(1 / 20)
    setup.send(None)
    setup.clock.sleep(10)
    assert seconds_of(setup, *[UNKNOWN] * 10) == pytest.approx(9 / 9)


def test_a_refusal_of_another_kind_of_request_slows_down_no_client(bench: Callable[..., Bench]) -> None:
    missing, invalid = http_response(b"{}", "401 Unauthorized"), http_response(b"{}", "403 Forbidden")
    setup = bench(limit(10), *[missing, invalid] * 11)
    setup.send()
    setup.clock.sleep(10)
    assert seconds_of(setup, *[None, UNKNOWN] * 10, None) == pytest.approx(20 / 20)


def test_a_time_that_has_just_passed_is_not_waited_for(bench: Callable[..., Bench]) -> None:
    setup = bench(limit(1000))

    def sleep(seconds: float) -> None:
        assert seconds >= 0

    for tick in range(1, 30):  # each reading advances the clock
        moments = itertools.count(start=1000.0 + tick, step=tick / 10000)
        setup.transport.clock = Clock(partial(next, moments), sleep)
        for _ in range(5):
            setup.send()


def test_max_rate_takes_precedence_over_the_stated_rate_limit(bench: Callable[..., Bench]) -> None:
    setup = bench(limit(1000), max_rate=4.0)
    for _ in range(9):
        setup.send()
    assert setup.clock.time - 1000 == pytest.approx(2.0)


def test_a_429_is_retried_after_its_wait_and_kept_in_the_journal(bench: Callable[..., Bench]) -> None:
    setup = bench(THROTTLED, http_response(b"{}"))
    assert setup.send().status == 200
    assert setup.clock.time - 1000 >= 7
    assert [each.status for each in setup.transport.journal] == [429, 200]


def test_a_429_until_the_time_is_over_is_not_tested(bench: Callable[..., Bench]) -> None:
    setup = bench(THROTTLED, max_time=60.0)
    with pytest.raises(NotTested, match="the main key must wait 7 s after a 429, and of --max-time"):
        setup.send()
    assert setup.clock.time - 1000 <= 60


def test_a_key_that_gets_only_429_after_a_200_is_not_tested(bench: Callable[..., Bench]) -> None:
    setup = bench(http_response(b"{}"), THROTTLED, max_time=1000.0)
    setup.send()
    with pytest.raises(NotTested, match="gets a 429, also after Retry-After"):
        setup.send()
    assert len(setup.heads) == 10


def test_waits_of_a_client_without_a_key_are_bounded(bench: Callable[..., Bench]) -> None:
    setup = bench(THROTTLED)
    assert setup.send(None).status == 429
    assert len(setup.heads) == 3


def long_refusal(seconds: int) -> bytes:
    return THROTTLED.replace(b"Retry-After: 7", f"Retry-After: {seconds}".encode())


def test_a_wait_beyond_the_end_of_the_run_is_not_started(bench: Callable[..., Bench]) -> None:
    setup = bench(long_refusal(3600))
    for _ in range(2):
        with pytest.raises(NotTested, match=r"the main key must wait 3600 s after a 429, and of --max-time 120\.0 s"):
            setup.send()
    assert len(setup.heads) == 1
    assert setup.clock.time == 1000


@pytest.mark.parametrize("refused", [None, Credential(b"unknown-key", "a key that was never issued", "unknown-key")])
def test_a_throttled_client_does_not_slow_down_other_clients(
    refused: Credential | None, bench: Callable[..., Bench]
) -> None:
    setup = bench(long_refusal(100), http_response(b"{}"), max_time=50.0)
    with pytest.raises(NotTested):
        setup.send(refused)
    before = setup.clock.time
    for _ in range(9):
        setup.send()
    assert setup.clock.time - before <= 1.0


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


def test_the_pace_recovers_from_a_429(bench: Callable[..., Bench]) -> None:
    setup = bench(THROTTLED, THROTTLED, http_response(b"{}"), max_rate=8.0)
    for _ in range(20):
        setup.send()
    before = setup.clock.time
    for _ in range(8):
        setup.send()
    assert setup.clock.time - before == pytest.approx(1.0)


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


@given(st.lists(st.floats(0, 3), max_size=40), st.floats(0.1, 100))
def test_the_pacer_never_exceeds_its_rate(pauses: list[float], rate: float) -> None:
    pacer, now, places = Pacer(rate), 0.0, []
    for pause in pauses:
        now += pause
        places.append(pacer.reserve(now))
        assert places[-1] >= now
    assert all(later - earlier >= 1 / rate - 1e-9 for earlier, later in pairwise(places))


@pytest.mark.parametrize(
    ("text", "seconds"), [("3", 3.0), ("0", 1.0), ("", 1.0), ("soon", 1.0), ("-5", 1.0), ("9" * 40, 1.0), ("٣", 1.0)]
)
def test_an_invalid_retry_after_counts_as_one_second(text: str, seconds: float) -> None:
    assert retry_after(Exchange(Request("GET", b"/", ()), 429, fields=(("Retry-After", text.encode()),))) == seconds


def test_retry_after_may_be_a_date() -> None:
    in_the_past = formatdate(0, usegmt=True)
    assert retry_after(Exchange(Request("GET", b"/", ()), 429, fields=(("Retry-After", in_the_past.encode()),))) == 1.0
