"""`--plan` states how many requests each rule usually sends, and a run against the mock sends that number."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from contract_tests.run.plan import AUTH_ERROR_SAMPLE, MAIN_KEY_SAMPLE, OF_RULES, OTHER_KEY_SAMPLE, PACE, requests_of
from contract_tests.support.rules import all_rules
from mock_server import UsageMock
from tests.support.gate import Run
from tests.support.proof import run_against

CHECKOUT = Path(__file__).parents[2]
RunGate = Callable[..., Run]


def test_each_rule_sends_the_planned_number_of_requests(run_gate: RunGate, tmp_path: Path) -> None:
    (tmp_path / "proof").mkdir()
    result = run_against(None, tmp_path / "proof")
    sent = {verdict.rule.id: result.cost(verdict) for verdict in result.verdicts}
    typical = {rule: count for rule, count in requests_of(all_rules(), intrusive=True).items() if count}
    assert {rule: count for rule, count in sent.items() if count} == typical, "run python -m tools.rules_document"
    assert {rule.id for rule in all_rules() if not rule.sends_requests} & OF_RULES.keys() == set()
    plan = run_gate("--plan").output
    assert {rule: int(count) for rule, count in re.findall(r"(?m)^(\S+/\S+): (\d+)$", plan)} == typical
    assert f"in total about {result.shared + sum(sent.values())} requests (--max-requests allows 1000), " in plan


def test_a_plan_needs_no_key_and_sends_nothing(run_gate: RunGate) -> None:
    run = run_gate("--plan", "--base-url", "http://127.0.0.1:9")
    assert run.code == 0
    assert "nothing was sent to http://127.0.0.1:9; a run usually sends" in run.output
    assert "bucket/burst-is-not-exceeded: none without --intrusive" in run.output
    assert "50 (24 with the main key, 9 with key 2, 9 with key 3, 4 without a key, 4 with an unknown key)" in run.output


def test_the_documented_numbers_of_baseline_requests_are_those_of_the_plan() -> None:
    text = (CHECKOUT / "docs" / "gate.md").read_text()
    assert (
        f"In all, a run sends {MAIN_KEY_SAMPLE} with the main key, {OTHER_KEY_SAMPLE} with each further key, "
        f"{AUTH_ERROR_SAMPLE} without a key, and {AUTH_ERROR_SAMPLE} with an unknown key."
    ) in text


def test_a_plan_counts_the_keys_that_are_given(run_gate: RunGate) -> None:
    with UsageMock() as mock:
        run = run_gate("--plan", "--base-url", mock.url, "--api-key", mock.api_key)
    assert "32 (24 with the main key, 4 without a key, 4 with an unknown key)" in run.output
    assert len(mock.requests) == 0


@pytest.mark.parametrize(
    "rule",
    [
        "auth/missing-key-is-401",
        "auth/valid-key-is-200",
        "keys/only-the-header-selects-the-key",
        "methods/head-matches-get",
    ],
)
def test_a_plan_of_one_rule_counts_only_its_baseline_requests(rule: str, run_gate: RunGate) -> None:
    chosen = ("--rule", rule)
    total = re.search(r"in total about (\d+) requests ", run_gate(*chosen, "--plan").output)
    sent = re.search(r"(?m)^(\d+) requests in ", run_gate(*chosen).output)
    assert total
    assert sent
    assert total[1] == sent[1]


def test_a_plan_states_the_time_at_the_given_pace(run_gate: RunGate) -> None:
    keys = ("--base-url", "http://127.0.0.1:9", "--api-key=key-1", "--api-key=key-2", "--api-key=key-3")
    usual = run_gate("--plan", *keys).output
    (requests,) = re.findall(r"in total about (\d+) requests", usual)
    assert f"about {int(requests) / PACE:.0f} s at the vendor's limit of 10 requests a second" in usual
    slow = run_gate("--plan", *keys, "--max-rate", "2", "--max-requests", "100").output
    assert "in total about 100 requests (--max-requests allows 100), about 50 s at --max-rate 2" in slow
    selected = run_gate("--plan", *keys, "--rule", "auth/missing-key-is-401").output
    assert "about 1 s at the vendor's" in selected
