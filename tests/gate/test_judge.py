"""`contract_tests.judge`, for responses that a test suite has received, and the checks for Schemathesis."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import requests

import contract_tests
from contract_tests import TrafficError, from_httpx, from_journal, from_requests, judge
from mock_server import UsageMock
from tests.support.readme import CHECKOUT
from tests.support.wire import send, usage

BROKEN = "success-rate-is-a-fraction"
RATE_RULE = "consistency/success-rate-is-the-percentage-of-success"


@pytest.fixture
def mock() -> Iterator[UsageMock]:
    with UsageMock() as mock:
        yield mock


def test_responses_of_requests_are_judged(mock: UsageMock) -> None:
    def outcomes() -> dict[str, str]:
        responses = [
            requests.get(f"{mock.url}/usage", headers={"X-API-Key": key} if key else {}, timeout=30)
            for key in (mock.api_key, mock.api_key, mock.api_key, "", "an-unknown-key")
        ]
        return {rule.id: rule.outcome for rule in judge(map(from_requests, responses))}

    sound = outcomes()
    assert sound[RATE_RULE] == sound["errors/error-body-is-json-with-a-detail"] == "held"
    assert sound["auth/similar-key-is-refused"] == sound["http/responses-are-complete"] == "not tested"
    assert "broken" not in sound.values()
    mock.fail(BROKEN)
    assert outcomes()[RATE_RULE] == "broken"


def test_responses_of_httpx_are_judged_with_findings_and_without_keys(mock: UsageMock) -> None:
    mock.fail(BROKEN)
    with httpx.Client(headers={"X-API-Key": mock.api_key}) as client:
        reports = judge(from_httpx(client.get(f"{mock.url}/usage")) for _ in range(3))
    (broken,) = (rule for rule in reports if rule.outcome == "broken")
    assert broken.id == RATE_RULE
    assert broken.findings[0].pointer == "/success_rate"
    assert mock.api_key not in repr(reports)


def test_requests_that_the_mock_could_not_parse_are_not_judged(mock: UsageMock) -> None:
    send(mock.url, b"GET /usage HTTP/1.1\r\n\r\n")
    usage(mock.url, mock.api_key)
    assert [entry.status for entry in mock.requests] == [400, 200]
    assert [recorded.exchange.status for recorded in from_journal(mock.requests)] == [200]


def test_the_journal_of_the_mock_is_judged_as_the_responses_are(mock: UsageMock) -> None:
    def outcomes() -> tuple[dict[str, str], ...]:
        mock.reset()
        mock.fail(fault)
        responses = [
            requests.get(f"{mock.url}/usage", headers={"X-API-Key": key} if key else {}, timeout=30)
            for key in (mock.api_key, mock.api_key, mock.api_key, "", "an-unknown-key")
        ]
        recorded = (map(from_requests, responses), from_journal(mock.requests))
        return tuple({rule.id: str(rule.outcome) for rule in judge(each)} for each in recorded)

    for fault in ("none", BROKEN, "content-type-is-text", "body-is-latin-1", "body-is-empty", "body-is-null"):
        received, kept = outcomes()
        differences = {rule: (received[rule], kept[rule]) for rule in kept if received[rule] != kept[rule]}
        # The journal has the times of the requests and the content coding, which a client does not report.
        assert {before for before, _ in differences.values()} <= {"not tested"}, differences
        assert ("broken" in kept.values()) == (fault != "none")


def test_a_connection_that_a_fault_closes_has_no_response_to_judge(mock: UsageMock) -> None:
    mock.fail("connection-closes-without-a-response")
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{mock.url}/usage", headers={"X-API-Key": mock.api_key}, timeout=30)
    with pytest.raises(TrafficError, match="none of them is with"):
        judge(from_journal(mock.requests))


def test_no_exchange_with_the_operation_is_an_error(mock: UsageMock) -> None:
    health = from_requests(requests.get(f"{mock.url}/healthz", timeout=30))
    with pytest.raises(TrafficError, match="1 exchange recorded, and none of them is with /usage"):
        judge([health])


def test_a_key_that_is_given_must_be_accepted(mock: UsageMock) -> None:
    refused = [from_requests(requests.get(f"{mock.url}/usage", headers={"X-API-Key": "my-own-key"}, timeout=30))]
    assert {rule.id: rule.outcome for rule in judge(refused)}["auth/valid-key-is-200"] == "not tested"
    given = {rule.id: rule.outcome for rule in judge(refused, keys=["my-own-key"])}
    assert given["auth/valid-key-is-200"] == "broken"


def test_wrong_arguments_are_rejected_with_a_hint(mock: UsageMock) -> None:
    response = requests.get(f"{mock.url}/usage", headers={"X-API-Key": mock.api_key}, timeout=30)
    with pytest.raises(TrafficError, match="a Response is not a recorded exchange; from_requests"):
        judge([response])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="keys: give a list of keys"):
        judge([from_requests(response)], keys="my-own-key")
    with pytest.raises(TypeError, match="keys: give a list of keys"):
        judge([from_requests(response)], keys=[b"my-own-key"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="level: 'advisry' is not a level; did you mean 'advisory'"):
        judge([from_requests(response)], level="advisry")  # type: ignore[arg-type]
    with pytest.raises(TrafficError, match="give an absolute URL"):
        judge([from_requests(response)], base_url="api.example")


def test_a_response_without_a_duration_is_judged(mock: UsageMock) -> None:
    sent = requests.get(f"{mock.url}/usage", headers={"X-API-Key": mock.api_key}, timeout=30)
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=sent.json()))) as client:
        response = client.get("https://api.example/usage", headers={"X-API-Key": mock.api_key})
    assert {rule.id: rule.outcome for rule in judge([from_httpx(response)])}["schema/body-is-json"] == "held"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module contract_tests has no attribute jduge"):
        contract_tests.jduge  # noqa: B018


@pytest.mark.parametrize(("fault", "code"), [(None, 0), (BROKEN, 1)])
def test_schemathesis_runs_the_rules_as_checks(fault: str | None, code: int, tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("schemathesis"), "run", CHECKOUT / "openapi" / "openapi.yaml"]
    checks = ["--checks", f"schema/body-is-json,{RATE_RULE}"]
    with UsageMock(fault=fault, rate_limit=False) as mock:
        key = ["--header", f"X-API-Key: {mock.api_key}"]
        done = subprocess.run(
            [*map(str, command), "--url", mock.url, *key, *checks, "--max-examples", "3", "--no-color", "--seed", "1"],
            env={**os.environ, "SCHEMATHESIS_HOOKS": "contract_tests.schemathesis_hooks"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == code, done.stdout + done.stderr
    if fault:
        assert f"{RATE_RULE} is broken" in done.stdout
