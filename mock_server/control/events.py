"""Changes of the journal and the state as server-sent events (HTML, section 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import orjson
from aiohttp import ClientConnectionError, web

from mock_server.control.context import SAME_SITE, Call, Context, Operate
from mock_server.control.entry_views import summary_views
from mock_server.control.views import state_view
from mock_server.journal.entry import Entry
from mock_server.web.responses import SERVER

# The seconds between two checks of one stream.
PERIOD = 0.2

# The number of entries in one write, which bounds the memory for a client that does not read.
BATCH = 100

# The number of periods without an event after which a comment is sent: it detects a client that has gone.
QUIET_PERIODS = 75

HEADERS = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", "Server": SERVER, **SAME_SITE}


async def get_events(context: Context, call: Call) -> web.StreamResponse:
    """Send changes until the client closes the connection or the mock stops."""
    response = web.StreamResponse(headers=HEADERS)
    await response.prepare(call.request)
    if call.request.method == "GET":
        context.listeners.add(call.request.protocol)
        try:
            await _send_events(context, call, response)
        except (ConnectionError, ClientConnectionError):  # the client has closed the connection
            pass
        finally:
            context.listeners.remove(call.request.protocol)
    return response


async def _send_events(context: Context, call: Call, response: web.StreamResponse) -> None:
    last, version, quiet = int(call.query.get("since", context.mock.journal.number)), 0, 0
    received = call.request.headers.get("Last-Event-ID", "")
    if received.isascii() and received.isdecimal() and len(received) < 16:
        last = int(received)
    while not context.stopping.is_set() and call.request.transport:  # None once the client has gone
        state = await context.broadcast.state(partial(_state, context))
        if context.stopping.is_set():  # since the state was requested; a write could wait for the client for ever
            return
        entries = context.mock.journal.since(last, BATCH)
        events = [*([state.event] if state.version != version else []), *_entry_events(context, entries)]
        version, quiet = state.version, 0 if events else quiet + 1
        if events or quiet % QUIET_PERIODS == 0:
            await response.write(b"".join(events) or b": quiet\n\n")
        if entries:
            last = entries[-1].number
        if len(entries) < BATCH:
            with suppress(TimeoutError):
                await asyncio.wait_for(context.stopping.wait(), PERIOD)


async def _state(context: Context) -> tuple[object, bytes]:
    """Return the part of the state that does not change with time alone, and the event with the whole state."""
    state, clock = await state_view(context), context.simulator.clock
    time_shown = clock() if clock.is_frozen else round(clock() - clock.base(), 1)
    return {**state, "uptime": None, "clock": (clock.is_frozen, time_shown)}, _event("state", state)


def _entry_events(context: Context, entries: Sequence[Entry]) -> list[bytes]:
    """Return the events of entries, which all streams share."""
    known = context.broadcast.entries
    for view in summary_views(context, [entry for entry in entries if entry.number not in known]):
        known[view["number"]] = _event("request", view, view["number"])
    events = [known[entry.number] for entry in entries]
    while len(known) > context.mock.journal.capacity:
        del known[next(iter(known))]
    return events


def _event(name: str, data: dict[str, Any], number: int | None = None) -> bytes:
    identifier = b"" if number is None else b"id: %d\n" % number
    return b"%bevent: %b\ndata: %b\n\n" % (identifier, name.encode(), orjson.dumps(data))


OPERATIONS: tuple[Operate, ...] = (get_events,)
