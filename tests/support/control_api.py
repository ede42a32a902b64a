"""The control API over real sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.wire import TIMEOUT, Response, address

JSON = {"Content-Type": "application/json"}


class Api:
    """The control API of the mock at a base URL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None, raw: bytes = b""
    ) -> Response:
        """Send one request on a new connection; `body` is sent as JSON, and `raw` as it is."""
        data = raw or (b"" if body is None else json.dumps(body).encode())
        fields = {**(JSON if body is not None else {}), **(headers or {})}
        with contextlib.closing(http.client.HTTPConnection(*address(self.url), timeout=TIMEOUT)) as connection:
            connection.request(method, f"/__mock__{path}", data or None, fields)
            response = connection.getresponse()
            return Response(response.status, response.headers, response.read())

    def get(self, path: str) -> Any:
        """Return the JSON body of a response to GET, which must have status 200."""
        response = self.request("GET", path)
        assert response.status == 200, response.body
        return response.json

    def do(self, method: str, path: str, body: object = None) -> Any:
        """Send a change, which must succeed; return the JSON body of the response, or None if it is empty."""
        response = self.request(method, path, body)
        assert response.status in (200, 201, 204), response.body
        return response.json if response.body else None

    def refused(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """Send a request that must be rejected; return the status and the detail of the response."""
        response = self.request(method, path, body)
        return response.status, response.json["detail"]

    def key(self, number: int = 0) -> Any:
        """Return the state of one key."""
        return self.get("/state")["keys"][number]

    @contextlib.contextmanager
    def events(self, query: str = "", headers: Mapping[str, str] | None = None) -> Iterator[Iterator[tuple[str, Any]]]:
        """Yield an iterator over the names and data of the events."""
        with contextlib.closing(http.client.HTTPConnection(*address(self.url), timeout=TIMEOUT)) as connection:
            connection.request("GET", f"/__mock__/events{query}", headers=dict(headers or {}))
            yield _events(connection.getresponse())


def _events(response: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    name = ""
    while line := response.readline():
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)
