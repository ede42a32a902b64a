"""The events that all streams share: the state is computed once, regardless of the number of clients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

# Computing the state takes at most a twentieth of the time, regardless of the number of keys.
PAUSE_FACTOR = 19


class StateEvent(NamedTuple):
    """An event with the state; its version increases when a lasting part of the state changes."""

    version: int
    event: bytes


Compute = Callable[[], Awaitable[tuple[object, bytes]]]


class Broadcast:
    """The state for all streams, and the events of journal entries by number, oldest first."""

    def __init__(self) -> None:
        self.entries: dict[int, bytes] = {}
        self._next: asyncio.Task[StateEvent] | None = None
        self._lock = asyncio.Lock()
        self._pauses_until = 0.0
        self._version, self._lasting = 0, object()

    async def state(self, compute: Compute) -> StateEvent:
        """Return a state that is computed after this call, once for all callers that wait for it.

        Raises what `compute` raises.

        Args:
            compute: Returns the lasting part of the state, and the event.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._compute_next(compute))
        return await asyncio.shield(self._next)

    async def _compute_next(self, compute: Compute) -> StateEvent:
        async with self._lock:
            await asyncio.sleep(max(0.0, self._pauses_until - time.monotonic()))
            self._next = None
            started = time.monotonic()
            lasting, event = await compute()
            now = time.monotonic()
            self._pauses_until = now + PAUSE_FACTOR * (now - started)
        if lasting != self._lasting:
            self._version, self._lasting = self._version + 1, lasting
        return StateEvent(self._version, event)
