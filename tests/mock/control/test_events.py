"""The stream of events: its contents, its order and its end."""

from __future__ import annotations

import asyncio
import socket
import threading

from mock_server import UsageMock, make_app
from mock_server.masking import mask_key
from mock_server.options import MockOptions
from mock_server.web.server import listening
from tests.support.control_api import Api
from tests.support.wire import TIMEOUT, Clock, address, send_request, usage
from usage_contract import Contract

BUSY = "demo-busy"


def test_the_state_is_sent_first_and_each_request_as_it_is_received(api: Api, limited: UsageMock) -> None:
    usage(limited.url, BUSY)
    with api.events() as events:
        name, state = next(events)
        assert (name, state["keys"][0]["tokens"]) == ("state", 9)
        usage(limited.url, BUSY, "HEAD")
        received = dict([next(events), next(events)])
        assert (received["request"]["number"], received["request"]["key"]) == (2, mask_key(BUSY))
        assert received["state"]["keys"][0]["tokens"] == 8


def test_a_refilling_bucket_is_an_event(api: Api, limited: UsageMock, clock: Clock) -> None:
    usage(limited.url, BUSY)
    with api.events() as events:
        assert next(events)[1]["keys"][0]["tokens"] == 9
        clock.now += 0.1
        assert next(events)[1]["keys"][0]["tokens"] == 10


def test_a_new_override_is_an_event(api: Api) -> None:
    with api.events() as events:
        next(events)
        api.do("PATCH", "/behaviour", {"key": BUSY, "code": 503})
        assert next(events)[1]["keys"][0]["effective"]["code"] == 503


def test_an_adjusted_clock_is_an_event(api: Api) -> None:
    with api.events() as events:
        next(events)
        api.do("PATCH", "/clock", {"advance": 60})
        assert next(events)[1]["clock"]["now"] == 1060


def test_no_event_is_sent_without_a_change(api: Api) -> None:
    with api.events() as events:
        next(events)
        api.do("PATCH", "/clock", {"frozen": True})
        assert next(events)[1]["clock"]["frozen"] is True
        api.do("PATCH", "/behaviour", {"delay": "0.001"})
        name, state = next(events)
        assert (name, state["everyone"]["delay"]) == ("state", "0.001")


def test_a_stream_continues_after_the_last_received_event(api: Api, limited: UsageMock) -> None:
    for _ in range(3):
        usage(limited.url, BUSY)
    with api.events("?since=0", {"Last-Event-ID": "1"}) as events:
        next(events)
        assert [next(events)[1]["number"] for _ in range(2)] == [2, 3]
    with api.events("?since=0", {"Last-Event-ID": "no number"}) as events:
        next(events)
        assert [next(events)[1]["number"] for _ in range(3)] == [1, 2, 3]


def test_events_disclose_no_key(api: Api, limited: UsageMock) -> None:
    made = limited.make_key()
    usage(limited.url, made)
    with api.events("?since=0") as events:
        assert made not in str([next(events), next(events)])


def test_an_event_is_the_summary_of_an_entry(api: Api, limited: UsageMock) -> None:
    usage(limited.url, BUSY)
    with api.events("?since=0") as events:
        next(events)
        assert [next(events)[1]] == api.get("/journal?detail=summary")["entries"]


def test_the_stream_ends_when_the_mock_closes() -> None:
    before = set(threading.enumerate())
    with UsageMock() as mock:
        listener = socket.create_connection(address(mock.url), 5)
        listener.sendall(b"GET /__mock__/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        response = listener.makefile("rb")
        assert response.readline() == b"HTTP/1.1 200 OK\r\n"
    with listener, response:
        assert response.read().endswith(b"0\r\n\r\n")
    assert set(threading.enumerate()) == before


def test_a_listener_that_does_not_read_does_not_prevent_a_close() -> None:
    mock = UsageMock(grace=3600).start()
    closing = threading.Thread(target=mock.close)
    with socket.create_connection(address(mock.url), TIMEOUT) as listener:
        for number in range(1000):
            send_request(mock.url, f"/usage?{number:08000}")
        listener.sendall(b"GET /__mock__/events?since=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        listener.recv(1)  # the mock is sending megabytes that the client does not read
        closing.start()
        closing.join(TIMEOUT)
        assert not closing.is_alive()


def test_the_task_of_a_disconnected_listener_ends(contract: Contract) -> None:
    async def listen_and_disconnect() -> set[asyncio.Task[None]]:
        async with listening(make_app(contract), MockOptions(port=0)) as listener:
            before = asyncio.all_tasks()
            reader, writer = await asyncio.open_connection(*address(listener.url))
            writer.write(b"GET /__mock__/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readline()
            serving = asyncio.all_tasks() - before
            writer.close()
            _, unfinished = await asyncio.wait(serving, timeout=TIMEOUT)
            return unfinished

    assert asyncio.run(listen_and_disconnect()) == set()


def test_a_head_request_for_the_stream_ends_at_once(api: Api) -> None:
    assert api.request("HEAD", "/events").headers["Content-Type"] == "text/event-stream"
