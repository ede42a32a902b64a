"""The rule protocol: rules yield requests and findings, and the scheduler sends and collects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest
from hypothesis import strategies as st

from contract_tests.metrics.schema import contract
from contract_tests.run.examples import examples
from contract_tests.run.findings import BrokenPromiseError, Finding, status_finding
from contract_tests.run.gate import Gate
from contract_tests.run.probes import Probing, confirm, pause, send_concurrently, send_in_turn
from contract_tests.run.scheduler import Scheduler
from contract_tests.wire.clock import Clock
from contract_tests.wire.messages import Exchange, Request
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.transport import Transport
from tests.support.gate import Respond, http_response
from tests.support.transport import KEY, ManualClock, settings

Serve = Callable[[Respond], str]
EXCHANGE = Exchange(Request("GET", b"/usage", ()), 500)


@pytest.fixture
def scheduler(serve: Serve) -> Iterator[Callable[..., Scheduler]]:
    """Return schedulers for a server that sends 200 for each request."""
    transports: list[Transport] = []

    def make(**changes: object) -> Scheduler:
        options = settings(serve(lambda _: http_response(b"{}")), **changes)
        clock = ManualClock()
        transports.append(Transport(options, Clock(clock.now, clock.sleep)))
        return Scheduler(Gate(options, contract("documented")), transports[-1])

    yield make
    for transport in transports:
        transport.close()


def test_a_rule_receives_the_exchanges_of_its_batch(scheduler: Callable[..., Scheduler]) -> None:
    gate = scheduler().gate

    def rule() -> Probing[None]:
        exchange = yield from gate.send(KEY, "alone")
        yield status_finding(exchange, "201")
        labels = ["first", "second"]
        exchanges = yield from send_in_turn(gate.request(KEY, label) for label in labels)
        assert [exchange.request.label for exchange in exchanges] == labels
        exchanges = yield from send_concurrently(gate.request(KEY, label) for label in labels)
        assert [exchange.request.label for exchange in exchanges] == labels

    sending = scheduler()
    gate = sending.gate
    with pytest.raises(BrokenPromiseError) as broken:
        sending.judge(rule())
    assert [(finding.expected, finding.actual) for finding in broken.value.findings] == [("201", "200")]
    assert len(sending.journal) == 5


def test_a_batch_that_the_budget_ends_is_judged_as_far_as_it_was_sent(scheduler: Callable[..., Scheduler]) -> None:
    sending = scheduler(max_requests=2)

    def rule(is_broken: bool) -> Probing[None]:
        exchanges = yield from send_in_turn(sending.gate.request(KEY, str(number)) for number in range(3))
        assert len(exchanges) == 2
        if is_broken:
            yield status_finding(exchanges[-1], "201")

    with pytest.raises(BrokenPromiseError):
        sending.judge(rule(is_broken=True))
    sending.transport.sent = 0
    with pytest.raises(NotTested, match="--max-requests 2"):
        sending.judge(rule(is_broken=False))


def test_a_rule_may_return_its_findings(scheduler: Callable[..., Scheduler]) -> None:
    with pytest.raises(BrokenPromiseError, match="one; two"):
        scheduler().judge([Finding("one", EXCHANGE), Finding("two", EXCHANGE)])
    scheduler().judge([])


def test_a_pause_sends_nothing_for_its_time(scheduler: Callable[..., Scheduler]) -> None:
    sending = scheduler()
    before = sending.transport.clock.now()
    sending.judge(pause(7.0))
    assert sending.transport.clock.now() == before + 7.0
    assert sending.journal == []


@pytest.mark.parametrize(("findings", "is_broken", "tries"), [("xxx", True, 3), ("x.x", False, 2), (".xx", False, 1)])
def test_only_a_finding_of_every_try_is_confirmed(
    findings: str, is_broken: bool, tries: int, scheduler: Callable[..., Scheduler]
) -> None:
    attempts: list[int] = []

    def check(attempt: int) -> Probing[Finding | None]:
        attempts.append(attempt)
        yield from ()
        return Finding(f"try {attempt}", EXCHANGE) if findings[attempt] == "x" else None

    def rule() -> Probing[None]:
        assert (yield from confirm(3, check)) is is_broken

    with pytest.raises(BrokenPromiseError, match="try 2") if is_broken else nullcontext():
        scheduler().judge(rule())
    assert attempts == list(range(tries))


def test_examples_are_different_and_the_same_in_each_run() -> None:
    drawn = examples(st.integers(0, 1000), 5)
    assert len(drawn) == len(set(drawn)) > 1
    assert drawn == examples(st.integers(0, 1000), 5)
