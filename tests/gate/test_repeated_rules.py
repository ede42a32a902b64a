"""A rule that a pytest plugin repeats keeps the worst verdict of its runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from contract_tests.reports.model import Outcome
from contract_tests.run.verdicts import Verdict
from contract_tests.support.rules import all_rules
from mock_server import UsageMock
from tests.support.gate import Run

RULE = "bypass/key-in-another-header-is-not-accepted"
REPEATS_FAILURES = """
import pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for _ in range(3):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if all(report.passed for report in reports):
            break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""
REPEATS_EVERYTHING = """
def pytest_generate_tests(metafunc):
    metafunc.fixturenames.append("_repetition")
    metafunc.parametrize("_repetition", range(2))
"""
PASSES_AT_LAST = REPEATS_FAILURES.replace(
    "    for report in reports:", "    for report in reports:\n        report.outcome, report.longrepr = 'passed', None"
)


@pytest.mark.parametrize("plugin", [REPEATS_FAILURES, REPEATS_EVERYTHING, PASSES_AT_LAST])
@pytest.mark.parametrize("also", ["", " or no_request_causes_5xx"])
def test_a_rule_that_is_broken_once_is_broken(
    plugin: str, also: str, run_gate: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "repeating.py").write_text(plugin)
    monkeypatch.syspath_prepend(tmp_path)
    with UsageMock(fault="bearer-token-is-accepted-once", rate_limit=False) as mock:
        chosen = ("-k", f"in_another_header{also}", "-p", "repeating", "--max-rate", "1000", "--report-dir", "out")
        run = run_gate("--base-url", mock.url, "--api-key", mock.api_key, *chosen)
    assert run.code == 1
    assert f"repeated: {RULE} ran " in run.output
    report = json.loads((tmp_path / "out" / "contract.json").read_text())
    assert report["verdict"] == "broken"
    assert [(rule["id"], rule["outcome"]) for rule in report["rules"] if rule["id"] == RULE] == [(RULE, "broken")]
    assert len({rule["id"] for rule in report["rules"]}) == len(report["rules"]) == 1 + bool(also)
    assert all(rule["runs"] > 1 for rule in report["rules"] if rule["id"] == RULE)
    assert len([request for request in report["timeline"] if request["rule"] == ""]) < 60


@pytest.mark.parametrize(
    ("outcome", "other", "worst"),
    [
        ("broken", "known deviation", "broken"),
        ("known deviation", "stale deviation", "known deviation"),
        ("reported", "stale deviation", "reported"),
        ("gate error", "stale deviation", "gate error"),
        ("stale deviation", "not tested", "stale deviation"),
        ("not tested", "held", "not tested"),
        ("held", "not applicable", "held"),
    ],
)
def test_the_worst_of_two_runs_counts_and_a_deviation_that_occurs_once_is_not_stale(
    outcome: Outcome, other: Outcome, worst: Outcome
) -> None:
    one, two = (Verdict(all_rules()[0], each) for each in (outcome, other))
    assert one.worst(two).outcome == two.worst(one).outcome == worst


def test_repeated_rules_that_hold_conform(
    run_gate: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "repeating.py").write_text(REPEATS_EVERYTHING)
    monkeypatch.syspath_prepend(tmp_path)
    run = run_gate("-k", "missing_key or in_the_query", "-p", "repeating")
    assert run.code == 0
    assert " selected; 2 held" in run.output
    assert "repeated: auth/missing-key-is-401 ran 2 times" in run.output
