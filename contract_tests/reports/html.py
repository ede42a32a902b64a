"""The report as one HTML page without scripts, other files or network requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape
from importlib.resources import files

from contract_tests.reports.model import FATAL, ExchangeReport, FindingReport, Outcome, Report, RuleReport
from contract_tests.reports.timeline import picture

FIRST_FAULTS = 3  # rules that are listed at the top and open at once
QUIET = ("not tested", "held")  # outcomes after the picture
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
LEADS: dict[Outcome, str] = {
    "broken": "The deployment breaks these promises.",
    "gate error": "The gate itself failed; these rules were not judged.",
    "stale deviation": "Kept, although listed as known deviations: remove the entries.",
    "known deviation": "Broken; a listed deviation accepts the failure until its expiry date.",
    "reported": "Broken, but above the level of this run: not fatal.",
    "not tested": "These rules were not tested.",
    "held": "Promises that the deployment kept.",
}


def page(report: Report) -> str:
    """Return the page: the verdict, the next step, the rules by outcome, the picture, the settings."""
    style = files("contract_tests.reports").joinpath("report.css").read_text(encoding="utf-8")
    title = escape(f"{report.title}: {report.target}")
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<link rel="icon" href="data:,"><title>{title}</title>\n<style>\n{style}</style></head>\n<body>\n'
        + "\n".join(_body(report))
        + "\n</body></html>\n"
    )


def _body(report: Report) -> Iterator[str]:
    yield _verdict(report)
    yield "<main>"
    yield _again(report)
    for outcome, rules in report.groups:
        if outcome not in QUIET:
            yield _group(outcome, rules)
    if report.timeline:
        yield f"<section><h2>The run</h2>{picture(report)}</section>"
    if report.shortfalls:
        shortfalls = _list(map(escape, report.shortfalls))
        yield f"<section><h2>Requests that were not sent as planned</h2>{shortfalls}</section>"
    if report.complete_run:
        yield f"<p>To do: {escape(report.complete_run)}.</p>"
    for outcome, rules in report.groups:
        if outcome in QUIET:
            yield _group(outcome, rules)
    yield _basis(report)
    yield "</main>"


def _verdict(report: Report) -> str:
    facts = [f"exit code {report.exit_code}", f"level {report.level}", report.tally, report.cost, _day(report.started)]
    return (
        f'<header class="{_kind(report)}"><h1>{escape(report.title)}</h1>'
        f'<p class="headline">{escape(report.headline)}</p>'
        f"{_exchange(report.exchange) if report.exchange else ''}{_why(report)}"
        f'<p class="facts">{"".join(f"<span>{escape(fact)}</span> " for fact in facts)}</p></header>'
    )


def _day(started: str) -> str:
    return started[:16].replace("T", " ") + " UTC"


def _kind(report: Report) -> str:
    if report.green:
        return "good" if report.verdict == "conforms" else "partial"
    return "bad" if report.faults else "unknown"


def _why(report: Report) -> str:
    faults = report.faults
    links = [
        f'<a href="#{_anchor(rule)}">{escape(rule.id)}</a>: {_prose(rule.promise)} <em>{escape(rule.problem)}</em>'
        for rule in faults[:FIRST_FAULTS]
    ]
    if more := faults[FIRST_FAULTS:]:
        links.append(f'<a href="#{_section(more[0].outcome)}">and {len(more)} more</a>')
    return f'<div class="why">{_list(links)}</div>' if links else ""


def _again(report: Report) -> str:
    keys = report.key_variables
    first = f"<p>First set <code>{escape(keys)}</code>; the curl commands below use the same.</p>" if keys else ""
    return f"<section><h2>Run it again</h2>{first}{_pre(report.reproduce)}</section>"


def _group(outcome: Outcome, rules: list[RuleReport]) -> str:
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("rule", "promise", "requests", "seconds"))
    opened = FIRST_FAULTS if outcome in FATAL else 0
    rows = "\n".join(_row(rule, number < opened) for number, rule in enumerate(rules))
    return (
        f'<section id="{_section(outcome)}" class="{_section(outcome)}"><h2>{outcome.capitalize()} ({len(rules)})</h2>'
        f"<p>{LEADS[outcome]}</p>\n<table><thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></section>"
    )


def _row(rule: RuleReport, opened: bool) -> str:
    return (
        f'<tr id="{_anchor(rule)}"><th scope="row">{escape(rule.id)} <small>{rule.level}</small></th>'
        f"<td><p>{_prose(rule.promise)}</p>{_reason(rule)}{_details(rule, opened)}</td>"
        f'<td class="number" data-unit="{"request" if rule.requests == 1 else "requests"}">{rule.requests}</td>'
        f'<td class="number" data-unit="s">{rule.seconds:.2f}</td></tr>'
    )


def _reason(rule: RuleReport) -> str:
    texts = [rule.deviation] if rule.deviation else []
    texts += [rule.problem] if rule.problem else []
    texts += [f"Repeated: {rule.cost}"] if rule.runs > 1 else []
    texts += [f"Not tested because of it: {', '.join(rule.unproven)}"] if rule.unproven else []
    return "".join(f'<p class="problem">{escape(text)}</p>' for text in texts)


def _details(rule: RuleReport, opened: bool) -> str:
    """Return the part that opens by click or key."""
    parts = [f"<p>Source: {escape(rule.source)}</p>", *map(_finding, rule.findings)]
    parts += [f"<p>And {rule.more_findings} more findings.</p>"] if rule.more_findings else []
    parts += [_pre(rule.reason)] if "\n" in rule.reason else []
    parts += [f"<p>Its first request:</p>{_pre(rule.curl)}"] if rule.curl and not rule.findings else []
    parts += [f"<p>Run this rule again:</p>{_pre(rule.reproduce)}"] if rule.reproduce else []
    label = ", ".join(["Source"] + ["evidence"] * bool(rule.findings) + ["curl"] * bool(rule.findings or rule.curl))
    return f"<details{' open' * opened}><summary>{label}</summary>{''.join(parts)}</details>"


def _finding(finding: FindingReport) -> str:
    times = f" ({finding.count} times)" if finding.count > 1 else ""
    pair = {"member": finding.pointer, "expected": finding.expected, "actual": finding.actual}
    rows = "".join(f"<dt>{name}</dt><dd><code>{escape(value)}</code></dd>" for name, value in pair.items() if value)
    exchanges = "".join(map(_exchange, (finding.exchange, *finding.related)))
    return f'<div class="finding"><p>{escape(finding.problem)}{times}</p><dl>{rows}</dl>{exchanges}</div>'


def _exchange(exchange: ExchangeReport) -> str:
    texts = {"request": exchange.request, "response": exchange.response, "location": exchange.location}
    rows = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in texts.items() if text)
    return f"<dl>{rows}</dl>{_pre(exchange.body) if exchange.body else ''}{_pre(exchange.curl)}"


def _basis(report: Report) -> str:
    settings = {name.replace("_", " "): value for name, value in report.settings.items() if value not in {None, ""}}
    texts = {"target": report.target, "keys": report.keys, **settings, **report.versions}
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(_plain(value))}</dd>" for name, value in texts.items())
    return f"<section><h2>Settings and versions</h2><dl>{rows}</dl></section>"


def _plain(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _prose(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def _pre(text: str) -> str:
    return f'<pre tabindex="0">{escape(text)}</pre>'


def _section(outcome: str) -> str:
    return outcome.replace(" ", "-")


def _anchor(rule: RuleReport) -> str:
    return "rule-" + escape(rule.id.replace("/", "-"))
