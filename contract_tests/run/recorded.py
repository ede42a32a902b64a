"""A run over recorded exchanges: it sends nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import pytest

from contract_tests.metrics.schema import contract
from contract_tests.run.baseline import BaselineSender
from contract_tests.run.options import Settings
from contract_tests.run.runner import Runner
from contract_tests.support import wrong_keys
from contract_tests.support.gate import Gate
from contract_tests.support.rules import Rule
from contract_tests.traffic.recording import PAGE_OF_ANOTHER, Recording
from contract_tests.wire.messages import Aspect, Credential, Exchange, Request
from contract_tests.wire.not_tested import OWN_REQUESTS, NotTested
from contract_tests.wire.transport import Transport
from usage_contract.levels import Level

recording_key = pytest.StashKey[Recording | None]()
LACKING: dict[Aspect, str] = {
    "head": "the recording lacks the bytes of the responses' heads",
    "framing": "the recording lacks how the responses were delimited",
    "coding": "the recording contains the bodies without their content coding",
    "bytes": "the recording contains bodies as texts, and not their bytes",
    "time": "the recording lacks the times of the requests",
    "unknown key": "a recording does not show which keys were never issued",
    "one run": "the recording is longer than a run, and usage, limits and keys may change in between",
}


def settings_of(recording: Recording, level: Level) -> Settings:
    """Return the settings of a run over a recording."""
    return Settings(recording.target, recording.keys, secrets=recording.secrets, level=level)


class RecordedTransport(Transport):
    """A transport whose journal is a recording, and that sends nothing."""

    is_recorded = True

    def _reserve(self, _: Sequence[Request]) -> float:
        raise NotTested("a recording cannot answer further requests", wanted=OWN_REQUESTS)


class RecordedBaseline(BaselineSender):
    """The recorded exchanges that are those of baseline requests."""

    def sample(self, _: int, key: Credential | None = None) -> list[Exchange]:
        """Return the recorded baseline exchanges with a key, without a key, or with any key that was refused."""
        keys = self.gate.rejected.keys() if key == wrong_keys.UNKNOWN else {key}
        return [exchange for exchange in self.gate.baseline_exchanges if exchange.request.credential in keys]


def recorded_runner(settings: Settings, recording: Recording, *, with_doubts: bool = False) -> Runner:
    """Return a runner that gives rules the exchanges of a recording as those of a run.

    Responses that may have another cause than the deployment are passed over, except `with_doubts`.
    """
    gate = Gate(settings, contract(settings.level), RecordedTransport(settings), rejected=dict(recording.refused))
    journal = gate.transport.journal
    journal += recording.exchanges if with_doubts else _undoubted(recording.exchanges)
    gate.baseline_exchanges += (exchange for exchange in journal if exchange.request.is_baseline)
    baseline = RecordedBaseline(gate, first_with={key: [] for key in gate.keys})
    return Runner(baseline, shared=len(journal))


def _undoubted(exchanges: Iterable[Exchange]) -> Iterator[Exchange]:
    """Yield the exchanges without pages; one with another doubt is not that of a baseline request."""
    for exchange in exchanges:
        if not exchange.doubt:
            yield exchange
        elif exchange.doubt != PAGE_OF_ANOTHER:
            yield replace(exchange, request=replace(exchange.request, is_baseline=False))


def check_recording(rule: Rule, lacks: Collection[Aspect]) -> None:
    """Raise NotTested where a recording that lacks some aspects cannot show whether a promise is kept."""
    if rule.sends_requests:
        raise NotTested("the rule sends requests, and a recording cannot answer them", wanted=OWN_REQUESTS)
    if missing := [aspect for aspect in rule.reads if aspect in lacks]:
        raise NotTested(LACKING[missing[0]], wanted=OWN_REQUESTS)
