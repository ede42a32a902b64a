"""Other methods than GET: HEAD, OPTIONS, and methods that the document does not describe."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from contract_tests.reports.model import counted
from contract_tests.support import wrong_keys
from contract_tests.support.facts import MISSING_KEY_REFUSED, NEEDS_VALID_KEY
from contract_tests.support.findings import (
    Finding,
    Findings,
    after,
    field_finding,
    one_of,
    report,
    status_finding,
    unless_200,
)
from contract_tests.support.gate import OVERRIDES, WRITE_METHODS, Gate
from contract_tests.support.lengths import other_length, states_a_length
from contract_tests.support.rules import DOCUMENT, advisory, documented, specified
from contract_tests.wire.messages import (
    AUTH_ERRORS,
    LATE_ENDINGS,
    SERVER_ERRORS,
    SUCCESSES,
    Exchange,
    Exchanges,
    with_field,
)
from contract_tests.wire.not_tested import NotApplicable, or_not_applicable, or_not_tested

NO_LENGTH = "no response to HEAD has a Content-Length that can be compared"
LENGTH_TOLERANCE = 100  # bytes: usage metrics change from one response to the next
STANDARD_METHODS = {"HEAD", "OPTIONS", *WRITE_METHODS}
MAY_FAIL = "errors guide: no 5xx is documented; 501 is usual for servers without the method (RFC 9110, section 15.6.2)"


@pytest.fixture(scope="session")
def options(client: Gate) -> Exchange:
    """The exchange of an OPTIONS with the main key."""
    return client.send(client.main, "by OPTIONS", method="OPTIONS")


@documented(MAY_FAIL, needs=NEEDS_VALID_KEY)
def test_options_does_not_fail(client: Gate, options: Exchange, first_ok: Exchange) -> Findings:
    """A response to OPTIONS MUST exist, and MUST NOT have a 5xx status, except 501.

    The next request on the connection MUST get a 200 with usage metrics.
    """
    yield from _failures(client, options, first_ok)


@advisory(
    "RFC 9110, section 9.3.7: a response to OPTIONS has fields about what the resource supports, such as Allow",
    needs=NEEDS_VALID_KEY,
)
def test_options_states_the_methods(client: Gate, options: Exchange) -> Findings:
    """A successful response to OPTIONS SHOULD have `Allow` or `Access-Control-Allow-Methods`.

    `Allow` names the documented method.
    """
    if options.status not in SUCCESSES:
        raise NotApplicable("OPTIONS was refused")
    if not any(map(options.values, ("Allow", "Access-Control-Allow-Methods"))):
        yield Finding("a successful response to OPTIONS has no Allow", options)
    allowed = {method.strip().upper() for method in options.header("Allow").split(",")}
    if options.values("Allow") and not {client.operation.method, "*"} & allowed:
        actual = options.header("Allow")
        yield Finding("Allow lacks the documented method", options, expected=client.operation.method, actual=actual)


@documented(
    "RFC 9110, section 9.3.7: OPTIONS of the whole server; errors guide: no 5xx is documented", needs=NEEDS_VALID_KEY
)
def test_options_of_the_server_do_not_fail(client: Gate) -> Findings:
    """A response to `OPTIONS *` MUST NOT have a 5xx status, except 501. The connection may be closed instead."""
    if client.settings.proxy:
        raise NotApplicable("the request would be for the proxy, not for the deployment")
    exchange = client.send(client.main, "for the whole server", method="OPTIONS", target="*", new_connection=True)
    if exchange.ending in LATE_ENDINGS or exchange.status in SERVER_ERRORS - {501}:
        yield status_finding(exchange, "a status below 500, 501, or a closed connection")


@pytest.fixture(scope="session")
def head(client: Gate) -> Exchange:
    """The exchange of a HEAD with the main key."""
    return client.send(client.main, "by HEAD", method="HEAD")


@specified("RFC 9110, section 9.3.2: HEAD", needs=NEEDS_VALID_KEY)
def test_head_has_no_body(head: Exchange) -> Findings:
    """A response to HEAD MUST NOT have a body."""
    return _bodies([head])


def _bodies(heads: Iterable[Exchange]) -> Findings:
    """Yield a finding for each response to HEAD that has a body."""
    for exchange in heads:
        if exchange.ending == "malformed":
            yield Finding(f"the response is malformed: {exchange.excerpt(exchange.problem)}", exchange)
        if exchange.extra:
            yield Finding(f"the head is followed by {counted(exchange.extra_size, 'byte')}", exchange)


@specified("RFC 9110, section 8.6: Content-Length in a response to HEAD is that of GET", needs=NEEDS_VALID_KEY)
def test_head_states_a_possible_length(
    head: Exchange, main_key_responses: Exchanges, baseline_responses: Exchanges, journal: Exchanges
) -> Findings:
    """`Content-Length` in a response to HEAD MUST be a possible length of a response to GET.

    Usage metrics change, so any length between half and twice the lengths of other responses is accepted. A response
    with status 401 or 403 is compared with others of that status.
    """
    refused = [each for each in journal if each.request.method == "HEAD" and each.status in AUTH_ERRORS]
    stating = _stating_a_length([head], main_key_responses) + _stating_a_length(refused, baseline_responses)
    for exchange in or_not_applicable(stating, NO_LENGTH):
        yield from other_length(exchange, main_key_responses if exchange is head else baseline_responses, times=2)


@advisory(
    "RFC 9110, section 8.6: Content-Length in a response to HEAD is that of GET",
    needs=NEEDS_VALID_KEY,
    repeats=["methods/head-states-a-possible-length"],
)
def test_head_states_the_length_of_get(head: Exchange, main_key_responses: Exchanges, journal: object) -> Findings:
    """`Content-Length` in a response to HEAD SHOULD be about the length of a response to GET.

    A difference of a hundred bytes is accepted, because usage metrics change.
    """
    for exchange in or_not_applicable(_stating_a_length([head], main_key_responses), NO_LENGTH):
        yield from other_length(exchange, main_key_responses, margin=LENGTH_TOLERANCE)


def _stating_a_length(heads: Exchanges, responses: Exchanges) -> list[Exchange]:
    """Return the responses to HEAD with status 200, 401 or 403 whose length can be compared with those of GET."""
    return [each for each in heads if each.status in {200, *AUTH_ERRORS} and states_a_length(each, responses)]


@advisory(
    "RFC 9110, sections 9.1 and 9.3.2: servers support GET and HEAD, with the same header fields", needs=NEEDS_VALID_KEY
)
def test_head_matches_get(head: Exchange, first_ok: Exchange) -> Findings:
    """A response to HEAD SHOULD have the status, Content-Type and Cache-Control of GET; many servers answer 405.

    Nor SHOULD it lack the X-Content-Type-Options of GET, or a `Vary` that names another field than Accept-Encoding.
    """
    if (yield from report(unless_200([head]))):
        return
    varies = {name.lower() for name in first_ok.items("Vary")} - {"accept-encoding"}
    if varies and not head.values("Vary"):
        yield Finding("Vary is missing", head, related=(first_ok,), expected=first_ok.header("Vary"))
    for name in ("Content-Type", "Cache-Control", "X-Content-Type-Options"):
        if head.header(name) != (expected := first_ok.header(name)):
            problem, actual = f"{name} is not that of GET", head.header(name)
            yield Finding(problem, head, related=(first_ok,), expected=expected or "none", actual=actual or "none")


@documented(MAY_FAIL, needs=NEEDS_VALID_KEY)
def test_head_does_not_fail(client: Gate, head: Exchange, first_ok: Exchange) -> Findings:
    """A response to HEAD MUST exist, and MUST NOT have a 5xx status, except 501.

    The next request on the connection MUST get a 200 with usage metrics.
    """
    yield from _failures(client, head, first_ok)


@specified("RFC 9110, section 9.3.2: HEAD", needs=NEEDS_VALID_KEY, repeats=["methods/head-has-no-body"])
def test_other_heads_have_no_body(client: Gate) -> Findings:
    """A response to HEAD MUST NOT have a body, also if the request accepts gzip, or has an unknown key."""
    compressed = [("Accept-Encoding", "gzip")]  # the end of an empty stream is a body, too
    requests = [
        client.request(client.main, "by HEAD, accepting gzip", method="HEAD", fields=compressed, new_connection=True),
        client.request(wrong_keys.UNKNOWN, "by HEAD", method="HEAD", new_connection=True),
    ]
    yield from _bodies(client.send_in_turn(requests))


@advisory("OWASP REST Security Cheat Sheet, restrict HTTP methods; RFC 9110, section 9.1", needs=[MISSING_KEY_REFUSED])
def test_override_fields_have_no_effect(client: Gate) -> Findings:
    """A response to GET SHOULD NOT be that to the method in X-HTTP-Method-Override or a similar field.

    The request has no key.
    """
    fields = [(name, "DELETE") for name in OVERRIDES]
    exchange = client.send(None, "and fields that name DELETE", fields=fields, new_connection=True)
    if exchange.status in {404, 405, 501, *SUCCESSES} - client.baseline.refusals(None):
        yield status_finding(exchange, one_of(client.baseline.refusals(None)))


@advisory(
    "OWASP Web Security Testing Guide, test HTTP methods: TRACE shows a script the header fields of a request",
    needs=NEEDS_VALID_KEY,
)
def test_trace_is_refused(client: Gate) -> Findings:
    """A response to TRACE SHOULD NOT have a 2xx status."""
    yield from _supported(client, "TRACE", "405 or 501")


@advisory(
    "RFC 9110, section 9.1: methods are case-sensitive; one that a server does not know gets 501",
    needs=NEEDS_VALID_KEY,
)
def test_unknown_method_is_refused(client: Gate) -> Findings:
    """A response to the method `Get`, which is another one than GET, SHOULD NOT have a 2xx status."""
    yield from _supported(client, "Get", "501 or 405")


def _supported(client: Gate, method: str, expected: str) -> Findings:
    """Yield a finding if a request by a method gets a 2xx status."""
    exchange = client.send(client.main, f"by {method}", method=method, new_connection=True)
    if exchange.status in SUCCESSES:
        yield status_finding(exchange, expected)


@documented("RFC 9110, section 15.5.6: 405")
def test_405_names_the_allowed_methods(gate: Gate, journal: Exchanges) -> Findings:
    """A response with status 405 MUST name the allowed methods in `Allow`.

    The documented method is one of them. A refused POST, PUT, PATCH or DELETE is not.
    """
    path = gate.path.encode()
    refused = [each for each in journal if each.status == 405 and each.request.path == path]
    refused = [exchange for exchange in refused if exchange.request.method in STANDARD_METHODS]
    for exchange in or_not_applicable(refused, "no method was refused with 405"):
        allowed = {method.upper() for method in exchange.items("Allow")}
        if gate.operation.method not in allowed:
            problem = "Allow lacks the method" if exchange.values("Allow") else "the Allow header is missing"
            yield field_finding(exchange, "Allow", problem, f"{gate.operation.method} and others")
        elif exchange.request.method in allowed & set(WRITE_METHODS):
            yield field_finding(exchange, "Allow", "Allow names the method that is refused")


@advisory(
    "RFC 9110, section 10.2.1: Allow lists the methods that the resource supports; section 9.1: case matters",
    repeats=["methods/405-names-the-allowed-methods"],
)
def test_allowed_methods_are_supported(journal: Exchanges) -> Findings:
    """A request with a method that `Allow` names SHOULD NOT be refused with 405 or 501.

    Methods are case-sensitive: `get` is another one than `GET`.
    """
    naming = _naming_methods(journal)
    for exchange in naming:
        names = exchange.items("Allow")
        if any(name != name.upper() and name.upper() in {"GET", *STANDARD_METHODS} for name in names):
            yield field_finding(exchange, "Allow", "Allow names a method in lower case")
            return
    allowing = {(each.request.target, method): each for each in naming for method in each.items("Allow")}
    for exchange in journal:
        request = exchange.request
        names_it = allowing.get((request.target, request.method))
        if names_it and exchange.status in {405, 501} and request.method in STANDARD_METHODS and not request.body:
            problem = f"Allow names {request.method}, which is not supported"
            yield Finding(problem, exchange, related=(names_it,), actual=exchange.outcome)


@advisory(
    "RFC 9110, section 10.2.1: Allow lists the methods that the resource supports",
    repeats=["methods/405-names-the-allowed-methods", "methods/allowed-methods-are-supported"],
)
def test_allow_fields_agree(journal: Exchanges) -> Findings:
    """`Allow` SHOULD name the same write methods in each response of the resource."""
    first_of: dict[bytes, Exchange] = {}
    for exchange in _naming_methods(journal):
        first = first_of.setdefault(exchange.request.target, exchange)
        if _write_methods(exchange) != _write_methods(first):
            expected, actual = first.header("Allow"), exchange.header("Allow")
            yield Finding("Allow names other methods", exchange, related=(first,), expected=expected, actual=actual)
            return


def _naming_methods(journal: Exchanges) -> Exchanges:
    """Return the responses with Allow; some servers refuse TRACE themselves, and do not know the resource's methods."""
    return with_field((each for each in journal if each.request.method != "TRACE"), "Allow")


def _write_methods(exchange: Exchange) -> set[str]:
    return set(exchange.items("Allow")) & set(WRITE_METHODS)


@advisory("RFC 9110, section 15.5.6: 405 means that the method is known, and the resource does not support it")
def test_other_methods_are_405(gate: Gate, journal: Exchanges) -> Findings:
    """A response to POST, PUT, PATCH or DELETE SHOULD NOT have status 400 or 404 at the path of the operation.

    401 and 403 are accepted: a server may authenticate the client first.
    """
    bare = (each for each in journal if each.request.target == gate.path.encode() and not each.request.body)
    writing = (exchange for exchange in bare if exchange.request.method in WRITE_METHODS)
    for exchange in or_not_tested(writing, "no request has one of these methods"):
        if exchange.status in {400, 404}:
            yield status_finding(exchange, "405")


@documented(f"{DOCUMENT}: GET is the only operation of this path", needs=NEEDS_VALID_KEY, intrusive=True)
def test_undocumented_method_is_refused(client: Gate) -> Findings:
    """A request with a write method MUST NOT succeed, even with a valid key."""
    for method in WRITE_METHODS:
        if (yield from report(_supported(client, method, "a refusal"))):
            return
    yield from unless_200([client.send(client.main, "after write methods")])


def _failures(gate: Gate, exchange: Exchange, first_ok: Exchange) -> Findings:
    """Yield a finding if the response is missing or a 5xx, or if the next one on the connection is not as usual."""
    following = gate.send(gate.main, f"right after {exchange.request.method}")
    if exchange.status in {None, *SERVER_ERRORS} - {501}:
        yield status_finding(exchange, "a status below 500, or 501")
    elif following.status != 200:
        yield from after([exchange], unless_200([following]))
    elif not following.json.problem and first_ok.object and not first_ok.object.keys() & following.object.keys():
        yield Finding("the response to the next request has no usage metrics", following, earlier=[exchange])
