"""Requests of the tests of faults beside those of `tests.support.wire`, and the shipped files."""

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
NO_USAGE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = "when: {status: [200]}"


@cache
def shipped(name: str) -> Fault:
    """Load a shipped fault or variant once."""
    return load_fault(name)


def said(url: str, request: bytes = REQUEST) -> bytes:
    """Send raw bytes and read until the server closes."""
    request = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    with socket.create_connection(address(url), TIMEOUT) as connection:
        connection.sendall(request)
        return to_the_end(connection)


def glance(url: str, *requests: bytes) -> None:
    """Send raw bytes, each on a connection of its own, and wait until the server is free again after each.

    The responses are not read.
    """
    with socket.create_connection(address(url), TIMEOUT) as other:
        for request in requests:
            with socket.create_connection(address(url), TIMEOUT) as connection:
                connection.sendall(request)
                other.sendall(NO_USAGE)
                assert other.recv(1 << 16).startswith(b"HTTP/1.1 ")


def to_the_end(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def modest(url: str) -> Any:
    """Return the figures of the modest key."""
    return usage(url, "demo-modest").json
