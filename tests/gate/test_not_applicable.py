"""A rule whose subject no response has is not applicable, and one that a single key cannot test is not tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mock_server import UsageMock
from tests.support.gate import Respond, Run, http_response
from tests.support.reports import listed, rules_of

RunGate = Callable[..., Run]
STRONG_ETAG = "cache/strong-etag-identifies-one-body"
# The shipped mock sends no entity tag, cookie, redirect, part, compressed body, or identifier of a request.
OF_THE_SHIPPED_MOCK = {
    "bypass/response-cookie-is-not-accepted",
    "cache/304-has-no-metadata-of-a-body",
    "cache/304-has-the-etag",
    "cache/304-has-the-fields-for-caches",
    "cache/304-states-a-possible-length",
    "cache/age-is-in-whole-seconds",
    "cache/allowed-origin-has-vary",
    "cache/announced-parts-are-sent",
    "cache/cookies-are-not-shared-by-caches",
    "cache/current-etag-is-200-or-304",
    "cache/each-coding-has-its-own-etag",
    "cache/equal-bodies-have-one-etag",
    "cache/etag-is-well-formed",
    "cache/if-range-is-respected",
    "cache/last-modified-is-not-later-than-date",
    "cache/lifetime-has-vary",
    "cache/matching-etag-is-304",
    "cache/negotiated-coding-has-vary",
    "cache/parts-have-their-stated-size",
    "cache/validators-change-with-the-metrics",
    STRONG_ETAG,
    "errors/redirects-do-not-contain-keys",
    "http/connection-lasts-as-long-as-stated",
    "http/content-security-policy-restricts-scripts",
    "http/cookies-are-protected",
    "http/cookies-are-well-formed",
    "http/deflate-has-the-zlib-format",
    "http/digests-match-the-body",
    "http/referrer-policy-protects-urls",
    "http/request-identifiers-differ",
    "http/trailer-fields-are-announced",
    "http/upgrade-is-a-connection-option",
    "keys/each-key-has-its-own-etags",
    "rate/200-fields-agree-with-the-body",
    "rate/reset-is-not-in-the-past",
    "robustness/redirects-have-a-location",
}


@pytest.fixture
def run_against(run_gate: RunGate) -> Callable[..., tuple[Run, dict[str, Any]]]:
    """Run the gate against a mock with a fault and one key, and return the run and its rules by id."""

    def run(fault: str | None, *arguments: str) -> tuple[Run, dict[str, Any]]:
        with UsageMock(rate_limit=False, fault=fault) as mock:
            given = ("--base-url", mock.url, "--api-key", mock.api_key, "--report-dir", "out", *arguments)
            done = run_gate(*given)
        return done, rules_of(done)

    return run


def test_the_shipped_mock_has_no_subject_for_some_rules_and_keeps_all_others(run_gate: RunGate) -> None:
    run = run_gate("--report-dir", "out")
    rules = rules_of(run)
    assert {name for name, rule in rules.items() if rule["outcome"] == "not applicable"} == OF_THE_SHIPPED_MOCK
    assert {rule["outcome"] for rule in rules.values()} == {"held", "not applicable"}
    held = len(rules) - len(OF_THE_SHIPPED_MOCK)
    assert f"rules: {len(rules)} selected; {held} held, {len(OF_THE_SHIPPED_MOCK)} not applicable" in run.output
    assert (run.code, " conforms at level documented" in run.output) == (0, True)  # no rule is untested


def test_a_deployment_with_entity_tags_is_tested_for_them(run_against: Callable[..., Any]) -> None:
    _, rules = run_against("responses-have-entity-tags")
    assert (
        rules["cache/etag-is-well-formed"]["outcome"] == rules["cache/current-etag-is-200-or-304"]["outcome"] == "held"
    )


def test_a_selection_of_rules_without_a_subject_has_tested_nothing(run_against: Callable[..., Any]) -> None:
    run, rules = run_against(None, "--rule", STRONG_ETAG)
    assert (run.code, rules[STRONG_ETAG]["outcome"]) == (4, "not applicable")
    assert "could not be tested" in run.output
    assert f"not applicable: {STRONG_ETAG}: no 200 response has a strong ETag" in run.output


def test_a_known_deviation_of_a_rule_without_a_subject_is_not_stale(
    run_against: Callable[..., Any], tmp_path: Path
) -> None:
    run, rules = run_against(None, "--known-deviations", listed(tmp_path, STRONG_ETAG))
    assert (run.code, rules[STRONG_ETAG]["outcome"]) == (0, "not applicable")


def test_one_key_does_not_show_whose_metrics_a_response_has(run_against: Callable[..., Any]) -> None:
    _, rules = run_against("api-key-is-an-account-name")
    assert {
        name for name, rule in rules.items() if rule["reason"].startswith("api_key does not show the only key")
    } == {"keys/api-key-is-the-one-sent", "keys/api-key-is-the-one-sent-in-other-responses"}
    assert rules["keys/first-response-is-like-later-ones"]["outcome"] == "not tested"


@pytest.mark.parametrize(("status", "outcome"), [(404, "not applicable"), (503, "not tested")])
def test_only_a_missing_health_check_makes_its_rule_inapplicable(
    status: int, outcome: str, serve: Callable[[Respond], str], run_gate: RunGate
) -> None:
    def respond(head: bytes) -> bytes:
        return http_response(b"{}", f"{status} Error") if head.startswith(b"GET /healthz") else http_response(b"{}")

    rule = "auth/public-operation-needs-no-key"
    options = ("--api-key", "a-key-of-the-tests", "--rule", rule, "--report-dir", "out")
    assert rules_of(run_gate("--base-url", serve(respond), *options))[rule]["outcome"] == outcome
