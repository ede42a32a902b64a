"""The objects that all operations of the control API use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson
from aiohttp import web

from mock_server.control.broadcast import Broadcast
from mock_server.simulation.simulator import Simulator
from mock_server.web.mock import Mock
from mock_server.web.responses import ALWAYS, JSON, error_response

# A response is never part of a page of another site.
SAME_SITE = {**ALWAYS, "Cross-Origin-Resource-Policy": "same-origin"}


class ControlError(Exception):
    """A request that the control API rejects.

    Args:
        status: The status code.
        reason: A word for programs, the value of `Mock-Reason`.
        detail: The reason for people.
        headers: Further headers.
    """

    def __init__(self, status: int, reason: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.reason, self.headers = status, reason, headers

    def response(self) -> web.Response:
        """Return the response."""
        headers = {**SAME_SITE, **(self.headers or {})}
        return error_response(self.status, str(self), self.reason, headers=headers).response()


@dataclass(frozen=True)
class Call:
    """One request to one operation, with its validated query and body."""

    request: web.Request
    query: Mapping[str, Any]
    body: Any


@dataclass(frozen=True)
class Context:
    """The controlled mock.

    Attributes:
        mock: The mock.
        started: The real time of the start.
        stopping: Set when the mock stops.
        listeners: The connections of all event streams.
        broadcast: The events that all streams share.
    """

    mock: Mock
    started: float = field(default_factory=time.monotonic)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    listeners: set[web.RequestHandler] = field(default_factory=set)
    broadcast: Broadcast = field(default_factory=Broadcast)

    @property
    def simulator(self) -> Simulator:
        """The accounts of the mock."""
        return self.mock.simulator

    @property
    def uptime(self) -> float:
        """The real seconds since the start."""
        return round(time.monotonic() - self.started, 3)


Operate = Callable[[Context, Call], Awaitable[web.StreamResponse]]


def json_response(value: Any, status: int = 200) -> web.Response:
    """Return a response with a JSON body."""
    return web.Response(status=status, headers={"Content-Type": JSON, **SAME_SITE}, body=orjson.dumps(value))


def text_response(text: str, content_type: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a response with a text."""
    return web.Response(headers={"Content-Type": content_type, **SAME_SITE, **(headers or {})}, body=text.encode())


def no_content() -> web.Response:
    """Return a response without a body."""
    return web.Response(status=204, headers=SAME_SITE)


@cache
def own_version() -> str:
    """Return the version of the mock, or "unreleased" for a checkout that is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import

    try:
        return version("usage-contract")
    except PackageNotFoundError:
        return "unreleased"
