"""The passive rules, applied to exchanges that this run did not send."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from contract_tests.run import wrong_keys
from contract_tests.run.findings import Finding
from contract_tests.run.gate import Gate
from contract_tests.run.rules import Rule, rule_files, rule_from
from contract_tests.wire.messages import Exchange
from contract_tests.wire.not_tested import NotTested


def judge_offline(gate: Gate, exchanges: Sequence[Exchange]) -> dict[Rule, tuple[Finding, ...] | NotTested]:
    """Judge exchanges by every passive rule.

    Args:
        gate: The deployment that sent the responses; its keys say which credentials are valid.
        exchanges: Requests with their responses, in the order in which they were sent.

    Returns:
        For each passive rule its findings (none where the promise is kept), or why it could not be tested.
    """
    gate.baseline_exchanges[:] = [exchange for exchange in exchanges if exchange.request.is_baseline]
    given = _given(gate, exchanges)
    return {rule: _judged(function, values) for rule, function, values in _passive_rules(given)}


def _given(gate: Gate, exchanges: Sequence[Exchange]) -> Mapping[str, Any]:
    """Return the fixtures of the rules that stand for sent requests."""

    def with_key(*keys: object) -> list[Exchange]:
        return [exchange for exchange in gate.baseline_exchanges if exchange.request.credential in keys]

    auth_errors = {key: with_key(key) for key in (None, wrong_keys.UNKNOWN)}
    return {
        "gate": gate,
        "journal": tuple(exchanges),
        "main_key_responses": with_key(gate.main),
        "other_key_responses": with_key(*gate.keys[1:]),
        "auth_errors": auth_errors,
        "missing_key_responses": auth_errors[None],
        "unknown_key_responses": auth_errors[wrong_keys.UNKNOWN],
    }


def _passive_rules(given: Mapping[str, Any]) -> Iterator[tuple[Rule, Any, _Fixtures]]:
    fixtures = import_module("contract_tests.conftest")
    for file in rule_files():
        module = import_module(f"contract_tests.{file.stem}")
        values = _Fixtures((module, fixtures), dict(given))
        for name, function in vars(module).items():
            marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "rule"]
            if marks and marks[0].kwargs["sends"] == (0, 0):
                yield rule_from(file.stem, name, function, marks[0]), function, values


def _judged(function: Any, values: _Fixtures) -> tuple[Finding, ...] | NotTested:
    findings: list[Finding] = []
    try:
        findings.extend(function(**values.of(function)))
    except NotTested as reason:
        return tuple(findings) or reason
    return tuple(findings)


class _Fixtures:
    """The values of pytest fixtures that are pure functions of other ones."""

    def __init__(self, modules: Sequence[ModuleType], given: dict[str, Any]) -> None:
        self._modules, self._values = modules, given

    def of(self, function: Any) -> dict[str, Any]:
        """Return the arguments of a rule or of a fixture."""
        return {name: self._value(name) for name in inspect.signature(function).parameters}

    def _value(self, name: str) -> Any:
        if name not in self._values:
            if name == "scheduler":
                raise NotTested("it needs requests of its own")
            fixture = next(vars(module)[name] for module in self._modules if name in vars(module))
            function = inspect.unwrap(fixture)
            self._values[name] = function(**self.of(function))
        return self._values[name]
