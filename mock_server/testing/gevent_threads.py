"""Threads and waiting where gevent has patched `threading`: such a thread is a greenlet, which an event loop blocks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


def is_patched() -> bool:
    """Whether gevent has replaced the threads of this process by greenlets."""
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


class NativeThread:
    """A thread of the operating system, with those parts of `threading.Thread` that UsageMock needs."""

    def __init__(self, target: Callable[[], None], name: str) -> None:
        self._target, self.name = target, name
        self._end: Future[None] = Future()
        self.ident: int | None = None

    def start(self) -> None:
        """Run the target in a thread of its own."""
        self.ident = _original("start_new_thread")(self._run, ())

    def is_alive(self) -> bool:
        """Whether the target is running."""
        return self.ident is not None and not self._end.done()

    def join(self) -> None:
        """Wait for the end of the target; other greenlets continue."""
        wait(self._end)

    def _run(self) -> None:
        try:
            self._target()
        finally:
            self._end.set_result(None)


def wait(future: Future[Any]) -> None:
    """Wait for a future that another thread completes; other greenlets continue.

    gevent takes a greenlet that waits for another thread by a patched lock for one that waits for ever.
    """
    from gevent import get_hub  # type: ignore[import-not-found,import-untyped,unused-ignore]

    lock = _original("allocate_lock")()
    lock.acquire()
    future.add_done_callback(lambda _: lock.release())
    get_hub().threadpool.apply(lock.acquire)


def _original(name: str) -> Any:
    return sys.modules["gevent.monkey"].get_original("_thread", name)
