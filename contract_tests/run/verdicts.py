"""The verdict on each rule, and on the run as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import date

import pytest

from contract_tests.reports.model import ACCEPTED, OUTCOMES, RESULTS, Outcome, Result
from contract_tests.run.baseline import Shortfall
from contract_tests.run.first_request import NoFirstResponseError
from contract_tests.run.options import Settings
from contract_tests.run.outage import OutageError
from contract_tests.run.runner import Runner
from contract_tests.support.findings import BrokenPromiseError, Finding
from contract_tests.support.rules import Rule, all_rules, rule_ids, rule_named
from contract_tests.wire.messages import Exchange
from contract_tests.wire.not_tested import MORE_REQUESTS, MORE_TIME, NotApplicable, NotTested

# Reported where the first 200 is missing, whichever rule happened to come first. At the level `specified`, also
# reported where an outage ends the run: the baseline request that has confirmed it breaks this rule.
FIRST_REQUEST_RULE = "auth/valid-key-is-200"
ENDED_BY_ITSELF = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED}
ENDED_EARLY: dict[int, Result] = {
    pytest.ExitCode.INTERRUPTED: "interrupted",
    pytest.ExitCode.INTERNAL_ERROR: "gate error",
}


@dataclass(frozen=True)
class Verdict:
    """The outcome of one rule, and its cost: the worst of its runs, where a pytest plugin repeats it.

    `reason` states why the rule was not tested or not applicable, or why the gate failed. `requests` are the exchanges
    of this rule, as a range of the journal, and `seconds` is the time that it took. `because` are the ids of the
    rules that report why this one was not tested. `wanted` is what a run must be given to test it.
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

    @classmethod
    def without_result(cls, rule: Rule, reason: BaseException) -> Verdict:
        """Return the verdict on a rule that was skipped, also by `pytest.skip`."""
        outcome: Outcome = "not applicable" if isinstance(reason, NotApplicable) else "not tested"
        because, wanted = getattr(reason, "because", frozenset[str]()), getattr(reason, "wanted", "")
        return cls(rule, outcome, reason=str(reason), because=because, wanted=wanted)

    def worst(self, other: Verdict) -> Verdict:
        """Return the worse of two verdicts on a rule, with the cost of both where one run followed the other."""
        worst, better = sorted((self, other), key=lambda verdict: OUTCOMES.index(verdict.outcome))
        if worst.outcome == "stale deviation" and better.outcome in ACCEPTED:
            worst = better  # a deviation that occurs at times is not stale
        follows = self.requests.stop == other.requests.start
        requests = range(self.requests.start, other.requests.stop) if follows else worst.requests
        return replace(worst, requests=requests, seconds=self.seconds + other.seconds)


@dataclass
class Verdicts:
    """The verdicts of a run, in the order in which the rules ran; `rules` are those that are selected."""

    settings: Settings
    rules: list[Rule] = field(default_factory=list)
    today: date = field(default_factory=date.today)
    runner: Runner | None = None
    _by_rule: dict[str, Verdict] = field(default_factory=dict)
    _runs: Counter[str] = field(default_factory=Counter)
    _since: int = 0
    _up_to: int = 0
    _began: float = 0.0
    _ended_early: Result | None = None
    _is_cut_short: bool = False

    @property
    def all(self) -> list[Verdict]:
        """One verdict on each rule that has run."""
        return list(self._by_rule.values())

    @property
    def journal(self) -> list[Exchange]:
        """The exchanges of the run so far."""
        return self.runner.journal if self.runner else []

    @property
    def is_recorded(self) -> bool:
        """Whether the exchanges are those of a recording."""
        return self.runner is not None and self.runner.transport.is_recorded

    @property
    def requests(self) -> int:
        """The number of requests, also those repeated on another connection; of a recording, its exchanges."""
        return (self.runner.transport.sent if self.runner else 0) or len(self.journal)

    @property
    def seconds(self) -> float:
        """The seconds from the first request to the end of the last exchange."""
        began = min((exchange.started for exchange in self.journal), default=0.0)
        return max((exchange.ended for exchange in self.journal), default=began) - began

    def judge(self, rule: Rule, report: pytest.TestReport, call: pytest.CallInfo[None]) -> Verdict | None:
        """Record and return the verdict of one phase of a rule, and adapt the outcome of pytest's report."""
        if report.when == "setup":
            self._since, self._began = self._up_to, call.start
            self._runs[rule.id] += 1
        self._up_to = len(self.journal)
        verdict = self._verdict(rule, report, call)
        if verdict is None:
            return None
        self.add(replace(verdict, requests=range(self._since, self._up_to), seconds=call.stop - self._began))
        if verdict.outcome in ACCEPTED:  # pytest itself does this for an expected failure
            report.outcome = "skipped"
            above_level = f"{verdict.rule.level} rule, not fatal at level {self.settings.level}"
            report.wasxfail = str(self.settings.deviations.get(verdict.rule.id, above_level))
        worst = self._by_rule[verdict.rule.id]
        if verdict.outcome in {"held", "stale deviation"} and worst.outcome in {"stale deviation", "broken"}:
            report.outcome = "failed"  # as for a strict xfail, and where an earlier run of the rule was broken
            return worst
        return verdict

    def _verdict(self, rule: Rule, report: pytest.TestReport, call: pytest.CallInfo[None]) -> Verdict | None:
        error = call.excinfo.value if call.excinfo else None
        if report.skipped and error:
            of_a_part = self.limit_of_run(rule) if isinstance(error, NotApplicable) else None
            return Verdict.without_result(rule, of_a_part or error)
        if isinstance(error, BrokenPromiseError):
            if isinstance(error, OutageError):
                rule = rule_named(error.rule)
            is_of_specified_run = isinstance(error, OutageError) and rule.is_above(self.settings.level)
            if is_of_specified_run or isinstance(error, NoFirstResponseError):
                rule = rule_named(FIRST_REQUEST_RULE)
            return Verdict(rule, self._failure(rule), error.findings)
        if report.failed:
            return Verdict(rule, "gate error", reason=str(report.longrepr))
        if report.when != "call":
            return None
        if (deviation := self.settings.deviations.get(rule.id)) and not self.is_recorded:  # a recording may not show it
            return Verdict(rule, "stale deviation", reason=f"remove its entry from --known-deviations: {deviation}")
        return Verdict(rule, "held")

    def add(self, verdict: Verdict) -> None:
        """Add a verdict, or merge it with the one of an earlier run or phase of the same rule."""
        name = verdict.rule.id
        if earlier := self._by_rule.get(name):
            verdict = replace(earlier.worst(verdict), runs=max(self._runs[name], 1))
        self._by_rule[name] = verdict

    def _failure(self, rule: Rule) -> Outcome:
        deviation = self.settings.deviations.get(rule.id)
        if deviation and not deviation.has_expired(self.today):
            return "known deviation"
        return "reported" if rule.is_above(self.settings.level) else "broken"

    def check_repeats(self, rule: Rule) -> None:
        """Raise NotTested for a rule that repeats a broken one."""
        if broken := self.broken_among(rule.repeats):
            raise NotTested(f"{broken} is broken, and this rule would find the same defect again", because=[broken])

    def limit_of_run(self, rule: Rule) -> NotTested | None:
        """Return why a passive rule over all exchanges has judged a part of them only; None if it has judged all."""
        if rule.sends_requests or not rule.is_over_all or self.runner is None or self.is_recorded:
            return None
        selected = {each.id for each in self.rules}
        if any(each.sends_requests and not each.intrusive and each.id not in selected for each in all_rules()):
            return NotTested("the rule judges every exchange of a run, and some rules were not selected")
        wanted = [verdict.wanted for verdict in self.all] + [shortfall.wanted for shortfall in self.shortfalls]
        for limit in (MORE_REQUESTS, MORE_TIME):
            if limit in wanted:
                return NotTested("the rule judges every exchange of a run, and this run ended early", wanted=limit)
        return None

    def broken_among(self, ids: Collection[str]) -> str:
        """Return the first of these rules, or of the rules that they would repeat, that failed; empty without one."""
        repeated = [verdict for verdict in self.all if verdict.rule.id in ids]
        failed = [verdict.rule.id for verdict in repeated if verdict.outcome in {"broken", *ACCEPTED}]
        if failed:
            return failed[0]
        untested = [verdict.rule.repeats for verdict in repeated if verdict.outcome == "not tested"]
        return next((broken for repeats in untested if (broken := self.broken_among(repeats))), "")

    def deviation(self, rule: Rule) -> str:
        """Return the known deviation of a rule as a sentence, or that it has expired; empty without one."""
        deviation = self.settings.deviations.get(rule.id)
        return deviation.stated(self.today) if deviation else ""

    def unproven(self, rule: Rule) -> list[str]:
        """Return the ids of the rules that were not tested because of an accepted failure of this rule."""
        accepted = {verdict.rule.id for verdict in self.all if verdict.outcome in ACCEPTED}
        return [each.rule.id for each in self.all if rule.id in each.because] if rule.id in accepted else []

    @property
    def unreached(self) -> list[Rule]:
        """The selected rules that did not run, because the run ended before."""
        return [rule for rule in self.rules if rule.id not in self._by_rule]

    @property
    def reason_of_ending(self) -> str:
        """Why rules did not run."""
        outage = self.runner.outage if self.runner else ""
        return f"the run ended: {outage}" if outage else "the run ended before"

    @property
    def counts(self) -> Counter[Outcome]:
        """The number of rules with each outcome."""
        return Counter([verdict.outcome for verdict in self.all] + ["not tested" for _ in self.unreached])

    @property
    def is_complete(self) -> bool:
        """Whether every rule of the gate was selected and tested."""
        return len(self.rules) == len(rule_ids()) and not self.counts["not tested"] and not self.shortfalls

    @property
    def shortfalls(self) -> list[Shortfall]:
        """The baseline requests that were sent less often than planned, and the shortfalls of the deployment itself."""
        if self.runner is None:
            return []
        of_deployment = (Shortfall(None, problem, "") for problem in self.runner.transport.problems)
        return [*self.runner.baseline.shortfalls, *of_deployment]

    def end(self, session: pytest.Session) -> int:
        """Note how pytest has ended the run, and return the exit code."""
        if session.exitstatus not in ENDED_BY_ITSELF:
            self._ended_early = ENDED_EARLY.get(session.exitstatus, "could not be tested")
            return session.exitstatus
        self._is_cut_short = bool(session.shouldfail)
        return RESULTS[self.result].exit_code

    @property
    def result(self) -> Result:
        """The result of the run."""
        counts = self.counts
        if self._ended_early:
            return self._ended_early
        if counts["broken"]:
            return "broken"
        if counts["stale deviation"]:
            return "stale deviation"
        if counts["gate error"]:
            return "gate error"
        is_tested = counts["held"] or counts["reported"] or counts["known deviation"]
        if self._is_cut_short or not is_tested:
            return "could not be tested"
        if self.is_complete:
            return "conforms"
        return "incomplete" if self.settings.require_complete else "partial"


verdicts_key = pytest.StashKey[Verdicts]()
