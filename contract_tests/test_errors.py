"""What an error answer carries, and what it keeps to itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from contract_tests import keys
from contract_tests.connection import wire
from contract_tests.facts import NEEDS_AUTH_ERRORS
from contract_tests.gate import BROWSER, OPERATION, Gate
from contract_tests.internals import internals
from contract_tests.message import REFUSED, Answer, Credential, Request, kept_whole
from contract_tests.not_tested import NotTested
from contract_tests.rules import AUTHENTICATION_GUIDE, ERRORS_GUIDE, holds
from contract_tests.spellings import Disclosure
from contract_tests.validation import problems

TELLING = 8  # characters of a key: a shorter run may stand anywhere by chance


@pytest.fixture(scope="session")
def errors(missing: list[Answer], unknown: list[Answer]) -> list[Answer]:
    """The documented errors that plain requests were answered with."""
    found = [answer for answer in (*missing, *unknown) if answer.status in {401, 403} and answer.ending == "complete"]
    if not found:
        reported_by = [rule for fact in NEEDS_AUTH_ERRORS for rule in fact.reported_by]
        raise NotTested("no baseline request was refused with 401 or 403", because=reported_by)
    return found


@pytest.mark.rule(level="documented", source=ERRORS_GUIDE)
def test_error_body_is_json_with_a_detail_text(errors: list[Answer]) -> None:
    """Every 401 and 403 body MUST be JSON, under a JSON media type, with a `detail` text."""
    for answer in errors:
        assert answer.is_json and answer.has_true_charset, (
            f"Content-Type is {answer.header('Content-Type')!r}, which is no JSON\n{answer.seen}"
        )
        assert not answer.json.problem, f"the body {answer.json.problem}\n{answer.seen}"
        holds(f"{problem}\n{answer.seen}" for problem in problems(OPERATION, answer, "documented"))


@pytest.mark.needs("errors/error-body-is-json-with-a-detail-text")
@pytest.mark.rule(level="documented", source=ERRORS_GUIDE)
def test_every_refusal_has_a_detail(gate: Gate, missing: object, unknown: object, journal: tuple[Answer, ...]) -> None:
    """A 401 or 403 for a wrong key, or for one in the wrong place, MUST be such JSON as well."""
    for answer in kept_whole(answer for answer in journal if answer.status in REFUSED):
        if answer.ending != "complete":
            continue
        if answer.is_json and answer.json.problem and answer.request.method != "HEAD":
            raise AssertionError(f"the body {answer.json.problem}\n{answer.seen}")
        if _is_unsuspicious(gate, answer.request):
            assert answer.is_json, f"the body is no JSON ({answer.header('Content-Type')})\n{answer.seen}"
            holds(f"{problem}\n{answer.seen}" for problem in problems(OPERATION, answer, "documented"))


def _is_unsuspicious(gate: Gate, request: Request) -> bool:
    """Whether only the deployment itself refuses this: proxies and firewalls have pages of their own."""
    key = request.credential
    wrong_key = key is None or (key not in gate.settings.keys and keys.PLAIN.fullmatch(key.value))
    host = (b"Host", gate.settings.target.authority.encode())
    ours = request.method == gate.operation.method and request.target.split(b"?")[0] == gate.path.encode()
    names = Counter(name.lower() for name, _ in request.fields)
    usual = {name.lower() for name, _ in gate.request(gate.main, fields=BROWSER).fields}
    common = names.keys() <= usual and max(names.values()) == 1
    return bool(wrong_key and ours and host in request.fields and not request.body and common)


@pytest.mark.rule(level="advisory", source="RFC 9110, section 11.6.1")
def test_401_carries_a_challenge(errors: list[Answer]) -> None:
    """A 401 SHOULD say in WWW-Authenticate how to authenticate; servers of this shape commonly omit it."""
    holds(
        f"a 401 without WWW-Authenticate\n{a.seen}"
        for a in errors
        if a.status == 401 and not a.header("WWW-Authenticate")
    )


@pytest.mark.rule(level="documented", source=f"{AUTHENTICATION_GUIDE}: nothing is served without a valid key")
def test_error_tells_no_figures(gate: Gate, missing: object, journal: tuple[Answer, ...]) -> None:
    """An answer that refuses a request MUST NOT hold anybody's figures."""
    valid = gate.keys
    refusals = [a for a in journal if (a.status or 0) >= (400 if a.request.credential in valid else 300)]
    holds(f"the body holds figures\n{answer.seen}" for answer in kept_whole(refusals) if gate.shows_figures(answer))


@pytest.mark.rule(level="documented", source=f"{AUTHENTICATION_GUIDE}: the key is a secret of its owner")
def test_error_tells_no_key(gate: Gate, shared: tuple[Answer, ...], journal: tuple[Answer, ...]) -> None:
    """An answer MUST NOT tell a key that its request did not hold, plain or coded, nor a refusal half of one."""
    for answer in kept_whole((*shared, *(a for a in journal if a.status != 200 or gate.is_public(a.request)))):
        everything = answer.body + b"\n".join(value for _, value in answer.fields)
        asked = wire(answer.request)
        others = [key for key in gate.settings.keys if key.value not in asked and len(key.value) > 5]
        if disclosed := _forms(everything, others):
            sent = _forms(asked, disclosed)
            holds(
                f"the answer tells {key.told}\n{answer.seen}"
                for key in disclosed
                if disclosed[key] - sent.get(key, frozenset())
            )
        if answer.status in REFUSED:
            holds(
                f"the answer tells half of {key.told}\n{answer.seen}"
                for key in others
                if _is_half_told(key, everything, asked)
            )


def _forms(text: bytes, secrets: Iterable[Credential]) -> dict[Credential, frozenset[str]]:
    """Return the forms of each key that a text contains, without keys that it does not contain."""
    disclosure = Disclosure(text.decode("utf-8", "backslashreplace"))
    found = {key: disclosure.forms_of(key.value.decode()) for key in secrets}
    return {key: forms for key, forms in found.items() if forms}


def _is_half_told(key: Credential, answer: bytes, asked: bytes) -> bool:
    """Whether a run of half the key's characters, and of enough to be no chance, stands in an answer out of nowhere."""
    length = max(TELLING, (len(key.value) + 1) // 2)
    runs = (key.value[start : start + length] for start in range(len(key.value) - length + 1))
    return any(run in answer and run not in asked for run in runs)


@pytest.mark.rule(level="documented", source=f"{ERRORS_GUIDE}: the body is a detail text for the client")
def test_error_tells_no_internals(journal: tuple[Answer, ...]) -> None:
    """An answer MUST NOT show a stack trace, a file of the server, or a database's complaint."""
    holds(
        f"the body shows '{answer.excerpt(match[0], 60)}'\n{answer.seen}"
        for answer in kept_whole(journal)
        if (match := internals(answer.body))
    )


@pytest.mark.rule(level="documented", source=f"{ERRORS_GUIDE}: 502 and 504 are not this operation's, and no 5xx is")
def test_no_request_is_answered_5xx(journal: tuple[Answer, ...]) -> None:
    """A request, however odd, MUST NOT be answered with a 5xx."""
    holds(f"a {a.status}\n{a.seen}" for a in journal if (a.status or 0) >= 500 and a.status not in {501, 505})


@pytest.mark.rule(level="documented", source=f"{ERRORS_GUIDE}: a request that is refused is answered")
def test_no_request_stops_the_deployment(gate: Gate, journal: tuple[Answer, ...]) -> None:
    """After every request, however odd, the deployment MUST go on answering."""
    last = journal[-1]
    assert not (gate.transport.lost and last.status is None), (
        f"after this request nothing answered any more: {gate.transport.lost}\n{last.seen}"
    )
