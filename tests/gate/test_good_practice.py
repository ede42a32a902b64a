"""Rules about good practice report defects that look similar to usual behaviour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract_tests.wire.http_lint import complaints
from contract_tests.wire.messages import Exchange, Request
from tests.support.har import GOOD, KEY, Judged, entry
from tests.support.practice import DATE, ORIGIN, OTHER, allowing, error, refusing, validated, with_members

THROTTLED = {"retry-after": "2", "x-ratelimit-limit": "10", "x-ratelimit-remaining": "0"}

SIMILAR: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "a status of another response": ("errors/status-member-is-the-status", [error(401, "no key", status=500)]),
    "a code of another response": ("errors/status-member-is-the-status", [error(401, "no key", code=200)]),
    "a time in the future": ("schema/past-times-are-in-the-past", [with_members(updated_at="2027-01-15T10:00:00Z")]),
    "JSON in a text": ("schema/texts-are-not-placeholders", [with_members(plan='{"name": "pro"}')]),
    "a detail that was encoded twice": ("errors/detail-is-plain-text", [error(401, "Cl\u00c3\u00a9 non reconnue")]),
    "an error with success": ("errors/status-member-is-the-status", [error(401, "no key", success=True)]),
    "a failure beside metrics": ("errors/errors-have-the-status-of-one", [with_members(success=17, status=503)]),
    "an object of Python": (
        "schema/texts-are-not-placeholders",
        [with_members(plan="<usage.models.Plan object at 0x7f3a2c4d5e90>")],
    ),
    "an object of Java": ("schema/texts-are-not-placeholders", [with_members(owner="com.example.Owner@1b2c3d4")]),
    "a date of .NET": ("schema/times-have-an-unambiguous-form", [with_members(created_at="/Date(1700000000000)/")]),
    "an identifier of MongoDB": ("schema/members-are-not-internals", [with_members(owner={"$oid": "65f0c0ff"})]),
    "a domain with an escape": (
        "consistency/top-domains-are-normalized",
        [with_members(top_domains=[{"domain": "m\\u00fcnchen.example", "requests": 900}])],
    ),
    "a domain without a letter": (
        "consistency/top-domains-are-normalized",
        [with_members(top_domains=[{"domain": "-", "requests": 900}])],
    ),
    "another identifier in a nested member": (
        "errors/body-and-field-name-one-request",
        [entry('{"error": {"request_id": "9d0e"}}', 401, key="", at=1, received={"request-id": "6f1c"})],
    ),
    "a text of bytes": ("errors/detail-is-plain-text", [error(401, "b'no key'")]),
    "an object of Python as a detail": ("errors/detail-is-plain-text", [error(401, "{'error': 'no key'}")]),
    "an escape of HTML": ("errors/detail-is-plain-text", [error(401, "The key isn&#39;t valid.")]),
    "the name of a message": ("errors/detail-is-plain-text", [error(401, "errors.auth.missing_key")]),
    "a colour of a terminal": ("errors/detail-is-plain-text", [error(401, "\x1b[31mno key\x1b[39m")]),
    "a member for an exception": (
        "errors/errors-do-not-describe-an-exception",
        [error(401, "no key", exception="java.lang.RuntimeException")],
    ),
    "a refused connection": ("errors/errors-do-not-describe-an-exception", [error(401, "connect ECONNREFUSED")]),
    "the host of a database": (
        "errors/responses-do-not-disclose-private-addresses",
        [error(401, "cannot connect to usage.c9akciq32.eu-west-1.rds.amazonaws.com:5432")],
    ),
    "undefined in a field": (
        "http/field-values-are-not-placeholders",
        [entry(GOOD, received={"x-response-time": "NaNms", "x-region": "undefined"})],
    ),
    "a key that has expired": (
        "schema/times-of-expiry-are-in-the-future",
        [with_members(valid_until="2020-01-01T00:00:00Z")],
    ),
    "a host of the network of the service": (
        "consistency/top-domains-are-not-internal",
        [with_members(top_domains=[{"domain": "db.internal", "requests": 900}])],
    ),
    "an equal body with another ETag": (
        "cache/equal-bodies-have-one-etag",
        [validated(12342, 1, etag='"1"'), validated(12342, 2, etag='"2"')],
    ),
    "a date with a year of two digits": (
        "http/cookies-are-well-formed",
        [entry(GOOD, at=1, received={"set-cookie": "a=b; expires=Monday, 29-Nov-27 08:00:00 GMT"})],
    ),
    "a limit of the draft without tokens": (
        "rate/200-fields-agree-with-the-body",
        [entry(GOOD, at=1, received={"ratelimit-limit": "10", "ratelimit-remaining": "0"})],
    ),
    "an object as a detail": ("errors/detail-is-plain-text", [error(401, "[object Object]")]),
    "a reset half a minute ago": (
        "rate/reset-is-not-in-the-past",
        [entry(GOOD, received={"x-ratelimit-reset": "1799999970", "date": "Fri, 15 Jan 2027 08:00:00 GMT"})],
    ),
    "eval in a policy": (
        "http/content-security-policy-restricts-scripts",
        [entry(GOOD, at=1, received={"content-security-policy": "script-src 'self' 'unsafe-eval'"})],
    ),
    "the patterns of all routes": (
        "errors/errors-do-not-list-routes",
        [error(405, "^admin/$, ^keys/$, ^usage$ and ^healthz$ were tried")],
    ),
    "a truth value as a text": ("schema/texts-are-not-placeholders", [with_members(is_active="true")]),
    "a truth value of Python": ("schema/texts-are-not-placeholders", [with_members(throttled="False")]),
    "a host in a private network": (
        "errors/responses-do-not-disclose-private-addresses",
        [with_members(node={"url": "http://usage-7.cluster.local/"})],
    ),
    "a warning of a cache": (
        "http/fields-are-not-obsolete",
        [entry(GOOD, at=1, received={"warning": '110 - "Response is Stale"'})],
    ),
    "a hit of a cache": (
        "cache/no-store-is-respected",
        [entry(GOOD, at=1, received={"cache-control": "no-store", "x-cache": "MISS, TCP_HIT from 198.51.100.7"})],
    ),
    "each origin": (
        "cache/allowed-origin-has-vary",
        [allowing(origin, at, origin) for at, origin in enumerate((ORIGIN, OTHER))],
    ),
    "None as a text": ("schema/texts-are-not-placeholders", [with_members(throttling="None")]),
    "an old weak ETag": (
        "cache/validators-change-with-the-metrics",
        [validated(12342 + at, at, etag='W/"1"') for at in (1, 9)],
    ),
    "an old Last-Modified": (
        "cache/validators-change-with-the-metrics",
        [validated(12342 + at, at, **{"last-modified": "Fri, 15 Jan 2027 08:00:00 GMT"}) for at in (3, 9)],
    ),
    "a cookie with a comma": (
        "http/cookies-are-well-formed",
        [entry(GOOD, at=1, received={"set-cookie": "a=b,c; Path=/"})],
    ),
    "errors that a page cannot read": (
        "http/errors-allow-the-same-origins",
        [allowing("*", 1, ORIGIN), refusing("")],
    ),
    "an XSS filter": ("http/fields-are-not-obsolete", [entry(GOOD, at=1, received={"x-xss-protection": "1"})]),
    "the origin null alone": ("http/allowed-origin-is-one-origin", [allowing("null", 1, "null")]),
    "a cookie with an ISO date": (
        "http/cookies-are-well-formed",
        [entry(GOOD, at=1, received={"set-cookie": "a=b; Expires=2027-01-31T00:00:00Z"})],
    ),
    "a cookie that browsers reject": (
        "http/cookies-are-protected",
        [entry(GOOD, at=1, received={"set-cookie": "a=b; HttpOnly; SameSite=None"})],
    ),
    "frames of one site": (
        "http/fields-are-not-obsolete",
        [entry(GOOD, at=1, received={"x-frame-options": "ALLOW-FROM https://portal.example"})],
    ),
    "a rate of 26 digits": (
        "schema/numbers-have-no-rounding-noise",
        [entry(GOOD.replace("97.32", "97.318100794036622913628261"), at=1)],
    ),
    "any origin null": ("http/allowed-origin-is-one-origin", [allowing("null", 1, ORIGIN)]),
    "a cookie for all sites": (
        "http/cookies-are-protected",
        [entry(GOOD, at=1, received={"set-cookie": "a=b; HttpOnly; Secure"})],
    ),
    "an American date": ("schema/times-have-an-unambiguous-form", [with_members(reset_at="11/29/2026 01:20 PM")]),
    "a reset an hour ago": (
        "rate/reset-is-not-in-the-past",
        [entry(GOOD, received={"x-ratelimit-reset": "1799996400", "date": "Fri, 15 Jan 2027 08:00:00 GMT"})],
    ),
    "HTML": ("errors/detail-is-plain-text", [error(401, "<p>no key</p>")]),
    "routes with escaped slashes": (
        "errors/errors-do-not-list-routes",
        [entry(r'{"detail": "no", "routes": ["\/a", "\/b", "\/c", "\/d"]}', 405, method="POST")],
    ),
    "one detail for all": (
        "errors/detail-depends-on-the-error",
        [error(401, "no"), error(405, "no")],
    ),
    "a development server as the origin of all": (
        "http/allowed-origin-is-one-origin",
        [allowing("http://localhost:3000", 1, ORIGIN)],
    ),
    "a redirect to plain HTTP": (
        "robustness/redirects-have-a-location",
        [entry("", 307, at=1, received={"location": "http://api.example/usage/"})],
    ),
    "a link to plain HTTP": (
        "robustness/redirects-have-a-location",
        [entry(GOOD, at=1, received={"link": '</a>; rel="next", <http://api.example/docs>; rel="help"'})],
    ),
    "a hit at Cloudflare": (
        "cache/no-store-is-respected",
        [entry(GOOD, at=1, received={"cache-control": "no-store", "cf-cache-status": "HIT"})],
    ),
    "a hit in Cache-Status": (
        "cache/no-store-is-respected",
        [entry(GOOD, at=1, received={"cache-control": "private", "cache-status": "edge; hit; ttl=30"})],
    ),
    "an age of a private response": (
        "cache/no-store-is-respected",
        [entry(GOOD, at=1, received={"cache-control": "private, max-age=0", "age": "7"})],
    ),
    "limits that a page cannot read": (
        "http/limits-are-readable-by-pages",
        [
            entry(
                GOOD,
                at=1,
                received={"access-control-allow-origin": "*", "x-ratelimit-remaining": "9", "x-ratelimit-limit": "10"},
            )
        ],
    ),
    "limits that a page with credentials cannot read": (
        "http/limits-are-readable-by-pages",
        [
            entry(
                GOOD,
                at=1,
                received={
                    "access-control-allow-origin": ORIGIN,
                    "access-control-allow-credentials": "true",
                    "access-control-expose-headers": "*",
                    "x-ratelimit-limit": "10",
                },
            )
        ],
    ),
    "frames of all sites": (
        "http/fields-are-not-obsolete",
        [entry(GOOD, at=1, received={"x-frame-options": "ALLOWALL"})],
    ),
    "a policy for resources that does not exist": (
        "http/fields-are-not-obsolete",
        [entry(GOOD, at=1, received={"cross-origin-resource-policy": "none"})],
    ),
    "an old name of a policy": (
        "http/fields-are-not-obsolete",
        [entry(GOOD, at=1, received={"feature-policy": "camera 'none'"})],
    ),
    "True of Python": (
        "http/fields-are-not-obsolete",
        [entry(GOOD, at=1, received={"access-control-allow-credentials": "True"})],
    ),
    "a policy for referrers that does not exist": (
        "http/referrer-policy-protects-urls",
        [entry(GOOD, at=1, received={"referrer-policy": "none"})],
    ),
    "two lifetimes": (
        "cache/cache-directives-agree",
        [entry(GOOD, at=1, received={"cache-control": "private, max-age=0, max-age=60"})],
    ),
    "a misspelt directive": (
        "cache/cache-directives-agree",
        [entry(GOOD, at=1, received={"cache-control": "nostore, must-revalidate"})],
    ),
    "a date of expiry beside no-store": (
        "cache/cache-directives-agree",
        [
            entry(
                GOOD,
                at=1,
                received={"cache-control": "no-store", "date": DATE, "expires": "Sun, 14 Feb 2027 08:00:00 GMT"},
            )
        ],
    ),
    "a day of stale responses": (
        "cache/metrics-have-no-lifetime",
        [entry(GOOD, at=1, received={"cache-control": "private, max-age=0, stale-while-revalidate=86400"})],
    ),
    "an error for a year": (
        "cache/errors-are-not-stored",
        [entry('{"detail": "no"}', 405, method="POST", at=1, received={"cache-control": "max-age=31536000"})],
    ),
    "an error of one request for all": (
        "cache/errors-are-not-stored",
        [entry('{"detail": "no"}', 400, at=1, received={"cache-control": "max-age=60"})],
    ),
    "a variable of nginx": (
        "http/field-values-are-not-placeholders",
        [entry(GOOD, at=1, received={"x-request-id": "$request_id"})],
    ),
    "a variable of Apache": (
        "http/field-values-are-not-placeholders",
        [entry(GOOD, at=1, received={"x-request-id": "%{UNIQUE_ID}e"})],
    ),
    "a variable of Envoy": (
        "http/field-values-are-not-placeholders",
        [entry(GOOD, at=1, received={"x-path": "%REQ(:PATH)%"})],
    ),
    "null of JavaScript": (
        "http/field-values-are-not-placeholders",
        [entry(GOOD, at=1, received={"x-region": "null"})],
    ),
    "a limit without a value": (
        "http/field-values-are-not-placeholders",
        [entry(GOOD, at=1, received={"x-ratelimit-reset": ""})],
    ),
    "traces of zeros": (
        "http/request-identifiers-differ",
        [entry(GOOD, at=at, received={"x-trace-id": "0" * 32}) for at in (1, 2)],
    ),
    "a lifetime with a unit": (
        "http/cookies-are-well-formed",
        [entry(GOOD, at=1, received={"set-cookie": "a=b; Max-Age=1h"})],
    ),
    "a cookie without a name": (
        "http/cookies-are-well-formed",
        [entry(GOOD, at=1, received={"set-cookie": "=b; Path=/"})],
    ),
    "a session of each request": (
        "http/cookies-are-well-formed",
        [entry(GOOD, at=at, received={"set-cookie": f"PHPSESSID={at}f3a; Path=/"}) for at in (1, 2)],
    ),
    "a reset before now": (
        "rate/reset-is-not-in-the-past",
        [entry(GOOD, at=1, received={"x-ratelimit-reset": "-3"})],
    ),
    "two resets": (
        "rate/reset-is-not-in-the-past",
        [entry(GOOD, at=1, received={"X-RateLimit-Reset": "1", "x-ratelimit-reset": "60"})],
    ),
    "less than nothing": (
        "rate/200-fields-agree-with-the-body",
        [entry('{"detail": "no key"}', 401, key="", at=1, received={"x-ratelimit-remaining": "-1"})],
    ),
    "more than the limit of a window": (
        "rate/200-fields-agree-with-the-body",
        [
            entry(
                GOOD,
                at=1,
                received={"x-ratelimit-limit-second": "10", "x-ratelimit-remaining-second": "11"},
            )
        ],
    ),
    "another time in the body": (
        "rate/retry-after-is-not-longer-than-a-refill",
        [entry('{"detail": "slow down", "retry_after": 30}', 429, at=1, received=THROTTLED)],
    ),
    "a cookie for a host with the same end": (
        "http/cookies-are-protected",
        [entry(GOOD, at=1, received={"set-cookie": "a=b; HttpOnly; Secure; SameSite=Lax; Domain=pi.example"})],
    ),
    "the host of a backend with escaped slashes": (
        "errors/responses-do-not-disclose-private-addresses",
        [entry(r'{"detail": "no", "upstream": "http:\/\/10.0.3.7\u003a8000\/usage"}', 401, key="", at=1)],
    ),
    "the version of a server with an escaped slash": (
        "errors/responses-do-not-disclose-versions",
        [entry(r'{"detail": "no", "server": "nginx\/1.18.0"}', 401, key="", at=1)],
    ),
    "an exception of Python as the error": (
        "errors/errors-do-not-describe-an-exception",
        [error(401, "no key", title="KeyError")],
    ),
    "an exception of Java with its package": (
        "errors/errors-do-not-describe-an-exception",
        [error(401, "no key", error="com.example.usage.MissingTenantException")],
    ),
    "the class of an exception": (
        "errors/errors-do-not-describe-an-exception",
        [error(401, "no key", error_class="Usage::Missing")],
    ),
    "a file and a line": (
        "errors/errors-do-not-describe-an-exception",
        [error(401, "no key", source={"file": "keys.rb", "line": 17})],
    ),
    "a file in a container": (
        "errors/errors-do-not-describe-an-exception",
        [error(401, "no key", source="/app/usage/keys.py")],
    ),
    "an exception in a header field": (
        "errors/header-fields-do-not-disclose-internals",
        [entry('{"detail": "no"}', 401, key="", at=1, received={"x-error": "KeyError: 'tenant'"})],
    ),
    "a host of one word in an error": (
        "errors/responses-do-not-disclose-private-addresses",
        [error(401, "no key", upstream="http://usage-backend/usage")],
    ),
    "a host of one word in a redirect": (
        "errors/responses-do-not-disclose-private-addresses",
        [entry("", 307, at=1, received={"location": "http://app:8000/usage"})],
    ),
    "a service of a cluster in a link": (
        "errors/responses-do-not-disclose-private-addresses",
        [entry(GOOD, at=1, received={"link": '<https://keys.prod.svc/docs>; rel="help"'})],
    ),
    "an internal load balancer": (
        "errors/responses-do-not-disclose-private-addresses",
        [error(405, "connect to internal-usage-17.eu-west-1.elb.amazonaws.com:80")],
    ),
    "another port in a redirect": (
        "errors/responses-do-not-disclose-private-addresses",
        [entry("", 308, at=1, received={"location": "https://api.example:8443/usage"})],
    ),
    "the address of a node": (
        "errors/responses-do-not-disclose-private-addresses",
        [with_members(node="10.0.3.7")],
    ),
    "the name of a pod": (
        "errors/responses-do-not-disclose-private-addresses",
        [error(401, "no key", meta={"hostname": "usage-7d9f8b6c5d-x2x4z"})],
    ),
    "the version of a server in a redirect": (
        "errors/responses-do-not-disclose-versions",
        [
            entry(
                "<hr><center>nginx/1.18.0</center>",
                301,
                at=1,
                received={"location": "/usage", "content-type": "text/html"},
            )
        ],
    ),
    "the version of a library in an error": (
        "errors/responses-do-not-disclose-versions",
        [error(401, "no key", gateway="Kong/3.4.0")],
    ),
    "the key in the query of an error": (
        "errors/keys-are-not-echoed",
        [entry(f'{{"detail": "no key: /usage?k={KEY}"}}', 401, key="", at=1, url=f"https://api.example/usage?k={KEY}")],
    ),
    "the path at a server behind a proxy": (
        "errors/errors-name-the-requested-path",
        [error(401, "no key", path="/internal/v1/usage")],
    ),
}


@pytest.mark.parametrize("name", SIMILAR)
def test_a_similar_defect_is_reported(name: str, judge_entries: Callable[..., Judged]) -> None:
    rule, entries = SIMILAR[name]
    assert judge_entries(entry(GOOD), *entries)[rule].outcome == "reported"


@pytest.mark.parametrize(
    "message",
    [
        "sql: no rows in result set",
        "rpc error: code = Unavailable desc = no connection",
        "No module named 'usage'",
        'strconv.Atoi: parsing "x": invalid syntax',
        "context deadline exceeded",
        "pq: connection reset",
        'FATAL:  password authentication failed for user "usage"',
        "FATAL:  sorry, too many clients already",
        "no such table: keys",
        "getaddrinfo ENOTFOUND redis",
        "SQLITE_ERROR: incomplete input",
        "Call to a member function plan() on null",
        "list index out of range",
        "invalid literal for int() with base 10: 'x'",
        "'Key' object has no attribute 'plan'",
        "get_usage() missing 1 required positional argument: 'key'",
        "no usage of <usage.Key object at 0x7f3a2c>",
        "undefined for #<ApiKey:0x00007f>",
        "called `Option::unwrap()` on a `None` value",
        'Cannot invoke "Key.plan()" because "key" is null',
        "Value cannot be null. (Parameter 'key')",
        "Sequence contains no elements",
        'Cast to ObjectId failed for value "x"',
        "Invalid object name 'dbo.keys'.",
        "Login failed for user 'usage'.",
        "MySQL server has gone away",
        "database is locked",
        "NOAUTH Authentication required.",
        "Array to string conversion",
        "failed at index.php(33)",
    ],
)
def test_the_message_of_an_exception_is_reported(message: str, judge_entries: Callable[..., Judged]) -> None:
    judged = judge_entries(entry(GOOD), error(401, message))
    assert judged["errors/errors-do-not-describe-an-exception"].outcome == "reported"


@pytest.mark.parametrize(
    ("status", "name", "value", "is_reported"),
    [
        (404, "Link", "https://api.example/docs; rel=help", True),
        (404, "Link", "<https://api.example/docs>", True),
        (404, "Link", '<https://api.example/docs>; title="a"; rel="help", </b>; rel=next', False),
        (404, "Link", "</style.css>;as=style;rel=preload", False),
        (404, "Link", "</usage>;  rel=self", False),
        (404, "Link", "", False),
        (401, "Location", "/login", True),
        (307, "Location", "/usage", False),
    ],
)
def test_links_and_locations_are_read(status: int, name: str, value: str, *, is_reported: bool) -> None:
    fields = ((name, value.encode()), ("Cache-Control", b"no-store"))
    assert bool(complaints(Exchange(Request("GET", b"/usage", ()), status, fields=fields))) == is_reported
