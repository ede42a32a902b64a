"""Ways around the key header: a key elsewhere, other header fields, and other spellings do not authenticate."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence

from contract_tests.run import wrong_keys
from contract_tests.run.facts import MISSING_KEY_REFUSED, NEEDS_AUTH_ERRORS, NEEDS_VALID_KEY, UNKNOWN_KEY_REFUSED
from contract_tests.run.findings import Finding, status_finding
from contract_tests.run.gate import Gate
from contract_tests.run.probes import Probing, send_in_turn
from contract_tests.run.rules import HEADER_ONLY, KEY_NEEDED, advisory, documented
from contract_tests.wire.messages import CLIENT_ERRORS_OR_REDIRECTS, CLOSED_ENDINGS, Exchange, Request, cookies_set

INTERNAL_HOST = "usage.default.svc.cluster.local"
INTERNAL_HOSTS = ("localhost", INTERNAL_HOST)  # each may be another site
PREFLIGHT = (("Access-Control-Request-Method", "GET"), ("Access-Control-Request-Headers", "x-api-key"))
OTHER_ROUTES = ("/v1/usage", "/api/usage")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
# Sent in one field, for servers that look for a part of it.
AGENTS = (
    "curl/8.5.0", "python-requests/2.32", "okhttp/4.12", "axios/1.7", "Go-http-client/1.1", "PostmanRuntime/7.39",
    "Pingdom.com_bot", "UptimeRobot/2.0", "Datadog/Synthetics", "Amazon-Route53-Health-Check-Service", "HAProxy",
    "Consul Health Check", "Varnish", "Site24x7", "StatusCake", "bingbot/2.0", "Blackbox Exporter/0.25.0",
)  # fmt: skip
# Parameters that switch something on.
SWITCHES = (
    "debug=true", "admin=1", "internal=1", "public=1", "path=/healthz", "test=1", "preview=1", "demo=1", "auth=none",
    "format=json", "callback=x", "key=", "api_key=", "token=null", "user=admin", "v=1", "verbose=true", "raw=1",
    "bypass=1", "noauth=1", "dev=1", "trace=1", "health=1", "skip_auth=1", "utm_source=x",
)  # fmt: skip
OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
Fields = Sequence[tuple[str, str | bytes]]


MOST_SINGLE = 30  # requests that send the ways of one group alone, the most usual first


@documented(HEADER_ONLY, needs=[MISSING_KEY_REFUSED], sends=(1, 1 + MOST_SINGLE))
def test_key_in_the_query_is_not_accepted(gate: Gate) -> Probing[None]:
    """A request with a valid key only in the query MUST be rejected."""
    names = (
        gate.key_header, "x-api-key", "api_key", "apikey", "api-key", "apiKey", "key", "token", "access_token",
        "access_key", "api_token", "auth", "ApiKey", "API_KEY", "x_api_key", "k", "auth_token", "authorization",
        "accesskey", "secret", "client_secret", "app_key", "appkey", "app_id", "apitoken", "user_key",
        "subscription-key", "code", "sig", "signature", "password", "pass", "pwd", "session", "sid", "jwt",
        "bearer", "license", "id",
        "client_id", "credential",
    )  # fmt: skip
    parameters = {name: name.encode() + b"=" + gate.main.value for name in names}
    queries = {"under all usual names": b"&".join(parameters.values())}
    queries |= {f"as {name}": parameter for name, parameter in parameters.items()}
    combined, *single = [
        gate.request(None, f"but with the main key in the query {how}", target=gate.path.encode() + b"?" + query)
        for how, query in queries.items()
    ]
    yield from _find_ways(gate, {combined: single})


@documented(HEADER_ONLY, needs=[MISSING_KEY_REFUSED], sends=(7, 13 + MOST_SINGLE))
def test_key_in_another_header_is_not_accepted(gate: Gate) -> Probing[None]:
    """A request with a valid key only in Authorization, a cookie or another header MUST be rejected."""
    key = gate.main.value
    names = (
        "Api-Key", "ApiKey", "X-API-Token", "X-Auth-Token", "X-Access-Token", "X-Key", "X-Token", "X-Apikey",
        "X_API_Key", "X-Api-Key-Id", "Token", "Proxy-Authorization", "X-Auth-Key", "Key", "Access-Token", "Auth-Token",
        "X-App-Key", "X-Client-Key", "X-Secret-Key", "X-Session-Token", "X-Csrf-Token", "X-Rapidapi-Key",
        "Ocp-Apim-Subscription-Key", "X-Subscription-Key", "X-Goog-Api-Key", "X-Amz-Security-Token", "X-User-Token",
        "X-Service-Key", "X-Authorization", "X-Forwarded-Authorization", "Authentication", "X-Original-Authorization",
        "X-Forwarded-Api-Key", "X-Original-Api-Key", "Http-X-Api-Key", "X-Api-Secret", "X-Request-Id", "From",
        "Referer",
    )  # fmt: skip
    cookies = (
        gate.key_header, "api_key", "apikey", "key", "token", "session", "sessionid", "auth", "access_token", "api-key",
        "apiKey", "sid", "jwt", "connect.sid", "PHPSESSID", "JSESSIONID", "auth_token", "x-api-key", "Authorization",
    )  # fmt: skip
    authorizations = {
        "without a scheme": key,
        "after Bearer": b"Bearer " + key,
        "after ApiKey": b"ApiKey " + key,
        "after Token": b"Token " + key,
        "as the user name of Basic": b"Basic " + base64.b64encode(key + b":"),
        "as the password of Basic": b"Basic " + base64.b64encode(b":" + key),
    }
    groups: dict[str, Fields] = {
        "the main key in headers of other names and in cookies": [
            *((name, key) for name in names),
            ("Cookie", b"; ".join(name.encode() + b"=" + key for name in cookies)),
        ],
    }
    groups |= {
        f"the main key in Authorization {how}": [("Authorization", value)] for how, value in authorizations.items()
    }
    yield from _find_fields(gate, groups)


@documented(HEADER_ONLY, needs=[MISSING_KEY_REFUSED], sends=(0, 1))
def test_response_cookie_is_not_accepted(gate: Gate, ok_responses: list[Exchange]) -> Probing[None]:
    """A request with only the cookies that responses to a valid key have set MUST be rejected."""
    if cookies := cookies_set(ok_responses):
        label = "but with the cookies that responses to valid keys have set"
        exchange = yield from gate.send(None, label, fields=[("Cookie", cookies)])
        yield from _accepted(gate, [exchange])


@documented(HEADER_ONLY, needs=[MISSING_KEY_REFUSED], sends=4)
def test_key_in_path_or_body_is_not_accepted(gate: Gate) -> Probing[None]:
    """A request with a valid key only in the path or in the body MUST be rejected."""
    key, path = gate.main.value, gate.path.encode()
    names = (b"api_key", b"X-API-Key", b"apikey", b"apiKey", b"x-api-key", b"key", b"token", b"access_token")
    bodies = {
        "application/json": b"{" + b", ".join(b'"%b": "%b"' % (name, key) for name in names) + b"}",
        "application/x-www-form-urlencoded": b"&".join(b"%b=%b" % (name, key) for name in names),
    }
    requests = [
        gate.request(None, "but with the main key at the end of the path", target=path + b"/" + key),
        gate.request(None, "but with the main key as a path parameter", target=path + b";key=" + key),
        *(
            gate.request(
                None,
                f"but with the main key in a body of {media_type}",
                body=body,
                fields=[("Content-Type", media_type)],
                new_connection=True,
            )
            for media_type, body in bodies.items()
        ),
    ]
    yield from _accepted(gate, (yield from send_in_turn(requests)))


@documented(KEY_NEEDED, needs=[MISSING_KEY_REFUSED], sends=(6, 9 + 6 * MOST_SINGLE))
def test_claims_do_not_authenticate(gate: Gate) -> Probing[None]:
    """A request without a key MUST be rejected regardless of its header fields."""
    origins = (
        "X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Originating-IP",
        "X-Remote-IP", "X-Remote-Addr", "X-Cluster-Client-IP", "Fastly-Client-IP", "X-Forwarded", "Forwarded-For",
        "X-ProxyUser-Ip", "X-Azure-ClientIP", "X-Envoy-External-Address", "Client-IP", "X-Host",
        "X-Custom-IP-Authorization",
    )  # fmt: skip
    users = (
        "X-Forwarded-User", "X-Remote-User", "X-User", "X-Authenticated-User", "X-Consumer-Username", "X-User-Id",
        "X-WEBAUTH-USER", "X-Auth-Request-User", "Remote-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username",
        "X-Goog-Authenticated-User-Email", "X-Consumer-ID", "X-Credential-Identifier", "X-Auth-User", "X-Account-Id",
        "X-Tenant-Id", "X-Forwarded-Groups", "X-Auth-Request-Email", "X-MS-CLIENT-PRINCIPAL-NAME",
        "Cf-Access-Authenticated-User-Email",
    )  # fmt: skip
    verified = ("X-SSL-Client-Verify", "SSL-Client-Verify", "X-Client-Verify", "X-Forwarded-Client-Cert")
    switches = (
        "X-Internal", "X-Internal-Request", "X-Debug", "X-Admin", "X-Test", "X-Bypass-Auth", "X-Health-Check",
        "X-Debug-Mode", "X-Trusted", "X-From-Gateway", "X-Skip-Auth", "X-No-Auth", "X-Dev", "X-Development",
        "X-Preview", "X-Service", "X-Is-Internal", "X-Internal-Call", "X-Monitoring", "X-Probe", "X-Authenticated",
        "X-Auth", "X-Gateway", "X-Root", "X-Envoy-Internal",
    )  # fmt: skip
    paths = ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Forwarded-Path", "X-Original-Path")
    groups: dict[str, Fields] = {
        "a loopback address as its origin": [
            *((name, "127.0.0.1") for name in origins),
            ("Forwarded", "for=127.0.0.1;host=localhost"),
            ("X-Forwarded-Host", "localhost"),
            ("User-Agent", "kube-probe/1.30"),
        ],
        "the name of a user": [
            *((name, "admin") for name in users),
            *((name, "SUCCESS") for name in verified),
            ("Referer", "http://localhost/"),
            ("Origin", "http://localhost"),
            ("X-Forwarded-Host", "127.0.0.1"),
            ("User-Agent", "ELB-HealthChecker/2.0"),
        ],
        "fields for debugging, administration and health checks": [
            *((name, "true") for name in switches),
            ("X-Middleware-Subrequest", ":".join(["middleware"] * 5)),
            *((name, "10.0.0.1") for name in origins[:6]),
            ("Origin", "null"),
            ("X-Forwarded-Host", INTERNAL_HOST),
            ("User-Agent", "GoogleHC/1.0"),
        ],
        "fields of a CORS preflight, and fields that permit a stale response": [
            *(("Cache-Control", "max-stale=3600, only-if-cached, no-cache"), ("Pragma", "no-cache")),
            *(("Purpose", "prefetch"), ("Sec-Purpose", "prefetch"), ("X-Requested-With", "XMLHttpRequest")),
            *(("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "navigate"), ("DNT", "1")),
            *(("Origin", gate.settings.target.origin), *PREFLIGHT),
            ("User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
        ],
        "an upgrade to WebSocket": [
            *(("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("User-Agent", "Prometheus/2.53.0"),
            ("Accept", "text/event-stream, application/xml, image/png, application/openmetrics-text"),
        ],
        "fields that name another target, a condition and a range": [
            *((name, "/healthz") for name in paths),
            *(("X-HTTP-Method-Override", "OPTIONS"), ("X-Forwarded-Method", "OPTIONS")),
            *(("X-Forwarded-Proto", "https"), ("X-Forwarded-Port", "8080"), ("Via", "1.1 proxy"), ("CDN-Loop", "cdn")),
            *(("traceparent", TRACE), ("X-Request-Id", "1"), ("Idempotency-Key", "1"), ("Max-Forwards", "0")),
            *(("Early-Data", "1"), ("TE", "trailers"), ("From", "ops@example.com"), ("Prefer", "respond-async")),
            *(("Accept-Encoding", "gzip"), ("Content-Type", "application/grpc"), ("X-Api-Version", "1")),
            ("Authorization", "Bearer null"),
            *(("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"), ("X-Amz-Date", "20270115T080000Z")),
            ("User-Agent", " ".join(AGENTS)),
            ("Connection", gate.key_header),
            *(("If-None-Match", "*"), ("Range", "bytes=0-9")),
        ],
    }
    if (yield from _find_fields(gate, groups)):
        return
    rewritten = [("X-Original-URL", gate.path), ("X-Rewrite-URL", gate.path)]
    requests = [
        *(gate.request(None, "at another host", fields=[("Host", host)]) for host in INTERNAL_HOSTS),
        gate.request(
            None,
            "but with fields that name the path of the operation",
            target=gate.settings.target.path + "/healthz",
            fields=rewritten,
        ),
    ]
    yield from _disclosing(gate, (yield from send_in_turn(requests)))


@documented(KEY_NEEDED, needs=[MISSING_KEY_REFUSED], sends=13)
def test_other_spelling_of_the_path_needs_a_key(gate: Gate) -> Probing[None]:
    """A response to a request without a key at another spelling of the path MUST NOT contain usage metrics."""
    path = gate.path
    spellings = (
        f"{path}/", f"/{path}", f"{path}?{'&'.join(SWITCHES)}", f"{path};x",
        f"/.{path}", f"/healthz/..{path}", f"/healthz/..;{path}", f"{path}%2f", f"{path}.json", f"{path}#x",
        path.upper(), f"{path[:-1]}%{ord(path[-1]):02x}", f"{gate.settings.target.origin}{path}",
    )  # fmt: skip
    exchanges = yield from send_in_turn(
        gate.request(None, "at another spelling of the path", target=spelling, new_connection=True)
        for spelling in spellings
    )
    yield from _disclosing(gate, (exchange for exchange in exchanges if exchange.status == 200))


@advisory(KEY_NEEDED, needs=[MISSING_KEY_REFUSED], sends=len(OTHER_ROUTES))
def test_other_route_needs_a_key(gate: Gate) -> Probing[None]:
    """A response to a request without a key at an older or versioned route SHOULD NOT contain usage metrics."""
    base = gate.settings.target.path
    requests = [gate.request(None, "at another route", target=f"{base}{route}") for route in OTHER_ROUTES]
    yield from _disclosing(gate, (yield from send_in_turn(requests)))


@documented(KEY_NEEDED, needs=[MISSING_KEY_REFUSED], sends=11)
def test_other_method_needs_a_key(gate: Gate) -> Probing[None]:
    """A response to a request with another method and without a key MUST NOT have a 2xx status or usage metrics.

    OPTIONS and TRACE may have a 2xx status. The case of a method matters. Other methods that stand for GET need a key.
    """
    requests = [
        *(
            gate.request(None, "with another method", method=method, new_connection=True)
            for method in ("HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "FOO", "QUERY", "get")
        ),
        gate.request(
            None,
            "with another method, which fields and a parameter replace by GET",
            method="POST",
            target=f"{gate.path}?_method=GET",
            fields=[(name, "GET") for name in OVERRIDES],
            new_connection=True,
        ),
        gate.request(wrong_keys.UNKNOWN, "by TRACE", method="TRACE", new_connection=True),
        gate.request(
            None,
            "as a CORS preflight",
            method="OPTIONS",
            fields=[("Origin", gate.settings.target.origin), *PREFLIGHT],
            new_connection=True,
        ),
    ]
    for exchange in (yield from send_in_turn(requests)):
        if 200 <= (exchange.status or 0) < 300:
            if exchange.request.method not in {"OPTIONS", "TRACE"}:
                yield status_finding(exchange, "any status but 2xx")
            else:
                yield from _disclosing(gate, [exchange])


@documented(
    f"{KEY_NEEDED}; RFC 9110, section 7.6.1: an intermediary removes the fields that Connection names",
    needs=[UNKNOWN_KEY_REFUSED],
    sends=1,
)
def test_connection_field_does_not_authenticate(gate: Gate) -> Probing[None]:
    """A request with an unknown key MUST be rejected, also if its Connection field names the key header."""
    fields = [("Connection", gate.key_header)]
    exchange = yield from gate.send(wrong_keys.UNKNOWN, "and Connection names the key header", fields=fields)
    yield from _accepted(gate, [exchange])


@documented(KEY_NEEDED, needs=[MISSING_KEY_REFUSED], sends=1)
def test_http_1_0_needs_a_key(gate: Gate) -> Probing[None]:
    """A request with HTTP/1.0 and without a key MUST be rejected."""
    exchange = yield from gate.send(None, "with HTTP/1.0", version="HTTP/1.0", new_connection=True)
    if exchange.status == 200:
        yield status_finding(exchange, "a refusal")
    else:
        yield from _disclosing(gate, [exchange])


@documented(KEY_NEEDED, needs=[*NEEDS_VALID_KEY, *NEEDS_AUTH_ERRORS], sends=4)
def test_connection_does_not_authenticate(gate: Gate) -> Probing[None]:
    """A request MUST be accepted or rejected by its own key, regardless of earlier requests on the same connection."""
    requests = [
        gate.request(gate.main),
        gate.request(None, "right after the main key on the same connection", pool="valid keys"),
        gate.request(wrong_keys.UNKNOWN, "soon after the main key on the same connection", pool="valid keys"),
    ]
    exchanges = yield from send_in_turn(requests)
    findings = list(gate.accepted(exchanges[1:], gate.baseline.refusals(None, wrong_keys.UNKNOWN)))
    yield from findings
    if findings:
        return
    last = yield from gate.send(gate.main)
    if last.status != 200:
        yield status_finding(last, "200")


def _find_fields(gate: Gate, groups: Mapping[str, Fields]) -> Probing[bool]:
    """Send requests without a key but with groups of header fields; see `_find_ways`."""
    return (
        yield from _find_ways(
            gate,
            {
                gate.request(None, f"but with {label}", fields=fields): [
                    gate.request(None, f"but with the field {name}", fields=[(name, value)]) for name, value in fields
                ]
                for label, fields in groups.items()
            },
        )
    )


def _find_ways(gate: Gate, groups: Mapping[Request, Sequence[Request]]) -> Probing[bool]:
    """Send requests without a key that combine several ways around it, then those ways alone that may be accepted.

    Returns whether a request was accepted. After one group with an accepted request, the ways of the next are not sent.
    """
    refusals = gate.baseline.refusals(None)
    combined = yield from send_in_turn(groups)
    yield from _accepted(gate, combined)
    for exchange, single in zip(combined, groups.values(), strict=False):
        is_accepted = any(_accepted(gate, [exchange]))
        if exchange.status in refusals and not is_accepted:
            continue  # any other status may be about one of the ways, and does not show that the rest is rejected
        findings = list(_accepted(gate, (yield from send_in_turn(single[:MOST_SINGLE]))))
        yield from findings
        if is_accepted or findings:
            return True
    return False


def _accepted(gate: Gate, exchanges: Iterable[Exchange]) -> Iterator[Finding]:
    """Yield a finding for each request that is accepted; errors/no-request-causes-5xx reports a 5xx."""
    for exchange in exchanges:
        is_closed = exchange.status is None and exchange.ending in CLOSED_ENDINGS
        is_server_error = (exchange.status or 0) >= 500 and not gate.contains_metrics(exchange)
        if not is_closed and not is_server_error:
            yield from gate.accepted([exchange], CLIENT_ERRORS_OR_REDIRECTS | gate.baseline.refusals(None))


def _disclosing(gate: Gate, exchanges: Iterable[Exchange]) -> Iterator[Finding]:
    for exchange in exchanges:
        if gate.contains_metrics(exchange):
            yield Finding("the response to a request without a key contains usage metrics", exchange)
