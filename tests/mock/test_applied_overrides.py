"""A journal entry names a fault, code, scenario or delay only if it changed the exchange."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mock_server import UsageMock, load_deployment, load_fault, make_app
from mock_server.options import MockOptions
from tests.support.control_api import Api
from tests.support.wire import KEY, send, send_request, usage
from usage_contract import Contract

FAULTS = {
    "waits": "do: [{wait: 0.001}]",
    "other-path": "do: [{when: {path: /other}, status: 500}]",
    "third-time": "do: [{when: {after: 2}, status: 500}]",
    "few-tokens": "buckets: [{keys: [demo-busy], rps: 0, burst: 1}]",
    "other-key": "do: [{as: demo-fresh}]",
    "edits": "received: [{op: replace, pattern: 'X-Odd: yes', with: 'X-Odd: no'}]",
    "does-not-fit": "do: [{patch: [{op: remove, path: /none-such}]}]",
}


@pytest.fixture
def mock(contract: Contract, tmp_path: Path) -> Iterator[UsageMock]:
    (tmp_path / "faults").mkdir()
    for name, text in FAULTS.items():
        (tmp_path / "faults" / f"{name}.yaml").write_text(f"description: d\nbreaks: []\n{text}\n")
    with UsageMock(make_app(contract, MockOptions(fixtures=tmp_path), deployment=load_deployment())) as mock:
        yield mock


def applied(mock: UsageMock) -> list[str]:
    """Return the override that the journal names for each exchange."""
    return [entry.applied for entry in mock.requests]


def test_a_fault_is_named_only_for_the_requests_that_it_changed(contract: Contract) -> None:
    with UsageMock() as mock:
        mock.fail("body-is-null", after=1, times=2)
        for _ in range(5):
            usage(mock.url, "demo-busy")
        assert applied(mock) == ["", "fault=body-is-null", "fault=body-is-null", "", ""]


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("waits", [True, True, True]),
        ("other-path", [False, False, False]),
        ("few-tokens", [True, True, True]),
        ("other-key", [True, True, True]),
        ("edits", [False, False, False]),
        ("does-not-fit", [True, True, True]),
    ],
)
def test_a_fault_is_named_if_it_changed_the_exchange_in_any_way(mock: UsageMock, fault: str, named: list[bool]) -> None:
    mock.fail(fault)
    for _ in named:
        usage(mock.url, "demo-busy")
    assert [bool(each) for each in applied(mock)] == named


def test_a_fault_set_at_start_is_named_only_for_the_requests_that_it_changed(contract: Contract) -> None:
    fault = load_fault("every-fourth-response-is-503")
    with UsageMock(make_app(contract, fault=fault)) as mock:
        statuses = [usage(mock.url, "demo-busy").status for _ in range(5)]
        assert statuses == [200, 200, 200, 503, 200]
        assert [bool(each) for each in applied(mock)] == [status == 503 for status in statuses]


@pytest.mark.parametrize(
    ("named", "applied_faults"),
    [
        (None, ["body-is-null", "body-is-null"]),
        ("none", ["body-is-null", "body-is-null"]),
        ("lower-case-fields", ['"lower-case-fields body-is-null"'] * 2),
        ("body-is-null@2 lower-case-fields", ["lower-case-fields", '"body-is-null lower-case-fields"']),
    ],
)
def test_a_fault_object_acts_beside_the_faults_of_the_options(
    contract: Contract, named: str | None, applied_faults: list[str]
) -> None:
    with UsageMock(make_app(contract, MockOptions(fault=named), fault=load_fault("body-is-null"))) as mock:
        for _ in applied_faults:
            usage(mock.url, "demo-fresh")
        assert applied(mock) == [f"fault={names}" for names in applied_faults]


def test_a_bucket_of_a_fault_is_named_for_its_keys_only(mock: UsageMock) -> None:
    mock.fail("few-tokens")
    for key in ("demo-busy", "demo-fresh", "nobody"):
        usage(mock.url, key)
    assert applied(mock) == ["fault=few-tokens", "", ""]


def test_a_request_whose_bytes_a_fault_has_edited_gets_an_ordinary_response(mock: UsageMock) -> None:
    mock.fail("edits")
    headers = [(KEY, "demo-busy"), ("X-Odd", "yes"), ("Prefer", "fault=none")]
    assert send_request(mock.url, "/usage", headers).status == 200
    assert applied(mock) == [""]


def test_a_fault_that_edits_received_bytes_is_named_in_the_responses_it_changed(mock: UsageMock) -> None:
    mock.fail("edits")
    for odd in ("yes", "other"):
        send_request(mock.url, headers=[(KEY, "demo-busy"), ("X-Odd", odd)])
    assert applied(mock) == ["fault=edits", ""]


def test_a_preferred_code_is_named_if_it_was_returned(mock: UsageMock) -> None:
    mock.answer(503)
    send_request(mock.url)
    send_request(mock.url, "/healthz")
    send_request(mock.url, "/nowhere")
    send(mock.url, b"PUT /usage HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert applied(mock) == ["code=503", "", "", ""]


def test_a_scenario_is_named_for_requests_to_its_operation_only(mock: UsageMock) -> None:
    with UsageMock(scenario="heavy") as heavy:
        usage(heavy.url, "demo-busy")
        send_request(heavy.url, "/healthz")
        send_request(heavy.url, method="POST")
        assert applied(heavy) == ["scenario=heavy", "", ""]


@pytest.mark.parametrize("key", [None, "demo-busy"])
def test_the_control_api_reports_to_how_many_requests_a_fault_still_applies(key: str | None) -> None:
    with UsageMock() as mock:
        api, own = Api(mock.url), {} if key is None else {"key": key}
        changed = api.do("PATCH", "/behaviour", {**own, "fault": "body-is-null", "after": 1, "times": 2})
        left = [changed["left"]]
        for _ in range(4):
            usage(mock.url, "demo-busy")
            left.append(api.key()["effective"]["left"])
        assert left == [2, 2, 1, 0, 0]
        assert api.do("PATCH", "/behaviour", {**own, "delay": "0"})["left"] == 0


def test_a_fault_without_a_count_has_no_remaining_count() -> None:
    with UsageMock() as mock:
        assert Api(mock.url).do("PATCH", "/behaviour", {"fault": "body-is-null"})["left"] is None
