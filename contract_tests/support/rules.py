"""Rules: one promise each, checked by one pytest test function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cache, partial, wraps
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

import pytest

from contract_tests.support.facts import Fact
from contract_tests.wire.messages import Aspect
from usage_contract.levels import LEVELS, Level
from usage_contract.suggestions import closest_match

FAMILIES = (
    "auth", "bypass", "schema", "errors", "consistency", "keys",
    "rate", "bucket", "methods", "http", "cache", "robustness",
)  # fmt: skip

P = ParamSpec("P")
R = TypeVar("R")
RuleFunction = Any  # of a rule: its parameters are fixtures

DOCUMENT = "document"
USAGE = f"{DOCUMENT}, UsageResponse"
TOP_DOMAINS = f'{USAGE}.top_domains: "Top 20 domains by request count"'
AUTHENTICATION_GUIDE = "authentication guide"
ERRORS_GUIDE = "errors guide"
HEADER_ONLY = f"{AUTHENTICATION_GUIDE}: a key is taken from the X-API-Key header only"
INVALID_KEY = f"{DOCUMENT}, 401 and 403: invalid API key"
TOKEN_BUCKET = f"{DOCUMENT}, UsageResponse.rate_limit; {AUTHENTICATION_GUIDE}: a token bucket"
KEY_NEEDED = f"{AUTHENTICATION_GUIDE}: every endpoint but GET / and GET /healthz needs a key"


@dataclass(frozen=True)
class Rule:
    """One promise: `id` such as auth/missing-key-is-401, its level, its source, and its sentence.

    `needs` are facts: without one of them the rule is not tested. `repeats` are the ids of rules that find the same
    defect in the same exchanges. This rule is not tested where one of them is broken. An `intrusive` rule can affect
    other users of the deployment. `reads` are the aspects that the rule judges, and that recorded exchanges may lack.
    `fixtures` are those that the rule needs, also through other fixtures.
    """

    id: str
    level: Level
    source: str
    promise: str
    needs: tuple[Fact, ...] = ()
    repeats: tuple[str, ...] = ()
    intrusive: bool = False
    reads: tuple[Aspect, ...] = ()
    fixtures: frozenset[str] = frozenset()

    @property
    def sends_requests(self) -> bool:
        """Whether the rule sends requests of its own, also by a fixture; a passive rule sends none."""
        return "client" in self.fixtures

    @property
    def is_over_all(self) -> bool:
        """Whether the rule is over all exchanges, so that it needs the whole run."""
        return "journal" in self.fixtures

    @property
    def order(self) -> tuple[bool, bool, bool, int]:
        """The key that sorts rules: first those that others repeat, and last those over all exchanges.

        Of these, the rules that send requests run first, so that the others judge their exchanges, too; but not before
        rules that they repeat.
        """
        family = self.id.partition("/")[0]
        number = FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)
        judges_others = self.is_over_all and (not self.sends_requests or bool(self.repeats))
        return self.is_over_all, judges_others, bool(self.needs or self.repeats), number

    def is_above(self, level: Level) -> bool:
        """Whether a run at `level` only reports a failure of this rule."""
        return LEVELS.index(self.level) > LEVELS.index(level)


def rule(
    source: str,
    *,
    level: Level,
    needs: Iterable[Fact] = (),
    repeats: Iterable[str] = (),
    intrusive: bool = False,
    reads: Iterable[Aspect] = (),
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a rule of a test function; see `Rule` for the arguments.

    The function returns an iterator of findings, often as a generator. It becomes an ordinary function, because pytest
    refuses test functions that yield.
    """
    mark = pytest.mark.rule(
        level=level,
        source=source,
        needs=tuple(needs),
        repeats=tuple(repeats),
        intrusive=intrusive,
        reads=tuple(reads),
    )

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def rule_function(*args: P.args, **kwargs: P.kwargs) -> R:
            return function(*args, **kwargs)

        marked = mark(rule_function)
        return pytest.mark.intrusive(marked) if intrusive else marked

    return decorate


specified = partial(rule, level="specified")
documented = partial(rule, level="documented")
advisory = partial(rule, level="advisory")


@cache
def rule_of(item: pytest.Item) -> Rule:
    """Return the rule of a test function; UsageError names what it lacks."""
    rule = _rule_from(item.function, item.module) if isinstance(item, pytest.Function) else None
    if rule is None:
        raise pytest.UsageError(
            f"{item.nodeid} is not a rule; a rule is a function with @documented(source) or the like"
        )
    if not rule.promise:
        raise pytest.UsageError(f"{item.nodeid} is not a rule; a rule has a docstring with its promise")
    return rule


@cache
def rule_functions() -> tuple[tuple[Rule, RuleFunction, ModuleType], ...]:
    """Return every rule of the gate with its function and its module, in the order in which they run."""
    files = sorted(Path(__file__).parents[1].glob("test_*.py"))
    modules = [import_module(f"contract_tests.{file.stem}") for file in files]
    functions = [(function, module) for module in modules for function in vars(module).values()]
    found = [(rule, *place) for place in functions if (rule := _rule_from(*place))]
    return tuple(sorted(found, key=lambda found: found[0].order))


def _rule_from(function: RuleFunction, module: ModuleType) -> Rule | None:
    """Return the rule of a function, built from its names, its docstring, its mark and its fixtures.

    `test_auth`, `test_missing_key_is_401` is auth/missing-key-is-401. The family is the first word of the module:
    `test_http_fields` has rules of the family `http`.
    """
    mark = next((mark for mark in getattr(function, "pytestmark", ()) if mark.name == "rule"), None)
    if mark is None:
        return None
    family = module.__name__.rpartition(".")[2].removeprefix("test_").partition("_")[0]
    name = function.__name__.removeprefix("test_").replace("_", "-")
    promise = " ".join((inspect.getdoc(function) or "").split())
    return Rule(f"{family}/{name}", promise=promise, fixtures=_fixtures_of(function, module), **mark.kwargs)


def _fixtures_of(function: RuleFunction, module: ModuleType) -> frozenset[str]:
    """Return the names of the fixtures that a rule or a fixture needs, also through other fixtures."""
    names = frozenset(inspect.signature(inspect.unwrap(function)).parameters)
    fixtures = vars(import_module("contract_tests.conftest")) | vars(module)
    return names.union(*(_fixtures_of(fixtures[name], module) for name in names & fixtures.keys()))


def all_rules() -> list[Rule]:
    """Return every rule of the gate, in the order in which they run."""
    return [rule for rule, _, _ in rule_functions()]


def rule_named(name: str) -> Rule:
    """Return the rule of the gate with an id."""
    return next(rule for rule in all_rules() if rule.id == name)


def rule_ids() -> list[str]:
    """Return the id of every rule of the gate."""
    return [rule.id for rule in all_rules()]


def unknown_rule(name: str, rules: Collection[str]) -> str:
    """Return the message for a name that is not a rule's id, with the nearest id."""
    near = closest_match(name, rules)
    return f"{name} is not a rule; " + (f"did you mean {near}?" if near else "--rules lists them")
