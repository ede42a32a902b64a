"""HTTP header fields: cookies, identifiers, policies, and fields that contradict each other."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator

from contract_tests.support.findings import Finding, Findings, field_finding
from contract_tests.support.gate import Gate
from contract_tests.support.rules import advisory, specified
from contract_tests.wire.connection import request_bytes
from contract_tests.wire.http_lint import SINGLE, complaints
from contract_tests.wire.messages import IDENTIFIER_FIELDS, Exchange, Exchanges, kept_whole, with_field
from contract_tests.wire.not_tested import or_not_applicable

LARGEST_BODY, LARGEST_HEAD = 1 << 16, 1 << 12  # bytes
USUAL_NAME = re.compile(r"[a-z0-9.-]+")
SAME_SITE = {"strict", "lax", "none"}
PLAIN_VALUE = re.compile(rb"[ -~]*")
# RFC 6265, section 4.1.1: printable ASCII without space, comma, semicolon, backslash and inner quotation marks.
COOKIE_VALUE = re.compile(r'[!#-+\--:<-\[\]-~]*|"[!#-+\--:<-\[\]-~]*"')
OBSOLETE_FIELDS = {  # and the values that do harm
    "X-XSS-Protection": "[^ 0,]", "Expect-CT": ".", "Public-Key-Pins": ".", "P3P": ".",
    "Warning": r"^(?:11[0-3]|214)\b", "X-Frame-Options": "(?i)allow-from",
}  # fmt: skip
POLICY = "Content-Security-Policy"
SCRIPT_DIRECTIVES, ANY_SCRIPT = {"default-src", "script-src"}, {"*", "'unsafe-eval'"}
WITH_SOURCES = re.compile(r"[a-z]+-src(?:-[a-z]+)?|frame-ancestors|base-uri|form-action")
UNQUOTED = re.compile(r"none|self|unsafe-[\w-]+")
TYPES_OF_OTHER_BODIES = {"text/plain", "text/html", "application/octet-stream"}
COOKIE_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d[ -][A-Z][a-z]{2}[ -]\d{4} \d\d:\d\d:\d\d GMT")
# Such as sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=: (id-sha-256 is that of the decoded body).
DIGEST = re.compile(r"(?i)(?<![\w-])(sha-256|sha-512|md5)=:?([\w+/]+=*)")
PLACEHOLDER = re.compile(
    rb"^(?:undefined|None|NaN(?:ms|s|%)?|Invalid Date|\[object Object\]|<nil>|\(null\)|%!\w\(.*\))$"
    rb"|\$\{\w{0,99}\}|\{\{[^{}]*\}\}"
)
URI_TEMPLATES = {"link", "link-template"}
WITH_NONE = {"accept-ranges", "x-robots-tag", "x-permitted-cross-domain-policies"}  # "none" is one of their values


@advisory("RFC 9110, section 5.5: a field value is that of its field; a field without a value is left out")
def test_field_values_are_not_placeholders(journal: Exchanges) -> Findings:
    """A field value SHOULD NOT be the text of a program for a missing value, such as `undefined` or `${VERSION}`.

    A text that the request contains is accepted.
    """
    for exchange in journal:
        for name, value in exchange.fields:
            part = PLACEHOLDER.search(value) if name.lower() not in URI_TEMPLATES else None
            is_of_field = name.lower() in WITH_NONE and value == b"None"
            if part and not is_of_field and part[0] not in request_bytes(exchange.request):
                yield Finding(f"the value of {name} is a placeholder", exchange, actual=value)


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

    Nor SHOULD it have `X-Frame-Options` with `ALLOW-FROM`, or `Warning` with the code of a cache: 110 to 113, or 214.
    """
    for exchange in journal:
        for name, values in OBSOLETE_FIELDS.items():
            if re.search(values, exchange.header(name)):
                yield field_finding(exchange, name, f"{name} is obsolete")


@advisory("OWASP HTTP Headers Cheat Sheet, Referrer-Policy: URLs of a page do not go to other sites")
def test_referrer_policy_protects_urls(baseline_responses: Exchanges) -> Findings:
    """`Referrer-Policy` SHOULD NOT be `unsafe-url`."""
    for exchange in with_field(baseline_responses, "Referrer-Policy"):
        if exchange.header("Referrer-Policy").lower().rpartition(",")[2].strip() == "unsafe-url":
            yield field_finding(exchange, "Referrer-Policy", "browsers send the whole URL to other sites")


@advisory(
    "OWASP Content Security Policy Cheat Sheet: a policy that allows any source of scripts, or eval, protects no page"
)
def test_content_security_policy_restricts_scripts(baseline_responses: Exchanges) -> Findings:
    """`Content-Security-Policy` SHOULD NOT allow scripts of any source, or `unsafe-eval`.

    Keywords have quotation marks: without them, `none` is the name of a host.
    """
    for exchange in with_field(baseline_responses, POLICY):
        directives = _directives(exchange.header(POLICY))
        unquoted = [source for _, sources in directives for source in sources if UNQUOTED.fullmatch(source)]
        if any(name in SCRIPT_DIRECTIVES and ANY_SCRIPT & set(sources) for name, sources in directives):
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

    A response to a request with such a field is accepted.
    """
    first_with: dict[tuple[str, bytes], Exchange] = {}
    own = (each for each in journal if not any(map(each.request.values, IDENTIFIER_FIELDS)))
    fields = ((exchange, *field) for exchange in own for field in exchange.fields)
    identifiers = (each for each in fields if each[1].lower() in IDENTIFIER_FIELDS)
    for exchange, name, value in or_not_applicable(identifiers, "no response has an identifier of its own"):
        if len(several := set(exchange.values(name))) > 1:
            yield Finding(f"a response has two different {name} fields", exchange, actual=" and ".join(sorted(several)))
            return
        first = first_with.setdefault((name.lower(), value), exchange)
        if first is not exchange:
            yield Finding(f"two responses have the same {name}", exchange, related=(first,), actual=value)
            return


@advisory(
    "RFC 6265, section 4.1.2: HttpOnly and Secure keep a cookie from scripts and from plain HTTP; "
    "OWASP Session Management Cheat Sheet: SameSite keeps it from requests of other sites"
)
def test_cookies_are_protected(gate: Gate, journal: Exchanges) -> Findings:
    """A cookie that a response sets SHOULD have `HttpOnly` and `SameSite`, and over HTTPS also `Secure`.

    `Secure` is also needed beside `SameSite=None`. A cookie without a value is one that the response deletes.
    `SameSite` has a known value. `Domain` is the host of the deployment, or a domain that contains it. A cookie whose
    name begins with `__Host-` has no `Domain`.
    """
    host = gate.settings.target.host.lower()
    usual = {"httponly", "samesite", *(["secure"] if gate.settings.target.scheme == "https" else [])}
    cookies = ((each, *cookie) for each in with_field(journal, "Set-Cookie") for cookie in _cookies(each))
    for exchange, name, value, attributes in cookies:
        is_deleted = not value.strip('"')
        domain, same_site = attributes.get("domain", "").removeprefix("."), attributes.get("samesite")
        if domain and name.lower().startswith("__host-"):
            yield Finding("a cookie for one host has a Domain", exchange, actual=f"{name}, Domain={domain}")
        elif domain and not is_deleted and not f".{host}".endswith(f".{domain}"):
            yield Finding("a cookie is for another host", exchange, expected=host, actual=domain)
        stated = attributes.keys() - (set() if same_site in SAME_SITE else {"samesite"})
        missing = (usual | {"secure"} if same_site == "none" else usual) - stated
        if missing and not is_deleted:
            yield Finding(f"a cookie lacks {' and '.join(sorted(missing))}", exchange, actual=name)


def _cookies(exchange: Exchange) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield the cookies that a response sets: name, value, and attributes, the latter in lower case."""
    for line in exchange.values("Set-Cookie"):
        (name, value), *attributes = (part.strip().partition("=")[::2] for part in line.split(";"))
        yield name, value, {key.lower(): text.strip('" ').lower() for key, text in attributes}


@advisory("RFC 6265, section 4.1.1: the grammar of a cookie, and one field for each name")
def test_cookies_are_well_formed(journal: Exchanges) -> Findings:
    """A response SHOULD set each cookie once, with a value without commas, spaces and inner quotation marks.

    `Expires` is an HTTP date, in which hyphens are accepted.
    """
    for exchange in with_field(journal, "Set-Cookie"):
        cookies = list(_cookies(exchange))
        names = Counter(name for name, _, _ in cookies)
        for name, value, _ in cookies:
            if not COOKIE_VALUE.fullmatch(value):
                yield Finding("the value of a cookie is malformed", exchange, actual=name)
            if names[name] > 1:
                yield Finding("a cookie is set twice", exchange, actual=name)
                break
        for date in re.findall(r"(?i); *expires=([^;\n]*)", "\n".join(exchange.values("Set-Cookie"))):
            if not COOKIE_DATE.fullmatch(date.strip()):
                yield Finding("a cookie does not expire at a date", exchange, actual=date)


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


def _without_plain_value(field: tuple[str, bytes]) -> tuple[str, bytes]:
    name, value = field
    return name, b"" if PLAIN_VALUE.fullmatch(value) else value
