"""The views of the control API disclose no key."""

from __future__ import annotations

from pathlib import Path

import pytest

from mock_server import UsageMock, load_deployment, make_app
from mock_server.control.console import content_security_policy
from mock_server.fixtures.deployments import MAX_SAFE_INTEGER, Calls, Deployment, Key, Rate
from mock_server.fixtures.summaries import UNREADABLE
from mock_server.masking import mask_key
from mock_server.options import MockOptions
from tests.support.control_api import Api
from tests.support.wire import Clock, usage
from usage_contract import Contract


def test_the_state_identifies_every_key_and_discloses_none(api: Api, limited: UsageMock) -> None:
    made = limited.make_key()
    response = api.request("GET", "/state")
    assert [key["id"] for key in response.json["keys"]] == [mask_key(key) for key in limited.keys]
    assert made.encode() not in response.body


def test_only_a_key_with_a_label_has_a_public_name(api: Api, limited: UsageMock) -> None:
    limited.make_key()
    assert [key["label"] for key in api.get("/state")["keys"]] == ["demo-busy", "demo-modest", "demo-fresh", None]


def test_the_state_contains_the_tokens_of_a_bucket(api: Api, limited: UsageMock, clock: Clock) -> None:
    for _ in range(4):
        usage(limited.url, "demo-busy")
    assert api.key()["tokens"] == 6
    clock.now += 0.2
    assert api.key()["tokens"] == 8


def test_reading_the_state_takes_no_token_and_creates_no_account(api: Api, limited: UsageMock, clock: Clock) -> None:
    api.do("PATCH", "/behaviour", {"scenario": "nearly-exhausted"})
    assert api.key()["tokens"] == 1
    clock.now += 1000
    assert api.key()["tokens"] == 1
    assert usage(limited.url, "demo-busy").json["rate_limit"]["remaining"] == 0.0


def test_reading_the_state_creates_no_account_for_the_bucket_of_a_fault(
    api: Api, limited: UsageMock, clock: Clock
) -> None:
    api.do("PATCH", "/behaviour", {"scenario": "ageing", "fault": "keys-share-a-bucket"})
    assert api.key()["tokens"] == 10
    clock.now += 100
    assert usage(limited.url, "demo-modest").json["total"] == 1000


def test_the_state_has_the_usage_metrics_of_get_usage(api: Api, limited: UsageMock) -> None:
    metrics = usage(limited.url, "demo-modest").json
    assert api.key(1)["usage_metrics"] == {
        name: metrics[name] for name in ("total", "success", "fail", "bytes_transferred")
    }
    assert api.key(1)["rate_limit"] == {name: metrics["rate_limit"][name] for name in ("rps", "burst")}


def test_a_revoked_key_has_no_account(api: Api) -> None:
    api.do("PATCH", "/behaviour", {"scenario": "revoked"})
    key = api.key()
    assert (key["accepted"], key["tokens"], key["rate_limit"], key["usage_metrics"]) == (False, None, None, None)


def test_scenarios_and_faults_are_described(api: Api) -> None:
    scenarios, faults = api.get("/scenarios"), api.get("/faults")
    assert "nearly-exhausted" in [each["name"] for each in scenarios]
    assert len(faults) > 300
    assert all(each["description"] for each in scenarios + faults)


def test_each_fault_has_the_theme_of_its_file_and_a_file_without_one_is_listed_as_other(
    contract: Contract, tmp_path: Path
) -> None:
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "own.yaml").write_text("description: An own fault.\nbreaks: []\n")
    (tmp_path / "faults" / "slow.yaml").write_text("theme: Speed\nbreaks: []\ndescription: A slow fault.\n")
    with UsageMock(make_app(contract, MockOptions(fixtures=tmp_path), deployment=load_deployment())) as mock:
        themes = {fault["name"]: fault["theme"] for fault in Api(mock.url).get("/faults")}
    assert (themes["own"], themes["slow"]) == ("Other", "Speed")


def test_the_state_contains_the_label_of_a_key(contract: Contract) -> None:
    deployment = Deployment("d", "d", {"first": Key(label="Billing"), "second": Key()})
    with UsageMock(make_app(contract, deployment=deployment)) as mock:
        assert [key["label"] for key in Api(mock.url).get("/state")["keys"]] == ["Billing", None]


def test_an_unusable_file_is_listed_and_reports_its_problem_when_switched_on(
    contract: Contract, tmp_path: Path
) -> None:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "broken.yaml").write_text("key: [")
    with UsageMock(make_app(contract, MockOptions(fixtures=tmp_path), deployment=load_deployment())) as mock:
        api = Api(mock.url)
        assert {"name": "broken", "description": UNREADABLE} in api.get("/scenarios")
        status, detail = api.refused("PATCH", "/behaviour", {"scenario": "broken"})
        assert (status, "broken.yaml:" in detail) == (409, True)


def test_a_fault_whose_role_the_deployment_lacks_is_rejected_without_disclosing_a_key(contract: Contract) -> None:
    deployment = Deployment("mine", "d", {"my-secret-key": Key(traffic={"a.example": {"fetch": Calls(1)}})})
    with UsageMock(make_app(contract, deployment=deployment)) as mock:
        status, detail = Api(mock.url).refused("PATCH", "/behaviour", {"fault": "body-is-null"})
    assert (status, "body-is-null.yaml:6" in detail, "mine has no unused key" in detail) == (409, True, True)
    assert "my-secret-key" not in detail


def test_health_contains_the_version(api: Api) -> None:
    health = api.get("/health")
    assert health["ok"] is True
    assert health["version"] == api.get("/state")["version"]


def test_the_page_runs_only_its_own_scripts(api: Api) -> None:
    response = api.request("GET", "/")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    allowed = response.headers["Content-Security-Policy"]
    assert allowed == content_security_policy(response.body.decode())
    assert "default-src 'none'" in allowed
    assert "unsafe" not in allowed


@pytest.mark.parametrize("path", ["/openapi.yaml", "/openapi.json", "/state", "/", "/metrics"])
def test_a_response_to_head_is_that_to_get_without_the_body(api: Api, path: str) -> None:
    head, get = api.request("HEAD", path), api.request("GET", path)
    assert (head.status, head.body, head.headers["Content-Type"]) == (200, b"", get.headers["Content-Type"])


def test_nothing_is_stored_or_shared_with_other_origins(api: Api) -> None:
    for path in ("/", "/state", "/nowhere", "/openapi.json"):
        headers = api.request("GET", path, headers={"Origin": "https://elsewhere.example"}).headers
        assert headers["Cache-Control"] == "no-store"
        assert not [name for name in headers if name.lower().startswith("access-control")]


def test_a_preflight_gets_no_permission(api: Api) -> None:
    headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "PATCH"}
    response = api.request("OPTIONS", "/clock", headers=headers)
    assert (response.status, response.headers["Allow"]) == (204, "GET, PATCH, HEAD, OPTIONS")
    assert not [name for name in response.headers if name.lower().startswith("access-control")]


def test_metrics_contain_requests_and_tokens(api: Api, limited: UsageMock) -> None:
    usage(limited.url, "demo-busy")
    usage(limited.url, "nobody's")
    lines = api.request("GET", "/metrics").body.decode().splitlines()
    assert 'usage_mock_requests_total{method="GET",reason="",status="200"} 1.0' in lines
    assert 'usage_mock_requests_total{method="GET",reason="unknown-key",status="403"} 1.0' in lines
    assert f'usage_mock_tokens{{key="{mask_key("demo-busy")}"}} 9.0' in lines
    assert f'usage_mock_key_requests{{key="{mask_key("demo-busy")}",outcome="fail"}} 14199.0' in lines
    assert "# TYPE usage_mock_response_seconds_total counter" in lines


def test_many_growing_domains_and_a_late_clock_have_a_state() -> None:
    growth = {f"d{number}.example": {"fetch": Rate(1e6, 0, 1e12)} for number in range(2100)}
    with UsageMock(deployment=Deployment("d", "d", {"k": Key(growth=growth)})) as mock:
        assert usage(mock.url, "k").status == 200  # the account begins
        mock.advance(10**10)
        for view in (Api(mock.url).key()["usage_metrics"], usage(mock.url, "k").json):
            assert MAX_SAFE_INTEGER - 10**8 < view["bytes_transferred"] <= MAX_SAFE_INTEGER
