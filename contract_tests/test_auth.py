"""Authentication: a valid key in its header is accepted, and every other value is rejected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest

from contract_tests.metrics.schema import contract
from contract_tests.metrics.view import UsageMetrics
from contract_tests.run import wrong_keys
from contract_tests.run.examples import examples_of_each
from contract_tests.run.facts import NEEDS_AUTH_ERRORS, NEEDS_VALID_KEY, UNKNOWN_KEY_REFUSED
from contract_tests.run.findings import Finding, body_findings, status_finding
from contract_tests.run.gate import BROWSER, Gate
from contract_tests.run.probes import Probing, send_concurrently, send_in_turn
from contract_tests.run.rules import AUTHENTICATION_GUIDE, DOCUMENT, HEADER_ONLY, advisory, documented, specified
from contract_tests.run.scheduler import Scheduler
from contract_tests.wire.messages import (
    AUTH_ERRORS,
    CLIENT_ERRORS,
    LATE_ENDINGS,
    SUCCESSES,
    UNSUSPICIOUS,
    Credential,
    Exchange,
    Request,
)
from contract_tests.wire.not_tested import NotTested

INVALID = f"{DOCUMENT}, 401 and 403: invalid API key"
HEALTH = "get_health"
COMPRESSING_BROWSER = (*BROWSER, ("Accept-Encoding", "gzip"))
BROWSER_FIELDS = (
    *(field for field in BROWSER if field[0] != "Accept"),
    ("Accept", "application/json, text/plain, */*"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Cache-Control", "no-cache"),
    ("Pragma", "no-cache"),
    ("Cookie", "theme=dark; visitor=17"),
    ("DNT", "1"),
    ("Sec-Fetch-Dest", "empty"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Site", "same-origin"),
)
OTHER_CREDENTIALS = (("Authorization", "Bearer of-another-service"), ("Cookie", "session=of-another-service"))
FEWEST_REJECTIONS = 10  # a firewall may reject a few unusual requests at the end of a run
ADDRESS, NUMBER = "203.0.113.7", "6f1c2e7a"
# Fields that browsers, proxies and tracing add: more than some servers have room for.
FIELDS_ON_THE_WAY = (
    *(("Forwarded", f"for={ADDRESS}"), ("X-Forwarded-For", "2001:db8::7"), ("X-Real-IP", ADDRESS)),
    *(("X-Forwarded-Proto", "https"), ("X-Forwarded-Port", "443"), ("Via", "1.1 proxy.example")),
    *(("X-Request-Id", NUMBER), ("X-Correlation-Id", NUMBER), ("CDN-Loop", "cdn.example")),
    *(("Sec-CH-UA", '"Chromium";v="140"'), ("Sec-CH-UA-Mobile", "?0"), ("Sec-CH-UA-Platform", '"Linux"')),
    *(("Accept-Charset", "utf-8"), ("Priority", "u=1, i"), ("Save-Data", "on"), ("Sec-GPC", "1")),
    *(("traceparent", f"00-{NUMBER * 4}-{NUMBER * 2}-01"), ("baggage", "a=1")),
)
MOST_SHOWN_KEYS = 3  # texts of api_key that are sent as keys: one for each key that a run commonly has


@specified(f"{DOCUMENT}, 200: usage metrics for the authenticated API key")
def test_valid_key_is_200(ok_responses: list[Exchange]) -> Iterator[Finding]:
    """A response to a baseline request with a valid key MUST have status 200."""
    return _wrongly_rejected(exchange for exchange in ok_responses if exchange.ending != "malformed")


@documented(INVALID, repeats=["auth/valid-key-is-200"])
def test_accepted_key_remains_valid(gate: Gate, journal: tuple[Exchange, ...]) -> Iterator[Finding]:
    """A key that was accepted MUST NOT be rejected from some time on.

    It has 401 or 403 in at least ten responses after the last 200.
    """
    for key in gate.keys:
        of_key = [exchange for exchange in journal if exchange.request.credential == key]
        accepted = [exchange for exchange in of_key if exchange.status == 200]
        after = of_key[of_key.index(accepted[-1]) :] if accepted else []
        rejected = [exchange for exchange in after if exchange.status in AUTH_ERRORS]
        if len(rejected) >= FEWEST_REJECTIONS:
            problem = f"{key.label} was accepted in {len(accepted)} responses, and rejected after that"
            yield Finding(problem, rejected[0], related=(accepted[-1],))


@documented(f"{AUTHENTICATION_GUIDE}: 401 means that the key is missing", sends=1)
def test_missing_key_is_401(gate: Gate, missing_key_responses: list[Exchange]) -> Probing[None]:
    """A response to a request without an API key MUST have status 401."""
    findings = [status_finding(exchange, "401") for exchange in missing_key_responses if exchange.status != 401]
    yield from findings
    if findings:
        return
    exchange = yield from gate.send(None, "as a browser sends it", fields=COMPRESSING_BROWSER)
    if exchange.status not in {401, 429}:
        yield status_finding(exchange, "401")


@advisory(
    f"{AUTHENTICATION_GUIDE}: 401 means that the key is missing", repeats=["auth/missing-key-is-401"], reads=["head"]
)
def test_no_key_is_401_each_time(
    gate: Gate, missing_key_responses: object, journal: tuple[Exchange, ...]
) -> Iterator[Finding]:
    """A response to a usual request without an API key SHOULD NOT have another 4xx status between two with 401.

    A limit of requests (429) is accepted.
    """
    usual = [
        exchange
        for exchange in journal
        if exchange.request.credential is None
        and exchange.request.version == "HTTP/1.1"
        and gate.is_unsuspicious(exchange.request)
    ]
    for index, exchange in enumerate(usual):
        # A firewall may block a client that guesses keys, and then all of its requests.
        is_last = all(each.status != 401 for each in usual[index:])
        if exchange.status in CLIENT_ERRORS - {401, 429} and not is_last:
            yield status_finding(exchange, "401")


@documented(
    f"{AUTHENTICATION_GUIDE}: 401 means that the key is missing, 403 that it is invalid",
    needs=NEEDS_AUTH_ERRORS,
    sends=1,
)
def test_empty_key_is_refused(gate: Gate) -> Probing[None]:
    """A response to a request with an empty or blank key MUST have status 401 or 403."""
    exchange = yield from gate.send(wrong_keys.BLANK)
    yield from gate.wrongly_accepted([exchange], gate.baseline.refusals(None, wrong_keys.UNKNOWN))


@documented(INVALID, reads=["unknown key"])
def test_unknown_key_is_refused(gate: Gate, unknown_key_responses: list[Exchange]) -> Iterator[Finding]:
    """A response to a request with an unknown key MUST have status 401 or 403."""
    return gate.wrongly_accepted(unknown_key_responses, AUTH_ERRORS)


@advisory(
    f"{AUTHENTICATION_GUIDE}: 403 means that the key is invalid; the document allows 401 too", reads=["unknown key"]
)
def test_unknown_key_is_403(unknown_key_responses: list[Exchange]) -> Iterator[Finding]:
    """A response to a request with an unknown key SHOULD have status 403, and not 401."""
    return (status_finding(exchange, "403") for exchange in unknown_key_responses if exchange.status == 401)


@documented(INVALID, needs=[UNKNOWN_KEY_REFUSED], sends=2)
def test_unknown_key_from_any_client_is_refused(gate: Gate) -> Probing[None]:
    """A request with an unknown key MUST be rejected, also from a browser and with HTTP/1.0.

    The text `undefined`, and the main key backwards, are such keys.
    A server may refuse HTTP/1.0 with any status other than 200.
    """
    fields = [*COMPRESSING_BROWSER, ("Origin", gate.settings.target.origin)]
    browser = yield from gate.send(wrong_keys.UNDEFINED, "as a browser sends it", fields=fields)
    yield from gate.wrongly_accepted([browser], {429, *gate.baseline.refusals(wrong_keys.UNKNOWN)})
    backwards = wrong_keys.backwards(gate.main)
    key = backwards if _is_wrong(gate, backwards) else wrong_keys.UNKNOWN
    old = yield from gate.send(key, "with HTTP/1.0", version="HTTP/1.0", new_connection=True)
    if old.status == 200 or gate.contains_metrics(old):
        yield status_finding(old, "a refusal")


@documented(INVALID, needs=[UNKNOWN_KEY_REFUSED], sends=(28, 34))
def test_similar_key_is_refused(gate: Gate, ok_responses: list[Exchange]) -> Probing[None]:
    """A response to a request with a part, an extension or another form of a valid key MUST have status 401 or 403."""
    texts = (UsageMetrics(exchange).api_key or "" for exchange in ok_responses)
    shown = sorted({text for text in texts if wrong_keys.SENDABLE.fullmatch(text)})
    yield from _send_wrong_keys(
        gate,
        [
            *wrong_keys.changed(gate.main),
            *wrong_keys.of_further_keys(gate.keys[1:]),
            *((wrong_keys.mixed(*gate.keys[:2]),) if len(gate.keys) > 1 else ()),
            *wrong_keys.near(gate.main),
            *map(wrong_keys.shown, shown[:MOST_SHOWN_KEYS]),
        ],
    )


@documented(INVALID, needs=[UNKNOWN_KEY_REFUSED], repeats=["auth/similar-key-is-refused"], sends=4)
def test_key_with_one_edit_is_refused(gate: Gate) -> Probing[None]:
    """A response to a request with a valid key of which one character was edited MUST have status 401 or 403.

    An edit changes, removes, doubles or inserts a character, at any place.
    """
    strategies = [wrong_keys.edits(gate.main, edit) for edit in wrong_keys.EDITS]
    edited = examples_of_each([strategy.filter(lambda key: _is_wrong(gate, key)) for strategy in strategies])
    exchanges = yield from send_in_turn(gate.request(key) for key in edited)
    yield from gate.wrongly_accepted(exchanges, gate.baseline.refusals(wrong_keys.UNKNOWN))


@documented(INVALID, needs=[UNKNOWN_KEY_REFUSED], sends=9)
def test_wildcard_or_injection_is_refused(gate: Gate) -> Probing[None]:
    """A response to a request with a wildcard, a placeholder, an injection or a guess MUST have status 401 or 403.

    Any 4xx, or a closed connection, is accepted for a value that a firewall may take for an attack.
    """
    yield from _send_wrong_keys(gate, wrong_keys.PATTERNS, send_concurrently)  # more than a small pool has room for


@documented(f"{INVALID}; how a malformed one is refused is open", needs=[UNKNOWN_KEY_REFUSED], sends=(6, 10))
def test_malformed_key_is_refused(gate: Gate) -> Probing[None]:
    """A request with a key that is very long, or contains control or non-ASCII bytes, MUST be rejected.

    A valid key with accents, look-alike letters or other Unicode forms of its letters is such a key.
    Any 4xx, or a closed connection, is accepted. A response MUST NOT be missing while the connection remains open.
    """
    yield from _send_malformed(gate, (*wrong_keys.MALFORMED, *wrong_keys.disguised(gate.main)))


@advisory(
    f"{INVALID}; some servers strip more from a value than RFC 9110 calls white space",
    needs=[UNKNOWN_KEY_REFUSED],
    sends=1,
)
def test_padded_key_is_refused(gate: Gate) -> Probing[None]:
    """A request with a valid key, followed by bytes that only look like white space, SHOULD be rejected."""
    yield from _send_malformed(gate, [wrong_keys.padded(gate.main)])


@specified("RFC 9112, section 5.1: no space between a field's name and its colon", needs=NEEDS_VALID_KEY, sends=1)
def test_space_before_the_colon_is_refused(gate: Gate) -> Probing[None]:
    """A request with a space before the colon of the key header MUST be rejected."""
    exchange = yield from gate.send(
        gate.main, "and a space before the colon", key_field=f"{gate.key_header} ", new_connection=True
    )
    if exchange.status == 200:
        yield status_finding(exchange, "a refusal")


@advisory(
    "RFC 9110, section 5.3: a repeated field is one value, a list, and the list is not a key",
    needs=[UNKNOWN_KEY_REFUSED],
    sends=2,
)
def test_repeated_key_header_is_refused(gate: Gate) -> Probing[None]:
    """A request with a valid key and another value in two key headers SHOULD be rejected."""
    requests = [
        gate.request(
            wrong_keys.UNKNOWN,
            "and a second key header with the main key",
            fields=[(gate.key_header, gate.main.value)],
            new_connection=True,
        ),
        gate.request(
            gate.main,
            "and a second key header with an unknown key",
            fields=[(gate.key_header, wrong_keys.UNKNOWN.value)],
            new_connection=True,
        ),
    ]
    yield from _wrongly_accepted(gate, (yield from send_in_turn(requests)))


@documented(INVALID, needs=[UNKNOWN_KEY_REFUSED], sends=1)
def test_repeated_wrong_key_is_refused(gate: Gate) -> Probing[None]:
    """A request with two wrong values in two key headers MUST be rejected."""
    exchange = yield from gate.send(
        wrong_keys.TRUE,
        "and a second key header with an unknown key",
        fields=[(gate.key_header, wrong_keys.UNKNOWN.value)],
    )
    yield from _wrongly_accepted(gate, [exchange])


@documented(f"{INVALID}; RFC 9110, section 2.5: HTTP/1.0 changes the form of messages", needs=NEEDS_VALID_KEY)
def test_http_1_0_does_not_invalidate_a_key(gate: Gate, journal: tuple[Exchange, ...]) -> Iterator[Finding]:
    """A response to an HTTP/1.0 request with a valid key MUST NOT have status 401, or a 2xx status other than 200.

    A server may refuse HTTP/1.0 with another status.
    """
    for exchange in journal:
        request = exchange.request
        is_valid = request.version == "HTTP/1.0" and request.credential in gate.keys and gate.is_operation(request)
        if is_valid and exchange.status in SUCCESSES - {200} | {401}:
            yield status_finding(exchange, "200, or a refusal of HTTP/1.0")


@pytest.fixture(scope="session")
def unusual_requests(scheduler: Scheduler, gate: Gate) -> list[Exchange]:
    """Exchanges with the main key that combine tolerances of several rules, all of which every deployment has."""
    fields = _fields_of_other_clients(gate)
    requests = [
        gate.request(
            gate.main,
            "in a lower-case header, first and without a space, as a script in a web page sends it",
            key_field=gate.key_header.lower(),
            separator=b":",
            key_first=True,
            fields=fields["as a script in a web page sends it"],
        ),
        gate.request(
            gate.main,
            "in a title-case header, in the middle, and other credentials",
            key_field=gate.key_header.title(),  # as the client of Go spells it
            fields=[*fields["and other credentials"], *fields["and any media type"], ("X-Last", "1")],
        ),
        gate.request(
            gate.main,
            "in an upper-case header, after the fields of a browser and others, and a media type with a parameter",
            key_field=gate.key_header.upper(),
            key_last=True,
            fields=[
                *(field for field in fields["as a script in a web page sends it"] if field[0] != "Accept"),
                *fields["and a media type with a parameter"],
                *FIELDS_ON_THE_WAY,
            ],
        ),
    ]
    return list(scheduler.fetch(send_in_turn(requests)))


@specified("RFC 9110, section 5.1: field names are case-insensitive", needs=NEEDS_VALID_KEY, sends=(0, 6))
def test_header_name_is_case_insensitive(gate: Gate, unusual_requests: list[Exchange]) -> Probing[None]:
    """A request with a valid key MUST be accepted regardless of the case of the key header's name."""
    spellings = (gate.key_header.lower(), gate.key_header.title(), gate.key_header.upper())
    requests = [
        gate.request(gate.main, f"in a header spelled {name}", key_field=name, is_baseline=True) for name in spellings
    ]
    yield from _each_is_accepted(unusual_requests, requests)


@documented(f"{HEADER_ONLY}, and 401 and 403 mean that it is missing or invalid", needs=NEEDS_VALID_KEY, sends=(0, 9))
def test_valid_key_is_sufficient(
    gate: Gate, unusual_requests: list[Exchange], query_response: Exchange
) -> Probing[None]:
    """A request with a valid key MUST be accepted regardless of its other header fields and its query."""
    requests = [
        gate.request(gate.main, label, fields=fields) for label, fields in _fields_of_other_clients(gate).items()
    ]
    if not (yield from _each_is_accepted(unusual_requests, requests)):
        return
    if query_response.status not in AUTH_ERRORS:
        return
    queried = yield from gate.send(gate.main, "and a query", target=f"{gate.path}?verbose=1")  # no firewall rejects it
    yield from _rejected_key(queried)


def _rejected_key(exchange: Exchange) -> Iterator[Finding]:
    """Yield a finding if a valid key is rejected; a firewall may reject the rest of the request with another status."""
    if exchange.status in AUTH_ERRORS:
        expected = "any status but 401 and 403"
        yield Finding("a valid key is rejected", exchange, expected=expected, actual=exchange.outcome)


def _each_is_accepted(combined: Iterable[Exchange], requests: Sequence[Request]) -> Probing[bool]:
    """Send the requests one by one, unless combined requests have shown that all of them are accepted.

    Returns whether all of them are accepted.
    """
    if all(exchange.status == 200 for exchange in combined):
        return True
    findings = list(_wrongly_rejected((yield from send_in_turn(requests))))
    yield from findings
    return not findings


def _fields_of_other_clients(gate: Gate) -> dict[str, list[tuple[str, str]]]:
    """Return header fields that clients send beside a valid key."""
    origin = gate.settings.target.origin
    in_a_page = (*BROWSER_FIELDS, ("Origin", origin), ("Referer", f"{origin}/"))
    configured = {name.lower() for name, _ in gate.settings.headers}  # a gateway may need these as they are
    clients: dict[str, Sequence[tuple[str, str]]] = {
        "as a script in a web page sends it": in_a_page,
        "and other credentials": OTHER_CREDENTIALS,
        "and a media type with a parameter": [("Accept", "application/json; charset=utf-8")],
        "and any media type": [("Accept", "*/*"), ("Accept-Encoding", "zstd")],
    }
    return {
        label: [field for field in fields if field[0].lower() not in configured] for label, fields in clients.items()
    }


@specified(
    "RFC 9112, section 5 and RFC 9110, section 5.3: white space, order of fields", needs=NEEDS_VALID_KEY, sends=(0, 7)
)
def test_key_header_position_does_not_matter(gate: Gate, unusual_requests: list[Exchange]) -> Probing[None]:
    """A request with a valid key MUST be accepted regardless of the key header's position, and without a space."""
    requests = [
        gate.request(gate.main, "without a space after the colon", separator=b":"),
        gate.request(gate.main, "with the key header first", key_first=True),
        gate.request(
            gate.main, "with the key header in the middle", fields=[("Accept-Language", "en"), ("X-Last", "1")]
        ),
    ]
    is_accepted = yield from _each_is_accepted(unusual_requests, requests)
    if is_accepted and unusual_requests[-1].status != 200:
        last = yield from gate.send(
            gate.main, "with the key header after many others", fields=FIELDS_ON_THE_WAY, key_last=True
        )
        yield from _rejected_key(last)


@advisory("RFC 9112, section 5.1: white space around a value; some servers keep it", needs=NEEDS_VALID_KEY, sends=1)
def test_white_space_around_the_key_is_ignored(gate: Gate) -> Probing[None]:
    """A request with a valid key, after a tab and followed by a space, SHOULD be accepted."""
    followed = Credential(gate.main.value + b" ", f"{gate.main.label}, after a tab and followed by a space")
    yield from _wrongly_rejected([(yield from gate.send(followed, separator=b":\t", pool="valid keys"))])


@documented(f"{AUTHENTICATION_GUIDE}: GET / and GET /healthz need no key", sends=2)
def test_public_operation_needs_no_key(gate: Gate) -> Probing[None]:
    """A request for the overview or the health check MUST NOT be rejected because it has no key.

    A health check that the deployment serves returns {"ok": true}.
    """
    public = [operation for operation in contract("documented").operations.values() if operation.key_header is None]
    is_served = False
    for operation in public:
        target = gate.settings.target.path + operation.path
        exchange = yield from gate.send(None, f"at {operation.path}", method=operation.method, target=target)
        if exchange.status in AUTH_ERRORS:
            yield Finding(
                "a request that needs no key is rejected",
                exchange,
                expected="any status but 401 and 403",
                actual=exchange.outcome,
            )
            return
        if exchange.status == 200 and operation.id == HEALTH:
            is_served = True
            yield from body_findings(operation.id, exchange, "documented")
    if not is_served:
        raise NotTested("the deployment does not serve /healthz")


def _send_wrong_keys(
    gate: Gate,
    keys: Iterable[Credential],
    send: Callable[[Iterable[Request]], Probing[Sequence[Exchange]]] = send_in_turn,
) -> Probing[None]:
    """Send a request with each of the wrong keys; a firewall may reject those that look like an attack."""
    requests = [
        gate.request(key, new_connection=not UNSUSPICIOUS.fullmatch(key.value)) for key in keys if _is_wrong(gate, key)
    ]
    for exchange in (yield from send(requests)):
        if not exchange.request.new_connection:
            yield from gate.wrongly_accepted([exchange], {429, *gate.baseline.refusals(wrong_keys.UNKNOWN)})
        else:
            yield from _wrongly_accepted(gate, [exchange])


def _is_wrong(gate: Gate, key: Credential) -> bool:
    return all(key.value != valid.value for valid in gate.settings.keys)


def _send_malformed(gate: Gate, keys: Iterable[Credential]) -> Probing[None]:
    requests = [gate.request(key, "in an unusual header", new_connection=True) for key in keys]
    yield from _wrongly_accepted(gate, (yield from send_in_turn(requests)))


def _wrongly_accepted(gate: Gate, exchanges: Iterable[Exchange]) -> Iterator[Finding]:
    """Yield a finding for each request that is not rejected; a server or proxy may do so with any 4xx.

    It may also end the connection, but not leave it open without a response.
    """
    answered = (exchange for exchange in exchanges if exchange.status is not None or exchange.ending in LATE_ENDINGS)
    return gate.wrongly_accepted(answered, CLIENT_ERRORS | gate.baseline.refusals(wrong_keys.UNKNOWN))


def _wrongly_rejected(exchanges: Iterable[Exchange]) -> Iterator[Finding]:
    """Yield a finding for each exchange that must have status 200, and has another one."""
    return (status_finding(exchange, "200") for exchange in exchanges if exchange.status != 200)
