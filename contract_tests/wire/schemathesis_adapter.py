"""Schemathesis's way onto our transport: a requests adapter that hands its requests to the gate."""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO
from typing import Any

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse

from contract_tests.run.gate import Gate
from contract_tests.wire.messages import Exchange


class TransportAdapter(BaseAdapter):
    """Sends what Schemathesis generated over the one transport; mount it on a session."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.gate = gate

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Send it with the main key and return the answer as requests has it."""
        body = request.body or b""
        exchange = self.gate.ask(
            self.gate.main,
            "as Schemathesis generated it",
            method=request.method or "GET",
            target=request.path_url,
            fields=[(name, value) for name, value in request.headers.items() if name not in _OURS],
            body=body if isinstance(body, bytes) else str(body).encode(),
            is_baseline=True,
        )
        return _response(request, exchange)

    def close(self) -> None:
        """Nothing to close: the transport is the gate's."""


_OURS = {"User-Agent", "Connection", "Accept-Encoding", "Content-Length", "Host"}


def _response(request: requests.PreparedRequest, exchange: Exchange) -> requests.Response:
    if exchange.status is None:
        raise requests.ConnectionError(f"{exchange.ending}: {exchange.problem}", request=request)
    coded = {"content-encoding", "content-length"} if exchange.header("Content-Encoding") else set()
    fields = [(name, value.decode("latin-1")) for name, value in exchange.fields if name.lower() not in coded]
    response = requests.Response()
    response.status_code = exchange.status
    response.reason = exchange.reason
    response.url = request.url or ""
    response.request = request
    response.elapsed = timedelta(seconds=exchange.seconds)
    response.raw = HTTPResponse(
        BytesIO(exchange.body),
        headers=HTTPHeaderDict(fields),
        status=exchange.status,
        version=10 if exchange.version == "1.0" else 11,
        decode_content=False,
        preload_content=False,
    )
    response.headers.update(dict(fields))
    return response
