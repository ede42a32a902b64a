"""The time of a run, which tests replace by a virtual one."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass


def _unchanged(sock: socket.socket) -> socket.socket:
    return sock


@dataclass(frozen=True)
class Clock:
    """The time of a run, in seconds.

    `now` is monotonic, and `sleep` takes seconds. `timed` receives each new socket and returns the one to use,
    whose time-outs follow this clock.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    timed: Callable[[socket.socket], socket.socket] = _unchanged


REAL_TIME = Clock()
