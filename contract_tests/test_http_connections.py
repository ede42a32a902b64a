"""Connections: which requests share one, when it ends, and the versions of HTTP."""

from __future__ import annotations

import re

from contract_tests.support import wrong_keys
from contract_tests.support.facts import NEEDS_AUTH_ERRORS, NEEDS_VALID_KEY
from contract_tests.support.findings import Finding, Findings, field_finding, one_of, status_finding, unless_200
from contract_tests.support.gate import Gate
from contract_tests.support.rules import advisory, specified
from contract_tests.wire.messages import CLIENT_ERRORS, CLOSED_ENDINGS, LATE_ENDINGS, Exchange, Exchanges
from contract_tests.wire.not_tested import or_not_applicable, or_not_tested

LONGEST_WAIT = 3  # seconds that an idle connection is watched
CLOSING_EARLY = 0.5  # seconds that a server may count from an earlier moment
KEEP_ALIVE_TIMEOUT = re.compile(r"(?i)(?<![\w-])timeout=(\d{1,6})\b")
LAST_REQUEST = re.compile(r"(?i)(?<![\w-])max=[01]\b")
FIRST_PIECE = 24  # bytes of a request: the rest follows later, and its last two bytes after that
INTERIM_RESPONSE = re.compile(rb"[\r\n]*HTTP/\d\.\d 1\d\d\b")
NO_HTTP_1_0 = "no HTTP/1.0 request has a response"


@specified("RFC 9112, section 6.1: Transfer-Encoding belongs to HTTP/1.1")
def test_http_1_0_response_is_not_chunked(journal: Exchanges) -> Findings:
    """A response of HTTP/1.0, or to an HTTP/1.0 request, MUST NOT have Transfer-Encoding."""
    old = (each for each in journal if each.status and "1.0" in {each.request.version[5:], each.version})
    for exchange in or_not_tested(old, NO_HTTP_1_0):
        if exchange.values("Transfer-Encoding"):
            problem = "an HTTP/1.0 client cannot read Transfer-Encoding"
            yield field_finding(exchange, "Transfer-Encoding", problem)


@specified("RFC 9110, section 15.2: a server sends no 1xx response to an HTTP/1.0 client", reads=["head"])
def test_http_1_0_request_gets_no_interim_response(journal: Exchanges) -> Findings:
    """A response to an HTTP/1.0 request MUST NOT be preceded by an interim response."""
    for exchange in or_not_tested((each for each in journal if each.request.version == "HTTP/1.0"), NO_HTTP_1_0):
        if INTERIM_RESPONSE.match(exchange.raw_head):
            begin = exchange.excerpt(exchange.raw_head, 60)
            yield Finding("an interim response precedes the response", exchange, actual=begin)


@specified(
    "RFC 9112, sections 9.3 and 9.6: the server closes after the last response, in HTTP/1.0 after each",
    needs=NEEDS_VALID_KEY,
)
def test_connection_closes_on_request(client: Gate) -> Findings:
    """The server MUST close the connection after the response to `Connection: close`, or to HTTP/1.0."""
    requests = [
        client.request(client.main, "and Connection: close", fields=[("Connection", "close")]),
        client.request(client.main, "by HTTP/1.0, without keep-alive", version="HTTP/1.0"),
    ]
    for request in requests:
        exchange = client.transport.send_and_await_close(request)
        if exchange.status not in {200, 429} and request.version != "HTTP/1.0":
            yield status_finding(exchange, "200")
            return
        if exchange.status == 200 and not exchange.is_closed:
            yield Finding("the connection is still open", exchange)
            return


@specified(
    "RFC 9112, section 9.6: a server that sends the close option closes the connection after that response",
    repeats=["http/connection-closes-on-request"],
    reads=["framing"],
)
def test_announced_closing_follows(journal: Exchanges) -> Findings:
    """The server MUST close the connection after a response with `Connection: close`."""
    announcing = (each for each in journal if each.announces_closing and each.is_closed is not None)
    missing = "the gate did not await the end of a connection whose closing was announced"
    for exchange in or_not_applicable(announcing, missing):
        if not exchange.is_closed:
            yield Finding("the connection is still open", exchange)


@specified(
    "RFC 9112, section 9.6: a server that receives the close option closes the connection after its response",
    repeats=["http/connection-closes-on-request"],
    reads=["framing"],
)
def test_connection_closes_after_an_error(journal: Exchanges) -> Findings:
    """The server MUST close the connection after an error, too, if the request has `Connection: Close`, in any case."""
    closing = (each for each in journal if each.request.asks_to_close)
    awaited = (each for each in closing if each.status in CLIENT_ERRORS and each.is_closed is not None)
    for exchange in or_not_tested(awaited, "no request with Connection: close was refused"):
        if not exchange.is_closed:
            yield Finding("the connection is still open", exchange)


@specified(
    "RFC 9112, appendix C.2.2: Keep-Alive connections of HTTP/1.0; section 3.2: only HTTP/1.1 needs a Host header",
    needs=NEEDS_VALID_KEY,
)
def test_http_1_0_connection_serves_two_requests(client: Gate) -> Findings:
    """A request with HTTP/1.0 on a connection that the server keeps MUST get a response, or the connection closes.

    The same applies to a request without a Host header, on a connection of its own.
    """
    label, version = "by HTTP/1.0, without Host", "HTTP/1.0"
    exchange = client.send(client.main, label, without=("Host",), version=version, new_connection=True)
    if exchange.ending in LATE_ENDINGS:
        yield Finding("no complete response to a request without Host", exchange)
    # With another key, if there is one: a cache may keep responses to HTTP/1.0 for all clients.
    for place, key in {"first": client.second_or_main, "second": client.main}.items():
        label, fields = f"by HTTP/1.0 with keep-alive, the {place} one", [("Connection", "keep-alive")]
        fields += [("Accept-Encoding", "gzip")] if place == "second" else []  # some servers compress into chunks
        exchange = client.send(key, label, fields=fields, version="HTTP/1.0")
        if exchange.ending in LATE_ENDINGS:
            yield Finding(f"no complete response to the {place} request", exchange)
        if exchange.status != 200 or exchange.header("Connection").lower() != "keep-alive":
            return


@advisory(
    "RFC 9112, section 2.2: a server ignores an empty line before a request; old clients send one after a body",
    needs=NEEDS_VALID_KEY,
)
def test_empty_line_before_a_request_is_ignored(client: Gate) -> Findings:
    """A response to a request after an empty line SHOULD have status 200."""
    yield from unless_200([client.send(client.main, "after an empty line", preamble=b"\r\n", new_connection=True)])


@specified(
    "RFC 9112, sections 2.2 and 9.3.2: a message is a sequence of octets; responses have the requests' order",
    needs=(*NEEDS_VALID_KEY, *NEEDS_AUTH_ERRORS),
    repeats=["bypass/connection-does-not-authenticate"],
)
def test_split_and_pipelined_requests_are_separate(client: Gate) -> Findings:
    """A request in three pieces MUST get its own response, and so MUST each of several requests in one piece, in order.

    The connection may be closed instead, after the first of several.
    """
    split = client.transport.send_pipelined([client.request(client.main, "in three pieces")], ahead=FIRST_PIECE)
    keys = (client.main, client.keys[1] if client.keys[1:] else wrong_keys.UNKNOWN, None)
    pipelined = client.transport.send_pipelined([client.request(key, "pipelined with others") for key in keys])
    answered = (each for each in pipelined[1:] if each.ending not in CLOSED_ENDINGS)
    for exchange in (*split, pipelined[0], *answered):
        credential = exchange.request.credential
        expected = {200} if credential in client.keys else client.baseline.refusals(credential)
        if exchange.status not in {429, *expected}:
            yield status_finding(exchange, one_of(expected))
            return


@advisory(
    "RFC 9112, section 9.6: a server that closes a connection sends Connection: close in its last response",
    reads=["framing"],
)
def test_closing_is_announced(gate: Gate, journal: Exchanges) -> Findings:
    """A response SHOULD have `Connection: close` if the server closes the connection right after it.

    If the client asked for that, a response without the field is accepted, but not one with `keep-alive`.
    """
    for exchange in gate.transport.closed_unannounced:
        yield Finding("the server closed the connection within a second, and did not announce it", exchange)
    for exchange in journal:
        is_asked = exchange.request.asks_to_close
        if is_asked and exchange.is_closed and exchange.header("Connection").lower() == "keep-alive":
            yield Finding("the server closed a connection that it announced to keep", exchange)


@advisory("RFC 9112, section 9.3: HTTP implementations SHOULD support persistent connections", reads=["framing"])
def test_connections_are_kept(ok_responses: Exchanges) -> Findings:
    """The server SHOULD NOT end the connection after each 200 response, by `Connection: close` or by HTTP/1.0."""
    answered = [exchange for exchange in ok_responses if exchange.status == 200]
    if answered and all(map(_ends_the_connection, answered)):
        yield Finding("every 200 response ends its connection", answered[0])


@advisory(
    "RFC 9110, section 6.2: a server sends the highest version that it supports, up to that of the request",
    repeats=["http/connections-are-kept", "http/status-line-is-well-formed"],
    reads=["head"],
)
def test_http_1_1_is_supported(baseline_responses: Exchanges, journal: Exchanges) -> Findings:
    """A response to an HTTP/1.1 request SHOULD NOT have the version HTTP/1.0.

    Responses to baseline requests, and those with status 404 or 405, are judged.
    """
    for exchange in (*baseline_responses, *(each for each in journal if each.status in {404, 405})):
        if exchange.request.version == "HTTP/1.1" and exchange.version == "1.0":
            yield Finding("the response has the version HTTP/1.0", exchange)


@advisory(
    "Internet draft HTTP Keep-Alive Header, timeout: a host retains an idle connection at least so long",
    needs=NEEDS_VALID_KEY,
)
def test_connection_lasts_as_long_as_stated(client: Gate, ok_responses: Exchanges) -> Findings:
    """The server SHOULD NOT close an idle connection before the seconds that `timeout` in `Keep-Alive` states.

    At most three seconds are awaited, and half a second is tolerated.
    """
    stating = or_not_applicable(filter(_stated_seconds, ok_responses), "no 200 response states a timeout")
    awaited = min(LONGEST_WAIT, *map(_stated_seconds, stating)) - CLOSING_EARLY
    request = client.request(client.main, "and an idle connection", fields=[("Connection", "keep-alive")])
    exchange = client.transport.send_and_await_close(request, awaited)
    lasted, stated = client.transport.clock.now() - exchange.ended, _stated_seconds(exchange)
    if exchange.status == 200 and exchange.is_closed and stated > awaited:
        expected, actual = f"at least {stated} s", f"{lasted:.1f} s"
        yield Finding(
            "the server closes the connection earlier than stated", exchange, expected=expected, actual=actual
        )


def _stated_seconds(exchange: Exchange) -> int:
    """Return the seconds that a response states for its idle connection; 0 if it states none."""
    field = exchange.header("Keep-Alive")
    stated = KEEP_ALIVE_TIMEOUT.search(field)
    is_last = exchange.announces_closing or LAST_REQUEST.search(field)
    return int(stated[1]) if stated and not is_last else 0


def _ends_the_connection(exchange: Exchange) -> bool:
    request = exchange.request
    if request.version == "HTTP/1.0" or request.asks_to_close:
        return False
    is_kept = "keep-alive" in exchange.header("Connection").lower()
    return exchange.announces_closing or (exchange.version == "1.0" and not is_kept)
