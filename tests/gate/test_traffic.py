"""Recorded traffic: a HAR file is judged by the rules that send nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.gate import Run
from tests.support.har import KEY, entry, har

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


@pytest.fixture
def judge_file(run_gate: Callable[..., Run], tmp_path: Path) -> Callable[..., Run]:
    """Run the gate over a HAR file with these entries."""

    def run(*entries: Mapping[str, Any], options: tuple[str, ...] = ()) -> Run:
        (tmp_path / "capture.har").write_text(json.dumps(har(*entries)))
        return run_gate("--traffic", "capture.har", "--report-dir", "out", *options)

    return run


def report(run: Run) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((run.folder / "out" / "contract.json").read_text())
    return data


def outcomes(run: Run) -> dict[str, str]:
    return {rule["id"]: rule["outcome"] for rule in report(run)["rules"]}


def reasons(run: Run) -> dict[str, str]:
    return {rule["id"]: rule["reason"] for rule in report(run)["rules"]}


def test_correct_traffic_is_partial_and_green(judge_file: Callable[..., Run]) -> None:
    encoded = {"content-encoding": "br"}  # of which HAR contains the decoded body
    run = judge_file(*(entry(GOOD, at=at, received=encoded) for at in range(4)), entry(DETAIL, 401, key="", at=5))
    assert run.code == 0
    assert report(run)["verdict"] == "partial"
    assert "5 recorded exchanges, and no request was sent" in run.output
    assert {outcomes(run)[rule] for rule in ("schema/body-is-json", RATE_RULE, "auth/valid-key-is-200")} == {"held"}
    assert outcomes(run)["errors/error-body-is-json-with-a-detail"] == "held"


def test_broken_traffic_is_red_with_the_entry_that_shows_it(judge_file: Callable[..., Run]) -> None:
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


def test_rules_about_what_har_lacks_are_not_tested(judge_file: Callable[..., Run]) -> None:
    run = judge_file(entry(GOOD, received={"content-encoding": "gzip"}))
    lacking = {
        "http/status-line-is-well-formed": "bytes of the responses' heads",
        "http/responses-are-complete": "how the responses were delimited",
        "http/content-encoding-matches-the-body": "without their content coding",
        "auth/unknown-key-is-refused": "which keys were never issued",
    }
    assert {outcomes(run)[rule] for rule in lacking} == {"not tested"}
    assert [rule for rule, text in lacking.items() if text not in reasons(run)[rule]] == []


def test_rules_about_one_run_are_not_tested_in_a_long_recording(judge_file: Callable[..., Run]) -> None:
    rule = "keys/metrics-of-a-key-are-steady"
    assert outcomes(judge_file(entry(GOOD), entry(GOOD, at=60)))[rule] == "held"
    assert "longer than a run" in reasons(judge_file(entry(GOOD), entry(GOOD, at=3600)))[rule]


@pytest.mark.parametrize(
    "more",
    [
        {"_fromCache": "disk"},
        {"_fetchType": "Memory Cache"},
        {"_fetchedViaServiceWorker": True},
        {"cache": {"afterRequest": None}},
        {"url": "https://api.example/usage/other"},
        {"status": 0},
        {"method": "OPTIONS", "key": "", "sent": {"access-control-request-method": "GET"}},
        {"status": 307, "received": {"non-authoritative-reason": "HSTS"}},
    ],
    ids=str,
)
def test_entries_without_a_response_of_the_deployment_are_skipped(
    more: dict[str, Any], judge_file: Callable[..., Run]
) -> None:
    status = more.pop("status", 200)
    run = judge_file(entry(GOOD), entry("broken", status, at=1, **more))
    assert run.code == 0
    assert report(run)["requests"] == 1


def test_a_bot_challenge_is_not_a_response_of_the_deployment(judge_file: Callable[..., Run]) -> None:
    challenge = entry("<html>Just a moment...</html>", 403, at=1, received={"cf-mitigated": "challenge"})
    assert judge_file(entry(GOOD), challenge).code == 0


def test_a_refused_key_counts_as_valid_only_if_it_was_given_or_accepted(judge_file: Callable[..., Run]) -> None:
    refused = entry(DETAIL, 403, at=1, key="har-key-0002-ghijkl")
    assert judge_file(entry(GOOD), refused).code == 0
    given = judge_file(entry(GOOD), refused, options=("--api-key", "har-key-0002-ghijkl"))
    assert outcomes(given)["auth/valid-key-is-200"] == "broken"


def test_refused_requests_alone_are_judged(judge_file: Callable[..., Run]) -> None:
    run = judge_file(entry('{"error": "no"}', 401, key=""))
    assert run.code == 1
    assert outcomes(run)["errors/error-body-is-json-with-a-detail"] == "broken"
    assert outcomes(run)["schema/body-is-json"] == "not tested"


def test_a_response_without_a_key_is_not_judged_because_captures_lack_secrets(judge_file: Callable[..., Run]) -> None:
    assert judge_file(entry(GOOD), entry(FRACTION, at=1, key="")).code == 0


def test_concurrent_requests_have_no_order(judge_file: Callable[..., Run]) -> None:
    by_protocol = {**METRICS["by_protocol"], "ws": 429}
    less = json.dumps({**METRICS, "total": 12341, "success": 12010, "by_protocol": by_protocol})
    falling = "consistency/counters-do-not-decrease"
    assert outcomes(judge_file(entry(GOOD), entry(less, at=0.005)))[falling] == "held"
    assert outcomes(judge_file(entry(GOOD), entry(less, at=1)))[falling] == "reported"


def test_a_single_busy_response_is_judged_with_a_tolerance(judge_file: Callable[..., Run]) -> None:
    busy = json.dumps({**METRICS, "success": 12013})  # read a moment after total
    assert judge_file(entry(busy)).code == 0


def test_a_body_that_was_not_recorded_is_not_judged(judge_file: Callable[..., Run]) -> None:
    without = entry(GOOD)
    del without["response"]["content"]["text"]
    run = judge_file(without)
    assert "lacks the body of a response" in reasons(run)["schema/body-is-json"]


def test_a_base64_body_is_decoded(judge_file: Callable[..., Run]) -> None:
    coded = entry(base64.b64encode(GOOD.encode()).decode())
    coded["response"]["content"]["encoding"] = "base64"
    assert outcomes(judge_file(coded))["schema/body-is-json"] == "held"


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
        ('{"log": {"entries": 3}}', "is not HAR 1.2: /log/entries is of another type"),
        ('{"log": {"entries": [{}]}}', "is not HAR 1.2: /log/entries/0: /response is missing"),
        (json.dumps(har(entry(GOOD, url="https://api.example/other"))), "none of them is with /usage"),
        (json.dumps(har()), "0 exchanges are recorded, and none"),
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


def test_no_recorded_key_is_in_any_output(judge_file: Callable[..., Run]) -> None:
    elsewhere = entry(GOOD, url="https://api.example/other", key="key-of-another-path")
    echoed = entry(json.dumps({**METRICS, "api_key": "key-of-another-path", "success_rate": KEY}), at=1)
    run = judge_file(entry(GOOD), elsewhere, echoed)
    assert run.code == 1
    written = run.output + "".join(path.read_text() for path in (run.folder / "out").iterdir())
    assert [key for key in (KEY, "key-of-another-path") if key in written] == []
