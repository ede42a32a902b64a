"""The mock follows the OpenAPI document, and does not start with a document that it cannot simulate."""

from __future__ import annotations

import copy
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from mock_server import UsageMock, make_app
from tests.support.wire import Clock, send_request, usage
from usage_contract import Contract, ContractError


def renamed(contract: Contract, old: str, new: str) -> Contract:
    """Return the contract with each occurrence of a text in its document replaced."""
    return Contract(contract.level, json.loads(json.dumps(contract.document).replace(old, new)))


def changed(contract: Contract, change: Callable[[dict[str, Any]], object]) -> Contract:
    """Return the contract with a changed copy of its document."""
    document = copy.deepcopy(contract.document)
    change(document)
    return Contract(contract.level, document)


def served(contract: Contract, **options: Any) -> UsageMock:
    return UsageMock(make_app(contract, **options))


def test_the_path_comes_from_the_document(contract: Contract) -> None:
    with served(renamed(contract, "/usage", "/v3/figures")) as mock:
        assert send_request(mock.url, "/v3/figures", [("X-API-Key", "demo-busy")]).status == 200
        assert send_request(mock.url, "/usage", [("X-API-Key", "demo-busy")]).status == 404


def test_a_fault_without_a_path_follows_the_path_of_the_document(contract: Contract) -> None:
    busy = [("X-API-Key", "demo-busy")]
    with served(renamed(contract, "/usage", "/figures.v3")) as mock:
        mock.fail("body-is-null")
        assert send_request(mock.url, "/figures.v3?page=1", busy).body == b"null"
        assert send_request(mock.url, "/figures-v3", busy).status == 404
        mock.answer([503, 503])
        send_request(mock.url, "/usage", busy)
        assert [send_request(mock.url, "/figures.v3", busy).status for _ in range(3)] == [503, 503, 200]


def test_the_header_of_the_key_comes_from_the_document(contract: Contract) -> None:
    with served(renamed(contract, "X-API-Key", "X-Other")) as mock:
        assert send_request(mock.url, headers=[("X-Other", "demo-busy")]).status == 200
        assert send_request(mock.url, headers=[("X-API-Key", "demo-busy")]).status == 401


def test_the_media_type_comes_from_the_document(contract: Contract) -> None:
    with served(renamed(contract, "application/json", "application/vnd.usage+json")) as mock:
        responses = [usage(mock.url, "demo-busy"), usage(mock.url, "nobody"), send_request(mock.url)]
    assert {response.headers["Content-Type"] for response in responses} == {"application/vnd.usage+json"}


def test_the_method_comes_from_the_document(contract: Contract) -> None:
    def post(document: dict[str, Any]) -> None:
        document["paths"]["/usage"]["post"] = document["paths"]["/usage"].pop("get")

    with served(changed(contract, post)) as mock:
        assert usage(mock.url, "demo-busy", "POST").status == 200
        refused = usage(mock.url, "demo-busy", "GET")
    assert (refused.status, refused.headers["Allow"]) == (405, "OPTIONS, POST")


def test_the_detail_of_an_error_comes_from_the_document(contract: Contract) -> None:
    with served(renamed(contract, "Invalid API key.", "Who are you?")) as mock:
        assert usage(mock.url, "nobody").json == {"detail": "Who are you?"}


def test_the_names_of_the_limit_headers_come_from_the_document(contract: Contract) -> None:
    with served(renamed(contract, "X-RateLimit-Limit", "x-ratelimit-limit"), clock=Clock()) as mock:
        while (response := usage(mock.url, "demo-busy")).status == 200:
            pass
    assert "x-ratelimit-limit" in list(response.headers)


def test_a_limit_header_that_the_document_drops_is_not_sent(contract: Contract) -> None:
    def drop(document: dict[str, Any]) -> None:
        del document["components"]["responses"]["RateLimited"]["headers"]["X-RateLimit-Limit"]

    with served(changed(contract, drop), clock=Clock()) as mock:
        while (response := usage(mock.url, "demo-busy")).status == 200:
            pass
    assert "X-RateLimit-Limit" not in response.headers


def test_an_operation_without_a_simulation_is_logged_and_unknown(
    contract: Contract, caplog: pytest.LogCaptureFixture
) -> None:
    described = {"operationId": "get_agents", "responses": {"200": {"description": "Agents."}}}
    extended = changed(contract, lambda document: document["paths"].update({"/agents": {"get": described}}))
    with caplog.at_level(logging.WARNING, "mock_server"), served(extended) as mock:
        assert send_request(mock.url, "/agents").status == 404
        assert "GET /agents" not in send_request(mock.url, "/").json["paths"]
    assert caplog.messages == ["GET /agents (get_agents) is not simulated; it responds like an unknown path"]


def _new_member(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["UsageResponse"]["properties"]["latency"] = {"type": "number"}


def _new_protocol(document: dict[str, Any]) -> None:
    members = document["components"]["schemas"]["UsageResponse"]["properties"]
    members["by_protocol"]["properties"]["grpc"] = {"type": "integer"}


def _new_limit_header(document: dict[str, Any]) -> None:
    document["components"]["responses"]["RateLimited"]["headers"]["X-Reset"] = {"schema": {"type": "integer"}}


def _new_error_member(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["ErrorBody"]["properties"]["code"] = {"type": "string"}


def _unknown_health(document: dict[str, Any]) -> None:
    health = document["paths"]["/healthz"]["get"]["responses"]["200"]
    health["content"]["application/json"]["schema"]["properties"]["since"] = {"type": "string"}


UNSUPPORTED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a usage metric": (_new_member, r"GET /usage 200\.latency, which the mock cannot derive"),
    "a protocol": (_new_protocol, r"by_protocol\.grpc, which the mock cannot derive; it derives fetch, ws, amqp"),
    "a limit header": (_new_limit_header, r"429: the mock cannot fill X-Reset; it fills Retry-After"),
    "an error member": (_new_error_member, r"GET /usage 401\.code, which the mock cannot derive; it derives detail"),
    "a health member": (_unknown_health, r"GET /healthz 200\.since, which the mock cannot derive; it derives "),
    "no 429": (
        lambda document: document["paths"]["/usage"]["get"]["responses"].pop("429"),
        r"the mock would send 429, the document defines 200, 401, 403",
    ),
    "no 403": (
        lambda document: document["paths"]["/usage"]["get"]["responses"].pop("403"),
        r"the mock would send 403, the document defines 200, 401, 429",
    ),
    "no security": (lambda document: document.pop("security"), r"GET /usage: the document requires no API key"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_document_that_the_mock_cannot_simulate_prevents_the_start(contract: Contract, name: str) -> None:
    change, message = UNSUPPORTED[name]
    with pytest.raises(ContractError, match=message):
        make_app(changed(contract, change))


def test_the_mock_imports_the_contract_and_no_test_tool() -> None:
    code = (
        "import sys, mock_server.command.cli\n"
        "from mock_server import *\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}\n"
        "             & {'pytest', '_pytest', 'hypothesis', 'schemathesis', 'contract_tests'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
