"""The mock in a thread of a test process: `with UsageMock() as mock: requests.get(mock.url + "/usage", ...)`."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import warnings
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack

from aiohttp import web

from mock_server.journal.journal import Journal
from mock_server.simulation.unused import UnusedOverrideWarning
from mock_server.streams import open_closed_streams
from mock_server.testing.async_usage_mock import (
    NOT_STARTED,
    RUNS,
    STOPPED,
    WARNINGS,
    AsyncUsageMock,
    UsageMockArguments,
)
from mock_server.testing.gevent_threads import NativeThread, is_patched, wait
from mock_server.testing.mock_view import MockView
from mock_server.web.server import new_event_loop

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[AsyncUsageMock, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[UsageMock, P], T]:
    """Return the method of UsageMock that runs a method of AsyncUsageMock in its loop, and waits for the result."""

    @wraps(method)
    def call(self: UsageMock, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            operation = method(self._mock, *args, **kwargs)
        except TypeError as error:  # a wrong argument: Python names the class of the method
            raise TypeError(str(error).replace(AsyncUsageMock.__name__, UsageMock.__name__)) from None
        texts: list[str] = []
        token = WARNINGS.set(texts)  # the loop runs the operation in a copy of this thread's context
        try:
            result = self._do(operation)
        finally:
            WARNINGS.reset(token)
        for text in texts:
            warnings.warn(text, UnusedOverrideWarning, stacklevel=2)
        return result

    call.__qualname__ = f"UsageMock.{method.__name__}"
    return call


class UsageMock(MockView):
    """A mock on a free port of 127.0.0.1, in a thread with its own event loop.

    Every method may be called from any thread; AsyncUsageMock documents its arguments and errors.
    A mock that was not closed is closed at the end of the process.

    Args:
        app: An application of `make_app`, instead of one with the options.
        options: Members of MockOptions; `deployment` is a deployment, or the name of its file in the fixture folder.
    """

    def __init__(self, app: web.Application | None = None, **options: Unpack[UsageMockArguments]) -> None:
        self._mock = AsyncUsageMock(app, **options)
        super().__init__(self._mock._app)
        self._stop = asyncio.Event()
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        self._is_patched = is_patched()
        self._thread: NativeThread | threading.Thread
        if self._is_patched:
            self._thread = NativeThread(target=self._run, name="usage-mock")
        else:
            self._thread = threading.Thread(target=self._run, name="usage-mock", daemon=True)
        self._lock = threading.Lock()  # a submitted operation ends before the stop; none is submitted after it
        self._is_stopped = False
        self._process = os.getpid()  # a forked process has no thread that serves

    @property
    def url(self) -> str:
        """The base URL, such as `http://127.0.0.1:40123`, once the mock runs."""
        self._started_loop()
        return self._mock.url

    @property
    def is_closed(self) -> bool:
        """Whether the mock has run and was closed."""
        return self._is_stopped

    use = _blocking(AsyncUsageMock.use)
    fail = _blocking(AsyncUsageMock.fail)
    answer = _blocking(AsyncUsageMock.answer)
    delay = _blocking(AsyncUsageMock.delay)
    freeze = _blocking(AsyncUsageMock.freeze)
    resume = _blocking(AsyncUsageMock.resume)
    advance = _blocking(AsyncUsageMock.advance)
    record = _blocking(AsyncUsageMock.record)
    make_key = _blocking(AsyncUsageMock.make_key)
    unused_overrides = _blocking(AsyncUsageMock.unused_overrides)
    reset = _blocking(AsyncUsageMock.reset)

    def start(self) -> UsageMock:
        """Listen, and return when the mock responds.

        Raises:
            RuntimeError: The mock was started before.
            OSError: The mock cannot listen on the address.
        """
        if self._thread.ident is not None:
            self._check_process()
            raise RuntimeError(RUNS.format(self.url) if self._thread.is_alive() else self._mock.why_not or STOPPED)
        self._process = os.getpid()
        open_closed_streams()
        self._thread.start()
        if not self._is_patched:  # the end of a process with gevent waits for no native thread
            atexit.register(self.close)
        try:
            self._done(self._ready).result()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Stop listening, finish responses in flight and end the thread; a second call does nothing."""
        atexit.unregister(self.close)
        if not self._thread.is_alive():
            return
        if self._done(self._ready).exception() is None:
            with self._lock, suppress(RuntimeError):  # the loop has ended already
                self._is_stopped = True
                self._ready.result().call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def __enter__(self) -> UsageMock:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _journal(self) -> Journal:
        self._check_process()
        if self._thread.ident is None:
            raise RuntimeError(NOT_STARTED)
        return super()._journal()

    def _do(self, operation: Coroutine[Any, Any, T]) -> T:
        try:
            self._check_process()  # before the lock, which the other process can hold
            with self._lock:
                submitted = asyncio.run_coroutine_threadsafe(operation, self._running_loop())
        except BaseException:
            operation.close()
            raise
        try:
            return self._done(submitted).result()
        except CancelledError:  # the loop has ended before the operation
            raise RuntimeError(STOPPED) from None

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        self._check_process()
        loop = self._started_loop()
        if self._is_stopped:
            raise RuntimeError(STOPPED)
        return loop

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            use = f"; requests to {self._mock.url} work" if self._mock.url else ""
            raise RuntimeError(f"this mock belongs to process {self._process}, and can be used only there{use}")

    def _started_loop(self) -> asyncio.AbstractEventLoop:
        if self._thread.ident is None:
            raise RuntimeError(NOT_STARTED)
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
