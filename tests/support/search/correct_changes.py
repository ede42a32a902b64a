"""Changes of correct deployments: what a server, a proxy or a framework may do otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

from mock_server.web.raw_response import RawMessage
from tests.support.search.mutations import is_ok
from tests.support.search.served import PATH, Change, Received, named, with_bytes, with_fields, with_json, with_status

ERRORS = (401, 403, 404, 405, 429)
Body = dict[str, Any]


def of_metrics(edit: Callable[[Body], Body]) -> Change:
    """Return a change of the usage metrics."""

    def change(message: RawMessage, received: Received) -> RawMessage:
        return with_json(message, edit(json.loads(message.body))) if is_ok(message, received) else message

    return change


def of_text(edit: Callable[[Any], str], statuses: tuple[int, ...] = (200, *ERRORS)) -> Change:
    """Return a change of the form of JSON bodies."""

    def change(message: RawMessage, _: Received) -> RawMessage:
        if message.status not in statuses or not message.body or not message.has("Content-Type"):
            return message
        if "json" not in dict(message.headers).get("Content-Type", "application/json"):
            return message
        return replace(message, body=edit(json.loads(message.body)).encode())

    return change


def fields_set(statuses: tuple[int, ...] = (), **fields: str | None) -> Change:
    """Return a change of header fields in responses with some statuses, or in all."""
    vary = fields.pop("Vary", None)

    def change(message: RawMessage, _: Received) -> RawMessage:
        if statuses and message.status not in statuses:
            return message
        changed = with_fields(message, named(**fields))
        return _varying(changed, vary) if vary else changed

    return change


def _varying(message: RawMessage, names: str) -> RawMessage:
    """Return a message with a further Vary field: another part of the server may have sent one."""
    return replace(message, headers=(*message.headers, ("Vary", names)))


def error_bodies(body: Callable[[str], Body], media_type: str = "application/json") -> Change:
    """Return a change of the bodies of errors, each with its detail."""

    def change(message: RawMessage, _: Received) -> RawMessage:
        if message.status not in ERRORS:
            return message
        detail = str(json.loads(message.body or b"{}").get("detail", "Refused"))
        return with_json(with_fields(message, {"Content-Type": media_type}), body(detail))

    return change


def answering(applies: Callable[[Received], bool], status: int, **fields: str | None) -> Change:
    """Return a change of the status of some requests."""

    def change(message: RawMessage, received: Received) -> RawMessage:
        return with_fields(with_status(message, status), named(**fields)) if applies(received) else message

    return change


def by_method(*methods: str) -> Callable[[Received], bool]:
    return lambda received: received.method in methods and received.path == PATH


def other_method(received: Received) -> bool:
    return received.method not in {"GET", "HEAD", "OPTIONS"} and received.path == PATH


def other_path(received: Received) -> bool:
    return received.path not in {PATH, "/", "/healthz", "*"} and not received.path.startswith("http")


def has_odd_key(received: Received) -> bool:
    return len(received.key) > 1000 or not received.key.isascii() or not received.key.isprintable()


def refused_with_401(message: RawMessage, _: Received) -> RawMessage:
    challenge = {"WWW-Authenticate": "ApiKey"}
    return with_fields(with_status(message, 401), challenge) if message.status == 403 else message


def announcing_keep_alive(message: RawMessage, received: Received) -> RawMessage:
    if not received.request.keep_alive or message.framing == "close" or message.end != "keep":
        return message
    announced = {"Connection": "keep-alive", "Keep-Alive": "timeout=5, max=100"}
    return message if message.has("Connection") else with_fields(message, announced)


def page(status: int, text: str) -> Callable[[Callable[[Received], bool]], Change]:
    """Return what makes a change of some requests' responses: an HTML page with a status."""

    def for_requests(applies: Callable[[Received], bool]) -> Change:
        def change(message: RawMessage, received: Received) -> RawMessage:
            if not applies(received):
                return message
            body = f"<!doctype html><title>{status}</title><p>{text}</p>".encode()
            return replace(with_fields(with_status(message, status), {"Content-Type": "text/html"}), body=body)

        return change

    return for_requests


def closing(applies: Callable[[Received], bool]) -> Change:
    def change(message: RawMessage, received: Received) -> RawMessage:
        return replace(message, message=({"op": "cut", "at": 0},), end="close") if applies(received) else message

    return change


def name_case(case: Callable[[str], str]) -> Change:
    return lambda message, _: replace(message, headers=tuple((case(name), value) for name, value in message.headers))


def field_order(order: Callable[[list[tuple[str, str]]], list[tuple[str, str]]]) -> Change:
    return lambda message, _: replace(message, headers=tuple(order(list(message.headers))))


def with_framing(framing: Any) -> Change:
    return lambda message, _: replace(message, framing=framing)


def odd_chunks(message: RawMessage, received: Received) -> RawMessage:
    """Send chunks with extensions, capitals and a trailer, where the client may read chunks."""
    has_body = received.method != "HEAD" and message.status not in {204, 304} and not message.message
    if received.request.version.minor == 0 or not has_body:
        return message

    def write(head: bytes, body: bytes) -> bytes:
        fields = re.sub(
            rb"(?im)^content-length: \d+\r\n", b"Transfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n", head
        )
        return fields + b"%X;name=value\r\n%b\r\n0\r\nX-Checksum: 1\r\n\r\n" % (len(body), body) if body else head

    return with_bytes(message, received, write)


def closing_every(count: int) -> Change:
    """Close each connection after some requests, and announce it."""

    def change(message: RawMessage, received: Received) -> RawMessage:
        if received.connection.requests % count or message.end != "keep":
            return message
        return replace(with_fields(message, {"Connection": "close"}), end="close")

    return change


def compressing(coding: str, compress: Callable[[bytes], bytes]) -> Change:
    def change(message: RawMessage, received: Received) -> RawMessage:
        accepted = re.findall(r"([\w*-]+)(?:;q=([\d.]+))?", received.header("Accept-Encoding"))
        is_accepted = any(name == coding and (weight or "1") not in {"0", "0.0"} for name, weight in accepted)
        varied = _varying(message, "Accept-Encoding")
        if not is_accepted or not message.body or message.status in {204, 206, 304} or received.method == "HEAD":
            return varied
        return replace(with_fields(varied, {"Content-Encoding": coding}), body=compress(message.body))

    return change


def success_rate(decimals: Callable[[float], float]) -> Change:
    def edit(body: Body) -> Body:
        return {**body, "success_rate": decimals(100 * body["success"] / body["total"]) if body["total"] else 0}

    return of_metrics(edit)


def rate_limit(edit: Callable[[Body], Body]) -> Change:
    return of_metrics(lambda body: {**body, "rate_limit": edit(body["rate_limit"])})


def domain_rows(edit: Callable[[Body], Body]) -> Change:
    return of_metrics(lambda body: {**body, "top_domains": [edit(row) for row in body["top_domains"]]})


def without_member(member: str) -> Change:
    return of_metrics(lambda body: {name: value for name, value in body.items() if name != member})


def showing_key(show: Callable[[str], str]) -> Change:
    return of_metrics(lambda body: {**body, "api_key": show(body["api_key"])})


def growing(steps: Callable[[Received, int], int], *, of_fetch: bool = True) -> Callable[[], Change]:
    """Return what builds counters that grow; `steps` is the number of further successful requests."""

    def build() -> Change:
        counts: dict[str, int] = {}
        started: list[float] = []

        def change(message: RawMessage, received: Received) -> RawMessage:
            if not is_ok(message, received):
                return message
            started.append(received.now)
            counts[received.key] = counts.get(received.key, 0) + 1
            more = steps(replace(received, now=received.now - started[0]), counts[received.key])
            body = json.loads(message.body)
            body["total"] += more
            body["success"] += more
            body["success_rate"] = round(100 * body["success"] / body["total"], 2) if body["total"] else 0.0
            if of_fetch:
                body["by_protocol"]["fetch"] += more
                body["bytes_transferred"] += 1500 * more
                if body["top_domains"]:
                    body["top_domains"][0]["requests"] += more
            return with_json(message, body)

        return change

    return build


def of_used_keys(steps: Callable[[Received, int], int]) -> Callable[[Received, int], int]:
    """Grow only keys that are in use: the first two."""
    return lambda received, count: steps(received, count) if received.key in received.keys[:2] else 0


def restarting() -> Change:
    """Start a new window in the middle of the run: all counters restart at zero."""
    counts: dict[str, int] = {}

    def change(message: RawMessage, received: Received) -> RawMessage:
        if not is_ok(message, received):
            return message
        counts[received.key] = counts.get(received.key, 0) + 1
        if counts[received.key] < 6:
            return message
        body = json.loads(message.body)
        zeros = dict.fromkeys(("total", "success", "fail", "bytes_transferred"), 0) | {"success_rate": 0.0}
        return with_json(
            message, body | zeros | {"by_protocol": dict.fromkeys(body["by_protocol"], 0), "top_domains": []}
        )

    return change


def with_etag(weak: str) -> Change:
    def change(message: RawMessage, received: Received) -> RawMessage:
        if not is_ok(message, received) or received.method != "GET":
            return message
        tag = f'{weak}"{sha256(message.body).hexdigest()[:16]}"'
        tagged = with_fields(message, {"ETag": tag})
        sent = [item.strip().removeprefix("W/") for item in received.header("If-None-Match").split(",")]
        if tag.removeprefix("W/") in sent:
            return replace(with_fields(tagged, {"Content-Type": None}), status=304, reason="Not Modified", body=b"")
        return tagged

    return change


def with_ranges(message: RawMessage, received: Received) -> RawMessage:
    match = re.fullmatch(r"bytes=(\d+)-(\d+)", received.header("Range"))
    is_whole = received.method != "GET" or received.header("If-Range") or message.has("Content-Encoding")
    if not is_ok(message, received) or not match or is_whole:
        return message
    start, end, size = int(match[1]), min(int(match[2]), len(message.body) - 1), len(message.body)
    if start > end:
        return message
    fields = {"Content-Range": f"bytes {start}-{end}/{size}", "Accept-Ranges": "bytes"}
    part = replace(message, status=206, reason="Partial Content", body=message.body[start : end + 1])
    return with_fields(part, fields)


def not_acceptable(message: RawMessage, received: Received) -> RawMessage:
    accept = received.header("Accept").lower()
    if "Accept" not in received.request.headers or re.search(r"\*/\*|application/\*|application/json", accept):
        return message
    return with_status(message, 406) if received.path == PATH and received.method == "GET" else message


def early_hints(message: RawMessage, received: Received) -> RawMessage:
    if received.request.version.minor == 0 or message.message:
        return message
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
    return with_bytes(message, received, lambda head, body: early + head + body)


def with_reason(text: str) -> Change:
    return lambda message, _: replace(message, reason=text)


def counts_spelt(number: Callable[[int], str]) -> Change:
    """Write the counts of usage metrics in another way."""
    return of_text(
        lambda value: re.sub(r"(?<=:)(\d+)(?=[,}])", lambda m: number(int(m[1])), compact_json(value)), (200,)
    )


def compact_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
