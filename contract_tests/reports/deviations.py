"""Entries for a file of known deviations, suggested by a report."""

from __future__ import annotations

import json

from contract_tests.reports.model import Report, RuleReport

NEXT_STEP = (
    "Repair the deployment, or accept a failure for a while: copy its entry into the file of `--known-deviations`. "
    "Owner, ticket and expiry date are left open."
)

LONGEST_REASON = 200  # characters


def suggested_deviations(report: Report) -> str:
    """Return one `[[deviation]]` entry in TOML for each broken rule; owner, ticket and expiry date are open.

    A rule with an expired entry is left out: its entry exists, and the report shows it.
    """
    return "\n".join(_entry(rule) for rule in report.rules if rule.outcome == "broken" and not rule.deviation)


def _entry(rule: RuleReport) -> str:
    return (
        "[[deviation]]\n"
        f"rule = {_text(rule.id)}\n"
        f"reason = {_text(_reason(rule))}\n"
        'owner = ""\n'
        'ticket = ""\n'
        'expires = "" # a date without quotes, such as 2027-03-31\n'
    )


def _reason(rule: RuleReport) -> str:
    """Return the first problem as one line."""
    values = [
        f"{each.actual} instead of {each.expected}"
        for each in rule.findings[:1]
        if each.actual and each.expected and each.actual not in each.problem
    ]
    line = " ".join(": ".join([rule.problem, *values]).split())
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]} …"


def _text(text: str) -> str:
    """Return a basic string of TOML, whose escapes include those of JSON."""
    return json.dumps(text, ensure_ascii=False)
