"""The parts of a running mock that its dispatcher, its control API and its owner share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from aiohttp import web

from mock_server.fixtures.library import Library
from mock_server.journal.journal import Journal
from mock_server.masking import mask_key
from mock_server.simulation.clock import Sleep
from mock_server.simulation.simulator import Simulator
from mock_server.web.cors import CROSS_ORIGIN
from mock_server.web.fault_injector import FaultInjectors
from mock_server.web.routes import Routes

# The header in which the mock reports that it serves older files than the present ones.
RELOAD = "Mock-Reload"


class Closable(Protocol):
    """A listening socket that can be closed, as by a server that crashes, and opened again."""

    async def open(self) -> None:
        """Listen, unless the socket listens already."""

    def close(self) -> None:
        """Stop listening."""


class Mock:
    """A running mock.

    Args:
        simulator: The accounts.
        journal: The received requests.
        routes: The operations of the contract.
        sleep: Waits for a number of seconds.
        cors: Pages of other origins may send requests.
    """

    def __init__(self, simulator: Simulator, journal: Journal, routes: Routes, *, sleep: Sleep, cors: bool) -> None:
        self.simulator, self.journal, self.routes = simulator, journal, routes
        self.sleep, self.cors = sleep, cors
        self.injectors = FaultInjectors(simulator, sleep=sleep, stop=self.stop_listening, headers=lambda: self.headers)
        #: Why changed files are not served; None where the present files are.
        self.reload_error: str | None = None
        self._reload_place = ""
        self._listeners: list[Closable] = []
        #: The tasks that handle requests which are not in the journal yet, with the keys of the requests.
        self.unrecorded: dict[asyncio.Task[object], str] = {}

    def add_listener(self, listener: Closable) -> None:
        """Add a socket, which a fault can close and a reset opens again."""
        self._listeners.append(listener)

    def stop_listening(self) -> None:
        """Stop listening, as a server does that has crashed."""
        for listener in self._listeners:
            listener.close()

    async def reset(self, key: str | None = None) -> None:
        """Reset a key, or everything (None), to the start, with the journal; a stopped server listens again.

        A request that waits in a fault, or for its body, ends: it would count after the reset.
        """
        await self.simulator.reset(key)
        self.journal.clear(key)
        for task, owner in self.unrecorded.items():
            if key in (None, owner):
                task.cancel()  # its connection is closed
        self.injectors.forget(key)
        for listener in self._listeners:
            await listener.open()

    def check_requested(self, key: str) -> None:
        """Check that the mock has a key, or its id, or a request with it in its journal.

        Raises:
            UnknownKeyError: It has neither, so that a selection by this key would be empty by mistake.
        """
        simulator = self.simulator
        if key and not (simulator.has(key) or key in map(mask_key, simulator.keys) or self.journal.has(key)):
            raise simulator.unknown_key(key, hint="select requests with any other key by headers=…")

    def swap_fixtures(self, library: Library, routes: Routes) -> None:
        """Serve other files. Accounts, overrides and journal stay; faults lose their memory.

        Raises what `Simulator.swap_library` raises. Nothing is changed then.
        """
        self.simulator.swap_library(library)
        self.routes = routes
        self.injectors.forget()
        self.set_reload_error(None)

    def set_reload_error(self, problem: str | None, where: str = "") -> None:
        """Report in every response that changed files cannot be served, until `problem` is None."""
        self.reload_error, self._reload_place = problem, where

    @property
    def reload_headers(self) -> Mapping[str, str]:
        """The header that reports a reload error, which every response has."""
        return {RELOAD: f"failed; {self._reload_place}"} if self.reload_error else {}

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of every response that no operation has built."""
        return {**(CROSS_ORIGIN if self.cors else {}), **self.reload_headers}


MOCK = web.AppKey("mock", Mock)
