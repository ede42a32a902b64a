"""The Prefer header of a request, and the precedence of overrides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server import UsageMock, load_deployment, load_fault, make_app
from mock_server.fixtures.deployments import Calls, Deployment, Key
from mock_server.fixtures.files import NONE
from mock_server.fixtures.library import Library
from mock_server.options import MockOptions
from mock_server.simulation.overrides import NO_OVERRIDE, Answer, FaultUse, ForcedResponse, Override, Overrides
from mock_server.web.connection import MAX_FIELD_BYTES
from mock_server.web.mock import MOCK
from mock_server.web.preferences import MAX_CHECKED, PreferenceError, parse_preferences, preferred_override
from tests.support.wire import KEY, Response, send, send_request, usage
from usage_contract import Contract

CODES = [200, 401, 403, 429]
LIBRARY = Library(load_deployment())


@pytest.fixture(scope="module")
def mock(contract: Contract) -> Iterator[UsageMock]:
    async def no_sleep(_: float) -> None:
        pass

    with UsageMock(make_app(contract, MockOptions(rate_limit=False), sleep=no_sleep)) as mock:
        yield mock


def preferring(mock: UsageMock, *fields: str, key: str = "demo-busy") -> Response:
    return send_request(mock.url, headers=[(KEY, key), *(("Prefer", field) for field in fields)])


# Parsing.


@pytest.mark.parametrize(
    ("fields", "parsed"),
    [
        ([], {}),
        (["code=403"], {"code": "403"}),
        (['code="403"'], {"code": "403"}),
        (["fault=, code="], {"fault": "", "code": ""}),
        (["CODE = 403"], {"code": "403"}),
        (["code=403, code=500"], {"code": "403"}),
        (["code=403", "code=500"], {"code": "403"}),
        (["code=403, scenario=heavy;x=y;z, delay=1"], {"code": "403", "scenario": "heavy", "delay": "1"}),
        (['scenario="a \\"b\\" \\\\"'], {"scenario": 'a "b" \\'}),
        (["respond-async, wait=10, handling=lenient"], {}),
        (['x="code=403, fault=y", delay=1'], {"delay": "1"}),
        (["code"], {"code": ""}),
        (["delay=0.1..0.5, fault=none"], {"delay": "0.1..0.5", "fault": "none"}),
        (["delay=0.1~2"], {"delay": "0.1~2"}),
        (["foo=, code=403", "=,;=,,"], {"code": "403"}),
    ],
)
def test_the_first_known_preference_applies_and_unknown_ones_are_ignored(
    fields: list[str], parsed: dict[str, str]
) -> None:
    assert parse_preferences(fields) == parsed


@given(st.lists(st.text(), max_size=3))
def test_any_text_is_read_in_some_way(fields: list[str]) -> None:
    assert parse_preferences(fields).keys() <= {"scenario", "code", "fault", "delay"}


@pytest.mark.parametrize("piece", ["a", " ", "a ", "a=", ',a="', "a;", ", ", "\\"])
def test_a_field_of_maximum_length_is_parsed(piece: str) -> None:
    assert parse_preferences(["code=403, " + piece * (MAX_FIELD_BYTES // len(piece)) + "@"]) == {"code": "403"}


def test_only_the_first_of_many_misspelled_preferences_are_named(mock: UsageMock) -> None:
    response = preferring(mock, ",".join(["scenaro"] * 8000))
    assert response.headers["Mock-Ignored"].count("did you mean") == MAX_CHECKED


PIECES = [*'=;,"\\ \t', "code", "delay", "scenario", "fault", "403", "none", "x", "é", "\xff"]


@settings(deadline=None)  # a file may be read
@given(st.lists(st.sampled_from(PIECES)))
def test_a_text_similar_to_a_preference_is_read_or_rejected(pieces: list[str]) -> None:
    read = parse_preferences(["".join(pieces)])
    with suppress(PreferenceError):
        override = preferred_override(read, LIBRARY, CODES)
        assert {name for name, value in asdict(override).items() if value is not None} == read.keys()


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_are_a_fault_of_the_server(mock: UsageMock, value: bytes) -> None:
    request = b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: demo-busy\r\nPrefer: " + value + b"\r\n\r\n"
    assert send(mock.url, request).status in (200, 400, 403, 429)


# The effects of a preference.


@pytest.mark.parametrize("code", [401, 403, 429, 400, 404, 418, 499, 500, 502, 503, 599])
def test_a_preferred_code_is_returned_and_acknowledged(mock: UsageMock, code: int) -> None:
    response = preferring(mock, f"code={code}")
    assert response.status == code
    assert response.headers["Preference-Applied"] == f"code={code}"
    assert response.json["detail"]
    assert response.headers["Mock-Reason"]


def test_a_preferred_code_is_returned_without_a_key_but_200_is_not(mock: UsageMock) -> None:
    assert send_request(mock.url, headers=[("Prefer", "code=503")]).status == 503
    assert send_request(mock.url, headers=[("Prefer", "code=200")]).status == 401


def test_several_preferences_are_acknowledged_together(mock: UsageMock) -> None:
    response = preferring(mock, "delay=0.1..0.2", "scenario=heavy, wait=3")
    assert response.headers["Preference-Applied"] == "delay=0.1..0.2, scenario=heavy"
    assert response.json["total"] > 10**9


def test_a_preferred_fault_applies_to_one_request_only(mock: UsageMock) -> None:
    assert preferring(mock, "fault=body-is-null", key="demo-fresh").body == b"null"
    assert usage(mock.url, "demo-fresh").json["total"] == 0


@pytest.mark.parametrize("key", ["demo-busy", "demo-fresh"])
def test_a_preferred_fault_ignores_counts_and_keys_of_its_conditions(mock: UsageMock, key: str) -> None:
    assert load_fault("every-fourth-response-is-503").steps[0].when.every == 4
    assert preferring(mock, "fault=every-fourth-response-is-503", key=key).status == 503
    assert load_fault("second-key-is-redirected").steps[0].when.key == "second key"
    assert preferring(mock, "fault=second-key-is-redirected", key=key).status in range(300, 400)


@pytest.mark.parametrize(
    ("path", "key", "field", "applied"),
    [
        ("/usage", "demo-busy", "fault=total-is-a-text", "fault=total-is-a-text"),
        ("/usage", "demo-busy", "fault=none", "fault=none"),
        ("/usage", "nobody", "scenario=down", "scenario=down"),
        ("/healthz", "nobody", "scenario=down", None),
        ("/usage", "demo-busy", "scenario=revoked", "scenario=revoked"),
        ("/usage", "demo-busy", "code=503, scenario=heavy", "code=503"),
        ("/usage", "demo-busy", "code=200, scenario=heavy", "code=200, scenario=heavy"),
        ("/usage", "nobody", "scenario=heavy, delay=1", "delay=1"),
        ("/usage", "nobody", "code=200", None),
        ("/usage", "nobody", "code=503", "code=503"),
        ("/healthz", "demo-busy", "code=503", None),
        ("/healthz", "demo-busy", "fault=every-fourth-response-is-503, delay=1", None),
        ("/nothing", "demo-busy", "code=503, scenario=heavy", None),
    ],
)
def test_only_honoured_preferences_are_acknowledged(
    mock: UsageMock, path: str, key: str, field: str, applied: str | None
) -> None:
    response = send_request(mock.url, path, headers=[(KEY, key), ("Prefer", field)])
    assert response.headers["Preference-Applied"] == applied


def test_a_code_is_not_honoured_for_another_method(mock: UsageMock) -> None:
    response = send(mock.url, b"PUT /usage HTTP/1.1\r\nHost: x\r\nPrefer: code=503\r\nContent-Length: 0\r\n\r\n")
    assert (response.status, response.headers["Preference-Applied"]) == (405, None)


def test_a_preferred_429_contains_the_limit_of_the_key(mock: UsageMock) -> None:
    for key in ("demo-busy", "demo-modest"):
        limit = usage(mock.url, key).json["rate_limit"]["rps"]
        assert float(preferring(mock, "code=429", key=key).headers["X-RateLimit-Limit"]) == limit
    assert preferring(mock, "code=429, scenario=heavy").headers["X-RateLimit-Limit"] == "500"
    assert preferring(mock, "code=429", key="nobody").headers["X-RateLimit-Limit"] == "10"


def test_unknown_preferences_are_not_acknowledged(mock: UsageMock) -> None:
    assert "Preference-Applied" not in preferring(mock, "respond-async, wait=10").headers


@pytest.mark.parametrize(
    ("field", "ignored"),
    [
        ("scenaro=heavy", "scenaro; did you mean scenario?"),
        ("code:503", "code; write code=503"),
        ("delay=0, FAULTS=x, Scenario : y", "FAULTS; did you mean fault?, Scenario; write scenario=heavy"),
        ("example=busy, dynamic=true", "example; did you mean scenario?, dynamic; did you mean scenario?"),
        ("Status=503, code=200", "Status; did you mean code?"),
        ("respond-async, wait=10, handling=lenient, return=minimal, safe, depth-noroot", None),
        ('x="a, codes=503", codex\xff=1', None),
    ],
)
def test_a_misspelled_preference_is_ignored_and_named(mock: UsageMock, field: str, ignored: str | None) -> None:
    response = preferring(mock, field)
    assert (response.status, response.headers["Mock-Ignored"]) == (200, ignored)


@pytest.mark.parametrize(
    ("field", "hints"),
    [
        ("scenario=hevy", ["did you mean 'heavy'?"]),
        ("fault=body-is-nul", ["did you mean 'body-is-null'?"]),
        ("fault=nothing-like-it", [" more (`usage-mock faults` lists them)"]),
        ("code=200.5", ["200, 401, 403, 429 (documented) or 400 to 599"]),
        ("code=204", ["400 to 599"]),
        ("code=600", ["400 to 599"]),
        ("code", ["Prefer: code needs a value, such as code=503"]),
        ("fault=", ["Prefer: fault needs a value, such as fault=body-is-null"]),
        ("scenario", ["Prefer: scenario needs a value, such as scenario=heavy"]),
        ("delay=soon", ["SECONDS", "LOW..HIGH", "MEDIAN~P99"]),
        ('delay=""', ["Prefer: delay needs a value, such as delay=0.2"]),
        ("fault=malformed-header-name-is-500", ["--fault"]),
    ],
)
def test_an_unknown_value_is_rejected_with_the_valid_ones(mock: UsageMock, field: str, hints: list[str]) -> None:
    response = preferring(mock, field)
    assert (response.status, response.headers["Mock-Reason"]) == (400, "invalid-preference")
    assert [each for each in hints if each not in response.json["detail"]] == []
    assert len(response.json["detail"]) < 1000


def test_a_fault_whose_role_the_deployment_lacks_is_rejected(contract: Contract) -> None:
    deployment = Deployment("mine", "d", {"my-secret": Key(traffic={"a.example": {"fetch": Calls(1)}})})
    with UsageMock(make_app(contract, deployment=deployment)) as mock:
        response = preferring(mock, "fault=body-is-null", key="my-secret")
    assert (response.status, response.headers["Mock-Reason"]) == (400, "invalid-preference")
    assert "body-is-null.yaml:6 cannot be used here: the deployment mine has no unused key" in response.json["detail"]
    assert "my-secret" not in response.json["detail"]


# The precedence of overrides.

LEVELS = ("request", "key", "everyone", "start")


def at(level: str, override: Override) -> tuple[Overrides, Override]:
    """Return overrides with one at a level of precedence, and the override of the request."""
    return {
        "request": (Overrides(), override),
        "key": (Overrides(keys={"k": override}), NO_OVERRIDE),
        "everyone": (Overrides(everyone=override), NO_OVERRIDE),
        "start": (Overrides(override), NO_OVERRIDE),
    }[level]


@pytest.mark.parametrize("name", ["scenario", "answer", "faults", "delay"])
@pytest.mark.parametrize("highest", range(4), ids=LEVELS)
def test_precedence_is_request_then_key_then_everyone_then_start(highest: int, name: str) -> None:
    all_values: Mapping[str, Sequence[Any]] = {
        "scenario": list("abcd"),
        "answer": [Answer((ForcedResponse(code),)) for code in range(500, 504)],
        "faults": [(FaultUse(each),) for each in "abcd"],
        "delay": list("1234"),
    }
    values = all_values[name]
    overrides = [Override(**{name: value}) if place >= highest else NO_OVERRIDE for place, value in enumerate(values)]
    request, key, everyone, start = overrides
    found = Overrides(start, everyone, {"k": key}).merged("k", request)
    assert getattr(found, name) == values[highest]


@pytest.mark.parametrize("level", LEVELS)
def test_the_override_of_a_scenario_has_the_lowest_precedence(contract: Contract, level: str) -> None:
    answer = Answer((ForcedResponse(418),))
    overrides, request = at(level, Override(delay="7", answer=answer, faults=(FaultUse("body-is-null"),)))
    simulator = make_app(contract, MockOptions(scenario="brown-out"))[MOCK].simulator
    start = overrides.start.merged_over(Override(scenario="brown-out"))
    simulator.overrides = Overrides(start, overrides.everyone, overrides.keys)
    found = simulator.resolve("k", request)
    assert (found.delay, found.code, found.fault_names) == ("7", 418, "body-is-null")


def test_the_override_of_a_scenario_applies_without_others(contract: Contract) -> None:
    simulator = make_app(contract, MockOptions(scenario="brown-out"))[MOCK].simulator
    found = simulator.resolve("k", NO_OVERRIDE)
    assert (found.delay, found.fault_names) == ("0.1~1", "every-fourth-response-is-503")


@pytest.mark.parametrize("name", ["scenario", "fault", "delay"])
def test_none_switches_off_lower_levels(name: str) -> None:
    lower = Override("heavy", None, (FaultUse("body-is-null"),), "1")
    own = preferred_override({name: NONE}, LIBRARY, CODES)
    found = Overrides(lower).merged("k", own)
    assert getattr(found, "fault_names" if name == "fault" else name) == NONE


@pytest.mark.parametrize("code", [401, 403, 404, 429, 502, 503])
def test_a_preferred_code_has_a_reason_of_its_own(code: int) -> None:
    with UsageMock() as mock:
        response = preferring(mock, f"code={code}")
        assert (response.status, response.headers["Mock-Reason"]) == (code, "code-override")
        assert [entry.status for entry in mock.requests_of(reason="code-override")] == [code]


@pytest.fixture
def own_faults(tmp_path: Path) -> Iterator[UsageMock]:
    """A mock with a fault that responds with another key, and a kind of server that changes another path only."""
    for kind, name, steps in (
        ("faults", "other-key", "[{as: demo-fresh, headers: {set: {X-Own: a}}}]"),
        ("variants", "other-path", "[{when: {path: /other}, status: 500}]"),
    ):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / f"{name}.yaml").write_text(f"description: d\nbreaks: []\ndo: {steps}\n")
    with UsageMock(fixtures=tmp_path, deployment=load_deployment(), server="other-path") as mock:
        yield mock


@pytest.mark.parametrize(
    ("preferences", "applied"),
    [
        ("fault=none", "fault=none"),
        ("fault=none, code=503", "fault=none, code=503"),
        ("fault=other-key, delay=0", "fault=other-key, delay=0"),
        ("fault=retry-after-is-2", None),
        ("fault=retry-after-is-2, code=503", "code=503"),
        ("fault=retry-after-is-2, code=429, scenario=heavy", "fault=retry-after-is-2, code=429"),
    ],
)
def test_a_response_names_the_preferences_that_were_honoured_once(
    own_faults: UsageMock, preferences: str, applied: str | None
) -> None:
    response = send_request(own_faults.url, headers=[(KEY, "demo-busy"), ("Prefer", preferences)])
    assert response.headers.get_all("Preference-Applied") == (None if applied is None else [applied])
