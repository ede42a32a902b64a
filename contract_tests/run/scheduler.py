"""The scheduler: it sends the requests of all rules, and collects their findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

import pytest

from contract_tests.run.findings import BrokenPromiseError, Finding
from contract_tests.run.gate import Gate
from contract_tests.run.outage import Suspicion
from contract_tests.run.probes import Batch, Probing
from contract_tests.wire.clock import Clock
from contract_tests.wire.messages import Credential, Exchange, Request, label_of
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.transport import Transport

T = TypeVar("T")
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
class Scheduler:
    """Sends the requests of one run over one transport.

    `first_ok` is the first 200 response to the main key. `shared` is how many exchanges were sent for all rules,
    before the first rule. `first_with` are the first exchanges with each further key. `is_recorded` states that the
    exchanges are those of a recording. `outage` is the sentence about an outage that has ended the run.
    """

    gate: Gate
    transport: Transport
    first_ok: Exchange | None = None
    shared: int = 0
    first_with: dict[Credential, list[Exchange]] = field(default_factory=dict)
    shortfalls: list[Shortfall] = field(default_factory=list)
    is_recorded: bool = False
    outage: str = ""
    _suspicions: int = 0
    _samples: dict[Credential | None, list[Exchange]] = field(default_factory=dict)

    @property
    def journal(self) -> list[Exchange]:
        """Every exchange of the run so far."""
        return self.transport.journal

    def judge(self, rule: Iterable[Finding] | Probing[None]) -> None:
        """Send the requests of a rule, and collect its findings.

        Findings count even where the rest of the rule could not be tested.

        Raises:
            OutageError: The rule has findings, and an outage is the cause.
            BrokenPromiseError: The rule has other findings.
            NotTested: The rule has none, and could not be tested as a whole.
        """
        findings: list[Finding] = []
        try:
            self._drive(_steps(rule), findings)
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

    def fetch(self, probing: Probing[T]) -> T:
        """Send requests that several rules share, and return what the generator returns."""
        return self._drive(probing, [])

    def _drive(self, probing: Probing[T], findings: list[Finding]) -> T:
        unsent: list[NotTested] = []
        try:
            step = next(probing)
            while True:
                if isinstance(step, Finding):
                    findings.append(step)
                    step = next(probing)
                    continue
                try:
                    exchanges = self._send(step, unsent)
                except NotTested as reason:
                    step = probing.throw(reason)
                else:
                    step = probing.send(exchanges)
        except StopIteration as end:
            if unsent:
                raise unsent[0] from None
            return cast("T", end.value)

    def _send(self, batch: Batch, unsent: list[NotTested]) -> Sequence[Exchange]:
        if batch.pause:
            self.transport.pause(batch.pause)
        match batch.delivery:
            case "in turn":
                return self._send_in_turn(batch.requests, unsent)
            case "concurrent":
                return self.transport.send_concurrently(batch.requests, is_paced=batch.is_paced)
            case "pipelined":
                return self.transport.send_pipelined(batch.requests, batch.ahead)
            case "awaiting close":
                return [self.transport.send_and_await_close(batch.requests[0])]
            case "beside abandoned":
                return self.transport.send_beside_abandoned(batch.requests)

    def _send_in_turn(self, requests: Sequence[Request], unsent: list[NotTested]) -> Sequence[Exchange]:
        """Send requests until one cannot be sent; its reason is added to `unsent`, unless it is the first one."""
        exchanges: list[Exchange] = []
        for request in requests:
            try:
                exchanges.append(self.transport.send(request))
            except NotTested as reason:
                if not exchanges:
                    raise
                unsent.append(reason)
                break
        return exchanges

    def send_baseline(self, key: Credential | None, *, new_connection: bool = False) -> Exchange:
        """Send one baseline request."""
        exchange = self.transport.send(self.gate.request(key, new_connection=new_connection))
        self.gate.baseline_exchanges.append(exchange)
        return exchange

    def sample(self, times: int, key: Credential | None = None) -> list[Exchange]:
        """Send baseline requests with one key, once for all rules; `shortfalls` reports if it was less often.

        With a valid key, two requests on one connection and two on one each take turns; without, each has its own.
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


def _steps(rule: Iterable[Finding] | Probing[None]) -> Probing[None]:
    """Make a generator that the scheduler can drive of every rule, also of a passive one that returns findings."""
    yield from rule
