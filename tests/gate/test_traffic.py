"""A HAR file as the subject of a run: its options, its reports and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.gate import Run
from tests.support.har import DETAIL, FRACTION, GOOD, KEY, METRICS, Judged, broken, entry, har
from tests.support.reports import report

RATE_RULE = "consistency/success-rate-is-the-percentage-of-success"


def outcomes(run: Run) -> dict[str, str]:
    return {rule["id"]: rule["outcome"] for rule in report(run)["rules"]}


def reasons(run: Run) -> dict[str, str]:
    return {rule["id"]: rule["reason"] for rule in report(run)["rules"]}


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


def test_a_run_and_judge_give_the_same_outcomes_and_reasons(
    judge_file: Callable[..., Run], judge_entries: Callable[..., Judged]
) -> None:
    entries = entry(GOOD), entry(FRACTION, at=1), entry("", 302, at=2), entry(DETAIL, 401, at=3, key="")
    run, judged = judge_file(*entries), judge_entries(*entries)
    assert outcomes(run) == {rule.id: rule.outcome for rule in judged.values()}
    assert reasons(run) == {rule.id: rule.reason for rule in judged.values()}


def test_nothing_to_judge_is_exit_code_4(judge_file: Callable[..., Run]) -> None:
    run = judge_file(without_body())
    assert (run.code, "no recorded response can be judged" in run.output) == (4, True)


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


def test_a_refused_key_counts_as_valid_only_if_it_was_given_or_accepted(
    judge_file: Callable[..., Run], judge_entries: Callable[..., Judged]
) -> None:
    key, rule = "har-key-0002-ghijkl", "auth/valid-key-is-200"
    entries = entry(GOOD), entry(DETAIL, 403, at=1, key=key)
    assert broken(judge_entries(*entries)) == []
    assert broken(judge_entries(*entries, keys=[key])) == [rule]
    assert outcomes(judge_file(*entries, options=("--api-key", key)))[rule] == "broken"


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


REPEATED: dict[str, dict[str, Any]] = {
    "a query": {"url": "https://api.example/usage?access_token=t0p-secret"},
    "an authorization": {"sent": {"authorization": "Bearer t0p-secret"}},
    "a cookie": {"sent": {"cookie": "theme=dark; sid=t0p-secret"}},
    "a key that a tool removed": {"key": "REDACTED"},
}


@pytest.mark.parametrize("place", REPEATED)
def test_a_credential_that_a_response_repeats_is_redacted(place: str, judge_file: Callable[..., Run]) -> None:
    shown = json.dumps({**METRICS, "api_key": "t0p-secret", "debug": "Traceback (most recent call last): t0p-secret"})
    run = judge_file(entry(GOOD), entry(shown, at=1, **({"key": ""} | REPEATED[place])))
    assert "broken: errors/responses-do-not-disclose-internals" in run.output
    written = run.output + "".join(path.read_text() for path in (run.folder / "out").iterdir())
    assert "<redacted:2>" in run.output
    assert "t0p-secret" not in written


WORDS: dict[str, dict[str, Any]] = {
    "a query": {"url": "https://api.example/usage?fields=success_rate,total"},
    "a cookie": {"sent": {"cookie": "view=percentage"}},
}


@pytest.mark.parametrize("place", WORDS)
def test_words_of_a_query_or_a_cookie_are_not_redacted(place: str, judge_file: Callable[..., Run]) -> None:
    run = judge_file(entry(GOOD), entry(FRACTION, at=1, **WORDS[place]))
    assert "<redacted:2>" not in run.output
