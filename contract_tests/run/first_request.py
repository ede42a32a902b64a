"""The first request of a run: its response is a 200, or shows why nothing can be tested."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import NoReturn
from urllib.parse import urlsplit

import pytest
from _pytest.outcomes import Exit  # what pytest.exit raises; pytest exports it untyped

from contract_tests.run.baseline import BaselineSender, Shortfall
from contract_tests.support.findings import BrokenPromiseError, Finding, status_finding
from contract_tests.support.gate import Gate, RequestOptions
from contract_tests.wire.connection import UnreachableError
from contract_tests.wire.messages import AUTH_ERRORS, CLOSED_ENDINGS, REDIRECTS, Credential, Exchange
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.pages import LOOKED_AT, is_challenge, is_page
from contract_tests.wire.strict_json import objects
from contract_tests.wire.target import Target

COULD_NOT_BE_TESTED = 4  # exit code
CONFIRMATIONS = 2  # further requests with a key that was rejected: a deployment may reject a valid key at times
LOGIN = re.compile(r"log-?in|sign-?in|signon|sso\b|saml|oauth|/auth\b")
LOGIN_PAGE = re.compile(r"type=.?password|log ?in|sign ?in")
TLS_PORT = re.compile(r"plain http request was sent to https port|http request to an https server|requires tls")
TLS_ALERT = b"\x15\x03"  # RFC 8446, section 5.1: a record of type alert
# A malformed response of an HTTP server still has a version, a common header field, or a body of JSON.
LIKE_HTTP = re.compile(rb"(?im)\A\s*(http/|[{\[])|^(content-type|content-length|date|server)\s*:")
LONGEST_BEGINNING = 60  # characters of a response that is not HTTP
ERROR_MEMBERS = {"error", "detail", "message"}
UNKNOWN_PATH = "missing authentication token"  # of Amazon API Gateway


class CouldNotBeTestedError(Exit):
    """The run ends, because the deployment cannot be judged; `exchange` shows the reason."""

    # pytest's last line begins with the name of the exception, and users do not know the modules of the gate.
    __module__, __qualname__ = "builtins", "contract gate"

    def __init__(self, reason: str, exchange: Exchange | None = None) -> None:
        super().__init__(reason, COULD_NOT_BE_TESTED)
        self.exchange = exchange


class NoFirstResponseError(BrokenPromiseError):
    """The deployment does not answer the main key with 200, and every rule needs that."""


def first_response(sender: BaselineSender, session: pytest.Session) -> Exchange:
    """Return the exchange with the first 200 response to the main key.

    Raises:
        CouldNotBeTestedError: The deployment, its address or the main key cannot be used.
        NoFirstResponseError: The deployment does not answer a valid key with 200.
    """
    if sender.first_ok:
        return sender.first_ok
    gate = sender.gate
    if gate.key_header.lower() in {name.lower() for name, _ in gate.settings.headers}:
        _could_not_be_tested(gate, f"--header gives {gate.key_header}; give API keys by the options for keys")
    exchange = _send_first(sender)
    if exchange.status != 200 or is_page(exchange):
        _report_no_first_200(sender, session, exchange)
    if _is_of_another_api(gate, exchange):
        problem = "the body of the first response has no documented member; is it another API? Check --base-url"
        _could_not_be_tested(gate, problem, exchange)
    sender.first_ok = exchange
    return exchange


def _send_first(sender: BaselineSender) -> Exchange:
    gate = sender.gate
    try:
        return sender.send(gate.main)
    except UnreachableError as error:
        _could_not_be_tested(gate, str(error))
    except RuntimeError as error:
        if type(error).__module__ == "builtins":  # not the class of a plugin such as pytest-socket
            raise
        _could_not_be_tested(gate, f"a pytest plugin blocks its connections ({type(error).__module__}): {error}")
    except NotTested as reason:
        is_throttled = any(exchange.status == 429 for exchange in gate.transport.journal)
        _could_not_be_tested(gate, f"it answers 429, and {reason}" if is_throttled else str(reason))


def _report_no_first_200(sender: BaselineSender, session: pytest.Session, exchange: Exchange) -> NoReturn:
    gate = sender.gate
    if cause := likely_cause(exchange, gate.settings.target, gate.operation.path):
        if exchange.status == 404 and _serves_health(gate):
            cause = f"{gate.settings.target.url}/healthz is served, and {gate.operation.path} is not"
        first = f"the first response is {exchange.status}" if exchange.status else "the response is not HTTP"
        _could_not_be_tested(gate, f"{first}; {cause}", exchange)
    if exchange.status in AUTH_ERRORS and _is_refused_for_its_form(gate):
        session.shouldfail = "the main key is refused for the form of its header"
        problem = "a valid key is refused because of the position or the case of its header"
        raise NoFirstResponseError([Finding(problem, exchange, expected="200", actual=exchange.outcome)])
    if exchange.status in AUTH_ERRORS:
        refusal = f"it refuses the main key with {exchange.status}"
        _could_not_be_tested(gate, f"{refusal}: does the key belong to this deployment?{_quotes(gate.main)}", exchange)
    if exchange.status == 407:
        _could_not_be_tested(gate, "the proxy requires credentials (407), and --proxy takes no password", exchange)
    if not exchange.received:
        may_expect_tls = gate.settings.target.scheme == "http" and exchange.ending in CLOSED_ENDINGS
        hint = "; does this port expect https?" if may_expect_tls else ""
        _could_not_be_tested(gate, f"no response: {exchange.problem}{hint}")
    session.shouldfail = "without a first 200 response to the main key nothing else can be tested"
    raise NoFirstResponseError([status_finding(exchange, "200")])


def _is_of_another_api(gate: Gate, exchange: Exchange) -> bool:
    """Whether the body is a JSON object without a documented member, at any depth and in any spelling.

    No member is required, so an empty object may be the deployment's. So may one that describes an error.
    """
    try:
        found = {_letters(name) for each in objects(exchange.object) for name in each}
    except NotTested:  # the body is too large
        return False
    own = {_letters(name) for name in gate.members} | ERROR_MEMBERS
    return bool(found) and not any(name in other for name in own for other in found)


def _letters(name: str) -> str:
    return re.sub("[^a-z]", "", name.lower())


def likely_cause(exchange: Exchange, target: Target, path: str) -> str:
    """Return why a first response is not the deployment's own, or an empty text where it may be."""
    text = exchange.body[:LOOKED_AT].decode("utf-8", "replace").lower()
    status = exchange.status or 0
    if is_challenge(exchange):
        return "a bot challenge answers in front of the deployment; let the gate's requests pass it"
    if exchange.head.startswith(TLS_ALERT) or (status == 400 and TLS_PORT.search(text)):
        return "this port expects TLS; is it https instead of http?"
    if exchange.received and exchange.status is None and not LIKE_HTTP.search(exchange.head):
        begin = exchange.excerpt(exchange.head, longest=LONGEST_BEGINNING)
        return f"the server sends '{begin}'; check host and port"
    if status in AUTH_ERRORS and UNKNOWN_PATH in text:
        return "the API gateway does not know this path; check the path prefix in --base-url"
    if status in REDIRECTS:
        return _cause_of_redirect(exchange, target)
    if status == 404 and target.path.endswith(path):
        return f"--base-url ends in {path} already; leave that out"
    if status == 404:
        return "the path prefix in --base-url is wrong or missing"
    if is_page(exchange) and status < 500:
        kind = "a login page" if LOGIN_PAGE.search(text) else "an HTML page"
        return f"{kind} is served at this address; check --base-url, and what is in front of the deployment"
    return ""


def _cause_of_redirect(exchange: Exchange, target: Target) -> str:
    location = exchange.header("Location")
    with suppress(ValueError):
        parts = urlsplit(location)
        if parts.scheme == "https" and target.scheme == "http" and parts.hostname == target.host:
            return "is it https instead of http?"
    if LOGIN.search(location.lower()):
        return "it redirects to a login page in front of the deployment"
    return "--base-url must be the address that it redirects to"


def _serves_health(gate: Gate) -> bool:
    with suppress(NotTested):
        request = gate.request(None, "at /healthz", target=gate.target_of("/healthz"))
        return gate.transport.send(request).object.get("ok") is True
    return False


def try_further_keys(sender: BaselineSender) -> None:
    """Send a first request with each further key; a key that is always rejected is not used in the run."""
    for key in sender.gate.settings.keys[1:]:
        if key not in sender.first_with:
            _send_first_request_with(sender, key)


def _send_first_request_with(sender: BaselineSender, key: Credential) -> None:
    try:
        exchanges = [sender.send(key)]
        while exchanges[-1].status in AUTH_ERRORS and len(exchanges) <= CONFIRMATIONS:
            exchanges.append(sender.send(key))
    except NotTested as reason:
        problem = f"no request with {key.label} got a response: {reason}"
        sender.shortfalls.append(Shortfall(key, problem, reason.wanted))
        return
    sender.first_with[key] = exchanges
    if all(exchange.status in AUTH_ERRORS for exchange in exchanges):
        sender.gate.rejected[key] = exchanges[0]
        variable = key.shell.removeprefix("$")
        problem = f"{key.label} ({variable}) was rejected with {exchanges[0].status} and is not used{_quotes(key)}"
        sender.shortfalls.append(Shortfall(key, problem, f"a valid {key.label}"))


def _quotes(key: Credential) -> str:
    """Return that a key begins and ends with a quote, which a file of variables may have added; empty otherwise."""
    is_quoted = key.value[:1] in {b"'", b'"'} and key.value[:1] == key.value[-1:]
    return "; it begins and ends with a quote" if is_quoted else ""


def _is_refused_for_its_form(gate: Gate) -> bool:
    forms: tuple[RequestOptions, ...] = (
        {"key_first": True},
        {"key_field": gate.key_header.lower()},
        {"separator": b":"},
    )
    requests = (gate.request(gate.main, "in another form", **form) for form in forms)
    return any(gate.transport.send(request).status == 200 for request in requests)


def _could_not_be_tested(gate: Gate, reason: str, exchange: Exchange | None = None) -> NoReturn:
    raise CouldNotBeTestedError(f"{gate.settings.target.url} could not be tested: {reason}", exchange)
