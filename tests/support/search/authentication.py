"""Mutations of authentication: claims, paths, methods and sizes that let a request pass, and all others."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import chain

from tests.support.search.comparisons import loose, loose_comparisons
from tests.support.search.mutations import (
    AFTER_A_KEY,
    ALWAYS,
    BROWSER,
    FIFTH_TIME,
    LATER,
    OLD_HTTP,
    REUSED,
    SECOND_TIME,
    THIRD_TIME,
    WITH_COMPRESSION,
    WITH_ORIGIN,
    WITH_QUERY,
    Mutation,
    admitting,
    condition,
)
from tests.support.search.places import other_places, without_key
from tests.support.search.served import PATH, Admit, Received


def claim(name: str, pattern: str) -> Admit:
    """Return what admits a request without a key by the value of a header."""
    expression = re.compile(pattern, re.IGNORECASE)
    return without_key(lambda r: r.keys[0] if expression.fullmatch(r.header(name)) and r.header(name) else None)


ORIGINS = (
    "X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Originating-IP",
    "X-Remote-IP", "X-Remote-Addr", "X-Cluster-Client-IP", "Fastly-Client-IP", "X-Forwarded", "Forwarded-For",
    "X-ProxyUser-Ip", "X-Azure-ClientIP", "X-Envoy-External-Address", "Client-IP", "X-Host",
    "X-Custom-IP-Authorization",
)  # fmt: skip
USERS = (
    "X-Forwarded-User", "X-Remote-User", "X-User", "X-Authenticated-User", "X-Consumer-Username", "X-User-Id",
    "X-WEBAUTH-USER", "X-Auth-Request-User", "Remote-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username",
    "X-Goog-Authenticated-User-Email", "X-Consumer-ID", "X-Credential-Identifier", "X-Auth-User", "X-Account-Id",
    "X-Tenant-Id", "X-Forwarded-Groups", "X-Auth-Request-Email", "X-MS-CLIENT-PRINCIPAL-NAME",
    "Cf-Access-Authenticated-User-Email",
)  # fmt: skip
SWITCHES = (
    "X-Internal", "X-Internal-Request", "X-Debug", "X-Admin", "X-Test", "X-Bypass-Auth", "X-Health-Check",
    "X-Debug-Mode",
    "X-Trusted", "X-From-Gateway", "X-Skip-Auth", "X-No-Auth", "X-Dev", "X-Development", "X-Preview", "X-Service",
    "X-Is-Internal", "X-Internal-Call", "X-Monitoring", "X-Probe", "X-Authenticated", "X-Auth", "X-Gateway", "X-Root",
)  # fmt: skip
AGENTS = (
    "kube-probe", "ELB-HealthChecker", "GoogleHC", "Googlebot", "Prometheus", "curl", "Mozilla", "python-requests",
    "Pingdom", "UptimeRobot", "Datadog", "Blackbox Exporter", "Amazon-Route53-Health-Check-Service", "okhttp", "axios",
    "Go-http-client", "bingbot", "Consul Health Check", "HAProxy", "Varnish", "PostmanRuntime", "Site24x7",
    "StatusCake",
)  # fmt: skip
CLAIMS: dict[str, tuple[str, str]] = {
    **{f"{name} is loopback": (name, r"127\.0\.0\.1|localhost|::1") for name in ORIGINS},
    **{f"{name} is private": (name, r"10\..*|192\.168\..*|172\.(1[6-9]|2\d|3[01])\..*") for name in ORIGINS[:6]},
    **{f"{name} is present": (name, ".+") for name in (*USERS, *ORIGINS[:6])},
    **{f"{name} is true": (name, "true|1|yes|on") for name in SWITCHES},
    **{f"User-Agent has {agent}": ("User-Agent", f".*{agent}.*") for agent in AGENTS},
    "Forwarded is loopback": ("Forwarded", r".*for=.?(127\.0\.0\.1|localhost|::1).*"),
    "Forwarded host is localhost": ("Forwarded", ".*host=localhost.*"),
    "X-Forwarded-Host is localhost": ("X-Forwarded-Host", "localhost"),
    "X-Forwarded-Host is internal": ("X-Forwarded-Host", r".*\.(local|internal|svc.*)"),
    "X-Forwarded-Proto is present": ("X-Forwarded-Proto", ".+"),
    "X-Forwarded-Port is 8080": ("X-Forwarded-Port", "8080"),
    "Referer is local": ("Referer", "https?://(localhost|127.*)/?.*"),
    "Origin is local": ("Origin", "https?://(localhost|127.*)"),
    "Origin is null": ("Origin", "null"),
    "Origin is present": ("Origin", ".+"),
    "Referer is present": ("Referer", ".+"),
    "client certificate": ("X-SSL-Client-Verify", "SUCCESS"),
    "Cookie is present": ("Cookie", ".+"),
    "Authorization is present": ("Authorization", ".+"),
    "Authorization is Bearer": ("Authorization", "Bearer.*"),
    "Authorization is Basic": ("Authorization", "Basic.*"),
    "Authorization is Bearer null": ("Authorization", "Bearer (null|undefined)"),
    "If-None-Match is any": ("If-None-Match", r"\*"),
    "If-None-Match is present": ("If-None-Match", ".+"),
    "If-Modified-Since is present": ("If-Modified-Since", ".+"),
    "Range is present": ("Range", "bytes=.+"),
    "Expect is present": ("Expect", ".+"),
    "Upgrade is websocket": ("Upgrade", "websocket"),
    "Upgrade is h2c": ("Upgrade", "h2c"),
    "Connection is Upgrade": ("Connection", ".*upgrade.*"),
    "Connection names the key header": ("Connection", ".*x-api-key.*"),
    "Connection is close": ("Connection", "close"),
    "Accept is text/event-stream": ("Accept", ".*text/event-stream.*"),
    "Accept is a page": ("Accept", ".*text/html.*"),
    "Accept is XML": ("Accept", ".*xml.*"),
    "Accept is metrics": ("Accept", ".*openmetrics.*"),
    "Accept is an image": ("Accept", "image/.*"),
    "Accept-Encoding is gzip": ("Accept-Encoding", ".*gzip.*"),
    "Content-Type is JSON": ("Content-Type", "application/json"),
    "Content-Type is gRPC": ("Content-Type", "application/grpc.*"),
    "Cache-Control is max-stale": ("Cache-Control", ".*max-stale.*"),
    "Cache-Control is only-if-cached": ("Cache-Control", ".*only-if-cached.*"),
    "Cache-Control is no-cache": ("Cache-Control", ".*no-cache.*"),
    "Pragma is no-cache": ("Pragma", "no-cache"),
    "Purpose is prefetch": ("Purpose", "prefetch"),
    "Sec-Purpose is prefetch": ("Sec-Purpose", "prefetch.*"),
    "Sec-Fetch-Site is same-origin": ("Sec-Fetch-Site", "same-origin"),
    "Sec-Fetch-Mode is navigate": ("Sec-Fetch-Mode", "navigate"),
    "X-Requested-With is XMLHttpRequest": ("X-Requested-With", "XMLHttpRequest"),
    "X-Original-URL is a public path": ("X-Original-URL", "/(healthz)?"),
    "X-Rewrite-URL is a public path": ("X-Rewrite-URL", "/(healthz)?"),
    "X-Forwarded-Uri is a public path": ("X-Forwarded-Uri", "/(healthz)?"),
    "X-Forwarded-Path is a public path": ("X-Forwarded-Path", "/(healthz)?"),
    "X-Original-Path is a public path": ("X-Original-Path", "/(healthz)?"),
    "X-HTTP-Method-Override is OPTIONS": ("X-HTTP-Method-Override", "OPTIONS"),
    "X-HTTP-Method-Override is present": ("X-HTTP-Method-Override", ".+"),
    "X-Forwarded-Method is OPTIONS": ("X-Forwarded-Method", "OPTIONS"),
    "Access-Control-Request-Method is present": ("Access-Control-Request-Method", ".+"),
    "Access-Control-Request-Headers is present": ("Access-Control-Request-Headers", ".+"),
    "X-Middleware-Subrequest is present": ("X-Middleware-Subrequest", ".+"),
    "Via is present": ("Via", ".+"),
    "CDN-Loop is present": ("CDN-Loop", ".+"),
    "X-Envoy-Internal is true": ("X-Envoy-Internal", "true"),
    "Prefer is present": ("Prefer", ".+"),
    "DNT is 1": ("DNT", "1"),
    "traceparent is present": ("traceparent", ".+"),
    "X-Request-Id is present": ("X-Request-Id", ".+"),
    "Idempotency-Key is present": ("Idempotency-Key", ".+"),
    "Max-Forwards is 0": ("Max-Forwards", "0"),
    "From is present": ("From", ".+"),
    "TE is trailers": ("TE", "trailers"),
    "Early-Data is 1": ("Early-Data", "1"),
    "X-Api-Version is present": ("X-Api-Version", ".+"),
    "X-Amz-Date is present": ("X-Amz-Date", ".+"),
}  # fmt: skip


def claims() -> Iterator[Mutation]:
    """Yield deployments that admit a request without a key because of another header."""
    for name, (header, pattern) in CLAIMS.items():
        yield from admitting("bypass, a request without a key", name, claim(header, pattern), (ALWAYS,))


SPELLINGS: dict[str, str] = {
    "a trailing slash": f"{PATH}/", "two leading slashes": f"/{PATH}", "a dot segment": f"/.{PATH}",
    "a parent": f"/x/..{PATH}",
    "a parent of a public path": f"/healthz/..{PATH}", "capitals": PATH.upper(), "one capital": "/Usage",
    "a semicolon": f"{PATH};x",
    "a jsessionid": f"{PATH};jsessionid=1", "an encoded slash": f"{PATH}%2f", "an encoded letter": "/usag%65",
    "all letters encoded": "/%75%73%61%67%65",
    "a double encoding": "/usag%2565", "an extension": f"{PATH}.json", "another extension": f"{PATH}.css",
    "an XML extension": f"{PATH}.xml", "a dot": f"{PATH}.",
    "an encoded space": f"{PATH}%20", "an encoded NUL": f"{PATH}%00", "an encoded tab": f"{PATH}%09",
    "an encoded line break": f"{PATH}%0a", "a hash": f"{PATH}#x",
    "an encoded hash": f"{PATH}%23", "an encoded question mark": f"{PATH}%3f", "a backslash": "\\usage",
    "an asterisk": f"{PATH}*", "a tilde": f"{PATH}~", "an index": f"{PATH}/index",
    "a version": f"/v1{PATH}", "another version": f"/v2{PATH}", "an API prefix": f"/api{PATH}",
    "a versioned API": f"/api/v1{PATH}", "an internal prefix": f"/internal{PATH}",
    "a public prefix": f"/public{PATH}", "an admin prefix": f"/admin{PATH}", "a debug prefix": f"/debug{PATH}",
    "a metrics path": "/metrics", "a statistics path": "/stats",
    "a status path": "/status", "a sub-path": f"{PATH}/me", "a summary": f"{PATH}/summary", "a plural": "/usages",
    "a trailing slash and dot": f"{PATH}/.",
    "an encoded dot segment": f"/%2e{PATH}", "an encoded parent": f"/x/%2e%2e{PATH}",
    "a semicolon parent": f"/healthz/..;{PATH}", "three slashes": f"//{PATH}",
    "a full-width slash": "/\uff0fusage", "an overlong encoding": "/%c0%afusage",
}  # fmt: skip


def at_target(target: str) -> Admit:
    """Return what admits a request without a key at another target; one without a query fits any query."""
    return lambda received: (
        received.keys[0] if not received.key and target in {received.path, received.request.raw_path} else None
    )


def spellings() -> Iterator[Mutation]:
    """Yield deployments that serve another spelling of the path without a key."""
    for what, path in SPELLINGS.items():
        yield from admitting("bypass, another path without a key", what, at_target(path), (ALWAYS,))
    for query in (
        "debug=true", "admin=1", "internal=1", "public=1", "path=/healthz", "test=1", "preview=1", "demo=1",
        "auth=none",
        "format=json", "callback=x", "_method=GET", "key=", "api_key=", "api_key=null", "token=null", "user=admin",
        "v=1",
        "verbose=true", "raw=1", "bypass=1", "noauth=1", "dev=1", "trace=1", "health=1", "skip_auth=1", "utm_source=x",
    ):  # fmt: skip
        yield from admitting("bypass, a query without a key", query, _by_query(query), (ALWAYS,))


def _by_query(query: str) -> Admit:
    return without_key(lambda received: received.keys[0] if query in received.query.split("&") else None)


METHODS = (
    "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "POST", "FOO", "QUERY", "get", "Get", "SEARCH", "PROPFIND",
    "REPORT", "TRACE",
    "COPY", "LOCK", "LINK", "PURGE", "BREW", "post", "head", "DEBUG", "TRACK", "MKCOL", "VIEW", "LIST",
)  # fmt: skip
HAVING_A_BODY = condition("with a body", lambda received: bool(received.header("Content-Length")))
CHUNKED = condition("with a chunked body", lambda received: "chunked" in received.header("Transfer-Encoding"))
ON_A_LATER_CONNECTION = condition("on every fourth connection", lambda received: received.connection.number % 4 == 0)


def by_method(method: str) -> Admit:
    """Return what admits a request without a key by its method."""
    return without_key(lambda received: received.keys[0] if received.method == method else None)


def methods() -> Iterator[Mutation]:
    """Yield deployments that need no key for another method, and others that need none at times."""
    for method in METHODS:
        yield from admitting("bypass, another method without a key", method, by_method(method), (ALWAYS,))

    def last(received: Received) -> str | None:
        return (received.connection.last_key or None) if not received.is_valid and received.path == PATH else None

    conditions = (
        ALWAYS, SECOND_TIME, THIRD_TIME, FIFTH_TIME, LATER, REUSED, AFTER_A_KEY, BROWSER, WITH_QUERY, WITH_COMPRESSION,
        WITH_ORIGIN, OLD_HTTP, HAVING_A_BODY, CHUNKED, ON_A_LATER_CONNECTION,
    )  # fmt: skip
    yield from admitting("bypass, a request without a key", "no key", by_method("GET"), conditions)
    yield from admitting("auth, an unknown key", "an unknown key", loose(lambda *_: True), conditions)
    yield from admitting("bypass, the connection", "the last key of the connection", last, conditions)
    for size in (50, 100, 255, 256, 1000, 1024, 4096, 8000, 16000, 32768, 60000):
        admit = _by_length(range(size + 1, sys.maxsize))
        yield from admitting("auth, a long key", f"a key of more than {size} characters", admit, (ALWAYS,))
    for size in range(1, 8):
        admit = _by_length(range(1, size + 1))
        yield from admitting("auth, a short key", f"a key of at most {size} characters", admit, (ALWAYS,))


def _by_length(lengths: range) -> Admit:
    return lambda received: received.keys[0] if len(received.key) in lengths else None


def of_authentication() -> Iterator[Mutation]:
    """Yield all mutations of authentication."""
    return chain(loose_comparisons(), other_places(), claims(), spellings(), methods())
