"""UsageMock: its start, its methods, and the release of its resources."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from mock_server import AsyncUsageMock, UsageMock, make_app
from mock_server.simulation.state import MemoryState
from mock_server.testing.async_usage_mock import DOMAIN, STOPPED
from mock_server.web.server import CertificateError
from tests.support.control_api import Api
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


@pytest.fixture
def hosted() -> Iterator[UsageMock]:
    with UsageMock() as mock:
        yield mock


def test_a_created_key_is_not_affected_by_other_keys(hosted: UsageMock) -> None:
    mine = hosted.make_key()
    hosted.use("revoked", key=hosted.api_key)
    hosted.fail("connection-is-reset-in-the-body", key="demo-modest")
    hosted.record("shop.example", requests=4, failures=1, bytes=9, key=mine)
    metrics = usage(hosted.url, mine).json
    assert (metrics["total"], metrics["success_rate"], metrics["bytes_transferred"]) == (4, 75.0, 9)
    assert usage(hosted.url, hosted.api_key).status == 403
    assert [entry.status for entry in hosted.requests_of(mine)] == [200]


def test_a_fault_skips_and_then_changes_the_given_numbers_of_requests(hosted: UsageMock) -> None:
    hosted.fail("content-type-is-text", key="demo-modest", after=1, times=1)
    types = [usage(hosted.url, "demo-modest").headers["Content-Type"] for _ in range(3)]
    assert types == ["application/json", "text/plain; charset=utf-8", "application/json"]


def test_a_frozen_clock_advances_on_request(hosted: UsageMock) -> None:
    hosted.freeze()
    for _ in range(10):
        assert usage(hosted.url, hosted.api_key).status == 200
    assert usage(hosted.url, hosted.api_key).status == 429
    hosted.advance(0.1)
    assert usage(hosted.url, hosted.api_key).status == 200
    assert usage(hosted.url, hosted.api_key).status == 429
    hosted.resume()


@pytest.mark.skipif(not hasattr(time, "clock_gettime"), reason="needs a clock that no library replaces")
def test_the_mock_follows_the_real_clock_where_a_library_has_frozen_the_one_of_the_process(
    hosted: UsageMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage(hosted.url, hosted.api_key)
    for name in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: 3e9)
    usage(hosted.url, hosted.api_key)
    before, after = hosted.requests
    assert 0 < after.at - before.at < TIMEOUT
    assert 0 < after.seconds < TIMEOUT
    assert after.response.values("Date") == ["Sat, 24 Jan 2065 05:20:00 GMT"]


def test_one_status_can_be_set_for_all_requests(hosted: UsageMock) -> None:
    hosted.answer(503)
    assert usage(hosted.url, hosted.api_key).status == 503
    with pytest.raises(ValueError, match="'777' is not a status code of the mock; expected 200, 401, "):
        hosted.answer(777)


def test_responses_can_be_delayed(contract: Contract) -> None:
    waited = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    with UsageMock(make_app(contract, sleep=sleep)) as mock:
        for delay in (0.25, "7", "none", 0.00001, None):
            mock.delay(delay)
            usage(mock.url, mock.api_key)
    assert waited == [0.25, 7.0, 0.00001]


@pytest.mark.parametrize(
    ("do", "hint"),
    [
        (lambda mock: mock.use("throtled"), "did you mean 'throttled'?"),
        (lambda mock: mock.fail("connection-is-rest"), "did you mean 'connection-is-reset-in-the-body'?"),
        (lambda mock: mock.record("d.example", "fetsch"), "did you mean 'fetch'?"),
        (lambda mock: mock.use("fresh", key="nobody"), "the mock does not have this key; create it first"),
        (lambda mock: mock.use("fresh", key="demo-bsy"), "the mock does not have this key; did you mean demo-busy?"),
        (lambda mock: mock.record("d.example", key=""), "the mock does not have this key"),
        (lambda _: UsageMock(deployment="defualt"), "did you mean 'default'?"),
        (lambda _: UsageMock(fault="body-is-nul"), "did you mean 'body-is-null'?"),
        (lambda _: UsageMock(scenario="hevy"), "did you mean 'heavy'?"),
    ],
)
def test_an_unknown_name_is_reported_with_a_suggestion(
    hosted: UsageMock, do: Callable[[UsageMock], object], hint: str
) -> None:
    with pytest.raises(LookupError, match=re.escape(hint)):
        do(hosted)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e300])
def test_an_invalid_number_of_seconds_is_rejected(hosted: UsageMock, seconds: float) -> None:
    with pytest.raises(ValueError, match=r"seconds: .* is not valid; expected 0 to"):
        hosted.advance(seconds)


def test_the_clock_ends_at_the_last_date(hosted: UsageMock) -> None:
    api = Api(hosted.url)
    api.do("PATCH", "/clock", {"now": 10**11, "frozen": True})
    with pytest.raises(ValueError, match="the mock's time ends 100000000000 seconds after 1970"):
        hosted.advance(1)
    assert api.get("/clock")["now"] == 10**11


def test_usage_metrics_are_valid_after_any_advance(hosted: UsageMock) -> None:
    hosted.use("ageing")
    for _ in range(9):
        hosted.advance(10**10)
        assert usage(hosted.url, hosted.api_key).status == 200


def test_usage_metrics_that_would_not_be_exact_are_rejected(hosted: UsageMock) -> None:
    with pytest.raises(ValueError, match="would exceed 9007199254740991; reset the key"):
        hosted.record("d.example", requests=2**53 - 1)
    assert usage(hosted.url, hosted.api_key).status == 200


def test_traffic_of_a_revoked_key_is_rejected(hosted: UsageMock) -> None:
    hosted.use("revoked")
    with pytest.raises(LookupError, match="the key dem…0fd2c2 is revoked by its scenario"):
        hosted.record("d.example")


def test_none_removes_an_override(hosted: UsageMock) -> None:
    hosted.use("revoked")
    hosted.use("fresh", key="demo-busy")
    hosted.fail("body-is-null", key="demo-busy")
    assert usage(hosted.url, "demo-busy").body == b"null"
    hosted.fail(None, key="demo-busy")
    assert usage(hosted.url, "demo-busy").json["total"] == 0
    hosted.use(None, key="demo-busy")
    assert usage(hosted.url, "demo-busy").status == 403


@pytest.mark.parametrize("value", [True, [1]])
def test_seconds_are_a_number(hosted: UsageMock, value: Any) -> None:
    for do in (hosted.delay, hosted.advance):
        with pytest.raises(TypeError, match="is not a number of seconds"):
            do(value)
    with pytest.raises(TypeError, match="'1' is not a number of seconds"):
        hosted.advance("1")  # type: ignore[arg-type]  # the error under test


def test_a_fault_name_with_a_request_number_is_rejected_with_the_arguments(hosted: UsageMock) -> None:
    advice = re.escape("fail('body-is-sent-slowly', after=2, times=1) acts on request 3")
    with pytest.raises(ValueError, match=advice):
        hosted.fail("body-is-sent-slowly@3")
    with pytest.raises(ValueError, match="fault: 'body-is-sent-slowly@0' is not valid"):
        UsageMock(fault="body-is-sent-slowly@0")


def test_a_fault_acts_on_one_request_from_the_start() -> None:
    with UsageMock(fault="body-is-null@2") as mock:
        assert [usage(mock.url, mock.api_key).body == b"null" for _ in range(3)] == [False, True, False]


@pytest.mark.parametrize("counts", [{"after": -1}, {"times": 0}, {"after": 1.5}, {"times": True}])
def test_a_fault_with_invalid_counts_is_rejected(hosted: UsageMock, counts: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="is not a whole number from"):
        hosted.fail("body-is-null", **counts)


@pytest.mark.parametrize("name", ["use", "fail", "record"])
def test_a_name_is_a_text(hosted: UsageMock, name: str) -> None:
    with pytest.raises(TypeError, match="3 is not a text"):
        getattr(hosted, name)(3)


@pytest.mark.parametrize(("option", "value"), [("port", 99999), ("port", -1), ("grace", -1.0), ("grace", float("nan"))])
def test_an_invalid_port_or_time_is_rejected(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{option}: .* is not a"), UsageMock(**{option: value}):
        pass


def test_an_unknown_option_is_reported_with_a_suggestion() -> None:
    with pytest.raises(TypeError, match="is not an option; did you mean 'rate_limit'"):
        UsageMock(rate_limited=False)  # type: ignore[call-arg]  # the error under test


def test_paths_may_be_texts(tmp_path: Path) -> None:
    (tmp_path / "deployments").mkdir()
    (tmp_path / "deployments" / "default.yaml").write_text("description: d\nkeys: {only-key: {}}\n")
    with UsageMock(fixtures=str(tmp_path)) as mock:
        assert mock.keys == ("only-key",)
    with pytest.raises(CertificateError, match="cannot be read"):
        UsageMock(tls_cert=str(tmp_path / "no"), tls_key=str(tmp_path / "no"))


def test_impossible_traffic_is_rejected(hosted: UsageMock) -> None:
    with pytest.raises(ValueError, match="failures: 2 exceeds requests: 1"):
        hosted.record("d.example", requests=1, failures=2)
    with pytest.raises(TypeError, match=r"requests: 1\.5 is not a whole number"):
        hosted.record("d.example", requests=1.5)  # type: ignore[arg-type]  # the error under test
    with pytest.raises(ValueError, match=r"bytes: .* is not a whole number"):
        hosted.record("d.example", bytes=2**60)


def test_a_reset_clears_the_state_of_faults() -> None:
    with UsageMock(fault="total-is-a-text") as mock:  # changes one response in four
        made = mock.make_key()
        for _ in range(3):
            usage(mock.url, "demo-modest")
        mock.reset()
        assert (mock.requests, made in mock.keys) == ((), False)
        totals = [usage(mock.url, "demo-modest").json["total"] for _ in range(3)]
        assert [type(total) for total in totals] == [int, int, int]


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


def test_an_empty_host_is_not_every_address() -> None:
    with pytest.raises(ValueError, match="host: is empty; omit it for the default"):
        UsageMock(host="")


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


def kind(name: str, value: object) -> dict[str, Any]:
    return {name: value}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cors", "off"),
        ("rate_limit", "no"),
        ("port", "8080"),
        ("port", True),
        ("grace", "x"),
        ("tls_cert", 3),
        ("tls_key", ("cert.pem",)),
        ("seed", 1.5),
        ("scenario", 1),
        ("fault", [1]),
        ("deployment", 3),
        ("unknown_key_status", "401"),
    ],
)
def test_an_option_of_another_type_is_rejected(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=rf"^{name}: .+ is not valid; expected "):
        UsageMock(**kind(name, value))


def test_a_delay_may_be_a_number_from_the_start() -> None:
    with UsageMock(delay=0.0) as mock:
        assert usage(mock.url, mock.api_key).status == 200


def test_a_status_can_be_removed(hosted: UsageMock) -> None:
    hosted.use("throttled")
    hosted.answer(503)
    hosted.answer(None)
    assert usage(hosted.url, hosted.api_key).status == 429


def test_the_domain_of_traffic_is_a_host_name(hosted: UsageMock) -> None:
    with pytest.raises(ValueError, match="is not a host name"):
        hosted.record("https://shop.example/")


def test_fixtures_have_the_same_pattern_for_domains() -> None:
    schema = Path(__file__).parents[2] / "fixtures" / "deployment.schema.json"
    assert json.dumps(f"^{DOMAIN}$").rstrip('"') in schema.read_text()
