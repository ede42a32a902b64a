"""Facts of keys given in Python: the rules of deployment files apply, with the same messages."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import requests

from mock_server import Calls, Deployment, FactsError, Key, Rate, RateLimit, UsageMock
from mock_server.fixtures.deployments import load_deployment


def deployment(key: Any) -> Deployment:
    """Return a deployment of one key."""
    return Deployment("mine", "One key of my own.", {"my-key": key})


def fetch(calls: Any, domain: str = "a.example", protocol: str = "fetch") -> Any:
    return Key(traffic={domain: {protocol: calls}})


@pytest.mark.parametrize("limit", [RateLimit(rps=0, burst=2), RateLimit(rps=1, burst=2), RateLimit(0.001, 2)])
def test_a_limit_of_any_number_is_reached(limit: RateLimit) -> None:
    with UsageMock(deployment=deployment(Key(limit))) as mock, requests.Session() as session:
        mock.freeze()
        responses = [session.get(f"{mock.url}/usage", headers={"X-API-Key": "my-key"}) for _ in range(4)]
    assert [response.status_code for response in responses] == [200, 200, 429, 429]
    assert responses[2].headers["X-RateLimit-Limit"] == f"{limit.rps:g}"


def test_whole_numbers_have_the_types_of_the_document() -> None:
    facts = Key(RateLimit(rps=10, burst=4), {"a.example": {"fetch": Calls(3, 1, 7)}}, tokens=2)
    with UsageMock(deployment=deployment(facts)) as mock:
        body = requests.get(f"{mock.url}/usage", headers={"X-API-Key": "my-key"}).text
    assert '"rps":10.0,"burst":4,"remaining":1.0' in body
    assert '"total":3,' in body


def test_numbers_equal_to_whole_ones_become_whole() -> None:
    made = deployment(Key(RateLimit(Decimal(5), 3.0), {"a.example": {"ws": Calls(4.0)}}, Decimal("1.5")))  # type: ignore[arg-type]
    facts = made.keys["my-key"]
    assert repr(facts.rate_limit) == "RateLimit(rps=5.0, burst=3)"
    assert repr(facts.tokens) == "1.5"
    assert repr(facts.traffic["a.example"]["ws"]) == "Calls(requests=4, failures=0, bytes=0)"


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        (Key(RateLimit(1, 1.5)), "/rate_limit/burst: must be a whole number, not a number with a fraction"),  # type: ignore[arg-type]
        (Key(RateLimit("1", 1)), "/rate_limit/rps: must be a number, not text"),  # type: ignore[arg-type]
        (Key(RateLimit(True, 1)), "/rate_limit/rps: must be a number, not true or false"),
        (Key(RateLimit(float("nan"))), "/rate_limit/rps: must be a finite number"),
        (Key(RateLimit(float("inf"))), "/rate_limit/rps: must be a finite number"),
        (Key(RateLimit(-1)), "/rate_limit/rps: must be at least 0, not -1"),
        (Key(RateLimit(burst=0)), "/rate_limit/burst: must be at least 1, not 0"),
        (Key(RateLimit(None)), "/rate_limit/rps: must be a number, not null"),  # type: ignore[arg-type]
        (Key({"rps": 1}), "/rate_limit: 'burst' is missing"),  # type: ignore[arg-type]
        (Key(None), "/rate_limit: must be a mapping, not null"),  # type: ignore[arg-type]
        (Key(tokens=-1), "/tokens: must be at least 0, not -1"),
        (Key(label=""), "/label: must not be empty"),
        (fetch(Calls(3.5)), "/traffic/a.example/fetch/requests: must be a whole number, not a number with a fraction"),  # type: ignore[arg-type]
        (fetch(Calls(1, 2)), "/traffic/a.example/fetch/failures: must not be above 'requests': 2 is more than 1"),
        (fetch(Calls(-1)), "/traffic/a.example/fetch/requests: must be at least 0, not -1"),
        (fetch(Calls(2**60)), "/traffic/a.example/fetch/requests: must be at most 9007199254740991"),
        (fetch(Calls(1), "https://a.example/"), "/traffic/https:~1~1a.example~1: is not valid; expected a host name"),
        (fetch(Calls(1, bytes=5), protocol="ws"), "/traffic/a.example/ws/bytes: is not a known name"),
        (fetch(Calls(1), protocol="http"), "/traffic/a.example/http: is not a known name; valid: fetch"),
        (Key(growth={"a.example": {"fetch": Rate("1")}}), "/growth/a.example/fetch/requests: must be a number"),  # type: ignore[arg-type]
        ({"rate_limits": {}}, "/rate_limits: is not a known name; did you mean 'rate_limit'?"),
        (5, ": must be a mapping, not a whole number"),
        (RateLimit(), "/rps: is not a known name"),
        (Key, ": must be a mapping, not a type"),
    ],
)
def test_facts_follow_the_rules_of_a_deployment_file(facts: Any, problem: str) -> None:
    with pytest.raises(FactsError) as error:
        deployment(facts)
    assert str(error.value).startswith(f"the deployment mine /keys/my…5e7886{problem}"), error.value


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({}, "the deployment mine /keys: must not be empty"),
        (["k"], "the deployment mine /keys: must be a mapping, not a list"),
        ({" k": Key()}, "is not valid; expected visible ASCII characters"),
        ({5: Key()}, "the deployment mine /keys/…ef2d12: must be text, not a whole number; put quotes around it"),
    ],
)
def test_keys_follow_the_rules_of_a_deployment_file(keys: Any, problem: str) -> None:
    with pytest.raises(FactsError) as error:
        Deployment("mine", "d", keys)
    assert problem in str(error.value)


def test_every_problem_is_reported_without_a_key() -> None:
    with pytest.raises(FactsError) as error:
        Deployment("mine", "d", {"my-secret": Key(RateLimit(-1, 0)), "other-secret": Key(tokens=-1)})
    assert len(str(error.value).splitlines()) == 3
    assert "secret" not in str(error.value)


def test_facts_can_be_mappings_as_in_a_file() -> None:
    made = deployment({"rate_limit": {"rps": 1, "burst": 2}, "traffic": {"a.example": {"ws": {"requests": 3}}}})
    assert made == deployment(Key(RateLimit(1.0, 2), {"a.example": {"ws": Calls(3)}}))
    assert deployment({}) == deployment(Key())


def test_a_deployment_keeps_the_facts_of_its_file() -> None:
    shipped = load_deployment()
    assert Deployment(shipped.name, shipped.description, dict(shipped.keys), shipped.public_keys) == shipped
    grown = Key(growth={"a.example": {"fetch": Rate(2, 1, 5), "ws": Rate(0.5)}}, label="Billing")
    assert deployment(grown).keys["my-key"] == grown
    assert deployment(grown).keys["my-key"].label == "Billing"
