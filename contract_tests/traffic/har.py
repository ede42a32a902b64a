"""Recorded traffic in HAR 1.2, as browsers, proxies and load generators write it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from contract_tests.traffic.recording import Recorded, TrafficError, target_of
from contract_tests.wire.messages import Abridged, Exchange, Part, Request

T = TypeVar("T")

VERSIONS = {
    "h2": "HTTP/2",
    "http/2": "HTTP/2",
    "http/2.0": "HTTP/2",
    "h3": "HTTP/3",
    "http/3": "HTTP/3",
    "http/3.0": "HTTP/3",
}
NOT_FROM_THE_NETWORK = {"Memory Cache", "Disk Cache", "Service Worker"}  # of Safari's _fetchType
NO_BODY = {204, 205, 304}


def read_har(path: Path) -> list[Recorded]:
    """Return the exchanges of a HAR file that a server has answered.

    HAR contains bodies without their content coding, and neither the bytes of a message nor its framing. Entries that
    were served from a cache, or that have no response, are left out.

    Raises:
        TrafficError: The file cannot be read, or is not HAR.
    """
    try:
        document = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise TrafficError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise TrafficError(f"{path} is not HAR: {error}") from None
    try:
        entries = _at(document, list, "log", "entries")
    except _MissingError as missing:
        raise TrafficError(f"{path} is not HAR 1.2: {missing}") from None
    return [
        Recorded(url, exchange) for number, entry in enumerate(entries) for url, exchange in _read(path, number, entry)
    ]


class _MissingError(Exception):
    """A member that HAR requires is missing, or has another type."""


def _at(value: Any, kind: type[T], *names: str) -> T:
    for place, name in enumerate(names, 1):
        value = value.get(name) if isinstance(value, dict) else None
        if value is None:
            raise _MissingError(f"/{'/'.join(names[:place])} is missing")
    if not isinstance(value, kind):
        raise _MissingError(f"/{'/'.join(names)} is of another type")
    return value


def _read(path: Path, number: int, entry: Any) -> Iterator[tuple[str, Exchange]]:
    try:
        if _at(entry, int, "response", "status") < 100 or _is_from_cache(entry):
            return
        yield _at(entry, str, "request", "url"), _exchange(entry, f"(entry {number} of {path.name})")
    except (_MissingError, ValueError) as problem:
        raise TrafficError(f"{path} is not HAR 1.2: /log/entries/{number}: {problem}") from None


def _is_from_cache(entry: Mapping[str, Any]) -> bool:
    """Whether the browser answered the request itself."""
    names = {name.lower() for name, _ in _fields(entry, "response")}
    return bool(
        entry.get("_fromCache")
        or entry.get("_fetchedViaServiceWorker")
        or entry.get("_fetchType") in NOT_FROM_THE_NETWORK
        or "afterRequest" in (entry.get("cache") or {})
        or "non-authoritative-reason" in names  # a redirect that the browser makes itself
    )


def _exchange(entry: Mapping[str, Any], label: str) -> Exchange:
    fields = tuple((name, value.encode("latin-1", "replace")) for name, value in _fields(entry, "response"))
    codings = {value.strip().lower() for name, value in fields if name.lower() == "content-encoding"} - {
        b"",
        b"identity",
    }
    lacks: set[Part] = {"head", "framing"}
    if codings:
        lacks.add("coding")
    status = _at(entry, int, "response", "status")
    payload, abridged = _payload(entry, status)
    started = datetime.fromisoformat(_at(entry, str, "startedDateTime")).timestamp()
    version = str(entry["response"].get("httpVersion") or "")
    return Exchange(
        request=_request(entry, label),
        status=status,
        reason=str(entry["response"].get("statusText") or ""),
        version=VERSIONS.get(version.lower(), version.upper()).removeprefix("HTTP/"),
        fields=tuple((name, value) for name, value in fields if name.lower() != "content-encoding"),
        payload=payload,
        received=len(payload),
        started=started,
        seconds=max(float(entry.get("time") or 0), 0.0) / 1000,
        abridged=abridged,
        lacks=frozenset(lacks),
    )


def _request(entry: Mapping[str, Any], label: str) -> Request:
    url = _at(entry, str, "request", "url")
    body = (entry["request"].get("postData") or {}).get("text") or ""
    version = str(entry["request"].get("httpVersion") or "")
    return Request(
        method=_at(entry, str, "request", "method"),
        target=target_of(url).encode(),
        fields=tuple((name.encode(), value.encode("latin-1", "replace")) for name, value in _fields(entry, "request")),
        body=str(body).encode(),
        label=label,
        version=VERSIONS.get(version.lower(), version.upper()),
    )


def _fields(entry: Any, message: str) -> list[tuple[str, str]]:
    """Return the header fields of a message; of the pseudo-header fields of HTTP/2, `:authority` is Host."""
    found = [(_at(each, str, "name"), _at(each, str, "value")) for each in _at(entry, list, message, "headers")]
    named = [("Host" if name == ":authority" else name, value) for name, value in found]
    return [(name, value) for name, value in named if not name.startswith(":")]


def _payload(entry: Mapping[str, Any], status: int) -> tuple[bytes, Abridged | None]:
    """Return the decoded body, and whether it is missing."""
    content = _at(entry, dict, "response", "content")
    text, size = content.get("text"), content.get("size") or 0
    is_without_body = status in NO_BODY or entry["request"].get("method") == "HEAD"
    if not isinstance(text, str):
        if is_without_body or size <= 0:
            return b"", None
        return b"", Abridged(size, "", reason="the recording lacks the body of a response")
    if content.get("encoding") != "base64":
        return text.encode("utf-8", "surrogatepass"), None
    try:
        return base64.b64decode(text, validate=True), None
    except binascii.Error as error:
        raise _MissingError(f"/response/content/text is not base64: {error}") from None
