"""The three forms of a delay, the effect of a seed, and the percentiles of a long tail."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_server.fixtures.delays import LONGEST, Delay, DelayError, parse_delay

DRAWS = 20_000


def draws(text: str, seed: int = 1, count: int = DRAWS) -> list[float]:
    chance = random.Random(seed)
    return [parse_delay(text).draw(chance) for _ in range(count)]


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("0", Delay(0, 0)),
        ("0.2", Delay(0.2, 0.2)),
        ("0.1..0.5", Delay(0.1, 0.5)),
        ("0..0", Delay(0, 0)),
        ("0.1~2", Delay(0.1, 2, long_tailed=True)),
        ("3600", Delay(3600, 3600)),
    ],
)
def test_a_delay_has_three_forms(text: str, parsed: Delay) -> None:
    assert parse_delay(text) == parsed


@pytest.mark.parametrize(
    "text",
    ["", "-1", "soon", "1s", ".5", "1.", "2..1", "2~1", "0~1", "3601", "1..3601", "1~3601", "1...2", "1e3", " 1",
     "nan", "inf", "\u0661", "1\n", "1..2~3", "9" * 400],
)  # fmt: skip
def test_an_invalid_delay_is_rejected_with_the_valid_forms(text: str) -> None:
    with pytest.raises(DelayError, match=r"not a valid delay; expected SECONDS \(0\.2\), LOW\.\.HIGH .* or MEDIAN~P99"):
        parse_delay(text)


@given(st.text())
def test_any_text_is_a_delay_within_bounds_or_refused(text: str) -> None:
    try:
        read = parse_delay(text)
    except DelayError:
        return
    assert 0 <= read.draw(random.Random(0)) <= LONGEST


def test_the_same_seed_draws_the_same_delays() -> None:
    assert draws("0.1..0.5", seed=3, count=50) == draws("0.1..0.5", seed=3, count=50)
    assert draws("0.1~2", seed=3, count=50) != draws("0.1~2", seed=4, count=50)


def test_a_fixed_delay_is_always_the_same() -> None:
    assert set(draws("0.2", count=100)) == {0.2}


def test_a_jittered_delay_is_evenly_spread_between_its_bounds() -> None:
    drawn = draws("0.1..0.5")
    assert min(drawn) >= 0.1
    assert max(drawn) <= 0.5
    assert statistics.quantiles(drawn, n=4) == pytest.approx([0.2, 0.3, 0.4], abs=0.01)


@pytest.mark.parametrize(("text", "median", "p99"), [("0.1~2", 0.1, 2), ("0.2~3", 0.2, 3), ("1~1", 1, 1)])
def test_a_long_tail_has_the_median_and_the_99th_percentile_that_it_names(text: str, median: float, p99: float) -> None:
    percentiles = statistics.quantiles(draws(text), n=100)
    assert percentiles[49] == pytest.approx(median, rel=0.05)
    assert percentiles[98] == pytest.approx(p99, rel=0.15)


def test_a_long_tail_ends_at_the_longest_delay() -> None:
    assert max(draws("1~3600")) == LONGEST
