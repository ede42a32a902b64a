"""Valid keys: one in its header is accepted, now and later, regardless of the rest of the request."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

import pytest

from contract_tests.reports.model import counted
from contract_tests.support.facts import NEEDS_VALID_KEY
from contract_tests.support.findings import Finding, Findings, report, status_finding, unless_200
from contract_tests.support.gate import BROWSER, IDENTIFIERS, Gate
from contract_tests.support.rules import HEADER_ONLY, INVALID_KEY, advisory, documented, specified
from contract_tests.wire.messages import AUTH_ERRORS, SUCCESSES, Credential, Exchange, Exchanges, Request
from contract_tests.wire.not_tested import NotTested, or_not_tested

BROWSER_FIELDS = (
    *(field for field in BROWSER if field[0] != "Accept"),
    ("Accept", "application/json, text/plain, */*"), ("Accept-Encoding", "gzip, deflate, br"),
    ("Cache-Control", "no-cache"), ("Pragma", "no-cache"), ("Cookie", "theme=dark; visitor=17"), ("DNT", "1"),
    ("Sec-Fetch-Dest", "empty"), ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Site", "same-origin"),
)  # fmt: skip
OTHER_CREDENTIALS = (("Authorization", "Bearer of-another-service"), ("Cookie", "session=of-another-service"))
FEWEST_REJECTIONS = 10  # a firewall may reject a few unusual requests at the end of a run
ADDRESS = "203.0.113.7"
# Fields that browsers, proxies and tracing add: more than some servers have room for.
FIELDS_ON_THE_WAY = (
    ("Forwarded", f"for={ADDRESS}"), ("X-Forwarded-For", "2001:db8::7"), ("X-Real-IP", ADDRESS),
    ("X-Forwarded-Proto", "https"), ("X-Forwarded-Port", "443"), ("Via", "1.1 proxy.example"),
    *IDENTIFIERS, ("CDN-Loop", "cdn.example"),
    ("Sec-CH-UA", '"Chromium";v="140"'), ("Sec-CH-UA-Mobile", "?0"), ("Sec-CH-UA-Platform", '"Linux"'),
    ("Accept-Charset", "utf-8"), ("Priority", "u=1, i"), ("Save-Data", "on"), ("Sec-GPC", "1"),
    ("baggage", "a=1"),
)  # fmt: skip


@documented(INVALID_KEY, repeats=["auth/valid-key-is-200"])
def test_accepted_key_remains_valid(gate: Gate, journal: Exchanges) -> Findings:
    """The server MUST NOT reject a key that it has accepted before.

    Only a key with 401 or 403 in ten responses or more after its last 200 is reported.
    """
    for key in gate.keys:
        of_key = [exchange for exchange in journal if exchange.request.credential == key]
        accepted = [exchange for exchange in of_key if exchange.status == 200]
        after = of_key[of_key.index(accepted[-1]) :] if accepted else []
        rejected = [exchange for exchange in after if exchange.status in AUTH_ERRORS]
        if len(rejected) >= FEWEST_REJECTIONS:
            problem = f"{key.label} was accepted in {counted(len(accepted), 'response')}, and rejected after that"
            yield Finding(problem, rejected[0], related=(accepted[-1],))


@documented(f"{INVALID_KEY}; RFC 9110, section 2.5: HTTP/1.0 changes the form of messages", needs=NEEDS_VALID_KEY)
def test_http_1_0_does_not_invalidate_a_key(gate: Gate, journal: Exchanges) -> Findings:
    """A response to an HTTP/1.0 request with a valid key MUST NOT have status 401, or a 2xx status other than 200.

    A server may refuse HTTP/1.0 with another status.
    """
    old = (each for each in journal if each.request.version == "HTTP/1.0" and gate.is_authorized(each.request))
    for exchange in or_not_tested(old, "no HTTP/1.0 request has a valid key"):
        if exchange.status in SUCCESSES - {200} | {401}:
            yield status_finding(exchange, "200, or a refusal of HTTP/1.0")


@pytest.fixture(scope="session")
def unusual_requests(client: Gate) -> Exchanges:
    """Exchanges with the main key, each of which combines what several rules require every deployment to accept."""
    in_a_page, other_credentials, with_parameter, any_type = _fields_of_other_clients(client).values()
    replaced = {name for name, _ in with_parameter}
    requests = [
        client.request(
            client.main,
            "in a lower-case header, first and without a space, as a script in a web page sends it",
            key_field=client.key_header.lower(),
            separator=b":",
            key_first=True,
            fields=in_a_page,
        ),
        client.request(
            client.main,
            "in a title-case header, in the middle, as a program in Go sends it, and other credentials",
            key_field=client.key_header.title(),
            fields=[*other_credentials, *any_type, ("X-Last", "1")],
        ),
        client.request(
            client.main,
            "in an upper-case header, after the fields of a browser and others, as a program in Python sends it",
            key_field=client.key_header.upper(),
            key_last=True,
            fields=[*(each for each in in_a_page if each[0] not in replaced), *with_parameter, *FIELDS_ON_THE_WAY],
        ),
    ]
    return list(client.send_in_turn(requests))


@specified("RFC 9110, section 5.1: field names are case-insensitive", needs=NEEDS_VALID_KEY)
def test_header_name_is_case_insensitive(client: Gate, unusual_requests: Exchanges) -> Findings:
    """A request with a valid key MUST be accepted regardless of the case of the key header's name."""
    spellings = (client.key_header.lower(), client.key_header.title(), client.key_header.upper())
    requests = [
        client.request(client.main, f"in a header spelled {name}", key_field=name, is_baseline=True)
        for name in spellings
    ]
    yield from _each_is_accepted(client, unusual_requests, requests)


@documented(f"{HEADER_ONLY}, and 401 and 403 mean that it is missing or invalid", needs=NEEDS_VALID_KEY)
def test_valid_key_is_sufficient(client: Gate, unusual_requests: Exchanges, query_response: Exchange) -> Findings:
    """A request with a valid key MUST be accepted regardless of its other header fields and its query."""
    of_other_clients = _fields_of_other_clients(client).items()
    requests = [client.request(client.main, label, fields=fields) for label, fields in of_other_clients]
    is_accepted = yield from _each_is_accepted(client, unusual_requests, requests)
    if is_accepted and query_response.status in AUTH_ERRORS:
        queried = client.send(client.main, "and a query", target=f"{client.path}?verbose=1")  # no firewall rejects it
        yield from _rejected_key(queried)


def _rejected_key(exchange: Exchange) -> Findings:
    """Yield a finding if a valid key is rejected; a firewall may reject the rest of the request with another status."""
    if exchange.status in AUTH_ERRORS:
        expected = "any status but 401 and 403"
        yield Finding("a valid key is rejected", exchange, expected=expected, actual=exchange.outcome)


def _each_is_accepted(
    gate: Gate, combined: Iterable[Exchange], requests: Sequence[Request]
) -> Generator[Finding, None, bool]:
    """Send the requests one by one, unless combined requests have shown that all of them are accepted.

    Returns whether all of them are accepted.
    """
    if all(exchange.status == 200 for exchange in combined):
        return True
    return not (yield from report(unless_200(gate.send_in_turn(requests))))


def _fields_of_other_clients(gate: Gate) -> dict[str, list[tuple[str, str]]]:
    """Return header fields that clients send beside a valid key."""
    origin = gate.settings.target.origin
    in_a_page = (*BROWSER_FIELDS, ("Origin", origin), ("Referer", f"{origin}/"))
    clients: dict[str, Sequence[tuple[str, str]]] = {
        "as a script in a web page sends it": in_a_page,
        "and other credentials": OTHER_CREDENTIALS,
        "and a media type with a parameter, as a program in Python sends it": [
            ("User-Agent", "python-requests/2.32.5"),
            ("Accept", "application/json; charset=utf-8"),
        ],
        "and any media type, and a Content-Type, as a program in Go sends it": [
            ("User-Agent", "Go-http-client/1.1"),
            ("Accept", "*/*"),
            ("Accept-Encoding", "zstd"),
            ("Content-Type", "application/json"),
            ("Content-Length", "0"),
        ],
    }
    return {label: gate.unless_configured(fields) for label, fields in clients.items()}


@specified("RFC 9112, section 5 and RFC 9110, section 5.3: white space, order of fields", needs=NEEDS_VALID_KEY)
def test_key_header_position_does_not_matter(client: Gate, unusual_requests: Exchanges) -> Findings:
    """A request with a valid key MUST be accepted wherever the key header is, also without a space after its colon."""
    around = [("Accept-Language", "en"), ("X-Last", "1")]
    requests = [
        client.request(client.main, "without a space after the colon", separator=b":"),
        client.request(client.main, "with the key header first", key_first=True),
        client.request(client.main, "with the key header in the middle", fields=around),
    ]
    is_accepted = yield from _each_is_accepted(client, unusual_requests, requests)
    if is_accepted and unusual_requests[-1].status != 200:
        after, before = "with the key header after many others", "with the key header before them"
        last = client.send(client.main, after, fields=FIELDS_ON_THE_WAY, key_last=True)
        if last.status in AUTH_ERRORS:
            first = client.send(client.main, before, fields=FIELDS_ON_THE_WAY, key_first=True)
            if first.status in AUTH_ERRORS:
                raise NotTested("a request with many header fields is rejected, wherever the key header is")
        yield from _rejected_key(last)


@advisory("RFC 9112, section 5.1: white space around a value; some servers keep it", needs=NEEDS_VALID_KEY)
def test_white_space_around_the_key_is_ignored(client: Gate) -> Findings:
    """A request with a valid key, after a tab and followed by a space, SHOULD be accepted."""
    followed = Credential(client.main.value + b" ", f"{client.main.label}, after a tab and followed by a space")
    yield from unless_200([client.send(followed, separator=b":\t", pool="valid keys")])
