"""The content of error responses, and the content that no response may disclose."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import takewhile
from urllib.parse import unquote_to_bytes

from contract_tests.support import wrong_keys
from contract_tests.support.disclosure import disclosed, is_encoded_in, received_values, texts_named
from contract_tests.support.findings import (
    Finding,
    Findings,
    body_findings,
    field_finding,
    json_findings,
    status_finding,
)
from contract_tests.support.gate import OPERATION, Gate
from contract_tests.support.rules import AUTHENTICATION_GUIDE, DOCUMENT, ERRORS_GUIDE, advisory, documented
from contract_tests.wire.challenges import schemes
from contract_tests.wire.connection import request_bytes
from contract_tests.wire.internals import (
    SOFTWARE,
    described_software,
    details_in_field,
    internals,
    internals_in_field,
    is_loopback,
    is_machine,
    private_addresses,
    unescaped,
)
from contract_tests.wire.messages import (
    AUTH_ERRORS,
    CLIENT_ERRORS,
    ERRORS,
    IDENTIFIER_FIELDS,
    SERVER_ERRORS,
    Credential,
    Exchange,
    Exchanges,
    kept_whole,
    with_field,
)
from contract_tests.wire.not_tested import or_not_applicable, or_not_tested
from contract_tests.wire.strict_json import objects

DIALOG_SCHEMES = {"basic", "digest", "negotiate", "ntlm"}  # for which browsers open a dialog
OTHER_ERRORS = {404, 405, 406, 415}
LARGEST_SEARCHED = 1 << 16  # bytes of a body
# In prose, a server is the host of a URL, or has a port or the domain of a cluster.
SERVER = re.compile(
    rb"(?:https?:)?//[\w.:\[\]\\%{}$@\x80-\xff-]{1,200}|(?<![\w.-])[\w.-]{1,200}(?::\d{1,5}\b|(?<=\.svc\.cluster\.local)|(?<=\.localdomain))"
)
SHORTEST_PART = 8  # characters of a key: a shorter part may be in a response by chance


@documented(ERRORS_GUIDE)
def test_error_body_is_json_with_a_detail(documented_errors: Exchanges) -> Findings:
    """A response with status 401 or 403 MUST have a JSON media type, and a JSON body with a `detail` text."""
    for exchange in documented_errors:
        yield from json_findings(OPERATION, exchange, "documented")


@documented(ERRORS_GUIDE, repeats=["errors/error-body-is-json-with-a-detail"])
def test_every_auth_error_has_a_detail(gate: Gate, documented_errors: object, journal: Exchanges) -> Findings:
    """A response with status 401 or 403 to a wrong or misplaced key MUST have a JSON body with a `detail` text.

    A proxy or firewall may reject an unusual request with another body.
    """
    for exchange in kept_whole(exchange for exchange in journal if exchange.status in AUTH_ERRORS):
        if exchange.ending != "complete":
            continue
        problem = exchange.coding_problem or (exchange.json.problem if exchange.is_json else "")
        if problem and exchange.request.method != "HEAD":
            yield Finding(f"the body {problem}", exchange)
        elif gate.is_unsuspicious(exchange.request):
            if exchange.is_json:
                yield from body_findings(OPERATION, exchange, "documented")
            else:
                yield field_finding(exchange, "Content-Type", "the media type is not JSON", "application/json")


@documented(
    f"{ERRORS_GUIDE}: every error body is JSON; RFC 9110, section 8.3: Content-Type is the media type of the body",
    repeats=["errors/error-body-is-json-with-a-detail", "errors/every-auth-error-has-a-detail"],
)
def test_errors_of_a_json_media_type_are_json(journal: Exchanges) -> Findings:
    """A response with a 4xx status, a JSON media type and a body MUST have a JSON body."""
    with_a_body = (each for each in journal if each.status in CLIENT_ERRORS and each.is_json and each.size)
    errors = or_not_applicable(with_a_body, "no response with a 4xx status and a JSON media type has a body")
    for exchange in kept_whole(errors):
        if exchange.ending == "complete" and not exchange.coding_problem and exchange.json.problem:
            yield Finding(f"the body {exchange.json.problem}", exchange)


@advisory(
    f"{ERRORS_GUIDE}: every error body is JSON with a detail text; servers and proxies often have pages of their own",
    repeats=["errors/errors-of-a-json-media-type-are-json"],
)
def test_other_errors_have_a_detail(missing_key_responses: object, journal: Exchanges) -> Findings:
    """A response with status 404, 405, 406 or 415 SHOULD have a JSON body with a `detail` text, and its media type."""
    errors = (each for each in journal if each.status in OTHER_ERRORS)
    for exchange in kept_whole(or_not_applicable(errors, "no response has one of these status codes")):
        is_whole = exchange.ending == "complete" and exchange.request.method != "HEAD"
        if is_whole and not isinstance(exchange.object.get("detail"), str):
            actual = exchange.beginning or "an empty body"
            yield Finding("the body is not JSON with a detail text", exchange, actual=actual)
        elif is_whole and exchange.media_type and not exchange.is_json:
            problem = "the body is JSON, and Content-Type does not state that"
            yield field_finding(exchange, "Content-Type", problem, "application/json")


@advisory(
    f"{DOCUMENT}, 401 and 403: a client that distinguishes them needs the same one each time", reads=["unknown key"]
)
def test_unknown_key_status_does_not_vary(documented_errors: Exchanges) -> Findings:
    """Responses to baseline requests with an unknown key SHOULD have the same status."""
    refused = [each for each in documented_errors if each.request.credential == wrong_keys.UNKNOWN]
    for exchange in refused[1:]:
        if exchange.status != refused[0].status:
            problem = f"the status is {exchange.status}, and that of the first such request is {refused[0].status}"
            yield Finding(problem, exchange, related=(refused[0],))
            return


@advisory("RFC 9110, section 11.6.1: a challenge that applies to the resource")
def test_401_carries_a_challenge(gate: Gate, journal: Exchanges) -> Findings:
    """A response with status 401 SHOULD have a WWW-Authenticate field that names a scheme for keys in a header field.

    Responses to usual requests are judged. Many servers omit the field. Basic, Digest, Negotiate and NTLM are other
    schemes, for which browsers open a dialog. Bearer is accepted beside a scheme for keys.
    """
    refused = (each for each in journal if each.status == 401 and gate.is_unsuspicious(each.request))
    for exchange in or_not_applicable(refused, "no response to a usual request has status 401"):
        challenge = exchange.header("WWW-Authenticate")
        if not challenge:
            which = "an empty" if exchange.values("WWW-Authenticate") else "no"
            yield Finding(f"a response with status 401 has {which} WWW-Authenticate field", exchange)
            continue
        named = schemes(challenge)
        if others := named if named == {"bearer"} else named & DIALOG_SCHEMES:
            problem = f"WWW-Authenticate names {' and '.join(sorted(others))}, by which no key is accepted"
            yield Finding(problem, exchange, actual=challenge)


@documented(f"{AUTHENTICATION_GUIDE}: nothing is served without a valid key")
def test_errors_do_not_disclose_metrics(gate: Gate, missing_key_responses: object, journal: Exchanges) -> Findings:
    """A response that rejects a request MUST NOT contain usage metrics."""
    valid = gate.keys
    refusals = (each for each in journal if (each.status or 0) >= (400 if each.request.credential in valid else 300))
    for exchange in kept_whole(refusals):
        if gate.contains_metrics(exchange):
            yield Finding("a response that rejects a request contains usage metrics", exchange)


@documented(f"{AUTHENTICATION_GUIDE}: the key is a secret of its owner")
def test_responses_do_not_disclose_keys(gate: Gate, baseline_responses: Exchanges, journal: Exchanges) -> Findings:
    """A response MUST NOT contain a key, plain or encoded, that its request did not contain.

    A response with a 4xx or 5xx status MUST NOT contain half of such a key, either.
    """
    baseline = {id(exchange) for exchange in baseline_responses}
    others = (each for each in journal if id(each) not in baseline and not _is_metrics(gate, each))
    for exchange in kept_whole((*baseline_responses, *others)):
        whole = set(disclosed(gate.settings.keys, exchange))
        for key in gate.settings.keys:
            if key in whole:
                yield Finding(f"the response discloses {key.label}", exchange)
            elif exchange.status in ERRORS and _is_half_disclosed(key, exchange):
                yield Finding(f"the response discloses half of {key.label}", exchange)


@documented(f"{AUTHENTICATION_GUIDE}: the key is a secret of its owner; logs and histories keep URLs")
def test_redirects_do_not_contain_keys(gate: Gate, journal: Exchanges) -> Findings:
    """A `Location` field MUST NOT contain a key that the target of the request did not contain."""
    for exchange in with_field(journal, "Location"):
        location = unquote_to_bytes(exchange.header("Location").encode("latin-1"))
        target = unquote_to_bytes(exchange.request.target)
        for key in _distinctive_keys(gate):
            if key.value in location and key.value not in target:
                yield Finding(f"Location contains {key.label}", exchange)


@advisory(
    f"{AUTHENTICATION_GUIDE}: the key is a secret of its owner; logs and caches keep responses longer than keys",
    repeats=["errors/responses-do-not-disclose-keys", "errors/redirects-do-not-contain-keys"],
)
def test_keys_are_not_echoed(gate: Gate, journal: Exchanges) -> Findings:
    """A response SHOULD NOT contain the key of its request, except in an `api_key` member.

    This includes header fields, cookies, and a response to TRACE. In a field, an encoded key counts as well. Of a key
    in the target, only the body of an error is judged: a redirect repeats the query.
    """
    for exchange in kept_whole(journal):
        fields = exchange.request.fields
        sent = [key for key in _distinctive_keys(gate) if any(key.value in value for _, value in fields)]
        if not sent and exchange.status in CLIENT_ERRORS | SERVER_ERRORS:
            in_target = (key for key in _distinctive_keys(gate) if key.value in exchange.request.target)
            if key := next((key for key in in_target if _is_in_body(key, exchange)), None):
                yield Finding(f"the body contains {key.label}, as the target of the request did", exchange)
        if echoed := [(key, place) for key in sent if (place := _place_of(key, exchange))]:
            key, place = echoed[0]
            yield Finding(f"{exchange.excerpt(place)} contains {key.label}, as the request did", exchange)


def _is_metrics(gate: Gate, exchange: Exchange) -> bool:
    """Whether a response is usage metrics: other rules judge the key in these."""
    is_whole = exchange.status == 200 and not gate.is_public(exchange.request)
    return is_whole and (gate.is_operation(exchange.request) or gate.contains_metrics(exchange))


def _distinctive_keys(gate: Gate) -> list[Credential]:
    """Return the keys that are too long to be in a response by chance."""
    return [key for key in (*gate.settings.keys, wrong_keys.UNKNOWN) if len(key.value) >= SHORTEST_PART]


def _place_of(key: Credential, exchange: Exchange) -> str:
    """Return where a response contains a key, or an empty text; the member `api_key` may contain it."""
    for name, value in exchange.fields:
        if name.lower() not in IDENTIFIER_FIELDS and (key.value in value or is_encoded_in(value, key)):
            return name
    return "the body" if _is_in_body(key, exchange) else ""


def _is_in_body(key: Credential, exchange: Exchange) -> bool:
    may_be_metrics = exchange.status == 200 and exchange.request.method == "GET"
    if key.value not in exchange.body or (may_be_metrics and not exchange.object):
        return False  # without a body that can be read, the member of the key is unknown
    shown = sum(text.encode().count(key.value) for text in texts_named("api_key", exchange))
    return exchange.body.count(key.value) > shown


def _is_half_disclosed(key: Credential, exchange: Exchange) -> bool:
    """Whether a response contains a distinctive half of the key that its request does not contain."""
    received, sent = received_values(exchange), request_bytes(exchange.request)
    length = max(SHORTEST_PART, (len(key.value) + 1) // 2)
    prefix = key.value[: wrong_keys.prefix_length(key.value)]  # not a secret
    parts = (key.value[start : start + length] for start in range(len(key.value) - length + 1))
    return any(part in received and part not in sent and part not in prefix for part in parts)


@documented(f"{ERRORS_GUIDE}: the body is a detail text for the client; {DOCUMENT}, 200: usage metrics")
def test_responses_do_not_disclose_internals(journal: Exchanges) -> Findings:
    """A response MUST NOT contain a stack trace, the path of a file of the server, or a database error.

    A header field MUST NOT contain a token, unless the request contained it. Cookies and fields with URLs may.
    """
    for exchange in kept_whole(journal):
        if match := internals(exchange.body):
            problem = "the body contains internals of the server"
            yield Finding(problem, exchange, actual=exchange.excerpt(match[0], 60))
        yield from _disclosed_in_fields(exchange, internals_in_field)


@advisory(
    f"{ERRORS_GUIDE}: the detail is for the client; OWASP API8, security misconfiguration",
    repeats=["errors/responses-do-not-disclose-internals"],
)
def test_header_fields_do_not_disclose_internals(journal: Exchanges) -> Findings:
    """A header field of a response SHOULD NOT contain an SQL statement, the path of a source file, or an exception.

    Nor SHOULD the reason phrase. A response SHOULD NOT have a field for debugging, such as X-Debug-Token, or one that
    names a machine. Fields that a proxy adds to requests, such as X-Forwarded-For, are not for responses, either.
    """
    for exchange in journal:
        yield from _disclosed_in_fields(exchange, details_in_field)


def _disclosed_in_fields(exchange: Exchange, find: Callable[[str, bytes], re.Match[bytes] | None]) -> Findings:
    sent = request_bytes(exchange.request)
    for name, value in (*exchange.fields, ("the reason phrase", exchange.reason.encode("latin-1", "replace"))):
        match = find(name, value)
        if match and match[0] not in sent:
            yield Finding(f"{exchange.excerpt(name)} contains internals of the server", exchange, actual=match[0])


@advisory(
    f'{AUTHENTICATION_GUIDE}: GET /healthz answers {{"ok": true}}, and needs no key',
    repeats=["bypass/claims-do-not-authenticate"],
)
def test_health_check_discloses_nothing_else(gate: Gate, journal: Exchanges) -> Findings:
    """A 200 response to the health check SHOULD NOT have other members than `ok` and `status`."""
    checks = or_not_tested((each for each in journal if gate.is_health_check(each.request)), "no health check")
    served = (exchange for exchange in checks if exchange.status == 200)
    for exchange in kept_whole(or_not_applicable(served, "no health check has a 200 response")):
        if others := sorted(exchange.object.keys() - {"ok", "status"}):
            yield Finding("the health check has other members", exchange, expected="ok", actual=", ".join(others))


@advisory("RFC 9110, section 10.2.4: no needlessly fine-grained detail; OWASP HTTP Headers Cheat Sheet: X-Powered-By")
def test_responses_do_not_disclose_versions(gate: Gate, journal: Exchanges) -> Findings:
    """A response SHOULD NOT have X-Powered-By, or the version of software in Server, Via or a similar field.

    Nor SHOULD the body of an error or a redirect, or the JSON of a path that needs no key. A major version is accepted.
    """
    for exchange in journal:
        for name, value in exchange.fields:
            if described := described_software(name, value):
                yield Finding(f"{name} describes the software of the server", exchange, actual=described)
        is_judged = (exchange.status or 0) >= 300 or (exchange.is_json and gate.is_public(exchange.request))
        body = exchange.body[:LARGEST_SEARCHED] if is_judged and not exchange.abridged else b""
        version = SOFTWARE.search(unescaped(body))
        if version and version[0] not in request_bytes(exchange.request):
            yield Finding("the body describes the software of the server", exchange, actual=version[0])


@advisory(
    "RFC 1918 and RFC 4193: an address that is private is of no use to a client, and describes the network",
    repeats=["errors/responses-do-not-disclose-internals"],
)
def test_responses_do_not_disclose_private_addresses(gate: Gate, journal: Exchanges) -> Findings:
    """A response SHOULD NOT contain a private address or the name of an internal host.

    In a 200 response, header fields and undocumented members are judged. In a body, an address counts with `//` before
    it or a port behind it, or as a member such as `hostname`. In a URL, a host of one word is internal. The address of
    the deployment and addresses in the request are accepted, but not another port in a `Location` field.
    """
    own = gate.settings.target
    elsewhere = re.compile(rf"(?i){own.scheme}://{re.escape(own.host)}:(\d{{1,5}})(?![^/?#])")
    for exchange in journal:
        sent = request_bytes(exchange.request).lower()
        content = () if exchange.abridged else _named_servers(gate, exchange)
        for name, value in (*exchange.fields, *content):
            for host, port in private_addresses(name, value):
                is_own_host = host.lower() == own.host or (is_loopback(host) and is_loopback(own.host))
                is_known = port in {"", str(own.port)} if is_own_host else _is_host_in(sent, host.lower())
                if not is_known:
                    actual = f"{host}:{port}" if port else host
                    yield Finding(f"{name} contains a private address", exchange, actual=actual)
        for name, value in () if exchange.abridged else _members(gate, exchange):
            if is_machine(name, value) and str(value).lower().encode(errors="replace") not in sent:
                yield Finding(f"the member {exchange.excerpt(name)} names a machine", exchange, actual=str(value))
        if (located := elsewhere.match(", ".join(exchange.kept_values("Location")))) and int(located[1]) != own.port:
            yield Finding("Location names another port of the deployment", exchange, actual=located[0])


def _named_servers(gate: Gate, exchange: Exchange) -> Iterator[tuple[str, bytes]]:
    """Yield the servers that the body of an error, or an undocumented member of another body, names."""
    if exchange.status in ERRORS:
        texts = {"the body": exchange.body[:LARGEST_SEARCHED]}
    else:
        others = _members(gate, exchange)
        texts = {f"the member {exchange.excerpt(name)}": json.dumps(value).encode() for name, value in others}
    yield from ((place, b" ".join(SERVER.findall(unescaped(text)))) for place, text in texts.items())


def _is_host_in(sent: bytes, host: str) -> bool:
    """Whether a request contains a host; a host of one word counts only where a host is expected."""
    before = ("",) if "." in host or ":" in host or host == "localhost" else ("//", "=", "host: ", "authority: ")
    return any((text + host).encode() in sent for text in before)


def _members(gate: Gate, exchange: Exchange) -> Iterator[tuple[str, object]]:
    """Yield the members of an error, at any depth, or the undocumented members of another body."""
    if (exchange.status or 0) >= 400:
        for each in objects(exchange.json.value if exchange.is_json and exchange.json.is_readable else None):
            yield from each.items()
    else:
        yield from ((name, value) for name, value in exchange.object.items() if name not in gate.members)


@documented(f"{ERRORS_GUIDE}: 502 and 504 are not documented for this operation, nor is any other 5xx")
def test_no_request_causes_5xx(journal: Exchanges) -> Findings:
    """A response MUST NOT have a 5xx status, however unusual the request is.

    501 and 505 are accepted, and so is any status for a WebSocket handshake: many frameworks fail on one by default.
    """
    for exchange in journal:
        if exchange.status in SERVER_ERRORS - {501, 505} and b"websocket" not in exchange.request.values("Upgrade"):
            yield status_finding(exchange, "any status but 5xx")


@documented(f"{ERRORS_GUIDE}: a request that is refused gets a response")
def test_deployment_stays_reachable(gate: Gate, journal: Exchanges) -> Findings:
    """The server MUST remain reachable after every request, however unusual the request is.

    A restart is accepted: a request without a response is sent again once the server is reachable.
    """
    for exchange in gate.transport.crashes:
        yield Finding("the deployment was not reachable after this request, and gave no response to it again", exchange)
    reason = gate.transport.unreachable_reason
    unanswered = [*takewhile(lambda each: each.status is None and each.ending != "abandoned", reversed(journal))]
    if reason and unanswered:
        *others, first = unanswered  # the later ones may have met a server that was stopping
        problem = f"the deployment was not reachable after this request: {first.excerpt(reason)}"
        yield Finding(problem, first, related=tuple(others))
