"""The simulator: overrides, resets, time, and the isolation of keys."""

from __future__ import annotations

from asyncio import run

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_server import make_app
from mock_server.fixtures.delays import DelayError
from mock_server.fixtures.deployments import Calls
from mock_server.fixtures.files import NONE
from mock_server.options import MockOptions
from mock_server.simulation.bucket import ticks
from mock_server.simulation.clock import MockClock
from mock_server.simulation.overrides import NO_OVERRIDE, FaultUse, Override
from mock_server.simulation.simulator import Simulator, UnknownKeyError
from mock_server.suggestions import UnknownNameError
from mock_server.web.mock import MOCK
from tests.support.wire import Clock
from usage_contract import Contract

ONE, OTHER = "demo-busy", "demo-modest"
TRAFFIC = {"new.example": {"ws": Calls(5, 1)}}
SECONDS = st.floats(-1e9, 1e9)


@pytest.fixture
def simulator(contract: Contract, clock: Clock) -> Simulator:
    return make_app(contract, MockOptions(seed=5), clock=clock)[MOCK].simulator


def total(simulator: Simulator, key: str) -> int:
    account = simulator.account(key)
    assert account
    account.grow(simulator.clock())
    return account.counters.success + account.counters.fail


async def take(simulator: Simulator, key: str) -> float | None:
    account = simulator.account(key)
    assert account
    spec = simulator.bucket(account, None)
    return (await simulator.state.take(spec, simulator.clock(), tokens=1, account=account.ref)).remaining


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (Override(scenario="hevy"), UnknownNameError),
        (Override(faults=(FaultUse("none-such"),)), UnknownNameError),
        (Override(delay="soon"), DelayError),
    ],
)
def test_an_unusable_override_is_rejected_without_a_change(
    simulator: Simulator, change: Override, error: type[Exception]
) -> None:
    before = simulator.overrides
    with pytest.raises(error):
        run(simulator.switch(**vars(change)))
    with pytest.raises(error):
        Simulator(simulator.library, simulator.clock, start=change)
    assert simulator.overrides == before


def test_an_unknown_key_is_rejected_without_being_disclosed(simulator: Simulator) -> None:
    for operation in (
        simulator.record("secret", TRAFFIC),
        simulator.reset("secret"),
        simulator.switch("secret"),
    ):
        with pytest.raises(UnknownKeyError) as caught:
            run(operation)
        assert "secret" not in str(caught.value)


def test_recorded_traffic_changes_the_usage_metrics_of_one_key(simulator: Simulator) -> None:
    before = total(simulator, ONE), total(simulator, OTHER)
    run(simulator.record(ONE, TRAFFIC))
    assert (total(simulator, ONE), total(simulator, OTHER)) == (before[0] + 5, before[1])


def test_a_reset_of_a_key_does_not_affect_other_keys(simulator: Simulator) -> None:
    before = total(simulator, ONE)
    for key in (ONE, OTHER):
        run(simulator.record(key, TRAFFIC))
        run(simulator.switch(key, delay="1"))
        run(take(simulator, key))
    run(simulator.reset(ONE))
    assert total(simulator, ONE) == before
    assert simulator.resolve(ONE, NO_OVERRIDE) == NO_OVERRIDE
    assert simulator.resolve(OTHER, NO_OVERRIDE) == Override(delay="1")
    assert run(take(simulator, ONE)) == 9.0
    assert run(take(simulator, OTHER)) != 9.0


def test_a_full_reset_restores_the_state_of_the_start(simulator: Simulator) -> None:
    before = total(simulator, ONE)
    drawn = [simulator.draw_delay("0..1") for _ in range(3)]
    run(simulator.record(ONE, TRAFFIC))
    run(simulator.make_key("made"))
    run(simulator.switch(scenario="heavy"))
    run(simulator.adjust_clock(lambda clock: clock.advance(99)))
    run(take(simulator, ONE))
    run(simulator.reset())
    assert total(simulator, ONE) == before
    assert simulator.overrides.is_empty
    assert not simulator.has("made")
    assert simulator.clock() == 1000.0
    assert run(take(simulator, ONE)) == 9.0
    assert [simulator.draw_delay("0..1") for _ in range(3)] == drawn


def test_a_created_key_that_is_reset_remains_and_is_unused(simulator: Simulator) -> None:
    run(simulator.make_key("made"))
    run(simulator.record("made", TRAFFIC))
    run(simulator.reset("made"))
    assert simulator.has("made")
    assert total(simulator, "made") == 0


def test_a_key_can_be_created_in_a_scenario(simulator: Simulator) -> None:
    run(simulator.make_key("made", "all-failed"))
    assert total(simulator, "made") == 524
    assert simulator.keys[-1] == "made"


def test_a_new_scenario_replaces_the_account_and_none_restores_it(simulator: Simulator) -> None:
    before = total(simulator, ONE)
    run(simulator.switch(ONE, scenario="ageing"))
    assert total(simulator, ONE) == 1000
    run(simulator.switch(ONE, scenario=NONE))
    assert total(simulator, ONE) == before


def test_an_account_ages_when_time_is_advanced(simulator: Simulator) -> None:
    run(simulator.switch(scenario="ageing"))
    assert total(simulator, ONE) == 1000
    run(simulator.adjust_clock(lambda clock: clock.advance(10)))
    assert total(simulator, ONE) == 1000 + 40 + 15 + 5


def test_a_scenario_of_one_request_has_a_separate_account(simulator: Simulator) -> None:
    account = simulator.account(ONE, "fresh")
    assert account is simulator.account(ONE, "fresh")
    assert account is not simulator.account(ONE)
    assert simulator.account(ONE, "revoked") is None
    assert simulator.account("unknown", "fresh") is None


# Time.


@given(SECONDS, SECONDS)
def test_a_frozen_clock_changes_only_by_advance(start: float, later: float) -> None:
    base = Clock(start)
    clock = MockClock(base)
    clock.freeze()
    base.now += abs(later)
    assert clock() == pytest.approx(start, abs=1e-6)
    clock.advance(5)
    assert clock() == pytest.approx(start + 5, abs=2e-6)
    assert clock.is_frozen is True
    clock.resume()
    assert clock.is_frozen is False
    assert clock() == pytest.approx(start + 5, abs=1e-5)


@given(SECONDS, SECONDS, SECONDS)
def test_a_clock_that_was_set_continues_from_there(start: float, to: float, passed: float) -> None:
    base = Clock(start)
    clock = MockClock(base)
    clock.set(to)
    base.now += passed
    assert clock() == pytest.approx(to + passed, abs=1e-5)


@given(st.floats(0, 4e9), st.integers(0, 100_000_000))
def test_frozen_time_advances_by_just_the_ticks_that_buckets_count(start: float, microseconds: int) -> None:
    clock = MockClock(Clock(start))
    clock.freeze()
    before = ticks(clock())
    clock.advance(microseconds / 1_000_000)
    assert ticks(clock()) - before == microseconds


@given(SECONDS, st.lists(SECONDS, max_size=5))
def test_advances_add_up(start: float, steps: list[float]) -> None:
    clock = MockClock(Clock(start))
    for step in steps:
        clock.advance(step)
    assert clock() == pytest.approx(start + sum(steps), abs=1e-4)
