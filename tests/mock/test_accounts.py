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
    straight.record(RECORDED)
    straight.grow(times[-1])
    assert metrics(moved) == metrics(straight)
    assert moved.counters.success >= 10
    assert_exact(moved)


def assert_exact(account: Account) -> None:
    assert max(account.counters.total, account.counters.bytes) <= MAX_SAFE_INTEGER
    assert account.counters.total == sum(account.counters.by_protocol.values())


@given(
    st.integers(1, 50),
    st.tuples(st.integers(0, 10**12), st.integers(0, 10**15), st.floats(0, 1e6), st.floats(0, 1e12)),
    st.lists(st.floats(0, END_OF_TIME), min_size=1, max_size=3),
    st.integers(0, 10**15),
)
@example(2, (0, 0, 1, 1e12), [3 * 3600], 0)
@example(2, (0, 0, 1, 1e12), [3 * 3600], 10**15)
@example(40, (0, 10**15, 1e6, 0), [END_OF_TIME], 0)
def test_the_sums_of_all_domains_stay_exact(
    domains: int, facts: tuple[int, int, float, float], times: list[float], size: int
) -> None:
    requests, total, rate, rate_of_bytes = facts
    names = [f"d{number}.example" for number in range(domains)]
    traffic = {name: {"fetch": Calls(requests, 0, total // domains)} for name in names}
    growth = {name: {"fetch": Rate(rate, rate / 3, rate_of_bytes)} for name in names}
    account = Account("k", "k", Key(traffic=traffic, growth=growth), now=START)
    for now in times:
        account.grow(START + now)
        assert_exact(account)
        if account.counters.bytes + size <= MAX_SAFE_INTEGER and account.counters.total < MAX_SAFE_INTEGER:
            account.record({"a.example": {"fetch": Calls(1, 0, size)}})
            assert_exact(account)
        for later in (now, END_OF_TIME):
            account.grow(START + later)
            assert_exact(account)


def test_growth_ends_before_the_usage_metrics_are_inexact() -> None:
    key = Key(growth={name: {"fetch": Rate(0, 0, 1e12)} for name in ("a.example", "b.example")})
    account = Account("k", "k", key, now=START)
    account.grow(START + 4000)
    assert account.counters.bytes == 8 * 10**15
    account.grow(START + 5000)
    assert 0 <= MAX_SAFE_INTEGER - account.counters.bytes < 10**7


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
