"""Rules about JSON bodies report defects of good practice, and do not report what is usual."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.har import GOOD, METRICS, Judged, entry
from tests.support.practice import DATE, error, with_members

TEXTS, AGREE = "schema/texts-are-not-placeholders", "consistency/further-members-agree"
NEGATIVE, LISTS = "consistency/further-counts-are-not-negative", "consistency/further-objects-are-not-lists"
STATUS, OF_ONE = "errors/status-member-is-the-status", "errors/errors-have-the-status-of-one"
DETAIL, SECRETS = "errors/detail-is-plain-text", "schema/undocumented-members-are-not-secrets"
INTERNAL = "consistency/top-domains-are-not-internal"
PARTS = "eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0NSJ9", "c2lnbmF0dXJl"
HASH = "$2b$12$" + "a" * 53


def limited(**members: object) -> dict[str, Any]:
    return with_members(rate_limit={**METRICS["rate_limit"], **members})


def listed(domain: str = "shop.example", **members: object) -> dict[str, Any]:
    return with_members(top_domains=[{"domain": domain, "requests": 900, **members}])


def dated(**members: object) -> dict[str, Any]:
    body = json.dumps({"detail": "no key", **members})
    return entry(body, 401, key="", at=1, received={"date": DATE})


DEFECTS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "a count as a text": (TEXTS, [with_members(requests_today="123")]),
    "a duration as a text": (TEXTS, [with_members(latency={"avg_ms": "12.5", "n": 3})]),
    "a quota of texts": (TEXTS, [with_members(quota={"limit": "100", "used": "12", "remaining": "88"})]),
    "a name that is undefined": (TEXTS, [with_members(by_country={"undefined": 3})]),
    "an empty name": (TEXTS, [with_members(by_protocol={"fetch": 11800, "": 3})]),
    "a truth value in an inner object": (TEXTS, [with_members(plan={"is_trial": "false", "seats": 3})]),
    "a template of braces": (TEXTS, [with_members(plan="{{ plan }}")]),
    "a template of a shell": (TEXTS, [with_members(plan="${PLAN}")]),
    "a replaced character": (TEXTS, [with_members(owner="M\ufffdller")]),
    "a name that was decoded wrongly": (TEXTS, [with_members(owner="M\u00c3\u00bcller")]),
    "a number for never": (TEXTS, [with_members(last_used_at=0)]),
    "the year one as a number": (TEXTS, [with_members(renewal_date=-62135596800)]),
    "a mark of a serializer": ("schema/members-are-not-internals", [with_members(owner={"@class": "Owner"})]),
    "debugging in a usual response": ("schema/members-are-not-internals", [with_members(debug=True)]),
    "camel case beside the limit": ("schema/member-names-have-one-form", [limited(resetAt=None)]),
    "camel case in a row": ("schema/member-names-have-one-form", [listed(lastSeen="2026-01-01")]),
    "words in capitals": ("schema/member-names-have-one-form", [with_members(SuccessRate=97.32)]),
    "a salt": (SECRETS, [with_members(salt="c2FsdA")]),
    "a key for signatures": (SECRETS, [with_members(webhook={"signing_key": "c2VjcmV0"})]),
    "a JSON Web Token": (SECRETS, [with_members(session=".".join(PARTS))]),
    "the hash of a password": (SECRETS, [with_members(login=HASH)]),
    "another rate of failures": (AGREE, [with_members(failure_rate=17.5)]),
    "a quota that does not add up": (AGREE, [with_members(quota={"limit": 1000, "used": 400, "remaining": 900})]),
    "percentiles in disorder": (AGREE, [with_members(latency={"p50": 120, "p95": 90, "p99": 300})]),
    "an average beyond the maximum": (AGREE, [with_members(min_ms=3, avg_ms=90, max_ms=70)]),
    "a period that ends first": (AGREE, [with_members(period_start="2026-12-01", period_end="2026-11-01")]),
    "another limit under another name": (AGREE, [limited(requests_per_second=25)]),
    "more successes than requests": (AGREE, [listed(success=901)]),
    "a rate of a row beyond 100": (AGREE, [listed(success_rate=101.5)]),
    "a protocol in capitals": (AGREE, [with_members(by_protocol={"fetch": 11800, "FETCH": 542})]),
    "a negative count": (NEGATIVE, [with_members(retries=-3)]),
    "a negative duration": (NEGATIVE, [with_members(latency={"avg_ms": -12.5})]),
    "an object that was a list": (
        LISTS,
        [with_members(by_country={"DE": 3}), with_members(by_country=[])],
    ),
    "an object as an error": (OF_ONE, [with_members(error={"message": "upstream timed out"})]),
    "not ok": (OF_ONE, [with_members(ok=False)]),
    "the status error": (OF_ONE, [with_members(status="error")]),
    "a key that is revoked": (OF_ONE, [with_members(revoked=True)]),
    "the status success in an error": (STATUS, [error(401, "no key", status="success")]),
    "another status as a text": (STATUS, [error(401, "no key", code="200")]),
    "another status in an error": (STATUS, [error(401, "no key", error={"status": 500})]),
    "no error": (STATUS, [error(401, "no key", error=False)]),
    "a text as the status of a problem": (
        STATUS,
        [
            entry(
                '{"detail": "no key", "status": "401"}',
                401,
                key="",
                at=1,
                received={"content-type": "application/problem+json"},
            )
        ],
    ),
    "the title of another status": ("errors/detail-fits-the-status", [error(401, "no key", title="Not Found")]),
    "an identifier that is undefined": (
        "errors/body-and-field-name-one-request",
        [error(401, "no key", trace_id="undefined")],
    ),
    "an error without an offset": (
        "schema/times-have-an-unambiguous-form",
        [error(401, "no key", timestamp="2027-01-15T08:00:00")],
    ),
    "an error of the next hour": (
        "schema/past-times-are-in-the-past",
        [dated(timestamp="2027-01-15T09:00:00Z")],
    ),
    "the example of a schema": (DETAIL, [error(401, "string")]),
    "a number alone": (DETAIL, [error(401, "401")]),
    "a format of Python": (DETAIL, [error(401, "%(key)s is not known")]),
    "a format of Go": (DETAIL, [error(401, "key %!s(MISSING) is not known")]),
    "None after a colon": (DETAIL, [error(401, "Invalid API key: None")]),
    "a limit that was reset": (
        "schema/times-of-expiry-are-in-the-future",
        [limited(reset_at="2020-01-01T00:00:00Z")],
    ),
    "a limit that was reset in seconds": ("schema/times-of-expiry-are-in-the-future", [limited(reset=1600000000)]),
    "a host of a cluster": (INTERNAL, [listed("redis.default.svc")]),
    "a host of a home network": (INTERNAL, [listed("nas.lan")]),
    "the address of all interfaces": (INTERNAL, [listed("0.0.0.0")]),
}
USUAL: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "texts that are not figures": (
        TEXTS,
        [
            with_members(
                version="2.1",
                account_id="123",
                window="60s",
                cost={"currency": "EUR", "limit": "100.00", "used": "12"},
                labels={"max_requests": "10"},
                snowflake_count="12345678901234567890",
            )
        ],
    ),
    "a number of seconds": (
        TEXTS,
        [with_members(response_time=0, last_used_at=None, is_active=False)],
    ),
    "names of countries": (TEXTS, [with_members(by_country={"null": 3, "None": 2, "Cura\u00e7ao": 1})]),
    "a template in a text": (TEXTS, [with_members(template="Hello {{ name }}", path="/usage/${id}")]),
    "a member for the schema": (
        "schema/members-are-not-internals",
        [with_members(**{"$schema": "https://api.example/a.json", "debug": False, "plan": {"debug": True}})],
    ),
    "names of one word": ("schema/member-names-have-one-form", [limited(RPM=600), with_members(labels={"aB": 1})]),
    "names and texts of a client": (
        TEXTS,
        [
            with_members(
                by_referrer={"": 331},
                filters={"limit": "100", "page": 1},
                labels={"owner": "None", "filter": "[1]", "beta": "true", "cost": 3},
            )
        ],
    ),
    "what describes a secret": (
        SECRETS,
        [with_members(signing_key_id="k1", token_expires_at="2027-12-01T00:00:00Z", token_type="api_key")],
    ),
    "differences and what is left": (
        NEGATIVE,
        [with_members(saved_bytes=-300, available_requests=-2, growth_requests=-7, net_requests=-5, margin_ms=-3)],
    ),
    "errors of another time, and a percentage": (
        AGREE,
        [
            listed(success=97.3, requests=41),
            with_members(error_rate=12.5),
            with_members(failure_rate=2.68, jobs={"success_rate": 50, "total": 1e-300, "fail": 1, "fail_rate": 50}),
        ],
    ),
    "cursors and the key": (
        SECRETS,
        [
            with_members(
                api_key=HASH, next_page_token="eyJwIjoyfQ", cursor=".".join(PARTS), email_verified=True, basalt="stone"
            )
        ],
    ),
    "rates that agree": (
        AGREE,
        [with_members(error_rate=2.68, failure_rate=0.0268), with_members(fail_rate=2.7), with_members(error_rate=1.5)],
    ),
    "quotas that are exceeded or have parts": (
        AGREE,
        [
            with_members(
                quotas=[
                    {"limit": 1000, "used": 1200, "remaining": 0},
                    {"limit": -1, "used": 1200, "remaining": -1},
                    {"limit": 1000, "used": 400, "remaining": 700, "bonus": 100},
                    {"limit": 1000, "used": 400, "remaining": 600, "used_percent": 40},
                ]
            )
        ],
    ),
    "figures in order": (
        AGREE,
        [with_members(latency={"p50": 90, "p95": 120}, rates={"p50": 90, "p99": 20}, max_ms=0, min_ms=3)],
    ),
    "periods and words": (
        AGREE,
        [
            with_members(
                period_start="2026-11-01T00:00:00Z",
                period_end="2026-12-01",
                start="22:00",
                end="06:00",
                **{"from": "b", "to": "a"},
            )
        ],
    ),
    "limits under two names": (AGREE, [limited(requests_per_second=0.4, requests_per_minute=600, capacity=10)]),
    "a row in which all succeeded": (AGREE, [listed(success=900, success_rate=100)]),
    "unlimited, and differences": (
        NEGATIVE,
        [
            with_members(
                max_requests=-1, balance=-12, delta_requests=-3, utc_offset_seconds=-3600, change={"errors_count": -4}
            ),
            entry(GOOD.replace("{", '{"retries": -0, ', 1), at=2),
        ],
    ),
    "a list that is always one": (LISTS, [with_members(tags=[]), with_members(tags=["a"]), with_members(plan=None)]),
    "failures that a key counts": (
        OF_ONE,
        [
            with_members(errors=59, error={"timeout": 3, "dns": 5}, status="active", ok=None, revoked=False),
            with_members(errors=[], error={"code": 0, "message": "OK"}, enabled=False),
            with_members(errors=[{"type": "timeout", "count": 3}], ok=12011, plan={"status": "error", "revoked": True}),
        ],
    ),
    "statuses of an error": (
        STATUS,
        [error(401, "no key", status="error", code="E401", error={"code": 1001, "status": "UNAUTHENTICATED"})],
    ),
    "the status of an error as a text": (STATUS, [error(401, "no key", status="401", code="401", error=True)]),
    "the title of the status": (
        "errors/detail-fits-the-status",
        [error(401, "no key", title="Unauthorized", error="invalid_key", message="The key was not found.")],
    ),
    "an identifier of a request": (
        "errors/body-and-field-name-one-request",
        [error(401, "no key", trace_id="9d0e", param="undefined")],
    ),
    "times of errors": (
        "schema/times-have-an-unambiguous-form",
        [error(401, "no key", timestamp="2027-01-15T08:00:00.123+0000", response_time="12 ms")],
    ),
    "an error that was stored": (
        "schema/past-times-are-in-the-past",
        [dated(timestamp="2027-01-15T07:00:00Z", retry_at="2027-01-15T09:00:00Z")],
    ),
    "words of other values": (
        DETAIL,
        [
            error(401, "None of your keys is known: send one. String expected, error 401."),
            entry('{"detail": "Invalid API key: None"}', 401, key="None", at=2),
            entry('{"detail": "Unknown: %(key)s"}', 401, key="%(key)s", at=3),
        ],
    ),
    "limits that will be reset": (
        "schema/times-of-expiry-are-in-the-future",
        [
            limited(reset_at="2099-01-01T00:00:00Z", reset=17, last_reset_at="2020-01-01T00:00:00Z"),
            with_members(reset_time=1600000000, quota={"reset_at": "2020-01-01T00:00:00Z"}),
        ],
    ),
    "hosts with such words": (INTERNAL, [listed("svc.example"), listed("planet.example"), listed("lan.party.example")]),
}


def judged_in_turn(judge_entries: Callable[..., Judged], entries: list[dict[str, Any]]) -> Judged:
    """Judge entries of successive seconds."""
    times = [entry(at=at)["startedDateTime"] for at in range(1, len(entries) + 1)]
    return judge_entries(
        entry(GOOD), *({**each, "startedDateTime": time} for each, time in zip(entries, times, strict=True))
    )


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_reported(name: str, judge_entries: Callable[..., Judged]) -> None:
    rule, entries = DEFECTS[name]
    judged = judged_in_turn(judge_entries, entries)
    assert judged[rule].outcome == "reported", (judged[rule].outcome, judged[rule].reason)


@pytest.mark.parametrize("name", USUAL)
def test_usual_bodies_are_not_reported(name: str, judge_entries: Callable[..., Judged]) -> None:
    rule, entries = USUAL[name]
    judged = judged_in_turn(judge_entries, entries)
    assert judged[rule].outcome == "held", (judged[rule].outcome, judged[rule].reason, judged[rule].findings)
