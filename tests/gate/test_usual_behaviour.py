"""Rules about bodies, keys and redirects do not report what looks similar to a defect and is usual."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.har import GOOD, KEY, METRICS, Judged, entry
from tests.support.practice import NOSNIFF, error, validated, with_members

USUAL: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "a status that is not a number": ("errors/status-member-is-the-status", [error(401, "no key", status=False)]),
    "a choice that is called none": ("schema/texts-are-not-placeholders", [with_members(throttling="none")]),
    "a duration": ("schema/times-have-an-unambiguous-form", [with_members(response_time="12 ms", up_to_date="yes")]),
    "a time of day": ("schema/times-have-an-unambiguous-form", [with_members(reset_time="00:00:00Z")]),
    "numbers in details": (
        "errors/detail-depends-on-the-error",
        [error(401, "Error 401"), error(405, "Error 405")],
    ),
    "the identifier of the field in the body": (
        "errors/body-and-field-name-one-request",
        [entry('{"request_id": "6f1c"}', 401, key="", at=1, received={"x-request-id": "6f1c"})],
    ),
    "the identifier of the client in the field": (
        "errors/body-and-field-name-one-request",
        [entry('{"requestId": "9d0e"}', 401, key="", at=1, sent={"X-Request-Id": "1"}, received={"x-request-id": "1"})],
    ),
    "two kinds of identifiers": (
        "errors/body-and-field-name-one-request",
        [entry('{"trace_id": "9d0e"}', 401, key="", at=1, received={"x-request-id": "6f1c"})],
    ),
    "a placeholder in angle brackets": ("errors/detail-is-plain-text", [error(401, "Use Bearer <code>, or <a>.")]),
    "a link to the documentation": ("errors/errors-do-not-list-routes", [error(405, "See /docs.")]),
    "an IPv6 address": (
        "consistency/top-domains-are-normalized",
        [with_members(top_domains=[{"domain": "2001:db8::17", "requests": 900}])],
    ),
    "data in camel case": ("schema/member-names-have-one-form", [with_members(by_device={"iPhone": 3})]),
    "no debugging": (
        "errors/header-fields-do-not-disclose-internals",
        [entry(GOOD, at=1, received={"x-debug": "off"})],
    ),
    "a scheme for other credentials": (
        "errors/401-carries-a-challenge",
        [entry('{"detail": "no key"}', 401, key="", at=1, received={"www-authenticate": "ApiKey, Bearer"})],
    ),
    "an application's code": ("errors/status-member-is-the-status", [error(401, "no key", code=1001)]),
    "a detail in another script": ("errors/detail-is-plain-text", [error(401, "缺少密钥")]),
    "a key that was read as Latin-1": (
        "errors/detail-is-plain-text",
        [entry('{"detail": "Unknown key: \u00c3\u00a1dmin."}', 401, key="\u00e1dmin", at=1)],
    ),
    "a version with four numbers": (
        "errors/responses-do-not-disclose-private-addresses",
        [error(401, "no key", release="usage/10.4.2.1")],
    ),
    "the address of the deployment": (
        "errors/responses-do-not-disclose-private-addresses",
        [error(401, "no key", documentation="https://usage.example/docs")],
    ),
    "a text in a map of texts": ("schema/texts-are-not-placeholders", [with_members(labels={"production": "true"})]),
    "the address of the client": (
        "errors/responses-do-not-disclose-private-addresses",
        [error(401, "Your address 10.8.0.3 is not allowed (errors.auth.internal).")],
    ),
    "a time in the past": ("schema/past-times-are-in-the-past", [with_members(updated_at="2027-01-15T08:00:00Z")]),
    "the end of a period": ("schema/past-times-are-in-the-past", [with_members(resets_at="2030-01-15T08:00:00Z")]),
    "a list of times": ("schema/times-have-an-unambiguous-form", [with_members(response_time=[12, 17, 29])]),
    "the first day of the year": ("schema/texts-are-not-placeholders", [with_members(created_at="2026-01-01")]),
    "an identifier of a trace": (
        "errors/errors-do-not-describe-an-exception",
        [error(401, "no key", trace="4bf92f3577b34da6", stack=None, error="InvalidKeyError")],
    ),
    "a path with a parameter": ("errors/detail-is-plain-text", [error(401, "Use /keys/{id}, at 100 % of the cases.")]),
    "a failure of others": ("errors/errors-have-the-status-of-one", [with_members(error=None, status="ok", code=0)]),
    "an error that is not a success": (
        "errors/status-member-is-the-status",
        [error(401, "no key", success=False, ok=None)],
    ),
    "two cookies": (
        "errors/responses-do-not-disclose-private-addresses",
        [entry(GOOD, received={"set-cookie": "BIGipServerpool=!c2VjcmV0; HttpOnly"})],
    ),
    "a time in a detail": ("errors/responses-do-not-disclose-private-addresses", [error(401, "refused at 10:15:6379")]),
    "the name of a cache": (
        "errors/header-fields-do-not-disclose-internals",
        [
            entry(
                GOOD, received={"x-served-by": "cache-fra-1", "x-envoy-upstream-service-time": "3", "x-node-count": "2"}
            )
        ],
    ),
    "versions of protocols": (
        "errors/responses-do-not-disclose-versions",
        [error(401, "HTTP/1.1 and TLS 1.3, API v2.1")],
    ),
    "a key that does not expire soon": (
        "schema/times-of-expiry-are-in-the-future",
        [with_members(expires_at="2099-01-01T00:00:00Z", last_reset_at="2020-01-01T00:00:00Z", renews_at=None)],
    ),
    "addresses of the Internet": (
        "consistency/top-domains-are-not-internal",
        [with_members(top_domains=[{"domain": "8.8.8.8", "requests": 9}, {"domain": "local.example", "requests": 2}])],
    ),
    "a time without an offset": (
        "schema/past-times-are-in-the-past",
        [with_members(generated_at="monthly", as_of="2026-01-01"), validated(12343, 2)],
    ),
    "a template": ("schema/texts-are-not-placeholders", [with_members(note="{name} has [3] rows")]),
    "a detail in French": ("errors/detail-is-plain-text", [error(401, "Clé non reconnue : réessayez")]),
    "the patterns of two routes": ("errors/errors-do-not-list-routes", [error(405, "not ^usage$ or ^healthz$")]),
    "domains in a private network": (
        "errors/responses-do-not-disclose-private-addresses",
        [with_members(top_domains=[{"domain": "shop.local", "requests": 900}])],
    ),
    "a rate with zeros at its end": (
        "schema/numbers-have-no-rounding-noise",
        [entry(GOOD.replace("97.32", "97.32000000000000000000"), at=1)],
    ),
    "a rate of 16 digits": (
        "schema/numbers-have-no-rounding-noise",
        [with_members(success_rate=97.31810079403663)],
    ),
    "an application's code of three digits": (
        "errors/status-member-is-the-status",
        [error(401, "no key", code=215)],
    ),
    "the networks of a key": (
        "errors/responses-do-not-disclose-private-addresses",
        [with_members(allowed_networks=["10.0.0.0/8"])],
    ),
    "a link to another host": (
        "robustness/redirects-have-a-location",
        [
            entry(GOOD, at=1, received={"link": '<http://www.w3.org/ns/hydra>; rel="profile"'}),
            entry("", 307, at=2, received={"location": "https://api.example/usage/"}),
        ],
    ),
    "a redirect from HTTPS to HTTPS": (
        "robustness/redirects-have-a-location",
        [entry("", 307, at=1, received={"location": "https://api.example/usage/"})],
    ),
    "a user who is denied access": (
        "errors/responses-do-not-disclose-internals",
        [error(401, "Access denied for user 'demo'. Unknown column 'period'. Table 'usage' doesn't exist.")],
    ),
    "a file of the client on Windows": (
        "errors/responses-do-not-disclose-internals",
        [error(401, r"Read the key from C:\Users\you\key.json")],
    ),
    "the name of an environment": (
        "errors/errors-do-not-describe-an-exception",
        [error(401, "no key", env="production", stack="eu-1")],
    ),
    "a method that is not defined": (
        "errors/errors-do-not-describe-an-exception",
        [error(405, "Undefined method POST: it is not a function of this resource.")],
    ),
    "a detail of two lines": ("errors/detail-is-plain-text", [error(401, "No key.\r\nSend one.")]),
    "an example with a placeholder": (
        "errors/detail-is-plain-text",
        [error(401, "Send 'X-API-Key: {key}', or \"Authorization: Bearer ${TOKEN}\".")],
    ),
    "a detail with a code and an identifier": ("errors/detail-is-plain-text", [error(401, "[401] No key [req-8f2c]")]),
    "undefined in prose": ("errors/detail-is-plain-text", [error(405, "The method POST is undefined")]),
    "per cent before a word": ("errors/detail-is-plain-text", [error(401, "Utilisé à 100 %d'abord")]),
    "a date of the client": ("errors/detail-is-plain-text", [error(401, "Invalid Date")]),
    "a value of the client that is not UTF-8": (
        "errors/detail-is-plain-text",
        [entry('{"detail": "not known: \ufffd"}', 401, key="clé", at=1)],
    ),
    "the program of the client": (
        "errors/responses-do-not-disclose-versions",
        [
            entry(
                '{"detail": "Python/3.11 aiohttp/3.9.1 is refused"}',
                401,
                at=1,
                sent={"user-agent": "Python/3.11 aiohttp/3.9.1"},
            ),
            error(
                401, "Your Express 5.0 plan ended. Our client needs PHP 8.1.", docs="https://docs.example/python/3.1/"
            ),
        ],
    ),
    "fields that name no machine": (
        "errors/header-fields-do-not-disclose-internals",
        [
            entry(GOOD, at=at, received={name: value})
            for at, (name, value) in enumerate(
                {
                    "x-instance-id": "550e8400-e29b-41d4-a716-446655440000",
                    "x-node": "3",
                    "x-upstream": "HIT",
                    "x-container": "default",
                }.items()
            )
        ],
    ),
    "a number after a colon": (
        "errors/responses-do-not-disclose-private-addresses",
        [error(401, "Error code:5432. Use port:8080.")],
    ),
    "a trial and a credit that ended": (
        "schema/times-of-expiry-are-in-the-future",
        [with_members(trial_expires_at="2020-01-01T00:00:00Z", credits=[{"expires_at": "2020-01-01T00:00:00Z"}])],
    ),
    "an application's code of a success": ("errors/errors-have-the-status-of-one", [with_members(code=450)]),
    "errors about a request": (
        "errors/errors-do-not-describe-an-exception",
        [
            error(401, "invalid character in the key", code="missing_key", type="https://docs.example/KeyMissing"),
            error(401, "API key not found", error="UnauthorizedException", title="The JSON body is not valid"),
            error(405, "the database of prices: POST is missing", line=3, file=None, docs="/app/docs/usage.html"),
            entry('{"detail": "no /app/x.py"}', 404, url="https://api.example/app/x.py", at=1),
        ],
    ),
    "the type of an error in a header field": (
        "errors/header-fields-do-not-disclose-internals",
        [
            entry('{"detail": "no"}', 401, key="", at=1, received={"x-amzn-errortype": name})
            for name in ("UnauthorizedException", "com.amazon.coral.service#UnrecognizedClientException")
        ],
    ),
    "hosts that everyone can reach": (
        "errors/responses-do-not-disclose-private-addresses",
        [
            error(401, "Use https://your-host/usage, http://m\u00fcnchen.example/, or https://<host>:8000/usage."),
            error(405, "See https://api.example:8443/docs, http://user:password@proxy.example and http://host:8080."),
            entry("", 307, at=1, received={"location": "https://api.example:443/usage"}),
            entry("", 307, at=2, received={"location": "/usage", "link": "<//docs/usage>; rel=help"}),
            entry("", 307, at=3, sent={"host": "app:8000"}, received={"location": "http://app:8000/usage"}),
        ],
    ),
    "members that name no machine": (
        "errors/responses-do-not-disclose-private-addresses",
        [
            with_members(node="eu-west-1", server="api", instance="8f2c6f1c2e7a", hosts=[{"host": "10.0.0.5"}]),
            error(401, "no key", instance="urn:uuid:550e8400-e29b-41d4-a716-446655440000", client_ip="10.8.0.3"),
            error(405, "no", host="api.example", ip="10.8.0.3"),
        ],
    ),
    "software without its version": (
        "errors/responses-do-not-disclose-versions",
        [
            error(401, "no key", gateway="kong/3, jetty(x), envoy", version="3.4.0"),
            entry("<center>nginx</center>", 301, at=1, received={"location": "/usage", "via": "1.1 varnish (Varnish)"}),
            entry('{"service": "usage", "version": "1.4.2"}', url="https://api.example/", key="", at=2),
        ],
    ),
    "an address that the request has": (
        "errors/header-fields-do-not-disclose-internals",
        [entry(GOOD, at=1, sent={"X-Forwarded-For": "198.51.100.7"}, received={"x-forwarded-for": "198.51.100.7"})],
    ),
    "the key in a redirect with its query": (
        "errors/keys-are-not-echoed",
        [
            entry(
                f'<a href="/usage?key={KEY}">Moved</a>',
                307,
                key="",
                at=1,
                url=f"https://api.example/usage/?key={KEY}",
                received={"location": f"/usage?key={KEY}", "content-type": "text/html"},
            )
        ],
    ),
    "the identifier of a gateway, and other spellings": (
        "errors/body-and-field-name-one-request",
        [
            entry(
                json.dumps({"detail": "no key", "request_id": identifier}),
                401,
                key="",
                at=at,
                received={"x-request-id": "6F1C-9D0E", **received},
            )
            for at, (identifier, received) in enumerate(
                (("9d0e", {"x-kong-request-id": "9d0e"}), ("9d0e", {"X-Request-Id": "9d0e"}), ("6f1c9d0e", {})), 1
            )
        ],
    ),
    "errors about properties, and the URL of a type": (
        "errors/errors-do-not-describe-an-exception",
        [
            error(
                401, "Cannot read properties of this account", type="https://api.example/problems/key.missing.AuthError"
            ),
            error(405, "Cannot read property 17 by POST", type="https://docs.example/errors#TypeError"),
        ],
    ),
    "codes that are reason phrases": (
        "errors/detail-fits-the-status",
        [error(401, "The key is locked", error="locked"), error(405, "no POST", error="forbidden")],
    ),
    "other examples with a placeholder": (
        "errors/detail-is-plain-text",
        [
            error(401, "Send 'Authorization: Token {token}' or 'Authorization: ApiKey {key}', not ?api_key={key}."),
            error(405, "Allowed scopes: None"),
        ],
    ),
    "no error, and a rate of errors": (
        "errors/errors-have-the-status-of-one",
        [with_members(error=text) for text in ("none", "0", "2.68 %")],
    ),
    "a file after a capital letter, and an example of an address": (
        "errors/responses-do-not-disclose-internals",
        [
            error(401, "Option A:\u00a0openapi.json"),
            error(405, "Use amqp://user:password@host, or redis://<user>:<password>@host."),
        ],
    ),
    "identifiers that look like URLs, and examples of URLs": (
        "errors/responses-do-not-disclose-private-addresses",
        [
            error(401, "Use https://base-url/usage or https://BASE_URL/usage", type="https://errors/invalid-key"),
            error(405, "no", type="http://problems/405", instance="err-20260115-abcde"),
        ],
    ),
    "origins that may measure or use a page": (
        "errors/responses-do-not-disclose-private-addresses",
        [
            entry(
                GOOD,
                at=1,
                received={
                    "timing-allow-origin": "https://dashboard.corp, http://intranet",
                    "permissions-policy": 'camera=(self "https://intranet")',
                },
            )
        ],
    ),
    "an identifier that ends with the path": (
        "errors/errors-name-the-requested-path",
        [error(401, "no", instance=path) for path in ("/problems/usage", "/errors/401/usage")],
    ),
    "the path of a request, and other identifiers": (
        "errors/errors-name-the-requested-path",
        [
            *(error(401, "no", path=path) for path in ("/usage", "usage", "x-api-key", "https://api.example/v1/usage")),
            *(error(401, "no", instance=text) for text in ("urn:uuid:6f1c", "/errors/17", "/usage#17", "//usage")),
            entry('{"detail": "no", "path": "/usage"}', 404, at=1, url="https://api.example/v1/usage"),
            entry('{"detail": "no", "path": "/x"}', 404, at=2, url="https://api.example/"),
        ],
    ),
    "durations with their units": (
        "schema/times-have-an-unambiguous-form",
        [with_members(response_time="12 milliseconds", reset_time="30 seconds", key_age_at="5 days")],
    ),
    "the time of a report": (
        "schema/past-times-are-in-the-past",
        [
            entry(json.dumps({**METRICS, **changed, "report": {"as_of": "2026-12-01T08:00:00Z"}}), at=at)
            for at, changed in enumerate(({}, {"total": 12343, "success": 12012}), 1)
        ],
    ),
}


@pytest.mark.parametrize("name", USUAL)
def test_usual_behaviour_is_not_reported(name: str, judge_entries: Callable[..., Judged]) -> None:
    rule, entries = USUAL[name]
    judged = judge_entries(entry(GOOD, received=NOSNIFF), *entries)
    assert judged[rule].outcome == "held", (judged[rule].outcome, judged[rule].reason, judged[rule].findings)


def test_domains_of_a_deployment_for_development_are_not_reported(judge_entries: Callable[..., Judged]) -> None:
    served = with_members(top_domains=[{"domain": "localhost", "requests": 900}])
    served["request"]["url"] = "http://127.0.0.1:8080/usage"
    assert judge_entries(served)["consistency/top-domains-are-not-internal"].outcome == "held"
