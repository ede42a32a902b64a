"""`--plan` states how many requests each rule sends, and a run sends that number."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from contract_tests.run.plan import AUTH_ERROR_SAMPLE, MAIN_KEY_SAMPLE, OTHER_KEY_SAMPLE
from mock_server import UsageMock
from tests.support.gate import Run
from tests.support.proof import run_against

CHECKOUT = Path(__file__).parents[2]
RunGate = Callable[..., Run]
COUNT = re.compile(r"(?m)^(\S+/\S+): (?:at least (\d+), at most )?(\d+)$")


def planned(output: str) -> dict[str, range]:
    """Return the possible numbers of requests by rule id."""
    return {name: range(int(first or most), int(most) + 1) for name, first, most in COUNT.findall(output)}


def test_each_rule_sends_as_many_requests_as_planned(run_gate: RunGate, tmp_path: Path) -> None:
    plan = planned(run_gate("--plan").output)
    (tmp_path / "proof").mkdir()
    result = run_against(None, tmp_path / "proof")
    sent = {verdict.rule.id: result.cost(verdict) for verdict in result.verdicts}
    wrong = {rule: count for rule, count in sent.items() if count not in plan.get(rule, range(1))}
    assert wrong == {}
    assert len(plan) > 40


def test_a_plan_needs_no_key_and_sends_nothing(run_gate: RunGate) -> None:
    run = run_gate("--plan", "--base-url", "http://127.0.0.1:9")
    assert run.code == 0
    assert "nothing was sent to http://127.0.0.1:9; a run sends" in run.output
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
    "rule", ["auth/missing-key-is-401", "auth/valid-key-is-200", "keys/only-the-header-selects-the-key"]
)
def test_a_plan_of_one_rule_counts_only_its_baseline_requests(rule: str, run_gate: RunGate) -> None:
    chosen = ("--rule", rule)
    plan = run_gate(*chosen, "--plan").output
    total = re.search(r"in total (?:at least (\d+) and at most )?(\d+) requests: (.*) at ", plan)
    assert total
    sent = re.search(r"(?m)^(\d+) requests in ", run_gate(*chosen).output)
    assert sent
    assert int(total[1] or total[2]) <= int(sent[1]) <= int(total[2])
    assert not total[3].startswith("0")
