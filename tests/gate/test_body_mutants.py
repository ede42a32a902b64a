"""A passive rule finds every mutant of the body that docs/mutants.md does not explain."""

from __future__ import annotations

import pytest

from tests.support.mutants import BODY_MUTANTS, ONLY_FOR_REQUESTS, SURVIVORS, is_noticed_offline
from tests.support.offline import judged, sound_exchanges


def test_passive_rules_find_no_problem_in_sound_exchanges() -> None:
    verdicts = judged(sound_exchanges()).all
    assert sum(verdict.outcome == "held" for verdict in verdicts) > 50
    assert [verdict for verdict in verdicts if verdict.findings] == []


@pytest.mark.parametrize("name", BODY_MUTANTS)
def test_a_body_mutant_is_noticed_or_explained(name: str) -> None:
    assert is_noticed_offline(name) == (name not in SURVIVORS | ONLY_FOR_REQUESTS)
