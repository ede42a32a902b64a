"""The operations on keys: creating one, and recording its traffic."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, cast

from aiohttp import web

from mock_server.control.context import Call, Context, ControlError, Operate, json_response, no_content
from mock_server.fixtures.deployments import Calls, KeyFacts, Traffic
from mock_server.masking import mask_key
from mock_server.simulation.overrides import fault_uses


async def make_key(context: Context, call: Call) -> web.Response:
    """Create a key."""
    body = dict(call.body)
    key = body.pop("key", "") or f"mock-{secrets.token_hex(8)}"
    scenario, fault = body.pop("scenario", None), body.pop("fault", None)
    faults = None if fault is None else fault_uses(fault, is_unconditional=True)
    await context.simulator.make_key(key, scenario, faults=faults, facts=cast(KeyFacts, body))
    return json_response({"key": key, "id": mask_key(key)}, 201)


async def record_traffic(context: Context, call: Call) -> web.Response:
    """Record traffic, without a key that of the first one: all entries of the body, or none."""
    entries = call.body if isinstance(call.body, list) else [call.body]
    simulator = context.simulator
    records = [(simulator.find(entry.get("key", simulator.keys[0])), _calls(entry), entry) for entry in entries]
    calls_by_key: defaultdict[str, list[Calls]] = defaultdict(list)
    for key, calls, _ in records:
        calls_by_key[key].append(calls)
    for key, all_calls in calls_by_key.items():
        simulator.check_room(key, all_calls)
    for key, calls, entry in records:
        traffic: Traffic = {entry["domain"]: {entry.get("protocol", "fetch"): calls}}
        await simulator.record(key, traffic)
    return no_content()


def _calls(entry: Mapping[str, Any]) -> Calls:
    requests, failures = int(entry.get("requests", 1)), int(entry.get("failures", 0))
    if failures > requests:
        detail = f"body /failures: must not be above 'requests': {failures} is more than {requests}"
        raise ControlError(409, "too-many-failures", detail)
    return Calls(requests, failures, int(entry.get("bytes", 0)))


OPERATIONS: tuple[Operate, ...] = (make_key, record_traffic)
