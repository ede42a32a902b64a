"""The verdicts do not depend on the speed of the machine or of the deployment under test."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from contract_tests.support.rules import rule_ids
from mock_server.fixtures.deployments import Deployment, RateLimit
from tests.support.forked_gate import Job
from tests.support.proof import DEPLOYMENT, DEPLOYMENTS, run_job

TICKS = (0.00001, 0.001, 0.01)  # seconds that each write to the deployment takes
HIGH = RateLimit(rps=1000.0, burst=1000)  # the gate need not wait, so nothing but the ticks takes time
MAIN_KEY, MAIN_ACCOUNT = next(iter(DEPLOYMENT.keys.items()))


@dataclass(frozen=True)
class Setup:
    """A deployment, all of whose keys the gate has, and the gate's options."""

    deployment: Deployment
    options: tuple[str, ...] = ()


SETUPS = {
    "one key": Setup(replace(DEPLOYMENT, keys={MAIN_KEY: replace(MAIN_ACCOUNT, rate_limit=HIGH)})),
    "three keys and --intrusive": Setup(DEPLOYMENTS["raised"], ("--intrusive",)),
}


@pytest.mark.parametrize("setup", SETUPS)
def test_the_same_rules_are_held_and_not_tested_at_every_speed(setup: str, tmp_path: Path) -> None:
    chosen = SETUPS[setup]
    outcomes: dict[str, list[str]] = defaultdict(list)
    for tick in TICKS:
        folder = tmp_path / f"{tick:f}"
        folder.mkdir()
        result = run_job(Job(folder, None, chosen.deployment, writes_reports=False, tick=tick), *chosen.options)
        assert (result.code, result.having("broken", "reported", "gate error")) == (0, set()), result.output
        for verdict in result.verdicts:
            outcomes[verdict.rule.id].append(verdict.outcome)
    assert outcomes.keys() == set(rule_ids())
    assert {rule: found for rule, found in outcomes.items() if len(set(found)) > 1} == {}
