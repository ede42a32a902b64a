"""Who gets figures: whoever sends a valid key in its header, and nobody with another value."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract_tests import keys
from contract_tests.facts import NEEDS_AUTH_ERRORS, NEEDS_VALID_KEY, UNKNOWN_KEY_REFUSED
from contract_tests.figures import Figures
from contract_tests.gate import BROWSER, Gate
from contract_tests.message import REFUSALS, REFUSED, Answer, Credential
from contract_tests.not_tested import NotTested
from contract_tests.rules import AUTHENTICATION_GUIDE, DOCUMENT, HEADER_ONLY, holds
from contract_tests.validation import contract, problems

INVALID = f"{DOCUMENT}, 401 and 403: invalid API key"


@pytest.mark.rule(level="specified", source=f"{DOCUMENT}, 200: usage metrics for the authenticated API key")
def test_valid_key_is_200(good: list[Answer]) -> None:
    """Every plain request with a valid key MUST be answered 200."""
    holds(
        f"{answer.outcome} instead of 200\n{answer.seen}"
        for answer in good
        if answer.status != 200 and answer.ending != "malformed"
    )


@pytest.mark.rule(level="documented", source=f"{AUTHENTICATION_GUIDE}: 401 means that the key is missing")
def test_missing_key_is_401(gate: Gate, missing: list[Answer]) -> None:
    """A request without the key header MUST be answered 401."""
    holds(f"{answer.outcome} instead of 401\n{answer.seen}" for answer in missing if answer.status != 401)
    answers = [
        gate.ask(None, "as a browser asks", fields=BROWSER),
        gate.ask(None, "as curl asks", fields=[("User-Agent", "curl/8.5.0"), ("Accept", "*/*")]),
    ]
    holds(f"{answer.outcome} instead of 401\n{answer.seen}" for answer in answers if answer.status not in {401, 429})


@pytest.mark.needs(*NEEDS_AUTH_ERRORS)
@pytest.mark.rule(
    level="documented", source=f"{AUTHENTICATION_GUIDE}: 401 means that the key is missing, 403 that it is invalid"
)
def test_empty_key_is_refused(gate: Gate) -> None:
    """An empty or blank key MUST be answered 401 or 403."""
    answers = [gate.ask(keys.EMPTY), gate.ask(keys.BLANK)]
    holds(gate.not_refused(answers, gate.baseline.refusals(None, keys.UNKNOWN)))


@pytest.mark.rule(level="documented", source=INVALID)
def test_unknown_key_is_refused(gate: Gate, unknown: list[Answer]) -> None:
    """A key that nobody issued MUST be answered 403 or 401."""
    holds(gate.not_refused(unknown, REFUSED))


@pytest.mark.needs(UNKNOWN_KEY_REFUSED)
@pytest.mark.rule(level="documented", source=INVALID)
def test_near_key_is_refused(gate: Gate, good: list[Answer]) -> None:
    """A value close to a valid key (a part, an extension, another form of it) MUST be answered 403 or 401."""
    shown = {text for answer in good if keys.SENDABLE.fullmatch(text := Figures(answer).api_key or "")}
    changed = [wrong for key in gate.keys for wrong in keys.changed(key)]
    mixed = keys.mixed(*gate.keys[:2]) if len(gate.keys) > 1 else ()
    candidates = [*changed, *mixed, *keys.near(gate.main), *map(keys.shown, sorted(shown)[:3])]
    near = [key for key in candidates if key.value not in _values(gate)]
    holds(_not_let_in(gate, near))


@pytest.mark.needs(UNKNOWN_KEY_REFUSED, "auth/near-key-is-refused")
@pytest.mark.rule(level="documented", source=INVALID)
@given(data=st.data())
def test_edited_key_is_refused(gate: Gate, data: st.DataObject) -> None:
    """A valid key with any one character changed, removed or added MUST be answered 403 or 401."""
    key = data.draw(keys.edits(gate.main).filter(lambda key: key.value not in _values(gate)))
    holds(gate.not_refused([gate.ask(key)], gate.baseline.refusals(keys.UNKNOWN)))


@pytest.mark.needs(UNKNOWN_KEY_REFUSED)
@pytest.mark.rule(level="documented", source=INVALID)
def test_pattern_is_refused(gate: Gate) -> None:
    """Wildcards, placeholders, injections and guesses MUST be answered 403 or 401, or as a firewall does: any 4xx."""
    patterns = [key for key in keys.PATTERNS if key.value not in _values(gate)]
    holds(_not_let_in(gate, patterns))


@pytest.mark.needs(UNKNOWN_KEY_REFUSED)
@pytest.mark.rule(level="documented", source=f"{INVALID}; how a malformed one is refused is open")
def test_malformed_key_is_refused(gate: Gate) -> None:
    """A key that is very long, or holds control or non-ASCII bytes, MUST be refused: any 4xx, or no answer."""
    answers = [
        gate.ask(key, "in a malformed field", fresh=True) for key in (*keys.MALFORMED, *keys.disguised(gate.main))
    ]
    holds(gate.not_refused(_answered(answers), _any_refusal(gate)))


@pytest.mark.needs(UNKNOWN_KEY_REFUSED)
@pytest.mark.rule(level="advisory", source=f"{INVALID}; some servers strip more from a value than RFC 9110 calls space")
def test_padded_key_is_refused(gate: Gate) -> None:
    """A valid key with other bytes behind it that look like white space SHOULD be refused."""
    answers = [gate.ask(key, "in a malformed field", fresh=True) for key in keys.padded(gate.main)]
    holds(gate.not_refused(_answered(answers), _any_refusal(gate)))


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(level="specified", source="RFC 9112, section 5.1: no space between a field's name and its colon")
def test_space_before_the_colon_is_refused(gate: Gate) -> None:
    """A key header with a space before its colon MUST be refused."""
    answer = gate.ask(gate.main, "and a space before the colon", key_field=f"{gate.key_header} ", fresh=True)
    assert answer.status != 200, f"the field was taken for the key header\n{answer.seen}"


@pytest.mark.needs(UNKNOWN_KEY_REFUSED)
@pytest.mark.rule(
    level="advisory", source="RFC 9110, section 5.3: a repeated field is one value, a list, and the list is no key"
)
def test_repeated_key_header_is_refused(gate: Gate) -> None:
    """A valid key beside another value in a repeated key header SHOULD be refused."""
    other = (gate.key_header, keys.UNKNOWN.value)
    answers = [
        gate.ask(
            keys.UNKNOWN,
            "and the key header repeated with the main key",
            fields=[(gate.key_header, gate.main.value)],
            fresh=True,
        ),
        gate.ask(gate.main, "and the key header repeated with another value", fields=[other], fresh=True),
    ]
    holds(gate.not_refused(_answered(answers), _any_refusal(gate)))


@pytest.mark.needs(UNKNOWN_KEY_REFUSED)
@pytest.mark.rule(level="documented", source=INVALID)
def test_repeated_wrong_key_is_refused(gate: Gate) -> None:
    """Two wrong values in a repeated key header MUST be refused."""
    answer = gate.ask(
        keys.UNKNOWN,
        "and the key header repeated with another such key",
        fields=[(gate.key_header, b"nobody-issued-this-either")],
    )
    holds(gate.not_refused(_answered([answer]), _any_refusal(gate)))


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(level="specified", source="RFC 9110, section 5.1: field names are case-insensitive")
def test_header_name_is_case_insensitive(gate: Gate) -> None:
    """The key header MUST be understood however its name is capitalised."""
    spellings = (gate.key_header.lower(), gate.key_header.upper())
    answers = [gate.ask(gate.main, f"in a header written {name}", key_field=name, plain=True) for name in spellings]
    holds(_not_taken(answers))


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(level="documented", source=f"{HEADER_ONLY}, and 401 and 403 say that it is missing or invalid")
def test_valid_key_is_enough(gate: Gate) -> None:
    """A valid key MUST be let in whatever a browser or another client says beside it, and whatever the query is."""
    origin = gate.settings.target.origin
    in_a_page = [*BROWSER_FIELDS, ("Origin", origin), ("Referer", f"{origin}/")]
    given = {name.lower() for name, _ in gate.settings.headers}  # what a gateway wants stays as it is
    answers = [
        gate.ask(gate.main, told, fields=[field for field in fields if field[0].lower() not in given])
        for told, fields in {
            "as a script in a page asks": in_a_page,
            "beside other credentials": OTHER_CREDENTIALS,
        }.items()
    ]
    holds(_not_taken(answers))
    queried = gate.ask(gate.main, "and a query", target=f"{gate.path}?verbose=1")
    assert queried.status not in REFUSED, f"{queried.status} for a valid key\n{queried.seen}"


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


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(
    level="specified", source="RFC 9112, section 5 and RFC 9110, section 5.3: white space, order of fields"
)
def test_header_may_stand_anywhere(gate: Gate) -> None:
    """The key header MUST be understood with any white space around its value, and in any place among the fields."""
    answers = [
        gate.ask(gate.main, "without a space after the colon", separator=b":"),
        gate.ask(gate.main, "with a tab after the colon", separator=b":\t"),
        gate.ask(gate.main, "with the key header first", key_first=True),
        gate.ask(gate.main, "with the key header in the middle", fields=[("Accept-Language", "en"), ("X-Last", "1")]),
    ]
    holds(_not_taken(answers))


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(level="advisory", source="RFC 9110, section 5.5: white space behind a value; some parsers keep it")
def test_space_may_follow_the_key(gate: Gate) -> None:
    """A valid key SHOULD be understood with a space behind it."""
    followed = Credential(gate.main.value + b" ", f"{gate.main.told} and a space")
    holds(_not_taken([gate.ask(followed, lane=True)]))


@pytest.mark.rule(level="documented", source=f"{AUTHENTICATION_GUIDE}: GET / and GET /healthz need no key")
def test_public_operation_needs_no_key(gate: Gate) -> None:
    """The overview and the health check MUST NOT be refused for want of a key, and the latter answers {"ok": true}."""
    public = [operation for operation in contract("documented").operations.values() if operation.key_header is None]
    served = False
    for operation in public:
        answer = gate.ask(
            None, f"at {operation.path}", method=operation.method, target=gate.settings.target.path + operation.path
        )
        assert answer.status not in REFUSED, f"{answer.status} for want of a key\n{answer.seen}"
        if answer.status == 200 and operation.responses["200"].schema:
            served = True
            holds(f"{problem}\n{answer.seen}" for problem in problems(operation.id, answer, "documented"))
    if not served:
        raise NotTested("this deployment does not serve /healthz")


def _answered(answers: Iterable[Answer]) -> list[Answer]:
    """Leave out what was refused by closing the connection, as anything malformed may be."""
    return [answer for answer in answers if answer.status is not None]


def _any_refusal(gate: Gate) -> frozenset[int]:
    return REFUSALS | gate.baseline.refusals(keys.UNKNOWN)


def _not_let_in(gate: Gate, wrong: Iterable[Credential]) -> Iterable[str]:
    """Ask with each of these keys; one that looks like an attack may be stopped by whoever stands in front."""
    for key in wrong:
        if keys.PLAIN.fullmatch(key.value):
            yield from gate.not_refused([gate.ask(key)], gate.baseline.refusals(keys.UNKNOWN))
        else:
            yield from gate.not_refused(_answered([gate.ask(key)]), _any_refusal(gate))


def _not_taken(answers: Iterable[Answer]) -> Iterable[str]:
    return (f"{answer.outcome} instead of 200\n{answer.seen}" for answer in answers if answer.status != 200)


def _values(gate: Gate) -> set[bytes]:
    return {key.value for key in gate.settings.keys}
