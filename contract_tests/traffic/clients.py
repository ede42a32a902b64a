"""Responses that HTTP clients for Python have received, as recorded exchanges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from contract_tests.traffic.recording import Recorded, request_target, with_host
from contract_tests.wire.messages import Aspect, Exchange, Request

if TYPE_CHECKING:
    import httpx
    import requests
    from schemathesis import Response

# A client returns the decoded body, and neither the bytes of the head nor the time of the request.
LACKS = frozenset[Aspect]({"head", "framing", "coding", "time"})


def from_requests(response: requests.Response) -> Recorded:
    """Return the exchange of a response that requests has received."""
    fields = list(response.raw.headers.items()) if response.raw is not None else []  # fields of one name are separate
    sent = _from_prepared(response.request)
    return _recorded(sent, response.status_code, fields or response.headers.items(), response.content)


def from_httpx(response: httpx.Response) -> Recorded:
    """Return the exchange of a response that httpx has received and read."""
    sent = response.request
    request = _request(sent.method, str(sent.url), sent.headers.multi_items(), sent.content)
    return _recorded((str(sent.url), request), response.status_code, response.headers.multi_items(), response.content)


def from_schemathesis(response: Response) -> Recorded:
    """Return the exchange of a response that Schemathesis has received."""
    fields = [(name, value) for name, values in response.headers.items() for value in values]
    return _recorded(_from_prepared(response.request), response.status_code, fields, response.content)


def _from_prepared(sent: requests.PreparedRequest) -> tuple[str, Request]:
    body = sent.body if isinstance(sent.body, bytes) else str(sent.body or "").encode()
    url = str(sent.url)
    return url, _request(str(sent.method), url, sent.headers.items(), body)


def _request(method: str, url: str, fields: Iterable[tuple[str | bytes, str | bytes]], body: bytes) -> Request:
    sent = [(_latin_1(name), _latin_1(value)) for name, value in fields]
    return Request(method, request_target(url).encode(), tuple(with_host(sent, url)), body)


def _recorded(sent: tuple[str, Request], status: int, fields: Iterable[tuple[str, str]], body: bytes) -> Recorded:
    url, request = sent
    known = tuple((name, _latin_1(value)) for name, value in fields if name.lower() != "content-encoding")
    return Recorded(url, Exchange(request, status, fields=known, payload=body, received=len(body), lacks=LACKS))


def _latin_1(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1", "replace")
