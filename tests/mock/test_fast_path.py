"""A repeated request on a connection gets the same response as on a new one, after any change of the mock."""

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
from tests.support.wire import KEY, TIMEOUT, Clock, Response, address, send
from usage_contract import Contract

from .test_document import renamed

FRESH, BUSY, MODEST, UNKNOWN = "demo-fresh", "demo-busy", "demo-modest", "nobody"


def usage_request(key: str, *more: str) -> bytes:
    fields = [f"{KEY}: {key}", *more]
    return "\r\n".join(["GET /usage HTTP/1.1", "Host: localhost", *fields, "", ""]).encode()


class KeptConnection:
    """A connection that stays open."""

    def __init__(self, url: str) -> None:
        self.socket = socket.create_connection(address(url), TIMEOUT)
        self._file = self.socket.makefile("rb")  # it may contain more than one response

    def request(self, *pieces: bytes) -> Response:
        for piece in pieces:
            self.socket.sendall(piece)
        return self.response(has_body=not b"".join(pieces).startswith(b"HEAD"))

    def response(self, *, has_body: bool = True) -> Response:
        status = int(self._file.readline().split()[1])
        headers = http.client.parse_headers(self._file)
        return Response(status, headers, self._file.read(int(headers["Content-Length"])) if has_body else b"")

    def close(self) -> None:
        self._file.close()
        self.socket.close()


def kept(url: str) -> contextlib.closing[KeptConnection]:
    return contextlib.closing(KeptConnection(url))


@pytest.fixture
def repeating(limited: UsageMock) -> Iterator[KeptConnection]:
    """A connection that has sent the same request twice."""
    with kept(limited.url) as connection:
        for _ in range(2):
            assert connection.request(usage_request(BUSY)).status == 200
        yield connection


def test_each_request_takes_a_token_until_the_bucket_is_empty(repeating: KeptConnection) -> None:
    assert [repeating.request(usage_request(BUSY)).json["rate_limit"]["remaining"] for _ in range(8)] == [
        7,
        6,
        5,
        4,
        3,
        2,
        1,
        0,
    ]
    over = repeating.request(usage_request(BUSY))
    assert (over.status, over.headers["Retry-After"]) == (429, "1")


def test_tokens_are_restored(repeating: KeptConnection, clock: Clock) -> None:
    clock.now += 0.1
    assert repeating.request(usage_request(BUSY)).json["rate_limit"]["remaining"] == 8


def test_another_key_gets_its_own_usage_metrics(repeating: KeptConnection) -> None:
    assert repeating.request(usage_request(MODEST)).json["api_key"] == MODEST
    assert repeating.request(usage_request(FRESH)).json["total"] == 0
    assert repeating.request(usage_request(UNKNOWN)).status == 403
    assert repeating.request(usage_request(BUSY)).json["api_key"] == BUSY


@pytest.mark.parametrize("key", ["", " ", "demo-busy, demo-busy", "é", "demo-busy\r\nX-API-Key: demo-busy"])
def test_a_request_with_an_unusual_key_takes_the_ordinary_path(
    repeating: KeptConnection, limited: UsageMock, key: str
) -> None:
    assert repeating.request(usage_request(key)).status == send(limited.url, usage_request(key)).status


def test_an_additional_header_field_is_honoured(repeating: KeptConnection) -> None:
    assert repeating.request(usage_request(BUSY, "Prefer: code=503")).status == 503
    assert repeating.request(usage_request(f"{BUSY}\r\nPrefer: code=503")).status == 503


def test_an_override_between_two_requests_applies(repeating: KeptConnection, limited: UsageMock) -> None:
    limited.answer(503, BUSY)
    assert repeating.request(usage_request(BUSY)).status == 503
    assert repeating.request(usage_request(MODEST)).status == 200
    limited.reset()
    limited.fail("fail-is-negative")
    assert repeating.request(usage_request(BUSY)).json["fail"] < 0


def write_swapping_fault(folder: Path) -> None:
    """Write a deployment with two keys, and a fault that replaces one key by the other."""
    files = {
        "deployments/default.yaml": f"description: Two keys.\nkeys: {{ {BUSY}: {{}}, {MODEST}: {{}} }}\n",
        "faults/swapped.yaml": "description: One key is read for the other.\nbreaks: [auth/similar-key-is-refused]\n"
        f"received: [{{ op: replace, pattern: {BUSY}, with: {MODEST} }}]\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir()
        (folder / name).write_text(text)


def test_a_fault_that_edits_received_bytes_applies(tmp_path: Path) -> None:
    write_swapping_fault(tmp_path)
    with UsageMock(fixtures=tmp_path) as mock, kept(mock.url) as connection:
        for _ in range(2):
            assert connection.request(usage_request(BUSY)).json["api_key"] == BUSY
        mock.fail("swapped", MODEST)
        assert connection.request(usage_request(BUSY)).json["api_key"] == MODEST


def test_edited_bytes_are_not_a_template_for_later_requests(tmp_path: Path) -> None:
    write_swapping_fault(tmp_path)
    with UsageMock(fixtures=tmp_path) as mock, kept(mock.url) as connection:
        mock.fail("swapped", BUSY)
        for _ in range(2):
            assert connection.request(usage_request(BUSY)).json["api_key"] == MODEST
        mock.reset()
        assert connection.request(usage_request(BUSY)).json["api_key"] == BUSY


def test_the_next_response_includes_recorded_traffic(repeating: KeptConnection, limited: UsageMock) -> None:
    before = repeating.request(usage_request(BUSY)).json["total"]
    limited.record("shop.example", requests=5, key=BUSY)
    assert repeating.request(usage_request(BUSY)).json["total"] == before + 5


def test_a_request_in_pieces_is_one_request(repeating: KeptConnection) -> None:
    request = usage_request(BUSY)
    for cut in (1, 20, len(request) - 1):
        assert repeating.request(request[:cut], request[cut:]).status == 200


def test_pipelined_requests_are_handled_in_order(repeating: KeptConnection) -> None:
    assert repeating.request(usage_request(BUSY) + usage_request(MODEST) + usage_request(BUSY)).json["api_key"] == BUSY
    assert [repeating.response().json["api_key"] for _ in range(2)] == [MODEST, BUSY]


def test_repeated_pairs_of_requests_get_two_responses_each(limited: UsageMock) -> None:
    with kept(limited.url) as connection:
        for _ in range(2):
            assert connection.request(usage_request(BUSY) + usage_request(MODEST)).json["api_key"] == BUSY
            assert connection.response().json["api_key"] == MODEST


def test_a_body_that_looks_like_its_request_is_not_a_request(limited: UsageMock) -> None:
    head = usage_request(BUSY, f"Content-Length: {len(usage_request(BUSY, 'Content-Length: 99'))}")
    with kept(limited.url) as connection:
        assert connection.request(head).json["api_key"] == BUSY
        connection.socket.sendall(head)  # its body
        assert connection.request(usage_request(MODEST)).json["api_key"] == MODEST


def test_a_pipelined_request_is_not_confused_with_the_previous_one(contract: Contract) -> None:
    app = make_app(contract)
    preferring = usage_request(BUSY, "Prefer: code=503")
    with UsageMock(app) as mock, kept(mock.url) as connection:
        assert connection.request(preferring).status == 503
        receive(mock, app, usage_request(BUSY), preferring)
        assert [connection.response().status for _ in range(2)] == [200, 503]
        assert connection.request(preferring).status == 503


def test_the_end_of_a_request_is_not_a_request(contract: Contract) -> None:
    app = make_app(contract)
    beginning, end = usage_request(BUSY, "X-Note: GET it")[:-10], b"GET it\r\n\r\n"
    with UsageMock(app) as mock, kept(mock.url) as connection:
        assert connection.request(usage_request(BUSY)).status == 200
        receive(mock, app, beginning, end)
        assert connection.response().json["api_key"] == BUSY
        assert connection.request(end).status == 400


def receive(mock: UsageMock, app: web.Application, *pieces: bytes) -> None:
    """Deliver pieces to the mock's only connection in one iteration of its loop, which a network cannot guarantee."""
    (receiver,) = app[MOCK]._listeners[0].server.connections  # type: ignore[attr-defined]  # it is a Listener

    def deliver() -> None:
        for piece in pieces:
            receiver.data_received(piece)

    mock._running_loop().call_soon_threadsafe(deliver)


def test_a_replaced_document_applies_to_the_next_request(contract: Contract) -> None:
    app = make_app(contract)
    with UsageMock(app) as mock, kept(mock.url) as connection:
        for _ in range(2):
            assert connection.request(usage_request(BUSY)).status == 200
        asyncio.run(
            _swap(app[MOCK], read_files(renamed(contract, "/usage", "/figures"), MockOptions(), app[MOCK].simulator))
        )
        assert connection.request(usage_request(BUSY)).status == 404


async def _swap(mock: Mock, files: tuple[Library, Routes]) -> None:
    mock.swap_fixtures(*files)


def test_the_journal_contains_each_repeated_request(limited: UsageMock, repeating: KeptConnection) -> None:
    repeating.request(usage_request(UNKNOWN))
    entries = [(entry.number, entry.method, entry.target, entry.key, entry.status) for entry in limited.requests]
    assert entries == [
        (1, "GET", "/usage", BUSY, 200),
        (2, "GET", "/usage", BUSY, 200),
        (3, "GET", "/usage", UNKNOWN, 403),
    ]


REQUESTS = st.sampled_from(
    [
        *(usage_request(key) for key in (BUSY, BUSY, MODEST, FRESH, UNKNOWN, "", "a b", "x" * 2000)),
        usage_request(BUSY, "Prefer: code=404"),
        usage_request(BUSY, "Expect: x"),
        usage_request(BUSY).replace(b"X-API-Key", b"x-api-key"),
        usage_request(BUSY).replace(b"GET", b"HEAD"),
        usage_request(BUSY).replace(b"GET", b"POST"),
        usage_request(BUSY).replace(b"/usage", b"/usage?a"),
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
            on_kept_connection = connection.request(*filter(None, (request[:cut], request[cut:])))
            with kept(unlimited.url) as other:  # a first request takes the ordinary path
                on_new_connection = other.request(request)
            assert comparable(on_kept_connection) == comparable(on_new_connection)
    unlimited.reset()


def comparable(response: Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return the parts of a response without its Date."""
    return response.status, [(name, value) for name, value in response.headers.items() if name != "Date"], response.body
