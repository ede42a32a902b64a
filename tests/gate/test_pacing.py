"""The pace of requests, and the waits that a 429 requires, with a manual clock."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract_tests.wire.clock import Clock
from contract_tests.wire.messages import Credential, Exchange, Request
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.pacing import Pacer, retry_after
from tests.support.gate import http_response
from tests.support.transport import KEY, Bench

UNKNOWN, ANOTHER = (Credential(name.encode(), name) for name in ("unknown-key", "another-key"))
THROTTLED = http_response(
    b'{"detail": "slow down"}', "429 Too Many Requests", "Content-Type: application/json\r\nRetry-After: 7"
)


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
    with pytest.raises(NotTested, match="the main key must wait 7 s after a 429, and only"):
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
        with pytest.raises(
            NotTested, match=r"the main key must wait 3600 s after a 429, and only 120\.0 s of --max-time"
        ):
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


def test_the_pace_recovers_from_a_429(bench: Callable[..., Bench]) -> None:
    setup = bench(THROTTLED, THROTTLED, http_response(b"{}"), max_rate=8.0)
    for _ in range(20):
        setup.send()
    before = setup.clock.time
    for _ in range(8):
        setup.send()
    assert setup.clock.time - before == pytest.approx(1.0)


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
