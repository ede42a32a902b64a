"""One app behind one listening socket, until told to stop; the command and UsageMock both serve through here."""

from __future__ import annotations

import asyncio
import gc
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from mock_server.fixtures.edits import Edit, EditError, edited
from mock_server.web.dispatcher import Front
from mock_server.web.fast_path import Repeat, Written, sendable
from mock_server.web.raw_response import RawResponse
from mock_server.web.responses import as_json, refusal

if TYPE_CHECKING:
    import ssl

# Long enough for a key that a client took for a short one: such a key is unknown, not malformed.
MAX_FIELD_BYTES = 64 * 1024

# How long answers in flight are waited for when the mock is stopped.
GRACE_SECONDS = 5.0

# Whatever is then still open has this long to end by itself: it is nobody's answer.
CUT_SECONDS = 0.02

# aiohttp quotes an Expect that it does not know, and cannot when its bytes are no UTF-8.
MALFORMED = (HttpProcessingError, web.RequestPayloadError, UnicodeEncodeError)

# A request's method and path, where it begins with what was received.
BEGINNING = re.compile(rb"[A-Z]+ (?:http://[^/ ]*)?(/[^? ]*)")

# A longer request is not answered as the repeat of another: joining what was received must not cost more than reading.
MAX_REPEAT_BYTES = 16 * 1024

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

    __slots__ = (
        "__weakref__",
        "_answers",
        "_front",
        "_is_of_control",
        "_is_unending",
        "_received",
        "_repeat",
        "_serving",
    )

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
        self._serving: asyncio.Task[None] | None = None
        self._is_unending = False
        self._answers = 0
        self._received: bytes | None = b""  # since the last answer; None once it was too long or a client did not wait
        self._is_of_control = False  # what was received last
        self._repeat: Repeat | None = None  # there is one while that is answered, and nothing else was received

    def data_received(self, data: bytes) -> None:
        """Take what was received, which a fault may have changed; more of the same may be answered at once."""
        edits = self._front.received
        if self._repeat and not edits and self._answered(self._repeat, data):
            return
        self._repeat = None
        received = self._received
        if received is not None and self._answers == self._request_count and len(received) < MAX_REPEAT_BYTES:
            self._received = received + data
        else:
            self._received = None
        super().data_received(self._edited(data, edits) if edits else data)

    def _edited(self, data: bytes, edits: Sequence[Edit]) -> bytes:
        """Return what was received as a fault changes it, unless it is a request to the control API, or more of it."""
        if begins := BEGINNING.match(data):
            self._is_of_control = self._front.control.owns(begins[1].decode("latin-1"))
        received = data
        for edit in () if self._is_of_control else edits:
            with suppress(EditError):  # hardly any request has what the fault is about
                data = edited(data, [edit])
        if data != received:
            self._front.edited.add(self)
        return data

    def _answered(self, repeat: Repeat, data: bytes) -> bool:
        if self.transport is None or self.writing_paused:
            return False
        answer = self._front.at_once(repeat, data)
        if answer is None:
            return False
        self.transport.write(sendable(answer))
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        return True

    async def start(self) -> None:
        """Answer the requests of the connection, one after the other."""
        self._serving = asyncio.current_task()
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
        """Answer a malformed message; anything else is a fault of ours, which aiohttp logs, unless the client went."""
        if isinstance(exc, ConnectionError) and self.transport is None:
            raise exc
        if isinstance(exc, MALFORMED):  # its text quotes the request, and with it perhaps a key
            answer = refusal(400, "The request is not valid HTTP.", "malformed-request", self._front.headers)
        else:
            super().handle_error(request, status, exc, message)
            answer = refusal(status, "The mock failed; its log says why.", "internal-error", self._front.headers)
        response = answer.response()
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
        self._is_unending = isinstance(resp, RawResponse) and resp.is_unending
        finished = await super().finish_response(request, resp, start_time)
        self._answers += 1
        if self._received is not None:
            if isinstance(resp, Written) and Repeat.is_possible(self._received):
                self._repeat = Repeat(self._received, resp)
            self._received = b""
        return finished

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the name is aiohttp's
        """Close the connection, once the answer in flight is finished or `timeout` (seconds) is over.

        A client that has gone, or that is meant to wait for ever, is not waited for.
        """
        transport = self.transport
        if self._request_in_progress and transport is not None and not self._is_unending:
            self._handler_waiter = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._handler_waiter], timeout=timeout)
        await super().shutdown(CUT_SECONDS)
        if self._serving is not None and not self._serving.done():  # aiohttp forgets it when the client goes
            self._serving.cancel()
            await asyncio.wait([self._serving])
        if transport is not None and (transport.get_write_buffer_size() or transport.get_extra_info("sslcontext")):
            transport.abort()  # it would wait for a client that does not read, or does not say goodbye in TLS


class Listener:
    """The socket of an app: it may be closed, as by a server that crashes, and opened again on the same port.

    `url` is its base URL, once it was opened.
    """

    def __init__(
        self, runner: web.AppRunner, host: str, port: int, tls: ssl.SSLContext | None, shares_port: bool = False
    ) -> None:
        if not 0 <= port <= 65535:
            raise ValueError(f"a port is 0 to 65535, not {port}")
        front, manager = runner.app[FRONT], runner.server
        assert manager is not None
        front.handler = manager.request_handler
        manager.request_handler = front  # type: ignore[assignment]  # the manager makes web.Request, not its base
        self._front, self._manager = front, manager
        self._host, self._port, self._tls, self._shares_port = host, port, tls, shares_port
        self._server: asyncio.Server | None = None
        self.url = ""

    async def open(self) -> None:
        """Listen, if that is not so.

        Raises OSError for an address that cannot be listened on.
        """
        if self._server is not None and self._server.is_serving():
            return
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Connection(self._manager, self._front, loop),
                self._host,
                self._port,
                ssl=self._tls,
                reuse_port=self._shares_port or None,
            )
        except (OSError, ValueError) as error:  # ValueError: a host that is no host name
            problem = getattr(error, "strerror", None) or error
            raise OSError(f"cannot listen on {self._host} port {self._port}: {problem}") from None
        host, self._port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http{'s' if self._tls else ''}://{f'[{host}]' if ':' in host else host}:{self._port}"

    def close(self) -> None:
        """Stop listening; connections stay."""
        if self._server is not None:
            self._server.close()


@asynccontextmanager
async def listening(
    app: web.Application,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    grace: float = GRACE_SECONDS,
    shares_port: bool = False,
) -> AsyncIterator[Listener]:
    """Serve an app while the context lasts; port 0 picks a free one, and other processes may share one.

    At the end nobody is let in any more, and answers in flight have `grace` seconds to be finished.
    Raises OSError for an address that cannot be listened on, and ValueError for what is no port or no time.
    """
    if not grace >= 0:  # NaN is none, either
        raise ValueError(f"grace is 0 seconds or more, not {grace}")
    runner = web.AppRunner(app, shutdown_timeout=grace)
    await runner.setup()
    try:
        listener = Listener(runner, host, port, tls, shares_port)
        app[FRONT].servers.append(listener)
        await listener.open()
        try:
            yield listener
        finally:
            listener.close()
    finally:
        await runner.cleanup()


async def serve_until_signalled(
    app: web.Application,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    grace: float = GRACE_SECONDS,
    shares_port: bool = False,
) -> None:
    """Serve an app until SIGINT or SIGTERM; the first line on standard output says where.

    Raises OSError for an address that cannot be listened on.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows, where SIGINT is a KeyboardInterrupt
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with listening(app, host, port, tls=tls, grace=grace, shares_port=shares_port) as listener:
        sys.stdout.write(f"LISTENING {listener.url}\n")
        sys.stdout.flush()
        gc.freeze()  # what is there now is there until the end; the collector need not look at it
        await stop.wait()
