"""Conversions between the requests and responses of Schemathesis and those of the gate."""

from __future__ import annotations

from typing import Any

import requests
from requests.utils import default_headers
from schemathesis import Case, Response

from contract_tests.wire.messages import Exchange

# Fields that the gate sets itself, and one that Schemathesis adds to every case and that a firewall may refuse.
NOT_TAKEN_OVER = frozenset(
    {"User-Agent", "Connection", "Accept-Encoding", "Content-Length", "Host", "X-Schemathesis-TestCaseId"}
)


def prepared_request(case: Case[Any], base_url: str) -> requests.PreparedRequest:
    """Return the request that Schemathesis would send for a case."""
    arguments = case.as_transport_kwargs(base_url=base_url, headers=dict(default_headers()))
    return requests.Request(**arguments).prepare()


def fields_of(request: requests.PreparedRequest) -> list[tuple[str, str]]:
    """Return the header fields of a request without those that the gate sets itself."""
    return [(name, value) for name, value in request.headers.items() if name not in NOT_TAKEN_OVER]


def body_of(request: requests.PreparedRequest) -> bytes:
    """Return the body of a request; empty if it has none."""
    body = request.body or b""
    return body if isinstance(body, bytes) else str(body).encode()


def as_response(exchange: Exchange, request: requests.PreparedRequest) -> Response:
    """Return the response of an exchange with a status, in the form that Schemathesis validates."""
    status, fields = exchange.status or 0, {name: exchange.values(name) for name, _ in exchange.fields}
    return Response(status, fields, exchange.body, request, exchange.seconds, verify=True, message=exchange.reason)
