"""Each fault breaks exactly the rules that it names, each rule has a fault, and each correct variant is accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract_tests.support.rules import rule_ids
from mock_server.fixtures.faults import load_fault
from tests.support.proof import BROKEN, CORRECT, assert_accepted, assert_breaks_exactly_its_rules
from tools.rules_document import DOCUMENT, document, measured


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_breaks_exactly_its_rules(name: str, tmp_path: Path) -> None:
    assert_breaks_exactly_its_rules(name, tmp_path)


@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_variant_is_accepted(name: str, tmp_path: Path) -> None:
    assert_accepted(name, tmp_path)


def test_the_mock_without_a_fault_holds_every_rule(tmp_path: Path) -> None:
    assert_accepted(None, tmp_path)


def test_every_rule_is_proven_by_a_fault() -> None:
    assert set(rule_ids()) - {rule for name in BROKEN for rule in load_fault(name).breaks} == set()


def test_the_document_of_the_rules_is_current() -> None:
    assert DOCUMENT.read_text() == document(measured()), "run python -m tools.rules_document"
