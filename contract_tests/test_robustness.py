"""Robustness: an unusual request with a valid key harms neither its own response nor the next one."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable
from itertools import cycle
from urllib.parse import urlsplit

from contract_tests.support.combined import Combined, Judgement, find_defect
from contract_tests.support.facts import NEEDS_AUTH_ERRORS, NEEDS_READABLE_BODY, NEEDS_VALID_KEY
from contract_tests.support.findings import (
    Finding,
    Findings,
    after,
    body_findings,
    field_finding,
    report,
    status_finding,
    unless_200,
)
from contract_tests.support.gate import BROWSER, MARKER, OPERATION, OTHER_ORIGIN, Gate, RequestOptions
from contract_tests.support.request_parts import Part
from contract_tests.support.rules import DOCUMENT, advisory, documented, specified
from contract_tests.wire.messages import (
    CLIENT_ERRORS,
    CLIENT_ERRORS_OR_REDIRECTS,
    CLOSED_ENDINGS,
    LATE_ENDINGS,
    Exchange,
    Exchanges,
    Request,
)
from contract_tests.wire.not_tested import NotApplicable, or_not_tested

REFUSAL = "RFC 9110, section 15.5: a request that cannot be served gets a 4xx; errors guide: no 5xx is documented"
STREAMS = (
    "text/csv, text/event-stream, application/x-ndjson, application/msgpack, application/openmetrics-text;version=1.0.0"
)
# Each of these includes application/json (RFC 9110, section 12.5.1), so a response to it is not a 406.
INCLUDING_JSON: dict[str, list[tuple[str, str]]] = {
    "a subtype wildcard with a weight, but no content coding, as curl sends it": [
        ("User-Agent", "curl/8.5.0"),
        ("Accept", "application/*;q=0.8"),
        ("Accept-Encoding", "gzip;q=0, deflate;q=0, br;q=0, zstd;q=0, identity"),
    ],
    "JSON in capitals as the second of three media types": [
        ("Accept", "text/html, APPLICATION/JSON;q=0.5, application/xml;q=0.9"),
        ("Accept-Language", "*"),
    ],
}
OTHER_MEDIA_TYPES = f"image/png, application/xml, text/html;q=0.9, {STREAMS}"
ABANDONED = 2  # requests whose clients leave before the response
FIELDS = (
    "Accept", "Accept-Charset", "Accept-Language", "Accept-Encoding", "Cookie", "Range", "If-Range", "If-Match",
    "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Content-Type", "Authorization", "Forwarded",
    "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Origin", "Referer", "User-Agent", "Date", "TE",
    "Cache-Control", "Via", "Prefer", "X-Request-Id", "X-Requested-With", "Sec-Fetch-Site", "Idempotency-Key",
    "traceparent", "baggage", "b3", "tracestate", "From", "X-Correlation-Id", "X-Real-IP", "X-Amzn-Trace-Id",
    "CDN-Loop", "Content-Language", "Content-Encoding", "Content-MD5", "Sec-Ch-Ua", "Access-Control-Request-Method",
    "Upgrade",
)  # fmt: skip
UNUSUAL_VALUES = {
    "garbage": b'@@; ;==;q=zz,="',
    "non-ASCII bytes": b"\xe9\xff",
    "an empty value": b"",
    "120 characters": b"a" * 120,  # together less than the 8 KiB that every server accepts
}
# A firewall may take these for an attack, and close the connection without a response.
SUSPICIOUS = ("garbage", "non-ASCII bytes")
HARMLESS = frozenset({200, 206, 304})
CONDITIONS_FAILED = frozenset({412, 416})  # what an unusual If-Match or Range may cause
MANY_FIELDS = 100
LARGE_HEAD = 8000  # bytes
USUAL_TARGET, USUAL_HEAD, USUAL_FIELDS = 8000, 4000, 50  # bytes, bytes, header fields
HOPS = (("Max-Forwards", "10"), ("Priority", "u=3, i"), ("Upgrade-Insecure-Requests", "1"), ("Save-Data", "on"))
PROXIES = (("Via", "1.1 first-proxy"), ("Via", "1.1 second-proxy"))  # each adds a field of its own
FORWARDED = ("X-Forwarded-Host", urlsplit(OTHER_ORIGIN).netloc)  # for responses-do-not-follow-forwarded-hosts
UNEXPECTED = b"unexpected=1&limit=-1&format=xml&callback=f&fields=total&pretty=1&period=day&page=2"
PUNCTUATION = b"%27%22%3c%3e%7b%7d%5b%5d%28%29%7c%5c%60%24%23%3b..%2f%0a%25*"
PARAMETERS = b"&".join(b"p%d=%d" % (number, number) for number in range(100))


@documented(
    f"{DOCUMENT}, 200: content application/json; RFC 9110, section 12.5.1",
    needs=NEEDS_READABLE_BODY,
    repeats=["schema/media-type-is-documented", "schema/body-has-the-specified-types"],
)
def test_accept_leads_to_json_or_4xx(client: Gate) -> Findings:
    """A response MUST be the documented one or a 4xx for any value of `Accept`, and a 200 if that includes JSON."""
    including_json = [
        client.request(client.main, "without Accept", without=("Accept",)),
        *(
            client.request(client.main, f"and accepting {what}", fields=client.unless_configured(fields))
            for what, fields in INCLUDING_JSON.items()
        ),
    ]
    other = client.request(
        client.main,
        f"and Accept: {OTHER_MEDIA_TYPES}, and UTF-16",
        fields=[("Accept", OTHER_MEDIA_TYPES), ("Accept-Charset", "utf-16")],
    )
    browser = client.request(
        client.main, "as a browser sends it", fields=[*BROWSER, ("Origin", client.settings.target.similar_origin)]
    )
    requests = [
        *((request, {200}, "200") for request in including_json),
        (other, {200, *CLIENT_ERRORS}, "200 or 4xx"),
        (browser, {200, *CLIENT_ERRORS} - {406}, "200"),
    ]
    for request, accepted, expected in requests:
        exchange = client.transport.send(request)
        if exchange.status not in accepted:
            yield status_finding(exchange, expected)
        elif exchange.status == 200 and not exchange.is_json:
            yield field_finding(exchange, "Content-Type", "the media type is not JSON", "application/json")
        elif exchange.status == 200 and exchange.json.problem:
            yield Finding(f"the body {exchange.json.problem}", exchange)
        elif exchange.status == 200:
            yield from body_findings(OPERATION, exchange, "specified")


@documented(REFUSAL, needs=NEEDS_VALID_KEY)
def test_unusual_headers_do_no_harm(client: Gate) -> Findings:
    """A response to a request with a valid key MUST have status 200, 206, 304 or 4xx for any other headers.

    The status is not 401, because the key is valid.
    """
    together = b"".join(UNUSUAL_VALUES[what] for what in SUSPICIOUS)
    label = f"and {' and '.join(SUSPICIOUS)} in every other header"
    exchange = client.send(client.main, label, fields=[(name, together) for name in FIELDS])
    # A firewall may refuse one of the suspicious values, and hide the harm of the other one.
    are_separate = exchange.status not in HARMLESS | CONDITIONS_FAILED and client.refused_parts.take_spare_requests(
        len(SUSPICIOUS)
    )
    for what, value in UNUSUAL_VALUES.items():
        if what not in SUSPICIOUS or are_separate:
            parts = tuple(Part("header", name, value) for name in FIELDS)
            label, stopped = f"and {what} in every other header", CLOSED_ENDINGS if what in SUSPICIOUS else ()
            if (
                yield from _find_harm(client, label, f"and {what} in the", parts, stopped, HARMLESS | CONDITIONS_FAILED)
            ):
                return
    many = [(f"X-Field-{number}", "1") for number in range(100)]
    # The conditions are the first and the last part, so that they are separated where the request is refused.
    fields = [
        ("If-Match", "*"),
        ("Range", "items=0-9"),
        *many,
        ("X-Long", "a" * 4500),
        ("Authorization", "Basic of-another-service"),  # which is not base64
        *HOPS,
        *PROXIES,
        FORWARDED,
        ("If-None-Match", "*"),
    ]
    parts = tuple(Part("header", name, value) for name, value in fields)
    if (yield from _find_harm(client, "and many headers", "and the", parts)):
        return
    exchange = client.send(
        client.main,
        "and an empty query, a range beyond the end, and hardly another header",
        target=f"{client.path}?",
        fields=[("Range", "bytes=999999999-")],
        without=("User-Agent", "Accept", "Accept-Encoding"),
    )
    yield from _harmed([exchange])


def _find_harm(
    gate: Gate,
    label: str,
    single: str,
    parts: tuple[Part, ...],
    stopped: Collection[str] = (),
    usual: Collection[int] = HARMLESS,
) -> Generator[Finding, None, bool]:
    """Send a request with the main key that combines parts, and yield a finding for one that does harm, if any.

    `stopped` are endings by which a firewall may refuse the request; the parts are judged together if the status is a
    `usual` one. Returns whether a part does harm.
    """

    def judge(exchange: Exchange) -> Judgement:
        if any(_harmed([exchange], stopped)):
            return "defect"
        return "kept" if exchange.status in usual else "refused"

    harmful = find_defect(Combined(gate, label, single, parts, label, gate.main), judge)
    return (yield from report(_harmed(filter(None, [harmful]), stopped)))


@advisory("RFC 9110, section 10.1.5: User-Agent is not required", needs=NEEDS_VALID_KEY)
def test_missing_user_agent_is_accepted(gate: Gate, journal: Exchanges) -> Findings:
    """A request with a valid key SHOULD be accepted without `User-Agent`."""
    hosted = (each for each in journal if gate.is_authorized(each.request) and each.request.values("Host"))
    without_agent = (exchange for exchange in hosted if not exchange.request.values("User-Agent"))
    for exchange in or_not_tested(without_agent, "every request with a valid key has a User-Agent"):
        if exchange.status in CLIENT_ERRORS - {406, 416, 429}:
            yield status_finding(exchange, "200")


@documented(REFUSAL, needs=NEEDS_VALID_KEY)
def test_unusual_targets_do_no_harm(client: Gate) -> Findings:
    """A response to a request with a valid key MUST have status 200, 206, 304 or 4xx for any target.

    The status is not 401, because the key is valid. An unknown path may be redirected.
    """
    path = client.path.encode()
    queries = (UNEXPECTED, PARAMETERS, b"a;b=%C3%A9", b"q=" + b"a" * 3000)
    parts = tuple(
        Part("query parameter", name.decode(), value)
        for name, _, value in (pair.partition(b"=") for query in queries for pair in query.split(b"&"))
    )
    if (yield from _find_harm(client, "and a long query", "and the", parts)):
        return
    suspicious = {
        "a query with empty and repeated parameters": path + b"?&=&&a=1&a=2&%ff=%00&__proto__=1&q=" + PUNCTUATION,
        "a query of 20,000 characters": path + b"?q=" + b"a" * 20_000,
        "percent-encoding in the path that is not UTF-8": path + b"/%ff",
    }
    requests = [
        client.request(client.main, f"and {what}", target=target, new_connection=True)
        for what, target in suspicious.items()
    ]
    for exchange in client.send_in_turn(requests):
        if exchange.status not in _accepted_elsewhere(client, exchange):
            yield from _harmed([exchange], CLOSED_ENDINGS)


@specified("RFC 9110, section 5.5: a field value contains no line break", needs=NEEDS_VALID_KEY)
def test_query_does_not_add_headers(client: Gate) -> Findings:
    """A response MUST NOT contain a percent-encoded line break of the query or the path as a line break in its head.

    Many servers redirect a path that ends in a slash, and repeat the query in `Location`.
    """
    line = "%0d%0aX-Injected:%20yes"
    requests = [
        client.request(
            client.main,
            "and a line break in the query, and accepting XML only",
            target=f"{client.path}?q=1{line}%0d%0a%0d%0abody",
            fields=[("Accept", "application/xml")],
            new_connection=True,
        ),
        client.request(
            client.main,
            "at a path that ends in a slash, and a line break in the query",
            target=f"{client.path}/?q=1{line}",
            fields=[FORWARDED],
            new_connection=True,
        ),
        client.request(
            None,
            "at a path with a line break that ends in a slash",
            target=f"{client.path}{line}/",
            new_connection=True,
        ),
    ]
    for exchange in client.send_in_turn(requests):
        if exchange.header("X-Injected") or exchange.ending == "malformed":
            yield Finding("the head of the response contains a line of the target", exchange)
            return


@advisory("RFC 9112, section 3: a request line of 8,000 octets at least; RFC 6585, section 5: 431")
def test_usual_targets_are_accepted(journal: Exchanges) -> Findings:
    """A request SHOULD NOT be refused with 414 if its target has less than 8,000 bytes.

    Nor SHOULD it be refused with 431 if its head has less than 4,000 bytes and at most 50 header fields.
    """
    for exchange in journal:
        request = exchange.request
        if exchange.status == 414 and len(request.target) < USUAL_TARGET:
            yield Finding(f"a target of {len(request.target)} bytes is refused", exchange, actual="414")
        elif exchange.status == 431 and len(request.fields) <= USUAL_FIELDS and _head_size(request) < USUAL_HEAD:
            yield Finding(f"a head of {_head_size(request)} bytes is refused", exchange, actual="431")


@specified(
    "RFC 9110, section 10.1.1: the server sends 100 or a final status, and does not wait for the content",
    needs=NEEDS_VALID_KEY,
)
def test_expectation_gets_a_response(client: Gate, first_ok: Exchange) -> Findings:
    """A request with `Expect: 100-continue` MUST get 100 or a final response before its body is sent.

    The connection may be closed instead. A server of HTTP/1.0 does not know the field.
    """
    if first_ok.version == "1.0":
        raise NotApplicable("the server sends HTTP/1.0, which has no Expect")
    # More than the whole body is wanted, for errors/no-request-causes-5xx and cache/parts-have-their-stated-size.
    fields = [("Content-Type", "application/json"), ("Expect", "100-continue"), ("Range", "bytes=-99999")]
    label = "and Expect: 100-continue, for its last 99,999 bytes"
    exchange = client.send(client.main, label, body=b"{}", fields=fields, new_connection=True)
    yield from _harmed([exchange], {*CLOSED_ENDINGS, "truncated"})


@documented(REFUSAL, needs=NEEDS_VALID_KEY)
def test_unexpected_bodies_do_no_harm(client: Gate) -> Findings:
    """A response to a GET with a body MUST have status 200, 206, 304 or 4xx, and the next request MUST get a 200.

    The status is not 401, because the key is valid. The connection may be closed instead of the first response.
    """
    json = [("Content-Type", "application/json")]
    requests = [
        client.request(  # without `Connection: Upgrade`, servers must ignore Upgrade (RFC 9110, section 7.8)
            client.main,
            "and a chunked body of broken JSON with an extension and a trailer, and Upgrade: h2c",
            body=b'5;x=1\r\n{"a":\r\n0\r\nX-Trailer: 1\r\n\r\n',
            fields=[*json, ("Transfer-Encoding", "Chunked"), ("Trailer", "X-Trailer"), ("Upgrade", "h2c")],
            without=("Content-Length",),
            new_connection=True,
        ),
        client.request(client.main, "and a body that is itself a request", body=_inner(client), fields=json),
    ]
    exchanges = list(client.send_in_turn(requests))
    # RFC 9110, section 9.3.1: such a request may be rejected by closing the connection, also after an interim response.
    if (yield from report(_harmed(exchanges, {*CLOSED_ENDINGS, "truncated"}))):
        return
    last = client.send(client.main, "right after a GET with a body")
    yield from after(exchanges[-1:], unless_200([last]))


@specified("RFC 9112, section 9.3: a server reads the whole body, or closes the connection after its response")
def test_body_is_not_taken_for_a_request(client: Gate, journal: Exchanges) -> Findings:
    """The server MUST NOT take the body of a request for the next request, also if it rejects the request."""
    label, json = "but with a body that is itself a request", [("Content-Type", "application/json")]
    rejected = client.send_in_turn(
        client.request(None, label, method=method, body=_inner(client), fields=json, new_connection=True)
        for method in (client.operation.method, "POST")
    )
    for exchange in (*journal, *rejected):
        if exchange.request.body and exchange.extra.lstrip().startswith(b"HTTP/"):
            yield Finding("the body was taken for a request", exchange, actual=exchange.excerpt(exchange.extra, 60))


def _inner(gate: Gate) -> bytes:
    """Return a body that is itself a request, without a key."""
    return f"GET {gate.path} HTTP/1.1\r\nHost: {gate.settings.target.authority}\r\n\r\n".encode()


@documented(REFUSAL, needs=NEEDS_VALID_KEY)
def test_abandoned_requests_do_no_harm(client: Gate) -> Findings:
    """A response to a request MUST have status 200, also after other clients have left before their responses.

    One more client has sent half a request, and keeps its connection open.
    """
    key = client.second_or_main
    label = "on a connection that the client closes before the response"
    abandoned = [client.request(key, label, new_connection=True) for _ in range(ABANDONED)]
    request = client.request(client.main, "beside clients that have left, and half a request", new_connection=True)
    exchange = client.transport.send_beside_abandoned(abandoned, request)
    if exchange.status not in {200, 429}:
        yield status_finding(exchange, "200")


@documented(REFUSAL, needs=(*NEEDS_VALID_KEY, *NEEDS_AUTH_ERRORS))
def test_malformed_requests_do_no_harm(client: Gate) -> Findings:
    """A response to a malformed request MUST have status 200, 501, 505 or 4xx, and later ones MUST be as before.

    The connection may be closed instead of the response, and an unknown path may be redirected.
    """
    path, authority = client.path.encode(), client.settings.target.authority
    chunked = [("Content-Length", "45"), ("Transfer-Encoding", "chunked")]
    malformed: dict[str, RequestOptions] = {
        "without Host": {"without": ("Host",)},
        "with two Host fields": {"fields": [("Host", authority), ("Host", "other.example")]},
        "with a line that is not a header field": {"fields": [("X-Odd", b"1\r\nno field")]},
        "with a length that is not a number": {"fields": [("Content-Length", "many")]},
        "with a length and a chunked body": {"fields": chunked, "body": b"0\r\n\r\n"},
        "with a field name that is not a token": {"fields": [("b@d(name)", "x")]},
        "by HTTP/9.9": {"version": "HTTP/9.9"},
        "with non-ASCII bytes in the path": {"target": path + b"\xff"},
        "with broken percent-encoding in the path": {"target": path + b"/%zz%00" + MARKER},
        "with broken percent-encoding in the query": {"target": path + b"?%zz&a[]=1"},
    }
    # Two keys in turn: an error must not contain the key of the request before.
    for key, (label, options) in zip(cycle(client.keys[:2]), malformed.items(), strict=False):
        options["new_connection"] = True
        exchange = client.send(key, label, **options)
        is_awaited = exchange.ending in LATE_ENDINGS
        accepted = {None, 200, 501, 505, *CLIENT_ERRORS, *_accepted_elsewhere(client, exchange)}
        if is_awaited or exchange.status not in accepted:
            yield status_finding(exchange, "200, 4xx, 501, 505, or a closed connection")
            return
    last = client.send(client.main, "after malformed requests", new_connection=True)
    if (yield from report(unless_200([last]))):
        return
    closing = [("Connection", "Close")]
    wrong = client.transport.send_and_await_close(client.request(None, "after malformed requests", fields=closing))
    yield from client.wrongly_accepted([wrong], {429, *client.baseline.refusals(None)})


def _accepted_elsewhere(gate: Gate, exchange: Exchange) -> Collection[int]:
    """Return the statuses that only a response to an unknown path may have."""
    return () if gate.is_operation(exchange.request) else CLIENT_ERRORS_OR_REDIRECTS


def _harmed(exchanges: Iterable[Exchange], stopped: Collection[str] = ()) -> Findings:
    """Yield a finding for each other status; `stopped` are endings by which a firewall may refuse the request.

    A 401 is harm, because the key is valid. It is accepted for an oversized head, whose end a server may not read.
    """
    for exchange in exchanges:
        request = exchange.request
        # Some servers do not read all fields: more than 100, or about 8 KiB, are rarely sent.
        is_oversized = len(request.fields) > MANY_FIELDS or _head_size(request) > LARGE_HEAD
        refusals = CLIENT_ERRORS if is_oversized else CLIENT_ERRORS - {401}
        if exchange.status not in HARMLESS | refusals and exchange.ending not in stopped:
            yield status_finding(exchange, "200, 206, 304 or a 4xx other than 401")


def _head_size(request: Request) -> int:
    return len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.fields)
