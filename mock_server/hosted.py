"""The mock inside a test process: `with UsageMock() as mock: requests.get(mock.url + "/usage", ...)`."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import suppress

from aiohttp import web

from mock_server.app import make_app
from mock_server.faults import load_fault
from mock_server.fixtures import load_deployment
from mock_server.serving import FRONT, listening, new_event_loop
from usage_contract import load


class UsageMock:
    """Serves an app on a free port of 127.0.0.1, in a thread with an event loop of its own.

    Without an app: the documented contract and the default deployment, with the shipped fault of
    that name if one is given. One object serves once.
    The thread is no daemon: leave the context, or call `close`, before the process can end.
    """

    def __init__(self, app: web.Application | None = None, *, fault: str | None = None) -> None:
        self._app = app or make_app(load("documented"), load_deployment(), fault=load_fault(fault) if fault else None)
        self._stop = asyncio.Event()
        self._ready: Future[tuple[asyncio.AbstractEventLoop, str]] = Future()
        self._thread = threading.Thread(target=self._run, name="usage-mock")

    @property
    def url(self) -> str:
        """The base URL, such as `http://127.0.0.1:40123`, once it is served."""
        return self._ready.result()[1]

    @property
    def keys(self) -> tuple[str, ...]:
        """The API keys of the deployment, in the fixture's order."""
        return tuple(self._app[FRONT].simulator.keys)

    def start(self) -> UsageMock:
        """Listen, and return when requests are answered.

        Raises whatever kept the app from being served.
        """
        self._thread.start()
        try:
            self._ready.result()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Stop listening, drop every connection and end the thread; a second call does nothing."""
        if not self._thread.is_alive():
            return
        if self._ready.exception() is None:
            loop, _ = self._ready.result()
            with suppress(RuntimeError):  # the loop has ended since
                loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def __enter__(self) -> UsageMock:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        async with listening(self._app, "127.0.0.1", 0) as listener:
            self._ready.set_result((asyncio.get_running_loop(), listener.url))
            await self._stop.wait()
