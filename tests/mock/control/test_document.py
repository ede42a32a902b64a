"""The OpenAPI document of the control API is valid and complete, and the control API conforms to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import hypothesis
import openapi_spec_validator
import pytest
import schemathesis
from hypothesis import HealthCheck
from hypothesis import strategies as st
from ruamel.yaml import YAML
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig

from mock_server import UsageMock, make_app
from mock_server.control.api import OPERATE
from mock_server.control.document import document, operations
from tests.support.control_api import Api
from tests.support.wire import send, usage
from usage_contract import Contract, load
from usage_contract.levels import LEVELS, Level

load_all_checks()

CHECKED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "unsupported_method",
    "allow_header_conformance",
)

# test_document_is_true.py sends the cases of the coverage phase, to which it applies all checks.
# Here Schemathesis would generate them while pytest collects, in each process.
CONFIG = SchemathesisConfig.from_dict(
    {"generation": {"deterministic": True, "max-examples": 10}, "phases": {"coverage": {"enabled": False}}}
)
# The response with the events does not end.
SCHEMA = schemathesis.openapi.from_dict(document(), config=CONFIG).exclude(operation_id="get_events")


@pytest.fixture(scope="module")
def mock(contract: Contract) -> Iterator[UsageMock]:
    with UsageMock(make_app(contract)) as mock:
        for key in mock.keys:
            usage(mock.url, key)
        yield mock


def test_the_document_is_valid() -> None:
    openapi_spec_validator.validate(document())


def test_the_document_is_served_in_both_formats(api: Api) -> None:
    assert api.get("/openapi.json") == document()
    text = api.request("GET", "/openapi.yaml").body
    assert text.startswith(b"openapi: 3.1.0\n")
    assert YAML(typ="safe").load(text) == document()


def test_the_contract_that_the_mock_serves_is_a_document_of_the_control_api(api: Api, contract: Contract) -> None:
    response = api.request("GET", "/contract.yaml")
    assert response.headers["Content-Type"] == "application/yaml"
    assert YAML(typ="safe").load(response.body) == contract.document


@pytest.mark.parametrize("level", LEVELS)
def test_the_contract_of_each_level_is_served(api: Api, level: Level) -> None:
    assert YAML(typ="safe").load(api.request("GET", f"/contract.yaml?level={level}").body) == load(level).document


def test_an_unknown_level_is_rejected_with_a_suggestion(api: Api) -> None:
    status, detail = api.refused("GET", "/contract.yaml?level=documnted")
    assert (status, "did you mean 'documented'?" in detail) == (422, True)


def test_the_document_has_the_operations_of_the_code() -> None:
    assert {each.id for methods in operations().values() for each in methods.values()} == set(OPERATE)


def test_every_schema_is_used() -> None:
    used = set(re.findall(r"#/components/schemas/(\w+)", str(document())))
    assert used == set(document()["components"]["schemas"])


@SCHEMA.parametrize()
@hypothesis.settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_every_generated_request_gets_a_documented_response(case: Any, mock: UsageMock) -> None:
    case.call_and_validate(base_url=f"{mock.url}/__mock__", checks=[CHECKS.get_one(name) for name in CHECKED])


METHODS = ("GET", "POST", "PATCH", "DELETE", "PUT", "OPTIONS", "HEAD")
PATHS = tuple(path for path in operations() if path != "/events")
NAMES = (
    *("key", "scenario", "code", "fault", "after", "times", "delay", "domain", "protocol", "requests", "failures"),
    *("bytes", "now", "advance", "frozen", "method", "path", "status", "exactly", "at_least", "at_most"),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just("demo-busy"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner),
    max_leaves=6,
)


@hypothesis.settings(max_examples=150, deadline=None, derandomize=True, database=None)
@hypothesis.given(st.sampled_from(METHODS), st.sampled_from(PATHS), VALUES)
def test_no_body_causes_a_5xx(mock: UsageMock, method: str, path: str, body: object) -> None:
    assert Api(mock.url).request(method, path, body).status < 500


@hypothesis.settings(max_examples=150, deadline=None, derandomize=True, database=None)
@hypothesis.given(
    st.sampled_from(METHODS[:-1]).map(str.encode),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=12).map(str.encode),
    st.binary(max_size=20),
)
def test_no_target_and_no_bytes_cause_a_5xx(mock: UsageMock, method: bytes, rest: bytes, body: bytes) -> None:
    fields = b"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close" % len(body)
    response = send(mock.url, b"%b /__mock__/%b HTTP/1.1\r\n%b\r\n\r\n%b" % (method, rest, fields, body))
    assert response.status < 500
