"""Authentication: a valid key is accepted; no key, or another value in its header, is rejected."""

from __future__ import annotations

from collections.abc import Iterable

from contract_tests.metrics.view import UsageMetrics
from contract_tests.support import wrong_keys
from contract_tests.support.examples import examples_of_each
from contract_tests.support.facts import NEEDS_AUTH_ERRORS, NEEDS_VALID_KEY, UNKNOWN_KEY_REFUSED
from contract_tests.support.findings import Finding, Findings, body_findings, report, status_finding, unless_200
from contract_tests.support.gate import BROWSER, HEALTH, OTHER_ORIGIN, VISITOR, Gate
from contract_tests.support.rules import AUTHENTICATION_GUIDE, DOCUMENT, INVALID_KEY, advisory, documented, specified
from contract_tests.wire.messages import (
    AUTH_ERRORS,
    CLIENT_ERRORS,
    LATE_ENDINGS,
    UNSUSPICIOUS,
    Credential,
    Exchange,
    Exchanges,
    Request,
)
from contract_tests.wire.not_tested import NotApplicable, NotTested

COMPRESSING_BROWSER = (*BROWSER, ("Accept-Encoding", "gzip"))
MOST_SHOWN_KEYS = 3  # texts of api_key that are sent as keys: one for each key that a run commonly has


@specified(f"{DOCUMENT}, 200: usage metrics for the authenticated API key")
def test_valid_key_is_200(ok_responses: Exchanges) -> Findings:
    """A response to a baseline request with a valid key MUST have status 200."""
    return unless_200(exchange for exchange in ok_responses if exchange.ending != "malformed")


@documented(f"{AUTHENTICATION_GUIDE}: 401 means that the key is missing")
def test_missing_key_is_401(client: Gate, missing_key_responses: Exchanges) -> Findings:
    """A response to a request without an API key MUST have status 401."""
    others = (status_finding(exchange, "401") for exchange in missing_key_responses if exchange.status != 401)
    if (yield from report(others)):
        return
    exchange = client.send(None, "as a browser sends it", fields=[*COMPRESSING_BROWSER, VISITOR])
    if exchange.status not in {401, 429}:
        yield status_finding(exchange, "401")


@advisory(
    f"{AUTHENTICATION_GUIDE}: 401 means that the key is missing", repeats=["auth/missing-key-is-401"], reads=["head"]
)
def test_no_key_is_401_each_time(gate: Gate, missing_key_responses: object, journal: Exchanges) -> Findings:
    """A response to a usual request without an API key SHOULD have status 401 each time.

    Another 4xx status before a later 401 is reported; a limit of requests (429) is accepted.
    """
    without_key = (each for each in journal if each.request.credential is None and each.request.version == "HTTP/1.1")
    usual = [exchange for exchange in without_key if gate.is_unsuspicious(exchange.request)]
    # A firewall may block a client that guesses keys, and then all of its requests.
    last = max((index for index, exchange in enumerate(usual) if exchange.status == 401), default=0)
    for exchange in usual[:last]:
        if exchange.status in CLIENT_ERRORS - {401, 429}:
            yield status_finding(exchange, "401")


@documented(
    f"{AUTHENTICATION_GUIDE}: 401 means that the key is missing, 403 that it is invalid", needs=NEEDS_AUTH_ERRORS
)
def test_empty_key_is_refused(client: Gate) -> Findings:
    """A response to a request with an empty or blank key MUST have status 401 or 403."""
    refusals = client.baseline.refusals(None, wrong_keys.UNKNOWN)
    yield from client.wrongly_accepted([client.send(wrong_keys.BLANK)], refusals)


@documented(INVALID_KEY, reads=["unknown key"])
def test_unknown_key_is_refused(gate: Gate, unknown_key_responses: Exchanges) -> Findings:
    """A response to a request with an unknown key MUST have status 401 or 403."""
    return gate.wrongly_accepted(unknown_key_responses, AUTH_ERRORS)


@advisory(
    f"{AUTHENTICATION_GUIDE}: 403 means that the key is invalid; the document allows 401 too", reads=["unknown key"]
)
def test_unknown_key_is_403(unknown_key_responses: Exchanges) -> Findings:
    """A response to a request with an unknown key SHOULD have status 403, and not 401."""
    return (status_finding(exchange, "403") for exchange in unknown_key_responses if exchange.status == 401)


@documented(INVALID_KEY, needs=[UNKNOWN_KEY_REFUSED])
def test_unknown_key_from_any_client_is_refused(client: Gate) -> Findings:
    """A request with an unknown key MUST be rejected, also from a browser and with HTTP/1.0.

    The text `undefined`, and the main key backwards, are such keys.
    A server may refuse HTTP/1.0 with any status other than 200.
    """
    fields = [*COMPRESSING_BROWSER, ("Origin", client.settings.target.origin)]
    browser = client.send(wrong_keys.UNDEFINED, "as a browser sends it", fields=fields)
    yield from client.wrongly_accepted([browser], {429, *client.baseline.refusals(wrong_keys.UNKNOWN)})
    backwards = wrong_keys.backwards(client.main)
    key = backwards if _is_wrong(client, backwards) else wrong_keys.UNKNOWN
    old = client.send(key, "with HTTP/1.0", version="HTTP/1.0", new_connection=True)
    if old.status == 200 or client.contains_metrics(old):
        yield status_finding(old, "a refusal")


@documented(INVALID_KEY, needs=[UNKNOWN_KEY_REFUSED])
def test_similar_key_is_refused(client: Gate, ok_responses: Exchanges) -> Findings:
    """A response to a request with a part, an extension or another form of a valid key MUST have status 401 or 403."""
    texts = (UsageMetrics(exchange).api_key or "" for exchange in ok_responses)
    shown = sorted({text for text in texts if wrong_keys.SENDABLE.fullmatch(text)})
    similar = [
        *wrong_keys.changed(client.main),
        *wrong_keys.altered(client.keys),
        *((wrong_keys.mixed(*client.keys[:2]),) if len(client.keys) > 1 else ()),
        *wrong_keys.near(client.main),
        *map(wrong_keys.shown, shown[:MOST_SHOWN_KEYS]),
    ]
    yield from _not_refused(client, client.send_in_turn(_requests_with(client, similar)))


@documented(INVALID_KEY, needs=[UNKNOWN_KEY_REFUSED], repeats=["auth/similar-key-is-refused"])
def test_key_with_one_edit_is_refused(client: Gate) -> Findings:
    """A response to a request with a valid key of which one character was edited MUST have status 401 or 403.

    An edit changes or doubles a character, at any place.
    """
    strategies = [wrong_keys.edits(client.main, edit) for edit in wrong_keys.EDITS]
    edited = examples_of_each([strategy.filter(lambda key: _is_wrong(client, key)) for strategy in strategies])
    exchanges = client.send_in_turn(client.request(key) for key in edited)
    yield from client.wrongly_accepted(exchanges, client.baseline.refusals(wrong_keys.UNKNOWN))


@documented(INVALID_KEY, needs=[UNKNOWN_KEY_REFUSED])
def test_wildcard_or_injection_is_refused(client: Gate) -> Findings:
    """A response to a request with a wildcard, a placeholder, an injection or a guess MUST have status 401 or 403.

    Any 4xx, or a closed connection, is accepted for a value that a firewall may take for an attack.
    """
    requests = _requests_with(client, wrong_keys.PATTERNS)
    yield from _not_refused(client, client.transport.send_concurrently(requests))  # more than a small pool has room for


@documented(f"{INVALID_KEY}; how a malformed one is refused is open", needs=[UNKNOWN_KEY_REFUSED])
def test_malformed_key_is_refused(client: Gate) -> Findings:
    """A request with a key that is very long, or contains control or non-ASCII bytes, MUST be rejected.

    A valid key with accents, look-alike letters or other Unicode forms of its letters is such a key.
    Any 4xx, or a closed connection, is accepted. A response MUST NOT be missing while the connection remains open.
    """
    yield from _send_malformed(client, (*wrong_keys.MALFORMED, *wrong_keys.disguised(client.main)))


@advisory(
    f"{INVALID_KEY}; some servers strip more from a value than RFC 9110 calls white space", needs=[UNKNOWN_KEY_REFUSED]
)
def test_padded_key_is_refused(client: Gate) -> Findings:
    """A request with a valid key, followed by bytes that only look like white space, SHOULD be rejected."""
    yield from _send_malformed(client, [wrong_keys.padded(client.main)])


@specified("RFC 9112, section 5.1: no space between a field's name and its colon", needs=NEEDS_VALID_KEY)
def test_space_before_the_colon_is_refused(client: Gate) -> Findings:
    """A request with a space before the colon of the key header MUST be rejected."""
    label, name = "and a space before the colon", f"{client.key_header} "
    exchange = client.send(client.main, label, key_field=name, new_connection=True)
    if exchange.status == 200:
        yield status_finding(exchange, "a refusal")


@advisory(
    "RFC 9110, section 5.3: a repeated field is one value, a list, and the list is not a key",
    needs=[UNKNOWN_KEY_REFUSED],
)
def test_repeated_key_header_is_refused(client: Gate) -> Findings:
    """A request with a valid key and another value in two key headers SHOULD be rejected."""
    pairs = [(wrong_keys.UNKNOWN, client.main), (client.main, wrong_keys.UNKNOWN)]
    requests = [_with_two_keys(client, *pair, new_connection=True) for pair in pairs]
    yield from _not_rejected(client, client.send_in_turn(requests))


@documented(INVALID_KEY, needs=[UNKNOWN_KEY_REFUSED])
def test_repeated_wrong_key_is_refused(client: Gate) -> Findings:
    """A request with two wrong values in two key headers MUST be rejected."""
    request = _with_two_keys(client, wrong_keys.TRUE, wrong_keys.UNKNOWN)
    yield from _not_rejected(client, [client.transport.send(request)])


def _with_two_keys(gate: Gate, first: Credential, second: Credential, *, new_connection: bool = False) -> Request:
    label, fields = f"and a second key header with {second.label}", [(gate.key_header, second.value)]
    return gate.request(first, label, fields=fields, new_connection=new_connection)


@documented(f"{AUTHENTICATION_GUIDE}: GET / and GET /healthz need no key")
def test_public_operation_needs_no_key(client: Gate) -> Findings:
    """A request for the overview or the health check MUST NOT be rejected because it has no key.

    A health check that the deployment serves returns {"ok": true}.
    """
    for operation in client.public_operations:
        target = client.target_of(operation.path)
        # A health check sends no such fields.
        fields = () if operation.id == HEALTH else (("Accept-Encoding", "gzip"), ("Origin", OTHER_ORIGIN))
        exchange = client.send(None, f"at {operation.path}", method=operation.method, target=target, fields=fields)
        if exchange.status in AUTH_ERRORS:
            problem, expected = "a request that needs no key is rejected", "any status but 401 and 403"
            yield Finding(problem, exchange, expected=expected, actual=exchange.outcome)
            return
        if operation.id != HEALTH:
            continue
        if exchange.status == 404:
            raise NotApplicable("the deployment does not serve /healthz")
        if exchange.status != 200:
            raise NotTested(f"the health check gets the response {exchange.outcome}")
        yield from body_findings(operation.id, exchange, "documented")


def _requests_with(gate: Gate, keys: Iterable[Credential]) -> list[Request]:
    """Return a request with each of the wrong keys."""
    wrong = (key for key in keys if _is_wrong(gate, key))
    return [gate.request(key, new_connection=not UNSUSPICIOUS.fullmatch(key.value)) for key in wrong]


def _not_refused(gate: Gate, exchanges: Iterable[Exchange]) -> Findings:
    """Yield a finding for each wrong key that is not refused as usual; one like an attack may meet a firewall."""
    for exchange in exchanges:
        if not exchange.request.new_connection:
            yield from gate.wrongly_accepted([exchange], {429, *gate.baseline.refusals(wrong_keys.UNKNOWN)})
        else:
            yield from _not_rejected(gate, [exchange])


def _is_wrong(gate: Gate, key: Credential) -> bool:
    return all(key.value != valid.value for valid in gate.settings.keys)


def _send_malformed(gate: Gate, keys: Iterable[Credential]) -> Findings:
    requests = [gate.request(key, "as a malformed key", new_connection=True) for key in keys]
    yield from _not_rejected(gate, gate.send_in_turn(requests))


def _not_rejected(gate: Gate, exchanges: Iterable[Exchange]) -> Findings:
    """Yield a finding for each request that is not rejected; a server or proxy may do so with any 4xx.

    It may also end the connection, but not leave it open without a response.
    """
    answered = (exchange for exchange in exchanges if exchange.status is not None or exchange.ending in LATE_ENDINGS)
    return gate.wrongly_accepted(answered, CLIENT_ERRORS | gate.baseline.refusals(wrong_keys.UNKNOWN))
