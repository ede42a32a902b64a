"""The report as GitHub-flavoured Markdown, for the summary of a CI job."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from contract_tests.reports.model import Report, RuleReport
from contract_tests.reports.text import MOST_FINDINGS, exchange_lines, finding_lines

LONGEST = 2000  # characters of a finding: a job's summary may have 1 MiB in all
AT_LENGTH = {"broken", "gate error", "stale deviation", "known deviation", "reported"}


def markdown(report: Report) -> str:
    """Return the Markdown: the verdict, the next step, each failed rule, and tables of the others."""
    return "\n\n".join(_parts(report)) + "\n"


def _parts(report: Report) -> Iterator[str]:
    yield f"# {report.title}"
    yield f"**{inline(report.headline)}**"
    if report.exchange:
        yield fenced("\n".join(exchange_lines(report.exchange)), "text")
    yield inline(f"Exit code {report.exit_code}; level {report.level}; {report.tally}; {report.cost}; {report.started}")
    yield "Run it again" + (f" with `{report.key_variables}` set:" if report.key_variables else ":")
    yield fenced(report.reproduce, "sh")
    for outcome, rules in report.groups:
        if outcome in AT_LENGTH:
            yield f"## {outcome.capitalize()} ({len(rules)})"
            yield from (part for rule in rules for part in _rule(rule))
        else:
            yield _folded(f"{outcome.capitalize()} ({len(rules)})", _table(rules))
    if report.shortfalls:
        yield "## Requests that were not sent as planned"
        yield "\n".join(f"- {inline(shortfall)}" for shortfall in report.shortfalls)
    if report.complete_run:
        yield inline(f"To do: {report.complete_run}.")
    yield inline(", ".join(f"{tool} {version}" for tool, version in report.versions.items()))


def _rule(rule: RuleReport) -> Iterator[str]:
    yield f"### {inline(rule.id)}"
    yield inline(rule.promise)
    yield inline(f"Source: {rule.source} ({rule.level}). {rule.cost}.")
    if rule.deviation:
        yield inline(rule.deviation)
    if rule.unproven:
        yield inline(f"Not tested because of it: {', '.join(rule.unproven)}")
    if rule.reason:
        yield fenced(_shortened(rule.reason), "text")
    for finding in rule.findings[:MOST_FINDINGS]:
        yield fenced(_shortened("\n".join(finding_lines(finding))), "text")
    if more := rule.more_findings + len(rule.findings[MOST_FINDINGS:]):
        yield f"And {more} more findings."
    if rule.reproduce:
        yield "Run this rule again:"
        yield fenced(rule.reproduce, "sh")


def _shortened(text: str) -> str:
    return text[:LONGEST] + (" …" if len(text) > LONGEST else "")


def _table(rules: Iterable[RuleReport]) -> str:
    heads = ("rule", "promise", "source", "reason", "requests", "seconds")
    rows = [
        (rule.id, rule.promise, f"{rule.source} ({rule.level})", rule.problem, rule.requests, f"{rule.seconds:.2f}")
        for rule in rules
    ]
    lines = [heads, ("---",) * 4 + ("---:",) * 2, *([inline(str(cell)) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{content}\n\n</details>"


def inline(text: str) -> str:
    """Return the text as one line without markup."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", line)


def fenced(text: str, language: str) -> str:
    """Return the text as a code block; no fence in the text can end it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
