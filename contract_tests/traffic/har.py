"""Recorded traffic in HAR 1.2, as browsers, proxies and load generators write it."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from contract_tests.traffic.recording import Recorded, TrafficError, request_target, with_host
from contract_tests.wire.messages import Abridged, Aspect, Exchange, Request

T = TypeVar("T")

NOT_FROM_THE_NETWORK = {"Memory Cache", "Disk Cache", "Service Worker", "Inspector Override"}  # of Safari's _fetchType
NO_BODY = {204, 205, 304}
TYPE_NAMES = {dict: "an object", list: "an array", str: "a text", int: "a whole number"}


class _MalformedError(Exception):
    """A member that HAR requires is missing, or has another type."""


def read_har(path: Path | str) -> list[Recorded]:
    """Return the entries of a HAR file as exchanges; those without a response from the network have no status.

    HAR contains bodies without their content coding, and neither the bytes of a message nor its framing.

    Raises:
        TrafficError: The file cannot be read, or is not HAR.
    """
    path = Path(path)
    try:
        document = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise TrafficError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TrafficError(f"{path} is not HAR: it is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise TrafficError(f"{path} is not HAR: {error}") from None
    try:
        entries = _at(document, list, "log", "entries")
    except _MalformedError as error:
        raise TrafficError(f"{path} is not HAR 1.2: {error}") from None
    return [_recorded(entry, f"(entry {number} of {path.name})") for number, entry in enumerate(entries)]


def _at(value: Any, kind: type[T], *names: str) -> T:
    for depth, name in enumerate(names, 1):
        value = value.get(name) if isinstance(value, dict) else None
        if value is None:
            raise _MalformedError(f"/{'/'.join(names[:depth])} is missing")
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _MalformedError(f"/{'/'.join(names)} is not {TYPE_NAMES[kind]}")
    return value


def _recorded(entry: Any, label: str) -> Recorded:
    try:
        url = _at(entry, str, "request", "url")
    except _MalformedError:
        return Recorded("", Exchange(Request("", b"", ())))
    request = Request("", _utf_8(request_target(url)), tuple(_sent_fields(entry, url)), label=label)
    try:
        return Recorded(url, _exchange(entry, _complete_request(entry, request)))
    except (_MalformedError, ValueError, TypeError, AttributeError) as error:
        return Recorded(url, Exchange(request), f"{label} is not HAR 1.2: {error}")


def _exchange(entry: Mapping[str, Any], request: Request) -> Exchange:
    response = entry.get("response") or {}
    status = int(response.get("status") or 0)
    if not 100 <= status < 600 or isinstance(response["status"], bool) or not _is_from_the_network(entry):
        return Exchange(request)
    fields = [(name, value.encode("latin-1", "replace")) for name, value in _fields(response)]
    codings = {value.strip().lower() for name, value in fields if name.lower() == "content-encoding"}
    lacks: set[Aspect] = {"head", "framing"}
    if codings - {b"", b"identity"}:
        lacks.add("coding")
    if not _is_base64(response):
        lacks.add("bytes")
    payload, abridged = _payload(response, is_without=status in NO_BODY or request.method == "HEAD")
    seconds = float(entry.get("time") or 0) / 1000
    return Exchange(
        request=request,
        status=status,
        reason=str(response.get("statusText") or ""),
        version=_version(response).removeprefix("HTTP/"),
        fields=tuple((name, value) for name, value in fields if name.lower() != "content-encoding"),
        payload=payload,
        received=len(payload),
        started=datetime.fromisoformat(_at(entry, str, "startedDateTime")).timestamp(),
        seconds=seconds if math.isfinite(seconds) and seconds > 0 else 0.0,
        abridged=abridged,
        lacks=frozenset(lacks),
    )


def _is_from_the_network(entry: Mapping[str, Any]) -> bool:
    """Whether a response came from the network as a whole, and not from a cache or a service worker."""
    response = entry["response"]
    names = {name.lower() for name, _ in _fields(response)}
    return not (
        entry.get("_fromCache")
        or entry.get("_fetchedViaServiceWorker")
        or entry.get("_fetchType") in NOT_FROM_THE_NETWORK
        or "afterRequest" in (entry.get("cache") or {})
        or "non-authoritative-reason" in names  # a redirect that the browser makes itself
        or response.get("_error")
        or response.get("_failureText")
    )


def _complete_request(entry: Mapping[str, Any], request: Request) -> Request:
    """Return the request with its method, body and version; the version is unknown if the recorder left Host out."""
    version = _version(entry["request"]) if request.values("Host") else ""
    return replace(
        request,
        method=_at(entry, str, "request", "method"),
        body=_utf_8(str((entry["request"].get("postData") or {}).get("text") or "")),
        version=version if version.startswith("HTTP/") and version[5:6] not in {"2", "3"} else "",
    )


def _sent_fields(entry: Mapping[str, Any], url: str) -> list[tuple[bytes, bytes]]:
    """Return the header fields of a request; HTTP/2 has no Host, which is added from the URL."""
    fields = [(_utf_8(name), _utf_8(value)) for name, value in _fields(entry["request"])]
    return fields if _version(entry["request"]).startswith("HTTP/1") else with_host(fields, url)


def _version(message: Mapping[str, Any]) -> str:
    return str(message.get("httpVersion") or "").upper()


def _utf_8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _fields(message: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the header fields of a message, without the pseudo-header fields of HTTP/2.

    Some browsers join fields of the same name with a line end.
    """
    headers = message.get("headers") or []
    pairs = (
        headers.items() if isinstance(headers, dict) else [(each.get("name"), each.get("value")) for each in headers]
    )
    return [
        (str(name), line)
        for name, value in pairs
        if name and name[0] != ":"
        for line in ("" if value is None else str(value)).split("\n")
    ]


def _is_base64(response: Mapping[str, Any]) -> bool:
    return str((response.get("content") or {}).get("encoding") or "").lower() == "base64"


def _payload(response: Mapping[str, Any], *, is_without: bool) -> tuple[bytes, Abridged | None]:
    """Return the decoded body, and whether it is missing."""
    if is_without:
        return b"", None
    content = response.get("content") or {}
    text, size = content.get("text"), int(content.get("size") or 0)
    is_empty = size == 0 and response.get("bodySize") == 0
    if not text and not is_empty:
        return b"", Abridged(max(size, 0), "", reason="the recording lacks the body of a response")
    if not _is_base64(response):
        return str(text or "").encode("utf-8", "surrogatepass"), None
    try:
        return base64.b64decode("".join(str(text).split()) + "==", validate=False), None
    except binascii.Error as error:
        raise _MalformedError(f"/response/content/text is not base64: {error}") from None
