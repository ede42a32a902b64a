"""The report of a run, built from its verdicts and its journal."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from contract_tests.metrics.view import UsageMetrics
from contract_tests.reports.comparison import EarlierReport, compare
from contract_tests.reports.model import (
    FAILURES,
    OUTCOMES,
    ExchangeReport,
    FindingReport,
    Report,
    RequestReport,
    RuleReport,
    counted,
)
from contract_tests.reports.pretty_json import marked
from contract_tests.run.command_line import command_for_one_rule, command_without_reports, repeating_command
from contract_tests.run.options import Settings
from contract_tests.run.summary import complete_run, headline
from contract_tests.run.verdicts import Verdict, Verdicts
from contract_tests.support.findings import Finding
from contract_tests.wire.curl import curl_command, curl_commands
from contract_tests.wire.limits import KEPT
from contract_tests.wire.messages import Exchange, Exchanges, Request, label_of
from contract_tests.wire.not_tested import NotTested

MOST_FINDINGS = 20  # different findings of a rule
LONGEST_VALUE = 80  # characters of a value in a pretty-printed body
SHOWN_FIELDS = {b"host", b"user-agent", b"accept", b"accept-encoding", b"accept-language", b"content-type"}


@dataclass(frozen=True)
class Ending:
    """The end of a run: its exit code, and the reason if it ended early.

    `exchange` shows the reason; `arguments` are pytest's own; `started` is when the run began.
    """

    exit_code: int
    reason: str
    exchange: Exchange | None
    arguments: Sequence[str]
    started: datetime


def report_of(verdicts: Verdicts, ending: Ending, earlier: EarlierReport | None) -> Report:
    """Build the report of a run that has ended, and compare it with an earlier one."""
    settings = verdicts.settings
    rules = tuple(replace(rule, reproduce=_again(rule, verdicts, ending)) for rule in _rules(verdicts))
    return Report(
        verdict=verdicts.result,
        headline=ending.reason or headline(verdicts),
        exchange=exchange_report(ending.exchange, settings) if ending.exchange else None,
        exit_code=ending.exit_code,
        level=settings.level,
        target=settings.target.url,
        started=ending.started.isoformat(timespec="seconds"),
        seconds=round(verdicts.seconds, 3),
        requests=verdicts.requests,
        keys=len(settings.keys),
        reproduce=repeating_command(ending.arguments, settings),
        is_recorded=verdicts.is_recorded,
        settings=_settings(settings),
        counts={outcome: sum(rule.outcome == outcome for rule in rules) for outcome in OUTCOMES},
        rules=rules,
        shortfalls=tuple(shortfall.reason for shortfall in verdicts.shortfalls),
        complete_run=complete_run(verdicts),
        timeline=tuple(_timeline(verdicts)),
        comparison=compare(earlier, rules) if earlier else None,
    )


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
    for verdict in verdicts.all:
        yield rule_report(verdict, verdicts)
    for rule in verdicts.unreached:
        yield RuleReport(rule.id, rule.level, rule.source, rule.promise, "not tested", reason=verdicts.reason_of_ending)


def rule_report(verdict: Verdict, verdicts: Verdicts) -> RuleReport:
    """Return the report of one verdict."""
    rule, requests = verdict.rule, _own_requests(verdict, verdicts)
    findings = _findings(verdict.findings, verdicts.settings)
    return RuleReport(
        id=rule.id,
        level=rule.level,
        source=rule.source,
        promise=rule.promise,
        outcome=verdict.outcome,
        findings=tuple(findings[:MOST_FINDINGS]),
        more_findings=len(findings[MOST_FINDINGS:]),
        reason=verdict.reason,
        deviation=verdicts.deviation(rule),
        curl=curl_command(verdicts.journal[requests.start].request, verdicts.settings) if requests else "",
        requests=len(requests),
        seconds=round(verdict.seconds, 3),
        unproven=tuple(verdicts.unproven(rule)),
        runs=verdict.runs,
    )


def _findings(findings: Sequence[Finding], settings: Settings) -> list[FindingReport]:
    """Return each finding once, with the number of equal ones."""
    equal: dict[Hashable, list[Finding]] = {}
    for finding in findings:
        equal.setdefault((finding.problem, finding.pointer, *_values(finding)), []).append(finding)
    return [_finding(first, len(others) + 1, settings) for first, *others in equal.values()]


def _values(finding: Finding) -> tuple[str, str]:
    """Return excerpts of the expected and the actual value, which a rule gives as they were received."""
    excerpt = finding.exchange.excerpt
    return excerpt(finding.expected or ""), excerpt(finding.actual or "")


def _finding(finding: Finding, count: int, settings: Settings) -> FindingReport:
    expected, actual = _values(finding)
    return FindingReport(
        problem=finding.problem,
        exchange=exchange_report(finding.exchange, settings, finding.pointer, finding.earlier),
        related=tuple(exchange_report(exchange, settings) for exchange in finding.related),
        pointer=finding.pointer or "",
        expected=expected,
        actual=actual,
        count=count,
    )


def exchange_report(
    exchange: Exchange, settings: Settings, pointer: str | None = None, earlier: Exchanges = ()
) -> ExchangeReport:
    """Return an exchange as texts, all of them bounded and without keys.

    The curl command also repeats the `earlier` exchanges of the same connection.
    """
    requests = [_without_secrets_of_others(each) for each in (*earlier, exchange)]
    return ExchangeReport(
        request=requests[-1].described(exchange.redact),
        response=_response(exchange),
        location=exchange.excerpt(location[0]) if (location := exchange.kept_values("Location")) else "",
        body=_body(exchange, pointer),
        curl=curl_commands(requests, settings),
    )


def _without_secrets_of_others(exchange: Exchange) -> Request:
    """Return the request; of a recorded one without cookies, other credentials, query and body."""
    request = exchange.request
    if not exchange.lacks:
        return request
    key = request.credential.value if request.credential else None
    fields = [(name, value) for name, value in request.fields if value == key or name.lower() in SHOWN_FIELDS]
    return replace(request, target=request.path, fields=tuple(fields), body=b"")


def _response(exchange: Exchange) -> str:
    problem = exchange.excerpt(exchange.problem)
    if exchange.status is None:
        return f"none ({exchange.ending}{': ' + problem if problem else ''})"
    ending = "" if exchange.ending == "complete" else f", {exchange.ending}: {problem}"
    media_type = exchange.excerpt(", ".join(exchange.kept_values("Content-Type")) or "no Content-Type")
    cost = f"{counted(exchange.size, 'byte')} in {exchange.seconds * 1000:.0f} ms"
    return f"{exchange.status} {exchange.excerpt(exchange.reason)}, {media_type}, {cost}{ending}"


def _body(exchange: Exchange, pointer: str | None) -> str:
    try:
        if pointer and not exchange.abridged and exchange.size <= KEPT and exchange.json.is_readable:
            return marked(exchange.json.value, pointer, partial(exchange.excerpt, longest=LONGEST_VALUE))
        return exchange.excerpt(exchange.beginning)
    except NotTested:  # the run's time is over: the report does without decoding the body
        return exchange.excerpt(exchange.payload[:KEPT])


def _own_requests(verdict: Verdict, verdicts: Verdicts) -> range:
    """Return the places of the exchanges that were sent for this rule alone."""
    shared = verdicts.runner.shared if verdicts.runner else 0
    return range(max(verdict.requests.start, shared), max(verdict.requests.stop, shared))


def _timeline(verdicts: Verdicts) -> Iterator[RequestReport]:
    rules = {index: each.rule.id for each in verdicts.all for index in _own_requests(each, verdicts)}
    began = min((exchange.started for exchange in verdicts.journal), default=0.0)
    for index, exchange in enumerate(verdicts.journal):
        credential = exchange.request.credential
        yield RequestReport(
            at=round(exchange.started - began, 6),
            seconds=round(exchange.seconds, 6),
            status=exchange.status,
            ending=exchange.ending,
            rule=rules.get(index, ""),
            key=label_of(credential),
            remaining=_remaining(exchange) if credential in verdicts.settings.keys else None,
        )


def _remaining(exchange: Exchange) -> float | None:
    try:
        remaining = UsageMetrics(exchange).remaining if exchange.status == 200 else None
    except NotTested:  # the body is too large, or the run's time is over: the report is written all the same
        remaining = None
    tokens = float(remaining) if remaining is not None else math.nan
    return tokens if math.isfinite(tokens) else None


def _again(rule: RuleReport, verdicts: Verdicts, ending: Ending) -> str:
    """Return the command that runs a failed rule again: alone, unless it needs the exchanges of the whole run."""
    if rule.outcome not in FAILURES:
        return ""
    if any(each.is_over_all for each in verdicts.rules if each.id == rule.id):
        return command_without_reports(ending.arguments, verdicts.settings)
    return command_for_one_rule(rule.id, ending.arguments, verdicts.settings)
