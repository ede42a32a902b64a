"""The mock's time: it passes by itself, and can be frozen, set and advanced."""

from __future__ import annotations

import time
from collections.abc import Callable

_ANCHOR = time.time() - time.monotonic()


def wall_clock() -> float:
    """Return the seconds since 1970 by a clock that nobody sets back while the mock runs."""
    return _ANCHOR + time.monotonic()


class MockClock:
    """Seconds since 1970, as far as the mock is concerned; token buckets and ageing accounts follow them."""

    def __init__(self, base: Callable[[], float] = wall_clock) -> None:
        self.base = base
        self._offset = 0.0
        self._frozen_at: float | None = None

    def __call__(self) -> float:
        """Return the time."""
        return self.base() + self._offset if self._frozen_at is None else self._frozen_at

    @property
    def is_frozen(self) -> bool:
        """Whether time stands still."""
        return self._frozen_at is not None

    def freeze(self) -> None:
        """Let time stand still; a second call changes nothing."""
        self._frozen_at = self()

    def resume(self) -> None:
        """Let time pass again, from where it stands."""
        self.set(self())

    def set(self, now: float) -> None:
        """Let time pass from `now`, in seconds since 1970."""
        self._frozen_at, self._offset = None, now - self.base()

    def advance(self, seconds: float) -> None:
        """Move time by some seconds; if it is frozen it stays so."""
        if self._frozen_at is None:
            self._offset += seconds
        else:
            self._frozen_at += seconds
