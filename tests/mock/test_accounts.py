"""The usage metrics of an account with growth depend only on the present time."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from mock_server.fixtures.deployments import MAX_SAFE_INTEGER, Calls, Key, Rate, Traffic
from mock_server.simulation.accounts import Account
from mock_server.simulation.clock import END_OF_TIME
from mock_server.simulation.state import AccountSnapshot

START = 1000.0
NUMBERS = st.floats(0, 1e6)
RATES = st.builds(lambda one, other, size: Rate(max(one, other), min(one, other), size), NUMBERS, NUMBERS, NUMBERS)
TIMES = st.lists(st.floats(-END_OF_TIME, END_OF_TIME) | st.floats(0, 2000), min_size=1)
RECORDED: Traffic = {"new.example": {"ws": Calls(5, 1)}, "a.example": {"fetch": Calls(2, 0, 10)}}
STEPS_OF_A_SEVENTH = [START + step / 7 for step in range(2000)]


def growing_account(rate: Rate) -> Account:
    key = Key(traffic={"a.example": {"fetch": Calls(10, 1, 100)}}, growth={"a.example": {"fetch": rate}})
    return Account("k", "k", key, now=START)


def metrics(account: Account) -> tuple[object, ...]:
    counters = account.counters
    return counters.success, counters.fail, counters.bytes, counters.by_protocol, counters.top_domains


@given(RATES, TIMES)
@example(Rate(0.06, 0.06), STEPS_OF_A_SEVENTH)
@example(Rate(1e6, 1e6, 1e12), [END_OF_TIME, 0])
def test_usage_metrics_depend_on_the_present_time_only(rate: Rate, times: list[float]) -> None:
    moved = growing_account(rate)
    moved.record(RECORDED)
    for now in times:
        moved.grow(now)
    straight = growing_account(rate)
    straight.grow(times[-1])
    straight.record(RECORDED)
    assert metrics(moved) == metrics(straight)
    assert moved.counters.success >= 10
    assert moved.counters.fail <= 2 + MAX_SAFE_INTEGER


@given(st.floats(0.001, 1e6), st.floats(0, 1e6))
@example(0.06, 250 / 7)
def test_of_a_rate_that_always_fails_nothing_succeeds(requests: float, seconds: float) -> None:
    account = growing_account(Rate(requests, requests))
    account.grow(START + seconds)
    assert account.counters.success == 9


def test_a_snapshot_of_another_process_replaces_the_account_and_its_start() -> None:
    account = growing_account(Rate(1))
    account.grow(START + 100)
    account.apply_snapshot(AccountSnapshot("1", START + 50, RECORDED))
    account.grow(START + 100)
    assert account.counters.success + account.counters.fail == 10 + 50 + 7
