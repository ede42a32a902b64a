"""Annotations for the log of GitHub Actions."""

from __future__ import annotations

from collections.abc import Iterator

from contract_tests.reports.model import FAILURES, FATAL, ExchangeReport, Report, RuleReport, counted


def workflow_commands(report: Report) -> Iterator[str]:
    """Yield a workflow command for each rule that failed, errors first, and one notice for all that were not tested.

    Source: GitHub's "Workflow commands for GitHub Actions".
    """
    if not report.is_green and not report.fatal_rules:
        lines = [report.headline, *(_exchange(report.exchange) if report.exchange else ())]
        yield annotation("error", "contract gate", "\n".join(lines))
    for outcome, rules in report.groups:
        if outcome in FAILURES:
            severity = "error" if outcome in FATAL else "warning"
            yield from (annotation(severity, rule.id, _failure(rule)) for rule in rules)
    untested = [f"{rule.id}: {rule.problem}" for rule in report.rules if rule.outcome == "not tested"]
    if untested and any(rule.outcome != "not tested" for rule in report.rules):
        lines = [f"{counted(len(untested), 'rule')} of {len(report.rules)} not tested", *untested]
        yield annotation("notice", "contract gate", "\n".join(filter(None, [*lines, report.complete_run])))


def annotation(severity: str, title: str, text: str) -> str:
    """Return one workflow command with its title and text escaped."""
    return f"::{severity} title={_escaped(title).replace(':', '%3A').replace(',', '%2C')}::{_escaped(text)}"


def _failure(rule: RuleReport) -> str:
    exchanges = [finding.exchange for finding in rule.findings[:1]]
    return "\n".join([rule.promise, rule.problem, *(line for each in exchanges for line in _exchange(each))])


def _exchange(exchange: ExchangeReport) -> tuple[str, str]:
    return f"request: {exchange.request}", f"response: {exchange.response}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
