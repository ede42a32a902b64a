"""A change in one process applies to the next request to another process."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from mock_server import UsageMock, load_deployment, load_fault, make_app
from mock_server.fixtures.deployments import Calls, Deployment, Key
from mock_server.fixtures.library import Library
from mock_server.options import MockOptions
from mock_server.shared_state.redis_state import RedisState
from mock_server.web.mock import MOCK
from tests.support.control_api import Api
from tests.support.wire import KEY, Clock, send_request, usage
from usage_contract import Contract

BUSY, FRESH = list(load_deployment().keys)[:2]

Pair = tuple[UsageMock, UsageMock]


@pytest.fixture
def pair(contract: Contract, clock: Clock, url: str) -> Iterator[Pair]:
    """Two mocks with one state, which both have sent responses before."""
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(UsageMock(make_app(contract, clock=clock, state=RedisState(url)))) for _ in range(2)
        )
        assert usage(other.url, BUSY).status == 200
        yield one, other


def test_tokens_are_taken_from_one_bucket(pair: Pair) -> None:
    one, other = pair
    before = usage(one.url, BUSY).json["rate_limit"]["remaining"]
    assert usage(other.url, BUSY).json["rate_limit"]["remaining"] == before - 1


def test_an_override_for_a_key_applies_in_other_processes(pair: Pair) -> None:
    one, other = pair
    one.answer(418, BUSY)
    assert usage(other.url, BUSY).status == 418


@pytest.mark.parametrize("headers", [[], [(KEY, "nobody")], [(KEY, BUSY), (KEY, BUSY)]])
def test_an_override_for_all_keys_applies_to_unknown_keys(pair: Pair, headers: list[tuple[str, str]]) -> None:
    one, other = pair
    one.answer(418)
    assert send_request(other.url, headers=headers).status == 418


def test_a_reset_restarts_the_count_of_a_fault_set_at_start(contract: Contract, url: str) -> None:
    fault = load_fault("every-fourth-response-is-503")
    for state in (None, RedisState(url)):
        app = make_app(contract, MockOptions(fault=f"{fault.name}@2"), fault=fault, state=state)
        with UsageMock(app) as mock:
            for _ in range(2):
                assert [usage(mock.url, BUSY).status for _ in range(3)] == [200, 503, 200]
                mock.reset()


def test_concurrent_changes_are_all_applied(pair: Pair) -> None:
    one, other = pair
    changes = [
        ("/behaviour", {"delay": "0.001"}),
        ("/behaviour", {"code": 418}),
        ("/behaviour", {"scenario": "heavy"}),
        ("/clock", {"frozen": True}),
        ("/clock", {"advance": 60}),
    ]
    for _ in range(5):
        with ThreadPoolExecutor(len(changes)) as pool:
            submitted = [pool.submit(Api(one.url).do, "PATCH", *change) for change in changes]
        assert [each.exception() for each in submitted] == [None] * len(changes)
        state = Api(other.url).get("/state")
        assert [state["everyone"][name] for name in ("scenario", "code", "delay")] == ["heavy", 418, "0.001"]
        assert (state["clock"]["now"], state["clock"]["frozen"]) == (1060.0, True)
        one.reset()


def test_counts_of_another_fault_set_at_start_are_not_shared(contract: Contract, url: str) -> None:
    for name in ("body-is-null", "body-is-empty"):
        app = make_app(contract, MockOptions(fault=f"{name}@2"), fault=load_fault(name), state=RedisState(url))
        with UsageMock(app) as mock:
            assert [len(usage(mock.url, BUSY).body) > 4 for _ in range(3)] == [True, False, True]


def test_a_scenario_applies_in_other_processes(pair: Pair) -> None:
    one, other = pair
    one.use("down")
    assert send_request(other.url, "/usage", [(KEY, BUSY)]).status == 502


def test_requests_that_a_fault_skips_are_counted_for_all_processes(pair: Pair) -> None:
    one, other = pair
    one.fail("total-is-null", after=2, times=1)
    totals = [usage(mock.url, "demo-modest").json["total"] for mock in (one, other, one, other)]
    assert [total is None for total in totals] == [False, False, True, False]


def test_requests_of_a_status_code_are_counted_for_all_processes(pair: Pair) -> None:
    one, other = pair
    one.answer(503, after=1, times=2, body={"mine": [1]}, headers={"Retry-After": "3", "Cache-Control": None})
    found = [usage(mock.url, "demo-modest") for mock in (one, other, other, one)]
    assert [response.status for response in found] == [200, 503, 503, 200]
    assert (found[1].json, found[1].headers["Retry-After"]) == ({"mine": [1]}, "3")
    assert "Cache-Control" not in found[1].headers


def test_a_sequence_of_responses_is_counted_for_all_processes(pair: Pair) -> None:
    one, other = pair
    one.answer([503, {"code": 429, "headers": {"Retry-After": "3"}}, "body-is-empty"])
    first, second, third, last = (usage(mock.url, BUSY) for mock in (one, other, one, other))
    assert (first.status, second.status, second.headers["Retry-After"]) == (503, 429, "3")
    assert (third.body, last.status, bool(last.body)) == (b"", 200, True)


def test_a_created_key_is_known_to_other_processes(pair: Pair) -> None:
    one, other = pair
    key = one.make_key()
    assert usage(other.url, key).json["total"] == 0
    assert key in other.keys


def test_other_processes_know_the_facts_of_a_created_key(pair: Pair) -> None:
    one, other = pair
    key = one.make_key(
        rate_limit={"rps": 0, "burst": 7}, traffic={"a.example": {"ws": {"requests": 5}}}, label="Billing"
    )
    body = usage(other.url, key).json
    assert (body["total"], body["rate_limit"]) == (5, {"rps": 0.0, "burst": 7, "remaining": 6.0})
    assert Api(other.url).get("/state")["keys"][-1]["label"] == "Billing"
    Api(one.url).do("POST", "/keys", {"key": key, "traffic": {"a.example": {"ws": {"requests": 6}}}})
    assert usage(other.url, key).json["total"] == 6


def test_several_faults_apply_in_other_processes(pair: Pair) -> None:
    one, other = pair
    one.fail(["total-is-a-text", "lower-case-fields"])
    response = usage(other.url, BUSY)
    assert (response.json["total"], "content-type" in list(response.headers)) == ("many", True)


def test_keys_that_several_processes_create_are_known_to_all(pair: Pair) -> None:
    made = [mock.make_key() for _ in range(5) for mock in pair]
    assert [usage(mock.url, key).status for key in made for mock in pair] == [200] * 20


def test_the_next_response_of_every_process_includes_recorded_traffic(pair: Pair) -> None:
    one, other = pair
    before = usage(other.url, BUSY).json
    one.record("new.example", "fetch", requests=3, failures=1, bytes=10, key=BUSY)
    after = usage(other.url, BUSY).json
    assert (after["total"], after["fail"]) == (before["total"] + 3, before["fail"] + 1)
    assert usage(one.url, BUSY).json["total"] == after["total"]


def test_the_state_of_any_process_has_the_usage_metrics_of_all(pair: Pair, clock: Clock) -> None:
    one, other = pair
    one.use("ageing", FRESH)
    for key in (BUSY, FRESH):
        one.record("new.example", "fetch", requests=3, failures=1, bytes=10, key=key)
    clock.now += 100
    for mock in (other, one):
        for number, key in enumerate((BUSY, FRESH)):
            metrics = Api(mock.url).key(number)["usage_metrics"]
            assert metrics == {name: value for name, value in usage(mock.url, key).json.items() if name in metrics}
    one.reset()
    after = Api(other.url).key()["usage_metrics"]
    assert after["total"] == usage(one.url, BUSY).json["total"]


def test_reading_a_shared_state_creates_no_account(pair: Pair, clock: Clock) -> None:
    one, other = pair
    one.use("ageing", FRESH)
    assert [Api(mock.url).key(1)["usage_metrics"]["total"] for mock in pair] == [1000, 1000]
    clock.now += 100
    assert usage(other.url, FRESH).json["total"] == 1000
    clock.now += 100
    assert usage(one.url, FRESH).json["total"] == Api(other.url).key(1)["usage_metrics"]["total"] > 1000


def test_a_stream_of_events_reports_changes_of_another_process(pair: Pair) -> None:
    one, other = pair
    with Api(other.url).events() as events:
        before = next(events)[1]["keys"][0]["usage_metrics"]["total"]
        one.answer(503)
        assert next(events)[1]["everyone"]["code"] == 503
        one.record("new.example", key=BUSY)
        assert next(events)[1]["keys"][0]["usage_metrics"]["total"] == before + 1


@pytest.mark.parametrize("is_shared", [False, True])
def test_an_account_with_changed_facts_restarts(contract: Contract, url: str, is_shared: bool) -> None:
    def facts(requests: int, other: int) -> Deployment:
        keys = {name: {"a.example": {"ws": Calls(number)}} for name, number in (("k", requests), ("o", other))}
        return Deployment("d", "d", {name: Key(traffic=traffic) for name, traffic in keys.items()})

    app = make_app(contract, deployment=facts(7, 9), state=RedisState(url) if is_shared else None)
    with UsageMock(app) as mock:
        for key in mock.keys:
            mock.record("new.example", requests=100, key=key)
        assert [usage(mock.url, key).json["total"] for key in mock.keys] == [107, 109]
        app[MOCK].simulator.swap_library(Library(facts(8, 9)))
        assert [usage(mock.url, key).json["total"] for key in mock.keys] == [8, 109]


def test_traffic_recorded_by_two_processes_is_counted_once_each(pair: Pair) -> None:
    before = usage(pair[0].url, BUSY).json["total"]
    for mock in pair:
        mock.record("new.example", "fetch", requests=2, key=BUSY)
    assert [usage(mock.url, BUSY).json["total"] for mock in pair] == [before + 4] * 2


def test_a_frozen_and_advanced_clock_applies_to_all_processes(pair: Pair, clock: Clock) -> None:
    one, other = pair
    one.freeze()
    clock.now += 1000
    assert Api(other.url).get("/clock")["now"] == 1000.0
    other.advance(5)
    assert Api(one.url).get("/clock")["now"] == 1005.0
    one.resume()
    clock.now += 1
    assert Api(other.url).get("/clock") == {**Api(one.url).get("/clock"), "now": 1006.0, "frozen": False}


def test_a_bucket_refills_by_the_shared_clock(pair: Pair) -> None:
    one, other = pair
    one.freeze()
    while usage(one.url, BUSY).status == 200:
        pass
    assert usage(other.url, BUSY).status == 429
    one.advance(3600)
    assert usage(other.url, BUSY).status == 200


def test_a_reset_applies_to_all_processes(pair: Pair) -> None:
    one, other = pair
    first = usage(other.url, FRESH).json
    key = one.make_key()
    one.record("new.example", "fetch", requests=2, key=FRESH)
    one.answer(418)
    one.freeze()
    other.reset()
    assert usage(one.url, FRESH).json == first
    assert usage(one.url, key).status == 403


def test_a_scenario_that_is_set_again_restarts_accounts_in_all_processes(pair: Pair) -> None:
    one, other = pair
    one.use("fresh", BUSY)
    first = usage(other.url, BUSY).json
    one.record("new.example", "fetch", requests=2, key=BUSY)
    assert usage(other.url, BUSY).json["total"] == first["total"] + 2
    one.use("fresh", BUSY)
    assert usage(other.url, BUSY).json == first


def test_overrides_outlive_the_processes(contract: Contract, url: str) -> None:
    def app() -> UsageMock:
        return UsageMock(make_app(contract, state=RedisState(url)))

    with app() as mock:
        mock.answer(418, BUSY)
    with app() as mock:
        assert usage(mock.url, BUSY).status == 418


@pytest.fixture
def different(contract: Contract, url: str, tmp_path: Path) -> Iterator[Pair]:
    """Two mocks with one state, of which only the first has the scenario and the fault `mine`."""
    for kind, text in (("scenarios", "code: 418"), ("faults", "breaks: []\nreceived: [{op: prepend, text: x}]")):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "mine.yaml").write_text(f"description: d\n{text}\n")
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(
                UsageMock(
                    make_app(
                        contract,
                        MockOptions(fixtures=fixtures),
                        deployment=load_deployment(),
                        state=RedisState(url),
                    )
                )
            )
            for fixtures in (tmp_path, None)
        )
        assert usage(other.url, BUSY).status == 200
        yield one, other


@pytest.mark.parametrize("kind", ["scenario", "fault"])
@pytest.mark.parametrize("of_key", [{"key": BUSY}, {}])
def test_a_missing_scenario_is_reported_until_it_is_switched_off(
    different: Pair, kind: str, of_key: dict[str, str]
) -> None:
    one, other = different
    Api(one.url).do("PATCH", "/behaviour", {kind: "mine", **of_key})
    for _ in range(2):
        response = usage(other.url, BUSY)
        assert (response.status, response.headers["Mock-Reason"]) == (503, "unknown-name")
        assert f"'mine' is not a {kind}" in response.json["detail"]
    api = Api(other.url)
    assert api.key()["effective"][kind] == "mine"
    assert api.key()["accepted"] is False
    with api.events() as events:
        assert next(events)[1]["keys"][0]["effective"][kind] == "mine"
    api.do("PATCH", "/behaviour", {kind: None, **of_key})
    assert usage(other.url, BUSY).status == 200


def test_a_missing_scenario_ends_when_another_process_switches_it_off(different: Pair) -> None:
    one, other = different
    one.use("mine")
    assert usage(other.url, BUSY).status == 503
    one.use(None)
    assert usage(other.url, BUSY).status == 200


def test_states_with_different_names_are_separate(contract: Contract, clock: Clock, url: str) -> None:
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(UsageMock(make_app(contract, clock=clock, state=RedisState(each))))
            for each in (url, f"{url}-other")
        )
        one.answer(418)
        assert usage(other.url, BUSY).status == 200
