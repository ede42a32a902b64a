"""Who gets figures: the one key in the one header, and nobody else."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract_tests import keys
from contract_tests.figures import Figures
from contract_tests.gate import BROWSER, Gate, Special
from contract_tests.message import Answer, Credential
from contract_tests.rules import AUTHENTICATION_GUIDE, DOCUMENT, REFUSING, SOUND, holds
from contract_tests.transport import NotTested
from contract_tests.validation import contract, problems

REFUSED = {401, 403}
REFUSALS = set(range(400, 500))
SENT_AWAY = {*REFUSALS, *range(300, 400)} - {304}
Way = tuple[str, Special]  # how something is asked, in words and on the wire
HEADER_ONLY = f"{AUTHENTICATION_GUIDE}: a key is taken from the X-API-Key header only"
KEY_NEEDED = f"{AUTHENTICATION_GUIDE}: every endpoint but GET / and GET /healthz needs a key"
INVALID = f"{DOCUMENT}, 401 and 403: invalid API key"


@pytest.mark.rule(level="specified", source=f"{DOCUMENT}, 200: usage metrics for the authenticated API key")
def test_valid_key_is_200(good: list[Answer]) -> None:
    """Every plain request with a valid key MUST be answered 200."""
    holds(
        f"{_status(answer)} instead of 200\n{answer.seen}"
        for answer in good
        if answer.status != 200 and answer.ending != "malformed"
    )


@pytest.mark.rule(level="documented", source=f"{AUTHENTICATION_GUIDE}: 401 means that the key is missing")
def test_missing_key_is_401(gate: Gate, missing: list[Answer]) -> None:
    """A request without the key header MUST be answered 401."""
    holds(f"{_status(answer)} instead of 401\n{answer.seen}" for answer in missing if answer.status != 401)
    answers = [
        gate.ask(None, "as a browser asks", fields=BROWSER),
        gate.ask(None, "as curl asks", fields=[("User-Agent", "curl/8.5.0"), ("Accept", "*/*")]),
    ]
    holds(f"{_status(answer)} instead of 401\n{answer.seen}" for answer in answers if answer.status not in {401, 429})


@pytest.mark.needs(*REFUSING)
@pytest.mark.rule(
    level="documented", source=f"{AUTHENTICATION_GUIDE}: 401 means that the key is missing, 403 that it is invalid"
)
def test_empty_key_is_refused(gate: Gate) -> None:
    """An empty or blank key MUST be answered 401 or 403."""
    answers = [gate.ask(keys.EMPTY), gate.ask(keys.BLANK)]
    holds(_not_refused(gate, answers, REFUSED))


@pytest.mark.rule(level="documented", source=INVALID)
def test_unknown_key_is_refused(gate: Gate, unknown: list[Answer]) -> None:
    """A key that nobody issued MUST be answered 403 or 401."""
    holds(_not_refused(gate, unknown, REFUSED))


@pytest.mark.needs("auth/unknown-key-is-refused")
@pytest.mark.rule(level="documented", source=INVALID)
def test_near_key_is_refused(gate: Gate, good: list[Answer]) -> None:
    """A value close to a valid key (a part, an extension, another form of it) MUST be answered 403 or 401."""
    shown = {text for answer in good if keys.SENDABLE.fullmatch(text := Figures(answer).api_key or "")}
    changed = [keys.changed(key) for key in gate.settings.keys]
    candidates = [*changed, *keys.near(gate.main), *map(keys.shown, sorted(shown)[:3])]
    near = [key for key in candidates if key.value not in _values(gate)]
    holds(_not_let_in(gate, near))


@pytest.mark.needs("auth/near-key-is-refused")
@pytest.mark.rule(level="documented", source=INVALID)
@given(data=st.data())
def test_edited_key_is_refused(gate: Gate, data: st.DataObject) -> None:
    """A valid key with any one character changed, removed or added MUST be answered 403 or 401."""
    key = data.draw(keys.edits(gate.main).filter(lambda key: key.value not in _values(gate)))
    holds(_not_refused(gate, [gate.ask(key)], REFUSED))


@pytest.mark.needs("auth/unknown-key-is-refused")
@pytest.mark.rule(level="documented", source=INVALID)
def test_pattern_is_refused(gate: Gate) -> None:
    """Wildcards, placeholders, injections and guesses MUST be answered 403 or 401, or as a firewall does: any 4xx."""
    patterns = [key for key in keys.PATTERNS if key.value not in _values(gate)]
    holds(_not_let_in(gate, patterns))


@pytest.mark.needs("auth/unknown-key-is-refused")
@pytest.mark.rule(level="documented", source=f"{INVALID}; how a malformed one is refused is open")
def test_malformed_key_is_refused(gate: Gate) -> None:
    """A key that is very long, or holds control or non-ASCII bytes, MUST be refused: any 4xx, or no answer."""
    answers = [
        gate.ask(key, "in a malformed field", fresh=True) for key in (*keys.MALFORMED, *keys.disguised(gate.main))
    ]
    holds(_not_refused(gate, _answered(answers), REFUSALS))


@pytest.mark.needs("auth/unknown-key-is-refused")
@pytest.mark.rule(level="advisory", source=f"{INVALID}; some servers strip more from a value than RFC 9110 calls space")
def test_padded_key_is_refused(gate: Gate) -> None:
    """A valid key with other bytes behind it that look like white space SHOULD be refused."""
    answers = [gate.ask(key, "in a malformed field", fresh=True) for key in keys.padded(gate.main)]
    holds(_not_refused(gate, _answered(answers), REFUSALS))


@pytest.mark.needs(*SOUND)
@pytest.mark.rule(level="specified", source="RFC 9112, section 5.1: no space between a field's name and its colon")
def test_space_before_the_colon_is_refused(gate: Gate) -> None:
    """A key header with a space before its colon MUST be refused."""
    answer = gate.ask(gate.main, "and a space before the colon", key_field=f"{gate.key_header} ", fresh=True)
    assert answer.status != 200, f"the field was taken for the key header\n{answer.seen}"


@pytest.mark.needs(*REFUSING)
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
    holds(_not_refused(gate, _answered(answers), REFUSALS))


@pytest.mark.needs(*REFUSING)
@pytest.mark.rule(level="documented", source=INVALID)
def test_repeated_wrong_key_is_refused(gate: Gate) -> None:
    """Two wrong values in a repeated key header MUST be refused."""
    answer = gate.ask(
        keys.UNKNOWN,
        "and the key header repeated with another such key",
        fields=[(gate.key_header, b"nobody-issued-this-either")],
    )
    holds(_not_refused(gate, _answered([answer]), REFUSALS))


@pytest.mark.needs("auth/missing-key-is-401")
@pytest.mark.rule(level="documented", source=HEADER_ONLY)
def test_key_in_the_query_is_no_key(gate: Gate) -> None:
    """A valid key in the query MUST NOT be taken for one."""
    names = (
        gate.key_header,
        "x-api-key",
        "api_key",
        "apikey",
        "api-key",
        "apiKey",
        "key",
        "token",
        "access_token",
        "auth",
    )
    ways: list[Way] = [
        (
            f"the main key in the query as {name}",
            {"target": gate.path.encode() + f"?{name}=".encode() + gate.main.value},
        )
        for name in names
    ]
    together = b"&".join(name.encode() + b"=" + gate.main.value for name in names)
    at_once: Way = ("the main key in the query, by all usual names", {"target": gate.path.encode() + b"?" + together})
    holds(_let_in(gate, at_once, ways))


@pytest.mark.needs("auth/missing-key-is-401")
@pytest.mark.rule(level="documented", source=HEADER_ONLY)
def test_key_in_another_header_is_no_key(gate: Gate) -> None:
    """A valid key in Authorization, in a cookie, or in a header of another name MUST NOT be taken for one."""
    key = gate.main.value
    names = (
        "Api-Key",
        "ApiKey",
        "X-API-Token",
        "X-Auth-Token",
        "X-Access-Token",
        "X-Key",
        "X_API_Key",
        "X-Api-Key-Id",
        "Token",
        "Proxy-Authorization",
    )
    cookies = (gate.key_header, "api_key", "apikey", "key", "token", "session")
    schemes = {"": key, "Bearer": key, "ApiKey": key, "Token": key}
    schemes |= {"Basic": base64.b64encode(key + b":"), "Basic, as a password": base64.b64encode(b":" + key)}
    holds(_let_in_by_fields(gate, "the main key in headers of other names", [(name, key) for name in names]))
    holds(
        _let_in_by_fields(
            gate, "the main key in cookies", [("Cookie", b"; ".join(name.encode() + b"=" + key for name in cookies))]
        )
    )
    for scheme, value in schemes.items():
        how = f"the main key in Authorization, after {scheme!r}"
        credentials = scheme.partition(",")[0].encode() + b" " + value
        holds(_let_in_by_fields(gate, how, [("Authorization", credentials.strip())]))


@pytest.mark.needs("auth/missing-key-is-401")
@pytest.mark.rule(level="documented", source=HEADER_ONLY)
def test_cookie_of_an_answer_is_no_key(gate: Gate, good: list[Answer]) -> None:
    """A cookie that an answer to a valid key has set MUST NOT be taken for a key."""
    cookies = {line.split(";")[0].strip() for answer in good for line in answer.values("Set-Cookie")}
    fields = [("Cookie", "; ".join(sorted(cookies)).encode("latin-1"))]
    if cookies:
        holds(_let_in(gate, ("the cookies that answers to valid keys have set", {"fields": fields}), ()))


@pytest.mark.needs("auth/missing-key-is-401")
@pytest.mark.rule(level="documented", source=HEADER_ONLY)
def test_key_in_path_or_body_is_no_key(gate: Gate) -> None:
    """A valid key in the path or in the body MUST NOT be taken for one."""
    key, path = gate.main.value, gate.path.encode()
    json = b'{"api_key": "' + key + b'", "X-API-Key": "' + key + b'"}'
    form = b"api_key=" + key + b"&X-API-Key=" + key
    ways: list[Way] = [
        ("the main key at the end of the path", {"target": path + b"/" + key}),
        ("the main key as a path parameter", {"target": path + b";key=" + key}),
        (
            "the main key in a JSON body",
            {"body": json, "fields": [("Content-Type", "application/json")], "fresh": True},
        ),
        (
            "the main key in a form",
            {"body": form, "fields": [("Content-Type", "application/x-www-form-urlencoded")], "fresh": True},
        ),
    ]
    for way in ways:
        holds(_let_in(gate, way, ()))


@pytest.mark.needs("auth/missing-key-is-401")
@pytest.mark.rule(level="documented", source=KEY_NEEDED)
def test_claims_are_no_key(gate: Gate) -> None:
    """A request without a key MUST be refused whatever it says of its origin, its sender, or its meaning."""
    origins = (
        "X-Forwarded-For",
        "X-Real-IP",
        "X-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Originating-IP",
        "X-Remote-IP",
        "X-Remote-Addr",
    )
    users = ("X-Forwarded-User", "X-Remote-User", "X-User", "X-Authenticated-User", "X-Consumer-Username", "X-User-Id")
    switches = ("X-Internal", "X-Internal-Request", "X-Debug", "X-Admin", "X-Test", "X-Bypass-Auth", "X-Health-Check")
    claims: dict[str, list[tuple[str, str]]] = {
        "a loopback address of origin": [
            *((name, "127.0.0.1") for name in origins),
            ("Forwarded", "for=127.0.0.1;host=localhost"),
        ],
        "a user's name": [
            *((name, "admin") for name in users),
            ("Referer", "http://localhost/"),
            ("Origin", "http://localhost"),
        ],
        "switches": [*((name, "true") for name in switches), ("User-Agent", "kube-probe/1.30")],
        "leave to answer from a cache": [("Cache-Control", "max-stale=3600"), ("Purpose", "prefetch")],
        "an upgrade to WebSocket": [
            *(("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ],
        "another target": [
            ("X-Original-URL", "/healthz"),
            ("X-Rewrite-URL", "/healthz"),
            ("X-HTTP-Method-Override", "OPTIONS"),
        ],
        "a condition and a range": [("If-None-Match", "*"), ("Range", "bytes=0-9")],
    }
    for how, fields in claims.items():
        holds(_let_in_by_fields(gate, how, fields))
    another = gate.ask(None, "at another host", fields=[("Host", "localhost")])  # which may be another site
    assert not gate.shows_figures(another), f"figures without a key\n{another.seen}"
    elsewhere = gate.settings.target.path + "/healthz"
    rewritten = [("X-Original-URL", gate.path), ("X-Rewrite-URL", gate.path)]
    answer = gate.ask(None, "at a public path, but with fields that name this one", target=elsewhere, fields=rewritten)
    assert not gate.shows_figures(answer), f"figures without a key\n{answer.seen}"


@pytest.mark.needs("auth/missing-key-is-401")
@pytest.mark.rule(level="documented", source=KEY_NEEDED)
def test_other_spelling_of_the_path_needs_a_key(gate: Gate) -> None:
    """Another spelling of the path MUST NOT get figures without a key."""
    path = gate.path
    origin = gate.settings.target.origin
    spellings = (
        f"{path}/", f"/{path}", f"{path}?debug=true", f"{path};x", f"/.{path}", f"/healthz/..{path}", f"{path}%2f",
        f"{path}.json", f"{path}#x", path.upper(), f"{path[:-1]}%{ord(path[-1]):02x}", f"{origin}{path}",
    )  # fmt: skip
    for spelling in spellings:
        answer = gate.ask(None, f"at {spelling}", target=spelling, fresh=True)
        assert not (answer.status == 200 and gate.shows_figures(answer)), f"figures without a key\n{answer.seen}"


@pytest.mark.needs("auth/missing-key-is-401")
@pytest.mark.rule(level="documented", source=KEY_NEEDED)
def test_other_method_needs_a_key(gate: Gate) -> None:
    """A method other than OPTIONS MUST NOT be answered 2xx without a key, and none with figures."""
    for method in ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "FOO"):
        answer = gate.ask(None, f"by {method}", method=method, fresh=True)
        successful = 200 <= (answer.status or 0) < 300
        assert not (successful and method != "OPTIONS"), f"{answer.status} without a key\n{answer.seen}"
        assert not (successful and gate.shows_figures(answer)), f"figures without a key\n{answer.seen}"


@pytest.mark.needs(*SOUND)
@pytest.mark.rule(level="specified", source="RFC 9110, section 5.1: field names are case-insensitive")
def test_header_name_is_case_insensitive(gate: Gate) -> None:
    """The key header MUST be understood however its name is capitalised."""
    spellings = (gate.key_header.lower(), gate.key_header.upper())
    answers = [gate.ask(gate.main, f"in a header written {name}", key_field=name, plain=True) for name in spellings]
    holds(_not_taken(answers))


@pytest.mark.needs(*SOUND)
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


@pytest.mark.needs(*SOUND)
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


@pytest.mark.needs(*SOUND)
@pytest.mark.rule(level="advisory", source="RFC 9110, section 5.5: white space behind a value; some parsers keep it")
def test_space_may_follow_the_key(gate: Gate) -> None:
    """A valid key SHOULD be understood with a space behind it."""
    followed = Credential(gate.main.value + b" ", f"{gate.main.told} and a space", f"{gate.main.shell} ")
    holds(_not_taken([gate.ask(followed)]))


@pytest.mark.needs(*SOUND, *REFUSING)
@pytest.mark.rule(level="documented", source=KEY_NEEDED)
def test_connection_keeps_no_key(gate: Gate) -> None:
    """Each request MUST be judged by its own key: nothing sticks to the connection that an earlier one used."""
    gate.ask(gate.main)
    refused = [
        gate.ask(None, "right after a valid one on the same connection", lane=True),
        gate.ask(keys.UNKNOWN, "soon after a valid one on the same connection", lane=True),
    ]
    holds(_not_refused(gate, refused, REFUSED))
    after = gate.ask(gate.main)
    assert after.status == 200, f"{_status(after)} for a valid key right after a refused one\n{after.seen}"


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


def _not_refused(gate: Gate, answers: Iterable[Answer], statuses: set[int]) -> Iterable[str]:
    for answer in answers:
        if answer.status not in statuses:
            yield f"{_status(answer)}: it is not refused as it must be\n{answer.seen}"
        elif gate.shows_figures(answer):
            yield f"the {_status(answer)} holds somebody's figures\n{answer.seen}"


def _answered(answers: Iterable[Answer]) -> list[Answer]:
    """Leave out what was refused by closing the connection, as anything malformed may be."""
    return [answer for answer in answers if answer.status is not None]


def _not_let_in(gate: Gate, wrong: Iterable[Credential]) -> Iterable[str]:
    """Ask with each of these keys; one that looks like an attack may be stopped by whoever stands in front."""
    for key in wrong:
        if keys.PLAIN.fullmatch(key.value):
            yield from _not_refused(gate, [gate.ask(key)], REFUSED)
        else:
            yield from _not_refused(gate, _answered([gate.ask(key)]), REFUSALS)


def _not_taken(answers: Iterable[Answer]) -> Iterable[str]:
    return (f"{_status(answer)} instead of 200\n{answer.seen}" for answer in answers if answer.status != 200)


def _status(answer: Answer) -> str:
    return str(answer.status) if answer.status is not None else f"no answer ({answer.ending})"


def _values(gate: Gate) -> set[bytes]:
    return {key.value for key in gate.settings.keys}


def _let_in_by_fields(gate: Gate, how: str, fields: Sequence[tuple[str, str | bytes]]) -> Iterable[str]:
    ways: list[Way] = [(f"the field {name}", {"fields": [(name, value)]}) for name, value in fields]
    return _let_in(gate, (how, {"fields": fields}), ways)


def _let_in(gate: Gate, at_once: Way, one_by_one: Iterable[Way]) -> Iterable[str]:
    """Ask without a key in all ways at once; if that is let in, find the way that does it."""
    for how, special in (at_once, *one_by_one):
        answer = gate.ask(None, f"but with {how}", **special)
        closed = answer.status is None and answer.ending in {"closed", "reset"}
        if not (closed or answer.status in SENT_AWAY):
            yield f"{_status(answer)}: it is not refused as it must be\n{answer.seen}"
        elif gate.shows_figures(answer):
            yield f"the {_status(answer)} holds somebody's figures\n{answer.seen}"
        elif how == at_once[0]:
            return
