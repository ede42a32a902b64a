"""The control API over real sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.wire import TIMEOUT, Reply, address

JSON = {"Content-Type": "application/json"}


class Api:
    """The control API of the mock at a base URL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None, raw: bytes = b""
    ) -> Reply:
        """Send one request on a connection of its own; a body that is not raw is sent as JSON."""
        data = raw or (b"" if body is None else json.dumps(body).encode())
        fields = {**(JSON if body is not None else {}), **(headers or {})}
        with contextlib.closing(http.client.HTTPConnection(*address(self.url), timeout=TIMEOUT)) as connection:
            connection.request(method, f"/__mock__{path}", data or None, fields)
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())

    def get(self, path: str) -> Any:
        """Return what a GET answers, as JSON."""
        reply = self.ask("GET", path)
        assert reply.status == 200, reply.body
        return reply.json

    def do(self, method: str, path: str, body: object = None) -> Any:
        """Change something; return the answer's JSON, or None where there is none."""
        reply = self.ask(method, path, body)
        assert reply.status in (200, 201, 204), reply.body
        return reply.json if reply.body else None

    def refused(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """Return the status and the detail of what is refused."""
        reply = self.ask(method, path, body)
        return reply.status, reply.json["detail"]

    def key(self, number: int = 0) -> Any:
        """Return the state of one key."""
        return self.get("/state")["keys"][number]

    @contextlib.contextmanager
    def events(self, query: str = "", headers: Mapping[str, str] | None = None) -> Iterator[Iterator[tuple[str, Any]]]:
        """Listen to the events: their names and data."""
        with contextlib.closing(http.client.HTTPConnection(*address(self.url), timeout=TIMEOUT)) as connection:
            connection.request("GET", f"/__mock__/events{query}", headers=dict(headers or {}))
            yield _events(connection.getresponse())


def _events(answer: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    name = ""
    while line := answer.readline():
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)
