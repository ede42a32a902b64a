"""JSON views of a mock for the control API; they contain identifiers instead of keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mock_server.control.context import Context, own_version
from mock_server.fixtures.library import FIXTURE_ERRORS
from mock_server.journal.journal import Journal
from mock_server.masking import mask_key
from mock_server.simulation.accounts import Account
from mock_server.simulation.clock import MockClock, time_text
from mock_server.simulation.overrides import NO_OVERRIDE, Answer, Override, Turns
from mock_server.simulation.simulator import Simulator

# The number of requests that each use of a fault or of a status code has received.
Counts = Mapping[str, int]

NO_TURNS: dict[str, Any] = {"after": None, "times": None, "left": None}

NO_ACCOUNT: dict[str, Any] = {"rate_limit": None, "tokens": None, "usage_metrics": None}


async def fault_counts(simulator: Simulator) -> Counts:
    """Return the number of requests that each fault and each status code has received, where its number is limited."""
    uses = sorted({use.use for use in simulator.overrides.turns if use.times is not None})
    return dict(zip(uses, await simulator.state.counts(uses), strict=True))


def clock_view(clock: MockClock) -> dict[str, Any]:
    """Return a Clock of the document."""
    now = clock()
    return {"now": now, "time": time_text(now), "frozen": clock.is_frozen}


def override_view(override: Override, counts: Counts) -> dict[str, Any]:
    """Return a Behaviour of the document."""
    fault = override.faults[0] if override.faults else None
    return {
        "scenario": override.scenario,
        "code": _code_view(override.answer),
        "fault": override.fault_names,
        **(turns_view(fault, counts) if fault else NO_TURNS),
        "code_requests": turns_view(override.answer, counts) if override.answer else None,
        "delay": override.delay,
        "server": override.server.name if override.server else None,
    }


def _code_view(answer: Answer | None) -> int | list[int | str | None] | None:
    """Return the status code of an override, or the responses of a sequence."""
    if answer is None:
        return None
    pairs = zip(answer.responses, answer.overrides, strict=True)
    codes = [response.code if response.is_code_only else str(override) for response, override in pairs]
    if len(codes) > 1 or isinstance(codes[0], str):
        return codes
    return codes[0]


def turns_view(turns: Turns, counts: Counts) -> dict[str, Any]:
    """Return the turns of a fault, or of a status code without its body and header fields: they could contain a key."""
    return {"after": turns.after, "times": turns.times, "left": turns.left(counts.get(turns.use, 0))}


def journal_view(journal: Journal) -> dict[str, Any]:
    """Return the size of the journal."""
    return {"number": journal.number, "kept": journal.kept, "capacity": journal.capacity}


async def state_view(context: Context) -> dict[str, Any]:
    """Return a State of the document."""
    simulator = context.simulator
    await simulator.catch_up()  # a stream of events lasts longer than the overrides at its beginning
    counts = await fault_counts(simulator)
    return {
        "version": own_version(),
        "uptime": context.uptime,
        "deployment": simulator.library.deployment.description,
        "problem": context.mock.reload_error,
        "clock": clock_view(simulator.clock),
        "start": override_view(simulator.overrides.start, counts),
        "everyone": override_view(simulator.overrides.everyone, counts),
        "keys": [await key_view(simulator, key, counts) for key in simulator.keys],
        "journal": journal_view(context.mock.journal),
    }


async def key_view(simulator: Simulator, key: str, counts: Counts) -> dict[str, Any]:
    """Return a KeyState of the document."""
    try:
        effective, account = simulator.resolve(key, NO_OVERRIDE), simulator.peek(key)
    except FIXTURE_ERRORS:  # another process has switched on what this one does not have
        effective, account = simulator.overrides.merged(key), None
    return {
        "id": mask_key(key),
        "label": simulator.label(key),
        "label_is_key": simulator.label(key) == key,
        "created": key not in simulator.library.deployment.keys,
        "accepted": account is not None,
        **(await _account_view(simulator, account, effective) if account else NO_ACCOUNT),
        "override": override_view(simulator.overrides.keys.get(key, NO_OVERRIDE), counts),
        "effective": override_view(effective, counts),
    }


async def _account_view(simulator: Simulator, account: Account, effective: Override) -> dict[str, Any]:
    now = simulator.clock()
    if snapshot := await simulator.state.snapshot(account.ref, now):
        account.apply_snapshot(snapshot)
    account.grow(now)
    metrics = account.usage_metrics(remaining=None)
    return {
        "rate_limit": {"rps": account.limit.rps, "burst": account.limit.burst},
        "tokens": await simulator.state.look(simulator.bucket(account, effective.applied), now),
        "usage_metrics": {name: metrics[name] for name in ("total", "success", "fail", "bytes_transferred")},
    }
