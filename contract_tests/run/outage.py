"""An outage: from some request on, the deployment refuses the main key or fails, and rules would only repeat that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from contract_tests.run.findings import BrokenPromiseError, Finding
from contract_tests.run.gate import Gate
from contract_tests.wire.messages import AUTH_ERRORS, SERVER_ERRORS, Exchange

Kind = Literal["refusal", "failure"]
REPORTED_BY: dict[Kind, str] = {
    "refusal": "auth/accepted-key-remains-valid",
    "failure": "errors/deployment-stays-reachable",
}
CAUSE: dict[Kind, str] = {
    "refusal": "was it revoked, has it expired, or is this client blocked?",
    "failure": "the deployment fails since then",
}


class OutageError(BrokenPromiseError):
    """The deployment is in an outage; `rule` is the id of the rule that reports it."""

    def __init__(self, finding: Finding, rule: str) -> None:
        super().__init__([finding])
        self.rule = rule


@dataclass(frozen=True)
class Suspicion:
    """The kind of outage that may be the cause of a finding, and the exchange of the finding."""

    gate: Gate
    kind: Kind
    exchange: Exchange

    @classmethod
    def of(cls, gate: Gate, findings: Iterable[Finding], journal: Sequence[Exchange]) -> Suspicion | None:
        """Return the suspicion that findings raise, unless a later response of the deployment disproves it."""
        found = [(kind, each.exchange) for each in findings if (kind := kind_of(gate, each.exchange))]
        if not found:
            return None
        kind, exchange = max(found, key=lambda pair: pair[1].started)
        keys = [gate.main] if kind == "refusal" else gate.keys
        later = (each for each in journal if each.started > exchange.started)
        is_disproved = any(each.status == 200 and each.request.credential in keys for each in later)
        return None if is_disproved else cls(gate, kind, exchange)

    def is_shown_by(self, exchange: Exchange) -> bool:
        """Whether an exchange has a response of this kind."""
        return kind_of(self.gate, exchange) == self.kind

    def error(self, journal: Sequence[Exchange]) -> OutageError:
        """Return the error for a journal that ends with the confirmation of the suspicion."""
        first, who = self._first(journal)
        outcomes = " or ".join(sorted({each.outcome for each in journal[first:] if self.is_shown_by(each)}))
        problem = f"every request{who} gets {outcomes} since request {first + 1}: {CAUSE[self.kind]}"
        return OutageError(Finding(problem, journal[-1], related=(journal[first],)), REPORTED_BY[self.kind])

    def _first(self, journal: Sequence[Exchange]) -> tuple[int, str]:
        """Return the place of the outage's first exchange, and which requests are concerned."""
        of_main_key = self._tail(journal, lambda each: each.request.credential == self.gate.main)
        of_all = self._tail(journal, lambda each: each.ending != "abandoned")
        if self.kind == "failure" and of_all <= of_main_key:
            return of_all, ""
        return of_main_key, f" with {self.gate.main.label}"

    def _tail(self, journal: Sequence[Exchange], is_considered: Callable[[Exchange], bool]) -> int:
        """Return the place of the first of the last considered exchanges that all have this kind."""
        places = [place for place, exchange in enumerate(journal) if is_considered(exchange)]
        return list(takewhile(lambda place: self.is_shown_by(journal[place]), reversed(places)))[-1]


def kind_of(gate: Gate, exchange: Exchange) -> Kind | None:
    """Return the kind of outage that an exchange may be a part of."""
    if exchange.status in AUTH_ERRORS:
        return "refusal" if exchange.request.credential == gate.main else None
    is_unanswered = exchange.status is None and exchange.ending != "abandoned"
    return "failure" if is_unanswered or exchange.status in SERVER_ERRORS else None
