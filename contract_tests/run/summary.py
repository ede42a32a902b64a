"""The summary of a run on the terminal: the result, the counts, the failures, and the rules that were not tested."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from contract_tests.reports.model import FAILURES, RESULTS, Outcome, cost_of_run, counted, tally
from contract_tests.run.plan import ALL_BASELINE_REQUESTS, requests_of, seconds
from contract_tests.run.verdicts import Verdict, Verdicts
from contract_tests.support.rules import all_rules, rule_ids
from contract_tests.wire.not_tested import MORE_TIME

SCREEN = 15  # lines of the summary about single rules: a screen holds as many beside the rest
LISTED = 40  # rules that were not tested for one reason; the reports list more
WIDTH = 100  # characters of a line with rule ids


def headline(verdicts: Verdicts) -> str:
    """Return the result of a run as a sentence."""
    embedded = " (the embedded mock)" if verdicts.settings.embedded else ""
    accepted = verdicts.counts["known deviation"]
    but_for = f" but for {counted(accepted, 'known deviation')}" if accepted else ""
    result = RESULTS[verdicts.result].sentence.format(but_for=but_for)
    return f"{verdicts.settings.target.url}{embedded} {result} at level {verdicts.settings.level}"


def summary(verdicts: Verdicts) -> Iterator[str]:
    """Yield the lines that follow the result of a run."""
    selected, known = len(verdicts.rules), len(rule_ids())
    of_all = f" of {known}" if 0 < selected < known else ""
    yield f"rules: {selected}{of_all} selected; {tally(verdicts.counts) or 'none ran'}"
    if verdicts.runner:
        yield cost_of_run(verdicts.requests, verdicts.seconds, is_recorded=verdicts.is_recorded)
    lines = [*_failures(verdicts), *_untested(verdicts)]
    yield from lines[:SCREEN]
    if len(lines) > SCREEN:
        yield f"… and {counted(len(lines) - SCREEN, 'more line')}: --report-dir DIR writes all of them"
    if needs := complete_run(verdicts):
        yield needs


def _failures(verdicts: Verdicts) -> Iterator[str]:
    for outcome in FAILURES:
        for verdict in _with(verdicts, outcome):
            deviation = f"; {text}" if (text := verdicts.deviation(verdict.rule)) else ""
            yield f"{outcome}: {verdict.rule.id} ({verdict.rule.source}){deviation}"
            if unproven := verdicts.unproven(verdict.rule):
                yield from _indented(f"not tested because of it: {', '.join(unproven)}")
    for verdict in verdicts.all:
        if verdict.runs > 1:
            yield f"repeated: {verdict.rule.id} ran {verdict.runs} times, and the worst result counts"


def _untested(verdicts: Verdicts) -> Iterator[str]:
    yield from _by_reason(verdicts, "not tested")
    if verdicts.unreached:
        yield f"not tested, {counted(len(verdicts.unreached), 'rule')}: {verdicts.reason_of_ending}"
    yield from (f"not tested: {shortfall.reason}" for shortfall in verdicts.shortfalls)
    if len(verdicts.rules) < len(rule_ids()):  # in a complete run they are many, and the reports list them
        yield from _by_reason(verdicts, "not applicable")


def _by_reason(verdicts: Verdicts, outcome: Outcome) -> Iterator[str]:
    by_reason: dict[str, list[str]] = {}
    for verdict in _with(verdicts, outcome):
        by_reason.setdefault(verdict.reason, []).append(verdict.rule.id)
    for reason, ids in by_reason.items():
        if len(ids) == 1:
            yield f"{outcome}: {ids[0]}: {reason}"
        else:
            yield f"{outcome}, {len(ids)} rules: {reason}"
            if len(ids) <= LISTED:
                yield from _indented(", ".join(ids))


def _with(verdicts: Verdicts, outcome: Outcome) -> list[Verdict]:
    return [verdict for verdict in verdicts.all if verdict.outcome == outcome]


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


def complete_run(verdicts: Verdicts) -> str:
    """Return the needs of a complete run beyond this one, as a sentence; empty if the user cannot meet them."""
    wanted = {verdict.wanted for verdict in verdicts.all} | {shortfall.wanted for shortfall in verdicts.shortfalls}
    is_selection = len(verdicts.rules) < len(rule_ids())
    needs = sorted({*wanted, "all rules" if is_selection else ""} - {""})
    if verdicts.is_complete or not needs:
        return ""
    time = ""
    if not is_selection and verdicts.settings.max_rate is None and MORE_TIME not in needs:
        is_intrusive = verdicts.settings.intrusive or "--intrusive" in needs
        own = requests_of(all_rules(), intrusive=is_intrusive)
        time = f": {seconds(ALL_BASELINE_REQUESTS + sum(own.values()))}"
    listed = " and ".join(filter(None, [", ".join(needs[:-1]), needs[-1]]))
    return f"a complete run needs {listed}{time}"
