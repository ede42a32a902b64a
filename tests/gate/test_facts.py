"""Rules need facts about the deployment, so that a known deviation of one rule does not switch off other rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from contract_tests.support import wrong_keys
from contract_tests.support.facts import (
    FACTS,
    MISSING_KEY_REFUSED,
    READABLE_BODY,
    UNKNOWN_KEY_REFUSED,
    VALID_KEY,
    Baseline,
)
from contract_tests.wire.messages import Credential, Exchange, Request
from mock_server import UsageMock
from tests.support.gate import Run
from tests.support.reports import listed

RunGate = Callable[..., Run]
MAIN = Credential(b"main-key", "the main key")
MEMBERS = frozenset({"total", "success"})
METRICS = b'{"total": 1, "success": 1}'
FEW = ("-k", "missing_key or in_the_query or error_body", "--max-rate", "1000", "--report-dir", "out")


def exchange(credential: Credential | None, status: int | None, body: bytes = b"{}") -> Exchange:
    return Exchange(Request("GET", b"/usage", (), credential=credential), status, payload=body)


def baseline(*exchanges: Exchange) -> Baseline:
    return Baseline.of(exchanges, MEMBERS)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 429, 500])
def test_any_status_but_2xx_is_a_refusal(status: int) -> None:
    refused = baseline(exchange(None, status), exchange(wrong_keys.UNKNOWN, status))
    assert MISSING_KEY_REFUSED.holds(refused)
    assert UNKNOWN_KEY_REFUSED.holds(refused)
    assert refused.refusals(None) == refused.refusals(wrong_keys.UNKNOWN) == {401, 403, status}


@pytest.mark.parametrize(("status", "body"), [(200, b"{}"), (204, b""), (403, METRICS), (None, b"")])
def test_2xx_usage_metrics_and_a_missing_response_are_not_a_refusal(status: int | None, body: bytes) -> None:
    accepted = baseline(exchange(None, 401), exchange(None, status, body), exchange(wrong_keys.UNKNOWN, 403))
    assert not MISSING_KEY_REFUSED.holds(accepted)
    assert UNKNOWN_KEY_REFUSED.holds(accepted)
    assert accepted.refusals(None) == {401, 403}


def test_every_baseline_request_with_a_valid_key_counts() -> None:
    good = exchange(MAIN, 200, METRICS)
    assert VALID_KEY.holds(baseline(good, exchange(None, 401)))
    assert not VALID_KEY.holds(baseline(good, exchange(MAIN, 503)))
    assert READABLE_BODY.holds(baseline(good))
    assert not READABLE_BODY.holds(baseline(good, exchange(MAIN, 200, b"[]")))


def test_each_fact_has_a_different_reason() -> None:
    assert len({fact.missing for fact in FACTS}) == len({fact.name for fact in FACTS}) == len(FACTS)


def run_listed(run_gate: RunGate, folder: Path, rule: str, fault: str, *arguments: str) -> Run:
    """Run the gate with a known deviation against the default deployment with a fault."""
    with UsageMock(fault=fault, rate_limit=False) as mock:
        known = ("--known-deviations", listed(folder, rule))
        return run_gate("--base-url", mock.url, "--api-key", mock.api_key, *known, *arguments)


def test_a_known_deviation_does_not_switch_off_the_rules_about_bypasses(run_gate: RunGate, tmp_path: Path) -> None:
    fault = "missing-key-is-403-query-key-is-accepted"
    run = run_listed(run_gate, tmp_path, "auth/missing-key-is-401", fault, *FEW)
    assert run.code == 1
    assert run.failed == {"bypass/key-in-the-query-is-not-accepted"}


def test_a_single_rule_checks_its_facts(run_gate: RunGate, tmp_path: Path) -> None:
    fault = "missing-key-is-200-with-a-detail"
    chosen = ("-k", "in_the_query", "--max-rate", "1000", "--require-complete")
    run = run_listed(run_gate, tmp_path, "auth/missing-key-is-401", fault, *chosen)
    reason = f"not tested: bypass/key-in-the-query-is-not-accepted: {MISSING_KEY_REFUSED.missing}"
    assert reason in run.output
    assert run.code == 4


def test_rules_that_a_known_deviation_leaves_unproven_are_listed(run_gate: RunGate, tmp_path: Path) -> None:
    fault = "missing-key-is-200-with-a-detail"
    run = run_listed(run_gate, tmp_path, "auth/missing-key-is-401", fault, *FEW)
    assert run.code == 0
    assert "not tested because of it: bypass/key-in-the-query-is-not-accepted" in run.output
    report = json.loads((tmp_path / "out" / "contract.json").read_text())
    assert report["verdict"] == "partial"
    unproven = {rule["id"]: rule["unproven"] for rule in report["rules"] if rule["unproven"]}
    assert unproven == {"auth/missing-key-is-401": ["bypass/key-in-the-query-is-not-accepted"]}
    for name in ("contract.md", "contract.html"):
        assert (
            "Not tested because of it: bypass/key-in-the-query-is-not-accepted" in (tmp_path / "out" / name).read_text()
        )


def test_a_known_deviation_of_one_member_does_not_switch_off_rules_about_other_members(
    run_gate: RunGate, tmp_path: Path
) -> None:
    fault = "total-is-a-text-domains-are-unranked"
    chosen = ("-k", "specified_types or are_sorted or exceed_total", "--max-rate", "1000", "--api-key", "demo-modest")
    run = run_listed(run_gate, tmp_path, "schema/body-has-the-specified-types", fault, *chosen)
    assert run.failed == {"consistency/top-domains-are-sorted"}
    assert "not tested because of it: consistency/success-and-fail-do-not-exceed-total" in run.output
