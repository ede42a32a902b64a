"""The usage metrics of a key, compared with the facts of its deployment."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mock_server.fixtures.deployments import PROTOCOLS, Calls, Key, RateLimit, load_deployment
from mock_server.fixtures.files import shipped_fixtures
from mock_server.simulation.accounts import Account
from mock_server.web.responses import documented_members, documented_response
from mock_server.web.usage import REMAINING
from usage_contract import Contract, ContractError, load

COUNTS = st.integers(0, 10**12)
REMAINS = orjson.Fragment(REMAINING)


@st.composite
def calls(draw: st.DrawFn) -> Calls:
    requests = draw(COUNTS)
    return Calls(requests, draw(st.integers(0, requests)))


@st.composite
def fetches(draw: st.DrawFn) -> Calls:
    made = draw(calls())
    return Calls(made.requests, made.failures, draw(COUNTS))


DOMAINS = st.one_of(  # a deployment file has no domain of spaces only
    st.sampled_from([f"d{number:02}.example" for number in range(40)]), st.text(min_size=1).filter(str.strip)
)
PROTOCOL_CALLS = st.fixed_dictionaries({}, optional={"fetch": fetches(), "ws": calls(), "amqp": calls()})
KEYS = st.builds(
    Key,
    st.builds(RateLimit, st.floats(0, 1e6), st.integers(1, 10**6)),
    st.dictionaries(DOMAINS, PROTOCOL_CALLS, max_size=40),
)
every_key = given(KEYS)
steady = settings(derandomize=True, deadline=None)


def metrics_of(key: Key, name: str = "k") -> dict[str, Any]:
    return Account(name, name, key, now=0.0).usage_metrics(REMAINS)


def all_calls(key: Key, protocol: str | None = None) -> list[Calls]:
    return [
        each for domain in key.traffic.values() for name, each in domain.items() if protocol is None or name == protocol
    ]


@steady
@every_key
def test_the_total_is_the_sum_over_all_protocols(key: Key) -> None:
    metrics = metrics_of(key)
    assert metrics["total"] == sum(each.requests for each in all_calls(key))
    assert metrics["total"] == sum(metrics["by_protocol"].values())


@steady
@every_key
def test_every_protocol_is_counted_also_where_it_was_not_spoken(key: Key) -> None:
    metrics = metrics_of(key)
    for protocol in PROTOCOLS:
        assert metrics["by_protocol"][protocol] == sum(each.requests for each in all_calls(key, protocol))


@steady
@every_key
def test_success_and_fail_share_the_total(key: Key) -> None:
    metrics = metrics_of(key)
    assert metrics["fail"] == sum(each.failures for each in all_calls(key))
    assert metrics["success"] + metrics["fail"] == metrics["total"]


@steady
@every_key
def test_the_success_rate_is_the_percentage_to_two_decimals(key: Key) -> None:
    metrics = metrics_of(key)
    exact = Fraction(100 * metrics["success"], metrics["total"]) if metrics["total"] else Fraction(0)
    assert 0 <= metrics["success_rate"] <= 100
    assert metrics["success_rate"] == round(metrics["success_rate"], 2)
    assert abs(Fraction(metrics["success_rate"]) - exact) <= Fraction(5001, 1_000_000)


@steady
@every_key
def test_bytes_are_those_of_http_fetch_only(key: Key) -> None:
    metrics = metrics_of(key)
    assert metrics["bytes_transferred"] == sum(each.bytes for each in all_calls(key, "fetch"))


@steady
@every_key
def test_the_top_domains_are_the_twenty_with_the_most_requests_ties_by_name(key: Key) -> None:
    counts = {name: sum(each.requests for each in domain.values()) for name, domain in key.traffic.items()}
    ranked = sorted((-requests, name) for name, requests in counts.items() if requests)
    expected = [{"domain": name, "requests": -requests} for requests, name in ranked[:20]]
    assert metrics_of(key)["top_domains"] == expected


def documented_body(contract: Contract, name: str, key: Key) -> Any:
    """Return the body of a response for a key, validated against the schema of the contract."""
    operation = contract.operations["get_usage"]
    body = documented_response(operation, 200, metrics_of(key, name)).body
    assert body.count(REMAINING) == 1
    metrics = json.loads(body.replace(REMAINING, b"1.5"))
    schema = operation.responses["200"].schema
    assert schema is not None
    Draft202012Validator(schema).validate(metrics)
    return metrics


@steady
@given(st.text(st.characters(codec="utf-8")), KEYS)
def test_every_response_conforms_to_the_schema_of_the_document(contract: Contract, name: str, key: Key) -> None:
    assert documented_body(contract, name, key)["api_key"] == name


@pytest.mark.parametrize("name", ["demo-busy", "demo-modest", "demo-fresh"])
def test_the_shipped_keys_conform_to_the_advisory_contract(name: str) -> None:
    documented_body(load("advisory"), name, load_deployment().keys[name])


def test_members_are_in_the_order_of_the_document(contract: Contract) -> None:
    schema = contract.operations["get_usage"].responses["200"].schema
    assert schema is not None
    assert list(documented_body(contract, "k", Key())) == list(schema["properties"])


def test_a_member_that_the_document_does_not_name_is_not_returned() -> None:
    assert documented_members({"properties": {"b": {}}}, {"a": 1, "b": 2}, "X") == {"b": 2}


def test_a_member_that_cannot_be_derived_is_rejected_with_its_name() -> None:
    schema: dict[str, Any] = {"properties": {"rows": {"items": {"properties": {"latency": {}}}}}}
    with pytest.raises(ContractError, match=r"X\.rows\[\]\.latency, which the mock cannot derive; it derives domain"):
        documented_members(schema, {"rows": [{"domain": "d"}]}, "X")


def test_the_protocols_of_the_mock_the_document_and_the_fixtures_are_the_same(contract: Contract) -> None:
    described = contract.document["components"]["schemas"]["UsageResponse"]["properties"]["by_protocol"]
    schema = json.loads((shipped_fixtures() / "deployment.schema.json").read_text())
    in_fixtures = schema["$defs"]["traffic"]["additionalProperties"]["properties"]
    assert list(PROTOCOLS) == list(described["properties"]) == list(in_fixtures)
