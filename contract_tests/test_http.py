"""HTTP itself: whole answers, true labels, methods and conditions as RFC 9110 has them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from email.utils import formatdate, parsedate_to_datetime

import pytest

from contract_tests import keys
from contract_tests.gate import BROWSER, OPERATION, Gate, Special
from contract_tests.lint import complaints
from contract_tests.message import Answer
from contract_tests.rules import DOCUMENT, READABLE, REFUSING, SOUND, holds
from contract_tests.transport import NotTested
from contract_tests.validation import problems

CUT = {"truncated", "reset", "deadline", "timeout", "too large"}


@pytest.mark.rule(level="specified", source="RFC 9112, sections 6 to 8: message body length, incomplete messages")
def test_answers_arrive_whole(shared: tuple[Answer, ...]) -> None:
    """Every plain request MUST be answered, in HTTP, to the end, and within the time-out."""
    holds(f"{answer.ending}: {answer.problem}\n{answer.seen}" for answer in shared if answer.ending != "complete")


@pytest.mark.rule(level="specified", source="RFC 9112, section 6.3: the length that is announced is the body's")
def test_nothing_follows_an_answer(shared: tuple[Answer, ...]) -> None:
    """An answer MUST NOT be followed by more bytes than it announces."""
    holds(f"{len(answer.extra)} bytes follow the answer\n{answer.seen}" for answer in shared if answer.extra)


@pytest.mark.needs("http/nothing-follows-an-answer")
@pytest.mark.rule(level="specified", source="RFC 9112, section 6.3: the length that is announced is the body's")
def test_nothing_follows_a_refusal(journal: tuple[Answer, ...]) -> None:
    """A refusal, such as a 404 or a 405, MUST NOT be followed by more bytes than it announces either."""
    holds(
        f"{len(answer.extra)} bytes follow the answer\n{answer.seen}"
        for answer in journal
        if answer.extra and answer.status in {401, 403, 404, 405} and not answer.request.body
    )


@pytest.mark.rule(level="specified", source="RFC 9112, section 6.2: Content-Length beside Transfer-Encoding")
def test_length_is_announced_in_one_way(shared: tuple[Answer, ...]) -> None:
    """An answer MUST NOT announce its length twice, be it by Content-Length or by Transfer-Encoding."""
    for answer in shared:  # as it came: of two equal lengths a parser makes one
        lengths = LENGTH.findall(answer.start.split(b"\r\n\r\n")[0])
        chunked = ["Transfer-Encoding"] if answer.header("Transfer-Encoding") else []
        announced = [*(length.decode("latin-1") for length in lengths), *chunked]
        assert len(lengths) < 2 and not (lengths and chunked), f"{' and '.join(announced)}\n{answer.seen}"


@pytest.mark.rule(level="specified", source="RFC 9112, section 4: status-line")
def test_status_line_is_well_formed(shared: tuple[Answer, ...]) -> None:
    """An answer MUST begin with its version, a space, three digits, and another space."""
    holds(
        f"it begins with {line[0][:60]!r}\n{answer.seen}"
        for answer in shared
        if answer.status and (line := answer.start.lstrip(b"\r\n").splitlines()) and not STATUS_LINE.match(line[0])
    )


LENGTH = re.compile(rb"(?im)^(content-length:[^\r\n]*)")
STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-5]\d\d ")


@pytest.mark.needs(*SOUND)
@pytest.mark.rule(level="specified", source="RFC 9112, section 6.1: Transfer-Encoding is HTTP/1.1's")
def test_http_1_0_is_answered_without_chunks(gate: Gate) -> None:
    """A request by HTTP/1.0 MUST NOT be answered in chunks."""
    answer = gate.ask(gate.main, "by HTTP/1.0", version="HTTP/1.0", fresh=True)
    assert not answer.header("Transfer-Encoding"), (
        f"Transfer-Encoding: {answer.header('Transfer-Encoding')}\n{answer.seen}"
    )


@pytest.mark.needs(*SOUND, *REFUSING)
@pytest.mark.rule(level="documented", source="authentication guide: every endpoint but two needs a key")
def test_http_1_0_needs_a_key(gate: Gate) -> None:
    """A request by HTTP/1.0 MUST NOT be let in without a key."""
    refused = gate.ask(None, "by HTTP/1.0", version="HTTP/1.0", fresh=True)
    assert not (refused.status == 200 or gate.shows_figures(refused)), f"{refused.status} without a key\n{refused.seen}"


@pytest.mark.needs(*SOUND)
@pytest.mark.rule(
    level="specified",
    source="RFC 9112, sections 9.3 and 9.6: the server closes after the last answer, in HTTP/1.0 after any",
)
def test_connection_is_closed_when_asked(gate: Gate) -> None:
    """After the answer to a request by HTTP/1.0, or with `Connection: close`, the connection MUST be closed."""
    requests = [
        gate.request(gate.main, "that says so", fields=[("Connection", "close")]),
        gate.request(gate.main, "by HTTP/1.0, without keep-alive", version="HTTP/1.0"),
    ]
    for request in requests:
        answer, closed = gate.transport.last(request)
        assert answer.status in {200, 429} or request.version == "HTTP/1.0", (
            f"{answer.status or answer.ending}\n{answer.seen}"
        )
        assert closed or answer.status != 200, (
            f"it is still open after {gate.transport.timeouts.closing:g} s\n{answer.seen}"
        )


@pytest.mark.needs(*SOUND)
@pytest.mark.rule(
    level="advisory", source="RFC 9112, section 3.2.2: a server MUST accept the absolute form; some frameworks do not"
)
def test_absolute_form_is_accepted(gate: Gate) -> None:
    """A target in absolute form SHOULD be answered like the same target in origin form."""
    answer = gate.ask(gate.main, "with a target in absolute form", target=gate.settings.target.origin + gate.path)
    assert answer.status == 200, answer.seen


@pytest.mark.rule(level="specified", source="RFC 9110, section 8.4: Content-Encoding")
def test_content_coding_is_true(shared: tuple[Answer, ...]) -> None:
    """A body MUST be coded as Content-Encoding says."""
    whole = [answer for answer in shared if answer.status is not None and answer.ending == "complete"]
    holds(f"the body {answer.coding_problem}\n{answer.seen}" for answer in whole if answer.coding_problem)


@pytest.mark.needs(*READABLE)
@pytest.mark.rule(level="specified", source="RFC 9110, section 8.4: Content-Encoding")
def test_accepted_coding_is_true(gate: Gate) -> None:
    """Where a coding is accepted, the body MUST be coded as Content-Encoding says, and be the same JSON inside."""
    for codings in ("gzip, deflate", "deflate", "br"):
        answer = gate.ask(gate.main, f"and {codings} accepted", fields=[("Accept-Encoding", codings)])
        assert answer.status == 200, f"{answer.status or answer.ending}\n{answer.seen}"
        problem = answer.coding_problem or answer.json.problem
        assert not problem, f"the body {problem}\n{answer.seen}"


@pytest.fixture(scope="session")
def head(gate: Gate) -> Answer:
    """The answer to HEAD with the main key."""
    return gate.ask(gate.main, "by HEAD", method="HEAD", fresh=True)


@pytest.mark.needs(*SOUND)
@pytest.mark.rule(level="specified", source="RFC 9110, section 9.3.2: HEAD")
def test_head_has_no_body(head: Answer) -> None:
    """An answer to HEAD MUST NOT have a body."""
    assert head.ending != "malformed", f"{head.problem}\n{head.seen}"
    assert not head.extra, f"{len(head.extra)} bytes follow the head\n{head.seen}"


@pytest.mark.rule(level="specified", source="RFC 9110, sections 9.3.2, 15.3.5 and 15.4.5: HEAD, 204 and 304")
def test_bodiless_answers_have_no_body(journal: tuple[Answer, ...]) -> None:
    """A 204 or 304 MUST NOT have a body."""
    holds(
        f"{len(answer.extra)} bytes follow the head\n{answer.seen}"
        for answer in journal
        if answer.status in {204, 304} and answer.request.method != "HEAD" and answer.extra
    )


@pytest.mark.needs(*SOUND)
@pytest.mark.rule(level="advisory", source="RFC 9110, section 8.6: Content-Length in an answer to HEAD is that of GET")
def test_head_states_the_length_of_get(head: Answer, sample: list[Answer]) -> None:
    """A length that is announced to HEAD SHOULD be the one that GET has, as far as figures let it stand still."""
    lengths = [len(answer.payload) for answer in sample if answer.status == 200]
    stated = head.header("Content-Length") or ""
    if head.status == 200 and not head.header("Content-Encoding") and stated.isdecimal():
        assert min(lengths) - 100 <= int(stated) <= max(lengths) + 100, (
            f"Content-Length is {stated}; GET has {min(lengths)} to {max(lengths)} bytes\n{head.seen}"
        )


@pytest.mark.needs(*SOUND)
@pytest.mark.rule(
    level="advisory", source="RFC 9110, section 9.1: GET and HEAD are supported by all general-purpose servers"
)
def test_head_is_answered_as_get(head: Answer) -> None:
    """HEAD SHOULD be answered as GET is; servers of this shape commonly answer 405."""
    assert head.status == 200, head.seen


@pytest.mark.needs(*SOUND)
@pytest.mark.rule(level="documented", source="common practice and RFC 9110: HEAD and OPTIONS are 2xx or 405, never 5xx")
def test_head_and_options_are_no_server_error(gate: Gate, head: Answer) -> None:
    """HEAD and OPTIONS MUST NOT be answered with a 5xx, nor left without an answer."""
    options = gate.ask(gate.main, "by OPTIONS", method="OPTIONS", fresh=True)
    holds(
        f"{answer.status or answer.ending}\n{answer.seen}"
        for answer in (head, options)
        if answer.status is None or answer.status >= 500
    )


@pytest.mark.rule(level="documented", source="RFC 9110, section 15.5.6: 405")
def test_405_names_the_allowed_methods(gate: Gate, journal: tuple[Answer, ...]) -> None:
    """A 405 MUST name the allowed methods in Allow, the documented one among them."""
    refused = [
        a
        for a in journal
        if a.status == 405 and a.request.target == gate.path.encode() and a.request.method in STANDARD_METHODS
    ]
    if not refused:
        raise NotTested("no method was refused with 405")
    for answer in refused:
        allowed = {method.strip().upper() for method in (answer.header("Allow") or "").split(",")}
        assert gate.operation.method in allowed, f"Allow is {answer.header('Allow')!r}\n{answer.seen}"


STANDARD_METHODS = {"HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}


@pytest.mark.needs(*SOUND)
@pytest.mark.intrusive
@pytest.mark.rule(level="documented", source=f"{DOCUMENT}: GET is the only operation of this path")
def test_undocumented_method_is_refused(gate: Gate) -> None:
    """A writing method MUST NOT succeed, also with a valid key."""
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = gate.ask(gate.main, f"by {method}", method=method, fresh=True)
        assert not 200 <= (answer.status or 0) < 300, f"{answer.status} to {method}\n{answer.seen}"
    after = gate.ask(gate.main, "after writing methods")
    assert after.status == 200, f"{after.status} after writing methods were sent\n{after.seen}"


@pytest.mark.needs(*SOUND)
@pytest.mark.rule(level="specified", source="RFC 9110, sections 13.1.2, 13.1.3 and 15.4.5: conditions and 304")
def test_unknown_condition_is_not_met(gate: Gate) -> None:
    """A condition that names a tag that nobody issued, or a day before there was HTTP, MUST NOT be answered 304."""
    conditions = {
        "if its tag is not one nobody issued": ("If-None-Match", '"nobody-issued-this-tag"'),
        "if modified since 1985": ("If-Modified-Since", "Tue, 01 Jan 1985 00:00:00 GMT"),
    }
    answers = [gate.ask(gate.main, told, fields=[condition]) for told, condition in conditions.items()]
    holds(f"{answer.status}\n{answer.seen}" for answer in answers if answer.status != 200)


@pytest.mark.rule(level="specified", source="RFC 9110, section 8.8.3: ETag")
def test_entity_tag_is_well_formed(good: list[Answer]) -> None:
    """An entity tag MUST stand in quotation marks, after W/ where it is weak."""
    holds(
        f"ETag is {tag!r}\n{answer.seen}" for answer in good for tag in answer.values("ETag") if not TAG.fullmatch(tag)
    )


@pytest.mark.needs("http/entity-tag-is-well-formed")
@pytest.mark.rule(level="specified", source="RFC 9110, section 8.8.1: a strong validator changes with the body")
def test_strong_tag_stands_for_one_body(good: list[Answer]) -> None:
    """Two different bodies MUST NOT have the same strong entity tag."""
    bodies: dict[str, bytes] = {}
    for answer in good:
        tag = answer.header("ETag")
        if answer.status == 200 and answer.ending == "complete" and tag and not tag.startswith("W/"):
            assert bodies.setdefault(tag, answer.payload) == answer.payload, f"{tag} is on another body\n{answer.seen}"


TAG = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"')
BARE_LF = re.compile(rb"(?<!\r)\n")


@pytest.mark.needs(*SOUND, *REFUSING, "http/entity-tag-is-well-formed", "http/unknown-condition-is-not-met")
@pytest.mark.rule(level="documented", source="RFC 9110, section 13.2.1: conditions come after authorization")
def test_current_tag_is_a_condition(gate: Gate, first: Answer) -> None:
    """Where an answer has an entity tag, a request that names it MUST be answered 200 or 304, and needs a key."""
    tag = first.header("ETag")
    if tag is None:
        return
    fields = [("If-None-Match", tag.encode("latin-1"))]
    answer = gate.ask(gate.main, "if its tag is not that of the first answer", fields=fields)
    assert answer.status in {200, 304}, f"{answer.status or answer.ending}\n{answer.seen}"
    refused = gate.ask(None, "if its tag is not that of the first answer", fields=fields)
    assert refused.status in {401, 403}, f"{refused.status} without a key\n{refused.seen}"


@pytest.mark.needs(*READABLE)
@pytest.mark.rule(level="specified", source="RFC 9110, section 14.2 and 15.3.7: Range and 206")
def test_part_is_labelled_as_one(gate: Gate) -> None:
    """A part MUST be answered to a Range only, as 206 with Content-Range; otherwise the whole is."""
    answer = gate.ask(gate.main, "for its first ten bytes", fields=[("Range", "bytes=0-9")])
    assert answer.status in {200, 206, 416}, f"{answer.status}\n{answer.seen}"
    if answer.status == 206:
        assert re.fullmatch(r"bytes 0-\d+/(\d+|\*)", answer.header("Content-Range") or ""), (
            f"Content-Range is {answer.header('Content-Range')!r}\n{answer.seen}"
        )
        last = int(re.findall(r"\d+", answer.header("Content-Range") or "")[1])
        assert len(answer.payload) == last + 1 <= 10, (
            f"{len(answer.payload)} bytes, and Content-Range is {answer.header('Content-Range')!r}\n{answer.seen}"
        )
    elif answer.status == 200:
        assert not answer.json.problem, f"the whole was announced, the body {answer.json.problem}\n{answer.seen}"


@pytest.mark.rule(
    level="documented", source=f"{DOCUMENT}, 200: metrics for the authenticated key, tokens now; RFC 9111, section 3"
)
def test_no_cache_may_share_an_answer(gate: Gate, good: list[Answer]) -> None:
    """One key's figures MUST NOT be labelled so that a shared cache may give them to another caller."""
    holds(
        f"Cache-Control: {answer.header('Cache-Control')}, Vary: {answer.header('Vary')}\n{answer.seen}"
        for answer in good
        if _is_shared(gate, answer)
    )


def _is_shared(gate: Gate, answer: Answer) -> bool:
    control = (answer.header("Cache-Control") or "").lower().replace(" ", "").split(",")
    vary = (answer.header("Vary") or "").lower().replace(" ", "").split(",")
    if (
        answer.status != 200
        or {"private", "no-store", "no-cache"} & set(control)
        or {"*", gate.key_header.lower()} & set(vary)
    ):
        return False
    for_shared = [item for item in control if item.startswith("s-maxage")]  # it goes before max-age
    ages = [
        int(age)
        for item in for_shared or control
        if (age := item.partition("=")[2].strip('"')).isdecimal() and item.startswith(("max-age", "s-maxage"))
    ]
    if ages or "Expires" not in {name.title() for name, _ in answer.fields}:
        return any(ages) or ("public" in control and not ages)
    return _expires_later(answer)


def _expires_later(answer: Answer) -> bool:
    """Whether Expires names a later time than Date (RFC 9111, section 5.3); what is no date is over."""
    try:
        expires = parsedate_to_datetime(answer.header("Expires") or "")
        now = parsedate_to_datetime(answer.header("Date") or formatdate(usegmt=True))
    except ValueError:
        return False
    return expires.timestamp() > now.timestamp()


@pytest.mark.needs(*READABLE, "schema/body-has-the-specified-types")
@pytest.mark.rule(level="documented", source=f"{DOCUMENT}, 200: content application/json")
def test_negotiation_ends_in_json_or_406(gate: Gate) -> None:
    """Whatever Accept says, the answer MUST be the documented one, or a 4xx."""
    answers = {accept: gate.ask(gate.main, f"and Accept: {accept}", fields=[("Accept", accept)]) for accept in ACCEPTS}
    answers["as a browser"] = gate.ask(gate.main, "as a browser asks", fields=BROWSER)
    for accept, answer in answers.items():
        must = {200} if accept == "*/*" else {200, *range(400, 500)}
        assert answer.status in must, f"{answer.status or answer.ending}\n{answer.seen}"
        if answer.status == 200:
            assert answer.is_json and not answer.json.problem, f"{answer.header('Content-Type')}\n{answer.seen}"
            holds(f"{problem}\n{answer.seen}" for problem in problems(OPERATION, answer, "specified"))


ACCEPTS = ("*/*", "text/html, application/xml;q=0.9", "text/csv", ";;;q=,/")
ODD = "RFC 9110, section 15.5: what cannot be served is refused with a 4xx; errors guide: no 5xx is documented"
FIELDS = (
    *("Accept", "Accept-Charset", "Accept-Language", "Accept-Encoding", "Cookie", "Range", "If-Range", "If-Match"),
    *("If-None-Match", "If-Modified-Since", "Content-Type", "Authorization", "Forwarded", "X-Forwarded-For", "Origin"),
    *(
        "X-Forwarded-Proto",
        "Referer",
        "User-Agent",
        "Date",
        "TE",
        "Cache-Control",
        "Via",
        "X-Request-Id",
        "traceparent",
    ),
)
ODD_VALUES = {
    "garbage": b'@@;;q=zz,="',
    "bytes that are no ASCII": b"\xe9\xff",
    "nothing": b"",
    "200 characters": b"a" * 200,  # together less than the 8 KiB that any server takes
}
REFUSALS = range(400, 500)
CLOSED = frozenset({"closed", "reset"})
# A firewall may take these for an attack, and give no answer at all.
SUSPICIOUS = {"garbage": CLOSED, "bytes that are no ASCII": CLOSED}
HOPS = (("Max-Forwards", "10"), ("Priority", "u=3, i"), ("Upgrade-Insecure-Requests", "1"), ("Save-Data", "on"))


@pytest.mark.needs(*SOUND)
@pytest.mark.rule(level="documented", source=ODD)
def test_odd_fields_do_no_harm(gate: Gate) -> None:
    """Whatever other fields hold, a request with a valid key MUST be answered with 200, 206, 304, or a 4xx."""
    for what, value in ODD_VALUES.items():
        stopped = SUSPICIOUS.get(what, frozenset())
        answer = gate.ask(gate.main, f"and {what} in every other field", fields=[(name, value) for name in FIELDS])
        holds(_harmed([answer], stopped))
        if answer.status is None or answer.status in REFUSALS:  # one field's refusal may hide another's harm
            alone = (gate.ask(gate.main, f"and {what} in {name}", fields=[(name, value)]) for name in FIELDS)
            holds(_harmed(alone, stopped))
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


@pytest.mark.needs(*SOUND)
@pytest.mark.rule(level="documented", source=ODD)
def test_odd_targets_do_no_harm(gate: Gate) -> None:
    """Whatever the query or the path, a request with a valid key MUST be answered, and not with a 5xx."""
    path = gate.path.encode()
    targets = {
        "an unknown query parameter": path + b"?unexpected=1&limit=-1&format=xml&callback=f",
        "an empty query": path + b"?",
        "a hundred parameters, a semicolon, and a word in UTF-8": path + b"?" + PARAMETERS + b"&a;b=%C3%A9",
        "a query of 3,000 characters": path + b"?q=" + b"a" * 3000,
    }
    suspicious = {
        "an odd query": path + b"?&=&&a=1&a=2&%ff=%00",
        "a query of 9,000 characters": path + b"?q=" + b"a" * 9000,
        "percent-encoding in the path that is no UTF-8": path + b"/%ff",
    }
    plain, odd = (
        [gate.ask(gate.main, f"and {what}", target=target, fresh=True) for what, target in each.items()]
        for each in (targets, suspicious)
    )
    holds([*_harmed(plain), *_harmed(odd, CLOSED)])


PARAMETERS = b"&".join(b"p%d=%d" % (number, number) for number in range(100))


@pytest.mark.needs(*SOUND)
@pytest.mark.rule(level="specified", source="RFC 9110, section 5.5: no line break in a field's value")
def test_query_adds_no_field(gate: Gate) -> None:
    """A line break in the query, percent-encoded, MUST NOT become one in the answer's head."""
    target = gate.path.encode() + b"?q=1%0d%0aX-Injected:%20yes%0d%0a%0d%0abody"
    answer = gate.ask(gate.main, "and a line break in the query", target=target, fresh=True)
    assert not answer.header("X-Injected") and answer.ending != "malformed", f"the query is in the head\n{answer.seen}"


@pytest.mark.needs(*SOUND)
@pytest.mark.rule(level="documented", source=ODD)
def test_odd_bodies_do_no_harm(gate: Gate) -> None:
    """A GET with a body MUST be answered, and the next request on the connection as if there had been none."""
    json = [("Content-Type", "application/json")]
    inner = f"GET {gate.path} HTTP/1.1\r\nHost: {gate.settings.target.authority}\r\n\r\n".encode()
    bodies = [
        gate.ask(gate.main, "and a body of broken JSON", body=b'{"a":', fields=json, fresh=True),
        gate.ask(
            gate.main, "and Expect: 100-continue", body=b"{}", fields=[*json, ("Expect", "100-continue")], fresh=True
        ),
        gate.ask(gate.main, "and a body that is a request itself", body=inner, fields=json),
    ]
    holds(_harmed(bodies))
    holds(f"the body was answered like a request\n{answer.seen}" for answer in bodies if answer.extra)
    after = gate.ask(gate.main, "right after a GET with a body")
    assert after.status == 200, f"{after.status or after.ending}\n{after.seen}"


@pytest.mark.needs(*SOUND)
@pytest.mark.rule(level="documented", source=ODD)
def test_malformed_request_does_no_harm(gate: Gate) -> None:
    """A malformed request MUST be refused with a 4xx, or by closing the connection, and stop nothing."""
    path = gate.path.encode()
    chunked = [("Content-Length", "45"), ("Transfer-Encoding", "chunked")]
    malformed: dict[str, Special] = {
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
        special["fresh"] = True
        answer = gate.ask(gate.main, what, **special)
        assert answer.ending not in {"timeout", "deadline"}, f"no answer\n{answer.seen}"
        assert answer.status in {None, 200, 501, 505, *REFUSALS}, f"{answer.status}\n{answer.seen}"
    after = gate.ask(gate.main, "after malformed requests", fresh=True)
    assert after.status == 200, f"{after.status or after.ending}\n{after.seen}"


@pytest.mark.needs(*READABLE, *REFUSING, "auth/connection-keeps-no-key")
@pytest.mark.rule(
    level="specified",
    source="RFC 9112, sections 2.2 and 9.3.2: a message is a sequence of octets; answers come in the requests' order",
)
def test_requests_are_told_apart(gate: Gate) -> None:
    """A request in two pieces MUST be answered as in one, and several in one piece each, in their order.

    After any of them the connection may be closed instead.
    """
    halved = gate.transport.pipelined([gate.request(gate.main, "in two pieces")], ahead=24)
    pipelined = gate.transport.pipelined(
        [gate.request(key, "in one piece with others") for key in (gate.main, None, keys.UNKNOWN)]
    )
    for answer in (*halved, pipelined[0], *(each for each in pipelined[1:] if each.ending not in {"closed", "reset"})):
        must = {gate.main: {200}, None: {401}}.get(answer.request.credential, {401, 403})
        assert answer.status in {429, *must}, f"{answer.status or answer.ending}\n{answer.seen}"


def _harmed(answers: Iterable[Answer], stopped: Collection[str] = ()) -> Iterable[str]:
    """Yield what was answered otherwise, or not at all; `stopped` are the endings by which a firewall may refuse it."""
    for answer in answers:
        if answer.status not in {200, 206, 304, *REFUSALS} and answer.ending not in stopped:
            yield f"{answer.status or answer.ending}\n{answer.seen}"


@pytest.mark.rule(level="documented", source="RFC 9112, section 2.1: every line of a head ends with CRLF")
def test_lines_end_with_crlf(shared: tuple[Answer, ...]) -> None:
    """The lines of an answer's head MUST end with CRLF; many a client takes a bare LF for the end of the message."""
    heads = ((answer, re.match(rb"(?s).*?\n\r?\n", answer.start)) for answer in shared)
    holds(
        f"a bare LF in {head[0][:300]!r}\n{answer.seen}" for answer, head in heads if head and BARE_LF.search(head[0])
    )


@pytest.mark.needs(*READABLE, "http/length-is-announced-in-one-way", "http/nothing-follows-an-answer")
@pytest.mark.rule(level="advisory", source="RFC 9110, 9111 and 9112, as httplint reads them")
def test_heads_are_in_order(shared: tuple[Answer, ...]) -> None:
    """The fields of an answer SHOULD be well-formed and SHOULD not contradict each other."""
    heads = {(answer.status, *(name for name, _ in answer.fields)): answer for answer in shared if answer.status}
    holds(f"{complaint}\n{answer.seen}" for answer in heads.values() for complaint in complaints(answer))
