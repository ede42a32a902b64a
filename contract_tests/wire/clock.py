"""The time of a run, which tests replace by a virtual one, and the bounds of its waits."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Clock:
    """The time of a run, in seconds.

    `now` is monotonic, and `sleep` takes seconds. `timed` receives each new socket and returns the one to use,
    whose time-outs follow this clock.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    timed: Callable[[socket.socket], socket.socket] = lambda sock: sock


REAL_TIME = Clock()


@dataclass(frozen=True)
class Timeouts:
    """Bounds in seconds: to connect, for the next byte, a whole response, bytes after it, and the connection's end."""

    connect: float
    read: float
    total: float
    grace: float = 0.1
    closing: float = 3.0

    @classmethod
    def of(cls, seconds: float) -> Timeouts:
        """Derive the bounds from the time that a first byte may take."""
        return cls(
            connect=min(seconds, 5.0),
            read=seconds,
            total=1.5 * seconds,
            grace=min(seconds / 10, 0.1),
            closing=min(seconds, 3.0),
        )

    def within(self, seconds: float) -> Timeouts:
        """Return the same bounds, none of them longer than `seconds`."""
        return Timeouts(*(min(bound, seconds) for bound in astuple(self)))
