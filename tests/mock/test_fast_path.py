"""A repeated request on a connection has the same response as on a new connection, after any change of the mock."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server import UsageMock, make_app
from mock_server.app import read_files
from mock_server.fixtures.library import Library
from mock_server.options import MockOptions
from mock_server.web.mock import MOCK, Mock
from mock_server.web.routes import Routes
from tests.support.wire import KEY, TIMEOUT, Clock, Reply, address, send
from usage_contract import Contract

from .test_document import renamed

FRESH, BUSY, MODEST, UNKNOWN = "demo-fresh", "demo-busy", "demo-modest", "nobody"


def plain(key: str, *more: str) -> bytes:
    fields = [f"{KEY}: {key}", *more]
    return "\r\n".join(["GET /usage HTTP/1.1", "Host: localhost", *fields, "", ""]).encode()


class Kept:
    """One connection that stays open."""

    def __init__(self, url: str) -> None:
        self.socket = socket.create_connection(address(url), TIMEOUT)
        self._file = self.socket.makefile("rb")  # it may hold more than one reply

    def ask(self, *pieces: bytes) -> Reply:
        for piece in pieces:
            self.socket.sendall(piece)
        return self.reply(has_body=not b"".join(pieces).startswith(b"HEAD"))

    def reply(self, *, has_body: bool = True) -> Reply:
        status = int(self._file.readline().split()[1])
        headers = http.client.parse_headers(self._file)
        return Reply(status, headers, self._file.read(int(headers["Content-Length"])) if has_body else b"")

    def close(self) -> None:
        self._file.close()
        self.socket.close()


def kept(url: str) -> contextlib.closing[Kept]:
    return contextlib.closing(Kept(url))


@pytest.fixture
def repeating(limited: UsageMock) -> Iterator[Kept]:
    """A connection that has asked the same twice."""
    with kept(limited.url) as connection:
        for _ in range(2):
            assert connection.ask(plain(BUSY)).status == 200
        yield connection


def test_each_takes_a_token_and_the_last_ones_meet_a_429(repeating: Kept) -> None:
    assert [repeating.ask(plain(BUSY)).json["rate_limit"]["remaining"] for _ in range(8)] == [7, 6, 5, 4, 3, 2, 1, 0]
    over = repeating.ask(plain(BUSY))
    assert (over.status, over.headers["Retry-After"]) == (429, "1")


def test_tokens_are_restored(repeating: Kept, clock: Clock) -> None:
    clock.now += 0.1
    assert repeating.ask(plain(BUSY)).json["rate_limit"]["remaining"] == 8


def test_another_key_gets_its_own_usage_metrics(repeating: Kept) -> None:
    assert repeating.ask(plain(MODEST)).json["api_key"] == MODEST
    assert repeating.ask(plain(FRESH)).json["total"] == 0
    assert repeating.ask(plain(UNKNOWN)).status == 403
    assert repeating.ask(plain(BUSY)).json["api_key"] == BUSY


@pytest.mark.parametrize("key", ["", " ", "demo-busy, demo-busy", "é", "demo-busy\r\nX-API-Key: demo-busy"])
def test_an_unusual_text_in_place_of_the_key_takes_the_ordinary_path(
    repeating: Kept, limited: UsageMock, key: str
) -> None:
    assert repeating.ask(plain(key)).status == send(limited.url, plain(key)).status


def test_one_more_field_is_seen(repeating: Kept) -> None:
    assert repeating.ask(plain(BUSY, "Prefer: code=503")).status == 503
    assert repeating.ask(plain(f"{BUSY}\r\nPrefer: code=503")).status == 503


def test_an_override_between_two_requests_applies(repeating: Kept, limited: UsageMock) -> None:
    limited.answer(503, BUSY)
    assert repeating.ask(plain(BUSY)).status == 503
    assert repeating.ask(plain(MODEST)).status == 200
    limited.reset()
    limited.fail("fail-is-negative")
    assert repeating.ask(plain(BUSY)).json["fail"] < 0


def write_swapping_fault(folder: Path) -> None:
    """Write a deployment, and a fault that reads one key instead of the other."""
    files = {
        "deployments/default.yaml": f"description: Two keys.\nkeys: {{ {BUSY}: {{}}, {MODEST}: {{}} }}\n",
        "faults/swapped.yaml": "description: One key is read for the other.\nbreaks: [auth/similar-key-is-refused]\n"
        f"received: [{{ op: replace, pattern: {BUSY}, with: {MODEST} }}]\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir()
        (folder / name).write_text(text)


def test_a_fault_of_received_bytes_acts(tmp_path: Path) -> None:
    write_swapping_fault(tmp_path)
    with UsageMock(fixtures=tmp_path) as mock, kept(mock.url) as connection:
        for _ in range(2):
            assert connection.ask(plain(BUSY)).json["api_key"] == BUSY
        mock.fail("swapped", MODEST)
        assert connection.ask(plain(BUSY)).json["api_key"] == MODEST


def test_edited_bytes_are_not_a_template_for_later_requests(tmp_path: Path) -> None:
    write_swapping_fault(tmp_path)
    with UsageMock(fixtures=tmp_path) as mock, kept(mock.url) as connection:
        mock.fail("swapped", BUSY)
        for _ in range(2):
            assert connection.ask(plain(BUSY)).json["api_key"] == MODEST
        mock.reset()
        assert connection.ask(plain(BUSY)).json["api_key"] == BUSY


def test_recorded_traffic_is_in_the_next_response(repeating: Kept, limited: UsageMock) -> None:
    before = repeating.ask(plain(BUSY)).json["total"]
    limited.record("shop.example", requests=5, key=BUSY)
    assert repeating.ask(plain(BUSY)).json["total"] == before + 5


def test_a_request_in_pieces_is_one_request(repeating: Kept) -> None:
    request = plain(BUSY)
    for cut in (1, 20, len(request) - 1):
        assert repeating.ask(request[:cut], request[cut:]).status == 200


def test_two_concurrent_requests_are_handled_in_turn(repeating: Kept) -> None:
    assert repeating.ask(plain(BUSY) + plain(MODEST) + plain(BUSY)).json["api_key"] == BUSY
    assert [repeating.reply().json["api_key"] for _ in range(2)] == [MODEST, BUSY]


def test_two_requests_at_once_are_two_once_more(limited: UsageMock) -> None:
    with kept(limited.url) as connection:
        for _ in range(2):
            assert connection.ask(plain(BUSY) + plain(MODEST)).json["api_key"] == BUSY
            assert connection.reply().json["api_key"] == MODEST


def test_a_body_that_looks_like_its_request_is_not_a_request(limited: UsageMock) -> None:
    head = plain(BUSY, f"Content-Length: {len(plain(BUSY, 'Content-Length: 99'))}")
    with kept(limited.url) as connection:
        assert connection.ask(head).json["api_key"] == BUSY
        connection.socket.sendall(head)  # its body
        assert connection.ask(plain(MODEST)).json["api_key"] == MODEST


def test_a_pipelined_request_is_not_confused_with_the_one_before(contract: Contract) -> None:
    app = make_app(contract)
    preferring = plain(BUSY, "Prefer: code=503")
    with UsageMock(app) as mock, kept(mock.url) as kept_open:
        assert kept_open.ask(preferring).status == 503
        receive(mock, app, plain(BUSY), preferring)
        assert [kept_open.reply().status for _ in range(2)] == [200, 503]
        assert kept_open.ask(preferring).status == 503


def test_the_end_of_a_request_is_not_a_request(contract: Contract) -> None:
    app = make_app(contract)
    beginning, end = plain(BUSY, "X-Note: GET it")[:-10], b"GET it\r\n\r\n"
    with UsageMock(app) as mock, kept(mock.url) as kept_open:
        assert kept_open.ask(plain(BUSY)).status == 200
        receive(mock, app, beginning, end)
        assert kept_open.reply().json["api_key"] == BUSY
        assert kept_open.ask(end).status == 400


def receive(mock: UsageMock, app: web.Application, *pieces: bytes) -> None:
    """Let the mock's only connection receive pieces in one tick, which no network can promise."""
    (connection,) = app[MOCK]._listeners[0].server.connections  # type: ignore[attr-defined]  # it is a Listener

    def in_one_tick() -> None:
        for piece in pieces:
            connection.data_received(piece)

    mock._running_loop().call_soon_threadsafe(in_one_tick)


def test_another_document_is_another_question(contract: Contract) -> None:
    app = make_app(contract)
    with UsageMock(app) as mock, kept(mock.url) as connection:
        for _ in range(2):
            assert connection.ask(plain(BUSY)).status == 200
        asyncio.run(
            _swap(app[MOCK], read_files(renamed(contract, "/usage", "/figures"), MockOptions(), app[MOCK].simulator))
        )
        assert connection.ask(plain(BUSY)).status == 404


async def _swap(mock: Mock, files: tuple[Library, Routes]) -> None:
    mock.swap_fixtures(*files)


def test_the_journal_has_all_of_them(limited: UsageMock, repeating: Kept) -> None:
    repeating.ask(plain(UNKNOWN))
    told = [(entry.number, entry.method, entry.target, entry.key, entry.status) for entry in limited.requests]
    assert told == [
        (1, "GET", "/usage", BUSY, 200),
        (2, "GET", "/usage", BUSY, 200),
        (3, "GET", "/usage", UNKNOWN, 403),
    ]


REQUESTS = st.sampled_from(
    [
        *(plain(key) for key in (BUSY, BUSY, MODEST, FRESH, UNKNOWN, "", "a b", "x" * 2000)),
        plain(BUSY, "Prefer: code=404"),
        plain(BUSY, "Expect: x"),
        plain(BUSY).replace(b"X-API-Key", b"x-api-key"),
        plain(BUSY).replace(b"GET", b"HEAD"),
        plain(BUSY).replace(b"GET", b"POST"),
        plain(BUSY).replace(b"/usage", b"/usage?a"),
        b"GET /usage HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]
)


# Changes between two requests of a connection.
CHANGES: dict[str, Callable[[UsageMock, str | None], None]] = {
    "nothing": lambda _, __: None,
    "a status code": lambda mock, key: mock.answer(503, key),
    "no status code": lambda mock, key: mock.answer(None, key),
    "a fault": lambda mock, key: mock.fail("body-is-null", key),
    "no fault": lambda mock, key: mock.fail(None, key),
    "a scenario": lambda mock, key: mock.use("heavy", key),
    "no scenario": lambda mock, key: mock.use(None, key),
    "traffic": lambda mock, _: mock.record("shop.example", key=BUSY),
    "a reset": lambda mock, key: mock.reset(key),
}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_response_of_the_fast_path_has_the_bytes_of_the_ordinary_path(
    unlimited: UsageMock, data: st.DataObject
) -> None:
    unlimited.reset()
    with kept(unlimited.url) as connection:
        for request in data.draw(st.lists(REQUESTS, min_size=2, max_size=8)):
            change = CHANGES[data.draw(st.sampled_from(["nothing", "nothing", *CHANGES]))]
            change(unlimited, data.draw(st.sampled_from([None, BUSY, MODEST])))
            cut = data.draw(st.one_of(st.just(0), st.integers(1, len(request) - 1)))
            on_kept_connection = connection.ask(*filter(None, (request[:cut], request[cut:])))
            with kept(unlimited.url) as other:  # a first request takes the ordinary path
                on_new_connection = other.ask(request)
            assert comparable(on_kept_connection) == comparable(on_new_connection)
    unlimited.reset()


def comparable(reply: Reply) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return a response without the time at which it was sent."""
    return reply.status, [(name, value) for name, value in reply.headers.items() if name != "Date"], reply.body
