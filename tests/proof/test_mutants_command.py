"""The command that prints the mutants that the gate accepts."""

from __future__ import annotations

import pytest

from tools.mutants import main


def test_the_command_prints_a_survivor_with_its_reason_and_counts_other_mutants(
    capfd: pytest.CaptureFixture[str],
) -> None:
    main(["/fail dropped", "/fail negated"])
    assert capfd.readouterr().out.splitlines() == [
        "| `/fail dropped` | no member is required |",
        "1 of 2 mutants are accepted",
    ]
