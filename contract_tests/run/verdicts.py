"""What the run found out about each rule, and what that is worth as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal, get_args

import pytest

from contract_tests.run.gate import Gate, NoFirstResponseError
from contract_tests.run.options import Settings
from contract_tests.run.rules import Rule, rule_ids
from contract_tests.wire.transport import SHARE, VENDOR_RATE

Outcome = Literal["held", "broken", "stale deviation", "known deviation", "reported", "not tested", "gate error"]
WORST_FIRST: tuple[Outcome, ...] = (
    "broken",
    "gate error",
    "known deviation",
    "reported",
    "stale deviation",
    "not tested",
    "held",
)
ACCEPTED: tuple[Outcome, ...] = ("known deviation", "reported")
COMPLETE, COMPLETE_INTRUSIVE = 250, 300  # paced requests of a run with three keys, for an estimate of its time
SCREEN = 15  # lines: of what is worth naming, as much as a screen holds beside the rest


# What is reported where the first 200 is missing, whichever rule happened to come first.
FIRST: dict[str, Any] = {
    "id": "auth/valid-key-is-200",
    "level": "specified",
    "source": "document, 200: usage metrics for the authenticated API key",
    "promise": "Every plain request with a valid key MUST be answered 200.",
}


@dataclass(frozen=True)
class Verdict:
    """One rule's outcome and its cost: the worst of its runs, where a pytest plugin repeats it.

    `evidence` is what was seen, or why the rule was not tested; `requests` are the answers that were
    asked for on its behalf, as a range of the journal; `seconds` is the time that it took. `because` are the ids of
    the rules that report why this one was not tested; `wanted` is what a run must be given to test it.
    """

    rule: Rule
    outcome: Outcome
    evidence: str = ""
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
    gate: Gate | None = None
    _runs: Counter[str] = field(default_factory=Counter)
    _since: int = 0
    _upto: int = 0
    _began: float = 0.0

    @property
    def asked(self) -> int:
        """How many answers the journal holds so far."""
        return len(self.gate.transport.journal) if self.gate else 0

    def judge(self, rule: Rule, report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
        """Record the verdict that a phase's report amounts to, and word the report accordingly."""
        if report.when == "setup":
            self._since, self._began = self._upto, call.start
            self._runs[rule.id] += 1
        self._upto = self.asked

        def record(outcome: Outcome, evidence: str = "", reason: BaseException | None = None) -> None:
            asked, seconds = range(self._since, self._upto), call.stop - self._began
            because, wanted = getattr(reason, "because", frozenset[str]()), getattr(reason, "wanted", "")
            self._record(Verdict(rule, outcome, evidence, asked, seconds, because, wanted))

        if report.skipped and call.excinfo:
            record("not tested", str(call.excinfo.value), call.excinfo.value)
        elif report.failed and call.excinfo and (failure := _failure(call.excinfo.value)):
            evidence = str(failure).split("\nassert ")[0]  # without pytest's own introspection
            if isinstance(failure, NoFirstResponseError):
                rule = replace(rule, **FIRST)
            outcome, pardon = self._fault(rule)
            record(outcome, evidence)
            report.longrepr = "\n".join(filter(None, [_told(rule, evidence), self._expiry(rule)]))
            if pardon:  # what pytest itself does for an expected failure
                report.outcome = "skipped"
                report.wasxfail = pardon
        elif report.failed:
            record("gate error", str(report.longrepr))
        elif report.when == "call":
            record(*self._success(rule))
            self._fail_again(rule, report)

    def _success(self, rule: Rule) -> tuple[Outcome, str]:
        """Return what it amounts to that this rule is kept."""
        deviation = self.settings.deviations.get(rule.id)
        return ("stale deviation", f"the promise is kept; remove the {deviation}") if deviation else ("held", "")

    def _fail_again(self, rule: Rule, report: pytest.TestReport) -> None:
        """Let the report fail where a deviation is stale, or where an earlier run of the rule was broken."""
        worst = next(verdict for verdict in self.all if verdict.rule.id == rule.id)
        if worst.outcome == "stale deviation":  # what pytest itself does for a strict xfail
            report.outcome = "failed"
            report.longrepr = f"{rule.id} is kept: remove the {self.settings.deviations[rule.id]}"
        elif worst.outcome == "broken":
            report.outcome = "failed"
            report.longrepr = _told(rule, worst.evidence)

    def _record(self, verdict: Verdict) -> None:
        """Add a verdict, or make it one with that of an earlier run or phase of the same rule."""
        runs = max(self._runs[verdict.rule.id], 1)
        for index, earlier in enumerate(self.all):
            if earlier.rule.id == verdict.rule.id:
                self.all[index] = replace(earlier.worst(verdict), runs=runs)
                return
        self.all.append(verdict)

    def _fault(self, rule: Rule) -> tuple[Outcome, str]:
        """Return what a failure of this rule amounts to, and why it is not fatal, if it is not."""
        deviation = self.settings.deviations.get(rule.id)
        if deviation and not deviation.has_expired(self.today):
            return "known deviation", str(deviation)
        if rule.is_above(self.settings.level):
            return "reported", f"{rule.level} rule, not fatal at level {self.settings.level}"
        return "broken", ""

    def broken_among(self, ids: Collection[str]) -> str:
        """Return the first of these rules, or of those that they would repeat, that was found broken, if any."""
        needed = [verdict for verdict in self.all if verdict.rule.id in ids]
        faulty = [v.rule.id for v in needed if v.outcome in {"broken", "known deviation", "reported"}]
        if faulty:
            return faulty[0]
        untested = [verdict.rule.repeats for verdict in needed if verdict.outcome == "not tested"]
        return next((broken for needs in untested if (broken := self.broken_among(needs))), "")

    def deviation(self, rule: Rule) -> str:
        """Return the known deviation of a rule as a sentence, or that it has expired; empty without one."""
        return self._expiry(rule) or str(self.settings.deviations.get(rule.id, ""))

    def _expiry(self, rule: Rule) -> str:
        deviation = self.settings.deviations.get(rule.id)
        return deviation.expiry() if deviation and deviation.has_expired(self.today) else ""

    def unproven(self, rule: Rule) -> list[str]:
        """Return the ids of the rules that were not tested because of an accepted failure of this rule."""
        accepted = {verdict.rule.id for verdict in self.all if verdict.outcome in ACCEPTED}
        return [each.rule.id for each in self.all if rule.id in each.because] if rule.id in accepted else []

    @property
    def unreached(self) -> list[Rule]:
        """The selected rules that the run ended before."""
        judged = {verdict.rule.id for verdict in self.all}
        return [rule for rule in self.rules if rule.id not in judged]

    @property
    def counts(self) -> Counter[Outcome]:
        """How many rules have which outcome."""
        return Counter([verdict.outcome for verdict in self.all] + ["not tested" for _ in self.unreached])

    @property
    def faults(self) -> int:
        """How many rules make the run red."""
        return self.counts["broken"] + self.counts["stale deviation"]

    @property
    def complete(self) -> bool:
        """Whether every selected rule was tested."""
        return not self.counts["not tested"] and not self.shortfalls

    @property
    def complete_run(self) -> str:
        """The needs of a complete run beyond this one, as a sentence; empty if the user cannot meet them."""
        wanted = {verdict.wanted for verdict in self.all} | (self.gate.wanted if self.gate else set())
        if self.complete or not (needs := sorted(wanted - {""})):
            return ""
        seconds = ""
        if len(self.rules) == len(rule_ids()):
            requests = COMPLETE_INTRUSIVE if self.settings.intrusive or "--intrusive" in needs else COMPLETE
            seconds = f": about {requests / (self.settings.max_rate or SHARE * VENDOR_RATE):.0f} s"
        listed = " and ".join(filter(None, [", ".join(needs[:-1]), needs[-1]]))
        return f"a complete run needs {listed}{seconds}"

    @property
    def shortfalls(self) -> list[str]:
        """What was asked for less often than planned, and why."""
        return self.gate.shortfalls if self.gate else []

    @property
    def suffice(self) -> bool:
        """Whether a run without a failure may be called green."""
        tested = self.counts["held"] + self.counts["reported"] + self.counts["known deviation"]
        return tested > 0 and (self.complete or not self.settings.require_complete)

    def summary(self) -> Iterator[str]:
        """Yield the lines that end a run."""
        counts = self.counts
        embedded = " (the embedded mock)" if self.settings.embedded else ""
        yield f"{self.settings.target.url}{embedded} {self._word()} at level {self.settings.level}"
        tally = ", ".join(f"{counts[outcome]} {outcome}" for outcome in get_args(Outcome) if counts[outcome])
        yield f"rules: {len(self.rules)} selected; {tally or 'none ran'}"
        if not self.rules:
            yield "pytest has collected no rule: -k, -m, or python_files and python_functions in its configuration"
        if self.gate:
            yield self.gate.transport.spent()
        named = list(self._named())
        yield from named[:SCREEN]
        if len(named) > SCREEN:
            yield f"… and {len(named) - SCREEN} more: --report-dir DIR writes them all"
        if self.complete_run:
            yield self.complete_run

    def _named(self) -> Iterator[str]:
        worth_naming: tuple[Outcome, ...] = ("broken", "stale deviation", "gate error", "known deviation", "reported")
        for outcome in worth_naming:
            for verdict in self._of(outcome):
                expiry = f"; {self._expiry(verdict.rule)}" if self._expiry(verdict.rule) else ""
                yield f"{outcome}: {verdict.rule.id} ({verdict.rule.source}){expiry}"
                if unproven := self.unproven(verdict.rule):
                    yield f"    not tested because of it: {', '.join(unproven)}"
        for verdict in self.all:
            if verdict.runs > 1:
                yield f"repeated: {verdict.rule.id} ran {verdict.runs} times, and the worst result counts"
        for verdict in self._of("not tested"):
            yield f"not tested: {verdict.rule.id}: {verdict.evidence}"
        if self.unreached:
            yield f"not tested: {len(self.unreached)} rules: the run ended before them"
        yield from (f"not tested: {shortfall}" for shortfall in self.shortfalls)

    def _of(self, outcome: Outcome) -> list[Verdict]:
        return [verdict for verdict in self.all if verdict.outcome == outcome]

    def _word(self) -> str:
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


def _failure(error: BaseException) -> AssertionError | None:
    """Return the broken promise that an exception is, also where Hypothesis found that it comes and goes."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for each in error.exceptions if (found := _failure(each))), None)
    return error if isinstance(error, AssertionError) else None


def _told(rule: Rule, evidence: str) -> str:
    return f"{rule.id} is broken\npromise: {rule.promise}\nsource: {rule.source} ({rule.level})\n{evidence}"
