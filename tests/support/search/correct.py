"""Correct and unusual deployments: servers, proxies and frameworks differ in many ways, and any two may meet."""

from __future__ import annotations

import gzip
import json
import math
import random
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from hashlib import sha256
from itertools import combinations
from typing import Any

import brotli

from mock_server.web.raw_response import RawMessage
from tests.support.search.mutations import Mutation, is_ok
from tests.support.search.served import (
    PATH,
    Behaviour,
    Change,
    Received,
    as_it_is,
    named,
    with_bytes,
    with_fields,
    with_json,
    with_status,
)

SEED = 1
GROUP = "correct"
ERRORS = (401, 403, 404, 405, 429)
Body = dict[str, Any]


def _of_metrics(edit: Callable[[Body], Body]) -> Change:
    """Return a change of the usage metrics."""

    def change(message: RawMessage, received: Received) -> RawMessage:
        return with_json(message, edit(json.loads(message.body))) if is_ok(message, received) else message

    return change


def _of_text(edit: Callable[[Any], str], statuses: tuple[int, ...] = (200, *ERRORS)) -> Change:
    """Return a change of the form of JSON bodies."""

    def change(message: RawMessage, _: Received) -> RawMessage:
        if message.status not in statuses or not message.body or not message.has("Content-Type"):
            return message
        if "json" not in dict(message.headers).get("Content-Type", "application/json"):
            return message
        return replace(message, body=edit(json.loads(message.body)).encode())

    return change


def _fields(statuses: tuple[int, ...] = (), **fields: str | None) -> Change:
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


def _errors(body: Callable[[str], Body], media_type: str = "application/json") -> Change:
    """Return a change of the bodies of errors, each with its detail."""

    def change(message: RawMessage, _: Received) -> RawMessage:
        if message.status not in ERRORS:
            return message
        detail = str(json.loads(message.body or b"{}").get("detail", "Refused"))
        return with_json(with_fields(message, {"Content-Type": media_type}), body(detail))

    return change


def _answering(applies: Callable[[Received], bool], status: int, **fields: str | None) -> Change:
    """Return a change of the status of some requests."""

    def change(message: RawMessage, received: Received) -> RawMessage:
        return with_fields(with_status(message, status), named(**fields)) if applies(received) else message

    return change


def _by_method(*methods: str) -> Callable[[Received], bool]:
    return lambda received: received.method in methods and received.path == PATH


def _other_method(received: Received) -> bool:
    return received.method not in {"GET", "HEAD", "OPTIONS"} and received.path == PATH


def _other_path(received: Received) -> bool:
    return received.path not in {PATH, "/", "/healthz", "*"} and not received.path.startswith("http")


def _has_odd_key(received: Received) -> bool:
    return len(received.key) > 1000 or not received.key.isascii() or not received.key.isprintable()


def _unauthorized(message: RawMessage, _: Received) -> RawMessage:
    challenge = {"WWW-Authenticate": "ApiKey"}
    return with_fields(with_status(message, 401), challenge) if message.status == 403 else message


def _kept(message: RawMessage, received: Received) -> RawMessage:
    if not received.request.keep_alive or message.framing == "close" or message.end != "keep":
        return message
    announced = {"Connection": "keep-alive", "Keep-Alive": "timeout=5, max=100"}
    return message if message.has("Connection") else with_fields(message, announced)


def _page(status: int, text: str) -> Callable[[Callable[[Received], bool]], Change]:
    def page(applies: Callable[[Received], bool]) -> Change:
        def change(message: RawMessage, received: Received) -> RawMessage:
            if not applies(received):
                return message
            body = f"<!doctype html><title>{status}</title><p>{text}</p>".encode()
            return replace(with_fields(with_status(message, status), {"Content-Type": "text/html"}), body=body)

        return change

    return page


def _closed(applies: Callable[[Received], bool]) -> Change:
    def change(message: RawMessage, received: Received) -> RawMessage:
        return replace(message, message=({"op": "cut", "at": 0},), end="close") if applies(received) else message

    return change


def _cased(case: Callable[[str], str]) -> Change:
    return lambda message, _: replace(message, headers=tuple((case(name), value) for name, value in message.headers))


def _ordered(order: Callable[[list[tuple[str, str]]], list[tuple[str, str]]]) -> Change:
    return lambda message, _: replace(message, headers=tuple(order(list(message.headers))))


def _framed(framing: Any) -> Change:
    return lambda message, _: replace(message, framing=framing)


def _odd_chunks(message: RawMessage, received: Received) -> RawMessage:
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


def _every(count: int) -> Change:
    """Close each connection after some requests, and announce it."""

    def change(message: RawMessage, received: Received) -> RawMessage:
        if received.connection.requests % count or message.end != "keep":
            return message
        return replace(with_fields(message, {"Connection": "close"}), end="close")

    return change


def _coded(coding: str, compress: Callable[[bytes], bytes]) -> Change:
    def change(message: RawMessage, received: Received) -> RawMessage:
        accepted = re.findall(r"([\w*-]+)(?:;q=([\d.]+))?", received.header("Accept-Encoding"))
        is_accepted = any(name == coding and (weight or "1") not in {"0", "0.0"} for name, weight in accepted)
        varied = _varying(message, "Accept-Encoding")
        if not is_accepted or not message.body or message.status in {204, 206, 304} or received.method == "HEAD":
            return varied
        return replace(with_fields(varied, {"Content-Encoding": coding}), body=compress(message.body))

    return change


def _rate(decimals: Callable[[float], float]) -> Change:
    def edit(body: Body) -> Body:
        return {**body, "success_rate": decimals(100 * body["success"] / body["total"]) if body["total"] else 0}

    return _of_metrics(edit)


def _limit(edit: Callable[[Body], Body]) -> Change:
    return _of_metrics(lambda body: {**body, "rate_limit": edit(body["rate_limit"])})


def _domains(edit: Callable[[Body], Body]) -> Change:
    return _of_metrics(lambda body: {**body, "top_domains": [edit(row) for row in body["top_domains"]]})


def _without(member: str) -> Change:
    return _of_metrics(lambda body: {name: value for name, value in body.items() if name != member})


def _shown(show: Callable[[str], str]) -> Change:
    return _of_metrics(lambda body: {**body, "api_key": show(body["api_key"])})


def _growing(steps: Callable[[Received, int], int], *, of_fetch: bool = True) -> Callable[[], Change]:
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


def _used(steps: Callable[[Received, int], int]) -> Callable[[Received, int], int]:
    """Grow only keys that are in use: the first two."""
    return lambda received, count: steps(received, count) if received.key in received.keys[:2] else 0


def _restarted() -> Change:
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


def _tagged(weak: str) -> Change:
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


def _ranged(message: RawMessage, received: Received) -> RawMessage:
    match = re.fullmatch(r"bytes=(\d+)-(\d+)", received.header("Range"))
    if not is_ok(message, received) or not match or received.method != "GET" or message.has("Content-Encoding"):
        return message
    start, end, size = int(match[1]), min(int(match[2]), len(message.body) - 1), len(message.body)
    if start > end:
        return message
    fields = {"Content-Range": f"bytes {start}-{end}/{size}", "Accept-Ranges": "bytes"}
    part = replace(message, status=206, reason="Partial Content", body=message.body[start : end + 1])
    return with_fields(part, fields)


def _not_acceptable(message: RawMessage, received: Received) -> RawMessage:
    accept = received.header("Accept").lower()
    if "Accept" not in received.request.headers or re.search(r"\*/\*|application/\*|application/json", accept):
        return message
    return with_status(message, 406) if received.path == PATH and received.method == "GET" else message


def _interim(message: RawMessage, received: Received) -> RawMessage:
    if received.request.version.minor == 0 or message.message:
        return message
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
    return with_bytes(message, received, lambda head, body: early + head + body)


def _reason(text: str) -> Change:
    return lambda message, _: replace(message, reason=text)


def _spelt(number: Callable[[int], str]) -> Change:
    """Write the counts of usage metrics in another way."""
    return _of_text(lambda value: re.sub(r"(?<=:)(\d+)(?=[,}])", lambda m: number(int(m[1])), _compact(value)), (200,))


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


Values = Mapping[str, Callable[[], Change]]


def _same(change: Change) -> Change:
    return change


def _each(**values: Change) -> Values:
    return {name.replace("_", " "): partial(_same, change) for name, change in values.items()}


# In the order in which a response gets them: metrics, their form, status, fields, codings, framing.
DIMENSIONS: Mapping[str, Values] = {
    "counters": {
        "constant": lambda: as_it_is,
        "growing with time": _growing(_used(lambda received, _: int(received.now * 3))),
        "growing with each response": _growing(_used(lambda _, count: 2 * count)),
        "counting usage requests": _growing(_used(lambda _, count: count), of_fetch=False),
        "of two replicas": _growing(_used(lambda _, count: 2 * count - 3 * (count % 2))),
        "restarting": _restarted,
    },
    "rate": _each(
        as_it_is=as_it_is,
        whole=_rate(round),
        one_decimal=_rate(lambda rate: round(rate, 1)),
        four_decimals=_rate(lambda rate: round(rate, 4)),
        not_rounded=_rate(lambda rate: rate),
        rounded_down=_rate(lambda rate: math.floor(rate * 100) / 100),
        rounded_up=_rate(lambda rate: math.ceil(rate * 10) / 10),
        missing=_without("success_rate"),
    ),
    "limit": _each(
        as_it_is=as_it_is,
        whole_tokens=_limit(lambda limit: {**limit, "remaining": int(limit["remaining"])}),
        not_rounded=_limit(lambda limit: {**limit, "remaining": limit["remaining"] * 0.987654321}),
        full=_limit(lambda limit: {**limit, "remaining": limit["burst"]}),
        missing=_without("rate_limit"),
        without_remaining=_limit(lambda limit: {name: limit[name] for name in ("rps", "burst")}),
        with_more=_limit(lambda limit: {**limit, "window": "1s", "reset": 0.4}),
    ),
    "key": _each(
        as_it_is=as_it_is,
        masked=_shown(lambda key: key[:3] + "*" * 8),
        masked_in_its_middle=_shown(lambda key: f"{key[:3]}...{key[-2:]}"),
        hashed=_shown(lambda key: sha256(key.encode()).hexdigest()),
        hashed_shortly=_shown(lambda key: sha256(key.encode()).hexdigest()[:12]),
        an_identifier=_shown(lambda key: f"key_{zlib.crc32(key.encode())}"),
        missing=_without("api_key"),
    ),
    "members": _each(
        as_they_are=as_it_is,
        reversed=_of_metrics(lambda body: dict(reversed(body.items()))),
        with_more=_of_metrics(lambda body: {**body, "plan": "pro", "period": {"start": "2027-01-01"}, "x": None}),
        without_amqp=_of_metrics(
            lambda body: {**body, "by_protocol": {name: body["by_protocol"][name] for name in ("fetch", "ws")}}
        ),
        without_bytes=_without("bytes_transferred"),
        rows_with_more=_domains(lambda row: {**row, "share": 0.1}),
        five_domains=_of_metrics(lambda body: {**body, "top_domains": body["top_domains"][:5]}),
        international_domains=_domains(lambda row: {**row, "domain": f"bücher-{row['domain']}"}),
    ),
    "text": _each(
        compact=as_it_is,
        indented=_of_text(partial(json.dumps, indent=2)),
        with_a_line_break=_of_text(lambda value: _compact(value) + "\n"),
        with_spaces=_of_text(lambda value: "\r\n " + json.dumps(value) + " \t\n"),
        not_escaped=_of_text(lambda value: json.dumps(value, ensure_ascii=False)),
        slashes_escaped=_of_text(lambda value: _compact(value).replace("/", "\\/")),
        sorted=_of_text(lambda value: json.dumps(value, sort_keys=True)),
        with_decimal_points=_spelt(lambda number: f"{number}.0"),
        with_exponents=_spelt(lambda number: f"{number}e0"),
    ),
    "errors": _each(
        as_they_are=as_it_is,
        with_a_code=_errors(lambda detail: {"code": "refused", "detail": detail, "status": 401}),
        problem_documents=_errors(
            lambda detail: {"type": "about:blank", "title": "Refused", "detail": detail}, "application/problem+json"
        ),
        with_a_charset=_errors(lambda detail: {"detail": detail}, "application/json; charset=utf-8"),
        vendor_types=_errors(lambda detail: {"error": True, "detail": detail}, "application/vnd.acme.v1+json"),
        in_german=_errors(lambda _: {"detail": "Ungültiger oder fehlender API-Schlüssel 🔑"}),
        long=_errors(lambda detail: {"detail": detail + " See the documentation." * 100}),
    ),
    "unknown key": _each(is_403=as_it_is, is_401=_unauthorized),
    "HEAD": _each(
        like_GET=as_it_is,
        is_405=_answering(_by_method("HEAD"), 405, Allow="GET"),
        without_a_length=lambda m, r: replace(m, framing="close") if r.method == "HEAD" else m,
    ),
    "OPTIONS": _each(
        is_204=as_it_is,
        is_405=_answering(_by_method("OPTIONS"), 405, Allow="GET"),
        is_200=lambda m, r: replace(m, status=200, reason="OK") if _by_method("OPTIONS")(r) else m,
        is_401=_answering(_by_method("OPTIONS"), 401, WWW_Authenticate="ApiKey"),
        is_404=_answering(_by_method("OPTIONS"), 404),
        is_403=_answering(_by_method("OPTIONS"), 403),
        is_a_preflight=lambda m, r: with_fields(
            replace(m, status=200, reason="OK"),
            {
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Allow-Methods": "GET",
                "Access-Control-Allow-Headers": "X-API-Key",
                "Access-Control-Max-Age": "600",
            },
        )
        if _by_method("OPTIONS")(r)
        else m,
    ),
    "other methods": _each(
        are_405=as_it_is,
        are_404=_answering(_other_method, 404, Allow=None),
        are_403=_answering(_other_method, 403, Allow=None),
        are_401=_answering(_other_method, 401, Allow=None, WWW_Authenticate="ApiKey"),
        are_400=_answering(_other_method, 400, Allow=None),
        are_501=_answering(_other_method, 501, Allow=None),
        are_405_pages=lambda m, r: with_fields(_page(405, "no")(_other_method)(m, r), {"Allow": "GET, HEAD"})
        if _other_method(r)
        else m,
    ),
    "other paths": _each(
        are_404=as_it_is,
        are_pages=_page(404, "not found")(_other_path),
        are_401=_answering(_other_path, 401, WWW_Authenticate="ApiKey"),
        are_403=_answering(_other_path, 403),
        are_400=_answering(_other_path, 400),
        are_301=_answering(_other_path, 301, Location="/docs"),
    ),
    "overview": _each(
        is_served=as_it_is,
        is_404=_answering(lambda received: received.path == "/", 404),
        is_302=_answering(lambda received: received.path == "/", 302, Location="/docs"),
        is_a_page=_page(200, "Usage API")(lambda received: received.path == "/"),
    ),
    "health": _each(
        is_served=as_it_is,
        is_404=_answering(lambda received: received.path == "/healthz", 404),
        has_more=lambda m, r: with_json(m, {"ok": True, "version": "2.2.0", "db": "up"}) if r.path == "/healthz" else m,
    ),
    "odd keys": _each(
        are_403=as_it_is,
        are_400=_answering(_has_odd_key, 400),
        are_431=_answering(_has_odd_key, 431),
        are_401=_answering(_has_odd_key, 401, WWW_Authenticate="ApiKey"),
        are_pages=_page(400, "bad request")(_has_odd_key),
        close=_closed(_has_odd_key),
    ),
    "queries": _each(
        are_ignored=as_it_is,
        are_400=_answering(lambda r: bool(r.query) and r.is_valid and r.path == PATH, 400),
        are_422=_answering(lambda r: bool(r.query) and r.is_valid and r.path == PATH, 422),
        long_ones_are_414=_answering(lambda received: len(received.request.raw_path) > 2000, 414),
    ),
    "long fields": _each(
        are_ignored=as_it_is,
        are_431=_answering(lambda r: any(len(value) > 4000 for value in r.request.headers.values()), 431),
        many_are_400=_answering(lambda r: len(r.request.headers) > 90, 400),
    ),
    "Accept": {"is ignored": lambda: as_it_is, "may lead to 406": lambda: _not_acceptable},
    "old HTTP": _each(
        is_served=as_it_is,
        is_505=_answering(lambda received: received.request.version.minor == 0, 505),
        is_426=_answering(lambda received: received.request.version.minor == 0, 426, Upgrade="HTTP/1.1"),
        is_400=_answering(lambda received: received.request.version.minor == 0, 400),
    ),
    "user agents": _each(
        are_ignored=as_it_is,
        missing_ones_are_403=_answering(lambda r: not r.header("User-Agent") and r.path == PATH, 403),
        probes_are_403=_answering(lambda r: bool(re.search("probe|HealthCheck|bot", r.header("User-Agent"))), 403),
    ),
    "caching": _each(
        no_store=as_it_is,
        unstated=_fields(Cache_Control=None),
        private=_fields(Cache_Control="private"),
        private_for_a_minute=_fields(Cache_Control="private, max-age=60"),
        no_cache=_fields(Cache_Control="no-cache"),
        all_directives=_fields(
            Cache_Control="no-store, no-cache, must-revalidate, post-check=0, pre-check=0", Pragma="no-cache",
            Expires="0"
        ),
        expired=_fields(Cache_Control="max-age=0", Expires="Thu, 01 Jan 1970 00:00:00 GMT"),
        public_by_key=_fields(Cache_Control="public, max-age=5", Vary="X-API-Key"),
        by_anything=_fields(Cache_Control="max-age=5", Vary="*"),
        revalidated=_fields(Cache_Control="public, max-age=0, must-revalidate"),
    ),
    "tags": _each(none=as_it_is, weak=_tagged("W/"), strong=_tagged("")),
    "ranges": {"are ignored": lambda: as_it_is, "are 206": lambda: _ranged},
    "fields": _each(
        as_they_are=as_it_is,
        nginx=_fields(Server="nginx/1.27.0", Vary="Accept-Encoding"),
        uvicorn=_fields(server="uvicorn"),
        cloudflare=_fields(Server="cloudflare", CF_Ray="8a1b2c3d4e5f-FRA", CF_Cache_Status="DYNAMIC",
        Alt_Svc='h3=":443"; ma=86400', NEL='{"max_age":604800}'),
        security=_fields(
            Strict_Transport_Security="max-age=31536000; includeSubDomains", X_Content_Type_Options="nosniff",
            X_Frame_Options="DENY", Referrer_Policy="no-referrer", Content_Security_Policy="default-src 'none'",
        ),
        cookies=_fields(Set_Cookie="lb=node-3; Path=/; HttpOnly; Secure; SameSite=Lax"),
        tracing=_fields(X_Request_Id="0af7651916cd43dd", Server_Timing="app;dur=3.2",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        cors=_fields(Access_Control_Allow_Origin="*", Access_Control_Expose_Headers="X-Request-Id", Vary="Origin"),
        limits=_fields((200,), X_RateLimit_Limit="10", X_RateLimit_Remaining="9", X_RateLimit_Reset="1"),
        draft_limits=_fields((200,), RateLimit='"default";r=9;t=1', RateLimit_Policy='"default";q=10;w=1'),
        via=_fields(Via="1.1 varnish, 1.1 google", Age="0", X_Cache="MISS", X_Served_By="cache-fra-1"),
        no_date=_fields(Date=None),
        languages=_fields(Content_Language="en", Vary="Accept-Language, Accept-Encoding"),
    ),
    "names": _each(
        as_they_are=as_it_is,
        lower_case=_cased(str.lower),
        upper_case=_cased(str.upper),
        sorted=_ordered(sorted),
        reversed=_ordered(lambda fields: fields[::-1]),
    ),
    "reasons": _each(usual=as_it_is, empty=_reason(""), one_for_all=_reason("Done")),
    "coding": _each(
        none=as_it_is,
        gzip=_coded("gzip", gzip.compress),
        brotli=_coded("br", brotli.compress),
        deflate=_coded("deflate", zlib.compress),
    ),
    "challenge": _each(
        as_it_is=as_it_is,
        missing=_fields((401,), WWW_Authenticate=None),
        bearer=_fields((401,), WWW_Authenticate='Bearer realm="api", error="invalid_token"'),
        several=_fields((401,), WWW_Authenticate='ApiKey realm="a, b", Basic realm="c"'),
    ),
    "connections": {
        "are kept": lambda: as_it_is,
        "are closed each time": lambda: _every(1),
        "are closed every third time": lambda: _every(3),
        "are announced": lambda: _kept,
    },
    "framing": _each(
        length=as_it_is,
        chunks=_framed("chunked"),
        until_closed=_framed("close"),
        odd_chunks=_odd_chunks,
        early_hints=_interim,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One value for each dimension."""

    values: tuple[str, ...]

    def build(self) -> Behaviour:
        """Return the behaviour of all values, one after the other."""
        changes = [DIMENSIONS[name][value]() for name, value in zip(DIMENSIONS, self.values, strict=True)]

        def change(message: RawMessage, received: Received) -> RawMessage:
            for each in changes:
                message = each(message, received)
            return message

        return Behaviour(change=change)

    @property
    def name(self) -> str:
        usual = [next(iter(values)) for values in DIMENSIONS.values()]
        of_each = zip(DIMENSIONS, self.values, usual, strict=True)
        return f"{GROUP}: " + "; ".join(f"{name} {value}" for name, value, default in of_each if value != default)


Pair = tuple[int, str, int, str]


def _pairs(values: tuple[str, ...]) -> Iterator[Pair]:
    for one, other in combinations(range(len(values)), 2):
        yield one, values[one], other, values[other]


def _rows(seed: int) -> Iterator[Row]:
    """Yield rows until any two values of two dimensions have met."""
    draw, choices = random.Random(seed), [list(values) for values in DIMENSIONS.values()]
    missing = {
        (one, a, other, b)
        for one, other in combinations(range(len(choices)), 2)
        for a in choices[one]
        for b in choices[other]
    }
    while missing:
        drawn = [tuple(draw.choice(values) for values in choices) for _ in range(30)]
        best = max(drawn, key=lambda values: sum(pair in missing for pair in _pairs(values)))
        one, a, other, b = min(missing)
        values = [*best]
        values[one], values[other] = a, b
        missing -= set(_pairs(tuple(values)))
        yield Row(tuple(values))


@cache
def correct(seed: int = SEED) -> Mapping[str, Mutation]:
    """Return correct deployments by name: each value alone, and rows in which any two values meet."""
    usual = [next(iter(values)) for values in DIMENSIONS.values()]
    alone = [
        Row((*usual[:place], value, *usual[place + 1 :]))
        for place, values in enumerate(DIMENSIONS.values())
        for value in values
    ]
    return {row.name: Mutation(row.name, GROUP, row.build, is_correct=True) for row in (*alone, *_rows(seed))}


def parsed(name: str) -> Mutation:
    """Return the correct deployment with a name, also of another seed."""
    chosen = dict(
        next(
            (dimension, part.removeprefix(f"{dimension} "))
            for dimension in DIMENSIONS
            if part.startswith(f"{dimension} ")
        )
        for part in name.removeprefix(f"{GROUP}: ").split("; ")
        if part
    )
    row = Row(tuple(chosen.get(dimension, next(iter(values))) for dimension, values in DIMENSIONS.items()))
    return Mutation(row.name, GROUP, row.build, is_correct=True)
