"""Raw requests for the tests of faults, and the shipped fault files."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from mock_server import Fault, load_fault
from tests.support.wire import TIMEOUT, address, usage

Serve = Callable[..., str]
Sleep = Callable[[float], Awaitable[None]]

BUSY_TOTAL, MODEST_TOTAL = 804982, 3459
REQUEST = b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: demo-modest\r\n\r\n"
ROOT_REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = "when: {status: [200]}"


@cache
def shipped(name: str) -> Fault:
    """Load a shipped fault or variant once."""
    return load_fault(name)


def raw_response(url: str, request: bytes = REQUEST) -> bytes:
    """Send raw bytes, and return all bytes until the server closes the connection."""
    request = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    with socket.create_connection(address(url), TIMEOUT) as connection:
        connection.sendall(request)
        return read_all(connection)


def send_without_reading(url: str, *requests: bytes) -> None:
    """Send raw bytes, each on a new connection, and wait until the server has handled them.

    The responses are not read.
    """
    with socket.create_connection(address(url), TIMEOUT) as other:
        for request in requests:
            with socket.create_connection(address(url), TIMEOUT) as connection:
                connection.sendall(request)
                other.sendall(ROOT_REQUEST)
                assert other.recv(1 << 16).startswith(b"HTTP/1.")


def read_all(connection: socket.socket) -> bytes:
    """Return all bytes until the server closes the connection."""
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def modest_metrics(url: str) -> Any:
    """Return the usage metrics of the key `demo-modest`."""
    return usage(url, "demo-modest").json
