"""Recorded traffic: a HAR file is judged by the rules that send nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from contract_tests import TrafficError, judge, read_har
from contract_tests.reports.model import RuleReport
from tests.support.gate import Run
from tests.support.har import KEY, entry, har
from tests.support.reports import report

METRICS: dict[str, Any] = {
    "api_key": "har-…def",
    "total": 12342,
    "success": 12011,
    "fail": 331,
    "success_rate": 97.32,
    "bytes_transferred": 982734111,
    "rate_limit": {"rps": 10, "burst": 10, "remaining": 9.0},
    "by_protocol": {"fetch": 11800, "ws": 430, "amqp": 112},
    "top_domains": [{"domain": "shop.example", "requests": 900}, {"domain": "news.example", "requests": 41}],
}
GOOD = json.dumps(METRICS)
FRACTION = json.dumps({**METRICS, "success_rate": 0.9732})
DETAIL = json.dumps({"detail": "no"})
RATE_RULE = "consistency/success-rate-is-the-percentage-of-success"

Judged = Mapping[str, RuleReport]


@pytest.fixture
def judge_entries(tmp_path: Path) -> Callable[..., Judged]:
    """Judge a HAR file with these entries, without a run of the gate; return the rules by id."""

    def judged(*entries: Mapping[str, Any], **options: Any) -> Judged:
        path = tmp_path / "capture.har"
        path.write_text(json.dumps(har(*entries)))
        return {rule.id: rule for rule in judge(read_har(path), **options)}

    return judged


def broken(judged: Judged) -> list[str]:
    return [rule.id for rule in judged.values() if rule.outcome == "broken"]


@pytest.fixture
def judge_file(run_gate: Callable[..., Run], tmp_path: Path) -> Callable[..., Run]:
    """Run the gate over a HAR file with these entries."""

    def run(*entries: Mapping[str, Any], options: tuple[str, ...] = ()) -> Run:
        (tmp_path / "capture.har").write_text(json.dumps(har(*entries)))
        return run_gate("--traffic", "capture.har", "--report-dir", "out", *options)

    return run


def outcomes(run: Run) -> dict[str, str]:
    return {rule["id"]: rule["outcome"] for rule in report(run)["rules"]}


def reasons(run: Run) -> dict[str, str]:
    return {rule["id"]: rule["reason"] for rule in report(run)["rules"]}


PAGE = "<!doctype html><title>Blocked</title>"
HTML = {"content-type": "text/html"}


def without_body() -> dict[str, Any]:
    incomplete = entry(GOOD)
    del incomplete["response"]["content"]["text"]
    return incomplete


def test_correct_traffic_has_a_partial_result(judge_file: Callable[..., Run]) -> None:
    encoded = {"content-encoding": "br"}  # HAR contains the decoded body
    run = judge_file(*(entry(GOOD, at=at, received=encoded) for at in range(4)), entry(DETAIL, 401, key="", at=5))
    assert run.code == 0
    assert report(run)["verdict"] == "partial"
    cost = "5 recorded exchanges, and no request was sent"
    assert cost in run.output
    assert f"<span>{cost}</span>" in (run.folder / "out" / "contract.html").read_text()
    assert {outcomes(run)[rule] for rule in ("schema/body-is-json", RATE_RULE, "auth/valid-key-is-200")} == {"held"}
    assert outcomes(run)["errors/error-body-is-json-with-a-detail"] == "held"


def test_broken_traffic_fails_the_run_with_the_entry_as_evidence(judge_file: Callable[..., Run]) -> None:
    run = judge_file(entry(GOOD), entry(FRACTION, at=1), entry(GOOD, at=2))
    assert run.code == 1
    assert [rule for rule, outcome in outcomes(run).items() if outcome == "broken"] == [RATE_RULE]
    assert "(entry 1 of capture.har)" in run.output
    assert "expected: 97.3181" in run.output


def test_rules_that_send_requests_are_not_tested_with_that_reason(judge_file: Callable[..., Run]) -> None:
    run = judge_file(entry(GOOD))
    assert outcomes(run)["auth/similar-key-is-refused"] == "not tested"
    assert "a recording cannot answer them" in reasons(run)["auth/similar-key-is-refused"]
    assert "without --traffic" in run.output


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


def test_a_run_and_judge_give_the_same_outcomes_and_reasons(
    judge_file: Callable[..., Run], judge_entries: Callable[..., Judged]
) -> None:
    entries = entry(GOOD), entry(FRACTION, at=1), entry("", 302, at=2), entry(DETAIL, 401, at=3, key="")
    run, judged = judge_file(*entries), judge_entries(*entries)
    assert outcomes(run) == {rule.id: rule.outcome for rule in judged.values()}
    assert reasons(run) == {rule.id: rule.reason for rule in judged.values()}


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


def test_nothing_to_judge_is_exit_code_4(judge_file: Callable[..., Run]) -> None:
    run = judge_file(without_body())
    assert (run.code, "no recorded response can be judged" in run.output) == (4, True)


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


def test_an_invalid_entry_of_the_operation_is_reported(judge_file: Callable[..., Run]) -> None:
    run = judge_file(entry(GOOD), {**entry(GOOD), "startedDateTime": 3})
    assert run.code == 4
    assert "(entry 1 of capture.har) is not HAR 1.2: /startedDateTime is not a text" in run.output


@pytest.mark.parametrize(
    "option",
    [
        "--plan",
        "--intrusive",
        "--require-complete",
        "--header=X-A: b",
        "--max-rate=1",
        "--max-time=60",
        "--max-requests=9",
        "--answer-timeout=1",
        "--ca-file=ca.pem",
        "--proxy=http://127.0.0.1:9",
        "--hypothesis-profile=thorough",
    ],
)
def test_an_option_for_requests_is_refused(option: str, judge_file: Callable[..., Run]) -> None:
    run = judge_file(entry(GOOD), options=(option,))
    assert run.code == 4
    assert f"{option.partition('=')[0]}: it is for runs that send requests, and --traffic sends none" in run.output


def test_a_recording_needs_no_intrusive_run(judge_file: Callable[..., Run]) -> None:
    run = judge_file(entry(GOOD))
    assert reasons(run)["rate/429-is-complete"] == "no recorded response to a valid key has status 429"
    assert "--intrusive" not in run.output


@pytest.mark.parametrize("name", ["CONTRACT_PROXY", "CONTRACT_CA_FILE", "SSLKEYLOGFILE"])
def test_a_variable_for_connections_has_no_effect(
    name: str, judge_file: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "/no/such/file")
    assert judge_file(entry(GOOD)).code == 0


def test_a_deviation_that_a_recording_does_not_show_is_not_stale(
    judge_file: Callable[..., Run], tmp_path: Path
) -> None:
    entry_of = 'rule = "{}"\nreason = "r"\nowner = "o"\nticket = "T-1"\nexpires = 2999-01-01\n'
    (tmp_path / "deviations.toml").write_text("[[deviation]]\n" + entry_of.format(RATE_RULE))
    run = judge_file(entry(GOOD), options=("--known-deviations", "deviations.toml"))
    assert outcomes(run)[RATE_RULE] == "held"


def test_a_bot_challenge_is_not_a_response_of_the_deployment(judge_entries: Callable[..., Judged]) -> None:
    challenge = entry("<html>Just a moment...</html>", 403, at=1, received={"cf-mitigated": "challenge"})
    assert broken(judge_entries(entry(GOOD), challenge)) == []


def test_a_refused_key_counts_as_valid_only_if_it_was_given_or_accepted(
    judge_file: Callable[..., Run], judge_entries: Callable[..., Judged]
) -> None:
    key, rule = "har-key-0002-ghijkl", "auth/valid-key-is-200"
    entries = entry(GOOD), entry(DETAIL, 403, at=1, key=key)
    assert broken(judge_entries(*entries)) == []
    assert broken(judge_entries(*entries, keys=[key])) == [rule]
    assert outcomes(judge_file(*entries, options=("--api-key", key)))[rule] == "broken"


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


def test_several_deployments_need_a_base_url(judge_file: Callable[..., Run]) -> None:
    entries = entry(GOOD), entry(FRACTION, at=1, url="https://other.example/v1/usage", key="other-key-0002")
    run = judge_file(*entries)
    assert run.code == 4
    assert "several deployments: https://api.example, https://other.example/v1" in run.output
    assert judge_file(*entries, options=("--base-url", "https://api.example")).code == 0
    assert judge_file(*entries, options=("--base-url", "https://other.example/v1")).code == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not HAR"),
        ("[]", "is not HAR 1.2: /log is missing"),
        ('{"log": {"entries": 3}}', "is not HAR 1.2: /log/entries is not an array"),
        ('{"log": {"entries": [{}]}}', "1 exchange recorded, and none"),
        (json.dumps(har(entry(GOOD, url="https://api.example/other"))), "none of them is with /usage"),
        (json.dumps(har()), "0 exchanges recorded, and none"),
    ],
)
def test_a_file_that_cannot_be_judged_is_exit_code_4(
    text: str, problem: str, run_gate: Callable[..., Run], tmp_path: Path
) -> None:
    (tmp_path / "capture.har").write_text(text)
    run = run_gate("--traffic", "capture.har")
    assert run.code == 4
    assert problem in run.output
    assert "Traceback" not in run.output


def test_a_file_that_cannot_be_read_is_exit_code_4(run_gate: Callable[..., Run]) -> None:
    run = run_gate("--traffic", "no.har")
    assert (run.code, "no.har cannot be read: No such file" in run.output) == (4, True)


def test_several_files_are_one_recording(run_gate: Callable[..., Run], tmp_path: Path) -> None:
    for name, body in (("one", GOOD), ("two", FRACTION)):
        (tmp_path / f"{name}.har").write_text(json.dumps(har(entry(body))))
    run = run_gate("--traffic", "one.har", "--traffic", "two.har")
    assert run.code == 1
    assert "2 recorded exchanges" in run.output


def test_no_recorded_secret_is_in_any_output(judge_file: Callable[..., Run]) -> None:
    secrets = {"authorization": "Bearer t0p-secret-token", "cookie": "sid=t0p-secret-session"}
    cached = entry(GOOD, key="key-of-a-cached-entry", _fromCache="disk")
    elsewhere = entry(GOOD, url="https://api.example/other", key="key-of-another-path")
    echoed = entry(
        json.dumps({**METRICS, "api_key": "key-of-another-path", "success_rate": KEY + " key-of-a-cached-entry"}), at=1
    )
    queried = entry(FRACTION, at=2, url="https://api.example/usage?access_token=t0p-secret-query", sent=secrets)
    queried["request"]["postData"] = {"text": "t0p-secret-body"}
    run = judge_file(entry(GOOD), elsewhere, echoed, cached, queried)
    assert run.code == 1
    written = run.output + "".join(path.read_text() for path in (run.folder / "out").iterdir())
    assert [key for key in (KEY, "key-of-another-path", "key-of-a-cached-entry", "t0p-secret") if key in written] == []
