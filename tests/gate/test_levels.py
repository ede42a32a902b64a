"""Every rule can be run at every level, also at those whose contract has fewer operations."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.gate import Run
from usage_contract.levels import LEVELS


@pytest.mark.parametrize("level", LEVELS)
def test_the_embedded_mock_conforms_at_each_level(level: str, run_gate: Callable[..., Run]) -> None:
    run = run_gate("--level", level)
    assert (run.code, f" conforms at level {level}" in run.output) == (0, True), run.output
    assert run.outcomes["robustness/other-routes-are-unknown"] == "held"  # the overview is a known route at each level
