"""The conventions of rules: the ids that they name, and the findings that count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import contract_tests
from contract_tests.run.baseline import BaselineSender
from contract_tests.run.runner import Runner
from contract_tests.run.verdicts import FIRST_REQUEST_RULE
from contract_tests.support.facts import FACTS
from contract_tests.support.findings import BrokenPromiseError, Finding
from contract_tests.support.rules import rule_ids, rule_named
from contract_tests.wire.messages import Exchange, Request
from contract_tests.wire.not_tested import NotTested
from tests.support.transport import gate_for

EXCHANGE = Exchange(Request("GET", b"/usage", ()), 200)


def named_rules() -> Iterator[str]:
    """Yield every id that a rule repeats."""
    for file in Path(contract_tests.__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "repeats":
                yield from (str(each.value) for each in ast.walk(node.value) if isinstance(each, ast.Constant))


def test_rules_name_only_rules() -> None:
    named = {*named_rules(), *(rule for fact in FACTS for rule in fact.reported_by)}
    assert len(named) > 10
    assert named - set(rule_ids()) == set()


def test_a_missing_first_200_is_reported_by_a_rule_of_every_level() -> None:
    assert rule_named(FIRST_REQUEST_RULE).level == "specified"


def test_findings_count_even_if_a_rule_could_not_be_tested_completely() -> None:
    runner = Runner(BaselineSender(gate_for()))

    def rule(findings: list[Finding]) -> Iterator[Finding]:
        yield from findings
        raise NotTested("the budget is spent")

    with pytest.raises(BrokenPromiseError, match="it was accepted"):
        runner.run(rule([Finding("it was accepted", EXCHANGE)]))
    with pytest.raises(NotTested):
        runner.run(rule([]))
