"""The operation that sets overrides."""

from __future__ import annotations

from aiohttp import web

from mock_server.control.context import Call, Context, Operate, json_response
from mock_server.control.views import fault_counts, override_view
from mock_server.simulation.overrides import FaultUse
from mock_server.web.preferences import parse_code


async def change_behaviour(context: Context, call: Call) -> web.Response:
    """Set or clear overrides of a key, or of everyone."""
    simulator, body = context.simulator, call.body
    key = context.key(body["key"]) if "key" in body else None
    changes = {name: body[name] for name in ("scenario", "delay") if name in body}
    if "code" in body:
        changes["code"] = _integer(body["code"])
    if "fault" in body:
        name, after, times = body["fault"], int(body.get("after", 0)), _integer(body.get("times"))
        changes["fault"] = None if name is None else FaultUse(name, after, times)
    if changes.get("code") is not None:
        parse_code(str(changes["code"]), context.mock.routes.usage.status_codes)
    await simulator.switch(key, **changes)
    return json_response(override_view(simulator.overrides.override_for(key), await fault_counts(simulator)))


def _integer(number: float | None) -> int | None:
    # JSON Schema accepts 3.0 as an integer.
    return None if number is None else int(number)


OPERATIONS: tuple[Operate, ...] = (change_behaviour,)
