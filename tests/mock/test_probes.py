"""A delay from any source applies to /usage and not to probes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import pytest

from mock_server import UsageMock, make_app
from mock_server.options import MockOptions
from tests.support.wire import KEY, Headers, send_request
from usage_contract import Contract

SOURCES: dict[str, Callable[[UsageMock], None]] = {
    "everyone": lambda mock: mock.delay(7),
    "a key": lambda mock: mock.delay(7, mock.api_key),
    "a scenario": lambda mock: mock.use("slow"),
    "a scenario of a key": lambda mock: mock.use("slow", mock.api_key),
}


@pytest.fixture
def slept() -> list[float]:
    """The delays of responses, in seconds, which the mock does not sleep."""
    return []


@pytest.fixture
def mock(contract: Contract, slept: list[float]) -> Iterator[UsageMock]:
    with UsageMock(make_app(contract, sleep=sleeping(slept))) as mock:
        yield mock


def sleeping(slept: list[float]) -> Callable[[float], Awaitable[None]]:
    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    return sleep


def assert_only_usage_is_delayed(mock: UsageMock, slept: list[float], headers: Headers = ()) -> None:
    """Assert that a request to /usage is delayed, and that probes are not."""
    headers = [(KEY, mock.api_key), *headers]
    for path in ("/healthz", "/", "/healthz?verbose=1"):
        assert send_request(mock.url, path, headers).status == 200
        assert send_request(mock.url, path, headers, "HEAD").status == 200
    assert slept == []
    assert send_request(mock.url, "/usage", headers).status == 200
    assert len(slept) == 1


@pytest.mark.parametrize("source", SOURCES)
def test_a_delay_that_is_switched_on_does_not_delay_probes(mock: UsageMock, slept: list[float], source: str) -> None:
    SOURCES[source](mock)
    assert_only_usage_is_delayed(mock, slept)


@pytest.mark.parametrize("preference", ["delay=7", "scenario=slow"])
def test_a_preferred_delay_does_not_delay_probes(mock: UsageMock, slept: list[float], preference: str) -> None:
    assert_only_usage_is_delayed(mock, slept, [("Prefer", preference)])


@pytest.mark.parametrize(("delay", "scenario"), [("7", None), (None, "slow")])
def test_a_delay_set_at_start_does_not_delay_probes(
    contract: Contract, slept: list[float], delay: str | None, scenario: str | None
) -> None:
    app = make_app(contract, MockOptions(delay=delay, scenario=scenario), sleep=sleeping(slept))
    with UsageMock(app) as mock:
        assert_only_usage_is_delayed(mock, slept)


def test_the_journal_names_no_delay_for_a_probe(mock: UsageMock) -> None:
    mock.delay(7)
    for path in ("/healthz", "/usage"):
        send_request(mock.url, path)
    assert [entry.applied for entry in mock.requests] == ["", "delay=7"]
