"""HTTP itself: whole answers, true labels, methods and connections as RFC 9110 and 9112 have them."""

from __future__ import annotations

import re

import pytest

from contract_tests.run import wrong_keys
from contract_tests.run.facts import NEEDS_AUTH_ERRORS, NEEDS_READABLE_BODY, NEEDS_VALID_KEY
from contract_tests.run.gate import Gate
from contract_tests.run.rules import DOCUMENT, holds
from contract_tests.wire.http_lint import complaints
from contract_tests.wire.messages import CLOSED_ENDINGS, Exchange
from contract_tests.wire.not_tested import NotTested

MOMENTS = 2.0  # seconds after which another Date is due


@pytest.mark.rule(level="specified", source="RFC 9112, sections 6 to 8: message body length, incomplete messages")
def test_responses_are_complete(shared: tuple[Exchange, ...]) -> None:
    """Every plain request MUST be answered, in HTTP, to the end, and within the time-out."""
    holds(
        f"{exchange.ending}: {exchange.problem}\n{exchange.seen}"
        for exchange in shared
        if exchange.ending != "complete"
    )


@pytest.mark.rule(level="specified", source="RFC 9112, section 6.3: the length that is announced is the body's")
def test_nothing_follows_a_response(shared: tuple[Exchange, ...]) -> None:
    """An answer MUST NOT be followed by more bytes than it announces."""
    holds(f"{exchange.extra_size} bytes follow the answer\n{exchange.seen}" for exchange in shared if exchange.extra)


@pytest.mark.needs("http/nothing-follows-a-response")
@pytest.mark.rule(level="specified", source="RFC 9112, section 6.3: the length that is announced is the body's")
def test_nothing_follows_an_error(missing: object, journal: tuple[Exchange, ...]) -> None:
    """A refusal, such as a 404 or a 405, MUST NOT be followed by more bytes than it announces either."""
    holds(
        f"{exchange.extra_size} bytes follow the answer\n{exchange.seen}"
        for exchange in journal
        if exchange.extra and exchange.status in {401, 403, 404, 405} and not exchange.request.body
    )


@pytest.mark.rule(level="specified", source="RFC 9112, section 6.2: Content-Length beside Transfer-Encoding")
def test_length_is_stated_once(shared: tuple[Exchange, ...]) -> None:
    """An answer MUST NOT announce its length twice, be it by Content-Length or by Transfer-Encoding."""
    for exchange in shared:  # as it came: of two equal lengths a parser makes one
        lengths = LENGTH.findall(exchange.raw_head.split(b"\r\n\r\n")[0])
        chunked = ["Transfer-Encoding"] if exchange.header("Transfer-Encoding") else []
        announced = [*(length.decode("latin-1") for length in lengths), *chunked]
        assert len(lengths) < 2 and not (lengths and chunked), f"{' and '.join(announced)}\n{exchange.seen}"


@pytest.mark.rule(level="specified", source="RFC 9112, section 4: status-line")
def test_status_line_is_well_formed(shared: tuple[Exchange, ...]) -> None:
    """An answer MUST begin with its version, a space, three digits, and another space."""
    holds(
        f"it begins with '{exchange.excerpt(line[0], 60)}'\n{exchange.seen}"
        for exchange in shared
        if exchange.status
        and (line := exchange.raw_head.lstrip(b"\r\n").splitlines())
        and not STATUS_LINE.match(line[0])
    )


LENGTH = re.compile(rb"(?im)^(content-length:[^\r\n]*)")
STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-5]\d\d ")
BARE_LF = re.compile(rb"(?<!\r)\n")


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(level="specified", source="RFC 9112, section 6.1: Transfer-Encoding is HTTP/1.1's")
def test_http_1_0_response_is_not_chunked(gate: Gate) -> None:
    """A request by HTTP/1.0 MUST NOT be answered in chunks."""
    exchange = gate.ask(gate.main, "by HTTP/1.0", version="HTTP/1.0", new_connection=True)
    assert not exchange.header("Transfer-Encoding"), (
        f"Transfer-Encoding: {exchange.header('Transfer-Encoding')}\n{exchange.seen}"
    )


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(
    level="specified",
    source="RFC 9112, sections 9.3 and 9.6: the server closes after the last answer, in HTTP/1.0 after any",
)
def test_connection_closes_on_request(gate: Gate) -> None:
    """After the answer to a request by HTTP/1.0, or with `Connection: close`, the connection MUST be closed."""
    requests = [
        gate.request(gate.main, "that says so", fields=[("Connection", "close")]),
        gate.request(gate.main, "by HTTP/1.0, without keep-alive", version="HTTP/1.0"),
    ]
    for request in requests:
        exchange, closed = gate.transport.last(request)
        assert exchange.status in {200, 429} or request.version == "HTTP/1.0", f"{exchange.outcome}\n{exchange.seen}"
        assert closed or exchange.status != 200, (
            f"it is still open after {gate.transport.timeouts.closing:g} s\n{exchange.seen}"
        )


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(
    level="advisory", source="RFC 9112, section 3.2.2: a server MUST accept the absolute form; some frameworks do not"
)
def test_absolute_form_is_accepted(gate: Gate) -> None:
    """A target in absolute form SHOULD be answered like the same target in origin form."""
    exchange = gate.ask(gate.main, "with a target in absolute form", target=gate.settings.target.origin + gate.path)
    assert exchange.status == 200, exchange.seen


@pytest.mark.rule(level="specified", source="RFC 9110, section 8.4: Content-Encoding")
def test_content_encoding_matches_the_body(shared: tuple[Exchange, ...]) -> None:
    """A body MUST be coded as Content-Encoding says."""
    whole = [exchange for exchange in shared if exchange.status is not None and exchange.ending == "complete"]
    holds(f"the body {exchange.coding_problem}\n{exchange.seen}" for exchange in whole if exchange.coding_problem)


@pytest.mark.needs(*NEEDS_READABLE_BODY)
@pytest.mark.rule(level="specified", source="RFC 9110, section 8.4: Content-Encoding")
def test_negotiated_encoding_matches_the_body(gate: Gate) -> None:
    """Where a coding is accepted, the body MUST be coded as Content-Encoding says, and be the same JSON inside."""
    for codings in ("gzip, identity;q=0.5, *;q=0", "deflate", "br"):
        exchange = gate.ask(gate.main, f"and {codings} accepted", fields=[("Accept-Encoding", codings)])
        assert exchange.status == 200, f"{exchange.outcome}\n{exchange.seen}"
        problem = exchange.coding_problem or exchange.json.problem
        assert not problem, f"the body {problem}\n{exchange.seen}"


@pytest.fixture(scope="session")
def head(gate: Gate) -> Exchange:
    """The answer to HEAD with the main key."""
    return gate.ask(gate.main, "by HEAD", method="HEAD", new_connection=True)


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(level="specified", source="RFC 9110, section 9.3.2: HEAD")
def test_head_has_no_body(head: Exchange) -> None:
    """An answer to HEAD MUST NOT have a body."""
    assert head.ending != "malformed", f"{head.problem}\n{head.seen}"
    assert not head.extra, f"{head.extra_size} bytes follow the head\n{head.seen}"


@pytest.mark.rule(level="specified", source="RFC 9110, sections 9.3.2, 15.3.5 and 15.4.5: HEAD, 204 and 304")
def test_204_and_304_have_no_body(journal: tuple[Exchange, ...]) -> None:
    """A 204 or 304 MUST NOT have a body."""
    holds(
        f"{exchange.extra_size} bytes follow the head\n{exchange.seen}"
        for exchange in journal
        if exchange.status in {204, 304} and exchange.request.method != "HEAD" and exchange.extra
    )


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(level="advisory", source="RFC 9110, section 8.6: Content-Length in an answer to HEAD is that of GET")
def test_head_states_the_length_of_get(head: Exchange, sample: list[Exchange]) -> None:
    """A length that is announced to HEAD SHOULD be the one that GET has, as far as figures let it stand still."""
    lengths = [exchange.size for exchange in sample if exchange.status == 200]
    stated = head.header("Content-Length") or ""
    if head.status == 200 and not head.header("Content-Encoding") and stated.isdecimal():
        assert min(lengths) - 100 <= int(stated) <= max(lengths) + 100, (
            f"Content-Length is {stated}; GET has {min(lengths)} to {max(lengths)} bytes\n{head.seen}"
        )


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(
    level="advisory", source="RFC 9110, section 9.1: GET and HEAD are supported by all general-purpose servers"
)
def test_head_matches_get(head: Exchange) -> None:
    """HEAD SHOULD be answered as GET is; servers of this shape commonly answer 405."""
    assert head.status == 200, head.seen


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(
    level="documented",
    source="errors guide: no 5xx is documented; by common practice HEAD and OPTIONS are answered 2xx or 405",
)
def test_head_and_options_do_not_fail(gate: Gate, head: Exchange) -> None:
    """HEAD and OPTIONS MUST NOT be answered with a 5xx, nor left without an answer."""
    options = gate.ask(gate.main, "by OPTIONS", method="OPTIONS", new_connection=True)
    holds(
        f"{exchange.outcome}\n{exchange.seen}"
        for exchange in (head, options)
        if exchange.status is None or exchange.status >= 500
    )


@pytest.mark.rule(level="documented", source="RFC 9110, section 15.5.6: 405")
def test_405_names_the_allowed_methods(gate: Gate, journal: tuple[Exchange, ...]) -> None:
    """A 405 MUST name the allowed methods in Allow, the documented one among them."""
    refused = [
        a
        for a in journal
        if a.status == 405 and a.request.target == gate.path.encode() and a.request.method in STANDARD_METHODS
    ]
    if not refused:
        raise NotTested("no method was refused with 405")
    for exchange in refused:
        allowed = {method.strip().upper() for method in (exchange.header("Allow") or "").split(",")}
        assert gate.operation.method in allowed, f"Allow is {exchange.header('Allow')!r}\n{exchange.seen}"


STANDARD_METHODS = {"HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.intrusive
@pytest.mark.rule(level="documented", source=f"{DOCUMENT}: GET is the only operation of this path")
def test_undocumented_method_is_refused(gate: Gate) -> None:
    """A writing method MUST NOT succeed, also with a valid key."""
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        exchange = gate.ask(gate.main, f"by {method}", method=method, new_connection=True)
        assert not 200 <= (exchange.status or 0) < 300, f"{exchange.status} to {method}\n{exchange.seen}"
    after = gate.ask(gate.main, "after writing methods")
    assert after.status == 200, f"{after.status} after writing methods were sent\n{after.seen}"


@pytest.mark.needs(*NEEDS_VALID_KEY, *NEEDS_AUTH_ERRORS, "bypass/connection-does-not-authenticate")
@pytest.mark.rule(
    level="specified",
    source="RFC 9112, sections 2.2 and 9.3.2: a message is a sequence of octets; answers come in the requests' order",
)
def test_split_and_pipelined_requests_are_separate(gate: Gate) -> None:
    """A request in two pieces MUST be answered as in one, and several in one piece each, in their order.

    After any of them the connection may be closed instead.
    """
    halved = gate.transport.pipelined([gate.request(gate.main, "in two pieces")], ahead=24)
    pipelined = gate.transport.pipelined(
        [gate.request(key, "in one piece with others") for key in (gate.main, None, wrong_keys.UNKNOWN)]
    )
    for exchange in (*halved, pipelined[0], *(each for each in pipelined[1:] if each.ending not in CLOSED_ENDINGS)):
        credential = exchange.request.credential
        expected = {200} if credential == gate.main else gate.baseline.refusals(credential)
        assert exchange.status in {429, *expected}, f"{exchange.outcome}\n{exchange.seen}"


@pytest.mark.rule(level="documented", source="RFC 9112, section 2.1: every line of a head ends with CRLF")
def test_lines_end_with_crlf(shared: tuple[Exchange, ...]) -> None:
    """The lines of an answer's head MUST end with CRLF; many a client takes a bare LF for the end of the message."""
    heads = ((exchange, re.match(rb"(?s).*?\n\r?\n", exchange.raw_head)) for exchange in shared)
    holds(
        f"a bare LF in '{exchange.excerpt(head[0])}'\n{exchange.seen}"
        for exchange, head in heads
        if head and BARE_LF.search(head[0])
    )


@pytest.mark.rule(level="specified", source="RFC 9110, section 6.6.1: Date is when the message was made")
def test_date_advances(gate: Gate, first: Exchange, journal: tuple[Exchange, ...]) -> None:
    """`Date` MUST NOT stand still."""
    gate.transport.rest(max(0.0, first.started + MOMENTS - gate.transport.clock.now()))
    last = gate.ask(gate.main, "two seconds or more after the first one")
    dated = [exchange for exchange in (*journal, last) if gate.is_ok(exchange) and exchange.header("Date")]
    seconds = max(a.started for a in dated) - min(a.started for a in dated) if dated else 0.0
    if seconds < MOMENTS:
        raise NotTested("no two responses that are two seconds apart have a Date")
    dates = {exchange.header("Date") for exchange in dated}
    assert len(dates) > 1, f"Date is {dated[0].header('Date')} for {seconds:.0f} s\n{dated[0].seen}"


@pytest.mark.needs(
    "auth/valid-key-is-200",
    "http/responses-are-complete",
    "http/content-encoding-matches-the-body",
    "http/length-is-stated-once",
    "http/nothing-follows-a-response",
    "schema/body-is-json",
    "schema/media-type-is-documented",
)
@pytest.mark.rule(level="advisory", source="RFC 9110, 9111 and 9112, as httplint reads them")
def test_headers_are_well_formed(shared: tuple[Exchange, ...]) -> None:
    """The fields of an answer SHOULD be well-formed and SHOULD not contradict each other."""
    heads = {
        (exchange.status, *(name for name, _ in exchange.fields)): exchange for exchange in shared if exchange.status
    }
    holds(f"{complaint}\n{exchange.seen}" for exchange in heads.values() for complaint in complaints(exchange))
