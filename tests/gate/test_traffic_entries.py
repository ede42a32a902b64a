"""Which recorded exchanges are judged, and by which rules."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from contract_tests import TrafficError
from tests.support.har import DETAIL, FRACTION, GOOD, KEY, METRICS, Judged, broken, entry

RATE_RULE = "consistency/success-rate-is-the-percentage-of-success"


PAGE = "<!doctype html><title>Blocked</title>"
HTML = {"content-type": "text/html"}


def without_body() -> dict[str, Any]:
    incomplete = entry(GOOD)
    del incomplete["response"]["content"]["text"]
    return incomplete


def test_rules_about_what_har_lacks_are_not_tested(judge_entries: Callable[..., Judged]) -> None:
    judged = judge_entries(entry(GOOD, received={"content-encoding": "gzip"}))
    lacking = {
        "http/status-line-is-well-formed": "bytes of the responses' heads",
        "http/responses-are-complete": "how the responses were delimited",
        "http/content-encoding-matches-the-body": "without their content coding",
        "auth/unknown-key-is-refused": "which keys were never issued",
    }
    assert {judged[rule].outcome for rule in lacking} == {"not tested"}
    assert [rule for rule, text in lacking.items() if text not in judged[rule].reason] == []


def test_rules_about_one_run_are_not_tested_in_a_long_recording(judge_entries: Callable[..., Judged]) -> None:
    rule = "keys/metrics-of-a-key-are-steady"
    assert judge_entries(entry(GOOD), entry(GOOD, at=30), entry(GOOD, at=60))[rule].outcome == "held"
    assert "longer than a run" in judge_entries(entry(GOOD), entry(GOOD, at=3600))[rule].reason


@pytest.mark.parametrize(
    "more",
    [
        {"_fromCache": "disk"},
        {"_fetchType": "Memory Cache"},
        {"_fetchType": "Inspector Override"},
        {"response": {**entry("", 502)["response"], "_error": "net::ERR_ABORTED"}},
        {"response": {**entry("", 502)["response"], "_failureText": "Frame load interrupted"}},
        {"_fetchedViaServiceWorker": True},
        {"cache": {"afterRequest": None}},
        {"url": "https://api.example/usage/other"},
        {"status": 0},
        {"status": 407},
        {"url": "https://app.example/usage", "key": ""},
        {"method": "OPTIONS", "key": "", "sent": {"access-control-request-method": "GET"}},
        {"status": 307, "received": {"non-authoritative-reason": "HSTS"}},
    ],
    ids=str,
)
def test_entries_without_a_response_of_the_deployment_are_skipped(
    more: dict[str, Any], judge_entries: Callable[..., Judged]
) -> None:
    other = entry("broken", at=1, **{"status": 200, **more})
    assert judge_entries(entry(GOOD), other) == judge_entries(entry(GOOD))
    assert broken(judge_entries(entry(GOOD), entry("broken", at=1))) != []


@pytest.mark.parametrize("status", [403, 429, 502])
def test_an_error_page_is_not_a_response_of_the_deployment(status: int, judge_entries: Callable[..., Judged]) -> None:
    assert broken(judge_entries(entry(GOOD), entry(PAGE, status, at=1, received=HTML))) == []


@pytest.mark.parametrize(
    ("rule", "other", "cause"),
    [
        ("errors/error-body-is-json-with-a-detail", entry(PAGE, 401, at=2, key="", received=HTML), "HTML page"),
        ("errors/no-request-causes-5xx", entry(PAGE, 502, at=2, received=HTML), "HTML page"),
        ("auth/valid-key-is-200", entry(PAGE, 403, at=2, received=HTML), "HTML page"),
        ("auth/valid-key-is-200", entry("", 302, at=2), "a redirect"),
        ("auth/valid-key-is-200", entry("", 304, at=2), "a browser's cache"),
        ("auth/valid-key-is-200", entry(DETAIL, 403, at=2), "new or revoked"),
        ("errors/responses-do-not-disclose-keys", entry(json.dumps({"key": KEY}), at=2, key=""), "removed the key"),
    ],
    ids=str,
)
def test_a_rule_that_only_a_response_with_another_possible_cause_breaks_is_not_tested(
    rule: str, other: dict[str, Any], cause: str, judge_entries: Callable[..., Judged]
) -> None:
    usual = [entry(GOOD), entry(DETAIL, 401, at=1, key="")]
    assert judge_entries(*usual)[rule].outcome == "held"
    judged = judge_entries(*usual, other)
    assert (broken(judged), judged[rule].outcome) == ([], "not tested")
    assert judged[rule].reason.startswith("1 response with another possible cause would break the rule: ")
    assert cause in judged[rule].reason


def test_the_responses_with_another_possible_cause_are_counted(judge_entries: Callable[..., Judged]) -> None:
    others = [entry("", 302, at=1), entry("", 304, at=2), entry(PAGE, 502, at=3, received=HTML)]
    reason = judge_entries(entry(GOOD), *others)["auth/valid-key-is-200"].reason
    assert reason.startswith("3 responses with another possible cause would break the rule: a redirect")
    assert reason.count("; ") == 2


def test_a_response_to_the_condition_of_a_cache_leaves_every_rule_judged(judge_entries: Callable[..., Judged]) -> None:
    current = entry(GOOD, 304, at=1, sent={"if-none-match": '"1"'})  # a browser adds the body from its cache
    judged, usual = judge_entries(entry(GOOD), current), judge_entries(entry(GOOD))
    untested = [{rule.id for rule in each.values() if rule.outcome == "not tested"} for each in (judged, usual)]
    assert untested[0] == untested[1]
    assert broken(judged) == []


def test_the_body_that_a_cache_adds_to_a_304_is_not_judged(judge_entries: Callable[..., Judged]) -> None:
    traced = entry("Traceback (most recent call last):", 304, at=1, sent={"if-none-match": '"1"'})
    assert judge_entries(entry(GOOD), traced)["errors/responses-do-not-disclose-internals"].outcome == "held"
    traced["response"]["status"] = 500
    assert judge_entries(entry(GOOD), traced)["errors/responses-do-not-disclose-internals"].outcome == "broken"


def test_the_length_of_a_compressed_body_in_a_304_is_not_compared_with_decoded_bodies(
    judge_entries: Callable[..., Judged],
) -> None:
    tagged = {"etag": '"1"'}
    current = entry("", 304, at=1, sent={"if-none-match": '"1"'}, received={**tagged, "content-length": "40"})
    judged = judge_entries(entry(GOOD, received={**tagged, "content-encoding": "gzip"}), current)
    assert judged["cache/304-states-a-possible-length"].outcome == "not tested"


def test_a_part_that_no_request_named_is_judged(judge_entries: Callable[..., Judged]) -> None:
    unusual = entry(GOOD, 206, at=1, sent={"x-other": "1"})
    rule = judge_entries(entry(GOOD), unusual)["cache/parts-are-announced"]
    assert (rule.outcome, rule.reason) == ("reported", "")


def test_a_valid_key_is_refused_although_another_request_was_in_flight(judge_entries: Callable[..., Judged]) -> None:
    judged = judge_entries(entry(GOOD), entry(DETAIL, 403, at=0.005), entry(GOOD, at=1))
    assert judged["auth/valid-key-is-200"].outcome == "broken"


@pytest.mark.parametrize(("version", "outcome"), [("h2", "broken"), ("HTTP/2.0", "broken"), ("HTTP/1.1", "held")])
def test_a_request_of_http_2_has_the_host_of_its_url(
    version: str, outcome: str, judge_entries: Callable[..., Judged]
) -> None:
    refused = entry(DETAIL, 400, at=1)  # correct for a request of HTTP/1.1 without Host
    refused["request"]["httpVersion"] = version
    assert judge_entries(entry(GOOD), refused)["auth/valid-key-is-200"].outcome == outcome


def test_a_recorder_that_leaves_host_out_is_not_a_finding(judge_entries: Callable[..., Judged]) -> None:
    recorded = entry(GOOD)
    recorded["request"]["httpVersion"] = "HTTP/1.1"
    assert judge_entries(recorded)["http/host-is-required-once"].outcome == "not tested"


@pytest.mark.parametrize(("allowed", "outcome"), [("https://app.example", "held"), ("*", "reported")])
def test_credentials_for_one_origin_are_not_those_for_any_origin(
    allowed: str, outcome: str, judge_entries: Callable[..., Judged]
) -> None:
    cors = {"access-control-allow-origin": allowed, "access-control-allow-credentials": "true"}
    recorded = entry(GOOD, sent={"origin": "https://app.example"}, received=cors)
    assert judge_entries(recorded)["http/credentials-are-not-allowed-for-any-origin"].outcome == outcome


def test_keys_with_one_account_are_found_although_their_requests_alternate(
    judge_entries: Callable[..., Judged],
) -> None:
    keys = {0: KEY, 1: "other-key-0002-ghijkl"}

    def growing(number: int, *, apart: int) -> dict[str, Any]:
        total = METRICS["total"] + 3 * number + apart * (number % 2)
        members = {"total": total, "success": total - METRICS["fail"], "by_protocol": {"fetch": total}}
        size = METRICS["bytes_transferred"] + 41000 * (number + apart * (number % 2))
        body = json.dumps({**METRICS, **members, "api_key": keys[number % 2], "bytes_transferred": size})
        return entry(body, at=number, key=keys[number % 2])

    rule = "keys/metrics-differ-between-keys"
    assert judge_entries(*(growing(number, apart=0) for number in range(20)))[rule].outcome == "broken"
    assert judge_entries(*(growing(number, apart=5000) for number in range(20)))[rule].outcome == "held"


def test_a_strong_entity_tag_identifies_one_value_of_recorded_texts(judge_entries: Callable[..., Judged]) -> None:
    def tagged(body: str, at: float) -> dict[str, Any]:
        return entry(body, at=at, received={"etag": '"1"'})

    rule = "cache/strong-etag-identifies-one-body"
    coded = tagged(base64.b64encode(json.dumps(METRICS, ensure_ascii=False, indent=1).encode()).decode(), 1)
    coded["response"]["content"]["encoding"] = "base64"
    assert judge_entries(tagged(GOOD, 0), coded)[rule].outcome == "held"
    assert judge_entries(tagged(GOOD, 0), tagged(FRACTION, 1))[rule].outcome == "broken"


@pytest.mark.parametrize("joined", [None, "\n", ", "])
def test_a_repeated_content_type_is_a_finding_in_each_form_of_recording(
    joined: str | None, judge_entries: Callable[..., Judged]
) -> None:
    repeated = entry(GOOD)
    fields = repeated["response"]["headers"]
    if joined is None:
        fields.append(dict(fields[0]))
    else:
        fields[0]["value"] = joined.join([fields[0]["value"]] * 2)
    rule = judge_entries(repeated)["schema/media-type-is-documented"]
    assert rule.outcome == "broken"
    assert "application/json, application/json" in str(rule.findings)


def test_fields_that_a_recorder_joins_with_a_line_end_are_separate(judge_entries: Callable[..., Judged]) -> None:
    joined = {"cache-control": "max-age=60", "vary": "accept-encoding\nx-api-key"}
    judged = judge_entries(entry(GOOD, received=joined))
    assert judged["cache/responses-are-not-shared-by-caches"].outcome == "held"


@pytest.mark.parametrize(
    "second",
    [
        {"status": 304},
        {"status": 302},
        {"status": 403, "at": 3600},
        {"status": 401, "key": "REDACTED"},
        {"status": 200, "key": "***"},
    ],
    ids=str,
)
def test_a_response_that_does_not_concern_a_valid_key_is_accepted(
    second: dict[str, Any], judge_entries: Callable[..., Judged]
) -> None:
    assert broken(judge_entries(entry(GOOD), entry(DETAIL, **{"at": 1, **second}))) == []


def test_a_key_is_refused_between_two_accepted_requests(judge_entries: Callable[..., Judged]) -> None:
    judged = judge_entries(entry(GOOD), entry(DETAIL, 403, at=1), entry(GOOD, at=2))
    assert judged["auth/valid-key-is-200"].outcome == "broken"


def test_one_missing_body_does_not_switch_off_the_rules_for_other_bodies(judge_entries: Callable[..., Judged]) -> None:
    judged = judge_entries(without_body(), *(entry(FRACTION, at=at) for at in range(1, 4)))
    assert judged[RATE_RULE].outcome == "broken"


def test_a_query_does_not_hide_a_response(judge_entries: Callable[..., Judged]) -> None:
    busted = [entry(FRACTION, at=at, url=f"https://api.example/usage?_={at}") for at in range(3)]
    assert judge_entries(*busted)[RATE_RULE].outcome == "broken"


@pytest.mark.parametrize(
    "entries",
    [[without_body()], [entry(GOOD, key="")], [entry("<html>", key="", received={"content-type": "text/html"})]],
)
def test_nothing_to_judge_is_an_error(entries: list[dict[str, Any]], judge_entries: Callable[..., Judged]) -> None:
    with pytest.raises(TrafficError, match="no recorded response can be judged"):
        judge_entries(*entries)


@pytest.mark.parametrize(
    "more",
    [
        {"request": {"url": "https://cdn.example/x.js"}, "response": None},
        {"time": [1]},
        {"request": {"method": "GET", "url": "https://cdn.example/x", "headers": None}, "response": {"status": "200"}},
    ],
    ids=str,
)
def test_an_invalid_entry_of_another_site_is_skipped(
    more: dict[str, Any], judge_entries: Callable[..., Judged]
) -> None:
    odd = {**entry("x", url="https://cdn.example/y.js"), **more}
    assert broken(judge_entries(entry(GOOD), odd)) == []


def test_a_bot_challenge_is_not_a_response_of_the_deployment(judge_entries: Callable[..., Judged]) -> None:
    challenge = entry("<html>Just a moment...</html>", 403, at=1, received={"cf-mitigated": "challenge"})
    assert broken(judge_entries(entry(GOOD), challenge)) == []


def test_refused_requests_alone_are_judged(judge_entries: Callable[..., Judged]) -> None:
    judged = judge_entries(entry('{"error": "no"}', 401, key=""))
    assert judged["errors/error-body-is-json-with-a-detail"].outcome == "broken"
    assert judged["schema/body-is-json"].outcome == "not tested"


def test_a_response_without_a_key_is_not_judged_because_captures_lack_secrets(
    judge_entries: Callable[..., Judged],
) -> None:
    assert broken(judge_entries(entry(GOOD), entry(FRACTION, at=1, key=""))) == []


def test_concurrent_requests_have_no_order(judge_entries: Callable[..., Judged]) -> None:
    by_protocol = {**METRICS["by_protocol"], "ws": 429}
    less = json.dumps({**METRICS, "total": 12341, "success": 12010, "by_protocol": by_protocol})
    falling = "consistency/counters-do-not-decrease"
    assert judge_entries(entry(GOOD), entry(less, at=0.005))[falling].outcome == "not tested"
    assert judge_entries(entry(GOOD), entry(less, at=1))[falling].outcome == "reported"


def test_a_single_busy_response_is_judged_with_a_tolerance(judge_entries: Callable[..., Judged]) -> None:
    busy = json.dumps({**METRICS, "success": 12013})  # read a moment after total
    assert broken(judge_entries(entry(busy))) == []


def test_a_base64_body_is_decoded(judge_entries: Callable[..., Judged]) -> None:
    coded = entry(base64.b64encode(GOOD.encode()).decode())
    coded["response"]["content"]["encoding"] = "base64"
    assert judge_entries(coded)["schema/body-is-json"].outcome == "held"
