"""The command `usage-mock health`: whether a mock with the same options is running."""

from __future__ import annotations

import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from mock_server.options import MockOptions
from mock_server.streams import reason, report

PATH = "/__mock__/health"
TIMEOUT = 5.0  # seconds
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the address to connect to where all are listened on


def check_health(options: MockOptions) -> int:
    """Request the health of the mock, and return the exit code: 0, or 4 where the response is not 200."""
    host = LOOPBACK.get(options.host, options.host)
    connection = _connection(host, options)
    try:
        connection.request("GET", PATH)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return report(f"health: {host} port {options.port} does not respond: {reason(error)}")
    finally:
        connection.close()
    return 0 if status == 200 else report(f"health: {host} port {options.port} returns status {status}")


def _connection(host: str, options: MockOptions) -> HTTPConnection:
    if options.tls_files is None:
        return HTTPConnection(host, options.port, timeout=TIMEOUT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the certificate names the address that clients use
    context.verify_mode = ssl.CERT_NONE  # the response only shows that this machine's mock is alive
    return HTTPSConnection(host, options.port, timeout=TIMEOUT, context=context)
