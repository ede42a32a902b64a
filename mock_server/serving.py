"""One app behind one listening socket, until told to stop; the command and UsageMock both serve through here."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from mock_server.answers import as_json, refusal
from mock_server.edits import EditError, edited
from mock_server.front import Front

# Long enough for a key that a client took for a short one: such a key is unknown, not malformed.
MAX_FIELD_BYTES = 64 * 1024

# Our handlers answer at once; only a client that stopped halfway through its message is cut off.
GRACE_SECONDS = 0.02

# aiohttp quotes an Expect that it does not know, and cannot when its bytes are no UTF-8.
MALFORMED = (HttpProcessingError, UnicodeEncodeError)

# What takes an app's requests first.
FRONT = web.AppKey("front", Front)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop: uvloop's where it exists, which is neither Windows nor PyPy."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class Connection(web.RequestHandler):
    """aiohttp's side of one connection, except that what aiohttp refuses by itself is JSON as well."""

    __slots__ = ("__weakref__", "_front")

    def __init__(self, manager: web.Server, front: Front, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            manager,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # None is what switches it off
            auto_decompress=False,  # no simulation reads a body
            max_field_size=MAX_FIELD_BYTES,
            max_line_size=MAX_FIELD_BYTES,
        )
        self._front = front

    def data_received(self, data: bytes) -> None:
        """Take what was received, which a fault may have changed."""
        for edit in self._front.received:
            with suppress(EditError):  # hardly any request has what the fault is about
                data = edited(data, [edit])
        super().data_received(data)

    async def start(self) -> None:
        """Answer the requests of the connection, one after the other."""
        try:
            await super().start()
        except AttributeError:  # aiohttp 3.14 has no request for `CONNECT` without a target, and would hang
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a malformed message; anything else is a fault of ours, which aiohttp logs."""
        if not isinstance(exc, MALFORMED):
            return super().handle_error(request, status, exc, message)
        # The text of the exception quotes the request, and with it perhaps a key.
        response = refusal(400, "The request is not valid HTTP.", "malformed-request").response()
        response.force_close()
        return response

    def log_exception(self, *text: Any, exc_info: BaseException | None = None, **more: Any) -> None:
        """Log an exception, unless a handler ended in the very tick in which aiohttp 3.14 gave up on it."""
        if not isinstance(exc_info, asyncio.InvalidStateError):
            super().log_exception(*text, exc_info=exc_info, **more)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response; aiohttp's own 404, 405 and 417 get a body with a `detail`."""
        if isinstance(resp, web.HTTPException):
            resp = as_json(resp)
        return await super().finish_response(request, resp, start_time)


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve an app while the context lasts, and give its base URL; port 0 picks a free one.

    Raises OSError for an address that cannot be listened on.
    """
    runner = web.AppRunner(app, shutdown_timeout=GRACE_SECONDS)
    await runner.setup()
    try:
        async with await _bind(runner, host, port) as server:
            app[FRONT].servers.append(server)
            yield _url(server)
    finally:
        await runner.cleanup()


async def serve_until_signalled(app: web.Application, host: str, port: int) -> None:
    """Serve an app until SIGINT or SIGTERM; the first line on standard output says where.

    Raises OSError for an address that cannot be listened on.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows, where SIGINT is a KeyboardInterrupt
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with listening(app, host, port) as url:
        sys.stdout.write(f"LISTENING {url}\n")
        sys.stdout.flush()
        await stop.wait()


async def _bind(runner: web.AppRunner, host: str, port: int) -> asyncio.Server:
    loop, manager, front = asyncio.get_running_loop(), runner.server, runner.app[FRONT]
    assert manager is not None
    front.handler = manager.request_handler
    manager.request_handler = front  # type: ignore[assignment]  # the manager makes web.Request, not its base

    def connection() -> Connection:
        return Connection(manager, front, loop)

    try:
        return await loop.create_server(connection, host, port)
    except (OSError, ValueError) as error:  # ValueError: a host that is no host name
        problem = getattr(error, "strerror", None) or error
        raise OSError(f"cannot listen on {host} port {port}: {problem}") from None


def _url(server: asyncio.Server) -> str:
    host, port = server.sockets[0].getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
