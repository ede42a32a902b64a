"""Cross-origin resource sharing: which web pages may read the responses."""

from __future__ import annotations

import re

import pytest

from contract_tests.support.findings import Finding, Findings, field_finding
from contract_tests.support.gate import OTHER_ORIGIN, Gate
from contract_tests.support.rules import advisory
from contract_tests.wire.internals import is_loopback
from contract_tests.wire.messages import AUTH_ERRORS, SUCCESSES, Exchange, Exchanges, with_field
from contract_tests.wire.not_tested import NotApplicable, or_not_applicable, or_not_tested

ALLOW_ORIGIN, ALLOW_HEADERS = "Access-Control-Allow-Origin", "Access-Control-Allow-Headers"
EXPOSE_HEADERS = "Access-Control-Expose-Headers"
OF_LIMITS = ("Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining")  # those of the errors guide
ORIGIN = re.compile(rb"null|\w{1,9}://[\w.:-]{1,300}")
# https://shop.example:8443 or http://[::1]
SERIALIZED_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")
# An application on a phone has such an origin without a port.
DEVELOPMENT = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\]):\d{1,5}")


@pytest.fixture
def allowing(all_ok_responses: Exchanges) -> dict[bytes, Exchange]:
    """A 200 response to a request from each origin; NotApplicable unless all of them allow their origin."""
    of_pages = [each for each in all_ok_responses if ORIGIN.fullmatch(_origin(each))]
    if not of_pages or not all(map(_allows_its_origin, of_pages)):
        raise NotApplicable("not every 200 response allows the origin of its request")
    return {_origin(exchange): exchange for exchange in reversed(of_pages)}


@advisory(
    "Fetch standard, CORS check: a page cannot read why its request was refused", repeats=["auth/valid-key-is-200"]
)
def test_errors_allow_the_same_origins(gate: Gate, allowing: dict[bytes, Exchange], journal: Exchanges) -> Findings:
    """A response with status 401 or 403 SHOULD allow an origin that 200 responses allow, if each of them does so.

    If each of them has `*`, also to requests without an origin, one with status 405 or 429 has it as well.
    """
    usual = [each for each in journal if gate.is_ok(each)]
    if all(exchange.header("Access-Control-Allow-Origin") == "*" for exchange in usual):
        for exchange in journal:
            is_judged = exchange.status not in AUTH_ERRORS and gate.is_usual_error(exchange)
            if is_judged and exchange.header("Access-Control-Allow-Origin") != "*":
                yield Finding("the error does not allow every origin", exchange, related=(usual[0],), expected="*")
    refused = [each for each in journal if each.status in AUTH_ERRORS and gate.is_unsuspicious(each.request)]
    of_pages = (exchange for exchange in refused if _origin(exchange) in allowing)
    for exchange in or_not_tested(of_pages, "no refused request has an origin that a 200 response allows"):
        if not _allows_its_origin(exchange):
            problem = "the error does not allow the origin that 200 responses allow"
            related = (allowing[_origin(exchange)],)
            yield Finding(problem, exchange, related=related, expected=ALLOW_ORIGIN)


@advisory(
    "Fetch standard, CORS-exposed header-name list: a page cannot read other fields of a response; "
    "errors guide: these fields state when to send the next request"
)
def test_limits_are_readable_by_pages(journal: Exchanges) -> Findings:
    """A response that allows an origin SHOULD name its fields about the limit in `Access-Control-Expose-Headers`.

    These fields are Retry-After, X-RateLimit-Limit and X-RateLimit-Remaining. `*` names them all, unless the response
    allows credentials.
    """
    allowing = [each for each in journal if each.header(ALLOW_ORIGIN)]
    stating = [(each, [name for name in OF_LIMITS if each.values(name)]) for each in allowing]
    readable = ((each, names) for each, names in stating if names and each.request.method != "OPTIONS")
    for exchange, names in or_not_applicable(readable, "no response that allows an origin has fields about the limit"):
        exposed = {name.lower() for name in exchange.items(EXPOSE_HEADERS)}
        names_all = "*" in exposed and exchange.header("Access-Control-Allow-Credentials") != "true"
        if missing := [name for name in names if name.lower() not in exposed and not names_all]:
            yield field_finding(exchange, EXPOSE_HEADERS, "a page cannot read the limit", ", ".join(missing))
            return


@advisory("Fetch standard, CORS preflight: it has no credentials, and needs a 2xx status that allows the header fields")
def test_preflight_succeeds(gate: Gate, allowing: dict[bytes, Exchange], journal: Exchanges) -> Findings:
    """If each 200 response allows the origin of its request, a CORS preflight SHOULD succeed and allow the key header.

    A preflight has no key. It may be throttled.
    """
    without_key = (each for each in _preflights(journal) if each.status != 429 and not each.request.credential)
    for exchange in or_not_tested(without_key, "no preflight is among the exchanges"):
        if exchange.status not in SUCCESSES or not _allows_its_origin(exchange):
            expected, related = "2xx with Access-Control-Allow-Origin", tuple(allowing.values())[:1]
            problem = "the preflight of a request that is allowed fails"
            yield Finding(problem, exchange, related=related, expected=expected, actual=exchange.outcome)
        elif not {gate.key_header.lower(), "*"} & {name.lower() for name in exchange.items(ALLOW_HEADERS)}:
            problem = f"the preflight does not allow the header {gate.key_header}"
            yield field_finding(exchange, ALLOW_HEADERS, problem, gate.key_header)


@advisory(
    "Fetch standard, CORS check: a preflight allows a page to send the request, not to read the response",
    repeats=["auth/valid-key-is-200"],
)
def test_allowed_request_has_a_readable_response(all_ok_responses: Exchanges, journal: Exchanges) -> Findings:
    """A 200 response SHOULD have Access-Control-Allow-Origin if a CORS preflight allows the origin of its request."""
    successful = (each for each in _preflights(journal) if each.status in SUCCESSES)
    allowing = {_origin(each): each for each in successful if _allows_its_origin(each)}
    of_pages = (exchange for exchange in all_ok_responses if _origin(exchange) in allowing)
    for exchange in or_not_applicable(of_pages, "no 200 response is to an origin that a preflight allows"):
        if not exchange.values(ALLOW_ORIGIN):
            problem, related = "the response allows no origin, and the preflight does", (allowing[_origin(exchange)],)
            yield Finding(problem, exchange, related=related, expected=ALLOW_ORIGIN)


def _preflights(journal: Exchanges) -> Exchanges:
    options = (each for each in journal if each.request.method == "OPTIONS")
    return [exchange for exchange in options if exchange.request.values("Access-Control-Request-Method")]


def _origin(exchange: Exchange) -> bytes:
    return b", ".join(exchange.request.values("Origin"))


def _allows_its_origin(exchange: Exchange) -> bool:
    return exchange.header(ALLOW_ORIGIN).encode("latin-1") in {b"*", _origin(exchange)}


@advisory("Fetch standard, CORS protocol and credentials; the key is sent by the application, not by the browser")
def test_credentials_are_not_allowed_for_any_origin(gate: Gate, journal: Exchanges) -> Findings:
    """A response SHOULD NOT allow pages of any origin to send credentials."""
    of_pages = (each for each in journal if each.request.values("Origin"))
    for exchange in or_not_tested(of_pages, "no request has an Origin"):
        origins = {value.decode("latin-1") for value in exchange.request.values("Origin")}
        foreign = {OTHER_ORIGIN, gate.settings.target.similar_origin, "null"} & origins
        allowed = exchange.header(ALLOW_ORIGIN)
        with_credentials = exchange.header("Access-Control-Allow-Credentials") == "true"
        if with_credentials and allowed in {"*", *foreign}:
            yield field_finding(exchange, ALLOW_ORIGIN, "pages of any origin may send credentials")


@advisory(
    "Fetch standard, CORS check: a browser accepts its origin or *, and any sandboxed page has null; "
    "RFC 6454, section 6.2: serialization of an origin"
)
def test_allowed_origin_is_one_origin(gate: Gate, journal: Exchanges) -> Findings:
    """`Access-Control-Allow-Origin` SHOULD be `*` or one origin, and not `null` or a list.

    An origin has a scheme, no wildcard and no path. It is not a server for development, unless the deployment has a
    loopback address. `null` and such a server are accepted in a response to a request with that origin; `null` only
    where other pages are allowed as well.
    """
    is_local = is_loopback(gate.settings.target.host)
    allows_others = any(each.header(ALLOW_ORIGIN) in {"*", OTHER_ORIGIN} for each in journal)
    usual = (each for each in journal if all(map(ORIGIN.fullmatch, each.request.values("Origin"))))
    for exchange in with_field(usual, ALLOW_ORIGIN):
        allowed = exchange.header(ALLOW_ORIGIN)
        is_of_request = allowed.encode("latin-1") in exchange.request.values("Origin")
        if allowed == "*" or (is_of_request and (allowed != "null" or allows_others)):
            continue
        if not SERIALIZED_ORIGIN.fullmatch(allowed):
            yield field_finding(exchange, ALLOW_ORIGIN, f"{ALLOW_ORIGIN} is not one origin")
        elif DEVELOPMENT.fullmatch(allowed) and not is_local:
            yield field_finding(exchange, ALLOW_ORIGIN, f"{ALLOW_ORIGIN} is a server for development")
