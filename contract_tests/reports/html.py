"""The report as one HTML page without scripts, other files or network requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from contract_tests.reports.deviations import NEXT_STEP, suggested_deviations
from contract_tests.reports.model import FAILURES, FATAL, Outcome, Report, RuleReport, counted
from contract_tests.reports.text import stated
from contract_tests.reports.timeline import drawing, duration, kind

FIRST_FAULTS = 3  # rules that are listed at the top and open at once
LEADS: dict[Outcome, str] = {
    "broken": "The deployment breaks these promises.",
    "gate error": "The gate itself failed; these rules were not judged.",
    "stale deviation": "Kept, although listed as known deviations: remove the entries.",
    "known deviation": "Broken; a listed deviation accepts the failure until its expiry date.",
    "reported": "Broken, but above the level of this run: not fatal.",
    "not tested": "These rules were not tested, for these reasons.",
    "held": "Promises that the deployment kept, by family. “shared” stands for requests that all rules share.",
    "not applicable": "No response of this run has the subject of these promises.",
}


def page(report: Report) -> str:
    """Return the page: the verdict, the next step, the rules by outcome, the picture, the settings."""
    started = report.started[:16].replace("T", " ") + " UTC"
    return _template().render(
        report=report,
        facts=[f"exit code {report.exit_code}", report.tally, report.cost, started],
        kind=_kind(report),
        fatal=FATAL,
        failures=FAILURES,
        folded=_folded,
        leads=LEADS,
        most=FIRST_FAULTS,
        next_step=NEXT_STEP,
        deviations=suggested_deviations(report),
        settings=_settings(report),
        **(drawing(report.timeline) if report.timeline else {}),
    )


@cache
def _template() -> Template:
    loader = PackageLoader("contract_tests.reports", ".")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.filters.update(counted=counted, duration=duration, mark=kind, prose=_prose, stated=stated)
    return environment.get_template("report.html.j2")


def _folded(rules: Iterable[RuleReport]) -> Iterable[tuple[str, list[RuleReport]]]:
    """Return the rules by their reason, and those without one by their family."""
    groups: dict[str, list[RuleReport]] = {}
    for rule in rules:
        groups.setdefault(rule.problem or rule.id.partition("/")[0], []).append(rule)
    return groups.items()


def _kind(report: Report) -> str:
    if report.is_green:
        return "good" if report.verdict == "conforms" else "partial"
    return "bad" if report.fatal_rules else "unknown"


def _settings(report: Report) -> Mapping[str, object]:
    settings = {name.replace("_", " "): value for name, value in report.settings.items() if value not in {None, ""}}
    words = {True: "yes", False: "no"}
    named = {name: words[value] if isinstance(value, bool) else value for name, value in settings.items()}
    return {"target": report.target, "level": report.level, "keys": report.keys, **named, **report.versions}


def _prose(text: str) -> Markup:
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before
