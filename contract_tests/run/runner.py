"""The runner: it sends the requests that rules share, runs each rule, and notices an outage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest

from contract_tests.run.outage import Suspicion
from contract_tests.support.findings import BrokenPromiseError, Finding
from contract_tests.support.gate import Gate
from contract_tests.wire.clock import Clock
from contract_tests.wire.messages import Credential, Exchange, label_of
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.transport import Transport

clock_key = pytest.StashKey[Clock]()  # another clock than the real one
CONFIRMING = (0.0, 1.0, 2.0)  # seconds before each request that confirms an outage: a deployment may fail at times
MOST_SUSPICIONS = 5  # of a run: each costs one request where the deployment works


@dataclass(frozen=True)
class Shortfall:
    """Baseline requests with one key, or without a key, that were not sent as planned.

    `reason` is a sentence. `wanted` is what a run must be given to send them, see `NotTested`.
    """

    key: Credential | None
    reason: str
    wanted: str


@dataclass
class Runner:
    """Runs the rules one after the other.

    `first_ok` is the first 200 response to the main key. `shared` is how many exchanges were sent for all rules,
    before the first rule. `first_with` are the first exchanges with each further key. `outage` is the sentence about
    an outage that has ended the run.
    """

    gate: Gate
    first_ok: Exchange | None = None
    shared: int = 0
    first_with: dict[Credential, list[Exchange]] = field(default_factory=dict)
    shortfalls: list[Shortfall] = field(default_factory=list)
    outage: str = ""
    _suspicions: int = 0
    _samples: dict[Credential | None, list[Exchange]] = field(default_factory=dict)

    @property
    def transport(self) -> Transport:
        """The way to the deployment."""
        return self.gate.transport

    @property
    def is_recorded(self) -> bool:
        """Whether the exchanges are those of a recording."""
        return self.transport.is_recorded

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
        if self.is_recorded or not (suspicion := Suspicion.of(self.gate, findings, self.journal)):
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

    def send_baseline(self, key: Credential | None, *, new_connection: bool = False) -> Exchange:
        """Send one baseline request."""
        exchange = self.transport.send(self.gate.request(key, new_connection=new_connection))
        self.gate.baseline_exchanges.append(exchange)
        return exchange

    def sample(self, times: int, key: Credential | None = None) -> list[Exchange]:
        """Send baseline requests with one key, once for all rules; `shortfalls` reports if it was less often.

        With a valid key, two requests on the kept connection alternate with two that each open a new one. Without a
        valid key, each opens a new one.
        """
        if key in self._samples:
            return self._samples[key]
        is_valid = key in self.gate.keys
        exchanges = self._samples[key] = []
        try:
            for number in range(times):
                exchanges.append(self.send_baseline(key, new_connection=number % 4 > 1 or not is_valid))  # noqa: PERF401 - what came before a failure counts
        except NotTested as reason:
            problem = (
                f"{len(exchanges)} of {times} baseline requests with {label_of(key)} got a response to judge: {reason}"
            )
            self.shortfalls.append(Shortfall(key, problem, reason.wanted))
        return exchanges
