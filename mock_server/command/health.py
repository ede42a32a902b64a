"""The command `usage-mock health`: whether a mock with the same options is running."""

from __future__ import annotations

import ssl
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from mock_server.command.errors import report
from mock_server.options import MockOptions
from usage_contract.errors import reason

PATH = "/__mock__/health"
SERVER = "usage-mock"  # not imported: the module of the mock that sends it imports aiohttp
TIMEOUT = 5.0  # seconds
PAUSE = 0.05  # seconds between two requests
# A mock that denies access is alive, too: it requires a token, or its host has a name that the control API rejects.
ALIVE = (200, 401, 403)
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the address to connect to where all are listened on


def check_health(options: MockOptions, *, wait: float = 0.0) -> int:
    """Request the health of the mock, and return the exit code: 0, or 4 unless a mock responds.

    A mock is recognized by its header field `Server` or `Mock-Reason`.

    Args:
        options: The options of the mock.
        wait: The seconds for which the request is repeated until the mock is running.
    """
    end = time.monotonic() + wait
    while (problem := _problem(options)) and time.monotonic() < end:
        time.sleep(PAUSE)
    return report(f"health: {problem}") if problem else 0


def _problem(options: MockOptions) -> str:
    """Return why the mock is not healthy; empty where it is."""
    host = LOOPBACK.get(options.host, options.host)
    connection = _connection(host, options)
    try:
        connection.request("GET", PATH)
        response = connection.getresponse()
    except (OSError, HTTPException) as error:
        return f"{host} port {options.port} does not respond: {reason(error)}"
    finally:
        connection.close()
    if response.status not in ALIVE:
        return f"{host} port {options.port} returns status {response.status}"
    is_mock = response.getheader("Server") == SERVER or response.getheader("Mock-Reason") is not None
    problem = f"is not a usage-mock: status {response.status} without its Server field"
    return "" if is_mock else f"{host} port {options.port} {problem}"


def _connection(host: str, options: MockOptions) -> HTTPConnection:
    if options.tls_files is None:
        return HTTPConnection(host, options.port, timeout=TIMEOUT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the certificate names the address that clients use
    context.verify_mode = ssl.CERT_NONE  # the response only shows that this machine's mock is alive
    return HTTPSConnection(host, options.port, timeout=TIMEOUT, context=context)
