"""The state as all streams of events share it: worked out once, however many clients listen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

# Working out the state takes at most a twentieth of the time, whatever the number of keys.
REST = 19


class StateEvent(NamedTuple):
    """An event with the state; its version grows when something lasting changes."""

    version: int
    event: bytes


class Broadcast:
    """The state for all streams, and the events of entries by base URL and number, oldest first."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, int], bytes] = {}
        self._coming: asyncio.Task[StateEvent] | None = None
        self._turn = asyncio.Lock()
        self._rests_until = 0.0
        self._version, self._lasting = 0, object()

    async def state(self, work_out: Callable[[], Awaitable[tuple[object, bytes]]]) -> StateEvent:
        """Return a state that is worked out after this call, once for all callers that wait for it.

        `work_out` returns the part of the state that lasts, and the event. Raises what `work_out` raises.
        """
        if self._coming is None:
            self._coming = asyncio.create_task(self._next(work_out))
        return await asyncio.shield(self._coming)

    async def _next(self, work_out: Callable[[], Awaitable[tuple[object, bytes]]]) -> StateEvent:
        async with self._turn:
            await asyncio.sleep(max(0.0, self._rests_until - time.monotonic()))
            self._coming = None
            started = time.monotonic()
            lasting, event = await work_out()
            now = time.monotonic()
            self._rests_until = now + REST * (now - started)
        if lasting != self._lasting:
            self._version, self._lasting = self._version + 1, lasting
        return StateEvent(self._version, event)
