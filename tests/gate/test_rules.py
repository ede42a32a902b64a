"""How rules are written: what they need, and what of them counts."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import contract_tests
from contract_tests.metrics.schema import contract
from contract_tests.run.facts import FACTS
from contract_tests.run.findings import BrokenPromiseError, Finding
from contract_tests.run.gate import Gate
from contract_tests.run.rules import rule_ids
from contract_tests.run.scheduler import Scheduler
from contract_tests.run.verdicts import FIRST
from contract_tests.wire.messages import Exchange, Request
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.transport import Transport
from tests.support.transport import settings

EXCHANGE = Exchange(Request("GET", b"/usage", ()), 200)


@pytest.fixture
def module(pytestconfig: pytest.Config) -> Callable[[str], Any]:
    """Import a module of rules, whose marks only the gate itself registers."""
    pytestconfig.addinivalue_line("markers", "rule: of the gate")
    return lambda name: import_module(f"contract_tests.{name}")


def named_rules() -> Iterator[str]:
    """Yield every id that a rule repeats."""
    for file in Path(contract_tests.__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "repeats":
                yield from (str(each.value) for each in ast.walk(node.value) if isinstance(each, ast.Constant))


def test_rules_name_only_rules() -> None:
    named = {*named_rules(), *(rule for fact in FACTS for rule in fact.reported_by)}
    assert len(named) > 10
    assert named - set(rule_ids()) == set()


def test_a_missing_first_200_is_reported_by_the_rule_about_valid_keys(module: Callable[[str], Any]) -> None:
    rule = module("test_auth").test_valid_key_is_200
    (mark,) = [mark for mark in rule.pytestmark if mark.name == "rule"]
    assert {"id": "auth/valid-key-is-200", "promise": inspect.getdoc(rule)} | mark.kwargs == mark.kwargs | FIRST


def test_findings_count_although_the_rest_could_not_be_tested() -> None:
    of_the_tests = settings("http://127.0.0.1:1")
    scheduler = Scheduler(Gate(of_the_tests, contract("documented")), Transport(of_the_tests))

    def rule(findings: list[Finding]) -> Iterator[Finding]:
        yield from findings
        raise NotTested("the budget is spent")

    with pytest.raises(BrokenPromiseError, match="it was accepted"):
        scheduler.judge(rule([Finding("it was accepted", EXCHANGE)]))
    with pytest.raises(NotTested):
        scheduler.judge(rule([]))


@dataclass
class CountedBucket:
    """A bucket of which only that counts how often it is emptied."""

    times: int = 0
    burst: int = 10
    rps: float = 0.1

    def spend(self, _: int) -> list[Exchange]:
        self.times += 1
        return [EXCHANGE]

    def fill(self, _: float) -> None:
        pass

    def ask(self, _: str) -> Exchange:
        return EXCHANGE


@pytest.mark.parametrize("good", [1, 2, 3])
def test_a_bucket_is_emptied_no_more_often_than_it_is_looked_at(good: int, module: Callable[[str], Any]) -> None:
    rules = module("test_bucket")
    bucket, looks = CountedBucket(), iter([1, 2, 3])
    refill = rules.Refill(bucket, [EXCHANGE], EXCHANGE)
    rules._is_not_always(lambda _: "" if next(looks) == good else "a problem", refill)
    assert bucket.times == good - 1


def test_a_bucket_that_fills_in_minutes_is_not_waited_for(module: Callable[[str], Any]) -> None:
    bucket = CountedBucket()
    with pytest.raises(NotTested, match=r"fills too slowly to be looked at: 0\.1 tokens a second"):
        module("test_bucket").test_available_tokens_are_granted(bucket)
    assert bucket.times == 0


@dataclass
class SlowGate:
    """A deployment that takes its time, in which a bucket fills again."""

    seconds: float
    path: str = "/usage"
    key_header: str = "X-API-Key"

    @property
    def transport(self) -> SlowGate:
        return self

    def request(self, *_: object, **__: object) -> Request:
        return EXCHANGE.request

    def together(self, requests: list[Request], *, paced: bool) -> list[Exchange]:
        assert not paced
        full = b'{"rate_limit": {"remaining": 9}}'
        return [Exchange(request, 200, payload=full, seconds=self.seconds) for request in requests]


def test_a_bucket_that_fills_while_an_answer_is_awaited_is_no_other(module: Callable[[str], Any]) -> None:
    rules = module("test_bucket")

    class Emptied(rules.Bucket):  # type: ignore[misc, name-defined]
        def spend(self, *_: object) -> list[Exchange]:
            return [Exchange(EXCHANGE.request, 429)]

    def look(seconds: float) -> None:
        bucket = Emptied(SlowGate(seconds), None, burst=10, rps=10.0)
        rules.test_nothing_else_brings_another_bucket(bucket, None)

    with pytest.raises(AssertionError, match="9 of 10 tokens right after none was left"):
        look(0.01)
    with pytest.raises(NotTested, match="answers come too slowly"):
        look(0.6)
