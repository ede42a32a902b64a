"""HTTP header fields: cookies, identifiers, policies, and fields that contradict each other."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator

from contract_tests.support.findings import Finding, Findings, field_finding
from contract_tests.support.gate import Gate
from contract_tests.support.rules import advisory, specified
from contract_tests.wire.connection import request_bytes
from contract_tests.wire.grammar import malformed
from contract_tests.wire.http_lint import SINGLE, complaints
from contract_tests.wire.messages import (
    AUTH_ERRORS,
    IDENTIFIER_FIELDS,
    REDIRECTS,
    Exchange,
    Exchanges,
    kept_whole,
    with_field,
)
from contract_tests.wire.not_tested import NotApplicable, or_not_applicable

READ_STATUSES = {200, 204, *REDIRECTS, *AUTH_ERRORS, 404, 405, 406, 415, 416, 429}  # others may be those of a proxy
LARGEST_BODY, LARGEST_HEAD = 1 << 16, 1 << 12  # bytes
USUAL_TARGET = re.compile(rb"/[\w/.-]*")
TRACE_FIELDS = {"x-trace-id", "x-b3-traceid", "x-amzn-requestid"}
OF_TRACES = re.compile(rb"(?i)trace|b3")
CACHE_FIELDS, STORED = ("Age", "X-Cache", "X-Cache-Status", "CF-Cache-Status"), re.compile(r"(?i)^[1-9]|hit")
USUAL_NAME = re.compile(r"[a-z0-9.-]+")
PLAIN_VALUE = re.compile(rb"[ -~]*")
PROTECTIVE_FIELDS = ("X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Strict-Transport-Security")
OBSOLETE_FIELDS = {  # and the values that do harm
    "X-XSS-Protection": "[^ 0,]", "Expect-CT": ".", "Public-Key-Pins": ".", "P3P": ".",
    "Warning": r"^(?:11[0-3]|214)\b", "X-Frame-Options": r"(?i)\b(?:allow-from|allowall|none)\b",
    "Public-Key-Pins-Report-Only": ".", "Feature-Policy": ".", "X-WebKit-CSP": ".", "X-Content-Security-Policy": ".",
    "Cross-Origin-Resource-Policy": "(?i)^(?!same-|cross-origin).", "Access-Control-Allow-Credentials": "True|TRUE",
}  # fmt: skip
SUCCESSORS = {  # beside one of them, a field is for old browsers
    "Feature-Policy": "Permissions-Policy", "X-WebKit-CSP": "Content-Security-Policy",
    "X-Content-Security-Policy": "Content-Security-Policy", "X-Frame-Options": "Content-Security-Policy",
}  # fmt: skip
REFERRER_POLICIES = {
    "no-referrer", "no-referrer-when-downgrade", "same-origin", "origin", "strict-origin", "origin-when-cross-origin",
    "strict-origin-when-cross-origin", "unsafe-url",
}  # fmt: skip
POLICY = "Content-Security-Policy"
ANY_SCRIPT = {"*", "'unsafe-eval'"}
WITH_SOURCES = re.compile(r"[a-z]+-src(?:-[a-z]+)?|frame-ancestors|base-uri|form-action")
UNQUOTED = re.compile(r"none|self|unsafe-[\w-]+")
TYPES_OF_OTHER_BODIES = {"text/plain", "text/html", "application/octet-stream"}
# Such as sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=: (id-sha-256 is that of the decoded body).
DIGEST = re.compile(r"(?i)(?<![\w-])(sha-256|sha-512|md5)=:?([\w+/]+=*)")
PLACEHOLDER = re.compile(
    rb"^(?:undefined|None|null|NaN(?:ms|s|%)?|Invalid Date|\[object Object\]|<nil>|<no value>|\(null\)|%!\w\(.*\)"
    rb"|\$[a-z]+_[a-z_]{1,99}|__[A-Z_]{1,99}__)$"
    rb"|[$#]\{\w{0,99}\}|\{\{[^{}]*\}\}|%\{[\w-]{1,99}\}[a-z]|%REQ\([\w:?-]{1,99}\)%|%\(\w{1,99}\)s"
)
URI_TEMPLATES = {"link", "link-template"}
ORDINARY = {  # the fields that have such a value
    b"None": {"accept-ranges", "x-robots-tag", "x-permitted-cross-domain-policies"},
    b"null": {"access-control-allow-origin", "timing-allow-origin"},
}
NEVER_EMPTY = {"retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}


@advisory("RFC 9110, section 5.5: a field value is that of its field; a field without a value is left out")
def test_field_values_are_not_placeholders(journal: Exchanges) -> Findings:
    """A field value SHOULD NOT be the text of a program for a missing value, such as `undefined` or `${VERSION}`.

    A text that the request contains is accepted.
    """
    for exchange in journal:
        for name, value in exchange.fields:
            part = PLACEHOLDER.search(value) if name.lower() not in URI_TEMPLATES else None
            is_of_field = name.lower() in ORDINARY.get(value, ())
            if name.lower() in NEVER_EMPTY and not value.strip():
                yield Finding(f"{name} has no value", exchange)
            if part and not is_of_field and part[0] not in request_bytes(exchange.request):
                yield Finding(f"the value of {name} is a placeholder", exchange, actual=value)


@specified("RFC 9110, section 2.2: a sender does not generate elements that do not match the grammar")
def test_usual_fields_match_their_grammar(journal: Exchanges) -> Findings:
    """`Content-Type`, `Cache-Control`, `Vary` and `Content-Language` MUST match their grammar.

    Parameters are separated by semicolons, and items of a list by commas. A value may be empty.
    """
    for exchange in journal:
        for name, value in malformed(exchange):
            yield Finding(f"{name} does not match its grammar", exchange, actual=value)


@specified(
    "RFC 9110, section 5.3: a field is repeated only if it is a list",
    repeats=["rate/429-is-complete", "schema/media-type-is-documented"],
)
def test_single_fields_are_not_repeated(journal: Exchanges) -> Findings:
    """A response MUST NOT repeat a header field that is not a list, such as `Date`, `Content-Type` or `ETag`."""
    for exchange in journal:
        for name in SINGLE:
            if len(values := exchange.values(name)) > 1:
                yield Finding(f"{name} is repeated", exchange, actual=" and ".join(values))


@advisory(
    "RFC 9530, sections 2 and 3, and RFC 1864: a client that verifies a digest discards another body",
    reads=["coding", "bytes"],
)
def test_digests_match_the_body(journal: Exchanges) -> Findings:
    """`Content-Digest`, `Repr-Digest`, `Digest` and `Content-MD5` of a 200 response SHOULD be those of its body."""
    whole = kept_whole(each for each in journal if each.request.method == "GET" and each.is_complete_200)
    stated = ((exchange, *digest) for exchange in whole for digest in _digests(exchange))
    for exchange, name, algorithm, actual in or_not_applicable(stated, "no 200 response has a digest"):
        digest = hashlib.new(algorithm.replace("-", ""), exchange.payload, usedforsecurity=False).digest()
        if actual != (expected := b64encode(digest).decode()):
            yield Finding(f"{name} is that of another body", exchange, expected=expected, actual=actual)


def _digests(exchange: Exchange) -> Iterator[tuple[str, str, str]]:
    """Yield the digests that header fields state: field, algorithm, and digest in Base64."""
    for name in ("Content-Digest", "Repr-Digest", "Digest"):
        yield from ((name, algorithm.lower(), text) for algorithm, text in DIGEST.findall(exchange.header(name)))
    yield from (("Content-MD5", "md5", text.strip()) for text in exchange.values("Content-MD5"))


@advisory(
    "OWASP HTTP Headers Cheat Sheet: fields that browsers have removed, because some of them did harm; "
    "RFC 9111, section 5.5: Warning is obsolete"
)
def test_fields_are_not_obsolete(journal: Exchanges) -> Findings:
    """A response SHOULD NOT have `X-XSS-Protection` other than 0, `Expect-CT`, `Public-Key-Pins` or `P3P`.

    Nor SHOULD it have `Public-Key-Pins-Report-Only`, or `Warning` with the code of a cache: 110 to 113, or 214. Values
    without effect are `ALLOW-FROM`, `ALLOWALL` and `NONE` of `X-Frame-Options`, `True` of
    `Access-Control-Allow-Credentials`, and unknown ones of `Cross-Origin-Resource-Policy`. `Feature-Policy`,
    `X-WebKit-CSP` and `X-Content-Security-Policy` are accepted beside the field that replaces them, and
    `X-Frame-Options` beside `Content-Security-Policy`.
    """
    for exchange in journal:
        for name, values in OBSOLETE_FIELDS.items():
            if re.search(values, exchange.header(name)) and not exchange.values(SUCCESSORS.get(name, "")):
                yield field_finding(exchange, name, f"browsers ignore {name} with this value, or it does harm")


@advisory("OWASP HTTP Headers Cheat Sheet, Referrer-Policy: URLs of a page do not go to other sites")
def test_referrer_policy_protects_urls(baseline_responses: Exchanges) -> Findings:
    """`Referrer-Policy` SHOULD have a value that browsers know, and SHOULD NOT be `unsafe-url`."""
    for exchange in with_field(baseline_responses, "Referrer-Policy"):
        policies = [policy.lower() for policy in exchange.items("Referrer-Policy")]
        if policies[-1:] == ["unsafe-url"]:
            yield field_finding(exchange, "Referrer-Policy", "browsers send the whole URL to other sites")
        elif policies and REFERRER_POLICIES.isdisjoint(policies):
            yield field_finding(exchange, "Referrer-Policy", "browsers do not know the policy", "no-referrer")


@advisory(
    "OWASP Content Security Policy Cheat Sheet: a policy that allows any source of scripts, or eval, protects no page"
)
def test_content_security_policy_restricts_scripts(baseline_responses: Exchanges) -> Findings:
    """`Content-Security-Policy` SHOULD NOT allow scripts of any source, or `unsafe-eval`.

    `default-src` is for scripts only without `script-src`. Keywords have quotation marks: without them, `none` is the
    name of a host.
    """
    for exchange in with_field(baseline_responses, POLICY):
        directives = _directives(exchange.header(POLICY))
        unquoted = [source for _, sources in directives for source in sources if UNQUOTED.fullmatch(source)]
        of_scripts = [sources for name, sources in directives if name == "script-src"]
        effective = of_scripts or [sources for name, sources in directives if name == "default-src"]
        if effective and all(ANY_SCRIPT & set(sources) for sources in effective):
            yield field_finding(exchange, POLICY, "the policy allows any script")
        elif unquoted:
            yield field_finding(exchange, POLICY, "a keyword has no quotation marks", f"'{unquoted[0]}'")


def _directives(policy: str) -> list[tuple[str, list[str]]]:
    """Return the names of the directives of a policy that list sources, in lower case, with these sources."""
    directives = (directive.lower().split() or [""] for directive in re.split("[;,]", policy))
    return [(name, sources) for name, *sources in directives if WITH_SOURCES.fullmatch(name)]


@advisory("RFC 9110, section 16.3.2.1: names consist of letters, digits, - and .; some proxies drop others")
def test_field_names_have_usual_characters(journal: Exchanges) -> Findings:
    """The name of a header field SHOULD consist of letters, digits, hyphens and dots."""
    first_with = {name.lower(): exchange for exchange in reversed(journal) for name, _ in exchange.fields}
    for name, exchange in first_with.items():
        if not USUAL_NAME.fullmatch(name):
            yield Finding("the name of a field has an unusual character", exchange, actual=name)


@advisory("RFC 9110, section 6.6.2: a sender names its trailer fields in Trailer, before the body")
def test_trailer_fields_are_announced(journal: Exchanges) -> Findings:
    """A response with trailer fields SHOULD name them in `Trailer`."""
    for exchange in or_not_applicable((each for each in journal if each.trailers), "no response has trailer fields"):
        announced = {name.lower() for name in exchange.items("Trailer")}
        for name, _ in exchange.trailers:
            if name.lower() not in announced:
                yield Finding(f"Trailer does not name {exchange.excerpt(name)}", exchange)


@advisory("W3C Trace Context, section 3.2.2.3, of a field for the same purpose: an identifier is unique")
def test_request_identifiers_differ(journal: Exchanges) -> Findings:
    """A response SHOULD NOT have two different X-Request-Id, X-Correlation-Id or Request-Id, or that of another one.

    The same is true of X-Trace-Id, X-B3-TraceId and x-amzn-RequestId, unless the request has a field about traces. A
    response to a request with such an identifier is accepted, and so is one of a cache.
    """
    first_with: dict[tuple[str, bytes], Exchange] = {}
    fresh = (each for each in journal if not any(STORED.search(each.header(name)) for name in CACHE_FIELDS))
    own = (each for each in fresh if not any(map(each.request.values, IDENTIFIER_FIELDS)))
    fields = ((exchange, *field) for exchange in own for field in exchange.fields)
    identifiers = (each for each in fields if each[1].lower() in _identifier_fields(each[0]))
    for exchange, name, value in or_not_applicable(identifiers, "no response has an identifier of its own"):
        if len(several := set(exchange.values(name))) > 1:
            yield Finding(f"a response has two different {name} fields", exchange, actual=" and ".join(sorted(several)))
            return
        first = first_with.setdefault((name.lower(), value), exchange)
        if first is not exchange:
            yield Finding(f"two responses have the same {name}", exchange, related=(first,), actual=value)
            return


def _identifier_fields(exchange: Exchange) -> frozenset[str]:
    is_traced = any(OF_TRACES.search(name) for name, _ in exchange.request.fields)
    return IDENTIFIER_FIELDS if is_traced else IDENTIFIER_FIELDS | TRACE_FIELDS


@advisory(
    "OWASP REST Security Cheat Sheet, security headers: they are for all responses; some proxies add them only to "
    "successful ones",
    repeats=["http/media-type-is-not-guessed", "http/referrer-policy-protects-urls"],
)
def test_errors_have_the_protective_fields(gate: Gate, ok_responses: Exchanges, journal: Exchanges) -> Findings:
    """A response with status 401, 403, 405 or 429, and a body, SHOULD have the protective fields of 200 responses.

    These are X-Content-Type-Options, X-Frame-Options, Referrer-Policy and Strict-Transport-Security, if each 200
    response has them.
    """
    names = [name for name in PROTECTIVE_FIELDS if all(each.values(name) for each in ok_responses)]
    if not names:
        raise NotApplicable("the 200 responses have none of the protective fields")
    for exchange in journal:
        missing = [name for name in names if not exchange.values(name)]
        if exchange.size and missing and gate.is_usual_error(exchange):
            yield Finding(f"the error lacks {' and '.join(missing)}", exchange, related=(ok_responses[0],))
            return


@advisory("RFC 9110, section 8.6, and RFC 9112, section 6.1: a 204 has neither Content-Length nor Transfer-Encoding")
def test_204_states_no_length(journal: Exchanges) -> Findings:
    """A response with status 204 SHOULD NOT have Content-Length or Transfer-Encoding."""
    for exchange in or_not_applicable((each for each in journal if each.status == 204), "no response has status 204"):
        for name in ("Content-Length", "Transfer-Encoding"):
            if exchange.values(name):
                yield field_finding(exchange, name, f"a response without content has {name}")


@specified("RFC 9110, section 7.8: a sender of Upgrade also sends the connection option upgrade")
def test_upgrade_is_a_connection_option(journal: Exchanges) -> Findings:
    """A 200 response with `Upgrade` MUST name it in `Connection`: some clients fail on `Upgrade` alone."""
    for exchange in with_field((each for each in journal if each.status == 200), "Upgrade"):
        if "upgrade" not in exchange.header("Connection").lower():
            yield field_finding(exchange, "Connection", "Connection does not name Upgrade", "upgrade")


@advisory(
    "RFC 9110, section 8.3: a sender of content states its media type; some clients guess another one",
    repeats=["schema/media-type-is-documented", "errors/error-body-is-json-with-a-detail"],
)
def test_bodies_have_a_media_type(gate: Gate, journal: Exchanges) -> Findings:
    """A response with a body SHOULD have `Content-Type`.

    For a JSON object from the overview or the health check, it SHOULD NOT be that of a text, a page or unknown bytes.
    """
    for exchange in journal:
        if exchange.size and exchange.status and not exchange.values("Content-Type"):
            yield Finding("the body has no media type", exchange)
    public = (each for each in journal if each.status == 200 and gate.is_public(each.request))
    for exchange in kept_whole(each for each in public if each.media_type in TYPES_OF_OTHER_BODIES):
        if exchange.object:
            yield field_finding(exchange, "Content-Type", "the body is JSON", "application/json")


@advisory("OWASP REST Security Cheat Sheet, security headers: a browser does not guess another media type")
def test_media_type_is_not_guessed(baseline_responses: Exchanges) -> Findings:
    """A response with a body SHOULD have `X-Content-Type-Options: nosniff`."""
    for exchange in baseline_responses:
        name = "X-Content-Type-Options"
        first = exchange.header(name).split(",")[0]  # the only one that counts (Fetch standard)
        if exchange.size and first.strip().lower() != "nosniff":
            yield field_finding(exchange, name, "a browser may guess the media type", "nosniff")


@advisory(
    "OWASP API4, unrestricted resource consumption; the documented members take a few kilobytes",
    repeats=["errors/error-body-is-json-with-a-detail", "http/responses-are-complete", "schema/body-is-json"],
)
def test_responses_are_small(baseline_responses: Exchanges) -> Findings:
    """A response SHOULD NOT have a body of more than 64 KiB, or header fields of more than 4 KiB.

    Many proxies reserve 4 KiB for a head.
    """
    for exchange in baseline_responses:
        size = sum(len(f"{name}: \r\n") + len(value) for name, value in exchange.fields)
        if size > LARGEST_HEAD:
            yield Finding("the header fields are large", exchange, expected="at most 4 KiB", actual=f"{size} bytes")
        if exchange.size > LARGEST_BODY:
            yield Finding("the body is large", exchange, expected="at most 64 KiB", actual=f"{exchange.size} bytes")


@advisory(
    "RFC 9110, 9111 and 9112, as httplint reads them; RFC 8594, section 3, and RFC 9745: Sunset and Deprecation",
    repeats=[
        "auth/valid-key-is-200",
        "http/responses-are-complete",
        "http/content-encoding-matches-the-body",
        "http/nothing-follows-a-response",
        "schema/body-is-json",
        "schema/media-type-is-documented",
    ],
    reads=["framing"],
)
def test_headers_are_well_formed(baseline_responses: Exchanges) -> Findings:
    """A response SHOULD have well-formed header fields that do not contradict each other."""
    answered = [exchange for exchange in baseline_responses if exchange.status]
    # The check of one head takes milliseconds, so values that are plain are not compared.
    heads = {(exchange.status, *map(_without_plain_value, exchange.fields)): exchange for exchange in answered}
    for exchange in heads.values():
        yield from (Finding(complaint, exchange) for complaint in complaints(exchange))


@advisory(
    "RFC 9110, 9111 and 9112, as httplint reads them",
    repeats=[
        "http/cookies-are-protected",
        "http/cookies-are-well-formed",
        "http/headers-are-well-formed",
        "http/other-responses-are-complete",
        "rate/429-is-complete",
        "rate/retry-after-is-well-formed",
        "robustness/redirects-have-a-location",
    ],
    reads=["framing"],
)
def test_other_headers_are_well_formed(gate: Gate, baseline_responses: Exchanges, journal: Exchanges) -> Findings:
    """The first response with each status to each method SHOULD have well-formed header fields, too.

    So do the overview and the health check. Statuses that a proxy sends itself, such as 400 and 431, are not judged.
    """
    usual = (each for each in journal if USUAL_TARGET.fullmatch(each.request.target) and each.ending == "complete")
    others = [each for each in usual if each.status in READ_STATUSES]
    heads = {(each.status, each.request.method, _public_route(gate, each)): each for each in reversed(others)}
    known = {(each.status, each.request.method, b"") for each in baseline_responses}
    for exchange in (each for kind, each in heads.items() if kind not in known):
        yield from (Finding(complaint, exchange) for complaint in complaints(exchange))


def _public_route(gate: Gate, exchange: Exchange) -> bytes:
    return exchange.request.target if gate.is_public(exchange.request) else b""


def _without_plain_value(field: tuple[str, bytes]) -> tuple[str, bytes]:
    name, value = field
    return name, b"" if PLAIN_VALUE.fullmatch(value) else value
