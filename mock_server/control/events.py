"""The journal and the state as they change, as server-sent events (HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import orjson
from aiohttp import ClientConnectionError, web

from mock_server.control.context import ALWAYS, Call, Context, Operate
from mock_server.control.views import entry_views, state_view

# How often it is looked whether something changed. Whatever the number of keys, looking takes a twentieth of the time.
PERIOD = 0.2
REST = 19

# A comment now and then: whoever has gone without a word is noticed by it.
QUIET_PERIODS = 75

HEADERS = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", **ALWAYS}


async def get_events(context: Context, call: Call) -> web.StreamResponse:
    """Answer with what changes, until the client has enough or the mock ends."""
    response = web.StreamResponse(headers=HEADERS)
    await response.prepare(call.request)
    if call.request.method == "GET":
        context.listeners.add(call.request.protocol)
        try:
            await _tell(context, call, response)
        except (ConnectionError, ClientConnectionError):  # the client had enough
            pass
        finally:
            context.listeners.remove(call.request.protocol)
    return response


async def _tell(context: Context, call: Call, response: web.StreamResponse) -> None:
    feed = Feed(context, call)
    while not context.stopping.is_set() and call.request.transport:  # none once the client has gone
        started = time.monotonic()
        text = await feed.news()
        spent = time.monotonic() - started
        if text:
            await response.write(text)
        await _pause(context.stopping, max(PERIOD, REST * spent))


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)


class Feed:
    """What one listener has not been told yet."""

    def __init__(self, context: Context, call: Call) -> None:
        self._context, self._seen = context, _first(context, call)
        self._request = call.request
        self._known: dict[str, Any] | None = None
        self._quiet = 0

    async def news(self) -> bytes:
        """Return the events of what changed since the last call; empty where nothing did."""
        journal = self._context.simulator.journal
        entries = journal.since(self._seen)
        self._seen = journal.number
        views = entry_views(self._context, entries, self._request)
        events = [_event("request", view, view["number"]) for view in views]
        state = await state_view(self._context)
        if (lasting := self._lasting(state)) != self._known:
            self._known = lasting
            events.insert(0, _event("state", state))
        self._quiet = 0 if events else self._quiet + 1
        return b"".join(events) or (b": quiet\n\n" if self._quiet % QUIET_PERIODS == 0 else b"")

    def _lasting(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return what of a state does not change by itself from one moment to the next."""
        clock = self._context.simulator.clock
        time_told = clock() if clock.is_frozen else round(clock() - clock.base(), 1)
        return {**state, "uptime": None, "clock": (clock.is_frozen, time_told)}


def _first(context: Context, call: Call) -> int:
    number = call.request.headers.get("Last-Event-ID", "")
    if number.isascii() and number.isdecimal() and len(number) < 16:
        return int(number)
    return int(call.query.get("since", context.simulator.journal.number))


def _event(name: str, data: dict[str, Any], number: int | None = None) -> bytes:
    place = b"" if number is None else b"id: %d\n" % number
    return b"%bevent: %b\ndata: %b\n\n" % (place, name.encode(), orjson.dumps(data))


OPERATIONS: tuple[Operate, ...] = (get_events,)
