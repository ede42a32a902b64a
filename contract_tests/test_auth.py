"""Who gets figures: whoever sends a valid key in its header, and nobody with another value."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract_tests.metrics.schema import contract, problems
from contract_tests.metrics.view import UsageMetrics
from contract_tests.run import wrong_keys
from contract_tests.run.facts import NEEDS_AUTH_ERRORS, NEEDS_VALID_KEY, UNKNOWN_KEY_REFUSED
from contract_tests.run.gate import BROWSER, Gate
from contract_tests.run.rules import AUTHENTICATION_GUIDE, DOCUMENT, HEADER_ONLY, holds
from contract_tests.wire.messages import AUTH_ERRORS, CLIENT_ERRORS, Credential, Exchange
from contract_tests.wire.not_tested import NotTested

INVALID = f"{DOCUMENT}, 401 and 403: invalid API key"


@pytest.mark.rule(level="specified", source=f"{DOCUMENT}, 200: usage metrics for the authenticated API key")
def test_valid_key_is_200(good: list[Exchange]) -> None:
    """Every plain request with a valid key MUST be answered 200."""
    holds(
        f"{exchange.outcome} instead of 200\n{exchange.seen}"
        for exchange in good
        if exchange.status != 200 and exchange.ending != "malformed"
    )


@pytest.mark.rule(level="documented", source=f"{AUTHENTICATION_GUIDE}: 401 means that the key is missing")
def test_missing_key_is_401(gate: Gate, missing: list[Exchange]) -> None:
    """A request without the key header MUST be answered 401."""
    holds(f"{exchange.outcome} instead of 401\n{exchange.seen}" for exchange in missing if exchange.status != 401)
    exchanges = [
        gate.ask(None, "as a browser asks", fields=BROWSER),
        gate.ask(None, "as curl asks", fields=[("User-Agent", "curl/8.5.0"), ("Accept", "*/*")]),
    ]
    holds(
        f"{exchange.outcome} instead of 401\n{exchange.seen}"
        for exchange in exchanges
        if exchange.status not in {401, 429}
    )


@pytest.mark.needs(*NEEDS_AUTH_ERRORS)
@pytest.mark.rule(
    level="documented", source=f"{AUTHENTICATION_GUIDE}: 401 means that the key is missing, 403 that it is invalid"
)
def test_empty_key_is_refused(gate: Gate) -> None:
    """An empty or blank key MUST be answered 401 or 403."""
    exchanges = [gate.ask(wrong_keys.EMPTY), gate.ask(wrong_keys.BLANK)]
    holds(gate.not_refused(exchanges, gate.baseline.refusals(None, wrong_keys.UNKNOWN)))


@pytest.mark.rule(level="documented", source=INVALID)
def test_unknown_key_is_refused(gate: Gate, unknown: list[Exchange]) -> None:
    """A key that nobody issued MUST be answered 403 or 401."""
    holds(gate.not_refused(unknown, AUTH_ERRORS))


@pytest.mark.needs(UNKNOWN_KEY_REFUSED)
@pytest.mark.rule(level="documented", source=INVALID)
def test_similar_key_is_refused(gate: Gate, good: list[Exchange]) -> None:
    """A value close to a valid key (a part, an extension, another form of it) MUST be answered 403 or 401."""
    shown = {text for exchange in good if wrong_keys.SENDABLE.fullmatch(text := UsageMetrics(exchange).api_key or "")}
    changed = [wrong for key in gate.keys for wrong in wrong_keys.changed(key)]
    mixed = wrong_keys.mixed(*gate.keys[:2]) if len(gate.keys) > 1 else ()
    candidates = [*changed, *mixed, *wrong_keys.near(gate.main), *map(wrong_keys.shown, sorted(shown)[:3])]
    near = [key for key in candidates if key.value not in _values(gate)]
    holds(_not_let_in(gate, near))


@pytest.mark.needs(UNKNOWN_KEY_REFUSED, "auth/similar-key-is-refused")
@pytest.mark.rule(level="documented", source=INVALID)
@given(data=st.data())
def test_key_with_one_edit_is_refused(gate: Gate, data: st.DataObject) -> None:
    """A valid key with any one character changed, removed or added MUST be answered 403 or 401."""
    key = data.draw(wrong_keys.edits(gate.main).filter(lambda key: key.value not in _values(gate)))
    holds(gate.not_refused([gate.ask(key)], gate.baseline.refusals(wrong_keys.UNKNOWN)))


@pytest.mark.needs(UNKNOWN_KEY_REFUSED)
@pytest.mark.rule(level="documented", source=INVALID)
def test_wildcard_or_injection_is_refused(gate: Gate) -> None:
    """Wildcards, placeholders, injections and guesses MUST be answered 403 or 401, or as a firewall does: any 4xx."""
    patterns = [key for key in wrong_keys.PATTERNS if key.value not in _values(gate)]
    holds(_not_let_in(gate, patterns))


@pytest.mark.needs(UNKNOWN_KEY_REFUSED)
@pytest.mark.rule(level="documented", source=f"{INVALID}; how a malformed one is refused is open")
def test_malformed_key_is_refused(gate: Gate) -> None:
    """A key that is very long, or holds control or non-ASCII bytes, MUST be refused: any 4xx, or no answer."""
    exchanges = [
        gate.ask(key, "in a malformed field", new_connection=True)
        for key in (*wrong_keys.MALFORMED, *wrong_keys.disguised(gate.main))
    ]
    holds(gate.not_refused(_answered(exchanges), _any_refusal(gate)))


@pytest.mark.needs(UNKNOWN_KEY_REFUSED)
@pytest.mark.rule(level="advisory", source=f"{INVALID}; some servers strip more from a value than RFC 9110 calls space")
def test_padded_key_is_refused(gate: Gate) -> None:
    """A valid key with other bytes behind it that look like white space SHOULD be refused."""
    exchanges = [gate.ask(key, "in a malformed field", new_connection=True) for key in wrong_keys.padded(gate.main)]
    holds(gate.not_refused(_answered(exchanges), _any_refusal(gate)))


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(level="specified", source="RFC 9112, section 5.1: no space between a field's name and its colon")
def test_space_before_the_colon_is_refused(gate: Gate) -> None:
    """A key header with a space before its colon MUST be refused."""
    exchange = gate.ask(gate.main, "and a space before the colon", key_field=f"{gate.key_header} ", new_connection=True)
    assert exchange.status != 200, f"the field was taken for the key header\n{exchange.seen}"


@pytest.mark.needs(UNKNOWN_KEY_REFUSED)
@pytest.mark.rule(
    level="advisory", source="RFC 9110, section 5.3: a repeated field is one value, a list, and the list is no key"
)
def test_repeated_key_header_is_refused(gate: Gate) -> None:
    """A valid key beside another value in a repeated key header SHOULD be refused."""
    other = (gate.key_header, wrong_keys.UNKNOWN.value)
    exchanges = [
        gate.ask(
            wrong_keys.UNKNOWN,
            "and the key header repeated with the main key",
            fields=[(gate.key_header, gate.main.value)],
            new_connection=True,
        ),
        gate.ask(gate.main, "and the key header repeated with another value", fields=[other], new_connection=True),
    ]
    holds(gate.not_refused(_answered(exchanges), _any_refusal(gate)))


@pytest.mark.needs(UNKNOWN_KEY_REFUSED)
@pytest.mark.rule(level="documented", source=INVALID)
def test_repeated_wrong_key_is_refused(gate: Gate) -> None:
    """Two wrong values in a repeated key header MUST be refused."""
    exchange = gate.ask(
        wrong_keys.UNKNOWN,
        "and the key header repeated with another such key",
        fields=[(gate.key_header, b"nobody-issued-this-either")],
    )
    holds(gate.not_refused(_answered([exchange]), _any_refusal(gate)))


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(level="specified", source="RFC 9110, section 5.1: field names are case-insensitive")
def test_header_name_is_case_insensitive(gate: Gate) -> None:
    """The key header MUST be understood however its name is capitalised."""
    spellings = (gate.key_header.lower(), gate.key_header.upper())
    exchanges = [
        gate.ask(gate.main, f"in a header written {name}", key_field=name, is_baseline=True) for name in spellings
    ]
    holds(_not_taken(exchanges))


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(level="documented", source=f"{HEADER_ONLY}, and 401 and 403 say that it is missing or invalid")
def test_valid_key_is_sufficient(gate: Gate) -> None:
    """A valid key MUST be let in whatever a browser or another client says beside it, and whatever the query is."""
    origin = gate.settings.target.origin
    in_a_page = [*BROWSER_FIELDS, ("Origin", origin), ("Referer", f"{origin}/")]
    given = {name.lower() for name, _ in gate.settings.headers}  # what a gateway wants stays as it is
    exchanges = [
        gate.ask(gate.main, label, fields=[field for field in fields if field[0].lower() not in given])
        for label, fields in {
            "as a script in a page asks": in_a_page,
            "beside other credentials": OTHER_CREDENTIALS,
        }.items()
    ]
    holds(_not_taken(exchanges))
    queried = gate.ask(gate.main, "and a query", target=f"{gate.path}?verbose=1")
    assert queried.status not in AUTH_ERRORS, f"{queried.status} for a valid key\n{queried.seen}"


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
def test_key_header_position_does_not_matter(gate: Gate) -> None:
    """The key header MUST be understood with any white space around its value, and in any place among the fields."""
    exchanges = [
        gate.ask(gate.main, "without a space after the colon", separator=b":"),
        gate.ask(gate.main, "with a tab after the colon", separator=b":\t"),
        gate.ask(gate.main, "with the key header first", key_first=True),
        gate.ask(gate.main, "with the key header in the middle", fields=[("Accept-Language", "en"), ("X-Last", "1")]),
    ]
    holds(_not_taken(exchanges))


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(level="advisory", source="RFC 9110, section 5.5: white space behind a value; some parsers keep it")
def test_trailing_space_is_ignored(gate: Gate) -> None:
    """A valid key SHOULD be understood with a space behind it."""
    followed = Credential(gate.main.value + b" ", f"{gate.main.label} and a space")
    holds(_not_taken([gate.ask(followed, pool=True)]))


@pytest.mark.rule(level="documented", source=f"{AUTHENTICATION_GUIDE}: GET / and GET /healthz need no key")
def test_public_operation_needs_no_key(gate: Gate) -> None:
    """The overview and the health check MUST NOT be refused for want of a key, and the latter answers {"ok": true}."""
    public = [operation for operation in contract("documented").operations.values() if operation.key_header is None]
    served = False
    for operation in public:
        exchange = gate.ask(
            None, f"at {operation.path}", method=operation.method, target=gate.settings.target.path + operation.path
        )
        assert exchange.status not in AUTH_ERRORS, f"{exchange.status} for want of a key\n{exchange.seen}"
        if exchange.status == 200 and operation.responses["200"].schema:
            served = True
            holds(f"{problem}\n{exchange.seen}" for problem in problems(operation.id, exchange, "documented"))
    if not served:
        raise NotTested("this deployment does not serve /healthz")


def _answered(exchanges: Iterable[Exchange]) -> list[Exchange]:
    """Leave out what was refused by closing the connection, as anything malformed may be."""
    return [exchange for exchange in exchanges if exchange.status is not None]


def _any_refusal(gate: Gate) -> frozenset[int]:
    return CLIENT_ERRORS | gate.baseline.refusals(wrong_keys.UNKNOWN)


def _not_let_in(gate: Gate, wrong: Iterable[Credential]) -> Iterable[str]:
    """Ask with each of these keys; one that looks like an attack may be stopped by whoever stands in front."""
    for key in wrong:
        if wrong_keys.PLAIN.fullmatch(key.value):
            yield from gate.not_refused([gate.ask(key)], gate.baseline.refusals(wrong_keys.UNKNOWN))
        else:
            yield from gate.not_refused(_answered([gate.ask(key)]), _any_refusal(gate))


def _not_taken(exchanges: Iterable[Exchange]) -> Iterable[str]:
    return (f"{exchange.outcome} instead of 200\n{exchange.seen}" for exchange in exchanges if exchange.status != 200)


def _values(gate: Gate) -> set[bytes]:
    return {key.value for key in gate.settings.keys}
