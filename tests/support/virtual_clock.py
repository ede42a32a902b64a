"""A virtual time that the mock and the gate share: it advances only while both wait.

The mock runs in a thread of the gate's process. Before the gate sleeps, or stops waiting for bytes, the mock
finishes what it has received, however long that takes. So no result depends on the speed of the machine.

A server in another process has no part in it: the gate's sleeps still take no real time, and its time-outs do.
"""

from __future__ import annotations

import asyncio
import heapq
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from aiohttp import web

from contract_tests.wire.clock import Clock

START = 1_800_000_000.0  # seconds since the Unix epoch: 15 January 2027
TICK = 0.001  # seconds
FIRST_LOOK = 0.005  # seconds of real time after which the mock is asked to finish; most responses come earlier
ROUNDS = 30  # iterations of the mock's event loop: a request needs fewer to be received, handled and answered
STUCK = 60.0  # seconds of real time for what takes milliseconds


class VirtualClock:
    """A time in seconds since the Unix epoch that both sides read, sleep on and wait for.

    `tick` is the virtual time in seconds that each write to the deployment takes.
    """

    def __init__(self, tick: float = TICK) -> None:
        self._now = START
        self._tick = tick
        self._lock = threading.Lock()
        self._advancing = threading.Lock()
        self._sleepers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._loop: asyncio.AbstractEventLoop | None = None

    def now(self) -> float:
        """Return the time."""
        return self._now

    def for_gate(self) -> Clock:
        """Return the clock that the gate takes."""
        return Clock(self.now, self.sleep, self._timed)

    async def attach(self, _: web.Application) -> None:
        """Remember the mock's event loop when the mock starts (for `app.on_startup`)."""
        self._loop = asyncio.get_running_loop()

    def sleep(self, seconds: float) -> None:
        """Advance by some seconds once the mock is idle."""
        with self._advancing:
            self._settle()
            self._advance(by=seconds)

    async def sleep_in_mock(self, seconds: float) -> None:
        """Return when the time has advanced by some seconds; sleeps of the mock overlap."""
        loop = asyncio.get_running_loop()
        woken = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        with self._lock:
            until = self._now + seconds
            heapq.heappush(self._sleepers, (until, next(self._numbers), lambda: _call(loop, wake)))
        await woken

    def tick(self) -> None:
        """Advance by the time that a write takes."""
        self._advance(by=self._tick)

    def pass_time(self, seconds: float) -> None:
        """Advance by the nominal duration of a real time-out that has expired."""
        self._advance(by=seconds)

    def wait_for_mock(self, is_readable: Callable[[], bool], until: float) -> bool:
        """Let the mock finish and time pass, up to `until`; return whether bytes may still come before that."""
        with self._advancing:
            self._settle()
            if is_readable():
                return True
            with self._lock:
                next_wake = self._sleepers[0][0] if self._sleepers else until
            self._advance(to=min(next_wake, until))
            return next_wake < until

    def _settle(self) -> None:
        """Return when the mock has nothing left to do until time passes or bytes arrive."""
        if self._loop is not None and self._loop.is_running():
            idle = threading.Lock()  # cheaper than a future, which a run waits for hundreds of times
            idle.acquire()
            self._loop.call_soon_threadsafe(_run_rounds, self._loop, ROUNDS, idle.release)
            if not idle.acquire(timeout=STUCK):
                raise TimeoutError(f"the mock was not idle within {STUCK} s")

    def _advance(self, *, to: float = START, by: float = 0.0) -> None:
        with self._lock:
            self._now = max(self._now + by, to)
            while self._sleepers and self._sleepers[0][0] <= self._now:
                heapq.heappop(self._sleepers)[2]()

    def _timed(self, sock: socket.socket) -> socket.socket:
        return VirtualSocket(self, sock) if self._loop else ForeignSocket(self, sock)


class VirtualSocket(socket.socket):
    """A socket whose time-outs are seconds of virtual time."""

    def __init__(self, clock: VirtualClock, sock: socket.socket) -> None:
        super().__init__(fileno=sock.detach())
        super().settimeout(STUCK)
        self._clock, self._seconds = clock, STUCK

    def settimeout(self, seconds: float | None) -> None:
        """Set the virtual time that a later call may take."""
        self._seconds = STUCK if seconds is None else seconds

    def sendall(self, data: bytes) -> None:  # type: ignore[override]
        """Send bytes, which takes one tick."""
        super().sendall(data)
        self._clock.tick()

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return received bytes. Raises TimeoutError when none came in the virtual time."""
        until = self._clock.now() + self._seconds
        while not self._is_readable(FIRST_LOOK):
            if not self._clock.wait_for_mock(self._is_readable, until):
                raise TimeoutError("timed out")
        return super().recv(size, flags)

    def _is_readable(self, seconds: float = 0.0) -> bool:
        return bool(select.select([self], [], [], seconds)[0])


class ForeignSocket(socket.socket):
    """A socket to a server without the virtual clock: its time-outs are real seconds, which then pass on the clock."""

    def __init__(self, clock: VirtualClock, sock: socket.socket) -> None:
        seconds = sock.gettimeout()
        super().__init__(fileno=sock.detach())
        self.settimeout(seconds)
        self._clock = clock

    def sendall(self, data: bytes) -> None:  # type: ignore[override]
        """Send bytes, which takes one tick."""
        super().sendall(data)
        self._clock.tick()

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return received bytes. Raises TimeoutError when none came in the time-out."""
        try:
            return super().recv(size, flags)
        except TimeoutError:
            self._clock.pass_time(self.gettimeout() or 0.0)
            raise


def _run_rounds(loop: asyncio.AbstractEventLoop, rounds: int, then: Callable[[], None]) -> None:
    if rounds:
        loop.call_soon(_run_rounds, loop, rounds - 1, then)
    else:
        then()


def _call(loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the mock has stopped
        loop.call_soon_threadsafe(wake)
