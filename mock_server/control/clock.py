"""The operations on the mock's clock."""

from __future__ import annotations

from aiohttp import web

from mock_server.control.context import Call, Context, Operate, json_response
from mock_server.control.views import clock_view
from mock_server.simulation.clock import MockClock


async def get_clock(context: Context, _: Call) -> web.Response:
    """Return the time."""
    return json_response(clock_view(context.simulator.clock))


async def change_clock(context: Context, call: Call) -> web.Response:
    """Set, advance, freeze or resume the clock."""
    change = call.body

    def adjust(clock: MockClock) -> None:
        now = float(change.get("now", clock()) + change.get("advance", 0))
        if change.get("frozen", clock.is_frozen):
            clock.freeze(now)
        else:
            clock.set(now)

    await context.simulator.adjust_clock(adjust)
    return json_response(clock_view(context.simulator.clock))


OPERATIONS: tuple[Operate, ...] = (get_clock, change_clock)
