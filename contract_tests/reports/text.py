"""Findings as plain text, for the terminal, for JUnit and for annotations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from contract_tests.reports.model import ExchangeReport, FindingReport, RuleReport, counted

FINDINGS_ON_A_SCREEN = 3  # of one rule
INDENT = "    "


def rule_text(rule: RuleReport) -> str:
    """Return a failed rule: its promise, its source, and its first findings with their evidence."""
    return "\n".join(_rule_lines(rule))


def _rule_lines(rule: RuleReport) -> Iterator[str]:
    yield f"{rule.id} holds now: {rule.reason}" if rule.outcome == "stale deviation" else f"{rule.id} is broken"
    yield f"promise: {rule.promise}"
    yield f"source: {rule.source} ({rule.level})"
    if rule.deviation:
        yield rule.deviation
    for finding in rule.findings[:FINDINGS_ON_A_SCREEN]:
        yield from finding_lines(finding)
    if more := rule.more_findings + len(rule.findings[FINDINGS_ON_A_SCREEN:]):
        yield f"and {counted(more, 'more finding')}"


def finding_lines(finding: FindingReport) -> Iterator[str]:
    """Yield the lines of one finding: the problem, the values that differ, and the exchanges."""
    yield f"problem: {stated(finding)}"
    yield from _member_lines({"member": finding.pointer, "expected": finding.expected, "actual": finding.actual})
    for exchange in (finding.exchange, *finding.related):
        yield from exchange_lines(exchange)


def stated(finding: FindingReport) -> str:
    """Return the problem, with the number of equal findings."""
    return finding.problem + (f" ({finding.count} times)" if finding.count > 1 else "")


def exchange_lines(exchange: ExchangeReport) -> Iterator[str]:
    """Yield the lines of one exchange."""
    return _member_lines(vars(exchange))


def _member_lines(members: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of the members that are not empty."""
    for name, value in members.items():
        if "\n" in value:
            yield f"{INDENT}{name}:"
            yield from (f"{INDENT}{INDENT}{line}" for line in value.split("\n"))
        elif value:
            yield f"{INDENT}{name}: {value}"
