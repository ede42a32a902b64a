"""Counters that count the requests of the client itself, or that were read at different moments."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.support.har import KEY, METRICS, Judged, entry

BYTES = "consistency/no-bytes-without-a-fetch"
OUTCOMES = "consistency/success-and-fail-do-not-exceed-total"
OWN = "keys/requests-count-for-their-own-key"
SECOND, THIRD = "har-key-0002-abcdef", "har-key-0003-abcdef"
RESPONSES = 9


def _of_responses(changes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [entry(json.dumps({**METRICS, **changed}), at=at) for at, changed in enumerate(changes)]


def _with_bytes_of_responses(beyond: int) -> list[dict[str, Any]]:
    size, counted, bodies = len(json.dumps(METRICS)), METRICS["bytes_transferred"], []
    for _ in range(RESPONSES):
        bodies.append({"bytes_transferred": counted})
        counted += size + beyond
    return _of_responses(bodies)


@pytest.mark.parametrize(("beyond", "outcome"), [(0, "broken"), (1, "not applicable")])
def test_bytes_of_own_responses_are_found(beyond: int, outcome: str, judge_entries: Callable[..., Judged]) -> None:
    assert judge_entries(*_with_bytes_of_responses(beyond))[BYTES].outcome == outcome


@pytest.mark.parametrize(("excesses", "outcome"), [([2] * RESPONSES, "broken"), ([0, *[2] * RESPONSES], "held")])
def test_constant_excess_is_found(excesses: list[int], outcome: str, judge_entries: Callable[..., Judged]) -> None:
    grown = enumerate(excesses, 12342)
    entries = _of_responses({"total": total, "success": total - 331 + excess} for total, excess in grown)
    assert judge_entries(*entries)[OUTCOMES].outcome == outcome


@pytest.mark.parametrize(("growth", "outcome"), [(1, "broken"), (0, "held")])
def test_requests_of_other_keys_are_found(growth: int, outcome: str, judge_entries: Callable[..., Judged]) -> None:
    keys = (KEY, SECOND, THIRD) * 3
    totals = [1000 * keys.index(key) + growth * at for at, key in enumerate(keys)]
    entries = [
        entry(json.dumps({"api_key": "", "total": total}), key=key, at=at)
        for at, (key, total) in enumerate(zip(keys, totals, strict=True))
    ]
    assert judge_entries(*entries)[OWN].outcome == outcome


def test_requests_that_count_for_their_own_key_are_accepted(judge_entries: Callable[..., Judged]) -> None:
    keys = (KEY, SECOND) * 4
    entries = [
        entry(json.dumps({"total": 1000 * keys.index(key) + at // 2}), key=key, at=at) for at, key in enumerate(keys)
    ]
    assert judge_entries(*entries)[OWN].outcome == "held"
