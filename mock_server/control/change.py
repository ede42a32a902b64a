"""The operations that change: keys, what is switched on, traffic, time, and back to the start."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from mock_server.control.context import Call, Context, Operate, as_json, nothing
from mock_server.control.refusals import Refused
from mock_server.control.views import behaviour_view, clock_view, fault_counts
from mock_server.fixtures.deployments import Calls, Traffic
from mock_server.simulation.clock import MockClock
from mock_server.simulation.journal import masked
from mock_server.simulation.overrides import FaultUse
from mock_server.web.preferences import code_of


async def make_key(context: Context, call: Call) -> web.Response:
    """Make a key."""
    key = call.body.get("key") or f"mock-{secrets.token_hex(8)}"
    await context.simulator.make_key(key, call.body.get("scenario"))
    return as_json({"key": key, "id": masked(key)}, 201)


async def change_behaviour(context: Context, call: Call) -> web.Response:
    """Switch things on and off."""
    simulator, change = context.simulator, call.body
    key = context.key(change["key"]) if "key" in change else None
    changes = _changes(change)
    if changes.get("code") is not None:
        code_of(str(changes["code"]), context.codes)
    await simulator.switch(key, **changes)
    return as_json(behaviour_view(simulator.settings.own(key), await fault_counts(simulator)))


def _changes(change: Mapping[str, Any]) -> dict[str, Any]:
    changes = {name: change[name] for name in ("scenario", "delay") if name in change}
    if "code" in change:
        changes["code"] = _whole(change["code"])
    if "fault" in change:
        changes["fault"] = _fault(change)
    return changes


def _fault(change: Mapping[str, Any]) -> FaultUse | None:
    if change["fault"] is None:
        return None
    return FaultUse(change["fault"], int(change.get("after", 0)), _whole(change.get("times")))


def _whole(number: float | None) -> int | None:
    # JSON Schema takes 3.0 for an integer.
    return None if number is None else int(number)


async def record_traffic(context: Context, call: Call) -> web.Response:
    """Record traffic: all of it, or none."""
    entries = call.body if isinstance(call.body, list) else [call.body]
    recorded = [(context.key(each["key"]), _calls(each), each) for each in entries]
    by_key: defaultdict[str, list[Calls]] = defaultdict(list)
    for key, calls, _ in recorded:
        by_key[key].append(calls)
    for key, all_calls in by_key.items():
        context.simulator.check_room(key, all_calls)
    for key, calls, each in recorded:
        traffic: Traffic = {each["domain"]: {each.get("protocol", "fetch"): calls}}
        await context.simulator.record(key, traffic)
    return nothing()


def _calls(facts: Mapping[str, Any]) -> Calls:
    requests, failures = int(facts.get("requests", 1)), int(facts.get("failures", 0))
    if failures > requests:
        detail = f"failures are among the requests: {failures} of {requests} cannot have failed."
        raise Refused(422, "wrong-body", f"The body is wrong: {detail}")
    return Calls(requests, failures, int(facts.get("bytes", 0)))


async def change_clock(context: Context, call: Call) -> web.Response:
    """Set, advance, freeze or resume time."""
    change = call.body

    def turn(clock: MockClock) -> None:
        now = float(change.get("now", clock()) + change.get("advance", 0))
        if change.get("frozen", clock.is_frozen):
            clock.freeze(now)
        else:
            clock.set(now)

    await context.simulator.turn(turn)
    return as_json(clock_view(context.simulator.clock))


async def reset(context: Context, call: Call) -> web.Response:
    """Put a key, or everything, back to the start."""
    await context.reset(context.key(call.body["key"]) if "key" in call.body else None)
    return nothing()


OPERATIONS: tuple[Operate, ...] = (make_key, change_behaviour, record_traffic, change_clock, reset)
