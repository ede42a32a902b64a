"""The verdict on each rule, and on the run as a whole."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, get_args

import pytest

from contract_tests.reports.model import Outcome, counted
from contract_tests.run.findings import BrokenPromiseError, Finding
from contract_tests.run.first_request import NoFirstResponseError
from contract_tests.run.options import Settings
from contract_tests.run.rules import Rule, rule_ids
from contract_tests.run.scheduler import Scheduler
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.pacing import SHARE, VENDOR_RATE

WORST_FIRST: tuple[Outcome, ...] = (
    "broken",
    "gate error",
    "known deviation",
    "reported",
    "stale deviation",
    "not tested",
    "held",
)
FAILED: tuple[Outcome, ...] = ("broken", "known deviation", "reported")
ACCEPTED: tuple[Outcome, ...] = ("known deviation", "reported")
COMPLETE, COMPLETE_INTRUSIVE = 243, 307  # paced requests of a run with three keys, for an estimate of its time
WITHOUT_A_KEY = 93  # of them, sent so fast that they hardly count
SCREEN = 15  # lines of the summary about single rules: a screen holds as many beside the rest
LISTED = 40  # rules that were not tested for one reason; the reports list more
WIDTH = 100  # characters of a line with rule ids

# Reported where the first 200 is missing, whichever rule happened to come first.
FIRST: dict[str, Any] = {
    "id": "auth/valid-key-is-200",
    "level": "specified",
    "source": "document, 200: usage metrics for the authenticated API key",
    "promise": "A response to a baseline request with a valid key MUST have status 200.",
}


@dataclass(frozen=True)
class Verdict:
    """The outcome of one rule, and its cost: the worst of its runs, where a pytest plugin repeats it.

    `reason` states why the rule was not tested, or why the gate failed. `requests` are the exchanges of this rule, as
    a range of the journal, and `seconds` is the time that it took. `because` are the ids of the rules that report why
    this one was not tested. `wanted` is what a run must be given to test it.
    """

    rule: Rule
    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    requests: range = range(0)
    seconds: float = 0.0
    because: frozenset[str] = frozenset()
    wanted: str = ""
    runs: int = 1

    def worst(self, other: Verdict) -> Verdict:
        """Return the worse of two verdicts on a rule, with the cost of both where one run followed the other."""
        worst = min((self, other), key=lambda verdict: WORST_FIRST.index(verdict.outcome))
        follows = self.requests.stop == other.requests.start
        requests = range(self.requests.start, other.requests.stop) if follows else worst.requests
        return replace(worst, requests=requests, seconds=self.seconds + other.seconds)


@dataclass
class Verdicts:
    """The verdicts of a run, in the order in which the rules ran."""

    settings: Settings
    rules: list[Rule] = field(default_factory=list)
    all: list[Verdict] = field(default_factory=list)
    today: date = field(default_factory=date.today)
    scheduler: Scheduler | None = None
    _runs: Counter[str] = field(default_factory=Counter)
    _since: int = 0
    _up_to: int = 0
    _began: float = 0.0

    @property
    def sent(self) -> int:
        """The number of exchanges in the journal so far."""
        return len(self.scheduler.journal) if self.scheduler else 0

    def judge(self, rule: Rule, report: pytest.TestReport, call: pytest.CallInfo[None]) -> Verdict | None:
        """Record and return the verdict of one phase of a rule, and adapt the outcome of pytest's report."""
        if report.when == "setup":
            self._since, self._began = self._up_to, call.start
            self._runs[rule.id] += 1
        self._up_to = self.sent
        verdict = self._verdict(rule, report, call)
        if verdict is None:
            return None
        self._record(replace(verdict, requests=range(self._since, self._up_to), seconds=call.stop - self._began))
        if verdict.outcome in ACCEPTED:  # pytest itself does this for an expected failure
            report.outcome = "skipped"
            report.wasxfail = self._pardon(verdict.rule)
        worst = next(each for each in self.all if each.rule.id == verdict.rule.id)
        if verdict.outcome in {"held", "stale deviation"} and worst.outcome in {"stale deviation", "broken"}:
            report.outcome = "failed"  # as for a strict xfail, and where an earlier run of the rule was broken
            return worst
        return verdict

    def _verdict(self, rule: Rule, report: pytest.TestReport, call: pytest.CallInfo[None]) -> Verdict | None:
        error = call.excinfo.value if call.excinfo else None
        if report.skipped and error:
            because, wanted = getattr(error, "because", frozenset[str]()), getattr(error, "wanted", "")
            return Verdict(rule, "not tested", reason=str(error), because=because, wanted=wanted)
        if isinstance(error, BrokenPromiseError):
            rule = replace(rule, **FIRST) if isinstance(error, NoFirstResponseError) else rule
            return Verdict(rule, self._failure(rule), error.findings)
        if report.failed:
            return Verdict(rule, "gate error", reason=str(report.longrepr))
        if report.when != "call":
            return None
        is_recorded = self.scheduler is not None and self.scheduler.is_recorded  # which may not show the deviation
        if (deviation := self.settings.deviations.get(rule.id)) and not is_recorded:
            return Verdict(rule, "stale deviation", reason=f"remove the {deviation}")
        return Verdict(rule, "held")

    def _record(self, verdict: Verdict) -> None:
        """Add a verdict, or merge it with the one of an earlier run or phase of the same rule."""
        runs = max(self._runs[verdict.rule.id], 1)
        for index, earlier in enumerate(self.all):
            if earlier.rule.id == verdict.rule.id:
                self.all[index] = replace(earlier.worst(verdict), runs=runs)
                return
        self.all.append(verdict)

    def _failure(self, rule: Rule) -> Outcome:
        deviation = self.settings.deviations.get(rule.id)
        if deviation and not deviation.has_expired(self.today):
            return "known deviation"
        return "reported" if rule.is_above(self.settings.level) else "broken"

    def _pardon(self, rule: Rule) -> str:
        deviation = self.settings.deviations.get(rule.id)
        return str(deviation or f"{rule.level} rule, not fatal at level {self.settings.level}")

    def check_repeats(self, rule: Rule) -> None:
        """Raise NotTested for a rule that repeats a broken one."""
        if broken := self.broken_among(rule.repeats):
            raise NotTested(f"{broken} is broken, and this rule would find the same defect again", because=[broken])

    def broken_among(self, ids: Collection[str]) -> str:
        """Return the first of these rules, or of the rules that they would repeat, that failed; empty without one."""
        repeated = [verdict for verdict in self.all if verdict.rule.id in ids]
        failed = [verdict.rule.id for verdict in repeated if verdict.outcome in FAILED]
        if failed:
            return failed[0]
        untested = [verdict.rule.repeats for verdict in repeated if verdict.outcome == "not tested"]
        return next((broken for repeats in untested if (broken := self.broken_among(repeats))), "")

    def deviation(self, rule: Rule) -> str:
        """Return the known deviation of a rule as a sentence, or that it has expired; empty without one."""
        return self.expiry(rule) or str(self.settings.deviations.get(rule.id, ""))

    def expiry(self, rule: Rule) -> str:
        """Return that the known deviation of a rule has expired; empty where it has not."""
        deviation = self.settings.deviations.get(rule.id)
        return deviation.expiry() if deviation and deviation.has_expired(self.today) else ""

    def unproven(self, rule: Rule) -> list[str]:
        """Return the ids of the rules that were not tested because of an accepted failure of this rule."""
        accepted = {verdict.rule.id for verdict in self.all if verdict.outcome in ACCEPTED}
        return [each.rule.id for each in self.all if rule.id in each.because] if rule.id in accepted else []

    @property
    def unreached(self) -> list[Rule]:
        """The selected rules that did not run, because the run ended before."""
        judged = {verdict.rule.id for verdict in self.all}
        return [rule for rule in self.rules if rule.id not in judged]

    @property
    def counts(self) -> Counter[Outcome]:
        """The number of rules with each outcome."""
        return Counter([verdict.outcome for verdict in self.all] + ["not tested" for _ in self.unreached])

    @property
    def fatal(self) -> int:
        """The number of rules that make the run red."""
        return self.counts["broken"] + self.counts["stale deviation"]

    @property
    def complete(self) -> bool:
        """Whether every selected rule was tested."""
        return not self.counts["not tested"] and not self.shortfalls

    @property
    def complete_run(self) -> str:
        """The needs of a complete run beyond this one, as a sentence; empty if the user cannot meet them."""
        wanted = {verdict.wanted for verdict in self.all} | (self.scheduler.wanted if self.scheduler else set())
        if self.complete or not (needs := sorted(wanted - {""})):
            return ""
        seconds = ""
        if len(self.rules) == len(rule_ids()):
            requests = COMPLETE_INTRUSIVE if self.settings.intrusive or "--intrusive" in needs else COMPLETE
            at_own_pace = (requests - WITHOUT_A_KEY) / (SHARE * VENDOR_RATE)
            estimate = requests / self.settings.max_rate if self.settings.max_rate else at_own_pace
            seconds = f": about {estimate:.0f} s"
        listed = " and ".join(filter(None, [", ".join(needs[:-1]), needs[-1]]))
        return f"a complete run needs {listed}{seconds}"

    @property
    def shortfalls(self) -> list[str]:
        """Sentences about baseline requests that were sent less often than planned."""
        return self.scheduler.shortfalls if self.scheduler else []

    @property
    def suffice(self) -> bool:
        """Whether a run without a failure may be called green."""
        tested = self.counts["held"] + self.counts["reported"] + self.counts["known deviation"]
        return tested > 0 and (self.complete or not self.settings.require_complete)

    def summary(self) -> Iterator[str]:
        """Yield the lines that end a run."""
        counts = self.counts
        embedded = " (the embedded mock)" if self.settings.embedded else ""
        yield f"{self.settings.target.url}{embedded} {self._result()} at level {self.settings.level}"
        tally = ", ".join(f"{counts[outcome]} {outcome}" for outcome in get_args(Outcome) if counts[outcome])
        yield f"rules: {len(self.rules)} selected; {tally or 'none ran'}"
        if not self.rules:
            yield "pytest has collected no rules: -k, -m, or python_files and python_functions in its configuration"
        if self.scheduler:
            yield self.scheduler.transport.spent()
        lines = [*self._failures(), *self._untested()]
        yield from lines[:SCREEN]
        if len(lines) > SCREEN:
            yield f"… and {len(lines) - SCREEN} more lines: --report-dir DIR writes all of them"
        if self.complete_run:
            yield self.complete_run

    def _failures(self) -> Iterator[str]:
        named: tuple[Outcome, ...] = ("broken", "stale deviation", "gate error", "known deviation", "reported")
        for outcome in named:
            for verdict in self._with(outcome):
                expiry = f"; {self.expiry(verdict.rule)}" if self.expiry(verdict.rule) else ""
                yield f"{outcome}: {verdict.rule.id} ({verdict.rule.source}){expiry}"
                if unproven := self.unproven(verdict.rule):
                    yield from _indented(f"not tested because of it: {', '.join(unproven)}")
        for verdict in self.all:
            if verdict.runs > 1:
                yield f"repeated: {verdict.rule.id} ran {verdict.runs} times, and the worst result counts"

    def _untested(self) -> Iterator[str]:
        by_reason: dict[str, list[str]] = {}
        for verdict in self._with("not tested"):
            by_reason.setdefault(verdict.reason, []).append(verdict.rule.id)
        for reason, ids in by_reason.items():
            if len(ids) == 1:
                yield f"not tested: {ids[0]}: {reason}"
            else:
                yield f"not tested, {len(ids)} rules: {reason}"
                if len(ids) <= LISTED:
                    yield from _indented(", ".join(ids))
        if self.unreached:
            yield f"not tested, {counted(len(self.unreached), 'rule')}: the run ended before their turn"
        yield from (f"not tested: {shortfall}" for shortfall in self.shortfalls)

    def _with(self, outcome: Outcome) -> list[Verdict]:
        return [verdict for verdict in self.all if verdict.outcome == outcome]

    def _result(self) -> str:
        if self.counts["broken"]:
            return "BREAKS ITS CONTRACT"
        if self.counts["stale deviation"]:
            return "keeps a promise that is listed as a known deviation"
        if self.counts["not tested"] == self.counts.total():
            return "could not be tested"
        if self.counts["gate error"]:
            return "was not judged: the gate itself failed"
        if self.complete:
            return "conforms"
        because = ", which --require-complete refuses" if self.settings.require_complete else ""
        return f"conforms as far as it was tested: the result is partial{because}"


verdicts_key = pytest.StashKey[Verdicts]()


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
