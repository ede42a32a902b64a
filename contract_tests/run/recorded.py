"""A run over recorded exchanges: it sends nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from contract_tests.run import wrong_keys
from contract_tests.run.first_request import is_challenge, is_page
from contract_tests.run.gate import Gate
from contract_tests.run.rules import Rule
from contract_tests.run.scheduler import Scheduler
from contract_tests.traffic.recording import Recording
from contract_tests.wire.messages import Credential, Exchange, Part, Request
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.transport import Transport

OWN_REQUESTS = "requests of its own (without --traffic)"
LACKING: dict[Part, str] = {
    "head": "the recording lacks the bytes of the responses' heads",
    "framing": "the recording lacks how the responses were delimited",
    "coding": "the recording contains the bodies without their content coding",
    "bytes": "the recording contains bodies as texts, and not their bytes",
    "time": "the recording lacks the times of the requests",
    "unknown key": "a recording does not show which keys were never issued",
    "one run": "the recording is longer than a run, and usage, limits and keys may change in between",
}


class RecordedTransport(Transport):
    """A transport whose journal is a recording, and that sends nothing."""

    def spent(self) -> str:
        """Return the number of recorded exchanges."""
        return f"{len(self.journal)} recorded exchanges, and no request was sent"

    def _reserve(self, _: Sequence[Request]) -> float:
        raise NotTested("a recording cannot answer further requests", wanted=OWN_REQUESTS)


class RecordedScheduler(Scheduler):
    """Gives rules the exchanges of a recording as those of a run."""

    def __init__(self, gate: Gate, recording: Recording) -> None:
        super().__init__(gate, RecordedTransport(gate.settings), is_recorded=True)
        self.transport.journal += [exchange for exchange in recording.exchanges if not _is_of_a_proxy(exchange)]
        gate.rejected = dict(recording.refused)
        gate.baseline_exchanges = [exchange for exchange in self.journal if exchange.request.is_baseline]
        self.first_with = {key: [] for key in gate.keys}
        self.shared = len(self.journal)

    def sample(self, _: int, key: Credential | None = None) -> list[Exchange]:
        """Return the recorded baseline exchanges with a key, without a key, or with any key that was refused."""
        keys = self.gate.rejected.keys() if key == wrong_keys.UNKNOWN else {key}
        return [exchange for exchange in self.gate.baseline_exchanges if exchange.request.credential in keys]


def _is_of_a_proxy(exchange: Exchange) -> bool:
    """Whether an error is an HTML page: a firewall or a proxy sends such pages in front of the deployment."""
    return not exchange.abridged and (is_challenge(exchange) or ((exchange.status or 0) >= 400 and is_page(exchange)))


def check_recording(rule: Rule, lacks: Collection[Part]) -> None:
    """Raise NotTested where a recording that lacks some parts cannot show whether a promise is kept."""
    if rule.sends[1]:
        raise NotTested("the rule sends requests, and a recording cannot answer them", wanted=OWN_REQUESTS)
    if missing := [part for part in rule.reads if part in lacks]:
        raise NotTested(LACKING[missing[0]], wanted=OWN_REQUESTS)
