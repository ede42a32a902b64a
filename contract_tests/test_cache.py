"""Caches: the age and the lifetime of a response, and the clients that it is for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

from contract_tests.support.findings import Finding, Findings, field_finding
from contract_tests.support.gate import VISITOR, Gate
from contract_tests.support.rules import DOCUMENT, advisory, documented, specified
from contract_tests.wire.dates import CLOCKS_DIFFER, is_date, made_at, timestamp
from contract_tests.wire.messages import AUTH_ERRORS, Exchange, Exchanges, distinct, with_field
from contract_tests.wire.not_tested import NotApplicable, or_not_applicable, or_not_tested

# Take precedence for caches of this kind (RFC 9213).
TARGETED = ("CDN-Cache-Control", "Surrogate-Control", "Cloudflare-CDN-Cache-Control", "Vercel-CDN-Cache-Control")
REVALIDATED = {"no-store", "no-cache", "must-revalidate"}  # a cache serves no stale response
PRIVATE = {"private", "no-store", "no-cache"}  # no shared cache serves such a response without asking the server
# Values that state that a cache stored the response; "hit-for-pass" states that it did not.
HIT = r"(?i)(?:^|,\s*)(?:tcp_(?:mem_)?)?hit(?![\w-]|\s+for\b)"
STORED = {
    "Age": "[1-9]", "X-Cache": HIT, "X-Cache-Status": HIT, "X-Proxy-Cache": HIT, "CF-Cache-Status": HIT,
    "Cache-Status": r"(?i);[ \t]*hit(?![\w-]|=\?0)",
}  # fmt: skip
# Cookies that a proxy adds to each response, after its own cache.
COOKIE_OF_A_PROXY = re.compile(
    r"(?i)__cf|_cfuvid|cf_|aws[ae]lb|ak_|bm_|_abck|incap_|visid_incap|nlbi_|arraffinity|tipmix=|x-ms-routing-name="
    r"|aslbsa|applicationgatewayaffinity|gclb=|bigipserver|ts[0-9a-f]{6,8}=|nsc_|citrix_ns_id|cookiesession1=|acw_tc="
    r"|datadome=|ingresscookie=|serverid="
)
OWN_COOKIES: tuple[list[bytes], ...] = ([], [VISITOR[1].encode()])  # they name no session
DAY = 24 * 60 * 60  # seconds
LONGEST_STALE = 60 * 60  # seconds
STALE = re.compile(r"stale-(?:while-revalidate|if-error)=(\d{1,15})")
MISSPELT = re.compile(r"no_?store|no_?cache|max_?age|s_?max-?age|s-max-age|must_?revalidate")
OLDEST = 60  # seconds: a cache in front of the deployment may keep a response for a moment
OLDEST_AGE = f"at most {OLDEST} s"


@advisory("RFC 9110, section 12.5.5: Vary names the request fields by which a response was selected", reads=["coding"])
def test_negotiated_coding_has_vary(gate: Gate, ok_responses: Exchanges, journal: Exchanges) -> Findings:
    """A response with a content coding that usual responses lack SHOULD name `Accept-Encoding` in `Vary`.

    A response with `no-store` need not.
    """
    usual = set.intersection(*(set(exchange.codings) for exchange in ok_responses))
    served = (each for each in journal if gate.is_ok(each) or (each.status == 200 and gate.is_public(each.request)))
    coded = (exchange for exchange in served if set(exchange.codings) - usual)
    missing = "no 200 response is compressed only because its request accepts that"
    yield from _not_named_in_vary("Accept-Encoding", or_not_applicable(coded, missing))


@advisory("RFC 9110, section 12.5.5: Vary names the request fields by which a response was selected")
def test_translations_have_vary(journal: Exchanges) -> Findings:
    """A response with status 401 or 404 and a translated `detail` SHOULD have `Vary: Accept-Language`.

    A detail is translated if it is not the one that all such responses to requests without Accept-Language have. With
    status 401, responses to requests without a key are compared; with 404, those at two paths or more.
    """
    bare = (each for each in journal if not each.request.credential and each.request.values("Cookie") in OWN_COOKIES)
    refused = _by_language(each for each in bare if each.status == 401)
    unknown = _by_language(each for each in journal if each.status == 404)
    several_paths = len(set(map(_path, unknown[0]))) > 1
    comparable = [
        (_detail(usual[0]), in_a_language)
        for usual, in_a_language in (refused, *([unknown] if several_paths else []))
        if len(usual) > 1 and len(set(map(_detail, usual))) == 1
    ]
    if not comparable:
        raise NotApplicable("neither the responses with status 401 nor those with 404 to several paths have one detail")
    pairs = [(detail, exchange) for detail, in_a_language in comparable for exchange in in_a_language]
    judged = or_not_tested(pairs, "no response with such a status is to a request with Accept-Language")
    yield from _not_named_in_vary("Accept-Language", (each for detail, each in judged if _detail(each) != detail))


def _by_language(exchanges: Iterable[Exchange]) -> tuple[Exchanges, Exchanges]:
    """Return the responses with a detail to requests without Accept-Language, and those to others."""
    described = [each for each in exchanges if not each.abridged and _detail(each)]
    usual = [each for each in described if not each.request.values("Accept-Language")]
    return usual, [each for each in described if each.request.values("Accept-Language")]


def _detail(exchange: Exchange) -> str:
    """Return the detail of a response, without the target of its request."""
    return str(exchange.object.get("detail") or "").replace(_path(exchange), "")


def _path(exchange: Exchange) -> str:
    return exchange.request.path.decode("latin-1")


@advisory("Fetch standard, CORS protocol and HTTP caches: Vary names Origin where the allowed origin depends on it")
def test_allowed_origin_has_vary(journal: Exchanges) -> Findings:
    """A response to GET that allows the origin of its request by name SHOULD name `Origin` in `Vary`.

    A response with `no-store` need not. Nor need the responses of a server that allows only one origin.
    """
    allowing = [each for each in journal if each.request.method == "GET" and _names_its_origin(each)]
    several = len({exchange.header("Access-Control-Allow-Origin") for exchange in allowing}) > 1
    missing = "no responses allow several origins by name"
    yield from _not_named_in_vary("Origin", or_not_applicable(allowing if several else (), missing))


def _not_named_in_vary(field: str, exchanges: Iterable[Exchange]) -> Findings:
    """Yield a finding for each response that a cache may store, and whose Vary does not name a request field."""
    for exchange in exchanges:
        is_named = {"*", field.lower()} & set(_items(exchange, "Vary"))
        if not is_named and "no-store" not in _items(exchange, "Cache-Control"):
            yield field_finding(exchange, "Vary", f"Vary does not name {field}", field)


def _names_its_origin(exchange: Exchange) -> bool:
    allowed = exchange.header("Access-Control-Allow-Origin").encode("latin-1")
    return bool(allowed) and allowed in exchange.request.values("Origin")


@documented(f'{DOCUMENT}, UsageResponse.rate_limit.remaining: "Available tokens now"; RFC 9111, section 5.1')
def test_metrics_are_not_old(all_ok_responses: Exchanges) -> Findings:
    """A 200 response MUST NOT have an `Age` of more than one minute."""
    for exchange in all_ok_responses:
        if _age(exchange) > OLDEST:
            actual = exchange.header("Age")
            yield Finding("Age is that of an old response", exchange, expected=OLDEST_AGE, actual=actual)


@specified("RFC 9111, section 5.1: Age is a number of whole seconds")
def test_age_is_in_whole_seconds(journal: Exchanges) -> Findings:
    """`Age` MUST consist of digits."""
    for exchange in with_field(journal, "Age"):
        for age in exchange.values("Age"):
            if not (age.isascii() and age.isdecimal()):
                yield Finding("Age is not a number of seconds", exchange, actual=age)


@specified("RFC 9110, section 8.8.2.1: an origin server does not generate a later Last-Modified than Date")
def test_last_modified_is_not_later_than_date(journal: Exchanges) -> Findings:
    """`Last-Modified` MUST NOT be later than `Date`.

    A difference of one minute is accepted, because a proxy may have added `Date`.
    """
    dated = (each for each in journal if is_date(each.header("Date")) and each.values("Last-Modified"))
    for exchange in or_not_applicable(dated, "no response has both Last-Modified and a valid Date"):
        modified, date = exchange.header("Last-Modified"), exchange.header("Date")
        at = timestamp(modified)
        if at is not None and at - made_at(exchange) > CLOCKS_DIFFER:
            yield Finding("Last-Modified is later than Date", exchange, expected=f"at most {date}", actual=modified)


@advisory(
    "RFC 9111, sections 4.2.2 and 5.2.2: a cache may choose a lifetime for a response that states none",
    repeats=["cache/responses-are-not-shared-by-caches"],
)
def test_caching_is_forbidden(gate: Gate, all_ok_responses: Exchanges) -> Findings:
    """A 200 response SHOULD have `Cache-Control` with `no-store`, `no-cache`, `private` or `max-age=0`.

    `Vary` with the name of the key header is accepted as well.
    """
    for exchange in all_ok_responses:
        control, vary = _items(exchange, "Cache-Control"), _items(exchange, "Vary")
        if not ({*PRIVATE, "max-age=0"} & set(control) or {"*", gate.key_header.lower()} & set(vary)):
            yield field_finding(exchange, "Cache-Control", "a cache may store the response", "no-store")


@advisory(
    f'{DOCUMENT}, UsageResponse.rate_limit.remaining: "Available tokens now"; RFC 9111, section 4.2',
    repeats=["cache/responses-are-not-shared-by-caches"],
)
def test_metrics_have_no_lifetime(all_ok_responses: Exchanges) -> Findings:
    """A 200 response SHOULD NOT have a lifetime of more than one minute, also in the cache of a client.

    `stale-while-revalidate` and `stale-if-error` are at most an hour, unless another directive forbids stale responses.
    """
    for exchange in all_ok_responses:
        control = _items(exchange, "Cache-Control")
        stale = [int(found[1]) for each in control if (found := STALE.fullmatch(each))]
        if max(stale, default=0) > LONGEST_STALE and not REVALIDATED & set(control):
            yield _lifetime_finding("a cache may serve stale usage metrics", exchange)
        if _lifetime(exchange) > OLDEST:
            yield _lifetime_finding("a cache may serve old usage metrics", exchange)


@advisory(
    "RFC 9111, section 4.2: a cache serves a response for its lifetime, and the state of the server may have changed"
)
def test_health_check_has_no_lifetime(gate: Gate, journal: Exchanges) -> Findings:
    """A 200 response to the health check SHOULD NOT have a lifetime, or an `Age`, of more than one minute."""
    checks = (each for each in journal if gate.is_health_check(each.request) and each.status == 200)
    for exchange in or_not_applicable(checks, "no health check has a 200 response"):
        if _lifetime(exchange) > OLDEST:
            yield _lifetime_finding("a cache may serve an old state of the server", exchange)
        elif _age(exchange) > OLDEST:
            actual = exchange.header("Age")
            yield Finding("a cache serves an old state of the server", exchange, expected=OLDEST_AGE, actual=actual)


@advisory(
    "RFC 9110, section 12.5.5: without Vary, a cache uses the response for other keys, too",
    repeats=["cache/responses-are-not-shared-by-caches", "cache/metrics-have-no-lifetime"],
)
def test_lifetime_has_vary(gate: Gate, all_ok_responses: Exchanges) -> Findings:
    """A 200 response with a lifetime SHOULD name the key header in `Vary`."""
    lasting = (exchange for exchange in all_ok_responses if _lifetime(exchange) > 0)
    yield from _not_named_in_vary(gate.key_header, or_not_applicable(lasting, "no 200 response has a lifetime"))


@advisory(
    f"{DOCUMENT}, 401 and 403: a key that becomes valid is accepted; RFC 6585, section 4: 429 is not stored",
    repeats=["cache/responses-are-not-shared-by-caches"],
)
def test_errors_are_not_stored(gate: Gate, baseline_responses: object, journal: Exchanges) -> Findings:
    """A response with status 401, 403 or 429 SHOULD NOT have a lifetime, also in the cache of a client.

    A response to a request without a key is accepted if `Vary` names the key header. No response with status 404, 405
    or 406 has a lifetime of more than a day. One with status 400, 405 or 406 to GET or HEAD of the operation is not
    stored by shared caches, except by its `Accept`.
    """
    path = gate.path.encode()
    for exchange in journal:
        if exchange.status in {404, 405, 406} and _lifetime(exchange) > DAY:
            yield _lifetime_finding("a cache may serve an error for more than a day", exchange)
        is_read = exchange.request.method in {"GET", "HEAD"} and exchange.request.target == path
        is_refused = exchange.status in {400, 405, 406} and not {"*", "accept"} & set(_items(exchange, "Vary"))
        if is_read and is_refused and _allows_sharing(exchange, "Cache-Control"):
            yield _lifetime_finding("a cache may serve an error of one request to others", exchange)
        is_error = exchange.status in {429, *AUTH_ERRORS}
        is_for_no_key = not exchange.request.credential and gate.key_header.lower() in _items(exchange, "Vary")
        if is_error and not is_for_no_key and _lifetime(exchange) > 0:
            yield _lifetime_finding("a cache may serve an error that no longer applies", exchange)


@advisory("RFC 9111, section 4.2.1: a cache chooses one of two directives that contradict each other")
def test_cache_directives_agree(journal: Exchanges) -> Findings:
    """`Cache-Control` SHOULD NOT have `private` beside `public`, or `no-store` beside a lifetime or `public`.

    Nor SHOULD it state `max-age` or `s-maxage` twice with different values, or misspell a directive, such as `nostore`.
    Beside `no-store` or `max-age=0`, `Expires` is at most a day later than `Date`.
    """
    for exchange in with_field(journal, "Cache-Control"):
        control = _items(exchange, "Cache-Control")
        forbids_storing = "no-store" in control and ("public" in control or any(_ages(control)))
        is_stated_twice = any(
            len(set(_ages(each for each in control if each.startswith(name)))) > 1 for name in ("max-age", "s-maxage")
        )
        if forbids_storing or is_stated_twice or {"private", "public"} <= set(control):
            yield field_finding(exchange, "Cache-Control", "directives of Cache-Control contradict each other")
        elif any(MISSPELT.fullmatch(each.partition("=")[0]) for each in control):
            yield field_finding(exchange, "Cache-Control", "a directive of Cache-Control is misspelt")
        elif {"no-store", "max-age=0"} & set(control) and _seconds_until_expiry(exchange) > DAY:
            yield _lifetime_finding("Expires contradicts Cache-Control", exchange)


@specified("RFC 9111, sections 5.2.2.1 and 5.2.2.10: a sender does not generate the form in quotation marks")
def test_lifetimes_have_no_quotation_marks(journal: Exchanges) -> Findings:
    """`max-age` and `s-maxage` in `Cache-Control` MUST NOT have a value in quotation marks."""
    for exchange in with_field(journal, "Cache-Control"):
        if any(each.startswith(('max-age="', 's-maxage="')) for each in _items(exchange, "Cache-Control")):
            yield field_finding(exchange, "Cache-Control", "a lifetime is in quotation marks")


@advisory("RFC 9111, sections 5.2.2.4 and 5.2.2.7: a sender uses the form in quotation marks")
def test_cached_field_names_are_quoted(journal: Exchanges) -> Findings:
    """The names of fields in `no-cache="…"` and `private="…"` SHOULD be in quotation marks."""
    for exchange in with_field(journal, "Cache-Control"):
        if re.search(r"\b(?:no-cache|private)=[^\"]", exchange.header("Cache-Control").lower()):
            yield field_finding(exchange, "Cache-Control", "the name of a field is not in quotation marks")


@advisory(
    "RFC 9111, sections 5.2.2.5 and 5.2.2.7: no cache stores a response with no-store, and no shared one with private",
    repeats=["cache/age-is-in-whole-seconds", "cache/metrics-are-not-old"],
)
def test_no_store_is_respected(gate: Gate, journal: Exchanges) -> Findings:
    """A response with `no-store` or `private` SHOULD NOT have an `Age` of more than 0, or a hit in `X-Cache`.

    Nor does `X-Cache-Status`, `X-Proxy-Cache`, `CF-Cache-Status` or `Cache-Status` state a hit. `CDN-Cache-Control` or
    a similar field may allow the server's own cache to store it. So may `Vary` with the name of the key header beside
    `private`.
    """
    untargeted = (each for each in journal if not any(map(each.values, (*TARGETED, "X-Accel-Expires"))))
    not_stored = (each for each in untargeted if _forbids_shared_caches(gate, each))
    for exchange in or_not_applicable(not_stored, "no response has no-store or private for every cache"):
        for name, stored in STORED.items():
            if re.search(stored, value := exchange.header(name)):
                yield Finding("a cache stored the response", exchange, actual=f"{name}: {value}")


def _forbids_shared_caches(gate: Gate, exchange: Exchange) -> bool:
    control = _items(exchange, "Cache-Control")
    is_for_one_key = {"*", gate.key_header.lower()} & set(_items(exchange, "Vary"))
    return "no-store" in control or ("private" in control and not is_for_one_key)


def _lifetime_finding(problem: str, exchange: Exchange) -> Finding:
    actual = ", ".join(f"{name}: {value}" for name in ("Cache-Control", "Expires") if (value := exchange.header(name)))
    return Finding(problem, exchange, expected="no-store", actual=actual)


@documented(f"{DOCUMENT}, 200: metrics for the authenticated key; 401, 403: a refusal of one key; RFC 9111, section 3")
def test_responses_are_not_shared_by_caches(gate: Gate, baseline_responses: Exchanges, journal: Exchanges) -> Findings:
    """A response with status 200, 401, 403 or 429 MUST NOT allow a shared cache to serve it to another client."""
    others = (each for each in journal if each.status == 429 or gate.is_ok(each))
    for exchange in distinct(*baseline_responses, *others):
        if _may_be_shared(gate, exchange):
            stated = {name: exchange.header(name) for name in ("Cache-Control", *TARGETED, "Vary")}
            actual = ", ".join(f"{name}: {value}" for name, value in stated.items() if value)
            problem, expected = "a shared cache may store the response", "private or no-store"
            yield Finding(problem, exchange, expected=expected, actual=actual)


@advisory(
    "RFC 9111, section 7.3: Set-Cookie does not inhibit caching; a shared cache sends the cookie to other clients",
    repeats=["cache/responses-are-not-shared-by-caches"],
)
def test_cookies_are_not_shared_by_caches(journal: Exchanges) -> Findings:
    """A response with Set-Cookie SHOULD NOT allow a shared cache to store it.

    `Cache-Control` may exclude the field by its name. A proxy may add its own cookies after its cache.
    """
    stored = (each for each in journal if each.request.method in {"GET", "HEAD"})
    for exchange in with_field(stored, "Set-Cookie"):
        own = [each for each in exchange.values("Set-Cookie") if not COOKIE_OF_A_PROXY.match(each.strip())]
        is_excluded = "set-cookie" in exchange.header("Cache-Control").lower() or "*" in _items(exchange, "Vary")
        if own and not is_excluded and _allows_sharing(exchange, "Cache-Control"):
            actual = exchange.header("Cache-Control") or exchange.header("Expires")
            yield Finding("a shared cache may store the cookie", exchange, expected="private", actual=actual)


def _may_be_shared(gate: Gate, exchange: Exchange) -> bool:
    is_for_one_key = {"*", gate.key_header.lower()} & set(_items(exchange, "Vary"))
    if exchange.status not in {200, 429, *AUTH_ERRORS} or is_for_one_key:
        return False
    targeted = (name for name in TARGETED if exchange.header(name))
    return any(_allows_sharing(exchange, name) for name in ("Cache-Control", *targeted))


def _allows_sharing(exchange: Exchange, field: str) -> bool:
    """Whether a field permits a shared cache to store the response (RFC 9111, sections 3 and 4.2.1)."""
    control = _items(exchange, field)
    if PRIVATE & set(control):
        return False
    for_shared_caches = [item for item in control if item.startswith("s-maxage")]  # takes precedence over max-age
    ages = _ages(for_shared_caches or control)
    if ages or not exchange.values("Expires"):
        return any(ages) or ("public" in control and not ages)
    return _seconds_until_expiry(exchange) > 0


def _lifetime(exchange: Exchange) -> Decimal:
    """Return the seconds for which the cache of a client may use a response without asking the server."""
    control = _items(exchange, "Cache-Control")
    if {"no-store", "no-cache"} & set(control) or "*" in _items(exchange, "Vary"):
        return Decimal(0)
    ages = _ages(item for item in control if item.startswith("max-age"))
    return ages[0] if ages else _seconds_until_expiry(exchange)


def _age(exchange: Exchange) -> Decimal:
    age = exchange.header("Age")
    return Decimal(age) if age.isdecimal() else Decimal(0)


def _ages(directives: Iterable[str]) -> list[Decimal]:
    """Return the seconds of `max-age` and `s-maxage`."""
    return [
        Decimal(age)
        for directive in directives
        if (age := directive.partition("=")[2].strip('"')).isdecimal() and directive.startswith(("max-age", "s-maxage"))
    ]


def _items(exchange: Exchange, field: str) -> list[str]:
    """Return the items of a list field in lower case, without white space."""
    return "".join(exchange.header(field).lower().split()).split(",")


def _seconds_until_expiry(exchange: Exchange) -> Decimal:
    """Return the seconds from Date to Expires; a value that is not a date has expired (RFC 9111, section 5.3)."""
    expires = timestamp(exchange.header("Expires"))
    return Decimal(0) if expires is None else Decimal(expires - made_at(exchange))
