"""The baseline requests of a run: all rules share them, and most are sent before the first rule runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from contract_tests.support.gate import Gate
from contract_tests.wire.messages import Credential, Exchange, label_of
from contract_tests.wire.not_tested import NotTested


@dataclass(frozen=True)
class Shortfall:
    """Baseline requests with one key, or without a key, that were not sent as planned.

    `reason` is a sentence. `wanted` is what a run must be given to send them, see `NotTested`.
    """

    key: Credential | None
    reason: str
    wanted: str


@dataclass
class BaselineSender:
    """Sends the baseline requests.

    `first_ok` is the first 200 response to the main key. `first_with` are the first exchanges with each further key.
    """

    gate: Gate
    first_ok: Exchange | None = None
    first_with: dict[Credential, list[Exchange]] = field(default_factory=dict)
    shortfalls: list[Shortfall] = field(default_factory=list)
    _samples: dict[Credential | None, list[Exchange]] = field(default_factory=dict)

    def send(self, key: Credential | None, *, new_connection: bool = False) -> Exchange:
        """Send one baseline request."""
        exchange = self.gate.transport.send(self.gate.request(key, new_connection=new_connection))
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
                exchanges.append(self.send(key, new_connection=number % 4 > 1 or not is_valid))  # noqa: PERF401 - what came before a failure counts
        except NotTested as reason:
            problem = (
                f"{len(exchanges)} of {times} baseline requests with {label_of(key)} got a response to judge: {reason}"
            )
            self.shortfalls.append(Shortfall(key, problem, reason.wanted))
        return exchanges
