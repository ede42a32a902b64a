"""Requests over real sockets, as bytes or in parts, and their responses."""

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
class Response:
    """An HTTP response as received."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded as JSON."""
        return json.loads(self.body)


class Clock:
    """A manual clock: it advances only when a test changes `now`."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def address(url: str) -> tuple[str, int]:
    """Return the host and port of a base URL."""
    parts = urlsplit(url)
    assert parts.hostname and parts.port
    return parts.hostname, parts.port


def send_request(url: str, path: str = "/usage", headers: Headers = (), method: str = "GET") -> Response:
    """Send one well-formed request on a new connection."""
    with contextlib.closing(http.client.HTTPConnection(*address(url), timeout=TIMEOUT)) as connection:
        connection.putrequest(method, path)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        return _response(connection.getresponse())


def usage(url: str, key: str, method: str = "GET") -> Response:
    """Send a request to /usage with an API key."""
    return send_request(url, headers=[(KEY, key)], method=method)


def send(url: str, request: bytes) -> Response:
    """Send raw bytes, and return the first response."""
    with socket.create_connection(address(url), TIMEOUT) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        with contextlib.closing(response):
            return _response(response)


def response_bytes(url: str, request: bytes) -> bytes:
    """Send raw bytes that may get no response, and return the bytes received until the server has handled them."""
    with socket.create_connection(address(url), TIMEOUT) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(request)
        assert send_request(url, "/healthz").status == 200
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            return connection.recv(1 << 20)
    return b""


def _response(response: http.client.HTTPResponse) -> Response:
    return Response(response.status, response.headers, response.read())
