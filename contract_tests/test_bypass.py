"""Ways around the key header: a key elsewhere, claims, and other spellings let nobody in."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

import pytest

from contract_tests.run import wrong_keys
from contract_tests.run.facts import MISSING_KEY_REFUSED, NEEDS_AUTH_ERRORS, NEEDS_VALID_KEY
from contract_tests.run.gate import Gate, RequestOptions
from contract_tests.run.rules import HEADER_ONLY, KEY_NEEDED, holds
from contract_tests.wire.messages import CLIENT_ERRORS_OR_REDIRECTS, CLOSED_ENDINGS, Exchange, cookies_set

Way = tuple[str, RequestOptions]  # how something is asked, in words and on the wire


@pytest.mark.needs(MISSING_KEY_REFUSED)
@pytest.mark.rule(level="documented", source=HEADER_ONLY)
def test_key_in_the_query_is_not_accepted(gate: Gate) -> None:
    """A valid key in the query MUST NOT be taken for one."""
    names = (
        gate.key_header,
        "x-api-key",
        "api_key",
        "apikey",
        "api-key",
        "apiKey",
        "key",
        "token",
        "access_token",
        "access_key",
        "api_token",
        "auth",
    )
    ways: list[Way] = [
        (
            f"the main key in the query as {name}",
            {"target": gate.path.encode() + f"?{name}=".encode() + gate.main.value},
        )
        for name in names
    ]
    together = b"&".join(name.encode() + b"=" + gate.main.value for name in names)
    at_once: Way = ("the main key in the query, by all usual names", {"target": gate.path.encode() + b"?" + together})
    holds(_let_in(gate, at_once, ways))


@pytest.mark.needs(MISSING_KEY_REFUSED)
@pytest.mark.rule(level="documented", source=HEADER_ONLY)
def test_key_in_another_header_is_not_accepted(gate: Gate) -> None:
    """A valid key in Authorization, in a cookie, or in a header of another name MUST NOT be taken for one."""
    key = gate.main.value
    names = (
        "Api-Key",
        "ApiKey",
        "X-API-Token",
        "X-Auth-Token",
        "X-Access-Token",
        "X-Key",
        "X-Token",
        "X-Apikey",
        "X_API_Key",
        "X-Api-Key-Id",
        "Token",
        "Proxy-Authorization",
    )
    cookies = (gate.key_header, "api_key", "apikey", "key", "token", "session")
    schemes = {"": key, "Bearer": key, "ApiKey": key, "Token": key}
    schemes |= {"Basic": base64.b64encode(key + b":"), "Basic, as a password": base64.b64encode(b":" + key)}
    holds(_let_in_by_fields(gate, "the main key in headers of other names", [(name, key) for name in names]))
    holds(
        _let_in_by_fields(
            gate, "the main key in cookies", [("Cookie", b"; ".join(name.encode() + b"=" + key for name in cookies))]
        )
    )
    for scheme, value in schemes.items():
        how = f"the main key in Authorization, after {scheme!r}"
        credentials = scheme.partition(",")[0].encode() + b" " + value
        holds(_let_in_by_fields(gate, how, [("Authorization", credentials.strip())]))


@pytest.mark.needs(MISSING_KEY_REFUSED)
@pytest.mark.rule(level="documented", source=HEADER_ONLY)
def test_response_cookie_is_not_accepted(gate: Gate, good: list[Exchange]) -> None:
    """A cookie that an answer to a valid key has set MUST NOT be taken for a key."""
    if cookies := cookies_set(good):
        way: Way = ("the cookies that answers to valid keys have set", {"fields": [("Cookie", cookies)]})
        holds(_let_in(gate, way, ()))


@pytest.mark.needs(MISSING_KEY_REFUSED)
@pytest.mark.rule(level="documented", source=HEADER_ONLY)
def test_key_in_path_or_body_is_not_accepted(gate: Gate) -> None:
    """A valid key in the path or in the body MUST NOT be taken for one."""
    key, path = gate.main.value, gate.path.encode()
    json = b'{"api_key": "' + key + b'", "X-API-Key": "' + key + b'"}'
    form = b"api_key=" + key + b"&X-API-Key=" + key
    ways: list[Way] = [
        ("the main key at the end of the path", {"target": path + b"/" + key}),
        ("the main key as a path parameter", {"target": path + b";key=" + key}),
        (
            "the main key in a JSON body",
            {"body": json, "fields": [("Content-Type", "application/json")], "new_connection": True},
        ),
        (
            "the main key in a form",
            {"body": form, "fields": [("Content-Type", "application/x-www-form-urlencoded")], "new_connection": True},
        ),
    ]
    for way in ways:
        holds(_let_in(gate, way, ()))


@pytest.mark.needs(MISSING_KEY_REFUSED)
@pytest.mark.rule(level="documented", source=KEY_NEEDED)
def test_claims_do_not_authenticate(gate: Gate) -> None:
    """A request without a key MUST be refused whatever it says of its origin, its sender, or its meaning."""
    origins = (
        "X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Originating-IP",
        "X-Remote-IP", "X-Remote-Addr", "X-Cluster-Client-IP",
    )  # fmt: skip
    users = (
        "X-Forwarded-User", "X-Remote-User", "X-User", "X-Authenticated-User", "X-Consumer-Username", "X-User-Id",
        "X-WEBAUTH-USER", "X-Auth-Request-User",
    )  # fmt: skip
    verified = ("X-SSL-Client-Verify", "SSL-Client-Verify", "X-Client-Verify", "X-Forwarded-Client-Cert")
    switches = ("X-Internal", "X-Internal-Request", "X-Debug", "X-Admin", "X-Test", "X-Bypass-Auth", "X-Health-Check")
    claims: dict[str, list[tuple[str, str]]] = {
        "a loopback address of origin": [
            *((name, "127.0.0.1") for name in origins),
            ("Forwarded", "for=127.0.0.1;host=localhost"),
            ("X-Forwarded-Host", "localhost"),
        ],
        "a user's name": [
            *((name, "admin") for name in users),
            *((name, "SUCCESS") for name in verified),
            ("Referer", "http://localhost/"),
            ("Origin", "http://localhost"),
        ],
        "switches": [
            *((name, "true") for name in switches),
            ("X-Middleware-Subrequest", ":".join(["middleware"] * 5)),
            ("User-Agent", "kube-probe/1.30 ELB-HealthChecker/2.0 GoogleHC/1.0 Prometheus/2.53 Googlebot/2.1"),
        ],
        "leave to answer from a cache": [("Cache-Control", "max-stale=3600"), ("Purpose", "prefetch")],
        "an upgrade to WebSocket": [
            *(("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ],
        "another target": [
            ("X-Original-URL", "/healthz"),
            ("X-Rewrite-URL", "/healthz"),
            ("X-HTTP-Method-Override", "OPTIONS"),
        ],
        "a condition and a range": [("If-None-Match", "*"), ("Range", "bytes=0-9")],
    }
    for how, fields in claims.items():
        holds(_let_in_by_fields(gate, how, fields))
    another = gate.ask(None, "at another host", fields=[("Host", "localhost")])  # which may be another site
    assert not gate.shows_metrics(another), f"figures without a key\n{another.seen}"
    elsewhere = gate.settings.target.path + "/healthz"
    rewritten = [("X-Original-URL", gate.path), ("X-Rewrite-URL", gate.path)]
    exchange = gate.ask(
        None, "at a public path, but with fields that name this one", target=elsewhere, fields=rewritten
    )
    assert not gate.shows_metrics(exchange), f"figures without a key\n{exchange.seen}"


@pytest.mark.needs(MISSING_KEY_REFUSED)
@pytest.mark.rule(level="documented", source=KEY_NEEDED)
def test_other_spelling_of_the_path_needs_a_key(gate: Gate) -> None:
    """Another spelling of the path MUST NOT get figures without a key."""
    path = gate.path
    origin = gate.settings.target.origin
    spellings = (
        f"{path}/", f"/{path}", f"{path}?debug=true&admin=1&internal=1&public=1&path=/healthz", f"{path};x",
        f"/.{path}", f"/healthz/..{path}", f"/healthz/..;{path}", f"{path}%2f", f"{path}.json", f"{path}#x",
        path.upper(), f"{path[:-1]}%{ord(path[-1]):02x}", f"{origin}{path}",
    )  # fmt: skip
    for spelling in spellings:
        exchange = gate.ask(None, f"at {spelling}", target=spelling, new_connection=True)
        assert not (exchange.status == 200 and gate.shows_metrics(exchange)), f"figures without a key\n{exchange.seen}"


@pytest.mark.needs(MISSING_KEY_REFUSED)
@pytest.mark.rule(level="documented", source=KEY_NEEDED)
def test_other_method_needs_a_key(gate: Gate) -> None:
    """A method other than OPTIONS MUST NOT be answered 2xx without a key, and none with figures."""
    for method in ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "FOO"):
        exchange = gate.ask(None, f"by {method}", method=method, new_connection=True)
        successful = 200 <= (exchange.status or 0) < 300
        assert not (successful and method != "OPTIONS"), f"{exchange.status} without a key\n{exchange.seen}"
        assert not (successful and gate.shows_metrics(exchange)), f"figures without a key\n{exchange.seen}"


@pytest.mark.needs(MISSING_KEY_REFUSED)
@pytest.mark.rule(level="documented", source=KEY_NEEDED)
def test_http_1_0_needs_a_key(gate: Gate) -> None:
    """A request by HTTP/1.0 MUST NOT be let in without a key."""
    refused = gate.ask(None, "by HTTP/1.0", version="HTTP/1.0", new_connection=True)
    assert not (refused.status == 200 or gate.shows_metrics(refused)), f"{refused.status} without a key\n{refused.seen}"


@pytest.mark.needs(*NEEDS_VALID_KEY, *NEEDS_AUTH_ERRORS)
@pytest.mark.rule(level="documented", source=KEY_NEEDED)
def test_connection_does_not_authenticate(gate: Gate) -> None:
    """Each request MUST be judged by its own key: nothing sticks to the connection that an earlier one used."""
    gate.ask(gate.main)
    refused = [
        gate.ask(None, "right after a valid one on the same connection", pool=True),
        gate.ask(wrong_keys.UNKNOWN, "soon after a valid one on the same connection", pool=True),
    ]
    holds(gate.not_refused(refused, gate.baseline.refusals(None, wrong_keys.UNKNOWN)))
    after = gate.ask(gate.main)
    assert after.status == 200, f"{after.outcome} for a valid key right after a refused one\n{after.seen}"


def _let_in_by_fields(gate: Gate, how: str, fields: Sequence[tuple[str, str | bytes]]) -> Iterable[str]:
    ways: list[Way] = [(f"the field {name}", {"fields": [(name, value)]}) for name, value in fields]
    return _let_in(gate, (how, {"fields": fields}), ways)


def _let_in(gate: Gate, at_once: Way, one_by_one: Iterable[Way]) -> Iterable[str]:
    """Ask without a key in all ways at once; if that is let in, find the way that does it."""
    refusals = gate.baseline.refusals(None)
    for how, special in (at_once, *one_by_one):
        exchange = gate.ask(None, f"but with {how}", **special)
        is_closed = exchange.status is None and exchange.ending in CLOSED_ENDINGS
        is_told = (exchange.status or 0) >= 500 and not gate.shows_metrics(exchange)  # by the rule about 5xx
        problems = (
            [] if is_closed or is_told else list(gate.not_refused([exchange], CLIENT_ERRORS_OR_REDIRECTS | refusals))
        )
        yield from problems
        if how == at_once[0] and exchange.status in refusals and not problems:
            return  # any other answer may be about one of the ways, and says nothing of the rest
