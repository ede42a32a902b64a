"""The first request of a run: it must be answered 200, or its response shows why nothing can be tested."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import NoReturn
from urllib.parse import urlsplit

import pytest
from _pytest.outcomes import Exit  # what pytest.exit raises; pytest exports it untyped

from contract_tests.run.gate import COULD_NOT_BE_TESTED, Gate, NoFirstResponseError, RequestOptions
from contract_tests.wire.connection import UnreachableError
from contract_tests.wire.messages import AUTH_ERRORS, Credential, Exchange
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.target import Target

CONFIRMATIONS = 2  # further requests with a key that was rejected: a deployment may reject a valid key at times
LOOKED_AT = 4096  # bytes of a body
PAGE = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype html|html)\b", re.IGNORECASE | re.DOTALL)
CHALLENGE = re.compile(r"just a moment|attention required|checking your browser|captcha|are you a human|bot detection")
LOGIN = re.compile(r"log-?in|sign-?in|signon|sso\b|saml|oauth|/auth\b")
LOGIN_PAGE = re.compile(r"type=.?password|log ?in|sign ?in")
TLS_PORT = re.compile(r"plain http request was sent to https port|http request to an https server|requires tls")
TLS_ALERT = b"\x15\x03"  # RFC 8446, section 5.1: a record of type alert
UNKNOWN_PATH = "missing authentication token"


class CouldNotBeTestedError(Exit):
    """The run ends, because nothing can be said about the deployment; `evidence` shows the response."""

    def __init__(self, why: str, evidence: str = "") -> None:
        super().__init__(why, COULD_NOT_BE_TESTED)
        self.evidence = evidence


def first_response(gate: Gate, session: pytest.Session) -> Exchange:
    """Return the first 200 response to the main key.

    Raises:
        CouldNotBeTestedError: The deployment, its address or the main key cannot be used.
        NoFirstAnswerError: The deployment does not answer a valid key with 200.
    """
    if gate.first:
        return gate.first
    if gate.key_header.lower() in {name.lower() for name, _ in gate.settings.headers}:
        _could_not_be_tested(gate, f"--header gives {gate.key_header}; give keys as keys, not as a field")
    try:
        exchange = gate.send_baseline(gate.main)
    except UnreachableError as error:
        _could_not_be_tested(gate, str(error))
    except RuntimeError as error:
        if type(error).__module__ == "builtins":
            raise
        _could_not_be_tested(gate, f"a pytest plugin blocks its connections ({type(error).__module__}): {error}")
    except NotTested as reason:
        throttled = any(exchange.status == 429 for exchange in gate.transport.journal)
        _could_not_be_tested(gate, f"it answers 429, and {reason}" if throttled else str(reason))
    if exchange.status != 200 or _is_page(exchange):
        _no_first_200(gate, session, exchange)
    gate.first = exchange
    return exchange


def _no_first_200(gate: Gate, session: pytest.Session, exchange: Exchange) -> NoReturn:
    if cause := likely_cause(exchange, gate.settings.target, gate.operation.path):
        if exchange.status == 404 and _serves_health(gate):
            cause = f"{gate.settings.target.url}/healthz is served, and {gate.operation.path} is not"
        _could_not_be_tested(gate, f"the first response is {exchange.outcome}; {cause}", exchange)
    if exchange.status in AUTH_ERRORS and _is_refused_for_its_form(gate):
        session.shouldfail = "the main key is refused for the form of its header"
        raise NoFirstResponseError(f"a valid key is refused by the place or the case of its header\n{exchange.seen}")
    if exchange.status in AUTH_ERRORS:
        why = f"it refuses the main key with {exchange.status}; is the key this deployment's?"
        _could_not_be_tested(gate, why, exchange)
    if exchange.status == 407:
        _could_not_be_tested(gate, "the proxy requires credentials (407), and --proxy takes no password", exchange)
    if not exchange.received:
        _could_not_be_tested(gate, f"no answer: {exchange.problem}")
    session.shouldfail = "without a first 200 response to the main key nothing else can be tested"
    raise NoFirstResponseError(f"{gate.operation} with a valid key is not answered 200\n{exchange.seen}")


def likely_cause(exchange: Exchange, target: Target, path: str) -> str:
    """Return why a first response is not the deployment's own, or an empty text where it may be."""
    text = exchange.body[:LOOKED_AT].decode("utf-8", "replace").lower()
    status = exchange.status or 0
    if exchange.header("cf-mitigated") == "challenge" or (
        _is_page(exchange) and status < 500 and CHALLENGE.search(text)
    ):
        return "a bot challenge answers in front of the deployment; let the gate's requests pass it"
    if exchange.start.startswith(TLS_ALERT) or (status == 400 and TLS_PORT.search(text)):
        return "this port expects TLS; is it https instead of http?"
    if status in {401, 403} and UNKNOWN_PATH in text:
        return "the API gateway does not know this path; check the path prefix in --base-url"
    if status in {301, 302, 303, 307, 308}:
        return _cause_of_redirect(exchange, target)
    if status == 404 and target.path.endswith(path):
        return f"--base-url ends in {path} already; leave that out"
    if status == 404:
        return "the path prefix in --base-url is wrong or missing"
    if _is_page(exchange) and status < 500:
        kind = "a login page" if LOGIN_PAGE.search(text) else "an HTML page"
        return f"{kind} is served at this address; check --base-url, and what is in front of the deployment"
    return ""


def _cause_of_redirect(exchange: Exchange, target: Target) -> str:
    location = exchange.header("Location") or ""
    with suppress(ValueError):
        parts = urlsplit(location)
        if parts.scheme == "https" and target.scheme == "http" and parts.hostname == target.host:
            return "is it https instead of http?"
    if LOGIN.search(location.lower()):
        return "it redirects to a login page in front of the deployment"
    return "--base-url must be the address that it redirects to"


def _is_page(exchange: Exchange) -> bool:
    is_html = exchange.media_type in {"text/html", "application/xhtml+xml"}
    return is_html and PAGE.match(exchange.body[:LOOKED_AT]) is not None


def _serves_health(gate: Gate) -> bool:
    target = f"{gate.settings.target.path}/healthz"
    with suppress(NotTested):
        return gate.ask(None, "at /healthz", target=target).object.get("ok") is True
    return False


def try_further_keys(gate: Gate) -> None:
    """Send a first request with each further key; one that is always rejected is left out of the run."""
    for key in gate.settings.keys[1:]:
        if key not in gate.first_with:
            _first_request_with(gate, key)


def _first_request_with(gate: Gate, key: Credential) -> None:
    try:
        exchanges = [gate.send_baseline(key)]
        while exchanges[-1].status in AUTH_ERRORS and len(exchanges) <= CONFIRMATIONS:
            exchanges.append(gate.send_baseline(key))
    except NotTested as reason:
        gate.shortfalls.append(f"no request with {key.label} was answered: {reason}")
        gate.wanted.add(reason.wanted)
        return
    gate.first_with[key] = exchanges
    if all(exchange.status in AUTH_ERRORS for exchange in exchanges):
        gate.rejected[key] = exchanges[0]
        variable = key.shell.removeprefix("$")
        gate.shortfalls.append(f"{key.label} ({variable}) was rejected with {exchanges[0].status} and is not used")
        gate.wanted.add(f"a valid {key.label}")


def _is_refused_for_its_form(gate: Gate) -> bool:
    forms: tuple[RequestOptions, ...] = (
        {"key_first": True},
        {"key_field": gate.key_header.lower()},
        {"separator": b":"},
    )
    return any(gate.ask(gate.main, "in another form", **form).status == 200 for form in forms)


def _could_not_be_tested(gate: Gate, why: str, exchange: Exchange | None = None) -> NoReturn:
    raise CouldNotBeTestedError(
        f"{gate.settings.target.url} could not be tested: {why}", exchange.seen if exchange else ""
    )
