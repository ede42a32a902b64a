"""The rules that empty a bucket, judged with constructed responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import count
from typing import Any

import pytest

from contract_tests.run.baseline import BaselineSender
from contract_tests.run.runner import Runner
from contract_tests.support.findings import TRIES, BrokenPromiseError, Finding
from contract_tests.support.token_bucket import Bucket, Refill, confirm_first
from contract_tests.wire.messages import Exchange, Request
from contract_tests.wire.not_tested import NotTested
from tests.support.transport import KEY, gate_for

FULL = b'{"rate_limit": {"remaining": 9}}'


@pytest.fixture
def rules() -> Any:
    """The module of the rules."""
    return import_module("contract_tests.test_bucket")


@dataclass
class Deployment:
    """A transport to a deployment whose responses a function returns; it counts the bursts."""

    respond: Callable[[Request], Exchange]
    bursts: int = 0
    journal: list[Exchange] = field(default_factory=list)
    is_recorded: bool = False

    def send_concurrently(self, requests: Sequence[Request], *, is_paced: bool) -> list[Exchange]:
        assert not is_paced
        self.bursts += requests[0].label == "in a burst"
        exchanges = [self.respond(request) for request in requests]
        self.journal += exchanges
        return exchanges

    def pause(self, seconds: float) -> None:
        assert seconds > 0


def runner_for(respond: Callable[[Request], Exchange]) -> tuple[Runner, Deployment]:
    deployment = Deployment(respond)
    return Runner(BaselineSender(gate_for(transport=deployment))), deployment


def ok(request: Request) -> Exchange:
    return Exchange(request, 200, payload=FULL)


def throttle_bursts(request: Request) -> Exchange:
    return Exchange(request, 429) if request.label == "in a burst" else ok(request)


@pytest.mark.parametrize("good", [1, 2, 3])
def test_bucket_is_emptied_only_while_its_refills_have_a_problem(good: int, rules: Any) -> None:
    runner, deployment = runner_for(throttle_bursts)
    bucket = Bucket(runner.gate, KEY, burst=10, rps=10.0)
    exchange = ok(runner.gate.request(KEY))
    attempts = iter([1, 2, 3])

    def judge(_: object) -> Finding | None:
        return None if next(attempts) == good else Finding("the refill is too slow", exchange)

    runner.run(confirm_first([Refill(bucket, [exchange], exchange)], judge))
    assert deployment.bursts == good - 1


def test_refills_of_further_buckets_are_not_checked_after_a_finding(rules: Any) -> None:
    runner, deployment = runner_for(throttle_bursts)
    bucket = Bucket(runner.gate, KEY, burst=10, rps=10.0)
    exchange = ok(runner.gate.request(KEY))
    refills = [Refill(bucket, [exchange], exchange)] * 2
    with pytest.raises(BrokenPromiseError) as broken:
        runner.run(confirm_first(refills, lambda _: Finding("the refill is too slow", exchange)))
    assert (len(broken.value.findings), deployment.bursts) == (1, TRIES - 1)


def test_bucket_that_refills_in_minutes_is_not_tested(rules: Any) -> None:
    runner, deployment = runner_for(ok)
    bucket = Bucket(runner.gate, KEY, burst=10, rps=0.1)
    with pytest.raises(NotTested, match=r"refills too slowly: its rps is 0\.1"):
        runner.run(rules.test_available_tokens_are_usable(bucket))
    assert deployment.journal == []


def test_a_bucket_that_refills_during_a_request_is_not_another_bucket(rules: Any) -> None:
    def judge(seconds: float) -> None:
        def respond(request: Request) -> Exchange:
            is_burst = request.label == "in a burst"
            return Exchange(request, 429) if is_burst else Exchange(request, 200, payload=FULL, seconds=seconds)

        runner, _ = runner_for(respond)
        bucket = Bucket(runner.gate, KEY, burst=10, rps=10.0)
        runner.run(rules.test_request_details_do_not_change_the_bucket(bucket, None))

    with pytest.raises(BrokenPromiseError) as broken:
        judge(0.01)
    (finding,) = broken.value.findings
    assert (finding.expected, finding.actual) == ("about 0.1 of 10 tokens", "9 tokens (status 200)")
    with pytest.raises(NotTested, match="responses arrive too slowly"):
        judge(0.6)


@pytest.mark.parametrize(("burst", "throttled_from", "sent"), [(40, 1000, 46), (100, 1000, 224), (100, 70, 80)])
def test_emptying_a_bucket_sends_a_bounded_number_of_requests(
    burst: int, throttled_from: int, sent: int, rules: Any
) -> None:
    numbers = count(1)
    runner, deployment = runner_for(
        lambda request: Exchange(request, 429) if next(numbers) > throttled_from else ok(request)
    )
    exchanges = Bucket(runner.gate, KEY, burst=burst, rps=10.0).empty()
    assert len(exchanges) == len(deployment.journal) == sent


def test_a_burst_that_is_accepted_completely_is_described_by_its_measurement(rules: Any) -> None:
    gate = runner_for(ok)[0].gate
    emptied = [
        Exchange(gate.request(KEY), 200, payload=FULL, started=number / 100, seconds=0.1) for number in range(16)
    ]
    (finding,) = rules.test_stated_limit_is_enforced(Bucket(gate, KEY, burst=10, rps=10.0), emptied)
    assert finding.problem == (
        "all 16 requests within 0.25 s are accepted, the stated burst is 10, and `remaining` does not fall: "
        "a request takes no token, or the bucket holds more than stated"
    )


def bursts_of(*accepted: int) -> Callable[[Request], Exchange]:
    """Respond to bursts of 16 requests: of each, this number is accepted, from the last burst's number on."""
    numbers = count()

    def respond(request: Request) -> Exchange:
        burst, number = divmod(next(numbers), 16)
        if number >= accepted[min(burst, len(accepted) - 1)]:
            return Exchange(request, 429, started=number / 1000)
        payload = b'{"rate_limit": {"remaining": %d}}' % (20 - number)
        return Exchange(request, 200, payload=payload, started=number / 1000)

    return respond


@pytest.mark.parametrize(("accepted", "findings", "bursts"), [((16,), 1, 3), ((16, 10), 0, 2), ((10,), 0, 1)])
def test_a_burst_that_is_too_large_is_a_finding_only_if_it_is_accepted_each_time(
    accepted: tuple[int, ...], findings: int, bursts: int, rules: Any
) -> None:
    runner, deployment = runner_for(bursts_of(*accepted))
    bucket = Bucket(runner.gate, KEY, burst=10, rps=10.0)
    found = list(rules.test_burst_is_not_exceeded(bucket, [bucket], bucket.empty()))
    assert (len(found), deployment.bursts) == (findings, bursts)


def test_a_bucket_that_is_refilled_within_a_burst_is_emptied_again() -> None:
    runner, deployment = runner_for(bursts_of(14, 0))
    refill = Refill.of(Bucket(runner.gate, KEY, burst=10, rps=10.0))
    assert {exchange.status for exchange in refill.spent} == {429}
    assert deployment.bursts == 2
