"""A rule is a pytest test function: its id, level, source and promise, read off the function."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from _pytest.outcomes import Skipped  # what pytest.skip raises; pytest exports it untyped

from contract_tests.facts import Fact
from usage_contract.contract import LEVELS, Level

DOCUMENT = "document"
AUTHENTICATION_GUIDE = "authentication guide"
ERRORS_GUIDE = "errors guide"
HEADER_ONLY = f"{AUTHENTICATION_GUIDE}: a key is taken from the X-API-Key header only"
KEY_NEEDED = f"{AUTHENTICATION_GUIDE}: every endpoint but GET / and GET /healthz needs a key"


@dataclass(frozen=True)
class Rule:
    """One promise: `id` such as auth/missing-key-is-401, its level, where it is written, and its sentence.

    `facts` are what the deployment must have for this rule to be tested. `repeats` are the ids of rules that find the
    same defect in the same exchanges: where one of them is broken, this rule is not tested. An `intrusive` rule can
    affect other users of the deployment. A rule that is `over_all` exchanges needs the whole run.
    """

    id: str
    level: Level
    source: str
    promise: str
    facts: tuple[Fact, ...] = ()
    repeats: tuple[str, ...] = ()
    intrusive: bool = False
    over_all: bool = False

    def is_above(self, level: Level) -> bool:
        """Whether a run at `level` only reports a failure of this rule."""
        return LEVELS.index(self.level) > LEVELS.index(level)


@cache
def rule_of(item: pytest.Item) -> Rule:
    """Read the rule off a test function; UsageError names what it lacks."""
    if not isinstance(item, pytest.Function):
        raise pytest.UsageError(f"{item.nodeid} is no rule: a rule is a test function")
    mark = item.get_closest_marker("rule")
    promise = " ".join((inspect.getdoc(item.function) or "").split())
    if mark is None or not promise or mark.kwargs.get("level") not in LEVELS:
        raise pytest.UsageError(f"{item.nodeid} is no rule: it needs a docstring and @rule(level=…, source=…)")
    needs = [each for marked in item.iter_markers("needs") for each in marked.args]
    facts = tuple(each for each in needs if isinstance(each, Fact))
    repeats = tuple(each for each in needs if isinstance(each, str))
    name = rule_id(item.path.stem, item.originalname)
    intrusive = item.get_closest_marker("intrusive") is not None
    return Rule(
        name,
        mark.kwargs["level"],
        mark.kwargs["source"],
        promise,
        facts,
        repeats,
        intrusive,
        "journal" in item.fixturenames,
    )


def rule_id(module: str, function: str) -> str:
    """Derive a rule's id: `test_auth`, `test_missing_key_is_401` is auth/missing-key-is-401."""
    return f"{module.removeprefix('test_')}/{function.removeprefix('test_').replace('_', '-')}"


@cache
def rule_ids() -> tuple[str, ...]:
    """Return the id of every rule of the gate, also of those that a run does not select."""
    files = sorted(Path(__file__).parent.glob("test_*.py"))
    functions = [(file.stem, node) for file in files for node in ast.parse(file.read_text("utf-8")).body]
    return tuple(
        rule_id(module, node.name)
        for module, node in functions
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def unknown_rule(name: str, rules: Collection[str]) -> str:
    """Return the message for a name that is not a rule's id, with the nearest id."""
    near = difflib.get_close_matches(name, rules, 1)
    return f"{name} is not a rule" + (f"; did you mean {near[0]}?" if near else "; --rules lists them")


def holds(problems: Iterable[str]) -> None:
    """Fail the rule with the problems, if there are any; the first few are told.

    What was found counts, even if then the rest could not be tested.
    """
    found: list[str] = []
    try:
        for problem in problems:
            found.append(problem)  # noqa: PERF402 - what came before a failure counts
    except Skipped:
        if not found:
            raise
    if found:
        more = f"\n(and {len(found) - 3} more like these)" if len(found) > 3 else ""
        raise AssertionError("\n".join(found[:3]) + more)
