"""What the mock knows, as values that JSON has; keys only as their ids."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from aiohttp import web

from mock_server.control.context import Context, own_version
from mock_server.fixtures.library import UNUSABLE
from mock_server.masking import masked_target, printable
from mock_server.simulation.accounts import Account
from mock_server.simulation.clock import MockClock, time_text
from mock_server.simulation.journal import Entry, Journal, masked
from mock_server.simulation.overrides import NONE, NOTHING, Behaviour
from mock_server.simulation.simulator import Simulator


def clock_view(clock: MockClock) -> dict[str, Any]:
    """Return a Clock."""
    now = clock()
    return {"now": now, "time": time_text(now), "frozen": clock.is_frozen}


Counts = Mapping[str, int]


async def fault_counts(simulator: Simulator) -> Counts:
    """Return how many requests each use of a fault has met, where that decides on which it still acts."""
    uses = sorted({use.use for use in simulator.settings.faults if use.times is not None})
    return dict(zip(uses, await simulator.state.counted(uses), strict=True))


def behaviour_view(behaviour: Behaviour, counts: Counts) -> dict[str, Any]:
    """Return a Behaviour."""
    fault = behaviour.fault
    acts = fault is not None and fault.name != NONE
    return {
        "scenario": behaviour.scenario,
        "code": behaviour.code,
        "fault": fault.name if fault else None,
        "after": fault.after if fault and acts else None,
        "times": fault.times if fault and acts else None,
        "left": fault.left(counts.get(fault.use, 0)) if fault and acts else None,
        "delay": behaviour.delay,
    }


def figures_view(account: Account) -> dict[str, int]:
    """Return the totals of an account."""
    tally = account.tally
    total = tally.success + tally.fail
    return {"total": total, "success": tally.success, "fail": tally.fail, "bytes_transferred": tally.bytes}


def journal_view(journal: Journal) -> dict[str, Any]:
    """Return how much the journal holds."""
    return {"number": journal.number, "kept": journal.kept, "capacity": journal.capacity}


async def state_view(context: Context) -> dict[str, Any]:
    """Return a State."""
    simulator = context.simulator
    await simulator.catch_up()  # a stream of events outlives the settings that it began with
    counts = await fault_counts(simulator)
    return {
        "version": own_version(),
        "uptime": context.uptime,
        "deployment": simulator.library.deployment.description,
        "problem": simulator.problem,
        "clock": clock_view(simulator.clock),
        "start": behaviour_view(simulator.settings.start, counts),
        "everybody": behaviour_view(simulator.settings.everybody, counts),
        "keys": [await key_view(simulator, key, counts) for key in simulator.keys],
        "journal": journal_view(simulator.journal),
    }


async def key_view(simulator: Simulator, key: str, counts: Counts) -> dict[str, Any]:
    """Return a KeyState."""
    try:
        in_force, account = simulator.behaviour(key, NOTHING), simulator.peek(key)
    except UNUSABLE:  # another process has switched on what this one does not have
        in_force, account = simulator.settings.behaviour(key), None
    return {
        "id": masked(key),
        "made": key not in simulator.library.deployment.keys,
        "known": account is not None,
        **(await _account_view(simulator, account, in_force) if account else NO_ACCOUNT),
        "own": behaviour_view(simulator.settings.keys.get(key, NOTHING), counts),
        "in_force": behaviour_view(in_force, counts),
    }


NO_ACCOUNT: dict[str, Any] = {"limit": None, "tokens": None, "figures": None}


async def _account_view(simulator: Simulator, account: Account, in_force: Behaviour) -> dict[str, Any]:
    now = simulator.clock()
    if news := await simulator.state.recorded(account.known, now):
        account.restate(news)
    account.grow(now)
    return {
        "limit": {"rps": account.limit.rps, "burst": account.limit.burst},
        "tokens": await simulator.state.look(simulator.bucket(account, in_force.fault), now),
        "figures": figures_view(account),
    }


def entry_views(context: Context, entries: Iterable[Entry], request: web.Request) -> list[dict[str, Any]]:
    """Return Entries, whose curl commands lead to where the request was sent."""
    base_url, known = f"{request.scheme}://{request.host}", context.simulator.keys

    @cache  # most are alike, and looking for a thousand keys takes its time
    def target(asked: str, key: str) -> str:
        return printable(masked_target(asked, (*known, key)))

    return [_entry_view(context, entry, target(entry.target, entry.key), base_url) for entry in entries]


def _entry_view(context: Context, entry: Entry, target: str, base_url: str) -> dict[str, Any]:
    return {
        **entry._asdict(),
        "time": time_text(entry.at),
        "target": target,
        "key": masked(entry.key),
        "curl": _curl(context.key_header, entry, base_url + target),
    }


def _curl(key_header: str, entry: Entry, url: str) -> str:
    method = {"GET": [], "HEAD": ["--head"]}.get(entry.method, ["-X", shlex.quote(entry.method)])
    key = ["-H", f'"{key_header}: $USAGE_KEY"'] if entry.key else []
    return " ".join(["curl", *method, *key, re.sub(_ID, "'\"$USAGE_KEY\"'", shlex.quote(url))])


_ID = r"[^=&;/?']{0,4}…[0-9a-f]{6}"
