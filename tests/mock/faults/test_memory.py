"""The state of a fault between requests: slots, counts and buckets."""

from __future__ import annotations

import asyncio
import socket
import threading

from mock_server import UsageMock, load_fault, make_app
from mock_server.options import MockOptions
from mock_server.web.fault_injector import MAX_SLOTS
from mock_server.web.mock import MOCK
from tests.support.wire import KEY, TIMEOUT, Clock, Response, address, send_request, usage
from usage_contract import Contract

from .served import BUSY_TOTAL, MODEST_TOTAL, OK, REQUEST, Serve, modest_metrics, read_all


def test_a_slot_of_a_connection_is_not_shared_with_another_connection(serve: Serve) -> None:
    url = serve(f"{OK}, store: '{{connection}}'", "when: {status: [401]}, recall: '{connection}'")
    no_key = b"GET /usage HTTP/1.1\r\nHost: x\r\n\r\n"
    for _ in range(2):
        with socket.create_connection(address(url), TIMEOUT) as connection:
            for request, status in ((no_key, b"401"), (REQUEST, b"200"), (no_key, b"200")):
                connection.sendall(request)
                assert connection.recv(1 << 16)[9:12] == status


def test_a_slot_of_a_target_is_shared_by_all_clients(serve: Serve) -> None:
    url = serve("recall: '{target}'", f"{OK}, store: '{{target}}'")
    assert usage(url, "demo-modest").json["api_key"] == "demo-modest"
    assert usage(url, "demo-busy").json["api_key"] == "demo-modest"
    assert send_request(url, "/usage?other").status == 401


def test_the_oldest_slot_is_dropped_first(serve: Serve) -> None:
    url = serve("recall: '{target}'", "store: '{target}'")
    for key in ("demo-modest", "demo-busy", "demo-modest"):
        assert send_request(url, f"/usage?{key}", [(KEY, key)]).status == 200
    others = [b"GET /usage?%d HTTP/1.1\r\nHost: x\r\n" % number for number in range(MAX_SLOTS - 1)]
    with socket.create_connection(address(url), TIMEOUT) as connection:
        connection.sendall(b"\r\n".join(others) + b"Connection: close\r\n\r\n")
        assert read_all(connection).count(b"HTTP/1.1 401") == MAX_SLOTS - 1
    assert send_request(url, "/usage?demo-modest").status == 200
    assert send_request(url, "/usage?demo-busy").status == 401


def test_concurrent_clients_get_the_response_of_the_last_one(serve: Serve) -> None:
    waiting, second = threading.Event(), asyncio.Event()

    async def sleep(_: float) -> None:
        if waiting.is_set():
            second.set()
        waiting.set()
        await second.wait()

    url = serve(f"{OK}, store: shared", f"{OK}, wait: 1, recall: shared", sleep=sleep)
    with socket.create_connection(address(url), TIMEOUT) as connection:
        connection.sendall(REQUEST)
        assert waiting.wait(TIMEOUT)
        assert usage(url, "demo-busy").json["total"] == BUSY_TOTAL
        assert b'"total":804982' in connection.recv(1 << 16)
    assert modest_metrics(url)["total"] == MODEST_TOTAL


def test_keys_can_share_a_bucket(serve: Serve) -> None:
    url = serve(more="buckets: [{keys: [demo-modest, demo-busy], burst: 3}]")
    keys = ["demo-modest", "demo-busy", "demo-modest", "demo-busy", "demo-fresh"]
    assert [usage(url, key).status for key in keys] == [200, 200, 200, 429, 200]


def test_the_bucket_of_a_fault_applies_only_to_the_requests_of_the_fault(contract: Contract) -> None:
    fault = load_fault("bucket-holds-fewer-tokens-than-remaining")
    with UsageMock(make_app(contract, MockOptions(fault=f"{fault.name}@2"), clock=Clock(), fault=fault)) as mock:
        assert [modest_metrics(mock.url)["rate_limit"]["remaining"] for _ in range(3)] == [9, 4 + 5, 8]
        mock.fail("bucket-holds-half-of-its-burst", after=1, times=1)
        left = [modest_metrics(mock.url)["rate_limit"]["remaining"] for _ in range(3)]
        assert left == [7, 4, 6]


def test_a_fault_that_is_set_again_has_a_new_state(contract: Contract) -> None:
    app, keys = make_app(contract, MockOptions(rate_limit=False)), ("demo-busy", "demo-modest")
    with UsageMock(app) as mock:
        for _ in range(3):
            for key in keys:
                mock.fail("usage-requests-count-in-total", key)
            first, later = ([usage(mock.url, key).json["total"] for key in keys] for _ in range(2))
            assert [first, later] == [[BUSY_TOTAL + 2, MODEST_TOTAL + 2], [BUSY_TOTAL + 4, MODEST_TOTAL + 4]]
        assert len(app[MOCK].injectors._injectors) == 2


def test_a_bucket_refills_more_slowly_than_stated(serve: Serve, clock: Clock) -> None:
    url = serve(more="buckets: [{keys: [demo-modest], rps: 0.5, burst: 1}]")
    states: list[tuple[Response, float]] = [(usage(url, "demo-modest"), clock.now)]
    for _ in range(3):
        clock.now += 1
        states.append((usage(url, "demo-modest"), clock.now))
    assert [response.status for response, _ in states] == [200, 429, 200, 429]
    assert states[0][0].json["rate_limit"] == {"rps": 10.0, "burst": 10, "remaining": 0.0}


def test_the_same_requests_get_the_same_responses(serve: Serve) -> None:
    steps = (
        f"{OK}, patch: [{{op: drift, path: /total, by: 1}}]",
        "when: {every: 3}, status: 503",
        "recall: '{target}'",
        "when: {after: 2, every: 4}, store: '{target}'",
    )
    keys = ["demo-modest", "demo-busy", "nobody", "demo-fresh"] * 6

    def statuses_and_bodies() -> list[tuple[int, bytes]]:
        url = serve(*steps)
        return [(response.status, response.body) for response in (usage(url, key) for key in keys)]

    assert statuses_and_bodies() == statuses_and_bodies()
