"""Each shipped scenario behaves as described, and invalid scenario files are rejected."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mock_server import Deployment, FixtureError, Key, RateLimit, UsageMock, load_deployment, make_app
from mock_server.fixtures.files import fixture_names
from mock_server.fixtures.scenarios import load_scenario
from mock_server.options import MockOptions
from mock_server.simulation.clock import END_OF_TIME
from tests.support.control_api import Api
from tests.support.wire import Clock, Response, send_request, usage
from usage_contract import Contract

KEY = "demo-busy"


class ScenarioMock:
    """A mock with a manual clock, which records the delays of its responses instead of sleeping."""

    def __init__(self, contract: Contract) -> None:
        self.clock, self.waits = Clock(), list[float]()
        self.mock = UsageMock(make_app(contract, clock=self.clock, sleep=self.sleep))

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def usage(self, times: int = 1) -> list[Response]:
        return [usage(self.mock.url, KEY) for _ in range(times)]

    def use(self, scenario: str) -> None:
        self.mock.use(scenario)


@pytest.fixture
def served(contract: Contract) -> Iterator[ScenarioMock]:
    served = ScenarioMock(contract)
    with served.mock:
        yield served


def test_ageing(served: ScenarioMock) -> None:
    served.use("ageing")
    [first] = served.usage()
    served.clock.now += 100
    [later] = served.usage()
    assert first.json["total"] == 1000
    assert later.json["total"] == 1000 + 400 + 150 + 50
    assert later.json["fail"] == 10 + 5
    assert later.json["bytes_transferred"] == 25_000_000 + 100 * 100_000 + 100 * 4000
    assert later.json["by_protocol"] == {"fetch": 1450, "ws": 150, "amqp": 0}


def test_all_failed(served: ScenarioMock) -> None:
    served.use("all-failed")
    [response] = served.usage()
    assert response.json["total"] == response.json["fail"] == 524
    assert (response.json["success"], response.json["success_rate"]) == (0, 0.0)


def test_brown_out(served: ScenarioMock) -> None:
    served.use("brown-out")
    assert [response.status for response in served.usage(8)] == [200, 200, 200, 503] * 2
    assert len(served.waits) == 8
    assert all(seconds > 0 for seconds in served.waits)


def test_down(served: ScenarioMock) -> None:
    served.use("down")
    assert [response.status for response in served.usage(3)] == [502] * 3


def test_fresh(served: ScenarioMock) -> None:
    served.use("fresh")
    [response] = served.usage()
    assert (response.json["total"], response.json["top_domains"]) == (0, [])


def test_heavy(served: ScenarioMock) -> None:
    served.use("heavy")
    [response] = served.usage()
    assert response.json["total"] > 10**10
    assert response.json["rate_limit"]["rps"] == 500.0


def test_nearly_exhausted(served: ScenarioMock) -> None:
    served.use("nearly-exhausted")
    first, second = served.usage(2)
    assert (first.status, first.json["rate_limit"]["remaining"]) == (200, 0.0)
    assert (second.status, second.headers["Retry-After"], second.headers["X-RateLimit-Limit"]) == (429, "1", "1")
    served.clock.now += 1
    assert [response.status for response in served.usage(2)] == [200, 429]


def test_revoked(served: ScenarioMock) -> None:
    [before] = served.usage()
    served.use("revoked")
    [after] = served.usage()
    assert (before.status, after.status, after.headers["Mock-Reason"]) == (200, 403, "unknown-key")


def test_slow(served: ScenarioMock) -> None:
    served.use("slow")
    assert [response.status for response in served.usage(10)] == [200] * 10
    assert len(served.waits) == 10
    assert min(served.waits) < 0.2 < max(served.waits)


def test_throttled(served: ScenarioMock) -> None:
    served.use("throttled")
    responses = served.usage(3)
    served.clock.now += 900
    names = ("Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining")
    for response in (*responses, *served.usage()):
        assert response.status == 429
        assert [response.headers[name] for name in names] == ["1", "10", "0"]  # the example of the errors guide


@pytest.mark.parametrize("name", fixture_names(None, "scenarios"))
def test_usage_metrics_equal_those_of_the_state_at_any_time(served: ScenarioMock, name: str) -> None:
    served.use(name)
    api, metrics = Api(served.mock.url), list[object]()
    for now in (1000, 0, 1_000_000_000, END_OF_TIME, 0, 1001):
        api.do("PATCH", "/clock", {"now": now, "frozen": True})
        [response], state = served.usage(), api.key()
        assert response.status in {200, 403, 429, 502, 503}
        metrics.append(state["usage_metrics"])
        if response.status == 200:
            assert state["usage_metrics"] == {figure: response.json[figure] for figure in state["usage_metrics"]}
    assert metrics[1] == metrics[4]


@pytest.mark.parametrize("name", fixture_names(None, "scenarios"))
def test_each_shipped_scenario_has_a_test_and_a_description(name: str) -> None:
    found: Callable[[ScenarioMock], None] = getattr(sys.modules[__name__], f"test_{name.replace('-', '_')}")
    assert callable(found)
    assert load_scenario(name).description.endswith(".")


def test_a_scenario_without_a_rate_limit_keeps_that_of_the_key() -> None:
    mine = Deployment("mine", "d", {"k": Key(RateLimit(20, 5))})
    with UsageMock(deployment=mine) as mock:
        mock.use("throttled")
        assert usage(mock.url, "k").headers["X-RateLimit-Limit"] == "20"
        assert usage(mock.url, "unknown").headers["X-RateLimit-Limit"] == "10"
        mock.use("fresh")
        assert usage(mock.url, "k").json["rate_limit"] == {"rps": 20.0, "burst": 5, "remaining": 4.0}
        mock.use("heavy")
        assert usage(mock.url, "k").json["rate_limit"]["rps"] == 500.0


def test_a_scenario_whose_fault_names_an_unknown_key_is_rejected(contract: Contract, tmp_path: Path) -> None:
    for kind, text in (
        ("scenarios", "fault: strange"),
        ("faults", "breaks: []\ndo: [{when: {key: nobodys}, status: 500}]"),
    ):
        (tmp_path / kind).mkdir()
        name = "strange" if kind == "faults" else "mine"
        (tmp_path / kind / f"{name}.yaml").write_text(f"description: d\n{text}\n")
    with UsageMock(make_app(contract, MockOptions(fixtures=tmp_path), deployment=load_deployment())) as mock:
        with pytest.raises(FixtureError, match="names a key that default does not have"):
            mock.use("mine")
        preferring = send_request(mock.url, headers=[("X-API-Key", KEY), ("Prefer", "scenario=mine")])
        assert (preferring.status, usage(mock.url, KEY).status) == (400, 200)


def test_a_scenario_whose_fault_edits_received_bytes_is_rejected(tmp_path: Path) -> None:
    for kind, text in (("scenarios", "fault: mine"), ("faults", "breaks: []\nreceived: [{op: prepend, text: x}]")):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "mine.yaml").write_text(f"description: d\n{text}\n")
    with pytest.raises(FixtureError, match=r":2 /fault: 'mine' changes received bytes, before the key is known"):
        load_scenario("mine", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key: {}\n", "'description' is missing"),
        ("description: d\nkeys: {}\n", "did you mean 'key'?"),
        ("description: d\nkey: {rate_limit: {rps: 1, brst: 1}}\n", "did you mean 'burst'?"),
        ("description: d\ndelay: soon\n", ":2 /delay: 'soon' is not a valid delay"),
        ("description: d\nfault: body-dripz\n", ":2 /fault: 'body-dripz' is not a fault"),
        ("description: d\ncode: 99\n", ":2 /code"),
        ("description: d\ncode: 204\n", ":2 /code"),
        ("description: d\ncode: 302\n", ":2 /code"),
        ("description: d\nrevoked: 1\n", ":2 /revoked"),
        ("", "is empty"),
    ],
)
def test_an_unusable_file_is_reported_with_its_position(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "mine.yaml").write_text(text)
    with pytest.raises(FixtureError) as caught:
        load_scenario("mine", tmp_path)
    assert message in str(caught.value)
