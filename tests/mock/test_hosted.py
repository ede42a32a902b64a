"""UsageMock: what it starts, and that nothing of it stays."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from pathlib import Path

import pytest
from aiohttp import web

from mock_server import UsageMock, load_deployment, make_app
from usage_contract import Contract

from .wire import address, ask, usage

OPEN_FILES = Path("/dev/fd")


def test_without_an_app_it_serves_the_default_deployment() -> None:
    with UsageMock() as mock:
        assert mock.keys == ("demo-busy", "demo-modest", "demo-fresh")
        assert [usage(mock.url, key).status for key in mock.keys] == [200, 200, 200]


def test_two_mocks_have_two_ports_and_two_buckets() -> None:
    with UsageMock() as one, UsageMock() as other:
        assert one.url != other.url
        usage(one.url, "demo-busy")
        assert usage(other.url, "demo-busy").json["rate_limit"]["remaining"] == 9.0


def test_its_thread_is_no_daemon_and_ends_with_it() -> None:
    before = set(threading.enumerate())
    with UsageMock():
        [thread] = set(threading.enumerate()) - before
        assert not thread.daemon
    assert set(threading.enumerate()) == before


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="needs a folder of open files")
def test_it_leaves_no_socket_behind(contract: Contract) -> None:
    def serve() -> None:
        with UsageMock(make_app(contract, load_deployment())) as mock:
            ask(mock.url)

    serve()  # what is imported and cached on first use stays open
    before = len(list(OPEN_FILES.iterdir()))
    for _ in range(5):
        serve()
    assert len(list(OPEN_FILES.iterdir())) == before


def test_nobody_listens_once_it_is_closed() -> None:
    with UsageMock() as mock:
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address(mock.url))


def test_it_may_be_closed_twice_or_before_it_starts() -> None:
    mock = UsageMock()
    mock.close()
    mock.start()
    mock.close()
    mock.close()


def test_what_keeps_an_app_from_starting_is_raised_to_the_caller() -> None:
    async def fail(_: web.Application) -> None:
        raise LookupError("no such thing")

    before = set(threading.enumerate())
    app = make_app_that(fail)
    with pytest.raises(LookupError, match="no such thing"):
        UsageMock(app).start()
    assert set(threading.enumerate()) == before


def make_app_that(runs: object) -> web.Application:
    app = web.Application()
    app.on_startup.append(runs)  # type: ignore[arg-type]  # any coroutine function with one argument
    return app


def test_it_starts_and_stops_within_a_tenth_of_a_second(contract: Contract) -> None:
    starts, stops = [], []
    for _ in range(5):
        mock = UsageMock(make_app(contract, load_deployment()))
        begun = time.perf_counter()
        mock.start()
        starts.append(time.perf_counter() - begun)
        ask(mock.url)
        begun = time.perf_counter()
        mock.close()
        stops.append(time.perf_counter() - begun)
    # The best of several runs: the others measure the machine.
    assert min(starts) < 0.1
    assert min(stops) < 0.1


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
def test_an_open_connection_does_not_keep_it_from_stopping(contract: Contract, unfinished: bytes) -> None:
    stops = []
    for _ in range(3):
        with UsageMock(make_app(contract, load_deployment())) as mock:
            connection = socket.create_connection(address(mock.url))
            connection.sendall(unfinished)
            ask(mock.url)
            begun = time.perf_counter()
            mock.close()
            stops.append(time.perf_counter() - begun)
            connection.close()
    assert min(stops) < 0.1


def test_it_serves_while_the_caller_runs_a_loop_of_its_own() -> None:
    async def caller() -> int:
        with UsageMock() as mock:
            return (await asyncio.to_thread(usage, mock.url, "demo-busy")).status

    assert asyncio.run(caller()) == 200
