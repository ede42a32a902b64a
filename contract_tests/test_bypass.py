"""Ways around the key header: a key elsewhere, other header fields, and other spellings do not authenticate."""

from __future__ import annotations

import base64
from collections.abc import Generator, Iterable, Sequence
from itertools import islice, product

from contract_tests.support import guessed_names, wrong_keys
from contract_tests.support.combined import Combined, Judgement, find_defect
from contract_tests.support.facts import MISSING_KEY_REFUSED, NEEDS_VALID_KEY, UNKNOWN_KEY_REFUSED
from contract_tests.support.findings import Finding, Findings, after, report, status_finding
from contract_tests.support.gate import BROWSER, IDENTIFIERS, OTHER_ROUTES, OVERRIDES, Gate
from contract_tests.support.request_parts import MOST_FIELDS, Part, packed
from contract_tests.support.rules import HEADER_ONLY, KEY_NEEDED, advisory, documented
from contract_tests.wire.messages import (
    AUTH_ERRORS,
    CLIENT_ERRORS_OR_REDIRECTS,
    CLOSED_ENDINGS,
    SERVER_ERRORS,
    SUCCESSES,
    Credential,
    Exchange,
    Exchanges,
    cookies_set,
)
from contract_tests.wire.not_tested import NotApplicable

INTERNAL_HOST = "usage.default.svc.cluster.local"
INTERNAL_HOSTS = ("localhost", INTERNAL_HOST)  # each may be another site
# Many frameworks answer a WebSocket handshake before they read the key, so it is a request of its own.
UPGRADE = (
    ("Connection", "Upgrade"), ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)  # fmt: skip
PREFLIGHT = (("Access-Control-Request-Method", "GET"), ("Access-Control-Request-Headers", "x-api-key"))
ADMINISTRATOR = "admin=1; is_admin=true; authenticated=true; logged_in=1; role=admin; user=admin"  # cookies
# The ends of URLs of which servers require no key; some compare the end of the query, too.
PUBLIC_ENDS = ("/favicon.ico", "style.css", "/healthz", "main.js", "/login")
FALLBACKS = 20  # usual names of each kind, under which a server may look for a key after a wrong one
Fields = Sequence[tuple[str, str | bytes]]


@documented(HEADER_ONLY, needs=[MISSING_KEY_REFUSED])
def test_key_in_the_query_is_not_accepted(client: Gate) -> Findings:
    """A request with a valid key only in the query MUST be rejected."""
    parts = [Part("query parameter", name, client.main.value) for name in (client.key_header, *guessed_names.queries())]
    label = "but with the main key in the query under many names"
    yield from _find_ways(client, [(label, pack) for pack in packed(parts, 2) if pack], "but with the main key in the")


@documented(HEADER_ONLY, needs=[MISSING_KEY_REFUSED])
def test_key_in_another_header_is_not_accepted(client: Gate) -> Findings:
    """A request with a valid key only in Authorization, a cookie or another header MUST be rejected.

    A header whose name differs from the key header's only in `-` and `_` may be accepted.
    CGI and WSGI do not distinguish them (RFC 3875, section 4.1.18).
    """
    key = client.main.value
    authorizations = (
        b"Bearer " + key,
        key,
        b"Basic " + base64.b64encode(key + b":"),
        b"Basic " + base64.b64encode(b":" + key),
        b"ApiKey " + key,
        b"Token " + key,
    )
    fields = [Part("header", name, key) for name in guessed_names.headers(client.key_header)]
    packs = [
        (Part("header", "Authorization", value), *pack)
        for value, pack in zip(authorizations, packed(fields, len(authorizations)), strict=True)
    ]
    (cookies,) = packed((Part("cookie", name, key) for name in (client.key_header, *guessed_names.cookies())), 1)
    packs[0] = (*packs[0], *cookies)
    ways = [("but with the main key in many other headers", pack) for pack in packs]
    yield from _find_ways(client, ways, "but with the main key in the")


@documented(HEADER_ONLY, needs=[UNKNOWN_KEY_REFUSED])
def test_wrong_key_is_not_replaced(client: Gate) -> Findings:
    """A request with a wrong key in the key header MUST be rejected, also if a valid key is elsewhere.

    The valid key may be in the query, in Authorization, in a cookie or in another header.
    """
    key = client.main.value
    parts = [
        Part("header", "Authorization", b"Bearer " + key),
        *(Part("header", name, key) for name in islice(guessed_names.headers(client.key_header), FALLBACKS)),
        *(Part("query parameter", name, key) for name in (client.key_header, *guessed_names.QUERY_NAMES[:FALLBACKS])),
        *(Part("cookie", name, key) for name in guessed_names.COOKIE_NAMES[:FALLBACKS]),
    ]
    label = "and with the main key in the query and in many other headers"
    ways = [(label, pack) for pack in packed(parts, 1) if pack]
    yield from _find_ways(client, ways, "and with the main key in the", wrong_keys.UNKNOWN)


@documented(HEADER_ONLY, needs=[MISSING_KEY_REFUSED])
def test_response_cookie_is_not_accepted(client: Gate, ok_responses: Exchanges) -> Findings:
    """A request with only the cookies that responses to a valid key have set MUST be rejected."""
    cookies = cookies_set(ok_responses)
    if not cookies:
        raise NotApplicable("no response to a valid key sets a cookie")
    label = "but with the cookies that responses to valid keys have set"
    yield from _bypassing(client, [client.send(None, label, fields=[("Cookie", cookies)])])


@documented(HEADER_ONLY, needs=[MISSING_KEY_REFUSED])
def test_key_in_path_or_body_is_not_accepted(client: Gate) -> Findings:
    """A request with a valid key only in the path or in the body MUST be rejected."""
    key, path = client.main.value, client.path.encode()
    names = (b"api_key", b"X-API-Key", b"apikey", b"apiKey", b"x-api-key", b"key", b"token", b"access_token")
    json = b"{" + b", ".join(b'"%b": "%b"' % (name, key) for name in names) + b"}"
    form = b"&".join(b"%b=%b" % (name, key) for name in names)
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(form), form)
    in_the_path = {"at the end of the path": path + b"/" + key, "as a path parameter": path + b";key=" + key}
    elsewhere = [
        client.request(None, f"but with the main key {at}", target=target) for at, target in in_the_path.items()
    ]
    in_a_body = [
        client.request(
            None,
            "but with the main key in a body of application/json",
            body=json,
            fields=[("Content-Type", "application/json")],
            new_connection=True,
        ),
        client.request(
            None,
            "but with the main key in a chunked body of application/x-www-form-urlencoded",
            body=chunked,
            fields=[("Content-Type", "application/x-www-form-urlencoded"), ("Transfer-Encoding", "chunked")],
            without=("Content-Length",),
            new_connection=True,
        ),
    ]
    yield from _disclosing(client, client.send_in_turn(elsewhere))  # another path may have a page of its own
    yield from _bypassing(client, client.send_in_turn(in_a_body))


@documented(KEY_NEEDED, needs=[MISSING_KEY_REFUSED])
def test_claims_do_not_authenticate(client: Gate) -> Findings:
    """A request without a key MUST be rejected regardless of its header fields and its query."""
    claims = _claims(client)
    parameters = (
        *(tuple(pair.split("=")) for pair in guessed_names.OTHER_PARAMETERS),
        *product(guessed_names.PARAMETERS, ("1", "true")),
    )
    switches = packed((Part("query parameter", name, value) for name, value in parameters), len(claims))
    ways = [
        (
            f"but with {label}",
            (*(Part("header", name, value) for name, value in fields), *pack, Part("query parameter", "q", end)),
        )
        for (label, fields), pack, end in zip(claims.items(), switches, PUBLIC_ENDS, strict=True)
    ]
    if (yield from _find_ways(client, ways, "but with the")):
        return
    upgrade = client.send(None, "but with an upgrade to WebSocket", fields=UPGRADE, new_connection=True)
    if upgrade.status in {101, *SUCCESSES} or client.contains_metrics(upgrade):
        yield from _bypassing(client, [upgrade])
    rewritten = [("X-Original-URL", client.path), ("X-Rewrite-URL", client.path)]
    label, public = "but with fields that name the path of the operation", ("/", "/healthz")
    requests = [
        *(client.request(None, "at another host", fields=[("Host", host)]) for host in INTERNAL_HOSTS),
        *(client.request(None, label, target=client.target_of(path), fields=rewritten) for path in public),
    ]
    yield from _disclosing(client, client.send_in_turn(requests))


def _claims(gate: Gate) -> dict[str, Fields]:
    """Return header fields that claim a reason to need no key, by the claim; each group fits into one request."""
    verified = ("X-SSL-Client-Verify", "SSL-Client-Verify", "X-Client-Verify", "X-Forwarded-Client-Cert")
    paths = ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Forwarded-Path", "X-Original-Path")
    claims: dict[str, Fields] = {
        "a loopback address as its origin": [
            ("User-Agent", "kube-probe/1.30"),
            ("Forwarded", "for=127.0.0.1;host=localhost"),
            *((name, "localhost" if name.endswith("Host") else "127.0.0.1") for name in guessed_names.ADDRESSES),
        ],
        "the name of a user": [
            ("User-Agent", "ELB-HealthChecker/2.0"),
            *((name, "SUCCESS") for name in verified),
            ("Referer", "http://localhost/"),
            ("Accept", "image/avif, image/png, */*"),
            ("Origin", "http://localhost"),
            ("X-Forwarded-Host", "127.0.0.1"),
            *((name, "admin") for name in guessed_names.USERS),
        ],
        "fields for debugging, administration and health checks": [
            ("User-Agent", "GoogleHC/1.0"),
            ("Cookie", ADMINISTRATOR),
            ("X-Middleware-Subrequest", ":".join(["middleware"] * 5)),
            *((name, "10.0.0.1") for name in guessed_names.ADDRESSES[:6]),
            ("Origin", "null"),
            ("X-Forwarded-Host", INTERNAL_HOST),
            *((name, "true") for name in guessed_names.SWITCHES),
        ],
        "fields of a CORS preflight, and fields that permit a stale response": [
            ("Cache-Control", "max-stale=3600, no-cache"), ("Pragma", "no-cache"),
            ("Purpose", "prefetch"), ("Sec-Purpose", "prefetch"), ("X-Requested-With", "XMLHttpRequest"),
            ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "navigate"), ("DNT", "1"),
            ("Origin", gate.settings.target.origin), ("Referer", f"{gate.settings.target.origin}/"), *PREFLIGHT,
            ("User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
            ("Accept", "text/event-stream, application/xml, image/png, application/openmetrics-text"),
        ],
        "fields that name another target, a condition and a range": [
            *((name, "/healthz") for name in paths),
            ("X-HTTP-Method-Override", "OPTIONS"), ("X-Forwarded-Method", "OPTIONS"),
            ("X-Forwarded-Proto", "https"), ("X-Forwarded-Port", "8080"), ("Via", "1.1 proxy"), ("CDN-Loop", "cdn"),
            *IDENTIFIERS, ("Idempotency-Key", "1"), ("Max-Forwards", "0"),
            ("Early-Data", "1"), ("TE", "trailers"), ("From", "ops@example.com"), ("Prefer", "respond-async"),
            ("Accept-Encoding", "gzip"), ("Content-Type", "application/grpc"), ("X-Api-Version", "1"),
            ("Authorization", "Bearer null"),
            ("If-Modified-Since", "Tue, 19 Jan 2038 03:14:07 GMT"), ("X-Amz-Date", "20270115T080000Z"),
            ("User-Agent", " ".join(guessed_names.AGENTS)),
            ("Connection", f"{gate.key_header}, X-Forwarded-For, X-Real-IP"),
            ("If-None-Match", "*"), ("Range", "bytes=0-9"),
        ],
    }  # fmt: skip
    # The last guessed names of a group may have no room in its request.
    return {claim: fields[:MOST_FIELDS] for claim, fields in claims.items()}


@documented(KEY_NEEDED, needs=[MISSING_KEY_REFUSED])
def test_other_spelling_of_the_path_needs_a_key(client: Gate) -> Findings:
    """A response to a request without a key at another spelling of the path MUST NOT contain usage metrics."""
    path = client.path
    spellings = (
        f"{path}/", f"/{path}",
        f"{path}%20", f"{path}%2f",
        f"/healthz/..{path}", f"/healthz/..;{path}", f"{path}.json", f"{path}#x",
        path.upper(), f"{path[:-1]}%{ord(path[-1]):02x}", f"{client.settings.target.origin}{path}",
    )  # fmt: skip
    exchanges = client.send_in_turn(
        client.request(None, "at another spelling of the path", target=spelling, new_connection=True)
        for spelling in spellings
    )
    yield from _disclosing(client, (exchange for exchange in exchanges if exchange.status == 200))


@advisory(KEY_NEEDED, needs=[*NEEDS_VALID_KEY, MISSING_KEY_REFUSED])
def test_other_route_needs_a_key(client: Gate) -> Findings:
    """A response to a request without a key at another common route SHOULD NOT contain usage metrics."""
    for route, fields in OTHER_ROUTES.items():
        target = client.target_of(route)
        if client.send(client.main, "at another route", target=target, fields=fields).status == 200:
            yield from _disclosing(client, [client.send(None, "at another route", target=target)])


@documented(KEY_NEEDED, needs=[MISSING_KEY_REFUSED])
def test_other_method_needs_a_key(client: Gate) -> Findings:
    """A response to a request by another method and without a key MUST NOT have a 2xx status or usage metrics.

    Such methods are `get`, and a POST with a field or a parameter that names GET. OPTIONS may have a 2xx status.
    """
    requests = [
        *(
            client.request(
                None, "by another method", method=method, fields=[("Accept-Encoding", "gzip")], new_connection=True
            )
            for method in ("HEAD", "PATCH", "QUERY", "get")
        ),
        client.request(
            None,
            "by another method, which fields and a parameter replace by GET",
            method="POST",
            target=f"{client.path}?_method=GET",
            fields=[(name, "GET") for name in OVERRIDES],
            new_connection=True,
        ),
        client.request(
            None,
            "as a CORS preflight",
            method="OPTIONS",
            fields=[("Origin", client.settings.target.origin), *PREFLIGHT],
            new_connection=True,
        ),
    ]
    for exchange in client.send_in_turn(requests):
        if exchange.status in SUCCESSES:
            if exchange.request.method != "OPTIONS":
                yield status_finding(exchange, "any status but 2xx")
            else:
                yield from _disclosing(client, [exchange])


@documented(
    f"{KEY_NEEDED}; RFC 9110, section 7.6.1: an intermediary removes the fields that Connection names",
    needs=[UNKNOWN_KEY_REFUSED],
)
def test_connection_field_does_not_authenticate(client: Gate) -> Findings:
    """A request with an unknown key MUST be rejected, also if its Connection field names the key header."""
    fields = [("Connection", client.key_header)]
    exchange = client.send(wrong_keys.UNKNOWN, "and Connection names the key header", fields=fields)
    yield from _bypassing(client, [exchange])


@documented(KEY_NEEDED, needs=[MISSING_KEY_REFUSED])
def test_http_1_0_needs_a_key(client: Gate) -> Findings:
    """A response to a request with HTTP/1.0 and without a key MUST NOT have status 200 or contain usage metrics."""
    exchange = client.send(None, "with HTTP/1.0", version="HTTP/1.0", new_connection=True)
    if exchange.status == 200:
        yield status_finding(exchange, "a refusal")
    else:
        yield from _disclosing(client, [exchange])


@documented(KEY_NEEDED, needs=[*NEEDS_VALID_KEY, MISSING_KEY_REFUSED, UNKNOWN_KEY_REFUSED])
def test_connection_does_not_authenticate(client: Gate) -> Findings:
    """A request without a valid key MUST be rejected, regardless of earlier requests on the same connection.

    The same holds for a request of a browser after one with a valid key. A request with a valid key MUST NOT be
    rejected with 401 or 403 because of earlier requests on its connection.
    """
    requests = [
        client.request(client.main, "as a browser sends it", fields=BROWSER),
        client.request(None, "right after the main key on the same connection", fields=BROWSER, pool="valid keys"),
        client.request(wrong_keys.UNKNOWN, "soon after the main key on the same connection", pool="valid keys"),
    ]
    exchanges = list(client.send_in_turn(requests))
    if (yield from report(after(exchanges[:1], _bypassing(client, exchanges[1:])))):
        return
    last = client.send(client.main, "right after requests that were rejected on the same connection")
    if last.status in AUTH_ERRORS and client.send(client.main, new_connection=True).status == 200:
        yield from after(exchanges[-1:], [status_finding(last, "200")])


def _find_ways(
    gate: Gate, ways: Iterable[tuple[str, tuple[Part, ...]]], single: str, key: Credential | None = None
) -> Generator[Finding, None, bool]:
    """Send requests that combine several ways around the key, and yield a finding for one that is accepted.

    Each request has a label and parts; `single` begins the label of a request with one of the parts.
    The key header is missing, or contains a wrong key. Returns whether a request was accepted.
    """
    refused = gate.baseline.unknown if key else gate.baseline.missing

    def judge(exchange: Exchange) -> Judgement:
        if any(_bypassing(gate, [exchange])):
            return "defect"
        return "kept" if exchange.status in {each.status for each in refused} else "refused"

    requests = (Combined(gate, label, single, parts, "without a valid key", key) for label, parts in ways)
    accepted = filter(None, (find_defect(request, judge) for request in requests))
    return (yield from report(_bypassing(gate, accepted)))


def _bypassing(gate: Gate, exchanges: Iterable[Exchange]) -> Findings:
    """Yield a finding for each request that is accepted; errors/no-request-causes-5xx reports a 5xx."""
    for exchange in exchanges:
        is_closed = exchange.status is None and exchange.ending in CLOSED_ENDINGS
        is_server_error = exchange.status in SERVER_ERRORS and not gate.contains_metrics(exchange)
        if not is_closed and not is_server_error:
            refusals = gate.baseline.refusals(None, wrong_keys.UNKNOWN)
            yield from gate.wrongly_accepted([exchange], CLIENT_ERRORS_OR_REDIRECTS | refusals)


def _disclosing(gate: Gate, exchanges: Iterable[Exchange]) -> Findings:
    for exchange in exchanges:
        if gate.contains_metrics(exchange):
            yield Finding("the response to a request without a key contains usage metrics", exchange)
