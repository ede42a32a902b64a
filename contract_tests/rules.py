"""A rule is a pytest test function: its id, level, source and promise, read off the function."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from usage_contract.contract import LEVELS, Level

DOCUMENT = "document"
AUTHENTICATION_GUIDE = "authentication guide"
ERRORS_GUIDE = "errors guide"


@dataclass(frozen=True)
class Rule:
    """One promise: `id` such as auth/missing-key-is-401, its level, where it is written, and its sentence."""

    id: str
    level: Level
    source: str
    promise: str

    def is_above(self, level: Level) -> bool:
        """Whether a run at `level` only reports a failure of this rule."""
        return LEVELS.index(self.level) > LEVELS.index(level)


def rule_of(item: pytest.Item) -> Rule:
    """Read the rule off a test function; UsageError names what it lacks."""
    if not isinstance(item, pytest.Function):
        raise pytest.UsageError(f"{item.nodeid} is no rule: a rule is a test function")
    mark = item.get_closest_marker("rule")
    promise = " ".join((inspect.getdoc(item.function) or "").split())
    if mark is None or not promise or mark.kwargs.get("level") not in LEVELS:
        raise pytest.UsageError(f"{item.nodeid} is no rule: it needs a docstring and @rule(level=…, source=…)")
    group = item.path.stem.removeprefix("test_")
    name = item.originalname.removeprefix("test_").replace("_", "-")
    return Rule(f"{group}/{name}", mark.kwargs["level"], mark.kwargs["source"], promise)


def holds(problems: Iterable[str]) -> None:
    """Fail the rule with the problems, if there are any; the first few are told."""
    found = list(problems)
    if found:
        more = f"\n(and {len(found) - 3} more like these)" if len(found) > 3 else ""
        raise AssertionError("\n".join(found[:3]) + more)
