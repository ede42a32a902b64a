"""What a run says to GitHub Actions: annotations for its log, and the job's summary."""

from __future__ import annotations

from collections.abc import Iterator

from contract_tests.reports.model import FATAL, Report, RuleReport, counted

TOLD = 3  # lines of evidence: what is wrong, what was asked, what was seen


def workflow_commands(report: Report) -> Iterator[str]:
    """Yield a workflow command for each rule that failed, errors first, and one notice for all that were not tested.

    Source: GitHub's "Workflow commands for GitHub Actions".
    """
    if not report.green and not report.faults:
        yield annotation("error", "contract gate", "\n".join([report.headline, *report.evidence.splitlines()[:TOLD]]))
    for outcome, rules in report.groups:
        if outcome not in {"held", "not tested"}:
            severity = "error" if outcome in FATAL else "warning"
            yield from (annotation(severity, rule.id, _told(rule)) for rule in rules)
    untested = [f"{rule.id}: {rule.problem}" for rule in report.rules if rule.outcome == "not tested"]
    if untested and any(rule.outcome != "not tested" for rule in report.rules):
        lines = [f"{counted(len(untested), 'rule')} of {len(report.rules)} not tested", *untested]
        yield annotation(
            "notice", "contract gate", "\n".join(lines + [report.complete_run] * bool(report.complete_run))
        )


def annotation(severity: str, title: str, text: str) -> str:
    """Return one workflow command with its title and text escaped."""
    return f"::{severity} title={_escaped(title).replace(':', '%3A').replace(',', '%2C')}::{_escaped(text)}"


def _told(rule: RuleReport) -> str:
    return "\n".join([rule.promise, *rule.evidence.splitlines()[:TOLD]])


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
