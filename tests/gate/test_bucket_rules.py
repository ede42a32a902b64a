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


@pytest.mark.parametrize("good", [1, 2, 3])
def test_bucket_is_emptied_only_while_its_refills_have_a_problem(good: int, rules: Any) -> None:
    runner, deployment = runner_for(ok)
    bucket = Bucket(runner.gate, KEY, burst=10, rps=10.0)
    exchange = ok(runner.gate.request(KEY))
    attempts = iter([1, 2, 3])

    def judge(_: object) -> Finding | None:
        return None if next(attempts) == good else Finding("the refill is too slow", exchange)

    runner.run(confirm_first([Refill(bucket, [exchange], exchange)], judge))
    assert deployment.bursts == good - 1


def test_refills_of_further_buckets_are_not_checked_after_a_finding(rules: Any) -> None:
    runner, deployment = runner_for(ok)
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
