"""The plan of a run: every request, by the rule that asks for it, as the embedded mock saw it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from contract_tests.run.verdicts import Verdicts
from contract_tests.wire.messages import Exchange
from contract_tests.wire.transport import SHARE, VENDOR_RATE


def plan(verdicts: Verdicts, deployment: str, max_rate: float | None) -> Iterator[str]:
    """Yield the lines of the plan: what is asked for all rules, what for each, and the sum."""
    gate = verdicts.gate
    journal = gate.transport.journal if gate else []
    shared = gate.shared if gate else 0
    yield f"nothing was sent to {deployment}; this is what a run would send"
    yield from _part("for all rules together", journal[:shared])
    for verdict in verdicts.all:
        asked = [journal[index] for index in verdict.requests if index >= shared]
        if asked:
            yield from _part(verdict.rule.id, asked)
        elif verdict.outcome == "not tested":
            yield f"{verdict.rule.id}: none: {verdict.evidence}"
    rate = max_rate or SHARE * VENDOR_RATE
    yield f"in total {len(journal)} requests: {len(journal) / rate:.0f} s at {rate:g} a second"


def _part(title: str, exchanges: Sequence[Exchange]) -> Iterator[str]:
    yield f"{title}: {len(exchanges)}"
    for request, same in groupby(exchange.request.described(exchange.redact) for exchange in exchanges):
        times = len(list(same))
        yield f"    {request}" + (f" (x {times})" if times > 1 else "")
