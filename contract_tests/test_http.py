"""HTTP messages: framing and content codings, as in RFC 9110 and RFC 9112."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus

import pytest

from contract_tests.reports.model import counted
from contract_tests.support.facts import NEEDS_READABLE_BODY, NEEDS_VALID_KEY
from contract_tests.support.findings import (
    Finding,
    Findings,
    field_finding,
    incomplete_finding,
    report,
    status_finding,
    unless_200,
)
from contract_tests.support.gate import Gate
from contract_tests.support.rules import advisory, documented, specified
from contract_tests.wire.decoding import is_raw_deflate
from contract_tests.wire.messages import AUTH_ERRORS, LATE_ENDINGS, SUCCESSES, Exchange, Exchanges, distinct, kept_whole
from contract_tests.wire.not_tested import or_not_applicable, or_not_tested

LENGTHS = re.compile(rb"\d+(?:, *\d+)*")  # a list of equal lengths is valid (RFC 9110, section 8.6)
CONTENT_LENGTH = re.compile(rb"(?im)^(content-length:[^\r\n]*)")
STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-5]\d\d ")
HEAD = re.compile(rb"(?s).*\n\r?\n")  # up to the last empty line
# "X-Long: a\r\n b"
FOLDED_FIELD = re.compile(rb"(?m)^[!-9;-~]+:[^\r\n]*\r?\n[ \t]+[^\s][^\r\n]*")
BARE_LF = re.compile(rb"(?<!\r)\n")
HTTP_1 = {"HTTP/1.0", "HTTP/1.1"}


@specified("RFC 9112, sections 6 to 8: message body length, incomplete messages", reads=["framing"])
def test_responses_are_complete(baseline_responses: Exchanges) -> Findings:
    """A response to a baseline request MUST be HTTP, complete, and within the time-out."""
    for exchange in baseline_responses:
        if exchange.ending != "complete":
            yield incomplete_finding(exchange)


@pytest.fixture
def errors(missing_key_responses: object, journal: Exchanges) -> Exchanges:
    """Responses with status 401, 403, 404, 405 or 429 to requests of HTTP/1 without a body."""
    statuses = {*AUTH_ERRORS, 404, 405, 429}
    answered = [each for each in journal if each.status in statuses and not each.request.body]
    return [exchange for exchange in answered if exchange.request.version in HTTP_1]


@pytest.fixture
def heads(baseline_responses: Exchanges, other_ok_responses: Exchanges, errors: Exchanges) -> Iterable[Exchange]:
    """All baseline exchanges, other ones with a 200 to a valid key, and errors, each once."""
    return distinct(*baseline_responses, *other_ok_responses, *errors)


@specified("RFC 9112, section 8: incomplete messages", repeats=["http/responses-are-complete"], reads=["framing"])
def test_other_responses_are_complete(errors: Exchanges, journal: Exchanges) -> Findings:
    """A response to any other request MUST be valid HTTP, and as long as it states.

    A shorter response is reported only if its status is 401, 403, 404, 405 or 429, or if its request is HTTP/1.0. With
    such a status it is also too short if the rest does not arrive within the time-out.
    """
    unreadable = (each for each in journal if each.ending == "malformed" and each.raw_head.startswith(b"HTTP/1."))
    for exchange in distinct(*errors, *unreadable, *(each for each in journal if each.request.version == "HTTP/1.0")):
        is_late = exchange.ending in LATE_ENDINGS and exchange in errors
        if is_late or exchange.ending in {"truncated", "malformed"}:
            yield incomplete_finding(exchange)


@specified("RFC 9112, section 6.3: the stated length is that of the body", reads=["framing"])
def test_nothing_follows_a_response(baseline_responses: Exchanges) -> Findings:
    """A response MUST NOT be followed by more bytes than its length states."""
    return _followed(baseline_responses)


@specified(
    "RFC 9112, section 6.3: the stated length is that of the body",
    repeats=["http/nothing-follows-a-response", "methods/other-heads-have-no-body"],
    reads=["framing"],
)
def test_nothing_follows_other_responses(other_ok_responses: Exchanges, errors: Exchanges) -> Findings:
    """A response to another request MUST NOT be followed by more bytes than its length states.

    Responses with status 200 to a valid key, and those with 401, 403, 404, 405 or 429, are judged.
    """
    return _followed(exchange for exchange in (*other_ok_responses, *errors) if not exchange.request.body)


@specified("RFC 9112, section 6.2: Content-Length and Transfer-Encoding", reads=["head"])
def test_length_is_stated_once(heads: Iterable[Exchange]) -> Findings:
    """A response MUST NOT state its length twice, by Content-Length or by Transfer-Encoding."""
    # In the raw head, because a parser merges two equal lengths.
    for exchange in heads:
        stated = CONTENT_LENGTH.findall(exchange.raw_head)
        stated += [b"Transfer-Encoding"] if exchange.header("Transfer-Encoding") else []
        if len(stated) > 1:
            yield Finding("the length of the body is stated twice", exchange, actual=b" and ".join(stated))


@advisory(
    "RFC 9112, section 6.3: a server sends messages with a length or chunks; of others, the end may be an interruption",
    repeats=["http/http-1-1-is-supported", "http/responses-are-complete"],
    reads=["framing"],
)
def test_lengths_are_stated(heads: Iterable[Exchange]) -> Findings:
    """A response of HTTP/1.1 with a body SHOULD have Content-Length or Transfer-Encoding."""
    for exchange in heads:
        is_framed = exchange.values("Content-Length") or exchange.values("Transfer-Encoding")
        if exchange.size and not is_framed and exchange.version == exchange.request.version[5:] == "1.1":
            yield Finding("the response states no length, and ends with the connection", exchange)


@specified("RFC 9112, sections 2.3 and 4: status-line, and its version", reads=["head"])
def test_status_line_is_well_formed(heads: Iterable[Exchange]) -> Findings:
    """A response MUST begin with HTTP/1.1 or HTTP/1.0, a space, three digits, and another space."""
    for exchange in heads:
        lines = exchange.raw_head.lstrip(b"\r\n").splitlines() if exchange.status else []
        if lines and exchange.request.version in HTTP_1 and not STATUS_LINE.match(lines[0]):
            problem = "the status line is malformed, or states another version of HTTP"
            yield Finding(problem, exchange, expected="HTTP/1.1 200 …", actual=exchange.excerpt(lines[0], 60))


@advisory("RFC 9112, section 4: the reason phrase describes the status code; some clients show it")
def test_reason_phrase_fits_the_status(journal: Exchanges) -> Findings:
    """A response SHOULD NOT have the reason phrase of another status code."""
    phrases = {status.phrase.lower(): status for status in HTTPStatus}
    for exchange in journal:
        status = phrases.get(exchange.reason.strip().lower())
        if exchange.status is not None and status not in {None, exchange.status}:
            yield Finding("the reason phrase is that of another status", exchange, actual=exchange.reason)


@advisory(
    "RFC 9112, section 3.2.2: a server MUST accept the absolute form; some frameworks do not", needs=NEEDS_VALID_KEY
)
def test_absolute_form_is_accepted(client: Gate) -> Findings:
    """A response to a target in absolute form SHOULD have status 200."""
    target = client.settings.target.origin + client.path
    yield from unless_200([client.send(client.main, "with a target in absolute form", target=target)])


@specified("RFC 9110, section 8.4: Content-Encoding", reads=["coding"])
def test_content_encoding_matches_the_body(baseline_responses: Exchanges) -> Findings:
    """A response body MUST have the coding of Content-Encoding."""
    for exchange in baseline_responses:
        if exchange.status is not None and exchange.ending == "complete" and exchange.coding_problem:
            yield Finding(f"the body {exchange.coding_problem}", exchange)


@specified("RFC 9110, section 8.4: Content-Encoding", needs=NEEDS_READABLE_BODY)
def test_negotiated_encoding_matches_the_body(client: Gate) -> Findings:
    """A response to a request with Accept-Encoding MUST have status 200, a true Content-Encoding and a JSON body."""
    codings = ["br", "deflate", "gzip", "zstd"]
    while codings:
        accepted = ", ".join([*codings, "identity;q=0.5", "*;q=0"])
        exchange = client.send(client.main, f"and Accept-Encoding: {accepted}", fields=[("Accept-Encoding", accepted)])
        if (yield from report(unless_200([exchange]))):
            return
        if problem := exchange.coding_problem or ("" if exchange.is_zstd else exchange.json.problem):
            yield Finding(f"the body {problem}", exchange)
            return
        chosen = exchange.header("Content-Encoding").strip().lower()
        if chosen not in codings:  # the deployment has no coding that is left
            return
        codings.remove(chosen)


@advisory(
    "RFC 9110, section 12.5.3: a coding with the weight 0, or that the request does not list, is not acceptable",
    reads=["coding"],
)
def test_refused_coding_is_not_used(ok_responses: Exchanges, journal: Exchanges) -> Findings:
    """A response SHOULD NOT have a content coding that `Accept-Encoding` gives the weight 0, or does not list.

    A deployment may have only one coding for its body. Such a coding is accepted if all responses have it.
    """
    usual = set.intersection(*(set(exchange.codings) for exchange in ok_responses))
    for exchange in journal:
        refused = exchange.request.refused_codings | _unlisted(exchange)
        if used := refused.intersection(exchange.codings) - usual:
            coding = ", ".join(sorted(used))
            yield Finding("the body has a content coding that the request refuses", exchange, actual=coding)


def _unlisted(exchange: Exchange) -> set[str]:
    """Return the content codings of a response that are not in Accept-Encoding, where that lists codings."""
    accepted = b",".join(exchange.request.values("Accept-Encoding")).decode("latin-1").lower()
    if not accepted or "*" in accepted or "identity" in accepted:
        return set()
    return {coding for coding in exchange.codings if coding not in accepted}


@advisory(
    "RFC 9110, section 12.5.3: a server that has no acceptable coding sends the body without a coding",
    repeats=["http/content-encoding-matches-the-body"],
    reads=["coding"],
)
def test_coding_is_used_only_where_it_is_accepted(baseline_responses: Exchanges) -> Findings:
    """A response to a request with `Accept-Encoding: identity` SHOULD NOT have a content coding."""
    for exchange in baseline_responses:
        if exchange.request.values("Accept-Encoding") == [b"identity"] and exchange.codings:
            coding = ", ".join(exchange.codings)
            yield Finding("the body has a content coding that the request does not accept", exchange, actual=coding)


@advisory("RFC 9110, section 8.4: Content-Encoding does not name identity", reads=["coding"])
def test_identity_is_not_a_content_coding(baseline_responses: Exchanges) -> Findings:
    """`Content-Encoding` SHOULD NOT be `identity`."""
    for exchange in baseline_responses:
        if "identity" in exchange.header("Content-Encoding").lower():
            yield field_finding(exchange, "Content-Encoding", "Content-Encoding names identity")


@advisory(
    "RFC 9112, section 3: a request with an invalid request-line gets 400; servers that read it differently disagree",
    needs=NEEDS_VALID_KEY,
)
def test_request_line_with_four_words_is_refused(client: Gate) -> Findings:
    """A request whose target contains a space SHOULD be refused by a response."""
    exchange = client.send(client.main, "and a space in the target", target=f"{client.path} x", new_connection=True)
    if exchange.status in {None, 200}:
        yield status_finding(exchange, "400")


@advisory("RFC 9112, section 3.2: a server MUST respond with 400 to such a request; some frameworks do not")
def test_host_is_required_once(journal: Exchanges) -> Findings:
    """A response to an HTTP/1.1 request without a Host header, or with two, SHOULD have status 400.

    Only a 2xx status is reported.
    """
    http_1_1 = (exchange for exchange in journal if exchange.request.version == "HTTP/1.1")
    without_one = (exchange for exchange in http_1_1 if len(exchange.request.values("Host")) != 1)
    for exchange in or_not_tested(without_one, "every HTTP/1.1 request has one Host header"):
        if exchange.status in SUCCESSES:
            yield status_finding(exchange, "400")


@advisory(
    "RFC 9112, section 6.3: a server MUST respond with 400 to a request with two different lengths",
    needs=NEEDS_VALID_KEY,
)
def test_contradictory_lengths_are_refused(client: Gate) -> Findings:
    """A request with two different Content-Length fields SHOULD be refused: an intermediary may use the other one."""
    fields = [("Content-Length", "0"), ("Content-Length", "1")]
    exchange = client.send(client.main, "and two different lengths", fields=fields, new_connection=True)
    if exchange.status in SUCCESSES or exchange.ending in LATE_ENDINGS:
        yield status_finding(exchange, "400")


@advisory("RFC 9112, section 6.3: a server MUST respond with 400 to an invalid length; some frameworks do not")
def test_invalid_length_is_refused(journal: Exchanges) -> Findings:
    """A request with a Content-Length that is not a number SHOULD NOT get a 2xx status."""
    lengths = ((each, length) for each in journal for length in each.request.values("Content-Length"))
    invalid = (exchange for exchange, length in lengths if not LENGTHS.fullmatch(length))
    for exchange in or_not_tested(invalid, "every Content-Length of a request is a number"):
        if exchange.status in SUCCESSES:
            yield status_finding(exchange, "400")


@specified("RFC 9110, sections 9.3.2, 15.3.5 and 15.4.5: HEAD, 204 and 304", reads=["framing"])
def test_204_and_304_have_no_body(journal: Exchanges) -> Findings:
    """A response with status 204 or 304 MUST NOT have a body."""
    bodiless = (each for each in journal if each.status in {204, 304} and each.request.method != "HEAD")
    return _followed(or_not_applicable(bodiless, "no response has status 204 or 304"))


@documented("RFC 9112, section 2.1: every line of a head ends with CRLF", reads=["head"])
def test_lines_end_with_crlf(heads: Iterable[Exchange]) -> Findings:
    """A response MUST end each line of its head with CRLF: many clients take a bare LF for the end of the message."""
    for exchange in heads:
        head = HEAD.match(exchange.raw_head)
        if head and BARE_LF.search(head[0]):
            yield Finding("the head contains a bare LF", exchange, actual=head[0])


@specified("RFC 9112, section 5.2: a sender does not generate line folding", reads=["head"])
def test_header_fields_are_not_folded(journal: Exchanges) -> Findings:
    """A response MUST NOT continue a header field on a second line that begins with a space or a tab."""
    for exchange in journal:
        if exchange.status and (folded := FOLDED_FIELD.search(exchange.raw_head)):
            yield Finding("a header field is folded", exchange, actual=folded[0])


@advisory(
    "RFC 9110, section 8.4.1.2: the deflate coding has the zlib format",
    repeats=["http/content-encoding-matches-the-body", "http/negotiated-encoding-matches-the-body"],
    reads=["coding"],
)
def test_deflate_has_the_zlib_format(journal: Exchanges) -> Findings:
    """A response body with the `deflate` coding SHOULD have the zlib format: not every client reads a raw one."""
    deflated = (each for each in kept_whole(journal) if each.codings == ("deflate",) and each.raw_body)
    for exchange in or_not_applicable(deflated, "no response has the content coding deflate"):
        if is_raw_deflate(exchange.raw_body):
            yield Finding("the body is raw deflate", exchange, expected="the zlib format")


def _followed(exchanges: Iterable[Exchange]) -> Findings:
    for exchange in exchanges:
        if exchange.extra:
            yield Finding(f"the response is followed by {counted(exchange.extra_size, 'byte')}", exchange)
