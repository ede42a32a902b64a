"""Turns a finished run's verdicts and journal into the report."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from contract_tests.metrics.view import UsageMetrics
from contract_tests.reports.model import OUTCOMES, Report, RequestReport, RuleReport, Word, versions
from contract_tests.run.options import Settings
from contract_tests.run.verdicts import Verdict, Verdicts
from contract_tests.wire.messages import Exchange
from contract_tests.wire.not_tested import NotTested

NOT_REACHED = "the run ended before it"


@dataclass(frozen=True)
class Ending:
    """How a run ended: its exit code, and the reason where it ended before its rules did.

    `evidence` is the response that shows the reason; `arguments` are pytest's own; `started` is when the run began,
    and `seconds` is how long it took.
    """

    exit_code: int
    reason: str
    evidence: str
    arguments: Sequence[str]
    started: datetime
    seconds: float


def report_of(verdicts: Verdicts, ending: Ending) -> Report:
    """Build the report of a run that has ended."""
    settings = verdicts.settings
    reproduce = command(ending.arguments, settings)
    rules = tuple(replace(rule, reproduce=_again(rule, verdicts, ending)) for rule in _rules(verdicts))
    return Report(
        verdict=_word(verdicts, ending),
        headline=ending.reason or next(verdicts.summary()),
        evidence=ending.evidence,
        exit_code=ending.exit_code,
        level=settings.level,
        target=settings.target.url,
        started=ending.started.isoformat(timespec="seconds"),
        seconds=round(ending.seconds, 3),
        requests=verdicts.asked,
        keys=len(settings.keys),
        reproduce=reproduce,
        versions=versions(),
        settings=_settings(settings),
        counts={outcome: sum(rule.outcome == outcome for rule in rules) for outcome in OUTCOMES},
        rules=rules,
        shortfalls=tuple(verdicts.shortfalls),
        complete_run=verdicts.complete_run,
        timeline=tuple(_timeline(verdicts)),
    )


def _word(verdicts: Verdicts, ending: Ending) -> Word:
    if ending.exit_code in {2, 3}:  # pytest's own
        return "interrupted" if ending.exit_code == 2 else "gate error"
    if ending.exit_code == 1:
        return "broken"
    if ending.exit_code:
        return "could not be tested"
    return "conforms" if verdicts.complete else "partial"


def _settings(settings: Settings) -> Mapping[str, str | int | float | bool | None]:
    return {
        "embedded": settings.embedded,
        "key_variables": "" if settings.embedded else ", ".join(key.shell.removeprefix("$") for key in settings.keys),
        "intrusive": settings.intrusive,
        "require_complete": settings.require_complete,
        "max_rate": settings.max_rate,
        "max_time": settings.max_time,
        "max_requests": settings.max_requests,
        "timeout": settings.timeout,
        "headers": ", ".join(name for name, _ in settings.headers),
        "ca_file": str(settings.ca_file or ""),
        "proxy": settings.proxy.url if settings.proxy else "",
    }


def _rules(verdicts: Verdicts) -> Iterator[RuleReport]:
    commands = {exchange.curl for exchange in _journal(verdicts)}
    for verdict in verdicts.all:
        yield _rule(verdict, verdicts, commands)
    for rule in verdicts.unreached:
        yield RuleReport(rule.id, rule.level, rule.source, rule.promise, "not tested", NOT_REACHED)


def _rule(verdict: Verdict, verdicts: Verdicts, commands: set[str]) -> RuleReport:
    rule, asked = verdict.rule, _own(verdict, verdicts)
    label = [line.strip().removeprefix("repeat: ") for line in verdict.evidence.splitlines()]
    shown = [line for line in label if line in commands]  # a body may hold a line that only looks like ours
    first = [_journal(verdicts)[asked.start].curl] if asked else []
    return RuleReport(
        id=rule.id,
        level=rule.level,
        source=rule.source,
        promise=rule.promise,
        outcome=verdict.outcome,
        evidence=verdict.evidence,
        deviation=verdicts.deviation(rule),
        curl=tuple(dict.fromkeys(shown or first)),
        requests=len(asked),
        seconds=round(verdict.seconds, 3),
        unproven=tuple(verdicts.unproven(rule)),
        runs=verdict.runs,
    )


def _own(verdict: Verdict, verdicts: Verdicts) -> range:
    """Return the answers that were asked for on this rule's behalf alone."""
    shared = verdicts.gate.shared if verdicts.gate else 0
    return range(max(verdict.requests.start, shared), max(verdict.requests.stop, shared))


def _journal(verdicts: Verdicts) -> list[Exchange]:
    return verdicts.gate.transport.journal if verdicts.gate else []


def _timeline(verdicts: Verdicts) -> Iterator[RequestReport]:
    journal = _journal(verdicts)
    asked_by = {index: each.rule.id for each in verdicts.all for index in _own(each, verdicts)}
    began = min((exchange.started for exchange in journal), default=0.0)
    for index, exchange in enumerate(journal):
        credential = exchange.request.credential
        yield RequestReport(
            at=round(exchange.started - began, 6),
            seconds=round(exchange.seconds, 6),
            status=exchange.status,
            ending=exchange.ending,
            rule=asked_by.get(index, ""),
            key=credential.label if credential else "no key",
            remaining=_remaining(exchange) if credential in verdicts.settings.keys else None,
        )


def _remaining(exchange: Exchange) -> float | None:
    try:
        label = UsageMetrics(exchange).remaining if exchange.status == 200 else None
    except NotTested:  # too large, or too late: a report is written all the same
        label = None
    tokens = float(label) if label is not None else math.nan
    return tokens if math.isfinite(tokens) else None


def command(arguments: Sequence[str], settings: Settings) -> str:
    """Return the command that repeats the run: no key in it, and of each --header the name alone."""
    words = ["pytest", *_without_secrets([str(argument) for argument in arguments])]
    if not settings.embedded and not any(word.startswith("--base-url") for word in words):
        words += ["--base-url", settings.target.url]
    return shlex.join(words)


def _again(rule: RuleReport, verdicts: Verdicts, ending: Ending) -> str:
    """Return the command that runs a failed rule again: alone, unless it needs the exchanges of the whole run."""
    if rule.outcome in {"held", "not tested"}:
        return ""
    is_over_all = any(each.over_all for each in verdicts.rules if each.id == rule.id)
    arguments = [str(argument) for argument in ending.arguments]
    alone = arguments if is_over_all else [*_without_option(arguments, "--rule"), "--rule", rule.id]
    return command(alone, verdicts.settings)


def _without_option(arguments: Sequence[str], option: str) -> Iterator[str]:
    words = iter(arguments)
    for word in words:
        if word == option:
            next(words, "")
        elif not word.startswith(f"{option}="):
            yield word


def _without_secrets(arguments: Sequence[str]) -> Iterator[str]:
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option not in {"--api-key", "--header"}:
            yield word
            continue
        value = value if equals else next(words, "")
        if option == "--header":
            yield from (option, value.partition(":")[0] + ": …")
