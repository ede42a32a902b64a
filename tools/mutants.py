"""Prints the mutants that the gate accepts, with the reasons in docs/mutants.md: `python -m tools.mutants`."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from tests.support.mutants import (
    BODY_MUTANTS,
    DOCUMENT,
    MUTANTS,
    ONLY_FOR_REQUESTS,
    is_accepted,
    is_noticed_offline,
    run_against_mutant,
)


def survivors(names: Iterable[str]) -> Iterator[str]:
    """Judge each mutant, and yield those that no rule notices."""
    for name in names:
        if name in BODY_MUTANTS and name not in ONLY_FOR_REQUESTS:
            if not is_noticed_offline(name):
                yield name
            continue
        with tempfile.TemporaryDirectory() as folder:
            if is_accepted(run_against_mutant(name, Path(folder))):
                yield name


def row(name: str) -> str:
    """Return the row of a survivor in docs/mutants.md."""
    reasons = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE))
    return f"| `{name}` | {reasons.get(name, 'NOT EXPLAINED')} |"


def main(words: Collection[str]) -> None:
    """Print a row for each survivor among all mutants, or among those whose names contain one of the words."""
    chosen = [name for name in MUTANTS if not words or any(word in name for word in words)]
    found = []
    for name in survivors(chosen):
        found.append(name)
        sys.stdout.write(row(name) + "\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(found)} of {len(chosen)} mutants are accepted\n")


if __name__ == "__main__":
    main(sys.argv[1:])
