"""Mutations of the rate limit: buckets that are not those of the usage metrics, and 429 responses that mislead."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from typing import Any

from mock_server.web.raw_response import RawMessage
from tests.support.search.mutations import Mutation, is_ok
from tests.support.search.served import PATH, Behaviour, Received, named, with_fields, with_json, with_status

RPS, BURST = 10.0, 10  # as the deployment states them


@dataclass
class TokenBucket:
    """A bucket that holds `burst` tokens and receives `rps` a second, `grain` at a time."""

    rps: float
    burst: float
    grain: float = 0.0
    tokens: float = field(default=-1.0)
    since: float = 0.0

    def take(self, now: float, cost: float) -> tuple[bool, float, float]:
        """Return whether the request is accepted, the tokens that remain, and the seconds to the next token."""
        if self.tokens < 0:
            self.tokens, self.since = self.burst, now
        grown = (now - self.since) * self.rps
        if self.grain:
            grown = grown // self.grain * self.grain
        if grown > 0:
            self.tokens = min(self.burst, self.tokens + grown)
            self.since = self.since + grown / self.rps if self.grain else now
        accepted = self.tokens >= cost
        if accepted:
            self.tokens -= cost
        return accepted, max(0.0, self.tokens), (1 - self.tokens) / self.rps if self.rps and self.tokens < 1 else 0.0


@dataclass
class Window:
    """A window of `seconds` in which `burst` requests are accepted; it starts anew, or slides."""

    seconds: float
    burst: int
    slides: bool = False
    times: list[float] = field(default_factory=list)

    def take(self, now: float, _: float) -> tuple[bool, float, float]:
        """Return what TokenBucket.take returns."""
        start = now - self.seconds if self.slides else now // self.seconds * self.seconds
        self.times = [time for time in self.times if time > start or (not self.slides and time >= start)]
        accepted = len(self.times) < self.burst
        if accepted:
            self.times.append(now)
        wait = (self.times[0] if self.slides else start) + self.seconds - now
        return accepted, self.burst - len(self.times), wait


Limiter = TokenBucket | Window
Scope = Callable[[Received], object]
SCOPES: dict[str, Scope] = {
    "all keys": lambda _: 0,
    "the connection": lambda received: (received.key, received.connection.number),
    "the user agent": lambda received: (received.key, received.header("User-Agent")),
    "the forwarded address": lambda received: (received.key, received.header("X-Forwarded-For")),
    "the real address": lambda received: (received.key, received.header("X-Real-IP")),
    "the query": lambda received: (received.key, received.query),
    "the accepted coding": lambda received: (received.key, received.header("Accept-Encoding")),
    "the accepted type": lambda received: (received.key, received.header("Accept")),
    "the cookie": lambda received: (received.key, received.header("Cookie")),
    "the language": lambda received: (received.key, received.header("Accept-Language")),
    "the method": lambda received: (received.key, received.method),
    "the origin": lambda received: (received.key, received.header("Origin")),
    "the host": lambda received: (received.key, received.header("Host")),
    "the version": lambda received: (received.key, received.request.version.minor),
    "the first letter of the key": lambda received: received.key[:1],
}


def by_key(received: Received) -> object:
    """Return the key: each has its own limit."""
    return received.key


Answer = Callable[[RawMessage, float], RawMessage]


def documented_429(message: RawMessage, wait: float) -> RawMessage:
    """Return the documented response over the limit."""
    fields = {"Retry-After": str(max(1, math.ceil(wait))), "X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "0"}
    return with_fields(with_status(message, 429, "Over the rate limit."), fields)


def limited(
    make: Callable[[], Limiter],
    *,
    scope: Scope = by_key,
    answer: Answer = documented_429,
    state: Callable[[float], float] = lambda remaining: round(remaining, 1),
    cost: float = 1.0,
    limit: Mapping[str, Any] | None = None,
    also_takes: Callable[[RawMessage, Received], bool] = lambda *_: False,
) -> Behaviour:
    """Return a behaviour with a rate limit of its own, in place of the mock's; other requests may take tokens too."""
    limiters: dict[object, Limiter] = {}

    def change(message: RawMessage, received: Received) -> RawMessage:
        if not (is_ok(message, received) or also_takes(message, received)):
            return message
        accepted, remaining, wait = limiters.setdefault(scope(received), make()).take(received.now, cost)
        if not is_ok(message, received):
            return message
        if not accepted:
            return answer(message, wait)
        stated = {"rps": RPS, "burst": BURST, **(limit or {}), "remaining": state(remaining)}
        return with_json(message, {**json.loads(message.body), "rate_limit": stated})

    return Behaviour(change=change)


def sound_bucket() -> TokenBucket:
    """Return the bucket that the usage metrics state."""
    return TokenBucket(RPS, BURST)


BUCKETS: dict[str, Callable[[], Limiter]] = {
    "no limit": lambda: TokenBucket(1e9, 1e9),
    **{f"{factor} times the burst": partial(TokenBucket, RPS, BURST * factor) for factor in (0.3, 0.5, 2, 5, 100)},
    **{f"{factor} times the rate": partial(TokenBucket, RPS * factor, BURST) for factor in (0.1, 0.3, 2.5, 5, 20)},
    "no refill": lambda: TokenBucket(0.01, BURST),
    "a fixed window of a minute": lambda: Window(60.0, 600),
    "a fixed window of ten seconds": lambda: Window(10.0, 100),
    "a sliding window of a minute": lambda: Window(60.0, 600, slides=True),
    "a fixed window of ten seconds of one burst": lambda: Window(10.0, BURST),
    "a refill each five seconds": lambda: TokenBucket(RPS, BURST * 5, grain=50.0),
}
STATED: dict[str, Callable[[float], float]] = {
    "remaining that never falls": lambda _: float(BURST),
    "remaining of tokens used": lambda remaining: BURST - remaining,
    "remaining negative": lambda remaining: remaining - BURST,
    "remaining doubled": lambda remaining: remaining * 2,
    "remaining in milli-tokens": lambda remaining: remaining * 1000,
    "remaining in percent": lambda remaining: remaining * 10,
    "remaining before the request": lambda remaining: remaining + 1,
    "remaining always zero": lambda _: 0.0,
}


def _with(**fields: str | None) -> Answer:
    return lambda message, wait: with_fields(documented_429(message, wait), named(**fields))


def _as_status(status: int) -> Answer:
    return lambda message, wait: with_status(documented_429(message, wait), status)


def _as_body(body: Any) -> Answer:
    return lambda message, wait: with_json(documented_429(message, wait), body)


OTHER_STATUSES = (200, 204, 302, 400, 401, 403, 404, 408, 420, 500, 502, 503, 509, 529)
ANSWERS: dict[str, Answer] = {
    "no Retry-After": _with(Retry_After=None),
    "no X-RateLimit-Limit": _with(X_RateLimit_Limit=None),
    "no X-RateLimit-Remaining": _with(X_RateLimit_Remaining=None),
    **{
        f"Retry-After {value!r}": _with(Retry_After=value)
        for value in ("", "soon", "1.5", "-1", "1s", "0", "3600", "1000", "1e1", "PT1S", "+1", "1, 2", "0x1",
        "99999999999", "2027-01-15T08:00:10Z")
    },
    "Retry-After in milliseconds": lambda message, wait: with_fields(
        documented_429(message, wait), {"Retry-After": str(max(1, math.ceil(wait)) * 1000)}
    ),
    "Retry-After as a time stamp": _with(Retry_After="1800000010"),
    "Retry-After as a date of the past": _with(Retry_After=formatdate(1_700_000_000, usegmt=True)),
    "Retry-After as a date in an hour": _with(Retry_After=formatdate(1_800_003_600, usegmt=True)),
    **{f"X-RateLimit-Limit {value!r}": _with(X_RateLimit_Limit=value) for value in ("", "many", "-10", "10/s",
    "600", "10;w=1", "0", "11", "NaN")},
    **{f"X-RateLimit-Remaining {value!r}": _with(X_RateLimit_Remaining=value) for value in ("", "none", "-1", "1",
    "10", "9.3", "0x0", "NaN")},
    **{f"status {status}": _as_status(status) for status in OTHER_STATUSES},
    "no detail": _as_body({"error": "rate limited"}),
    "a detail of null": _as_body({"detail": None}),
    "a detail that is a list": _as_body({"detail": ["slow down"]}),
    "usage metrics in it": lambda message, wait: with_json(documented_429(message, wait), json.loads(message.body)),
    "an HTML page": _with(Content_Type="text/html"),
    "a text": _with(Content_Type="text/plain"),
    "shared caching": _with(Cache_Control="public, max-age=9"),
    "gzip that is plain": _with(Content_Encoding="gzip"),
}  # fmt: skip


def _is_refused(message: RawMessage, received: Received) -> bool:
    return received.path == PATH and message.status in {401, 403}


REFUSED: dict[str, Callable[[RawMessage, Received], bool]] = {
    "a missing key": lambda message, received: not received.key and _is_refused(message, received),
    "an unknown key": lambda message, received: bool(received.key) and _is_refused(message, received),
}


def of_limits() -> Iterator[Mutation]:
    """Yield all mutations of the rate limit."""
    other, scoped = "bucket, another limit than the stated one", "bucket, a limit of something else than the key"
    for name, make in BUCKETS.items():
        yield _limited(other, name, make)
    for name, scope in SCOPES.items():
        yield _limited(scoped, f"by {name}", scope=scope)
    for name, state in STATED.items():
        yield _limited("rate, tokens that are not those available", name, state=state)
    for name, values in {"rps": (0.1, 1.0, 30.0, 100.0), "burst": (3, 30, 100)}.items():
        for value in values:
            yield _limited(other, f"stated {name} of {value}", limit={name: value})
    for name, answer in ANSWERS.items():
        yield _limited("rate, the response over the limit", name, answer=answer)
    for cost in (2.0, 5.0):
        yield _limited(other, f"{cost:g} tokens a request", cost=cost)
    for who, is_refused in REFUSED.items():
        yield _limited(scoped, f"tokens taken by {who}", scope=SCOPES["all keys"], also_takes=is_refused)


def _limited(group: str, name: str, make: Callable[[], Limiter] = sound_bucket, **options: Any) -> Mutation:
    return Mutation(f"{group}: {name}", group, partial(limited, make, **options), is_intrusive=True)
