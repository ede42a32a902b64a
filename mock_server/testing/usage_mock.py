"""The mock inside a test process: `with UsageMock() as mock: requests.get(mock.url + "/usage", ...)`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from mock_server.simulation.journal import Entry
from mock_server.streams import open_closed_streams
from mock_server.testing.async_usage_mock import NOT_YET, OVER, AsyncUsageMock, Options
from mock_server.testing.gevent_threads import NativeThread, is_patched, wait
from mock_server.web.server import new_event_loop

if TYPE_CHECKING:
    from typing import Unpack

T = TypeVar("T")


class UsageMock:
    """Serves an app on a free port of 127.0.0.1, in a thread with an event loop of its own.

    Without an app: the documented contract and what the options say. One object serves once. All methods
    may be called from any thread; what they do, and raise, is told at AsyncUsageMock.
    The thread is no daemon: leave the context, or call `close`, before the process can end.
    """

    def __init__(self, app: web.Application | None = None, **options: Unpack[Options]) -> None:
        self._mock = AsyncUsageMock(app, **options)
        self._stop = asyncio.Event()
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        self._is_patched = is_patched()
        self._thread = (NativeThread if self._is_patched else threading.Thread)(target=self._run, name="usage-mock")
        self._lock = threading.Lock()  # what was submitted before the stop is done, and nothing is submitted after it
        self._is_over = False

    @property
    def url(self) -> str:
        """The base URL, such as `http://127.0.0.1:40123`, once it is served."""
        self._served()
        return self._mock.url

    @property
    def keys(self) -> tuple[str, ...]:
        """The API keys: the deployment's in the fixture's order, then those that were made."""
        return self._mock.keys

    @property
    def api_key(self) -> str:
        """The first API key."""
        return self._mock.api_key

    @property
    def requests(self) -> tuple[Entry, ...]:
        """What was asked and answered since the last reset, oldest first; the last 1,000 of it."""
        return self._mock.requests

    def requests_of(self, key: str) -> tuple[Entry, ...]:
        """Return what was asked with one key."""
        return self._mock.requests_of(key)

    def use(self, scenario: str | None, key: str | None = None) -> None:
        """Put one key, or everybody, into a scenario; "none" ends it, None takes it back."""
        self._do(self._mock.use(scenario, key))

    def fail(self, fault: str | None, key: str | None = None, after: int = 0, times: int | None = None) -> None:
        """Switch a fault on: `after` requests pass, then it acts on `times` of them (None: on all).

        "none" ends it, None takes it back.
        """
        self._do(self._mock.fail(fault, key, after, times))

    def answer(self, code: int | None, key: str | None = None) -> None:
        """Answer with one status, whatever is asked; None ends it."""
        self._do(self._mock.answer(code, key))

    def delay(self, seconds: float | str | None, key: str | None = None) -> None:
        """Hold every answer back: 0.2, "0.1..0.5" (evenly spread), "0.1~2" (a long tail), or "none".

        None takes it back.
        """
        self._do(self._mock.delay(seconds, key))

    def freeze(self) -> None:
        """Let the mock's time stand still."""
        self._do(self._mock.freeze())

    def resume(self) -> None:
        """Let the mock's time pass again."""
        self._do(self._mock.resume())

    def advance(self, seconds: float) -> None:
        """Move the mock's time: buckets fill up and accounts grow as if it had passed."""
        self._do(self._mock.advance(seconds))

    def record(
        self,
        domain: str,
        protocol: str = "fetch",
        requests: int = 1,
        failures: int = 0,
        bytes: int = 0,  # noqa: A002 - the fixtures' name
        key: str | None = None,
    ) -> None:
        """Count traffic of one key (default: the first)."""
        self._do(self._mock.record(domain, protocol, requests, failures, bytes, key))

    def make_key(self, scenario: str | None = None) -> str:
        """Make a key of one's own, never used or in a scenario, and return it; a reset takes it away."""
        return self._do(self._mock.make_key(scenario))

    def reset(self, key: str | None = None) -> None:
        """Put one key, or everything, back to what it was at the start: figures, faults, time and journal."""
        self._do(self._mock.reset(key))

    def start(self) -> UsageMock:
        """Listen, and return when requests are answered.

        Raises whatever kept the app from being served, and RuntimeError when it was served before.
        """
        if self._thread.ident is not None:
            raise RuntimeError(self._mock.why_not or OVER)
        open_closed_streams()
        self._thread.start()
        try:
            self._done(self._ready).result()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Stop listening, finish what is in flight and end the thread; a second call does nothing."""
        if not self._thread.is_alive():
            return
        if self._done(self._ready).exception() is None:
            with self._lock, suppress(RuntimeError):  # the loop has ended since
                self._is_over = True
                self._ready.result().call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def __enter__(self) -> UsageMock:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _do(self, operation: Coroutine[Any, Any, T]) -> T:
        submitted = self._submitted(operation)
        try:
            return self._done(submitted).result()
        except CancelledError:  # it was still at work when the loop ended
            raise RuntimeError(OVER) from None

    def _submitted(self, operation: Coroutine[Any, Any, T]) -> Future[T]:
        try:
            with self._lock:
                return asyncio.run_coroutine_threadsafe(operation, self._loop())
        except BaseException:
            operation.close()
            raise

    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = self._served()
        if self._is_over:
            raise RuntimeError(OVER)
        return loop

    def _served(self) -> asyncio.AbstractEventLoop:
        if self._thread.ident is None:
            raise RuntimeError(NOT_YET)
        return self._done(self._ready).result()

    def _done(self, future: Future[T]) -> Future[T]:
        if self._is_patched:
            wait(future)
        return future

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        async with self._mock:
            self._ready.set_result(asyncio.get_running_loop())
            await self._stop.wait()
