"""Every mutant of a correct response is killed, or docs/mutants.md names it with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mutants import MUTANTS, SURVIVORS, is_let_through, run_against_mutant


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_killed_or_explained(name: str, tmp_path: Path) -> None:
    result = run_against_mutant(name, tmp_path)
    assert is_let_through(result) == (name in SURVIVORS), result.output


def test_no_survivor_is_named_that_is_no_mutant() -> None:
    assert SURVIVORS - MUTANTS.keys() == set()
