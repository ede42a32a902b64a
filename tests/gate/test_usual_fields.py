"""Rules about header fields, caches and limits do not report what looks similar to a defect and is usual."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from contract_tests import test_cache
from contract_tests.wire.http_lint import complaints
from contract_tests.wire.messages import Exchange, Request
from contract_tests.wire.not_tested import NotApplicable
from tests.support.har import GOOD, KEY, Judged, entry
from tests.support.practice import DATE, NOSNIFF, ORIGIN, OTHER, allowing, refusing, validated

USUAL: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "nosniff from two servers": (
        "http/media-type-is-not-guessed",
        [entry(GOOD, received={"x-content-type-options": "nosniff, nosniff"}, at=1)],
    ),
    "a reset in milliseconds": (
        "rate/reset-is-not-in-the-past",
        [entry(GOOD, received={"x-ratelimit-reset": "1296000000"})],
    ),
    "a weak ETag for equal metrics": (
        "cache/validators-change-with-the-metrics",
        [validated(12342, at, etag='W/"1"') for at in (1, 9)],
    ),
    "a weak ETag for a moment": (
        "cache/validators-change-with-the-metrics",
        [validated(12342 + at, at, etag='W/"1"') for at in (1, 2)],
    ),
    "a change within the second of Last-Modified": (
        "cache/validators-change-with-the-metrics",
        [validated(12342 + at, at, **{"last-modified": "Fri, 15 Jan 2027 08:00:00 GMT"}) for at in (0, 9)],
    ),
    "a cookie in quotation marks": (
        "http/cookies-are-well-formed",
        [entry(GOOD, at=1, received={"set-cookie": 'a="b"; Path="/"'})],
    ),
    "errors for the origins of 200 responses": (
        "http/errors-allow-the-same-origins",
        [allowing("*", 1, ORIGIN), refusing("*")],
    ),
    "an origin that no 200 response allows": (
        "http/errors-allow-the-same-origins",
        [allowing(OTHER, 1, OTHER), refusing(OTHER, OTHER), refusing("")],
    ),
    "a cookie that is deleted": (
        "http/cookies-are-protected",
        [entry(GOOD, at=1, received={"set-cookie": "a=; Max-Age=0"})],
    ),
    "X-XSS-Protection: 0 of two servers": (
        "http/fields-are-not-obsolete",
        [entry(GOOD, at=1, received={"x-xss-protection": "0, 0"})],
    ),
    "methods of a servlet": (
        "methods/allow-fields-agree",
        [
            entry("{}", 405, at=1, method="TRACE", received={"allow": "GET, HEAD, POST, PUT, DELETE, OPTIONS"}),
            entry("", at=2, method="OPTIONS", received={"allow": "GET, HEAD, OPTIONS"}),
        ],
    ),
    "X-XSS-Protection: 0": ("http/fields-are-not-obsolete", [entry(GOOD, at=1, received={"x-xss-protection": "0"})]),
    "a notice of deprecation": (
        "http/fields-are-not-obsolete",
        [entry(GOOD, at=1, received={"warning": '299 - "Deprecated since 2027-11-12"'})],
    ),
    "a field that is null": (
        "http/field-values-are-not-placeholders",
        [entry(GOOD, received={"access-control-allow-origin": "null", "link": "</usage{?period}>; rel=self"})],
    ),
    "keywords with quotation marks": (
        "http/content-security-policy-restricts-scripts",
        [entry(GOOD, at=1, received={"content-security-policy": "default-src 'none'; frame-ancestors 'self'"})],
    ),
    "another ETag of another body": (
        "cache/equal-bodies-have-one-etag",
        [validated(12342, 1, etag='"1"'), validated(12343, 2, etag='"2"'), validated(12343, 3, etag='W/"2"')],
    ),
    "a policy for other browsers": (
        "http/referrer-policy-protects-urls",
        [entry(GOOD, at=1, received={"referrer-policy": "unsafe-url, no-referrer"})],
    ),
    "a limit of the draft for an hour": (
        "rate/200-fields-agree-with-the-body",
        [
            entry(
                GOOD,
                at=1,
                received={"ratelimit-limit": "1000", "ratelimit-remaining": "7", "x-ratelimit-limit": "40, 40;w=1"},
            )
        ],
    ),
    "a policy for an API": (
        "http/content-security-policy-restricts-scripts",
        [entry(GOOD, at=1, received={"content-security-policy": "default-src 'none'; img-src *"})],
    ),
    "a response that no cache stored": (
        "cache/no-store-is-respected",
        [entry(GOOD, at=1, received={"cache-control": "no-store", "age": "0", "x-cache": "Miss from cloudfront"})],
    ),
    "the origin null": ("http/allowed-origin-is-one-origin", [allowing("null", 1, "null"), allowing("*", 2, ORIGIN)]),
    "a cookie of PHP": (
        "http/cookies-are-well-formed",
        [entry(GOOD, at=1, received={"set-cookie": "a=b; expires=Fri, 15-Jan-2027 08:00:00 GMT; Max-Age=7200"})],
    ),
    "two cookies that end with a date": (
        "http/cookies-are-well-formed",
        [entry(GOOD, at=1, received={"set-cookie": "\n".join(f"{name}=1; Expires={DATE}" for name in "ab")})],
    ),
    "a cookie for other sites": (
        "http/cookies-are-protected",
        [entry(GOOD, at=1, received={"set-cookie": "a=b; HttpOnly; SameSite=None; Secure"})],
    ),
    "no frames": ("http/fields-are-not-obsolete", [entry(GOOD, at=1, received={"x-frame-options": "DENY"})]),
    "a cache that a field of its own allows": (
        "cache/no-store-is-respected",
        [
            entry(GOOD, at=1, received={"cache-control": "no-store"}),
            entry(GOOD, at=2, received={"cache-control": "no-store", "cdn-cache-control": "max-age=9", "age": "5"}),
        ],
    ),
    "a cache that lets a response pass": (
        "cache/no-store-is-respected",
        [entry(GOOD, at=1, received={"cache-control": "no-store", "x-cache": "hit-for-pass"})],
    ),
    "a notice with the number of a warning": (
        "http/fields-are-not-obsolete",
        [entry(GOOD, at=1, received={"warning": '299 - "110 of 200 requests are used"'})],
    ),
    "a cookie for this site": (
        "http/cookies-are-protected",
        [entry(GOOD, at=1, received={"set-cookie": "a=b; httponly; samesite=strict; secure"})],
    ),
    "an origin of an application": (
        "http/allowed-origin-is-one-origin",
        [allowing("capacitor://localhost", 1, ORIGIN)],
    ),
    "an address as an origin": (
        "http/allowed-origin-is-one-origin",
        [allowing("https://[2001:db8::1]:8443", 1, ORIGIN)],
    ),
    "a development server as an origin of its own": (
        "http/allowed-origin-is-one-origin",
        [allowing("http://localhost:3000", 1, "http://localhost:3000")],
    ),
    "the number of tokens twice": (
        "rate/200-fields-agree-with-the-body",
        [entry(GOOD, at=1, received={"X-RateLimit-Remaining": "9", "x-ratelimit-remaining": "9"})],
    ),
    "a limit with its window": (
        "rate/200-fields-agree-with-the-body",
        [entry(GOOD, at=1, received={"X-RateLimit-Limit": "10", "x-ratelimit-limit": "10;w=1"})],
    ),
    "a cookie for the parent domain": (
        "http/cookies-are-protected",
        [
            entry(GOOD, at=at, received={"set-cookie": f"a=b; HttpOnly; Secure; SameSite=Lax; Domain={domain}"})
            for at, domain in enumerate((".api.example", "Api.Example", "example"))
        ],
    ),
    "None as a value of its field": (
        "http/field-values-are-not-placeholders",
        [entry(GOOD, at=1, received={"accept-ranges": "None", "x-robots-tag": "None", "x-request-id": "NaNkWq3f"})],
    ),
    "a placeholder of the client": (
        "http/field-values-are-not-placeholders",
        [
            entry(GOOD, at=1, sent={"X-Request-Id": "undefined"}, received={"x-request-id": "undefined"}),
            entry("", 307, at=2, sent={"Referer": "/${page}"}, received={"location": "/usage/${page}"}),
        ],
    ),
    "ETags for each key and each origin": (
        "cache/equal-bodies-have-one-etag",
        [
            entry(GOOD, at=at, key=key, sent={"Origin": origin}, received={"etag": f'"{at}"', "vary": "Origin"})
            for at, (key, origin) in enumerate([(KEY, ORIGIN), (KEY, OTHER), ("har-key-0002-qwertz", OTHER)])
        ],
    ),
    "a body that the client wants again": (
        "cache/matching-etag-is-304",
        [entry(GOOD, at=1, sent={"If-None-Match": '"1"', "Cache-Control": "no-cache"}, received={"etag": '"1"'})],
    ),
    "the cookies of load balancers": (
        "cache/cookies-are-not-shared-by-caches",
        [
            entry(
                GOOD if method == "GET" else "",
                method=method,
                at=1,
                received={"set-cookie": cookies, "cache-control": "public, max-age=9", "vary": "X-API-Key"},
            )
            for method, cookies in {"GET": "GCLB=a\nTS01ab23cd=b", "OPTIONS": "a=b"}.items()
        ],
    ),
    "a miss, and a hit for pass": (
        "cache/no-store-is-respected",
        [
            entry(GOOD, at=at, received={"cache-control": control, **received})
            for at, (control, received) in enumerate(
                (
                    ("no-store", {"cf-cache-status": "DYNAMIC", "x-cache-status": "MISS"}),
                    ("no-store", {"cache-status": "edge; fwd=miss; stored=?0", "x-proxy-cache": "hit-for-pass"}),
                    ("no-store", {"x-cache-status": "HIT", "x-accel-expires": "5"}),
                    ("private", {"x-cache": "HIT", "age": "3", "vary": "X-API-Key"}),
                    ('private="set-cookie"', {"x-cache": "HIT"}),
                ),
                1,
            )
        ],
    ),
    "limits that a page can read": (
        "http/limits-are-readable-by-pages",
        [
            entry(
                GOOD,
                at=at,
                received={
                    "access-control-allow-origin": "*",
                    "access-control-expose-headers": exposed,
                    "x-ratelimit-limit": "10",
                },
            )
            for at, exposed in enumerate(("*", "x-ratelimit-limit,Retry-After"), 1)
        ],
    ),
    "policies of old and of new browsers": (
        "http/fields-are-not-obsolete",
        [
            entry(
                GOOD,
                at=1,
                received={
                    "feature-policy": "camera 'none'",
                    "permissions-policy": "camera=()",
                    "content-security-policy": "frame-ancestors 'none'",
                    "x-content-security-policy": "frame-ancestors 'none'",
                    "x-frame-options": "SAMEORIGIN, SAMEORIGIN",
                    "cross-origin-resource-policy": "same-site",
                    "access-control-allow-credentials": "true",
                },
            )
        ],
    ),
    "a new policy with a known one before it": (
        "http/referrer-policy-protects-urls",
        [entry(GOOD, at=1, received={"referrer-policy": "no-referrer, new-policy"})],
    ),
    "a lifetime for each kind of cache": (
        "cache/cache-directives-agree",
        [
            entry(GOOD, at=1, received={"cache-control": "private, max-age=0, s-maxage=60, max-age=0"}),
            entry(GOOD, at=2, received={"cache-control": "no-store", "date": DATE, "expires": DATE}),
            entry(GOOD, at=3, received={"cache-control": "no-cache=max_age, proxy-revalidate"}),
        ],
    ),
    "stale responses that are forbidden": (
        "cache/metrics-have-no-lifetime",
        [entry(GOOD, at=1, received={"cache-control": "private, no-cache, stale-if-error=86400"})],
    ),
    "an hour of an error": (
        "cache/errors-are-not-stored",
        [
            entry('{"detail": "no"}', 405, method="POST", at=1, received={"cache-control": "max-age=3600"}),
            entry('{"detail": "no"}', 406, at=2, received={"cache-control": "max-age=60", "vary": "Accept"}),
            entry('{"detail": "no"}', 400, at=3, received={"cache-control": "no-store"}),
        ],
    ),
    "values that look like placeholders": (
        "http/field-values-are-not-placeholders",
        [
            entry(
                GOOD,
                at=1,
                received={
                    "access-control-allow-origin": "null",
                    "x-price": "$5",
                    "x-note": "$request",
                    "x-share": "100%(d)",
                    "vary": "",
                    "set-cookie": "__Host-a=null; Path=/",
                    "x-load": "7%{a",
                },
            )
        ],
    ),
    "a trace of the client": (
        "http/request-identifiers-differ",
        [
            entry(GOOD, at=at, sent={"traceparent": f"00-{1:032x}-{at:016x}-01"}, received={"x-trace-id": f"{1:032x}"})
            for at in (1, 2)
        ]
        + [entry(GOOD, at=3, received={"x-request-id": "7"})],
    ),
    "lifetimes of cookies": (
        "http/cookies-are-well-formed",
        [entry(GOOD, at=1, received={"set-cookie": "a=b; Max-Age=-1\nb=; max-age=0; Path=/"})],
    ),
    "a session that lasts": (
        "http/cookies-are-well-formed",
        [
            entry(GOOD, at=1, received={"set-cookie": "PHPSESSID=1f3a; Path=/"}),
            entry(GOOD, at=2, received={"set-cookie": "PHPSESSID=1f3a; Path=/"}),
            entry(GOOD, at=3, received={"set-cookie": "lb=7; Path=/"}),
            entry(GOOD, at=4, sent={"cookie": "PHPSESSID=1f3a"}, received={"set-cookie": "PHPSESSID=9c2e; Path=/"}),
        ],
    ),
    "resets of several windows": (
        "rate/reset-is-not-in-the-past",
        [entry(GOOD, at=1, received={"X-RateLimit-Reset": "60", "x-ratelimit-reset": "60"})],
    ),
    "an unlimited key": (
        "rate/200-fields-agree-with-the-body",
        [
            entry(
                GOOD,
                at=1,
                received={
                    "x-ratelimit-limit": "10",
                    "x-ratelimit-limit-minute": "-1",
                    "x-ratelimit-remaining-minute": "600",
                    "x-ratelimit-remaining-second": "9",
                    "x-ratelimit-limit-second": "9",
                },
            )
        ],
    ),
    "the time in milliseconds": (
        "rate/retry-after-is-not-longer-than-a-refill",
        [
            entry(
                f'{{"detail": "slow down", "retry_after": {wait}}}',
                429,
                at=at,
                received={"retry-after": "1", "x-ratelimit-limit": "10", "x-ratelimit-remaining": "0"},
            )
            for at, wait in enumerate(("0.4", "850", "true", "2"), 1)
        ],
    ),
    "an identifier that is repeated": (
        "http/request-identifiers-differ",
        [entry(GOOD, at=1, received={"X-Request-Id": "6f1c2e7a", "x-request-id": "6f1c2e7a"})],
    ),
    "a cookie that Symfony deletes": (
        "http/cookies-are-protected",
        [entry(GOOD, at=1, received={"set-cookie": f"a=deleted; expires={DATE}; Max-Age=0; path=/"})],
    ),
    "a cookie of nginx": (
        "http/cookies-are-well-formed",
        [entry(GOOD, at=1, received={"set-cookie": "uid=fwAA; expires=Thu, 31-Dec-37 23:55:55 GMT; path=/"})],
    ),
    "a policy for scripts beside one for the rest": (
        "http/content-security-policy-restricts-scripts",
        [entry(GOOD, at=1, received={"content-security-policy": "default-src *; script-src 'self'"})],
    ),
    "identifiers of stored responses": (
        "http/request-identifiers-differ",
        [
            entry(GOOD, at=at, received={"x-request-id": "6f1c", **stored})
            for at, stored in enumerate(
                ({}, {"x-cache": "Hit from cloudfront"}, {"x-cache-status": "HIT"}, {"age": "3"})
            )
        ],
    ),
    "a cache that states that it had no hit": (
        "cache/no-store-is-respected",
        [entry(GOOD, at=1, received={"cache-control": "no-store", "cache-status": "edge; hit=?0; fwd=miss"})],
    ),
    "a reset of an unlimited key": (
        "rate/reset-is-not-in-the-past",
        [
            entry(GOOD, at=1, received={"x-ratelimit-reset": "-1", "x-ratelimit-limit": "-1"}),
            entry(GOOD, at=2, received={"x-ratelimit-reset": "1900000000"}),
        ],
    ),
    "a window without a limit": (
        "rate/200-fields-agree-with-the-body",
        [
            entry(GOOD, at=1, received={"x-ratelimit-limit": "10"}),
            entry(
                '{"detail": "no key"}',
                401,
                key="",
                at=2,
                received={"x-ratelimit-limit-day": "-1", "x-ratelimit-remaining-day": "-1"},
            ),
        ],
    ),
    "the time at which to try again": (
        "rate/retry-after-is-not-longer-than-a-refill",
        [
            entry(
                f'{{"detail": "slow down", "retry_after": {at}}}',
                429,
                at=number,
                received={"retry-after": "1", "x-ratelimit-limit": "10", "x-ratelimit-remaining": "0"},
            )
            for number, at in enumerate((1800000002, "9" * 400), 1)
        ],
    ),
    "a key that is refused for a time": (
        "rate/auth-errors-have-no-retry-after",
        [
            entry('{"detail": "no"}', 403, key="no-key-of-ours", at=at, received=received)
            for at, received in enumerate(({}, {"retry-after": "60"}), 1)
        ],
    ),
}


@pytest.mark.parametrize("name", USUAL)
def test_usual_fields_are_not_reported(name: str, judge_entries: Callable[..., Judged]) -> None:
    rule, entries = USUAL[name]
    judged = judge_entries(entry(GOOD, received=NOSNIFF), *entries)
    assert judged[rule].outcome == "held", (judged[rule].outcome, judged[rule].reason, judged[rule].findings)


def test_one_allowed_origin_is_not_reported(judge_entries: Callable[..., Judged]) -> None:
    judged = judge_entries(*(allowing(ORIGIN, at, ORIGIN) for at in (0, 1)))
    assert judged["cache/allowed-origin-has-vary"].outcome == "not applicable"


def test_304_without_a_vary_of_two_compressing_servers_is_not_reported(judge_entries: Callable[..., Judged]) -> None:
    served = entry(GOOD, received={"etag": '"1"', "vary": "Accept-Encoding, accept-encoding"})
    not_modified = entry("", 304, at=1, sent={"If-None-Match": '"1"'}, received={"etag": '"1"'})
    assert judge_entries(served, not_modified)["cache/304-has-the-fields-for-caches"].outcome == "held"


@pytest.mark.parametrize(("paths", "are_reported"), [("/a", False), ("/a /b", True)])
def test_details_of_one_path_are_not_compared_with_translations(paths: str, are_reported: bool) -> None:
    def unknown(path: str, *fields: tuple[bytes, bytes]) -> Exchange:
        body = b'{"detail": "Page %s was not found"}' % (b"b" if fields else b"a")
        typed = (("Content-Type", b"application/json"),)
        return Exchange(Request("GET", path.encode(), fields), 404, fields=typed, payload=body)

    exchanges = [*map(unknown, paths.split()), unknown("/c", (b"Accept-Language", b"de"))]
    with nullcontext() if are_reported else pytest.raises(NotApplicable):
        assert list(test_cache.test_translations_have_vary(exchanges))


def test_one_refusal_is_not_compared_with_translations() -> None:
    def refused(number: int, *fields: tuple[bytes, bytes]) -> Exchange:
        typed = (("Content-Type", b"application/json"),)
        return Exchange(Request("GET", b"/usage", fields), 401, fields=typed, payload=b'{"detail": "no, %d"}' % number)

    with pytest.raises(NotApplicable):
        assert list(test_cache.test_translations_have_vary([refused(1), refused(2, (b"Accept-Language", b"de"))]))


def test_pragma_is_not_reported() -> None:
    fields = (("Pragma", b"no-cache"), ("Cache-Control", b"no-store"))
    exchange = Exchange(Request("GET", b"/usage", ()), 200, fields=fields, ending="complete")
    assert complaints(exchange) == []
