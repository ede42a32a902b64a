"""The operations on the mock as a whole: its state, its health, its metrics and its reset."""

from __future__ import annotations

from aiohttp import web

from mock_server.control.context import Call, Context, Operate, json_response, no_content, own_version, text_response
from mock_server.control.views import state_view


async def get_state(context: Context, _: Call) -> web.Response:
    """Return the state."""
    return json_response(await state_view(context))


async def get_control_health(context: Context, _: Call) -> web.Response:
    """Report that the mock runs."""
    return json_response({"ok": True, "version": own_version(), "uptime": context.uptime})


async def get_metrics(context: Context, _: Call) -> web.Response:
    """Return metrics for Prometheus."""
    from mock_server.control.metrics import CONTENT_TYPE, metrics  # slow to import

    return text_response(metrics(context, await state_view(context)), CONTENT_TYPE)


async def reset(context: Context, call: Call) -> web.Response:
    """Reset a key, or everything, to the start."""
    await context.mock.reset(context.simulator.find(call.body["key"]) if "key" in call.body else None)
    return no_content()


OPERATIONS: tuple[Operate, ...] = (get_state, get_control_health, get_metrics, reset)
