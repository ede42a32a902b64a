"""The gate rejects every mutant of a status, a header or a bucket that docs/mutants.md does not explain."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mutants import HEAD_MUTANTS, MUTANTS, ONLY_FOR_REQUESTS, SURVIVORS, is_accepted, run_against_mutant


@pytest.mark.parametrize("name", [*HEAD_MUTANTS, *sorted(ONLY_FOR_REQUESTS)])
def test_a_mutant_is_rejected_or_explained(name: str, tmp_path: Path) -> None:
    result = run_against_mutant(name, tmp_path)
    assert is_accepted(result) == (name in SURVIVORS), result.output


def test_only_mutants_are_explained() -> None:
    assert SURVIVORS - MUTANTS.keys() == set()
