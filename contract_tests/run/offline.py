"""The rules, applied to exchanges that other programs have sent."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from contract_tests.metrics.schema import contract
from contract_tests.redaction.redactor import Redactor
from contract_tests.reports.model import Outcome, RuleReport, counted, redacted
from contract_tests.run.key_sources import keys_from
from contract_tests.run.recorded import check_recording, recorded_runner, settings_of
from contract_tests.run.report import rule_report
from contract_tests.run.runner import Runner
from contract_tests.run.verdicts import Verdict, Verdicts
from contract_tests.support.facts import check_facts
from contract_tests.support.findings import Finding
from contract_tests.support.gate import OPERATION
from contract_tests.support.rules import RuleFunction, rule_functions
from contract_tests.traffic.recording import Recorded, Recording, TrafficError, recording_of
from contract_tests.wire.messages import Aspect, Exchange, distinct
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.target import Target
from usage_contract.levels import Level


def judge(
    recorded: Iterable[Recorded],
    *,
    keys: Sequence[str] = (),
    base_url: str | None = None,
    level: Level = "documented",
) -> list[RuleReport]:
    """Judge recorded exchanges, and send nothing.

    Args:
        recorded: The exchanges, in the order of their requests; see `read_har`, `from_requests` and `from_httpx`.
        keys: Keys that are known to be valid. A key whose request received a 200 is valid as well.
        base_url: The deployment; optional if all exchanges with the operation are with one.
        level: The level of the contract; a broken rule above it has the outcome "reported".

    Returns:
        One report for each rule: `outcome` is "held", "broken", "reported", "not tested" or "not applicable".
        `findings` and `reason` are texts without keys.

    Raises:
        TrafficError: A key or the base URL is not valid, no exchange can be judged, or they are with several
            deployments.
    """
    if isinstance(keys, str) or not all(isinstance(key, str) for key in keys):
        raise TypeError("keys: give a list of keys, each of them a text")
    try:
        given = keys_from(keys, {}, None)
        base = Target.parse("base_url", base_url) if base_url is not None else None
    except pytest.UsageError as error:
        raise TrafficError(str(error)) from None
    recording = recording_of(recorded, contract(level).operations[OPERATION], keys=given, base=base)
    verdicts = judge_recording(recording, level)
    redact = Redactor(verdicts.settings.secrets)
    return [redacted(rule_report(verdict, verdicts), redact) for verdict in verdicts.all]


def judge_recording(recording: Recording, level: Level = "documented") -> Verdicts:
    """Judge a recording by every rule."""
    settings = settings_of(recording, level)
    verdicts = Verdicts(settings, runner=recorded_runner(settings, recording))
    for verdict in _each_verdict(verdicts, recording.lacks, doubts_about(recording, level)):
        verdicts.add(verdict)
    return verdicts


def doubts_about(recording: Recording, level: Level) -> dict[str, str]:
    """Return the reason for each rule that the responses break which may have another cause than the deployment.

    Every rule is judged a second time, with these responses.
    """
    doubted = [exchange for exchange in recording.exchanges if exchange.doubt]
    if not doubted:
        return {}
    settings = settings_of(recording, level)
    verdicts = Verdicts(settings, runner=recorded_runner(settings, recording, with_doubts=True))
    broken = [verdict for verdict in _each_verdict(verdicts, recording.lacks, {}) if verdict.findings]
    return {verdict.rule.id: _reason_of_doubts(verdict.findings, doubted) for verdict in broken}


def _reason_of_doubts(findings: Iterable[Finding], doubted: Iterable[Exchange]) -> str:
    """Return why a rule is in doubt: by the exchanges of its findings, or by all where these have no doubt."""
    shown = (exchange for finding in findings for exchange in (finding.exchange, *finding.related))
    doubts = [each.doubt for each in distinct(*shown) if each.doubt] or [each.doubt for each in doubted]
    responses = counted(len(doubts), "response")
    return f"{responses} with another possible cause would break the rule: {'; '.join(dict.fromkeys(doubts))}"


def _each_verdict(verdicts: Verdicts, lacks: Collection[Aspect], doubts: Mapping[str, str]) -> Iterator[Verdict]:
    """Yield the verdict on each rule; the rules that repeat a broken one depend on the verdicts so far."""
    shared: dict[str, Any] = {"runner": verdicts.runner, "request": SimpleNamespace(session=None)}
    fixtures: dict[ModuleType, _Fixtures] = {}
    for rule, function, module in rule_functions():
        of_module = fixtures.setdefault(module, _Fixtures(module, shared))
        findings: list[Finding] = []
        verdict = Verdict(rule, "held")
        try:
            check_recording(rule, lacks)
            verdicts.check_repeats(rule)
            check_facts(rule.needs, of_module.runner.gate.baseline)
            findings.extend(function(**of_module.of(function)))
        except NotTested as reason:
            verdict = Verdict.without_result(rule, reason)
        if findings:  # they count even where the rest of the rule could not be tested
            outcome: Outcome = "reported" if rule.is_above(verdicts.settings.level) else "broken"
            verdict = Verdict(rule, outcome, tuple(findings))
        elif verdict.outcome != "not tested" and rule.id in doubts:
            verdict = Verdict(rule, "not tested", reason=doubts[rule.id])
        yield verdict


class _Fixtures:
    """The values of the fixtures of one module, which are pure functions of the runner; `shared` are conftest's."""

    def __init__(self, module: ModuleType, shared: dict[str, Any]) -> None:
        self.runner: Runner = shared["runner"]
        self._module, self._shared = module, shared
        self._own: dict[str, Any] = {}

    def of(self, function: RuleFunction) -> dict[str, Any]:
        """Return the arguments of a rule or of a fixture."""
        return {name: self._value(name) for name in inspect.signature(function).parameters}

    def _value(self, name: str) -> Any:
        is_own = name in vars(self._module)
        values = self._own if is_own else self._shared
        if name not in values:
            fixture = vars(self._module if is_own else import_module("contract_tests.conftest"))[name]
            function = inspect.unwrap(fixture)
            values[name] = function(**self.of(function))
        return values[name]
