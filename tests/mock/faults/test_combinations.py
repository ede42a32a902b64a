"""Several faults at once are applied in the given order, at every level of precedence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mock_server import UsageMock, load_deployment, make_app
from mock_server.options import MockOptions
from tests.support.command import serving
from tests.support.control_api import Api
from tests.support.wire import KEY, Response, send_request, usage
from usage_contract import Contract

FAULTS = {
    "appends-a": "do: [{body: [{op: append, text: a}]}]",
    "appends-b": "do: [{body: [{op: append, text: b}]}]",
    "never-acts": "do: [{when: {path: /other}, status: 500}]",
    "is-503": "do: [{status: 503}]",
    "marks-503": "do: [{when: {status: [503]}, headers: {set: {X-Marked: yes}}}]",
    "restarts": "do: [{as: demo-fresh}]",
    "one-token": "buckets: [{rps: 0, burst: 1}]",
    "two-tokens": "buckets: [{rps: 0, burst: 2}]",
    "stops": "do: [{when: {request: X-Stop}, end: stop}]",
    "rewrites-odd": "received: [{op: replace, pattern: 'X-Odd', with: 'X-Even'}]",
}


@pytest.fixture
def fixtures(tmp_path: Path) -> Path:
    (tmp_path / "faults").mkdir()
    for name, text in FAULTS.items():
        (tmp_path / "faults" / f"{name}.yaml").write_text(f"description: d\nbreaks: []\n{text}\n")
    return tmp_path


@pytest.fixture
def mock(contract: Contract, fixtures: Path) -> Iterator[UsageMock]:
    with UsageMock(make_app(contract, MockOptions(fixtures=fixtures), deployment=load_deployment())) as mock:
        yield mock


def preferring(mock: UsageMock, *names: str) -> Response:
    return send_request(mock.url, headers=[(KEY, "demo-busy"), ("Prefer", f'fault="{" ".join(names)}"')])


def test_preferred_faults_are_applied_in_the_order_given(mock: UsageMock) -> None:
    assert preferring(mock, "appends-a", "appends-b").body.endswith(b"}ab")
    assert preferring(mock, "appends-b", "appends-a").body.endswith(b"}ba")


def test_a_fault_receives_the_response_of_the_previous_fault(mock: UsageMock) -> None:
    assert preferring(mock, "is-503", "marks-503").headers["X-Marked"] == "yes"
    assert "X-Marked" not in preferring(mock, "marks-503", "is-503").headers


def test_as_discards_the_changes_of_earlier_faults(mock: UsageMock) -> None:
    assert preferring(mock, "is-503", "restarts").json["api_key"] == "demo-fresh"
    assert preferring(mock, "restarts", "is-503").status == 503


def test_the_last_bucket_applies(mock: UsageMock) -> None:
    def statuses(*names: str) -> list[int]:
        mock.reset()
        return [preferring(mock, *names).status for _ in range(3)]

    assert statuses("one-token", "two-tokens") == [200, 200, 429]
    assert statuses("two-tokens", "one-token") == [200, 429, 429]


def test_preference_applied_quotes_several_faults(mock: UsageMock) -> None:
    response = preferring(mock, "appends-a", "never-acts")
    assert response.headers["Preference-Applied"] == 'fault="appends-a never-acts"'


def test_the_journal_names_the_faults_that_were_applied(mock: UsageMock) -> None:
    preferring(mock, "appends-a", "never-acts", "is-503")
    preferring(mock, "never-acts", "appends-b")
    preferring(mock, "never-acts")
    assert [entry.applied for entry in mock.requests] == ['fault="appends-a is-503"', "fault=appends-b", ""]


def test_an_unknown_name_among_several_is_400(mock: UsageMock) -> None:
    response = preferring(mock, "appends-a", "apends-b")
    assert response.status == 400
    assert "'apends-b' is not a fault; did you mean 'appends-b'?" in response.json["detail"]


def test_none_cannot_be_combined_with_a_fault(mock: UsageMock) -> None:
    assert preferring(mock, "none", "appends-a").status == 400


def test_a_fault_that_edits_received_bytes_cannot_be_preferred_with_others(mock: UsageMock) -> None:
    response = preferring(mock, "appends-a", "rewrites-odd")
    assert (response.status, "'rewrites-odd' changes received bytes" in response.json["detail"]) == (400, True)


@pytest.mark.parametrize("fault", [["appends-a", "appends-b"], "appends-a appends-b"])
def test_the_control_api_takes_a_list_or_a_text(mock: UsageMock, fault: object) -> None:
    api = Api(mock.url)
    changed = api.do("PATCH", "/behaviour", {"fault": fault, "times": 1})
    assert (changed["fault"], changed["times"], changed["left"]) == ("appends-a appends-b", 1, 1)
    assert usage(mock.url, "demo-busy").body.endswith(b"}ab")
    assert usage(mock.url, "demo-busy").body.endswith(b"}")
    assert api.get("/state")["everyone"]["left"] == 0


def test_the_control_api_rejects_an_empty_list(mock: UsageMock) -> None:
    assert Api(mock.url).refused("PATCH", "/behaviour", {"fault": []}) == (422, "body /fault: must not be empty")
    assert Api(mock.url).refused("PATCH", "/behaviour", {"fault": " "})[0] == 422


@pytest.mark.parametrize("fault", [["appends-a", "appends-b"], "appends-a appends-b"])
def test_fail_and_the_option_take_a_list_or_a_text(mock: UsageMock, fixtures: Path, fault: list[str] | str) -> None:
    mock.fail(fault)
    assert usage(mock.url, "demo-busy").body.endswith(b"}ab")
    mock.fail("none")
    assert usage(mock.url, "demo-busy").body.endswith(b"}")
    with UsageMock(fixtures=fixtures, deployment=load_deployment(), fault=fault) as from_start:
        assert usage(from_start.url, "demo-busy").body.endswith(b"}ab")


def test_each_fault_set_at_start_has_its_own_request_number(fixtures: Path) -> None:
    with UsageMock(fixtures=fixtures, deployment=load_deployment(), fault=["appends-a", "appends-b@2"]) as mock:
        assert [usage(mock.url, "demo-busy").body[-2:] for _ in range(3)] == [b"}a", b"ab", b"}a"]


def test_none_at_the_start_switches_off_the_fault_of_a_scenario() -> None:
    with UsageMock(scenario="brown-out", delay="none", rate_limit=False) as mock:
        assert [usage(mock.url, mock.api_key).status for _ in range(4)] == [200, 200, 200, 503]
    with UsageMock(scenario="brown-out", delay="none", fault="none", rate_limit=False) as mock:
        assert [usage(mock.url, mock.api_key).status for _ in range(4)] == [200, 200, 200, 200]


def test_a_repeated_option_of_the_command_adds_a_fault() -> None:
    with serving("--fault", "body-has-a-trailing-comma", "--fault", "head-is-405") as (_, url):
        assert usage(url, "demo-modest").body.endswith(b",}")
        assert send_request(url, method="HEAD", headers=[(KEY, "demo-busy")]).status == 405


def test_no_fault_responds_after_a_fault_has_stopped_the_server(mock: UsageMock) -> None:
    mock.fail(["appends-a", "stops"])
    assert usage(mock.url, "demo-busy").body.endswith(b"}a")
    with suppress(ConnectionError):
        send_request(mock.url, headers=[(KEY, "demo-busy"), ("X-Stop", "1")])
    with pytest.raises(ConnectionError):
        usage(mock.url, "demo-busy")
    mock.reset()
    assert usage(mock.url, "demo-busy").status == 200
