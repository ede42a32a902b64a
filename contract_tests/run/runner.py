"""The runner: it runs each rule, and notices an outage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pytest

from contract_tests.run.baseline import BaselineSender
from contract_tests.run.outage import Suspicion
from contract_tests.support.findings import BrokenPromiseError, Finding
from contract_tests.support.gate import Gate
from contract_tests.wire.clock import Clock
from contract_tests.wire.messages import Exchange
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.transport import Transport

clock_key = pytest.StashKey[Clock]()  # another clock than the real one
CONFIRMING = (0.0, 1.0, 2.0)  # seconds before each request that confirms an outage: a deployment may fail at times
MOST_SUSPICIONS = 5  # of a run: each costs one request where the deployment works


@dataclass
class Runner:
    """Runs the rules one after the other.

    `shared` is how many exchanges were sent for all rules, before the first rule. `outage` is the sentence about an
    outage that has ended the run.
    """

    baseline: BaselineSender
    shared: int = 0
    outage: str = ""
    _suspicions: int = 0

    @property
    def gate(self) -> Gate:
        """The deployment under test."""
        return self.baseline.gate

    @property
    def transport(self) -> Transport:
        """The way to the deployment."""
        return self.gate.transport

    @property
    def journal(self) -> list[Exchange]:
        """Every exchange of the run so far."""
        return self.transport.journal

    def run(self, rule: Iterable[Finding]) -> None:
        """Run a rule, and collect its findings; it may send requests between them.

        Findings count even where the rest of the rule could not be tested.

        Raises:
            OutageError: The rule has findings, and an outage is the cause.
            BrokenPromiseError: The rule has other findings.
            NotTested: The rule has none, and could not be tested as a whole.
        """
        findings: list[Finding] = []
        try:
            for finding in rule:
                findings.append(finding)  # noqa: PERF402 - those before a failure count
        except NotTested:
            if not findings:
                raise
        if findings:
            self._check_outage(findings)
            raise BrokenPromiseError(findings)

    def _check_outage(self, findings: Sequence[Finding]) -> None:
        """Send baseline requests where an outage may be the cause of findings; raise OutageError if it is."""
        if self.transport.is_recorded or not (suspicion := Suspicion.of(self.gate, findings, self.journal)):
            return
        self._suspicions += 1
        if self._suspicions > MOST_SUSPICIONS:
            return
        request = self.gate.request(suspicion.key, new_connection=True)
        try:
            for seconds in CONFIRMING:
                self.transport.pause(seconds)
                if not suspicion.is_shown_by(self.transport.send(request)):
                    return
        except NotTested:  # the budget or the time is used up: the findings remain those of the rule
            return
        error = suspicion.error(self.journal)
        self.outage = str(error)
        raise error
