"""Mutations of caching: responses that caches may share, and caches that share them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product

from mock_server.web.raw_response import RawMessage
from tests.support.search.mutations import (
    ALWAYS,
    BROWSER,
    FIFTH_TIME,
    FRESH,
    OLD_HTTP,
    REUSED,
    SECOND_KEY,
    SECOND_TIME,
    WITH_COMPRESSION,
    WITH_QUERY,
    Condition,
    Mutation,
    changing,
    changing_refusals,
    condition,
    is_ok,
)
from tests.support.search.served import Behaviour, Received, named, setting

# Each of these lets a shared cache store a response and send it to another client (RFC 9111, section 3).
SHARED: dict[str, Mapping[str, str | None]] = {
    f"Cache-Control: {value}": named(Cache_Control=value)
    for value in (
        "public", "public, max-age=60", "max-age=1", "max-age=3600", "s-maxage=60", "max-age=0, s-maxage=60",
        "public, immutable", "must-revalidate, max-age=60", "max-age=60, stale-while-revalidate=60",
        "PUBLIC, MAX-AGE=60",
        'max-age="60"', "public,max-age=5", "proxy-revalidate, max-age=9", "max-age=60, no-transform", " max-age=60 ",
        "stale-if-error=60, max-age=60", "max-age=2147483648", "public, s-maxage=1, max-age=0", "foo, max-age=60",
    )
} | {
    "Expires in an hour": named(Cache_Control=None, Expires="Fri, 15 Jan 2027 09:30:00 GMT"),
    "Expires in ten years": named(Cache_Control=None, Expires="Thu, 31 Dec 2037 23:55:55 GMT"),
    "Expires with must-revalidate": named(Cache_Control="must-revalidate", Expires="Thu, 31 Dec 2037 23:55:55 GMT"),
    "public with Vary on Accept-Encoding": named(Cache_Control="public, max-age=9", Vary="Accept-Encoding"),
    "public with Vary on Authorization": named(Cache_Control="public, max-age=9", Vary="Authorization"),
    "public with Vary on Origin and Cookie": named(Cache_Control="public, max-age=9", Vary="Origin, Cookie"),
    "Cache-Control in two fields": named(Cache_Control="public, max-age=9", cache_control="must-revalidate"),
    "CDN-Cache-Control": named(Cache_Control="max-age=0, must-revalidate", CDN_Cache_Control="max-age=600"),
    "Surrogate-Control": named(Cache_Control="max-age=0, must-revalidate", Surrogate_Control="max-age=600"),
}  # fmt: skip


def caching() -> Iterator[Mutation]:
    """Yield deployments that let caches share responses."""
    conditions = (ALWAYS, SECOND_TIME, FIFTH_TIME, SECOND_KEY, REUSED, FRESH)
    for name, changed in SHARED.items():
        change = setting(changed)
        yield from changing("cache, 200 is shared", name, change, conditions, applies=is_ok)
        yield from changing_refusals("cache, {} is shared", name, change)


CacheKey = Callable[[Received], object]
CACHE_KEYS: dict[str, CacheKey] = {
    "the target": lambda received: received.request.raw_path,
    "the path": lambda received: received.path,
    "the query": lambda received: received.query or received.connection.number,
    "the length of the key": lambda received: len(received.key),
    "the first letter of the key": lambda received: received.key[:1],
    "the last two letters of the key": lambda received: received.key[-2:],
    "the first five letters of the key": lambda received: received.key[:5],
    "the key without case": lambda received: received.key.lower(),
    "the key without punctuation": lambda received: re.sub(r"\W", "", received.key),
    "the host": lambda received: received.header("Host"),
    "the user agent": lambda received: received.header("User-Agent"),
    "the accepted coding": lambda received: received.header("Accept-Encoding"),
    "the connection": lambda received: received.connection.number,
    "the origin": lambda received: received.header("Origin") or received.connection.number,
    "whether there is a key": lambda received: bool(received.key),
}
CACHED_WHEN: tuple[Condition, ...] = (
    ALWAYS, WITH_QUERY, WITH_COMPRESSION, BROWSER, OLD_HTTP,
    condition("for static paths", lambda received: bool(re.search(r"\.(css|js|png|ico|txt)$", received.path))),
    condition("with max-stale", lambda received: "max-stale" in received.header("Cache-Control")),
    condition("with If-None-Match", lambda received: bool(received.header("If-None-Match"))),
    condition("with If-Modified-Since", lambda received: bool(received.header("If-Modified-Since"))),
    condition("with a range", lambda received: bool(received.header("Range"))),
)  # fmt: skip
STORED: dict[str, tuple[int, ...]] = {"200": (200,), "errors": (401, 403, 404), "all": (200, 401, 403, 404, 429)}


def shared_caches() -> Iterator[Mutation]:
    """Yield deployments behind a cache whose key lacks the API key."""
    group = "cache, a response is sent to another client"
    for name, stored, seconds in product(CACHE_KEYS, STORED, (1, 10, 3600)):
        for when in CACHED_WHEN if seconds == 10 and name in {"the target", "the path"} else (ALWAYS,):
            build = partial(_behind_cache, CACHE_KEYS[name], STORED[stored], seconds, when)
            yield Mutation(f"{group}: {stored} by {name} for {seconds} s, {when.name}", group, build)


def _behind_cache(key_of: CacheKey, statuses: tuple[int, ...], seconds: int, when: Condition) -> Behaviour:
    holds = when.build()
    cache: dict[object, tuple[float, RawMessage]] = {}

    def change(message: RawMessage, received: Received) -> RawMessage:
        if received.method != "GET" or not holds(received):
            return message
        place = key_of(received)
        since, hit = cache.get(place, (0.0, message))
        if received.now - since < seconds:
            return hit
        if message.status in statuses:
            cache[place] = (received.now, message)
        return message

    return Behaviour(change=change)
