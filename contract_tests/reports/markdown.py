"""The report as GitHub-flavoured Markdown, for the summary of a CI job."""

from __future__ import annotations

import re
from functools import cache
from html import escape

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from contract_tests.reports.deviations import NEXT_STEP, suggested_deviations
from contract_tests.reports.model import FAILURES, Report, counted
from contract_tests.reports.text import FINDINGS_ON_A_SCREEN, exchange_lines, finding_lines

LONGEST_FINDING = 2000  # characters of a finding: a job's summary may have 1 MiB in all


def markdown(report: Report) -> str:
    """Return the Markdown: the verdict, the next step, each failed rule, and tables of the others."""
    return _template().render(
        report=report,
        most=FINDINGS_ON_A_SCREEN,
        failures=FAILURES,
        next_step=NEXT_STEP,
        deviations=suggested_deviations(report),
        versions=", ".join(f"{tool} {version}" for tool, version in report.versions.items()),
    )


@cache
def _template() -> Template:
    loader = PackageLoader("contract_tests.reports", ".")
    environment = Environment(loader=loader, undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701 - not HTML
    environment.filters.update(counted=counted, inline=inline, fenced=fenced, shortened=_shortened)
    environment.globals.update(finding_lines=finding_lines, exchange_lines=exchange_lines)
    return environment.get_template("report.md.j2")


def _shortened(text: str) -> str:
    return text[:LONGEST_FINDING] + (" …" if len(text) > LONGEST_FINDING else "")


def inline(text: str) -> str:
    """Return the text as one line without markup."""
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", escape(" ".join(text.split()), quote=False))


def fenced(text: str, language: str) -> str:
    """Return the text as a code block; no fence in the text can end it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
