"""Odd requests: what is unusual beside a valid key does no harm, to its answer or to the next one."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pytest

from contract_tests.metrics.schema import problems
from contract_tests.run import wrong_keys
from contract_tests.run.facts import NEEDS_AUTH_ERRORS, NEEDS_READABLE_BODY, NEEDS_VALID_KEY
from contract_tests.run.gate import BROWSER, OPERATION, Gate, RequestOptions
from contract_tests.run.rules import DOCUMENT, holds
from contract_tests.wire.messages import CLIENT_ERRORS, CLOSED_ENDINGS, Exchange


@pytest.mark.needs(
    *NEEDS_READABLE_BODY, "schema/media-type-is-documented", "schema/body-has-the-specified-types"
)
@pytest.mark.rule(level="documented", source=f"{DOCUMENT}, 200: content application/json")
def test_accept_leads_to_json_or_4xx(gate: Gate) -> None:
    """Whatever Accept says, the answer MUST be the documented one, or a 4xx."""
    exchanges = {
        accept: gate.ask(gate.main, f"and Accept: {accept}", fields=[("Accept", accept)]) for accept in ACCEPTS
    }
    exchanges["as a browser"] = gate.ask(gate.main, "as a browser asks", fields=BROWSER)
    for accept, exchange in exchanges.items():
        must = {200} if accept == "*/*" else {200, *range(400, 500)}
        assert exchange.status in must, f"{exchange.outcome}\n{exchange.seen}"
        if exchange.status == 200:
            assert exchange.is_json and not exchange.json.problem, f"{exchange.header('Content-Type')}\n{exchange.seen}"
            holds(f"{problem}\n{exchange.seen}" for problem in problems(OPERATION, exchange, "specified"))


STREAMS = (
    "text/csv, text/event-stream, application/x-ndjson, application/msgpack, application/openmetrics-text;version=1.0.0"
)
ACCEPTS = ("*/*", "text/html, application/xml;q=0.9", STREAMS, ";;;q=,/")
ODD = "RFC 9110, section 15.5: what cannot be served is refused with a 4xx; errors guide: no 5xx is documented"
FIELDS = (
    "Accept", "Accept-Charset", "Accept-Language", "Accept-Encoding", "Cookie", "Range", "If-Range", "If-Match",
    "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Content-Type", "Authorization", "Forwarded",
    "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Origin", "Referer", "User-Agent", "Date", "TE",
    "Cache-Control", "Via", "Prefer", "X-Request-Id", "X-Requested-With", "Sec-Fetch-Site", "Idempotency-Key",
    "traceparent", "baggage", "b3",
)  # fmt: skip
ODD_VALUES = {
    "garbage": b'@@;;q=zz,="',
    "bytes that are no ASCII": b"\xe9\xff",
    "nothing": b"",
    "180 characters": b"a" * 180,  # together less than the 8 KiB that any server takes
}
# A firewall may take these for an attack, and give no answer at all.
SUSPICIOUS = {"garbage": CLOSED_ENDINGS, "bytes that are no ASCII": CLOSED_ENDINGS}
HOPS = (("Max-Forwards", "10"), ("Priority", "u=3, i"), ("Upgrade-Insecure-Requests", "1"), ("Save-Data", "on"))


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(level="documented", source=ODD)
def test_unusual_headers_do_no_harm(gate: Gate) -> None:
    """Whatever other fields hold, a request with a valid key MUST be answered with 200, 206, 304, or a 4xx."""
    for what, value in ODD_VALUES.items():
        stopped = SUSPICIOUS.get(what, frozenset())
        exchanges = [gate.ask(gate.main, f"and {what} in every other field", fields=[(name, value) for name in FIELDS])]
        if exchanges[0].status not in {200, 206, 304}:  # which field does it, and does its refusal hide another's harm?
            exchanges = [
                gate.ask(gate.main, f"and {what} in {name}", fields=[(name, value)]) for name in FIELDS
            ] + exchanges
        holds(_harmed(exchanges, stopped))
    many = [(f"X-Field-{number}", "1") for number in range(100)]
    holds(
        _harmed(
            [
                gate.ask(gate.main, "and 100 unknown fields", fields=many),
                gate.ask(gate.main, "and a field of 4,500 characters", fields=[("X-Long", "a" * 4500), *HOPS]),
                gate.ask(gate.main, "and hardly another field", without=("User-Agent", "Accept", "Accept-Encoding")),
            ]
        )
    )


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(level="documented", source=ODD)
def test_unusual_targets_do_no_harm(gate: Gate) -> None:
    """Whatever the query or the path, a request with a valid key MUST be answered, and not with a 5xx."""
    path = gate.path.encode()
    targets = {
        "an unknown query parameter": path + UNEXPECTED,
        "an empty query": path + b"?",
        "a hundred parameters, a semicolon, and a word in UTF-8": path + b"?" + PARAMETERS + b"&a;b=%C3%A9",
        "a query of 3,000 characters": path + b"?q=" + b"a" * 3000,
    }
    suspicious = {
        "an odd query": path + b"?&=&&a=1&a=2&%ff=%00&__proto__=1",
        "a query of 9,000 characters": path + b"?q=" + b"a" * 9000,
        "percent-encoding in the path that is no UTF-8": path + b"/%ff",
    }
    is_baseline, odd = (
        [gate.ask(gate.main, f"and {what}", target=target, new_connection=True) for what, target in each.items()]
        for each in (targets, suspicious)
    )
    holds([*_harmed(is_baseline), *_harmed(odd, CLOSED_ENDINGS)])


UNEXPECTED = b"?unexpected=1&limit=-1&format=xml&callback=f&fields=total&pretty=1&period=day&page=2"
PARAMETERS = b"&".join(b"p%d=%d" % (number, number) for number in range(100))


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(level="specified", source="RFC 9110, section 5.5: no line break in a field's value")
def test_query_does_not_add_headers(gate: Gate) -> None:
    """A line break in the query, percent-encoded, MUST NOT become one in the answer's head."""
    target = gate.path.encode() + b"?q=1%0d%0aX-Injected:%20yes%0d%0a%0d%0abody"
    exchange = gate.ask(gate.main, "and a line break in the query", target=target, new_connection=True)
    assert not exchange.header("X-Injected") and exchange.ending != "malformed", (
        f"the query is in the head\n{exchange.seen}"
    )


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(level="documented", source=ODD)
def test_unexpected_bodies_do_no_harm(gate: Gate) -> None:
    """A GET with a body MUST do no harm, and the next request MUST be answered as if there had been none."""
    json = [("Content-Type", "application/json")]
    inner = f"GET {gate.path} HTTP/1.1\r\nHost: {gate.settings.target.authority}\r\n\r\n".encode()
    bodies = [
        gate.ask(gate.main, "and a body of broken JSON", body=b'{"a":', fields=json, new_connection=True),
        gate.ask(
            gate.main,
            "and Expect: 100-continue",
            body=b"{}",
            fields=[*json, ("Expect", "100-continue")],
            new_connection=True,
        ),
        gate.ask(gate.main, "and a body that is a request itself", body=inner, fields=json),
    ]
    holds(_harmed(bodies, CLOSED_ENDINGS))  # RFC 9110, section 9.3.1: such a request may be rejected so
    holds(f"the body was answered like a request\n{exchange.seen}" for exchange in bodies if exchange.extra)
    after = gate.ask(gate.main, "right after a GET with a body")
    assert after.status == 200, f"{after.outcome}\n{after.seen}"


@pytest.mark.needs(*NEEDS_VALID_KEY, *NEEDS_AUTH_ERRORS)
@pytest.mark.rule(level="documented", source=ODD)
def test_malformed_requests_do_no_harm(gate: Gate) -> None:
    """A malformed request MUST be refused with a 4xx, or by closing the connection, and stop or open nothing."""
    path = gate.path.encode()
    chunked = [("Content-Length", "45"), ("Transfer-Encoding", "chunked")]
    malformed: dict[str, RequestOptions] = {
        "without Host": {"without": ("Host",)},
        "with a line that is no field": {"fields": [("X-Odd", b"1\r\nno field")]},
        "with a length that is no number": {"fields": [("Content-Length", "many")]},
        "with a length beside chunks": {"fields": chunked, "body": b"0\r\n\r\n"},
        "with a field name that is none": {"fields": [("b@d(name)", "x")]},
        "by HTTP/9.9": {"version": "HTTP/9.9"},
        "with bytes that are no ASCII in the path": {"target": path + b"\xff"},
        "with broken percent-encoding in the path": {"target": path + b"/%zz%00"},
        "with broken percent-encoding in the query": {"target": path + b"?%zz&a[]=1"},
    }
    for what, special in malformed.items():
        special["new_connection"] = True
        exchange = gate.ask(gate.main, what, **special)
        assert exchange.ending not in {"timeout", "deadline"}, f"no answer\n{exchange.seen}"
        assert exchange.status in {None, 200, 501, 505, *CLIENT_ERRORS}, f"{exchange.status}\n{exchange.seen}"
    after = gate.ask(gate.main, "after malformed requests", new_connection=True)
    assert after.status == 200, f"{after.outcome}\n{after.seen}"
    strangers = [gate.ask(key, "after malformed requests", new_connection=True) for key in (None, wrong_keys.UNKNOWN)]
    holds(gate.not_refused(strangers, {429, *gate.baseline.refusals(None, wrong_keys.UNKNOWN)}))


def _harmed(exchanges: Iterable[Exchange], stopped: Collection[str] = ()) -> Iterable[str]:
    """Yield what was answered otherwise, or not at all; `stopped` are the endings by which a firewall may refuse it."""
    for exchange in exchanges:
        if exchange.status not in {200, 206, 304, *CLIENT_ERRORS} and exchange.ending not in stopped:
            yield f"{exchange.outcome}\n{exchange.seen}"
