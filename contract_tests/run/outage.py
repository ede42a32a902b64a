"""An outage: from some request on, the deployment refuses a key or fails, and rules would only repeat that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from contract_tests.support.findings import BrokenPromiseError, Finding
from contract_tests.support.gate import Gate
from contract_tests.wire.messages import AUTH_ERRORS, SERVER_ERRORS, Credential, Exchange, Exchanges

Kind = Literal["refusal", "failure"]
REPORTED_BY: dict[Kind, str] = {
    "refusal": "auth/accepted-key-remains-valid",
    "failure": "errors/deployment-stays-reachable",
}
CAUSE: dict[Kind, str] = {
    "refusal": "was it revoked, has it expired, or is this client blocked?",
    "failure": "the deployment has an outage",
}


class OutageError(BrokenPromiseError):
    """The deployment is in an outage; `rule` is the id of the rule that reports it."""

    def __init__(self, finding: Finding, rule: str) -> None:
        super().__init__([finding])
        self.rule = rule


@dataclass(frozen=True)
class Suspicion:
    """The kind of outage that may be the cause of an exchange, and the key whose requests confirm it."""

    kind: Kind
    key: Credential
    exchange: Exchange

    @classmethod
    def of(cls, gate: Gate, findings: Sequence[Finding], journal: Exchanges) -> Suspicion | None:
        """Return the suspicion that findings raise, unless a later response of the deployment disproves it."""
        suspicions = [suspicion for each in findings if (suspicion := cls.raised_by(gate, each.exchange))]
        if not suspicions or len(suspicions) < len(findings):
            return None  # a rule's other findings must not be lost
        last = max(suspicions, key=lambda each: each.exchange.started)
        keys = [last.key] if last.kind == "refusal" else gate.keys
        later = (each for each in journal if each.started > last.exchange.started)
        is_disproved = any(each.status == 200 and each.request.credential in keys for each in later)
        return None if is_disproved else last

    @classmethod
    def raised_by(cls, gate: Gate, exchange: Exchange) -> Suspicion | None:
        """Return the suspicion that one exchange raises."""
        key = exchange.request.credential
        if key in gate.keys and exchange.status in AUTH_ERRORS:
            return cls("refusal", key, exchange)
        return cls("failure", gate.main, exchange) if _is_failure(exchange) else None

    def is_shown_by(self, exchange: Exchange) -> bool:
        """Whether an exchange has a response of this kind."""
        if self.kind == "failure":
            return _is_failure(exchange)
        return exchange.request.credential == self.key and exchange.status in AUTH_ERRORS

    def error(self, journal: Exchanges) -> OutageError:
        """Return the error for a journal that ends with the confirmation of the suspicion."""
        first, who = self._first(journal)
        outcomes = " or ".join(sorted({each.outcome for each in journal[first:] if self.is_shown_by(each)}))
        problem = f"from request {first + 1} on, every request{who} gets {outcomes}: {CAUSE[self.kind]}"
        return OutageError(Finding(problem, journal[-1], related=(journal[first],)), REPORTED_BY[self.kind])

    def _first(self, journal: Exchanges) -> tuple[int, str]:
        """Return the place of the outage's first exchange, and which requests are concerned."""
        of_key = self._tail(journal, lambda each: each.request.credential == self.key)
        of_all = self._tail(journal, lambda each: each.ending != "abandoned")
        return (of_all, "") if self.kind == "failure" and of_all <= of_key else (of_key, f" with {self.key.label}")

    def _tail(self, journal: Exchanges, is_considered: Callable[[Exchange], bool]) -> int:
        """Return the place of the first of the last considered exchanges that all have this kind."""
        places = [place for place, exchange in enumerate(journal) if is_considered(exchange)]
        return list(takewhile(lambda place: self.is_shown_by(journal[place]), reversed(places)))[-1]


def _is_failure(exchange: Exchange) -> bool:
    """Whether a request has a 5xx response, or none although the gate has waited for it."""
    return exchange.status in SERVER_ERRORS or (exchange.status is None and exchange.ending != "abandoned")
