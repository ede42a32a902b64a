"""What the operations of the control API work with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson
from aiohttp import web

from mock_server.control.broadcast import Broadcast
from mock_server.control.refusals import Refused
from mock_server.simulation.journal import masked
from mock_server.simulation.simulator import Simulator
from mock_server.web.responses import JSON

LISTED = 20

Reset = Callable[[str | None], Awaitable[None]]

# No answer is stored, guessed at, or shown within a page of somebody else.
ALWAYS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class Call:
    """One request to one operation, its query and body already checked."""

    request: web.Request
    query: Mapping[str, Any]
    body: Any


@dataclass(frozen=True)
class Context:
    """The mock that is controlled.

    `reset` puts a key, or everything, back to the start, `key_header` is the field that carries a key,
    `codes` are the statuses of the document, `stopping` is set when the mock ends, `listeners` are the
    connections that still hear of events, `broadcast` is what they share.
    """

    simulator: Simulator
    reset: Reset
    key_header: str
    codes: Sequence[int]
    started: float = field(default_factory=time.monotonic)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    listeners: set[web.RequestHandler] = field(default_factory=set)
    broadcast: Broadcast = field(default_factory=Broadcast)

    @property
    def uptime(self) -> float:
        """Return the real seconds since the start."""
        return round(time.monotonic() - self.started, 3)

    def key(self, name: str) -> str:
        """Return the key that is named by itself or by its id.

        Raises Refused for one that the mock does not have.
        """
        if self.simulator.has(name):
            return name
        ids = {masked(key): key for key in self.simulator.keys}
        if name not in ids:
            listed = ", ".join(list(ids)[:LISTED]) + (", …" if len(ids) > LISTED else "")
            raise Refused(404, "unknown-key", f"The mock has no such key; make it first. It has {listed}.")
        return ids[name]


Operate = Callable[[Context, Call], Awaitable[web.StreamResponse]]


def as_json(value: Any, status: int = 200) -> web.Response:
    """Return an answer whose body is JSON."""
    return web.Response(status=status, headers={"Content-Type": JSON, **ALWAYS}, body=orjson.dumps(value))


def nothing() -> web.Response:
    """Return the answer of what was done and has nothing to tell."""
    return web.Response(status=204, headers=ALWAYS)


@cache
def own_version() -> str:
    """Return the version of the mock; a checkout that is not installed has none."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and only looked at

    try:
        return version("usage-contract")
    except PackageNotFoundError:
        return "unreleased"
