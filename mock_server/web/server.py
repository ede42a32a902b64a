"""The server: one application behind one listening socket, with TLS by a certificate of the user."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from aiohttp import web

from mock_server.options import MockOptions
from mock_server.web.connection import Connection
from mock_server.web.dispatcher import DISPATCHER, Dispatcher
from mock_server.web.mock import MOCK
from usage_contract.errors import reason


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop: uvloop's where it is available, which excludes Windows and PyPy."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class Server(web.Server):
    """aiohttp's server with the mock's connections and dispatcher."""

    def __init__(self, dispatcher: Dispatcher, loop: asyncio.AbstractEventLoop) -> None:
        request = partial(web.Request, loop=loop)
        super().__init__(dispatcher, request_factory=request, loop=loop)  # type: ignore[arg-type]  # a BaseRequest
        self._dispatcher, self._event_loop = dispatcher, loop

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self, self._dispatcher, self._event_loop)


class Listener:
    """The listening socket of a server, which can be closed and opened again on the same port.

    Args:
        server: The server.
        options: The options: host, port and workers, which share the port.
        tls: The TLS settings.
    """

    def __init__(self, server: Server, options: MockOptions, tls: ssl.SSLContext | None) -> None:
        self.server = server
        self._host, self._port, self._tls, self._shares_port = options.host, options.port, tls, options.workers > 1
        self._socket: asyncio.Server | None = None
        #: The base URL, once the socket was opened.
        self.url = ""

    async def open(self) -> None:
        """Listen, unless the socket listens already.

        Raises:
            OSError: The mock cannot listen on the address.
        """
        if self._socket is not None and self._socket.is_serving():
            return
        try:
            self._socket = await asyncio.get_running_loop().create_server(
                self.server,
                self._host,
                self._port,
                ssl=self._tls,
                reuse_port=self._shares_port or None,
            )
        except (OSError, ValueError) as error:  # ValueError: the host is not a host name
            raise OSError(f"cannot listen on {self._host} port {self._port}: {reason(error)}") from None
        host, self._port = self._socket.sockets[0].getsockname()[:2]
        self.url = f"http{'s' if self._tls else ''}://{f'[{host}]' if ':' in host else host}:{self._port}"

    def close(self) -> None:
        """Stop listening; connections stay open."""
        if self._socket is not None:
            self._socket.close()


@asynccontextmanager
async def listening(
    app: web.Application, options: MockOptions, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Listener]:
    """Serve an application of `make_app` while the context lasts; a cancellation ends the grace period.

    Args:
        app: The application.
        options: The options: host, port, workers, and the seconds that responses in flight have at the end.
        tls: The TLS settings.

    Raises:
        OSError: The mock cannot listen on the address.
    """
    app.freeze()
    try:
        await app.startup()
        server = Server(app[DISPATCHER], asyncio.get_running_loop())
        listener = Listener(server, options, tls)
        app[MOCK].add_listener(listener)
        try:
            await listener.open()
            yield listener
        finally:
            listener.close()
            await asyncio.sleep(0)  # requests that have just been received begin
            server.pre_shutdown()
            await app.shutdown()
            try:
                await server.shutdown(options.grace)
            except asyncio.CancelledError:
                await server.shutdown(0)
                raise
    finally:
        await app.cleanup()


class CertificateError(Exception):
    """A certificate or a key that cannot be used; the text names the file."""


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the TLS settings of a server.

    Args:
        certificate: The certificate in PEM, followed by its chain.
        key: The private key in PEM, not encrypted.

    Raises:
        CertificateError: One of the files cannot be used.
    """
    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise CertificateError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    except OSError as error:
        log = os.environ.get("SSLKEYLOGFILE", "")
        raise CertificateError(f"{log}: cannot be written (SSLKEYLOGFILE): {error.strerror}") from None
    try:
        context.load_cert_chain(certificate, key, password=str)  # otherwise OpenSSL would prompt for a password
    except ssl.SSLError as error:
        raise CertificateError(_problem(certificate, key, error)) from None
    return context


def _problem(certificate: Path, key: Path, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{key}: is not the key of the certificate in {certificate}"
    if "ENCRYPTED" in key.read_text("latin-1"):
        return f"{key}: is encrypted; `openssl pkey -in KEY -out PLAIN` writes one that is not"
    return f"{certificate} and {key}: must be a certificate and its private key in PEM"
