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

import brotli

from mock_server.web.raw_response import RawMessage
from tests.support.search.correct_changes import (
    announcing_keep_alive,
    answering,
    by_method,
    closing,
    closing_every,
    compact_json,
    compressing,
    counts_spelt,
    domain_rows,
    early_hints,
    error_bodies,
    field_order,
    fields_set,
    growing,
    has_odd_key,
    name_case,
    not_acceptable,
    odd_chunks,
    of_metrics,
    of_text,
    of_used_keys,
    other_method,
    other_path,
    page,
    rate_limit,
    refused_with_401,
    restarting,
    showing_key,
    success_rate,
    with_etag,
    with_framing,
    with_ranges,
    with_reason,
    without_member,
)
from tests.support.search.mutations import Mutation
from tests.support.search.served import PATH, Behaviour, Change, Received, as_it_is, with_fields, with_json

SEED = 1
GROUP = "correct"

Values = Mapping[str, Callable[[], Change]]


def _each(**values: Change) -> Values:
    return {name.replace("_", " "): partial(lambda each: each, change) for name, change in values.items()}


# In the order in which a response gets them: metrics, their form, status, fields, codings, framing.
DIMENSIONS: Mapping[str, Values] = {
    "counters": {
        "constant": lambda: as_it_is,
        "growing with time": growing(of_used_keys(lambda received, _: int(received.now * 3))),
        "growing with each response": growing(of_used_keys(lambda _, count: 2 * count)),
        "counting usage requests": growing(of_used_keys(lambda _, count: count), of_fetch=False),
        "of two replicas": growing(of_used_keys(lambda _, count: 2 * count - 3 * (count % 2))),
        "restarting": restarting,
    },
    "rate": _each(
        as_it_is=as_it_is,
        whole=success_rate(round),
        one_decimal=success_rate(lambda rate: round(rate, 1)),
        four_decimals=success_rate(lambda rate: round(rate, 4)),
        not_rounded=success_rate(lambda rate: rate),
        rounded_down=success_rate(lambda rate: math.floor(rate * 100) / 100),
        rounded_up=success_rate(lambda rate: math.ceil(rate * 10) / 10),
        missing=without_member("success_rate"),
    ),
    "limit": _each(
        as_it_is=as_it_is,
        whole_tokens=rate_limit(lambda limit: {**limit, "remaining": int(limit["remaining"])}),
        not_rounded=rate_limit(lambda limit: {**limit, "remaining": limit["remaining"] * 0.987654321}),
        full=rate_limit(lambda limit: {**limit, "remaining": limit["burst"]}),
        missing=without_member("rate_limit"),
        without_remaining=rate_limit(lambda limit: {name: limit[name] for name in ("rps", "burst")}),
        with_more=rate_limit(lambda limit: {**limit, "window": "1s", "reset": 0.4}),
    ),
    "key": _each(
        as_it_is=as_it_is,
        masked=showing_key(lambda key: key[:3] + "*" * 8),
        masked_in_its_middle=showing_key(lambda key: f"{key[:3]}...{key[-2:]}"),
        hashed=showing_key(lambda key: sha256(key.encode()).hexdigest()),
        hashed_shortly=showing_key(lambda key: sha256(key.encode()).hexdigest()[:12]),
        an_identifier=showing_key(lambda key: f"key_{zlib.crc32(key.encode())}"),
        missing=without_member("api_key"),
    ),
    "members": _each(
        as_they_are=as_it_is,
        reversed=of_metrics(lambda body: dict(reversed(body.items()))),
        with_more=of_metrics(lambda body: {**body, "plan": "pro", "period": {"start": "2027-01-01"}, "x": None}),
        without_amqp=of_metrics(
            lambda body: {**body, "by_protocol": {name: body["by_protocol"][name] for name in ("fetch", "ws")}}
        ),
        without_bytes=without_member("bytes_transferred"),
        rows_with_more=domain_rows(lambda row: {**row, "share": 0.1}),
        five_domains=of_metrics(lambda body: {**body, "top_domains": body["top_domains"][:5]}),
        international_domains=domain_rows(lambda row: {**row, "domain": f"bücher-{row['domain']}"}),
    ),
    "text": _each(
        compact=as_it_is,
        indented=of_text(partial(json.dumps, indent=2)),
        with_a_line_break=of_text(lambda value: compact_json(value) + "\n"),
        with_spaces=of_text(lambda value: "\r\n " + json.dumps(value) + " \t\n"),
        not_escaped=of_text(lambda value: json.dumps(value, ensure_ascii=False)),
        slashes_escaped=of_text(lambda value: compact_json(value).replace("/", "\\/")),
        sorted=of_text(lambda value: json.dumps(value, sort_keys=True)),
        with_decimal_points=counts_spelt(lambda number: f"{number}.0"),
        with_exponents=counts_spelt(lambda number: f"{number}e0"),
    ),
    "errors": _each(
        as_they_are=as_it_is,
        with_a_code=error_bodies(lambda detail: {"code": "refused", "detail": detail, "status": 401}),
        problem_documents=error_bodies(
            lambda detail: {"type": "about:blank", "title": "Refused", "detail": detail}, "application/problem+json"
        ),
        with_a_charset=error_bodies(lambda detail: {"detail": detail}, "application/json; charset=utf-8"),
        vendor_types=error_bodies(lambda detail: {"error": True, "detail": detail}, "application/vnd.acme.v1+json"),
        in_german=error_bodies(lambda _: {"detail": "Ungültiger oder fehlender API-Schlüssel 🔑"}),
        long=error_bodies(lambda detail: {"detail": detail + " See the documentation." * 100}),
    ),
    "unknown key": _each(is_403=as_it_is, is_401=refused_with_401),
    "HEAD": _each(
        like_GET=as_it_is,
        is_405=answering(by_method("HEAD"), 405, Allow="GET"),
        without_a_length=lambda m, r: replace(m, framing="close") if r.method == "HEAD" else m,
    ),
    "OPTIONS": _each(
        is_204=as_it_is,
        is_405=answering(by_method("OPTIONS"), 405, Allow="GET"),
        is_200=lambda m, r: replace(m, status=200, reason="OK") if by_method("OPTIONS")(r) else m,
        is_401=answering(by_method("OPTIONS"), 401, WWW_Authenticate="ApiKey"),
        is_404=answering(by_method("OPTIONS"), 404),
        is_403=answering(by_method("OPTIONS"), 403),
        is_a_preflight=lambda m, r: with_fields(
            replace(m, status=200, reason="OK"),
            {
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Allow-Methods": "GET",
                "Access-Control-Allow-Headers": "X-API-Key",
                "Access-Control-Max-Age": "600",
            },
        )
        if by_method("OPTIONS")(r)
        else m,
    ),
    "other methods": _each(
        are_405=as_it_is,
        are_404=answering(other_method, 404, Allow=None),
        are_403=answering(other_method, 403, Allow=None),
        are_401=answering(other_method, 401, Allow=None, WWW_Authenticate="ApiKey"),
        are_400=answering(other_method, 400, Allow=None),
        are_501=answering(other_method, 501, Allow=None),
        are_405_pages=lambda m, r: with_fields(page(405, "no")(other_method)(m, r), {"Allow": "GET, HEAD"})
        if other_method(r)
        else m,
    ),
    "other paths": _each(
        are_404=as_it_is,
        are_pages=page(404, "not found")(other_path),
        are_401=answering(other_path, 401, WWW_Authenticate="ApiKey"),
        are_403=answering(other_path, 403),
        are_400=answering(other_path, 400),
        are_301=answering(other_path, 301, Location="/docs"),
    ),
    "overview": _each(
        is_served=as_it_is,
        is_404=answering(lambda received: received.path == "/", 404),
        is_302=answering(lambda received: received.path == "/", 302, Location="/docs"),
        is_a_page=page(200, "Usage API")(lambda received: received.path == "/"),
    ),
    "health": _each(
        is_served=as_it_is,
        is_404=answering(lambda received: received.path == "/healthz", 404),
        has_more=lambda m, r: with_json(m, {"ok": True, "version": "2.2.0", "db": "up"}) if r.path == "/healthz" else m,
    ),
    "odd keys": _each(
        are_403=as_it_is,
        are_400=answering(has_odd_key, 400),
        are_431=answering(has_odd_key, 431),
        are_401=answering(has_odd_key, 401, WWW_Authenticate="ApiKey"),
        are_pages=page(400, "bad request")(has_odd_key),
        close=closing(has_odd_key),
    ),
    "queries": _each(
        are_ignored=as_it_is,
        are_400=answering(lambda r: bool(r.query) and r.is_valid and r.path == PATH, 400),
        are_422=answering(lambda r: bool(r.query) and r.is_valid and r.path == PATH, 422),
        long_ones_are_414=answering(lambda received: len(received.request.raw_path) > 2000, 414),
    ),
    "long fields": _each(
        are_ignored=as_it_is,
        are_431=answering(lambda r: any(len(value) > 4000 for value in r.request.headers.values()), 431),
        many_are_400=answering(lambda r: len(r.request.headers) > 90, 400),
    ),
    "Accept": {"is ignored": lambda: as_it_is, "may lead to 406": lambda: not_acceptable},
    "old HTTP": _each(
        is_served=as_it_is,
        is_505=answering(lambda received: received.request.version.minor == 0, 505),
        is_426=answering(lambda received: received.request.version.minor == 0, 426, Upgrade="HTTP/1.1"),
        is_400=answering(lambda received: received.request.version.minor == 0, 400),
    ),
    "user agents": _each(
        are_ignored=as_it_is,
        missing_ones_are_403=answering(lambda r: not r.header("User-Agent") and r.path == PATH, 403),
        probes_are_403=answering(lambda r: bool(re.search("probe|HealthCheck|bot", r.header("User-Agent"))), 403),
    ),
    "caching": _each(
        no_store=as_it_is,
        unstated=fields_set(Cache_Control=None),
        private=fields_set(Cache_Control="private"),
        private_for_a_minute=fields_set(Cache_Control="private, max-age=60"),
        no_cache=fields_set(Cache_Control="no-cache"),
        all_directives=fields_set(
            Cache_Control="no-store, no-cache, must-revalidate, post-check=0, pre-check=0", Pragma="no-cache",
            Expires="0"
        ),
        expired=fields_set(Cache_Control="max-age=0", Expires="Thu, 01 Jan 1970 00:00:00 GMT"),
        public_by_key=fields_set(Cache_Control="public, max-age=5", Vary="X-API-Key"),
        by_anything=fields_set(Cache_Control="max-age=5", Vary="*"),
        revalidated=fields_set(Cache_Control="public, max-age=0, must-revalidate"),
    ),
    "tags": _each(none=as_it_is, weak=with_etag("W/"), strong=with_etag("")),
    "ranges": {"are ignored": lambda: as_it_is, "are 206": lambda: with_ranges},
    "fields": _each(
        as_they_are=as_it_is,
        nginx=fields_set(Server="nginx/1.27.0", Vary="Accept-Encoding"),
        uvicorn=fields_set(server="uvicorn"),
        cloudflare=fields_set(Server="cloudflare", CF_Ray="8a1b2c3d4e5f-FRA", CF_Cache_Status="DYNAMIC",
        Alt_Svc='h3=":443"; ma=86400', NEL='{"max_age":604800}'),
        security=fields_set(
            Strict_Transport_Security="max-age=31536000; includeSubDomains", X_Content_Type_Options="nosniff",
            X_Frame_Options="DENY", Referrer_Policy="no-referrer", Content_Security_Policy="default-src 'none'",
        ),
        cookies=fields_set(Set_Cookie="lb=node-3; Path=/; HttpOnly; Secure; SameSite=Lax"),
        tracing=fields_set(X_Request_Id="0af7651916cd43dd", Server_Timing="app;dur=3.2",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        cors=fields_set(Access_Control_Allow_Origin="*", Access_Control_Expose_Headers="X-Request-Id", Vary="Origin"),
        limits=fields_set((200,), X_RateLimit_Limit="10", X_RateLimit_Remaining="9", X_RateLimit_Reset="1"),
        draft_limits=fields_set((200,), RateLimit='"default";r=9;t=1', RateLimit_Policy='"default";q=10;w=1'),
        via=fields_set(Via="1.1 varnish, 1.1 google", Age="0", X_Cache="MISS", X_Served_By="cache-fra-1"),
        no_date=fields_set(Date=None),
        languages=fields_set(Content_Language="en", Vary="Accept-Language, Accept-Encoding"),
    ),
    "names": _each(
        as_they_are=as_it_is,
        lower_case=name_case(str.lower),
        upper_case=name_case(str.upper),
        sorted=field_order(sorted),
        reversed=field_order(lambda fields: fields[::-1]),
    ),
    "reasons": _each(usual=as_it_is, empty=with_reason(""), one_for_all=with_reason("Done")),
    "coding": _each(
        none=as_it_is,
        gzip=compressing("gzip", gzip.compress),
        brotli=compressing("br", brotli.compress),
        deflate=compressing("deflate", zlib.compress),
    ),
    "challenge": _each(
        as_it_is=as_it_is,
        missing=fields_set((401,), WWW_Authenticate=None),
        bearer=fields_set((401,), WWW_Authenticate='Bearer realm="api", error="invalid_token"'),
        several=fields_set((401,), WWW_Authenticate='ApiKey realm="a, b", Basic realm="c"'),
    ),
    "connections": {
        "are kept": lambda: as_it_is,
        "are closed each time": lambda: closing_every(1),
        "are closed every third time": lambda: closing_every(3),
        "are announced": lambda: announcing_keep_alive,
    },
    "framing": _each(
        length=as_it_is,
        chunks=with_framing("chunked"),
        until_closed=with_framing("close"),
        odd_chunks=odd_chunks,
        early_hints=early_hints,
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
