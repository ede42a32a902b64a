"""What goes on beside the answers while the command serves: the log, and a look at the files."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from aiohttp import web

from mock_server.command.reload import Reloader
from mock_server.command.request_log import Form, RequestLog, Writer, show_for
from mock_server.options import Config
from mock_server.web.server import FRONT


@asynccontextmanager
async def attended(app: web.Application, config: Config, build: Callable[[], web.Application]) -> AsyncIterator[None]:
    """Log an app's requests and have it built anew when its files change, while the context lasts."""
    writer = Writer(sys.stderr)
    form: Form = "json" if config.log == "json" else "text"
    log = RequestLog(app[FRONT].simulator, writer, show_for(form, sys.stderr))
    try:
        async with AsyncExitStack() as tasks:
            if config.log != "none":
                tasks.callback(log.finish)
                await tasks.enter_async_context(_running(log.run()))
            if config.reload:
                reloader = Reloader(app, build, log.say, deployment=config.deployment, fixtures=config.fixtures)
                await tasks.enter_async_context(_running(reloader.run()))
            yield
    finally:
        writer.close()


@asynccontextmanager
async def _running(what: Coroutine[object, object, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(what)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
