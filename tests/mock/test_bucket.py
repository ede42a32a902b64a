"""The token bucket, compared with exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server.simulation.bucket import MAX_RETRY_AFTER, TokenBucket

RATES = st.one_of(st.sampled_from([0.0, 0.1, 0.3, 1.0, 10.0]), st.floats(0, 1000, allow_subnormal=False))
BURSTS = st.integers(1, 50)
STEPS = st.lists(st.integers(0, 5000), max_size=40)  # milliseconds between two requests
TIMES = st.lists(st.integers(-10_000, 10_000), max_size=40)  # milliseconds, in any order

GRAIN = Fraction(1, 1_000_000)

steady = settings(derandomize=True, deadline=None)


class ExactBucket:
    """A token bucket in exact fractions; a test subtracts each token that the tested bucket grants."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate, self.burst, self.level = Fraction(rate), burst, Fraction(burst)

    def wait(self, milliseconds: int) -> None:
        self.level = min(Fraction(self.burst), self.level + self.rate * Fraction(milliseconds, 1000))


@steady
@given(RATES, BURSTS, STEPS)
def test_a_bucket_never_grants_a_token_that_exact_arithmetic_does_not_have(
    rate: float, burst: int, steps: list[int]
) -> None:
    bucket, exact, now = TokenBucket(rate, burst, now=0.0), ExactBucket(rate, burst), 0
    for step in steps:
        now += step
        exact.wait(step)
        if bucket.take(now / 1000) is not None:
            exact.level -= 1
        assert exact.level >= 0


@steady
@given(RATES, BURSTS, STEPS)
def test_a_bucket_refuses_only_when_less_than_a_token_is_left(rate: float, burst: int, steps: list[int]) -> None:
    bucket, exact, now = TokenBucket(rate, burst, now=0.0), ExactBucket(rate, burst), 0
    for step in steps:
        now += step
        exact.wait(step)
        if bucket.take(now / 1000) is not None:
            exact.level -= 1
        else:
            # Each grant may have rounded a millionth of a token away.
            assert exact.level < 1 + len(steps) * GRAIN


@steady
@given(RATES, BURSTS, STEPS)
def test_remaining_is_the_exact_level_rounded_down_to_one_decimal(rate: float, burst: int, steps: list[int]) -> None:
    bucket, exact, now = TokenBucket(rate, burst, now=0.0), ExactBucket(rate, burst), 0
    for step in steps:
        now += step
        exact.wait(step)
        remaining = bucket.take(now / 1000)
        if remaining is not None:
            exact.level -= 1
            assert 0 <= remaining <= burst - 1
            assert remaining == round(remaining, 1)
            assert -GRAIN <= exact.level - Fraction(remaining) < Fraction(1, 10) + len(steps) * GRAIN


@steady
@given(RATES, BURSTS, STEPS, st.integers(0, 3000))
def test_waiting_for_retry_after_always_suffices(rate: float, burst: int, steps: list[int], polled_at: int) -> None:
    bucket, now = TokenBucket(rate, burst, now=0.0), 0
    for step in steps:
        now += step
        bucket.take(now / 1000)
    while bucket.take(now / 1000) is not None:
        pass
    now += polled_at
    seconds = bucket.retry_after(now / 1000)
    assert seconds >= 1
    assert seconds <= MAX_RETRY_AFTER
    if rate * MAX_RETRY_AFTER >= 1:
        assert bucket.take(now / 1000 + seconds) is not None


@steady
@given(st.floats(0.001, 1), BURSTS)
def test_waiting_a_second_less_than_retry_after_does_not_suffice(rate: float, burst: int) -> None:
    bucket = TokenBucket(rate, burst, now=0.0)
    while bucket.take(0.0) is not None:
        pass
    seconds = bucket.retry_after(0.0)
    assert seconds == 1 or bucket.take(float(seconds - 1)) is None


@steady
@given(RATES, BURSTS, TIMES)
def test_a_clock_that_is_set_back_refills_nothing(rate: float, burst: int, times: list[int]) -> None:
    jumping, standing = TokenBucket(rate, burst, now=0.0), TokenBucket(rate, burst, now=0.0)
    latest_grant = 0
    for time in times:
        held = max(time, latest_grant)
        granted = jumping.take(time / 1000)
        assert granted == standing.take(held / 1000)
        latest_grant = held if granted is not None else latest_grant


@steady
@given(RATES, BURSTS, STEPS)
def test_a_bucket_that_nothing_is_taken_from_stays_full(rate: float, burst: int, steps: list[int]) -> None:
    bucket, now = TokenBucket(rate, burst, now=0.0), 0
    for step in steps:
        now += step
        assert bucket.take(now / 1000, tokens=0) == burst


@pytest.mark.parametrize("rate", [0.0, 5e-324, 1e-12])
def test_a_tiny_rate_has_the_retry_after_of_the_vendor(rate: float) -> None:
    bucket = TokenBucket(rate, 1, now=0.0)
    assert bucket.take(0.0) == 0.0
    assert bucket.take(0.0) is None
    assert bucket.retry_after(0.0) == 1


def test_retry_after_is_at_most_a_day() -> None:
    for rate, seconds in [(2**-16, 65_536), (2**-17, 1)]:
        bucket = TokenBucket(rate, 1, now=0.0)
        bucket.take(0.0)
        assert bucket.retry_after(0.0) == seconds


def test_the_documented_example_leaves_nine_point_three() -> None:
    bucket = TokenBucket(10.0, 10, now=1000.0)
    bucket.take(1000.0)
    assert bucket.take(1000.03) == 8.3
    assert bucket.take(1000.13) == 8.3
