"""Other routes than that of the operation: those that a client does not expect have no response with status 200."""

from __future__ import annotations

from contract_tests.support.findings import Findings, status_finding
from contract_tests.support.gate import OTHER_ROUTES, Gate
from contract_tests.support.rules import advisory
from contract_tests.wire.messages import Exchange, Exchanges
from contract_tests.wire.not_tested import NotApplicable, or_not_tested


@advisory(
    "OWASP API9, improper inventory management: an old version stays reachable; OWASP REST Security Cheat Sheet: "
    "management endpoints are not for the Internet",
    repeats=["bypass/other-route-needs-a-key"],
)
def test_other_routes_are_unknown(gate: Gate, journal: Exchanges) -> Findings:
    """A request with a valid key at a route of another version, or for management, SHOULD NOT get 200."""
    targets = {f"{gate.settings.target.path}{route}".encode() for route in OTHER_ROUTES}
    with_keys = (each for each in journal if each.request.credential in gate.keys and each.request.target in targets)
    exchanges = or_not_tested(with_keys, "no request with a valid key was sent to such a route")
    if any(_is_page(gate, each) for each in journal if each.request.target not in targets):
        raise NotApplicable("the deployment has pages at unknown paths")
    for exchange in exchanges:
        if exchange.status == 200:
            yield status_finding(exchange, "404")


def _is_page(gate: Gate, exchange: Exchange) -> bool:
    """Whether an unknown path has a 200 response, as that of an application of one page."""
    request = exchange.request
    is_unknown = request.method == "GET" and not gate.is_operation(request) and not gate.is_public(request)
    return is_unknown and exchange.status == 200 and not gate.contains_metrics(exchange)


@advisory(
    "OWASP Web Security Testing Guide, path confusion: a cache stores the response as that of a static file",
    repeats=["keys/cached-response-is-not-shared"],
)
def test_paths_below_the_operation_are_unknown(gate: Gate, journal: Exchanges) -> Findings:
    """A response to a request with a valid key SHOULD NOT contain usage metrics if its path continues after a slash."""
    below = f"{gate.path}/".encode()
    with_keys = [each for each in journal if each.request.credential in gate.keys]
    paths = ((exchange, exchange.request.target.partition(b"?")[0]) for exchange in with_keys)
    longer = (exchange for exchange, path in paths if path.startswith(below) and path != below)
    for exchange in or_not_tested(longer, "no request with a valid key was sent to such a path"):
        if exchange.status == 200 and gate.contains_metrics(exchange):
            yield status_finding(exchange, "404")
