"""What the tests of faults ask with, beside `tests.mock.wire`."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.wire import TIMEOUT, address, ask, usage

Serve = Callable[..., str]
Sleep = Callable[[float], Awaitable[None]]

BUSY_TOTAL, MODEST_TOTAL = 804982, 3459
REQUEST = b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: demo-modest\r\n\r\n"
OK = "when: {status: [200]}"


def said(url: str, request: bytes = REQUEST) -> bytes:
    """Send raw bytes and read until the server closes."""
    request = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    with socket.create_connection(address(url), TIMEOUT) as connection:
        connection.sendall(request)
        return to_the_end(connection)


def glance(url: str, request: bytes) -> None:
    """Send raw bytes, wait until the server is free again, and go without looking at what it said."""
    with socket.create_connection(address(url), TIMEOUT) as connection:
        connection.sendall(request)
        ask(url, "/")


def to_the_end(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def modest(url: str) -> Any:
    """Return the figures of the modest key."""
    return usage(url, "demo-modest").json
