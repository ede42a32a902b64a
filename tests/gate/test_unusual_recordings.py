"""Recorded exchanges that no run of the gate has: without a 200, without Date, with odd numbers and dates."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from contract_tests.wire.dates import is_imf_fixdate, timestamp
from contract_tests.wire.strict_json import parse
from tests.support.har import BEGAN, GOOD, KEY, METRICS, Judged, entry

Judge = Callable[..., Judged]


def test_a_304_without_any_200_is_judged(judge_entries: Judge) -> None:
    without_content = entry("", 304, at=2, received={"content-length": "12"})
    judged = judge_entries(entry("", 500, at=1), without_content, keys=[KEY])
    assert judged["cache/304-states-a-possible-length"].outcome in {"not applicable", "not tested"}


def test_a_304_of_a_key_without_a_200_needs_no_entity_tag(judge_entries: Judge) -> None:
    modified = {"last-modified": "Fri, 15 Jan 2027 08:00:00 GMT"}
    judged = judge_entries(
        entry(GOOD, received={"etag": '"1"'}),
        entry("", 304, key="other-key-0001", received=modified),
        keys=[KEY, "other-key-0001"],
    )
    assert judged["cache/304-has-the-etag"].outcome == "not applicable"


def test_a_prefix_of_all_keys_is_not_half_a_key(judge_entries: Judge) -> None:
    key, detail = "sk_live_ab12cd34", json.dumps({"detail": "Keys begin with sk_live_."})
    judged = judge_entries(entry(GOOD, key=key), entry(detail, 401, key="", at=1))
    assert judged["errors/responses-do-not-disclose-keys"].outcome == "held"
    judged = judge_entries(entry(GOOD, key=key), entry(detail.replace("sk_live_", "ab12cd34"), 401, key="", at=1))
    assert judged["errors/responses-do-not-disclose-keys"].outcome == "broken"


def test_a_recording_without_date_has_the_time_of_its_requests(judge_entries: Judge) -> None:
    year = 365 * 86_400
    reset = {"x-ratelimit-reset": str(BEGAN - year + 3)}
    assert judge_entries(entry(GOOD, at=-year, received=reset))["rate/reset-is-not-in-the-past"].outcome == "held"


def test_a_number_of_many_digits_is_reported_as_a_problem_of_the_body() -> None:
    body = json.dumps({**METRICS, "total": 0}).replace('"total": 0', '"total": ' + "9" * 5000)
    assert parse(body.encode()).problem == "contains a number of 5000 digits, which no client can read"


@pytest.mark.parametrize("limit", ['"rps": 1e-999999, "burst": 10', '"rps": -10, "burst": 10'])
def test_a_rate_that_fills_no_bucket_is_no_reason_to_report_retry_after(judge_entries: Judge, limit: str) -> None:
    body = GOOD.replace('"rps": 10, "burst": 10', limit)
    fields = {"retry-after": "9", "x-ratelimit-limit": "10", "x-ratelimit-remaining": "0"}
    throttled = entry('{"detail": "wait"}', 429, at=2, received=fields)
    judged = judge_entries(entry(body), entry(body, at=1), throttled)
    assert judged["rate/retry-after-is-not-longer-than-a-refill"].outcome == "held"


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_an_obsolete_date_is_in_gmt(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert timestamp("Sun Nov  6 08:49:37 1994") == timestamp("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777
        assert is_imf_fixdate("Sun, 06 Nov 1994 08:49:37 GMT")
        assert not is_imf_fixdate("Sun Nov  6 08:49:37 1994")
        assert not is_imf_fixdate("Sun, 06 Nov 1994 08:49:37 +0000")
    finally:
        monkeypatch.undo()
        time.tzset()
