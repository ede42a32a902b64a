"""UsageMock: its start, its end, its threads, and the release of its resources."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from mock_server import AsyncUsageMock, UsageMock, make_app
from mock_server.simulation.state import MemoryState
from mock_server.testing.async_usage_mock import STOPPED
from tests.support.wire import TIMEOUT, address, send_request, usage
from usage_contract import Contract, load

OPEN_FILES = Path("/dev/fd")


def test_a_mock_without_an_app_serves_the_default_deployment() -> None:
    with UsageMock() as mock:
        assert mock.keys == ("demo-busy", "demo-modest", "demo-fresh")
        assert [usage(mock.url, key).status for key in mock.keys] == [200, 200, 200]


def test_two_mocks_have_two_ports_and_two_buckets() -> None:
    with UsageMock() as one, UsageMock() as other:
        assert one.url != other.url
        usage(one.url, "demo-busy")
        assert usage(other.url, "demo-busy").json["rate_limit"]["remaining"] == 9.0


def test_the_thread_of_a_mock_ends_at_close() -> None:
    before = set(threading.enumerate())
    with UsageMock():
        assert len(set(threading.enumerate()) - before) == 1
    assert set(threading.enumerate()) == before


FORGOTTEN = """
from mock_server import UsageMock
mock = UsageMock().start()
raise SystemExit("boom")
"""

FAILED_SET_UP = """
import unittest
from mock_server import UsageMock

class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mock = UsageMock().start()
        raise LookupError("boom")

    def test(self):
        pass

unittest.main()
"""


@pytest.mark.parametrize("code", [FORGOTTEN, FAILED_SET_UP], ids=["script", "unittest"])
def test_a_process_ends_although_it_has_not_closed_its_mock(code: str) -> None:
    command = [sys.executable, "-X", "dev", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (done.returncode, "boom" in done.stderr) == (1, True)
    assert "Fatal" not in done.stderr


def test_a_closed_mock_is_not_kept_until_the_end_of_the_process() -> None:
    mock = UsageMock().start()
    mock.close()
    kept = weakref.ref(mock)
    del mock
    gc.collect()
    assert kept() is None


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="needs a folder of open files")
def test_a_close_releases_all_sockets(contract: Contract) -> None:
    def serve() -> None:
        with UsageMock(make_app(contract)) as mock:
            send_request(mock.url)

    serve()  # files that are opened and cached on first use stay open
    before = len(list(OPEN_FILES.iterdir()))
    for _ in range(5):
        serve()
    assert len(list(OPEN_FILES.iterdir())) == before


def test_no_socket_listens_after_close() -> None:
    with UsageMock() as mock:
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address(mock.url))


def test_a_mock_may_be_closed_twice_or_before_it_starts() -> None:
    mock = UsageMock()
    mock.close()
    mock.start()
    mock.close()
    mock.close()


def test_an_error_at_the_start_is_raised_to_the_caller() -> None:
    async def fail(_: web.Application) -> None:
        raise LookupError("no such thing")

    before = set(threading.enumerate())
    app = make_app(load("documented"))
    app.on_startup.append(fail)
    with pytest.raises(LookupError, match="no such thing"):
        UsageMock(app).start()
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("app", ["default", web.Application()])
def test_an_app_that_is_not_of_make_app_is_rejected(app: Any) -> None:
    with pytest.raises(TypeError, match="is not an application of make_app"):
        UsageMock(app)


@pytest.mark.parametrize(
    "unfinished",
    [
        b"",
        b"GET /us",
        b"GET /usage HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na",
    ],
    ids=["silent", "half a line", "idle", "half a body"],
)
def test_an_open_connection_does_not_delay_a_close(contract: Contract, unfinished: bytes) -> None:
    with UsageMock(make_app(contract), grace=3600) as mock:
        connection = socket.create_connection(address(mock.url))
        connection.sendall(unfinished)
        send_request(mock.url)
        mock.close()  # without a wait for the grace period
        connection.close()


def test_a_mock_serves_a_caller_that_runs_an_event_loop() -> None:
    async def caller() -> int:
        with UsageMock() as mock:
            return (await asyncio.to_thread(usage, mock.url, "demo-busy")).status

    assert asyncio.run(caller()) == 200


def test_any_thread_may_use_a_mock(hosted: UsageMock) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: hosted.make_key(), range(50)))
    assert len(set(keys)) == 50
    assert set(keys) < set(hosted.keys)


def test_a_call_during_close_succeeds_or_raises() -> None:
    def use(mock: UsageMock, barrier: threading.Barrier) -> str:
        barrier.wait()
        try:
            while True:
                mock.freeze()
        except RuntimeError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            barrier = threading.Barrier(5)
            with UsageMock() as mock:
                users = [pool.submit(use, mock, barrier) for _ in range(4)]
                barrier.wait()
            assert {each.result(timeout=TIMEOUT) for each in users} == {STOPPED}


def test_an_unfinished_call_raises_at_close() -> None:
    class Stuck(MemoryState):
        async def latest(self) -> None:
            if called.is_set():
                waiting.set()
                await asyncio.Event().wait()

    called, waiting = threading.Event(), threading.Event()
    app = make_app(load("documented"), state=Stuck())
    with ThreadPoolExecutor(1) as pool, UsageMock(app) as mock:
        called.set()
        stuck = pool.submit(mock.use, "fresh")
        assert waiting.wait(TIMEOUT)
        mock.close()
        with pytest.raises(RuntimeError, match="cannot be restarted"):
            stuck.result(timeout=TIMEOUT)


def test_an_app_accepts_a_state_in_memory(contract: Contract) -> None:
    with UsageMock(make_app(contract, state=MemoryState())) as mock:
        assert usage(mock.url, mock.api_key).status == 200


def test_a_mock_that_failed_to_start_repeats_the_reason() -> None:
    async def caller(port: int) -> None:
        mock = AsyncUsageMock(port=port)
        with pytest.raises(OSError, match="in use"):
            await mock.__aenter__()
        for again in (mock.__aenter__, mock.freeze):
            with pytest.raises(RuntimeError, match=r"not be started \(cannot listen on .* in use\); create a new"):
                await again()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        asyncio.run(caller(port))
        mock = UsageMock(port=port)
        with pytest.raises(OSError, match="in use"):
            mock.start()
        with pytest.raises(RuntimeError, match="could not be started"):
            mock.start()


def test_a_call_before_the_start_raises() -> None:
    mock, in_loop = UsageMock(), AsyncUsageMock()
    readers = [call for each in (mock, in_loop) for call in (each.requests_of, each.verify, each.assert_well_behaved)]
    for call in (lambda: mock.use("fresh"), lambda: mock.requests, lambda: in_loop.requests, *readers):
        with pytest.raises(RuntimeError, match="not running"):
            call()


def test_the_journal_can_be_read_after_the_end() -> None:
    with UsageMock() as mock:
        usage(mock.url, mock.api_key)
    mock.verify(exactly=1)
    mock.assert_well_behaved()
    assert len(mock.requests) == len(mock.requests_of()) == 1


def test_a_call_after_the_end_raises() -> None:
    with UsageMock() as mock:
        pass
    for again in (mock.start, lambda: mock.use("fresh")):
        with pytest.raises(RuntimeError, match="cannot be restarted; create a new one"):
            again()


def test_an_async_mock_can_be_used_only_while_it_runs() -> None:
    async def caller() -> None:
        mock = AsyncUsageMock()
        with pytest.raises(RuntimeError, match="not running"):
            await mock.use("fresh")
        async with mock:
            await mock.use("fresh")
        with pytest.raises(RuntimeError, match="cannot be restarted"):
            await mock.make_key()
        with pytest.raises(RuntimeError, match="cannot be restarted"):
            await mock.__aenter__()

    asyncio.run(caller())


def test_an_async_mock_leaves_no_task() -> None:
    async def caller() -> None:
        before = asyncio.all_tasks()
        async with AsyncUsageMock(delay="3600", grace=0) as mock:
            _, writer = await asyncio.open_connection(*address(mock.url))
            writer.write(b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\n\r\n")
            await mock.make_key()
            writer.close()
            await writer.wait_closed()
        assert asyncio.all_tasks() == before

    asyncio.run(caller())
