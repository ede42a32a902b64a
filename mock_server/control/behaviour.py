"""The operation that sets overrides."""

from __future__ import annotations

from aiohttp import web

from mock_server.control.context import Call, Context, Operate, json_response
from mock_server.control.views import fault_counts, override_view
from mock_server.options import seconds_text
from mock_server.simulation.overrides import fault_uses
from mock_server.web.answers import answer_of, sequence_of


async def change_behaviour(context: Context, call: Call) -> web.Response:
    """Set or clear overrides of a key, or of everyone."""
    simulator, body = context.simulator, call.body
    key = simulator.find(body["key"]) if "key" in body else None
    changes = {name: body[name] for name in ("scenario", "delay") if name in body}
    if isinstance(delay := body.get("delay"), int | float):
        changes["delay"] = seconds_text(delay)
    # JSON Schema accepts 3.0 as an integer.
    turns = {name: int(body[name]) for name in ("after", "times") if body.get(name) is not None}
    if "code" in body:
        code, documented = body["code"], context.mock.routes.usage.status_codes
        if isinstance(code, list):
            changes["answer"] = sequence_of(code, documented, simulator.library, **turns)
        else:
            changes["answer"] = code and answer_of(
                f"{code:g}", documented, **turns, body=body.get("body"), headers=body.get("headers")
            )
    if "fault" in body:
        names, is_unconditional = body["fault"], not body.get("file_conditions", False)
        changes["faults"] = None if names is None else fault_uses(names, **turns, is_unconditional=is_unconditional)
    await simulator.switch(key, **changes)
    return json_response(override_view(simulator.overrides.override_for(key), await fault_counts(simulator)))


OPERATIONS: tuple[Operate, ...] = (change_behaviour,)
