"""How a rule is judged: it sends requests between its findings, and what it found before a failure counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest
from hypothesis import strategies as st

from contract_tests.run.baseline import BaselineSender
from contract_tests.run.runner import Runner
from contract_tests.support.examples import examples
from contract_tests.support.findings import BrokenPromiseError, Finding, confirm, report, status_finding
from contract_tests.wire.clock import Clock
from contract_tests.wire.messages import Exchange, Request
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.transport import Transport
from tests.support.gate import Respond, http_response
from tests.support.transport import KEY, ManualClock, gate_for, settings

Serve = Callable[[Respond], str]
EXCHANGE = Exchange(Request("GET", b"/usage", ()), 500)


@pytest.fixture
def runner(serve: Serve) -> Iterator[Callable[..., Runner]]:
    """Return runners for a server that sends 200 for each request."""
    transports: list[Transport] = []

    def make(**changes: object) -> Runner:
        options = settings(serve(lambda _: http_response(b"{}")), **changes)
        clock = ManualClock()
        transports.append(Transport(options, Clock(clock.now, clock.sleep)))
        return Runner(BaselineSender(gate_for(options.target.url, transports[-1])))

    yield make
    for transport in transports:
        transport.close()


def test_a_rule_sends_requests_between_its_findings(runner: Callable[..., Runner]) -> None:
    sending = runner()
    gate = sending.gate

    def rule() -> Iterator[Finding]:
        yield status_finding(gate.send(KEY, "alone"), "201")
        labels = ["first", "second"]
        exchanges = list(gate.send_in_turn(gate.request(KEY, label) for label in labels))
        assert [exchange.request.label for exchange in exchanges] == labels
        yield status_finding(exchanges[-1], "202")

    with pytest.raises(BrokenPromiseError) as broken:
        sending.run(rule())
    assert [(finding.expected, finding.actual) for finding in broken.value.findings] == [("201", "200"), ("202", "200")]
    assert len(sending.journal) == 3


def test_requests_in_turn_are_judged_as_far_as_the_budget_lasts(runner: Callable[..., Runner]) -> None:
    sending = runner(max_requests=2)
    gate = sending.gate

    def rule(expected: str) -> Iterator[Finding]:
        for exchange in gate.send_in_turn(gate.request(KEY, str(number)) for number in range(3)):
            if exchange.outcome != expected:
                yield status_finding(exchange, expected)

    with pytest.raises(BrokenPromiseError) as broken:
        sending.run(rule("201"))
    assert len(broken.value.findings) == 2
    sending.transport.sent = 0
    with pytest.raises(NotTested, match="--max-requests 2"):
        sending.run(rule("200"))


def test_a_rule_may_return_its_findings(runner: Callable[..., Runner]) -> None:
    with pytest.raises(BrokenPromiseError, match="one; two"):
        runner().run([Finding("one", EXCHANGE), Finding("two", EXCHANGE)])
    runner().run([])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_findings_that_are_reported_are_known_to_the_rule(count: int, runner: Callable[..., Runner]) -> None:
    def rule() -> Iterator[Finding]:
        assert (yield from report([Finding("one", EXCHANGE)] * count)) is (count > 0)

    with pytest.raises(BrokenPromiseError) if count else nullcontext():
        runner().run(rule())


@pytest.mark.parametrize(("findings", "is_broken", "tries"), [("xxx", True, 3), ("x.x", False, 2), (".xx", False, 1)])
def test_only_a_finding_of_every_try_is_confirmed(
    findings: str, is_broken: bool, tries: int, runner: Callable[..., Runner]
) -> None:
    attempts: list[int] = []

    def check(attempt: int) -> Finding | None:
        attempts.append(attempt)
        return Finding(f"try {attempt}", EXCHANGE) if findings[attempt] == "x" else None

    def rule() -> Iterator[Finding]:
        assert (yield from confirm(check)) is is_broken

    with pytest.raises(BrokenPromiseError, match="try 2") if is_broken else nullcontext():
        runner().run(rule())
    assert attempts == list(range(tries))


def test_examples_are_different_and_the_same_in_each_run() -> None:
    drawn = examples(st.integers(0, 1000), 5)
    assert len(drawn) == len(set(drawn)) > 1
    assert drawn == examples(st.integers(0, 1000), 5)
