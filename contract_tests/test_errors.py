"""What an error answer carries, and what it keeps to itself."""

from __future__ import annotations

from collections import Counter

import pytest

from contract_tests.metrics.schema import problems
from contract_tests.redaction.spellings import Disclosure
from contract_tests.run import wrong_keys
from contract_tests.run.facts import NEEDS_AUTH_ERRORS
from contract_tests.run.gate import BROWSER, OPERATION, Gate
from contract_tests.run.rules import AUTHENTICATION_GUIDE, ERRORS_GUIDE, holds
from contract_tests.wire.connection import wire
from contract_tests.wire.internals import internals
from contract_tests.wire.messages import AUTH_ERRORS, Credential, Exchange, Request, kept_whole
from contract_tests.wire.not_tested import NotTested

TELLING = 8  # characters of a key: a shorter run may stand anywhere by chance


@pytest.fixture(scope="session")
def errors(missing: list[Exchange], unknown: list[Exchange]) -> list[Exchange]:
    """The documented errors that plain requests were answered with."""
    found = [
        exchange for exchange in (*missing, *unknown) if exchange.status in {401, 403} and exchange.ending == "complete"
    ]
    if not found:
        reported_by = [rule for fact in NEEDS_AUTH_ERRORS for rule in fact.reported_by]
        raise NotTested("no baseline request was refused with 401 or 403", because=reported_by)
    return found


@pytest.mark.rule(level="documented", source=ERRORS_GUIDE)
def test_error_body_is_json_with_a_detail(errors: list[Exchange]) -> None:
    """Every 401 and 403 body MUST be JSON, under a JSON media type, with a `detail` text."""
    for exchange in errors:
        assert exchange.is_json and exchange.has_true_charset, (
            f"Content-Type is {exchange.header('Content-Type')!r}, which is no JSON\n{exchange.seen}"
        )
        assert not exchange.json.problem, f"the body {exchange.json.problem}\n{exchange.seen}"
        holds(f"{problem}\n{exchange.seen}" for problem in problems(OPERATION, exchange, "documented"))


@pytest.mark.needs("errors/error-body-is-json-with-a-detail")
@pytest.mark.rule(level="documented", source=ERRORS_GUIDE)
def test_every_auth_error_has_a_detail(
    gate: Gate, missing: object, unknown: object, journal: tuple[Exchange, ...]
) -> None:
    """A 401 or 403 for a wrong key, or for one in the wrong place, MUST be such JSON as well."""
    for exchange in kept_whole(exchange for exchange in journal if exchange.status in AUTH_ERRORS):
        if exchange.ending != "complete":
            continue
        if exchange.is_json and exchange.json.problem and exchange.request.method != "HEAD":
            raise AssertionError(f"the body {exchange.json.problem}\n{exchange.seen}")
        if _is_unsuspicious(gate, exchange.request):
            assert exchange.is_json, f"the body is no JSON ({exchange.header('Content-Type')})\n{exchange.seen}"
            holds(f"{problem}\n{exchange.seen}" for problem in problems(OPERATION, exchange, "documented"))


def _is_unsuspicious(gate: Gate, request: Request) -> bool:
    """Whether only the deployment itself refuses this: proxies and firewalls have pages of their own."""
    key = request.credential
    wrong_key = key is None or (key not in gate.settings.keys and wrong_keys.PLAIN.fullmatch(key.value))
    host = (b"Host", gate.settings.target.authority.encode())
    ours = request.method == gate.operation.method and request.target.split(b"?")[0] == gate.path.encode()
    names = Counter(name.lower() for name, _ in request.fields)
    usual = {name.lower() for name, _ in gate.request(gate.main, fields=BROWSER).fields}
    common = names.keys() <= usual and max(names.values()) == 1
    return bool(wrong_key and ours and host in request.fields and not request.body and common)


@pytest.mark.rule(level="advisory", source="RFC 9110, section 11.6.1")
def test_401_carries_a_challenge(errors: list[Exchange]) -> None:
    """A 401 SHOULD say in WWW-Authenticate how to authenticate; servers of this shape commonly omit it."""
    holds(
        f"a 401 without WWW-Authenticate\n{a.seen}"
        for a in errors
        if a.status == 401 and not a.header("WWW-Authenticate")
    )


@pytest.mark.rule(level="documented", source=f"{AUTHENTICATION_GUIDE}: nothing is served without a valid key")
def test_errors_do_not_disclose_metrics(gate: Gate, missing: object, journal: tuple[Exchange, ...]) -> None:
    """An answer that refuses a request MUST NOT hold anybody's figures."""
    valid = gate.keys
    refusals = [a for a in journal if (a.status or 0) >= (400 if a.request.credential in valid else 300)]
    holds(
        f"the body holds figures\n{exchange.seen}" for exchange in kept_whole(refusals) if gate.shows_metrics(exchange)
    )


@pytest.mark.rule(level="documented", source=f"{AUTHENTICATION_GUIDE}: the key is a secret of its owner")
def test_responses_do_not_disclose_keys(
    gate: Gate, shared: tuple[Exchange, ...], journal: tuple[Exchange, ...]
) -> None:
    """An answer MUST NOT tell a key that its request did not hold, plain or coded, nor a refusal half of one."""
    for exchange in kept_whole((*shared, *(a for a in journal if a.status != 200 or gate.is_public(a.request)))):
        everything = exchange.body + b"\n".join(value for _, value in exchange.fields)
        asked = wire(exchange.request)
        others = [key for key in gate.settings.keys if key.value not in asked and len(key.value) > 5]
        disclosed, sent = (Disclosure(text.decode("utf-8", "backslashreplace")) for text in (everything, asked))
        holds(
            f"the answer tells {key.label}\n{exchange.seen}"
            for key in others
            if disclosed.forms_of(key.value.decode()) - sent.forms_of(key.value.decode())
        )
        if exchange.status in AUTH_ERRORS:
            holds(
                f"the answer tells half of {key.label}\n{exchange.seen}"
                for key in others
                if _is_half_told(key, everything, asked)
            )


def _is_half_told(key: Credential, exchange: bytes, asked: bytes) -> bool:
    """Whether a run of half the key's characters, and of enough to be no chance, stands in an answer out of nowhere."""
    length = max(TELLING, (len(key.value) + 1) // 2)
    runs = (key.value[start : start + length] for start in range(len(key.value) - length + 1))
    return any(run in exchange and run not in asked for run in runs)


@pytest.mark.rule(level="documented", source=f"{ERRORS_GUIDE}: the body is a detail text for the client")
def test_responses_do_not_disclose_internals(journal: tuple[Exchange, ...]) -> None:
    """An answer MUST NOT show a stack trace, a file of the server, or a database's complaint."""
    holds(
        f"the body shows '{exchange.excerpt(match[0], 60)}'\n{exchange.seen}"
        for exchange in kept_whole(journal)
        if (match := internals(exchange.body))
    )


@pytest.mark.rule(level="documented", source=f"{ERRORS_GUIDE}: 502 and 504 are not this operation's, and no 5xx is")
def test_no_request_causes_5xx(journal: tuple[Exchange, ...]) -> None:
    """A request, however odd, MUST NOT be answered with a 5xx."""
    holds(f"a {a.status}\n{a.seen}" for a in journal if (a.status or 0) >= 500 and a.status not in {501, 505})


@pytest.mark.rule(level="documented", source=f"{ERRORS_GUIDE}: a request that is refused is answered")
def test_deployment_stays_reachable(gate: Gate, journal: tuple[Exchange, ...]) -> None:
    """After every request, however odd, the deployment MUST go on answering."""
    last = journal[-1]
    assert not (gate.transport.lost and last.status is None), (
        f"after this request nothing answered any more: {gate.transport.lost}\n{last.seen}"
    )
