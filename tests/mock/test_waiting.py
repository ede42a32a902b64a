"""A request that waits counts from its arrival, and leaves no trace after a reset."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from mock_server import UsageMock, load_deployment, make_app
from mock_server.options import MockOptions
from tests.support.wire import TIMEOUT, Clock, Response, address, usage
from usage_contract import Contract

BUSY = "demo-busy"
WAITS = "description: d\nbreaks: []\ndo: [{wait: 5}]\n"
PLAIN = b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: demo-busy\r\n\r\n"
READS_BODY = "description: d\nbreaks: []\ndo: [{when: {body: never}, status: 500}]\n"
WITHOUT_BODY = PLAIN.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n")


class Gatekeeper:
    """Makes the first wait of a mock last until a test ends it; later waits take no time."""

    def __init__(self) -> None:
        self.reached: Future[asyncio.AbstractEventLoop] = Future()
        self._ended = asyncio.Event()

    async def sleep(self, _: float) -> None:
        if not self.reached.done():
            self.reached.set_result(asyncio.get_running_loop())
            await self._ended.wait()

    def end(self) -> None:
        self.reached.result(TIMEOUT).call_soon_threadsafe(self._ended.set)


@pytest.fixture
def gatekeeper() -> Gatekeeper:
    return Gatekeeper()


@pytest.fixture
def mock(contract: Contract, tmp_path: Path, gatekeeper: Gatekeeper) -> Iterator[UsageMock]:
    (tmp_path / "faults").mkdir()
    for name, text in {"waits": WAITS, "reads-body": READS_BODY}.items():
        (tmp_path / "faults" / f"{name}.yaml").write_text(text)
    options = MockOptions(fixtures=tmp_path)
    app = make_app(contract, options, deployment=load_deployment(), clock=Clock(), sleep=gatekeeper.sleep)
    with UsageMock(app) as mock:
        yield mock


@contextmanager
def waiting(mock: UsageMock, gatekeeper: Gatekeeper) -> Iterator[Future[Response]]:
    """Send a request, and yield its future response once the request waits."""
    with ThreadPoolExecutor() as pool:
        response = pool.submit(usage, mock.url, BUSY)
        gatekeeper.reached.result(TIMEOUT)
        try:
            yield response
        finally:
            gatekeeper.end()


def remaining(mock: UsageMock) -> float:
    """Return the tokens that a request leaves in the bucket."""
    return float(usage(mock.url, BUSY).json["rate_limit"]["remaining"])


def test_a_delayed_request_is_in_the_journal_and_takes_its_token_when_it_arrives(
    mock: UsageMock, gatekeeper: Gatekeeper
) -> None:
    mock.delay(5)
    with waiting(mock, gatekeeper):
        assert [entry.status for entry in mock.requests] == [200]
        assert remaining(mock) == 8.0


def test_a_fault_counts_delayed_requests_in_the_order_of_their_arrival(mock: UsageMock, gatekeeper: Gatekeeper) -> None:
    mock.delay("0.05..0.4")
    mock.fail("body-is-empty", times=1)
    with waiting(mock, gatekeeper) as first:
        assert usage(mock.url, BUSY).body
        gatekeeper.end()
        assert first.result(TIMEOUT).body == b""
    assert [entry.applied.startswith("fault=body-is-empty") for entry in mock.requests] == [True, False]


def test_a_delayed_request_does_not_count_after_a_reset(mock: UsageMock, gatekeeper: Gatekeeper) -> None:
    mock.delay(5)
    with waiting(mock, gatekeeper) as response:
        mock.reset()
        gatekeeper.end()
        assert response.result(TIMEOUT).status == 200
        assert mock.requests == ()
        assert remaining(mock) == 9.0


@pytest.mark.parametrize("key", [None, BUSY])
def test_a_reset_ends_requests_that_wait_in_a_fault(mock: UsageMock, gatekeeper: Gatekeeper, key: str | None) -> None:
    mock.fail("waits")
    with waiting(mock, gatekeeper) as response:
        mock.fail(None)
        mock.reset(key)
        with pytest.raises(ConnectionError):
            response.result(TIMEOUT)
        assert remaining(mock) == 9.0
        assert len(mock.requests) == 1


def test_a_reset_of_another_key_does_not_end_a_request(mock: UsageMock, gatekeeper: Gatekeeper) -> None:
    mock.fail("waits")
    with waiting(mock, gatekeeper) as response:
        mock.reset("demo-modest")
        gatekeeper.end()
        assert response.result(TIMEOUT).status == 200
    assert len(mock.requests) == 1


@pytest.mark.parametrize("fault", [None, "reads-body"])
def test_a_reset_ends_requests_whose_body_is_missing(
    mock: UsageMock, gatekeeper: Gatekeeper, fault: str | None
) -> None:
    mock.fail(fault)
    with socket.create_connection(address(mock.url), TIMEOUT) as connection:
        connection.sendall(WITHOUT_BODY)
        usage(mock.url, "demo-modest")  # the request before it waits by now
        mock.reset()
        assert connection.recv(1) == b""
    assert mock.requests == ()


def test_the_time_of_a_delayed_response_includes_the_delay(contract: Contract) -> None:
    async def sleep(_: float) -> None:
        """Take no time."""

    with UsageMock(make_app(contract, MockOptions(delay="7"), clock=Clock(), sleep=sleep)) as mock:
        usage(mock.url, BUSY)
        mock.freeze()
        usage(mock.url, BUSY)
        running, frozen = mock.requests
    assert 7 <= running.seconds < 7 + TIMEOUT
    assert running.at - running.received == 7
    assert frozen.at == frozen.received  # a frozen clock does not advance while a response waits
