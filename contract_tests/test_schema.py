"""The 200's body: JSON, of the documented shape, in every answer."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure, FailureGroup

from contract_tests.metrics.schema import problems
from contract_tests.run.facts import NEEDS_READABLE_BODY, READABLE_BODY, VALID_KEY
from contract_tests.run.gate import OPERATION, Gate
from contract_tests.run.rules import DOCUMENT, holds
from contract_tests.wire.messages import Exchange, kept_whole
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.schemathesis_adapter import TransportAdapter
from usage_contract.contract import Level

SHAPED = (
    "schema/media-type-is-documented",
    "schema/body-has-the-specified-types",
    "schema/body-has-the-documented-ranges",
)
CHECKED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


@pytest.mark.rule(level="specified", source=f"{DOCUMENT}, 200: content application/json; RFC 8259")
def test_body_is_json(good: list[Exchange]) -> None:
    """Every 200 body MUST be one well-formed JSON text: UTF-8, no BOM, no NaN, no repeated member, nothing after it."""
    holds(
        f"the body {exchange.json.problem}\n{exchange.seen}"
        for exchange in kept_whole(_read(good))
        if exchange.json.problem and not exchange.coding_problem
    )


@pytest.mark.rule(level="specified", source=f"{DOCUMENT}, 200: content; RFC 9110, section 8.3")
def test_media_type_is_documented(gate: Gate, good: list[Exchange]) -> None:
    """Every 200 MUST have one Content-Type, the documented media type, and its charset, if named, MUST be UTF-8."""
    documented = gate.operation.responses["200"].media_type
    holds(
        f"Content-Type is {exchange.header('Content-Type')!r}, not {documented}\n{exchange.seen}"
        for exchange in _read(good)
        if not _is_media_type(exchange, documented)
    )


@pytest.mark.rule(level="specified", source=f"{DOCUMENT}, components.schemas.UsageResponse")
def test_body_has_the_specified_types(good: list[Exchange]) -> None:
    """Every 200 body MUST be valid against the schema of the vendor's document."""
    holds(_invalid(good, "specified"))


@pytest.mark.rule(
    level="documented", source=f"{DOCUMENT}, the descriptions in UsageResponse; openapi/documented.overlay.yaml"
)
def test_body_has_the_documented_ranges(good: list[Exchange]) -> None:
    """Every 200 body MUST hold usage metrics whose values lie in the ranges that the descriptions give."""
    holds(_invalid(good, "documented"))


@pytest.mark.rule(level="advisory", source="openapi/advisory.overlay.yaml")
def test_body_has_every_documented_member(good: list[Exchange]) -> None:
    """Every 200 body SHOULD have every member that the document describes."""
    holds(_invalid(good, "advisory"))


@pytest.mark.needs(
    *NEEDS_READABLE_BODY, *SHAPED, "http/negotiated-encoding-matches-the-body", "robustness/accept-leads-to-json-or-4xx"
)
@pytest.mark.rule(level="documented", source=f"{DOCUMENT}, 200: usage metrics, whatever was asked before or beside it")
def test_other_responses_are_usage_metrics(gate: Gate, later: list[Exchange]) -> None:
    """Any other 200 to a valid key MUST be whole, of the documented media type, and hold usage metrics as well."""
    media_type = gate.operation.responses["200"].media_type
    for exchange in kept_whole(later):
        found = exchange.problem if exchange.ending != "complete" else exchange.coding_problem or exchange.json.problem
        assert not found, f"the body {found}\n{exchange.seen}"
        assert _is_media_type(exchange, media_type), (
            f"Content-Type is {exchange.header('Content-Type')!r}\n{exchange.seen}"
        )
    holds(_invalid(later, "documented"))


@pytest.mark.needs(*NEEDS_READABLE_BODY, *SHAPED)
@pytest.mark.rule(level="specified", source=f"{DOCUMENT}, as Schemathesis reads it")
def test_generated_requests_match_the_document(gate: Gate) -> None:
    """Every request that Schemathesis generates from the document MUST be answered as the document describes."""
    gate.transport.check_time()  # before Schemathesis takes seconds to read the document
    load_all_checks()
    config = SchemathesisConfig.from_dict({"generation": {"with-security-parameters": False}})
    schema = schemathesis.openapi.from_dict(deepcopy(gate.contract.document), config=config)
    strategy = schema.find_operation_by_id(OPERATION).as_strategy()
    session = requests.Session()
    session.trust_env = False
    session.mount(gate.settings.target.origin, TransportAdapter(gate))

    @hypothesis.given(strategy)
    @hypothesis.settings(max_examples=3)
    def conforms(case: Any) -> None:
        case.call_and_validate(
            base_url=gate.settings.target.url,
            session=session,
            checks=[CHECKS.get_one(name) for name in CHECKED],
        )

    try:
        conforms()
    except (ExceptionGroup, Failure, FailureGroup, requests.RequestException) as error:
        raise AssertionError(f"Schemathesis: {_titles(error)}\n{gate.transport.journal[-1].seen}") from None


def _titles(error: BaseException) -> str:
    """Return the titles of Schemathesis's failures, however they are grouped."""
    if isinstance(error, BaseExceptionGroup):
        return ", ".join(sorted({_titles(each) for each in error.exceptions}))
    return str(getattr(error, "title", error))


def _read(exchanges: list[Exchange]) -> list[Exchange]:
    """Return the 200s that arrived whole; NotTested where there are none."""
    whole = [exchange for exchange in exchanges if exchange.status == 200 and exchange.ending == "complete"]
    if not whole:
        raise NotTested("no 200 response arrived whole", because=VALID_KEY.reported_by)
    return whole


def _is_media_type(exchange: Exchange, documented: str | None) -> bool:
    if len(exchange.values("Content-Type")) != 1 or exchange.media_type != documented:
        return False
    return exchange.has_true_charset


def _invalid(exchanges: list[Exchange], level: Level) -> Iterator[str]:
    is_readable = False
    for exchange in kept_whole(_read(exchanges)):
        if exchange.json.problem:
            continue
        is_readable = True
        for problem in problems(OPERATION, exchange, level):
            yield f"{problem}\n{exchange.seen}"
    if not is_readable:
        raise NotTested("no 200 body can be parsed", because=READABLE_BODY.reported_by)
