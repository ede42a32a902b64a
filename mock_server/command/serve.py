"""The command `usage-mock` without a further name: serve a mock until a signal stops it."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

from aiohttp import web

from mock_server.app import make_app, read_library
from mock_server.command import workers
from mock_server.command.reload import Reloader
from mock_server.command.request_log import RequestLog, Writer, WriterHandler, format_for
from mock_server.command.user_errors import reporting
from mock_server.fixtures.delays import DelayError
from mock_server.fixtures.deployments import Deployment
from mock_server.masking import printable
from mock_server.options import MockOptions, OptionError
from mock_server.simulation.clock import wall_clock
from mock_server.simulation.state import StateUnavailableError
from mock_server.streams import write_output
from mock_server.suggestions import UnknownNameError
from mock_server.web.mock import MOCK
from mock_server.web.server import CertificateError, listening, new_event_loop, server_context
from mock_server.wording import counted
from usage_contract import load
from usage_contract.suggestions import first_of

# The maximum number of keys in a message.
LISTED = 10


@reporting
def serve(options: MockOptions) -> int:
    """Serve a mock until a signal stops it, and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a signal can come before the event loop handles it
    if options.workers == 1:
        return _serve(options)
    place = options.place("workers")
    if options.state is None:
        raise OptionError([f"{place}: more than one process needs a shared state; add --state redis://HOST"])
    if not workers.IS_POSSIBLE:
        raise OptionError([f"{place}: this system has no fork or no SO_REUSEPORT; start one process"])

    def announce(url: str) -> None:
        message = _summary(url, read_library(options).deployment)
        sys.stderr.write(format_for(options.log, sys.stderr)({"at": wall_clock(), "level": "info", "message": message}))

    return workers.supervise(
        lambda port: _serve(replace(options, port=port)), options, None if options.log == "none" else announce
    )


@reporting
def _serve(options: MockOptions) -> int:
    tls = None
    try:
        app = make_app(load("documented"), options)
        if options.tls_files:
            tls = server_context(*options.tls_files)
    except DelayError as error:
        raise OptionError([f"{options.place('delay')}: {error}"]) from None
    except CertificateError as error:
        raise OptionError([f"{options.place('tls_cert')}: {error}"]) from None
    except StateUnavailableError as error:
        raise OptionError([f"{options.place('state')}: {error}"]) from None
    except UnknownNameError as error:  # its kinds are those of the options
        raise OptionError([f"{options.place(error.kind)}: {error}"]) from None
    with asyncio.Runner(loop_factory=new_event_loop) as runner, suppress(asyncio.CancelledError):  # a second signal
        runner.run(serve_until_signalled(app, options, tls))
    return 0


async def serve_until_signalled(app: web.Application, options: MockOptions, tls: ssl.SSLContext | None = None) -> None:
    """Serve an application until SIGINT or SIGTERM; the first line on standard output contains the URL.

    The same signal again ends the grace period. A worker receives SIGINT from the terminal and SIGTERM from its parent.

    Raises:
        asyncio.CancelledError: A signal has ended the grace period.
    """
    stop, task, received = asyncio.Event(), asyncio.current_task(), set[int]()
    assert task is not None

    def receive(number: int) -> None:
        if number in received:
            task.cancel()
        received.add(number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows, where SIGINT is a KeyboardInterrupt
            asyncio.get_running_loop().add_signal_handler(number, receive, number)
    async with _log_and_reload(app, options) as log, listening(app, options, tls) as listener:
        write_output(f"LISTENING {listener.url}\n")
        if options.log != "none" and options.workers == 1:
            log.say(_summary(listener.url, app[MOCK].simulator.library.deployment))
        gc.freeze()  # the present objects stay until the end; the garbage collector skips them
        await stop.wait()


@asynccontextmanager
async def _log_and_reload(app: web.Application, options: MockOptions) -> AsyncIterator[RequestLog]:
    """Log the requests of an application, and reload its files when they change, while the context lasts."""
    mock, writer = app[MOCK], Writer(sys.stderr)
    log = RequestLog(mock, writer, format_for(options.log, sys.stderr))

    async with AsyncExitStack() as stack:
        stack.callback(writer.close)
        logging.getLogger().addHandler(handler := WriterHandler(writer))
        stack.callback(logging.getLogger().removeHandler, handler)
        if options.log != "none":
            stack.callback(log.finish)
            await stack.enter_async_context(_running(log.run()))
        if options.reload:
            await stack.enter_async_context(_running(Reloader(mock, options, log.say).run()))
        yield log


def _summary(url: str, deployment: Deployment) -> str:
    """Return the address of the console and the keys of a mock that has just started, as one line."""
    names = [printable(deployment.shown(key)) for key in deployment.keys]
    return f"console: {url}/__mock__/; {counted(len(names), 'key')}: {first_of(names, LISTED)}"


@asynccontextmanager
async def _running(coroutine: Coroutine[object, object, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
