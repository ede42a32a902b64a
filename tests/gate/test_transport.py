"""The one transport: paced, budgeted, patient, and on a clock that the tests move."""

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
from tests.support.gate import answer, serving, serving_with
from tests.support.transport import KEY, ManualClock, settings

AUTH_ERRORS = answer(
    b'{"detail": "slow down"}', "429 Too Many Requests", "Content-Type: application/json\r\nRetry-After: 7"
)

KEEPING = answer(b"{}").replace(b"Connection: close", b"X-Odd: 1")


@dataclass
class Bench:
    """A transport to a scripted server, its clock, and the heads that the server saw."""

    transport: Transport
    clock: ManualClock
    heads: list[bytes]

    def ask(self, key: Credential | None = KEY, **how: Any) -> Exchange:
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
    return answer(json.dumps({"rate_limit": {"rps": rps}}).encode())


def test_until_a_limit_is_known_it_keeps_the_vendors_rate(bench: Callable[..., Bench]) -> None:
    it = bench(answer(b"{}"))
    for _ in range(21):
        it.ask()
    assert it.clock.time - 1000 == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("rps", "seconds"), [(2, 10 / 1.8), (0.05, 100.0), (1000, 10 / 900), ("many", 1.0), (0, 1.0), (-3, 1.0)]
)
def test_it_keeps_to_nine_tenths_of_the_keys_own_limit(rps: Any, seconds: float, bench: Callable[..., Bench]) -> None:
    it = bench(limit(rps), max_time=1e6)
    it.ask()
    it.clock.sleep(1000)
    before = it.clock.time
    for _ in range(11):
        it.ask()
    assert it.clock.time - before == pytest.approx(seconds)


def test_the_pace_of_a_slow_key_does_not_slow_down_other_keys(bench: Callable[..., Bench]) -> None:
    it = bench(limit(0.5))
    it.ask()
    before = it.clock.time
    for _ in range(10):
        it.ask(None)
    assert it.clock.time - before <= 1.01


def seconds_of(bench: Bench, *callers: Credential | None) -> float:
    """Return the time that a request of each caller takes in turn, without the pause before the next one."""
    before = bench.clock.time
    for caller in callers:
        bench.ask(caller)
    return bench.clock.time - before


UNKNOWN, ANOTHER = (Credential(name.encode(), name) for name in ("unknown-key", "another-key"))


@pytest.mark.parametrize(
    ("rps", "max_rate", "seconds"), [(10, None, 1.0), (0.5, None, 1.0), (100, None, 20 / 90), (10, 4.0, 5.0)]
)
def test_callers_without_a_valid_key_send_20_requests_a_second_in_all(
    rps: float, max_rate: float | None, seconds: float, bench: Callable[..., Bench]
) -> None:
    it = bench(limit(rps), answer(b"{}", "401 Unauthorized"), max_rate=max_rate)
    it.ask()
    it.clock.sleep(10)
    assert seconds_of(it, *[None, UNKNOWN] * 10, ANOTHER) == pytest.approx(seconds)


def test_a_valid_key_keeps_its_pace_among_faster_callers(bench: Callable[..., Bench]) -> None:
    it = bench(limit(10))
    it.ask()
    it.clock.sleep(10)
    assert seconds_of(it, KEY, *[None, KEY] * 9) == pytest.approx(9 / 9)


@pytest.mark.parametrize("status", ["403 Forbidden", "429 Too Many Requests", "503 Service Unavailable"])
def test_a_refusal_that_changes_slows_callers_without_a_valid_key_down(
    status: str, bench: Callable[..., Bench]
) -> None:
    first, changed = (answer(b"{}", line, "Retry-After: 1") for line in ("401 Unauthorized", status))
    it = bench(limit(10), first, first, changed, first, max_time=1000.0)
    it.ask()
    it.clock.sleep(10)
    assert seconds_of(it, None, None) == pytest.approx(1 / 20)
    it.ask(None)
    it.clock.sleep(10)
    assert seconds_of(it, *[UNKNOWN] * 10) == pytest.approx(9 / 9)


def test_a_refusal_of_another_kind_of_request_slows_no_caller_down(bench: Callable[..., Bench]) -> None:
    missing, invalid = answer(b"{}", "401 Unauthorized"), answer(b"{}", "403 Forbidden")
    it = bench(limit(10), *[missing, invalid] * 11)
    it.ask()
    it.clock.sleep(10)
    assert seconds_of(it, *[None, UNKNOWN] * 10, None) == pytest.approx(20 / 20)


def test_a_moment_that_is_over_while_it_is_looked_at_is_not_waited_for(bench: Callable[..., Bench]) -> None:
    it = bench(limit(1000))

    def sleep(seconds: float) -> None:
        assert seconds >= 0

    for tick in range(1, 30):  # time goes on from one look to the next
        moments = itertools.count(start=1000.0 + tick, step=tick / 10000)
        it.transport.clock = Clock(partial(next, moments), sleep)
        for _ in range(5):
            it.ask()


def test_max_rate_takes_precedence_over_the_stated_rate_limit(bench: Callable[..., Bench]) -> None:
    it = bench(limit(1000), max_rate=4.0)
    for _ in range(9):
        it.ask()
    assert it.clock.time - 1000 == pytest.approx(2.0)


def test_a_429_is_waited_out_and_kept_in_the_journal(bench: Callable[..., Bench]) -> None:
    it = bench(AUTH_ERRORS, answer(b"{}"))
    assert it.ask().status == 200
    assert it.clock.time - 1000 >= 7
    assert [each.status for each in it.transport.journal] == [429, 200]


def test_a_429_until_the_time_is_over_is_not_tested(bench: Callable[..., Bench]) -> None:
    it = bench(AUTH_ERRORS, max_time=60.0)
    with pytest.raises(NotTested, match="the main key must wait 7 s after a 429, and of --max-time"):
        it.ask()
    assert it.clock.time - 1000 <= 60


def test_a_key_that_only_gets_429_after_a_200_is_given_up(bench: Callable[..., Bench]) -> None:
    it = bench(answer(b"{}"), AUTH_ERRORS, max_time=1000.0)
    it.ask()
    with pytest.raises(NotTested, match="429 however often Retry-After is honoured"):
        it.ask()
    assert len(it.heads) == 10


def test_a_caller_without_a_key_is_not_waited_for_for_ever(bench: Callable[..., Bench]) -> None:
    it = bench(AUTH_ERRORS)
    assert it.ask(None).status == 429
    assert len(it.heads) == 3


def long_refusal(seconds: int) -> bytes:
    return AUTH_ERRORS.replace(b"Retry-After: 7", f"Retry-After: {seconds}".encode())


def test_a_wait_beyond_the_runs_end_is_not_begun(bench: Callable[..., Bench]) -> None:
    it = bench(long_refusal(3600))
    for _ in range(2):
        with pytest.raises(NotTested, match=r"the main key must wait 3600 s after a 429, and of --max-time 120\.0 s"):
            it.ask()
    assert len(it.heads) == 1
    assert it.clock.time == 1000


@pytest.mark.parametrize("refused", [None, Credential(b"unknown-key", "a key that was never issued", "unknown-key")])
def test_a_throttled_caller_does_not_slow_down_other_callers(
    refused: Credential | None, bench: Callable[..., Bench]
) -> None:
    it = bench(long_refusal(100), answer(b"{}"), max_time=50.0)
    with pytest.raises(NotTested):
        it.ask(refused)
    before = it.clock.time
    for _ in range(9):
        it.ask()
    assert it.clock.time - before <= 1.0


def test_the_budget_ends_the_asking(bench: Callable[..., Bench]) -> None:
    it = bench(answer(b"{}"), max_requests=2)
    it.ask()
    it.ask()
    with pytest.raises(NotTested, match=r"the budget of 2 requests \(--max-requests\) has only 0 left"):
        it.ask()
    assert len(it.heads) == 2


def test_only_what_was_sent_is_counted(bench: Callable[..., Bench]) -> None:
    it = bench(answer(b"{}"), max_time=0.25)
    assert [it.ask().status for _ in range(3)] == [200, 200, 200]
    with pytest.raises(NotTested, match="max-time"):
        it.ask()
    assert it.transport.spent().startswith(f"{len(it.heads)} requests in ")


def test_a_request_that_is_sent_again_must_fit_into_the_budget() -> None:
    with serving_with(ClosesOnSecondRequest) as url:
        clock = ManualClock()
        transport = Transport(settings(url, max_requests=2), Clock(clock.now, clock.sleep))
        transport.send(Request("GET", b"/usage", ()))
        with pytest.raises(NotTested, match="has only 0 left"):
            transport.send(Request("GET", b"/usage", ()))
    assert [each.status for each in transport.journal] == [200, None]


class ClosesOnSecondRequest(socketserver.StreamRequestHandler):
    """A server that reads the second request on a connection, and then closes it without a response."""

    def handle(self) -> None:
        for response in (KEEPING, b""):
            while self.rfile.readline() not in {b"\r\n", b""}:
                pass
            self.wfile.write(response)


def test_a_request_is_not_lost_on_an_idle_connection_that_the_server_has_closed() -> None:
    here, there = socket.socketpair()
    connection = Connection(here)
    there.sendall(KEEPING)
    request = Request("GET", b"/usage", ())
    assert connection.exchange(request, Timeouts.of(30.0)).status == 200
    assert not connection.is_closed()
    there.sendall(KEEPING)  # a response that arrives too early is not lost either
    assert not connection.is_closed()
    assert connection.exchange(request, Timeouts.of(30.0)).status == 200
    there.close()
    assert connection.is_closed()
    connection.close()


def test_a_closed_idle_connection_costs_no_request(bench: Callable[..., Bench]) -> None:
    it = bench(KEEPING)
    for _ in range(5):
        it.ask()
        (kept, _), *_ = it.transport._idle.values()
        assert select.select([kept.sock], [], [], 60.0)[0]  # the server closes it after each response
    assert (it.transport.sent, len(it.heads), len(it.transport.journal)) == (5, 5, 5)
    assert [each.status for each in it.transport.closed_unannounced] == [200] * 4


def test_concurrent_requests_must_fit_into_the_budget(bench: Callable[..., Bench]) -> None:
    it = bench(answer(b"{}"), max_requests=4)
    it.ask()
    with pytest.raises(NotTested, match="has only 3 left"):
        it.transport.send_concurrently([Request("GET", b"/", ())] * 4)
    with pytest.raises(NotTested, match="has only 3 left"):
        it.transport.send_pipelined([Request("GET", b"/", ())] * 4)
    it.transport.send_concurrently([Request("GET", b"/", ())] * 3)
    assert len(it.heads) == 4


def test_a_server_that_takes_few_connections_is_not_lost(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = bench(answer(b"{}"))
    it.ask()
    with monkeypatch.context() as full:
        full.setattr("contract_tests.wire.transport.connect", Mock(side_effect=UnreachableError("it did not answer")))
        with pytest.raises(NotTested, match="6 connections cannot be open at once: it did not answer"):
            it.transport.send_concurrently([Request("GET", b"/", ())] * 6)
    assert it.ask().status == 200


def test_an_idle_connection_that_was_closed_is_opened_anew(bench: Callable[..., Bench]) -> None:
    it = bench(KEEPING)
    assert [it.ask().status for _ in range(3)] == [200, 200, 200]


def test_a_deployment_that_is_gone_is_not_tested_any_more() -> None:
    with serving(lambda _: answer(b"{}")) as url:
        clock = ManualClock()
        transport = Transport(settings(url), Clock(clock.now, clock.sleep))
        transport.send(Request("GET", b"/", ((b"Host", b"here"),)))
    for _ in range(2):
        with pytest.raises(NotTested, match="the deployment is not reachable any more"):
            transport.send(Request("GET", b"/", ((b"Host", b"here"),)))


def test_after_a_hang_the_time_outs_are_brief() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        clock = ManualClock()
        transport = Transport(
            settings(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.1), Clock(clock.now, clock.sleep)
        )
        assert transport.send(Request("GET", b"/", ())).ending == "timeout"
        transport.settings = replace(transport.settings, timeout=60.0)
        transport._learn(transport.journal[-1])
        assert transport.timeouts.read == 3.0


def test_a_slow_deployment_keeps_its_time_after_a_hang(bench: Callable[..., Bench]) -> None:
    it = bench(answer(b"{}"), timeout=60.0)
    it.ask()
    (slow,) = it.transport.journal = [replace(it.transport.journal[0], seconds=4.0)]
    it.transport._learn(replace(slow, status=None, ending="timeout"))
    assert it.transport.timeouts.read == 8.0


def test_the_pace_recovers_from_a_429(bench: Callable[..., Bench]) -> None:
    it = bench(AUTH_ERRORS, AUTH_ERRORS, answer(b"{}"), max_rate=8.0)
    for _ in range(20):
        it.ask()
    before = it.clock.time
    for _ in range(8):
        it.ask()
    assert it.clock.time - before == pytest.approx(1.0)


def test_concurrent_requests_have_connections_of_their_own(bench: Callable[..., Bench]) -> None:
    it = bench(answer(b"{}"))
    answers = it.transport.send_concurrently(
        [Request("GET", b"/%d" % number, ((b"Host", b"here"),)) for number in range(6)]
    )
    assert [each.request.target for each in answers] == [b"/%d" % number for number in range(6)]
    assert {head.split(b" ")[1] for head in it.heads} == {b"/%d" % number for number in range(6)}


def test_a_proxy_receives_absolute_targets_and_its_refusal_is_reported(tmp_path: Path) -> None:
    heads: list[bytes] = []

    def proxy(head: bytes) -> bytes:
        heads.append(head)
        return answer(b"{}", "403 Forbidden" if head.startswith(b"CONNECT") else "200 OK")

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
def test_retry_after_is_read_or_taken_for_a_second(text: str, seconds: float) -> None:
    assert retry_after(Exchange(Request("GET", b"/", ()), 429, fields=(("Retry-After", text.encode()),))) == seconds


def test_retry_after_may_be_a_date() -> None:
    in_the_past = formatdate(0, usegmt=True)
    assert retry_after(Exchange(Request("GET", b"/", ()), 429, fields=(("Retry-After", in_the_past.encode()),))) == 1.0
