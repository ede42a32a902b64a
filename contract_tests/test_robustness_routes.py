"""Routes, redirects and hosts: a response is for places of the deployment, not for those that a request names."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import product
from urllib.parse import urldefrag, urljoin, urlsplit

from contract_tests.support.disclosure import received_values
from contract_tests.support.findings import Finding, Findings, field_finding, status_finding
from contract_tests.support.gate import OTHER_ORIGIN, OTHER_ROUTES, Gate
from contract_tests.support.rules import advisory
from contract_tests.wire.messages import AUTH_ERRORS, REDIRECTS, SUCCESSES, Exchange, Exchanges, Request, kept_whole
from contract_tests.wire.not_tested import NotApplicable, or_not_applicable, or_not_tested

HOST = re.compile(rb"[\w-]+(?:\.[\w-]+)+")
SERVED = SUCCESSES | frozenset(range(300, 400))
PLAIN_HTTP = re.compile(r"(?:^|<)(http://[^>\s]*)")  # as in Location, and as in Link: <http://host/>; rel=next
NO_LOCATION = re.compile(r"(?i)(?:[^?#]*/)?undefined|null|none|nan|\[object object\]|")  # /api/undefined, or empty
HOST_FIELDS = {b"x-forwarded-host", b"x-host", b"x-original-host", b"x-forwarded-server", b"forwarded"}


@advisory("OWASP Web Security Testing Guide, host header injection: a client chooses the value of such a field")
def test_responses_do_not_follow_forwarded_hosts(gate: Gate, journal: Exchanges) -> Findings:
    """A 2xx or 3xx response SHOULD NOT contain a host that only X-Forwarded-Host or the like names in the request.

    Nor does `Link` or `Location` of a response with status 401 or 403.
    """
    forwarded = (each for each in journal if each.status in SERVED and _forwarded_hosts(each.request))
    refused = (each for each in journal if each.status in AUTH_ERRORS)
    for exchange in refused:
        links = f"{exchange.header('Link')} {exchange.header('Location')}".lower().encode("latin-1")
        for host, name in _forwarded_hosts(exchange.request).items():
            if host in links and host != gate.settings.target.host.encode():
                yield Finding(f"the error leads to the host in {name} of the request", exchange, actual=host)
    for exchange in kept_whole(or_not_applicable(forwarded, "no request with X-Forwarded-Host or the like was served")):
        received = received_values(exchange).lower()
        for host, name in _forwarded_hosts(exchange.request).items():
            if host in received and host != gate.settings.target.host.encode():
                yield Finding(f"the response contains the host in {name} of the request", exchange, actual=host)


def _forwarded_hosts(request: Request) -> dict[bytes, str]:
    """Return the hosts in fields such as X-Forwarded-Host, and in no other part of the request, with these fields."""
    others = [value.lower() for name, value in request.fields if name.lower() not in HOST_FIELDS]
    return {
        host: name.decode()
        for name, value in request.fields
        if name.lower() in HOST_FIELDS
        for host in HOST.findall(value.lower())
        if not any(host in text for text in (request.target.lower(), *others))
    }


@advisory(
    "RFC 9110, section 15.4: a redirect names its target, and a client detects cycles; "
    "OWASP Transport Layer Security Cheat Sheet: TLS for all pages"
)
def test_redirects_have_a_location(gate: Gate, journal: Exchanges) -> Findings:
    """A response with status 301, 302, 303, 307 or 308 SHOULD have `Location` with a URL, not a word like `undefined`.

    It SHOULD NOT be the URL of the request, unless the response sets a cookie. Over HTTPS, `Location` and `Link` of any
    response SHOULD NOT lead to the same host by plain HTTP.
    """
    yield from _links_to_plain_http(gate, journal)
    redirects = (each for each in journal if each.status in REDIRECTS)
    for exchange in or_not_applicable(redirects, "no response redirects"):
        if not exchange.values("Location"):
            yield Finding("the redirect has no Location", exchange)
        elif NO_LOCATION.fullmatch(exchange.header("Location")):
            yield field_finding(exchange, "Location", "Location is not a URL")
        elif _leads_to_itself(gate, exchange):
            yield field_finding(exchange, "Location", "the redirect leads to the URL of its request")


def _links_to_plain_http(gate: Gate, journal: Exchanges) -> Findings:
    """Yield a finding for each field of an HTTPS deployment that leads to its host by plain HTTP."""
    target = gate.settings.target
    direct = [each for each in journal if target.scheme == "https" and _is_direct(gate, each.request)]
    for exchange, name in product(direct, ("Location", "Link")):
        for url in PLAIN_HTTP.findall(exchange.header(name)):
            with suppress(ValueError):  # of an address in brackets that is not valid
                if urlsplit(url).hostname == target.host:
                    yield Finding(f"{name} leads from HTTPS to plain HTTP", exchange, actual=url)


def _leads_to_itself(gate: Gate, exchange: Exchange) -> bool:
    request = exchange.request
    if request.method not in {"GET", "HEAD"} or exchange.values("Set-Cookie") or not _is_direct(gate, request):
        return False
    target = request.target.decode("latin-1")
    url = gate.settings.target.origin + target if target.startswith("/") else target
    with suppress(ValueError):  # of an address in brackets that is not valid
        return urldefrag(urljoin(url, exchange.header("Location"))).url == urldefrag(url).url
    return False


def _is_direct(gate: Gate, request: Request) -> bool:
    """Whether only the target of a request names its URL: a server may also believe Host, or a field of a proxy."""
    names = {name.lower() for name, _ in request.fields} - {gate.key_header.lower().encode()}
    is_usual_host = request.values("Host") == [gate.settings.target.authority.encode()]
    return is_usual_host and not any(name.startswith((b"x-", b"forwarded")) for name in names)


@advisory("OWASP Unvalidated Redirects and Forwards Cheat Sheet: a request does not choose another host")
def test_redirects_do_not_lead_to_a_host_in_the_path(client: Gate) -> Findings:
    """A `Location` field SHOULD NOT name a host that is a part of the path of the request.

    `//host/path` is a path in a request, and another host in `Location`.
    """
    host = urlsplit(OTHER_ORIGIN).netloc
    label, target = "at a path that begins with two slashes and a host", f"//{host}{client.path}/"
    exchange = client.send(None, label, target=target, new_connection=True)
    with suppress(ValueError):  # of an address in brackets that is not valid
        if urlsplit(exchange.header("Location")).hostname == host:
            yield field_finding(exchange, "Location", "the redirect leads to the host in the path")


@advisory(
    "OWASP API9, improper inventory management: an old version stays reachable; OWASP REST Security Cheat Sheet: "
    "management endpoints are not for the Internet",
    repeats=["bypass/other-route-needs-a-key"],
)
def test_other_routes_are_unknown(gate: Gate, journal: Exchanges) -> Findings:
    """A request with a valid key at a route of another version, for management or of the source SHOULD NOT get 200."""
    targets = {gate.target_of(route).encode() for route in OTHER_ROUTES}
    with_keys = (each for each in journal if each.request.credential in gate.keys and each.request.target in targets)
    exchanges = or_not_tested(with_keys, "no request with a valid key was sent to such a route")
    if any(_is_page_of_an_unknown_path(gate, each) for each in journal if each.request.target not in targets):
        raise NotApplicable("the deployment has pages at unknown paths")
    for exchange in exchanges:
        if exchange.status == 200:
            yield status_finding(exchange, "404")


@advisory(
    "RFC 9110, section 15.5.5: 404 states that a server has nothing at a path; a client takes another page for success"
)
def test_unknown_paths_do_not_lead_to_the_overview(gate: Gate, journal: Exchanges) -> Findings:
    """A request at a route of another version or for management SHOULD NOT be redirected to the overview."""
    targets = {gate.target_of(route).encode() for route in OTHER_ROUTES}
    overview = {gate.settings.target.url, gate.settings.target.url + "/"}
    requested = (each for each in journal if each.request.target in targets)
    for exchange in or_not_tested(requested, "no request was sent to such a route"):
        with suppress(ValueError):  # of an address in brackets that is not valid
            location = urljoin(gate.settings.target.url, exchange.header("Location"))
            if exchange.status in REDIRECTS and exchange.values("Location") and location in overview:
                yield field_finding(exchange, "Location", "an unknown path leads to the overview", "404")


def _is_page_of_an_unknown_path(gate: Gate, exchange: Exchange) -> bool:
    """Whether an unknown path has a 200 response, as that of an application of one page; JSON is not a page."""
    request = exchange.request
    is_unknown = request.method == "GET" and not gate.is_operation(request) and not gate.is_public(request)
    return is_unknown and exchange.status == 200 and not exchange.is_json and not gate.contains_metrics(exchange)


@advisory(
    "OWASP Web Security Testing Guide, path confusion: a cache stores the response as that of a static file",
    repeats=["keys/cached-response-is-not-shared"],
)
def test_paths_below_the_operation_are_unknown(gate: Gate, journal: Exchanges) -> Findings:
    """A response to a request with a valid key SHOULD NOT contain usage metrics if its path continues after a slash."""
    below = f"{gate.path}/".encode()
    with_keys = [each for each in journal if each.request.credential in gate.keys]
    longer = (each for each in with_keys if each.request.path.startswith(below) and each.request.path != below)
    for exchange in or_not_tested(longer, "no request with a valid key was sent to such a path"):
        if exchange.status == 200 and gate.contains_metrics(exchange):
            yield status_finding(exchange, "404")
