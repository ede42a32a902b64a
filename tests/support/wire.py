"""Real sockets: requests as bytes or in parts, and what came back."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 60.0  # seconds: thousands of times what a response takes, a hundred times what a process takes to end
KEY = "X-API-Key"

Headers = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True)
class Reply:
    """One HTTP response as it came over the wire."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def address(url: str) -> tuple[str, int]:
    """Return the host and port of a base URL."""
    parts = urlsplit(url)
    assert parts.hostname and parts.port
    return parts.hostname, parts.port


def ask(url: str, path: str = "/usage", headers: Headers = (), method: str = "GET") -> Reply:
    """Send one well-formed request on a connection of its own."""
    with contextlib.closing(http.client.HTTPConnection(*address(url), timeout=TIMEOUT)) as connection:
        connection.putrequest(method, path)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        return _reply(connection.getresponse())


def usage(url: str, key: str, method: str = "GET") -> Reply:
    """Ask for the figures of a key."""
    return ask(url, headers=[(KEY, key)], method=method)


def send(url: str, request: bytes) -> Reply:
    """Send raw bytes and read the first response."""
    with socket.create_connection(address(url), TIMEOUT) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        with contextlib.closing(response):
            return _reply(response)


def answer_so_far(url: str, request: bytes) -> bytes:
    """Send raw bytes that may deserve no answer, and return what the server said until it was free again."""
    with socket.create_connection(address(url), TIMEOUT) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(request)
        assert ask(url, "/healthz").status == 200
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            return connection.recv(1 << 20)
    return b""


def _reply(response: http.client.HTTPResponse) -> Reply:
    return Reply(response.status, response.headers, response.read())
