"""The matrix: exactly its rules notice each fault, each rule is proven, each correct variant is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract_tests.rules import rule_ids
from mock_server.faults import FOLDERS, load_fault
from mock_server.fixtures import folder
from tests.gate.matrix import run_against
from tests.gate.rules_document import DOCUMENT, document

BROKEN, CORRECT = (sorted(path.stem for path in (folder() / kind).glob("*.yaml")) for kind in FOLDERS)


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_is_noticed_by_exactly_its_rules(name: str, tmp_path: Path) -> None:
    fault = load_fault(name)
    result = run_against(fault, tmp_path)
    assert result.leaks == set()
    assert result.having("broken", "reported", "gate error") == set(fault.breaks), result.output


@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_variant_is_left_alone(name: str, tmp_path: Path) -> None:
    result = run_against(load_fault(name), tmp_path)
    assert result.leaks == set()
    assert result.having("broken", "gate error") == set(), result.output
    assert result.code == 0


def test_every_rule_is_proven_by_a_fault() -> None:
    assert set(rule_ids()) - {rule for name in BROKEN for rule in load_fault(name).breaks} == set()


def test_the_document_of_the_rules_is_current() -> None:
    assert DOCUMENT.read_text() == document(), "write it anew: python -m tests.gate.rules_document"


def test_the_sound_mock_keeps_every_rule(tmp_path: Path) -> None:
    result = run_against(None, tmp_path)
    assert result.leaks == set()
    assert {verdict.outcome for verdict in result.verdicts} == {"held"}, result.output
    assert result.code == 0
